"""What the page's server tells, and what it is told."""

import csv
import io
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from prometheus_client import Counter
from support.page import WELL, Page, Visitor, plant_of, serving, with_names
from support.verdicts import placed, verdict

from edge_inspector import metrics
from edge_inspector.codes import Decision, ErrorCode
from edge_inspector.inspection.drift import RejectRate
from edge_inspector.records import Disagreement
from edge_inspector.station.load import ShadowModel
from edge_inspector.store.results import Results
from edge_inspector.store.results_file import results_path
from edge_inspector.store.results_writer import ResultsWriter, StoredObjection
from edge_inspector.store.rows import PartStory
from edge_inspector.store.users import Role
from edge_inspector.watches.drift import DriftState
from edge_inspector.web.live import figures_of

OPEN_TO_ALL = {"/api/login", "/api/logout"}


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with serving(plant_of(tmp_path)) as served:
        yield served


@pytest.fixture
def anybody(page: Page) -> Visitor:
    return page.visitor()


def test_machines_read_health_and_metrics(anybody: Visitor) -> None:
    health = anybody.ask("GET", "/healthz", Host="whatever.example")
    assert (health.status, health.json) == (200, WELL)
    metrics = anybody.ask("GET", "/metrics", Host="whatever.example")
    assert b"edge_inspector_parts_triggered_total" in metrics.body
    assert metrics.headers["content-type"].startswith("text/plain; version=")


def test_a_station_that_is_not_well_says_so_by_status(tmp_path: Path) -> None:
    with serving(plant_of(tmp_path, healthy=(False, {"state": "fault"}))) as page:
        assert page.visitor().ask("GET", "/healthz").status == 503


@pytest.mark.parametrize("alive", [True, False])
def test_a_new_start_is_asked_for_only_if_a_thread_is_not_alive(tmp_path: Path, *, alive: bool) -> None:
    token = tmp_path / "token"
    token.write_text("t" * 32)
    table = f'machines_token_file = "{token}"\n'
    plant = plant_of(tmp_path, table, healthy=(not alive, {"state": "fault", "alive": alive}))
    with serving(plant) as page:
        answer = page.visitor().ask("GET", "/healthz?alive")
        assert (answer.status, answer.json) == (200 if alive else 503, {"state": "fault"})


def test_a_reviewers_label_is_stored_under_his_name(page: Page) -> None:
    reviewer = page.visitor(Role.REVIEWER)
    stored = reviewer.ask("POST", "/api/parts/2/label", {"view": "", "label": "defect", "class": "defect"})
    assert stored.json == {"stored": True}
    labels = reviewer.ask("GET", "/api/parts/2").json["labels"]
    assert [(each["label"], each["class"], each["user"]) for each in labels] == [("defect", "defect", "reviewer")]
    assert reviewer.ask("GET", "/api/review").json == {"parts": []}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"view": "", "label": "fine"}, 400),
        ({"view": "", "label": "good", "class": "defect"}, 400),
        ({"view": "", "label": "defect", "class": "unheard-of"}, 400),
        ({"view": "cam9", "label": "good", "class": ""}, 404),
        ({"view": 7, "label": "good", "class": ""}, 400),
        ([], 400),
        (b"{", 400),
        (b"[" * 4000, 400),
        (b'"' + b"x" * 5000 + b'"', 413),
    ],
)
def test_a_label_that_makes_no_sense_is_refused(page: Page, body: object, status: int) -> None:
    assert page.visitor(Role.REVIEWER).ask("POST", "/api/parts/2/label", body).status == status


def test_the_live_feed_tells_a_newcomer_everything(page: Page, anybody: Visitor) -> None:
    page.conditions.set(ErrorCode.CAMERA_LOST, "cam2", "no answer in time")
    told = anybody.first_news()
    assert told["state"] == "degraded"
    (condition,) = told["conditions"]
    assert datetime.fromisoformat(condition.pop("since")) <= datetime.fromisoformat(told["utc"])
    assert condition == {
        "code": "camera_lost",
        "subject": "cam2",
        "why": "no answer in time",
        "fault": False,
        "warning": False,
    }
    assert told["uninspected"] == "reject"
    assert told["cameras"] == {"cam1": True, "cam2": False}
    assert [entry["decision"] for entry in told["strip"]] == [1, 2]
    assert told["pictures"]["cam1"]["frame"] == 2
    assert told["pictures"]["cam1"]["jpeg"].startswith("/9j/")
    assert {part["n"] for part in told["belt"]["parts"]} == _on_belt(page, told["belt"]["parts"][0])
    assert told["belt"]["speed"] == pytest.approx(1000, rel=0.2)
    assert told["figures"]["reject"] == 1


def _on_belt(page: Page, third: dict[str, float]) -> set[int]:
    """All three parts, less those that the belt has carried past the gate while a slow machine answered."""
    scene, scale = page.plant.scene(), page.plant.geometry.counts_per_mm
    count = third["x"] * scale + scene.parts[0].part.trigger_count
    seen_until = count - 2 * page.plant.recipe.part_length_mm * scale
    return {3, *(each.part.part_seq for each in scene.verdicts if each.part.due_count > seen_until)}


def test_all_watchers_get_the_same_bytes_made_once(page: Page) -> None:
    streams = [page.visitor().start("GET", "/api/live") for _ in range(5)]
    news: list[dict[str, bytes]] = [{} for _ in streams]
    common: set[str] = set()
    deadline = time.monotonic() + 120
    while len(common) < 3 and time.monotonic() < deadline:
        for told, stream in zip(news, streams, strict=True):
            line = stream.readline()
            if line.startswith(b"data") and b'"whole"' not in line:
                told[json.loads(line[6:])["utc"]] = line
        common = set.intersection(*(set(each) for each in news))
    assert common
    for utc in common:
        assert len({each[utc] for each in news}) == 1


def test_nothing_is_made_while_nobody_watches(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    from edge_inspector.web import live  # noqa: PLC0415

    made = []
    really = live.overlaid
    monkeypatch.setattr(live, "overlaid", lambda *given: made.append(1) or really(*given))
    time.sleep(0.5)
    assert not made
    page.visitor().first_news()
    assert made


def test_parts_are_found_by_what_is_asked(anybody: Visitor) -> None:
    def found(query: str) -> list[int]:
        return [part["part"] for part in anybody.ask("GET", f"/api/parts?{query}").json["parts"]]

    assert found("") == [2, 1]
    assert found("decision=reject") == [2]
    assert found("part=1") == [1]
    assert found("class=defect") == [2]
    assert found("before=2") == [1]
    assert found("since=2999-01-01T00:00:00Z") == []


@pytest.mark.parametrize(
    "query", ["decision=maybe", "part=x", "part=99999999999999999999", "since=2026-01-01", "since=now", "before=-1"]
)
def test_a_filter_that_makes_no_sense_is_refused(anybody: Visitor, query: str) -> None:
    assert anybody.ask("GET", f"/api/parts?{query}").status == 400


def test_parts_can_be_saved_for_a_spreadsheet_and_run_nothing_there(tmp_path: Path) -> None:
    with serving(with_names(plant_of(tmp_path), ["=1+1"])) as page:
        answer = page.visitor().ask("GET", "/api/parts.csv?decision=reject")
        assert answer.headers["content-disposition"] == 'attachment; filename="parts.csv"'
        head, newest, older = csv.reader(io.StringIO(answer.body.decode("utf-8-sig")))
        assert head[1:6] == ["part", "decision", "reason", "grade", "defects"]
        assert (newest[1:3], newest[5]) == (["4", "reject"], "'=1+1")
        assert (older[1], older[5:7], older[-2:]) == ("2", ["defect", "no"], ["3", ""])
        assert page.visitor().ask("GET", "/api/parts.csv?decision=maybe").status == 400


def test_a_part_tells_its_story(anybody: Visitor) -> None:
    part = anybody.ask("GET", "/api/parts/2").json
    assert (part["decision"], part["classes"], part["review"]) == (2, ["defect"], True)
    assert part["views"][0]["camera"] == "cam1"
    assert part["views"][0]["captured_ms"] == pytest.approx(100)


def test_a_picture_in_memory_is_shown_with_its_mask(anybody: Visitor) -> None:
    image = anybody.ask("GET", "/api/parts/2/cam1/image")
    assert image.headers["content-type"] == "image/png"
    assert cv2.imdecode(np.frombuffer(image.body, np.uint8), cv2.IMREAD_UNCHANGED).shape == (40, 60, 3)
    mask = cv2.imdecode(
        np.frombuffer(anybody.ask("GET", "/api/parts/2/cam1/mask").body, np.uint8), cv2.IMREAD_UNCHANGED
    )
    assert mask.shape[2] == 4
    assert mask.shape[1] / mask.shape[0] == pytest.approx(60 / 40, rel=0.01)
    assert 0.05 < np.mean(mask[:, :, 3] > 0) < 0.2
    assert anybody.ask("GET", "/api/parts/2/thumb").headers["content-type"] == "image/jpeg"
    assert anybody.ask("GET", "/api/parts/2/cam2/image").status == 404


class SlowResults(Results):
    def within(self, limit_s: float) -> Results:
        del limit_s
        return self

    def part(self, part_id: int) -> PartStory | None:
        time.sleep(0.3)
        return super().part(part_id)


def test_slow_questions_are_answered_one_by_one_and_quick_ones_in_between(tmp_path: Path) -> None:
    plant = plant_of(tmp_path)
    slow = SlowResults(results_path(plant.station.state_dir))
    with serving(replace(plant, results=slow)) as page, ThreadPoolExecutor(12) as crowd:
        assert page.visitor().ask("GET", "/healthz").status == 200
        asked = [crowd.submit(page.visitor().ask, "GET", "/api/parts/2") for _ in range(12)]
        time.sleep(0.1)
        assert page.visitor().ask("GET", "/metrics").status == 200
        assert not all(each.done() for each in asked)
        assert {each.result().status for each in asked} == {200}


def test_without_results_the_page_says_so(tmp_path: Path) -> None:
    plant = plant_of(tmp_path)
    for file in plant.station.state_dir.iterdir():
        file.unlink()
    with serving(plant) as page:
        assert page.visitor().ask("GET", "/api/parts").status == 503
        assert page.visitor().first_news()["history"] == {"hours": [], "classes": []}


def test_health_tells_what_runs(anybody: Visitor) -> None:
    told = anybody.ask("GET", "/api/health").json
    assert told["model"]["provider"] == "simulated"
    assert told["disk"]["total_bytes"] > 0


def test_health_says_why_and_what_is_told_stays_text(page: Page, anybody: Visitor) -> None:
    page.conditions.set(ErrorCode.PLC_LOST, "plc", "<b>no answer</b>")
    (told,) = anybody.ask("GET", "/api/health").json["conditions"]
    assert (told["code"], told["number"], told["why"]) == ("plc_lost", 403, "<b>no answer</b>")
    assert (told["fault"], told["warning"]) == (True, False)


def test_how_long_it_took_is_said_of_inspected_parts_only() -> None:

    seen = verdict(1, views=(placed(frame_id=1),), decided_ns=2_040_000_000)
    unseen = verdict(2, Decision.NOT_INSPECTED, views=(placed(frame_id=2),), decided_ns=2_500_000_000)
    figures = figures_of([seen, unseen])
    assert (figures["parts"], figures["not_inspected"]) == (2, 1)
    assert (figures["latency_ms"], figures["latency_worst_ms"], figures["left_ms"]) == (40, 40, 460)
    assert figures_of([unseen])["latency_ms"] is figures_of([unseen])["left_ms"] is None


def test_without_reference_and_second_model_there_is_nothing_to_tell(anybody: Visitor) -> None:
    assert anybody.ask("GET", "/api/drift").json is None
    assert anybody.ask("GET", "/api/shadow").json is None


def test_drift_tells_the_index_of_each_quantity_and_the_control_chart(tmp_path: Path) -> None:
    day = datetime(2026, 11, 21, tzinfo=UTC)
    indices = {("cam1", "sharpness"): 0.02, ("cam1", "brightness"): 0.4}
    state = DriftState(
        reference_parts=300,
        since_utc=day,
        until_utc=day,
        limit=0.25,
        indices=indices,
        chart=(RejectRate(0.1, 0.05, 0.2), RejectRate(0.3, 0.05, 0.2)),
    )
    with serving(replace(plant_of(tmp_path), drift=lambda: state)) as page:
        told = page.visitor().ask("GET", "/api/drift").json
    assert (told["parts"], told["since"], told["limit"]) == (300, "2026-11-21T00:00:00.000Z", 0.25)
    assert [each["quantity"] for each in told["indices"]] == ["brightness", "sharpness"], "the worst first"
    assert told["chart"][-1] == {"rate": 0.3, "low": 0.05, "high": 0.2}


def test_the_second_model_tells_how_much_it_saw_and_where_it_disagrees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, labels in (("frames_completed", ["camera"]), ("frames_evicted", ["camera", "reason"])):
        monkeypatch.setattr(metrics, name, Counter(name, name, labels, registry=None))
    monkeypatch.setattr(metrics, "shadow_views", Counter("views", "views", ["opinion"], registry=None))
    plant = plant_of(tmp_path)
    said = Disagreement(
        "cam1",
        2,
        5,
        opinion="accepts",
        model="tile-2.0/int8/cpu",
        classes=("crack",),
        defects=(),
        mask=np.zeros((1, 4, 4), np.uint8),
    )
    writer = ResultsWriter(results_path(plant.station.state_dir))
    writer.add([], [], [StoredObjection(said, datetime(2026, 11, 21, tzinfo=UTC), "")])
    writer.close()
    model = ShadowModel(plant.station.segmenter, {})
    with serving(replace(plant, station=replace(plant.station, shadow=model))) as page:
        anybody = page.visitor()
        assert anybody.ask("GET", "/api/shadow").json["share"] is None, "nothing was inferred yet"
        metrics.frames_completed.labels("cam1").inc(70)
        metrics.frames_completed.labels("cam2").inc(70)
        metrics.frames_evicted.labels("cam1", "late").inc(60)
        metrics.shadow_views.labels("agrees").inc(19)
        metrics.shadow_views.labels("accepts").inc()
        told = anybody.ask("GET", "/api/shadow").json
    assert told["model"] == plant.station.segmenter.info.label
    assert told["views"] == {"agrees": 19, "rejects": 0, "accepts": 1}
    assert told["share"] == 0.25
    assert [(each["camera"], each["opinion"]) for each in told["objections"]] == [("cam1", "accepts")]


def test_an_admin_has_the_picture_guard_taught(page: Page, anybody: Visitor) -> None:
    told = anybody.ask("GET", "/api/guard").json
    assert (told["recipe_id"], told["teaching"]) == (1, False)
    assert page.visitor(Role.REVIEWER).ask("POST", "/api/guard", {}).status == 403
    assert page.visitor(Role.ADMIN).ask("POST", "/api/guard", {}).json["teaching"]
    assert anybody.ask("GET", "/api/guard").json["teaching"]


def test_an_admin_changes_the_recipe(page: Page) -> None:
    admin = page.visitor(Role.ADMIN)
    assert admin.ask("POST", "/api/command", {"name": "select_recipe", "recipe": 2}).json == {"recipe": 2}
    assert admin.ask("GET", "/api/station").json["recipe"]["id"] == 2
    assert admin.first_news()["recipe"] == 2


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "reset"}, 200),
        ({"name": "disable"}, 200),
        ({"name": "select_recipe", "recipe": 77}, 409),
        ({"name": "select_recipe", "recipe": "1"}, 400),
        ({"name": "explode"}, 400),
        ({}, 400),
    ],
)
def test_a_command_is_answered_with_what_became_of_it(page: Page, body: object, status: int) -> None:
    assert page.visitor(Role.ADMIN).ask("POST", "/api/command", body).status == status
