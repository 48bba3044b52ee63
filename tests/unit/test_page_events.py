"""Events, counters and trends as the page's server tells them, and who may change what."""

import csv
import io
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.page import Page, Visitor, plant_of, serving
from support.verdicts import verdict

from edge_inspector.codes import Decision, ErrorCode
from edge_inspector.stages.logbook import Errand
from edge_inspector.store.logbook import LogbookWriter, logbook_path
from edge_inspector.store.users import Role
from edge_inspector.web import writes
from edge_inspector.web.shift import idle_now, rejects_in_a_row


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with serving(plant_of(tmp_path)) as served:
        yield served


def until(true: Callable[[], Any]) -> Any:
    end = time.monotonic() + 10
    while not (found := true()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def events(visitor: Visitor, query: str = "") -> Any:
    return visitor.ask("GET", f"/api/events?{query}").json["events"]


def a_short_fault(page: Page) -> Visitor:
    page.conditions.set(ErrorCode.VERDICT_LATE, "plc", "part 7 came too late")
    page.conditions.clear(ErrorCode.VERDICT_LATE, "plc")
    anybody = page.visitor()
    until(lambda: events(anybody))
    return anybody


def test_a_fault_stays_on_the_live_page_until_an_operator_acknowledges_it(page: Page) -> None:
    anybody = a_short_fault(page)
    told = anybody.first_news()
    assert told["state"] == "ready"
    assert [(each["code"], each["why"], each["by"]) for each in told["held"]] == [
        ("verdict_late", "part 7 came too late", None)
    ]
    assert told["waiting"] == 1
    event = told["held"][0]["id"]
    for role in (Role.VIEWER, Role.REVIEWER):
        assert page.visitor(role).ask("POST", "/api/events/acknowledge", {"event": event}).status == 403
    operator = page.visitor(Role.OPERATOR)
    assert operator.ask("POST", "/api/events/acknowledge", {"event": event}).json == {"acknowledged": 1}
    until(lambda: page.visitor().first_news()["held"] == [])
    assert [(each["by"], each["ended"] is not None) for each in events(anybody)] == [("operator", True)]
    assert events(anybody, "waiting=1") == []
    assert operator.ask("POST", "/api/events/acknowledge", {"event": 0}).json == {"acknowledged": 0}


@pytest.mark.parametrize("body", [{}, {"event": -1}, {"event": "1"}, {"event": True}, {"event": 1 << 63}, []])
def test_an_acknowledgement_that_makes_no_sense_is_refused(page: Page, body: object) -> None:
    assert page.visitor(Role.OPERATOR).ask("POST", "/api/events/acknowledge", body).status == 400


@pytest.mark.parametrize("query", ["code=nothing", "before=x", "since=2026-01-01", "before=99999999999999999999"])
def test_a_filter_that_makes_no_sense_is_refused(page: Page, query: str) -> None:
    assert page.visitor().ask("GET", f"/api/events?{query}").status == 400


def test_events_can_be_saved_for_a_spreadsheet_and_run_nothing_there(page: Page) -> None:
    page.conditions.set(ErrorCode.CAMERA_LOST, "=cmd|'/c calc'!A1", "+1")
    anybody = page.visitor()
    until(lambda: events(anybody))
    answer = anybody.ask("GET", "/api/events.csv?code=camera_lost")
    assert answer.headers["content-disposition"] == 'attachment; filename="events.csv"'
    head, row = csv.reader(io.StringIO(answer.body.decode("utf-8-sig")))
    assert head[:5] == ["code", "subject", "why", "begun", "ended"]
    assert row[:3] == ["camera_lost", "'=cmd|'/c calc'!A1", "'+1"]


def test_an_operator_begins_a_batch_and_sets_the_counters_back(page: Page) -> None:
    operator = page.visitor(Role.OPERATOR)
    assert operator.ask("POST", "/api/counters", {"kind": "batch", "name": "Größe 4 / 批号"}).status == 200
    assert operator.ask("POST", "/api/counters", {"kind": "reset", "name": ""}).status == 200
    counts = until(lambda: (found := operator.first_news()["counts"]).keys() >= {"shift", "batch", "reset"} and found)
    assert (counts["batch"]["name"], counts["batch"]["by"]) == ("Größe 4 / 批号", "operator")
    assert counts["batch"]["parts"] == {"accept": 0, "reject": 0, "not_inspected": 0}
    assert page.visitor(Role.REVIEWER).ask("POST", "/api/counters", {"kind": "reset", "name": ""}).status == 403


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "batch", "name": ""},
        {"kind": "batch", "name": " "},
        {"kind": "batch", "name": "x" * 65},
        {"kind": "shift", "name": "a"},
        {"kind": "batch"},
        b'{"kind": "batch", "name": "\\ud800"}',
    ],
)
def test_a_batch_without_a_proper_name_is_refused(page: Page, body: object) -> None:
    assert page.visitor(Role.OPERATOR).ask("POST", "/api/counters", body).status == 400


def test_what_people_did_is_written_down_and_told(page: Page) -> None:
    page.visitor(Role.REVIEWER).ask("POST", "/api/parts/2/label", {"view": "", "label": "good", "class": ""})
    page.visitor(Role.OPERATOR).ask("POST", "/api/counters", {"kind": "batch", "name": "17"})
    kept = page.kept()
    assert [(each.who, each.what, each.subject, each.after) for each in kept] == [
        ("page:reviewer", "label", "part 2", "good"),
        ("page:operator", "counters", "batch", "17"),
    ]
    assert page.visitor().ask("GET", "/api/actions").json == {"actions": []}


def test_an_operator_changes_the_product_and_only_an_admin_switches_inspection_off(page: Page) -> None:
    operator = page.visitor(Role.OPERATOR)
    assert operator.ask("POST", "/api/command", {"name": "select_recipe", "recipe": 2}).json == {"recipe": 2}
    assert operator.ask("POST", "/api/command", {"name": "reset"}).status == 200
    assert operator.ask("POST", "/api/command", {"name": "disable"}).status == 403
    assert page.visitor(Role.ADMIN).ask("POST", "/api/command", {"name": "disable"}).status == 200
    told = operator.ask("GET", "/api/now").json
    assert told["product"]["id"] == 2


def test_a_full_queue_or_a_disk_that_hangs_is_said_and_holds_up_nobody(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writes, "_ANSWER_S", 0.3)
    free = threading.Event()

    def hang(_: LogbookWriter) -> None:
        free.wait(20)

    page.plant.write(Errand(hang, lambda _: None))
    until(lambda: page.plant.write(Errand(lambda _: None, lambda _: None)) is None)
    operator = page.visitor(Role.OPERATOR)
    late = operator.ask("POST", "/api/counters", {"kind": "reset", "name": ""})
    assert (late.status, late.json["error"][:22]) == (504, "the disk did not answe")
    while page.plant.write(Errand(lambda _: None, lambda _: None)) is None:
        pass
    assert operator.ask("POST", "/api/counters", {"kind": "reset", "name": ""}).status == 503
    assert operator.ask("GET", "/api/now").status == 200
    free.set()


@pytest.mark.parametrize(("idle_s", "way_s"), [(1, 2), (60, 2), (60, 45), (100, 45)])
def test_what_is_shown_is_old_once_the_belt_must_have_brought_another_part(idle_s: float, way_s: float) -> None:
    now = time.monotonic_ns()
    last = verdict(1, decided_ns=now - int(idle_s * 1e9))
    last = replace(last, due_ns=last.part.announced_ns + int(way_s * 1e9))
    told = idle_now([last])
    assert told["old"] is ((idle_s, way_s) in [(60, 2), (100, 45)])
    assert told["idle_s"] >= idle_s
    assert idle_now([]) == {"idle_s": None, "old": False}


def test_rejects_in_a_row_end_with_an_accepted_part_and_not_with_one_that_nobody_looked_at() -> None:
    kinds = (Decision.REJECT, Decision.ACCEPT, Decision.REJECT, Decision.NOT_INSPECTED, Decision.REJECT)
    assert rejects_in_a_row([verdict(seq, kind) for seq, kind in enumerate(kinds, 1)]) == 2


def test_each_product_says_what_becomes_of_parts_that_are_not_inspected(page: Page) -> None:
    told = page.visitor().ask("GET", "/api/station").json
    assert {each["on_not_inspected"] for each in told["recipes"]} == {"reject"}


def test_the_live_page_names_product_counts_and_the_last_reject(page: Page) -> None:
    told = page.visitor().first_news()
    assert told["product"] == {"id": 1, "name": page.plant.recipe.name}
    assert told["counts"]["shift"]["parts"] == {"accept": 1, "reject": 1, "not_inspected": 0}
    assert told["figures"]["rejects_in_a_row"] == 1
    assert (told["reject"]["part"], told["reject"]["classes"]) == (2, ["defect"])
    assert told["reject"]["jpeg"].startswith("/9j/")
    assert not told["figures"]["old"]


def test_a_part_says_what_comes_before_and_after_and_whether_its_limits_still_hold(page: Page) -> None:
    story = page.visitor().ask("GET", "/api/parts/2").json
    assert (story["before"], story["after"]) == (1, None)
    assert (story["limits"], story["why"]) == (None, []), "it was judged by another recipe"
    assert page.visitor().ask("GET", "/api/example?recipe=1&camera=cam1").json == {"part": None}
    assert page.visitor().ask("GET", "/api/example?recipe=x").status == 400


def test_trends_tell_rates_classes_places_and_what_people_found(page: Page) -> None:
    anybody = page.visitor()
    trends = anybody.ask("GET", "/api/trends").json
    (product,) = trends["products"]
    assert (product["accept"], product["reject"], product["intervals"][0]["centre"]) == (1, 1, 0.5)
    assert trends["classes"] == [{"name": "defect", "parts": 1}]
    places = anybody.ask("GET", "/api/places").json
    assert [(cell["camera"], cell["class"], cell["n"]) for cell in places["cells"]] == [("cam1", "defect", 1)]
    assert places["views"]["cam2"] is None
    page.visitor(Role.REVIEWER).ask("POST", "/api/parts/2/label", {"view": "", "label": "good", "class": ""})
    (quality,) = anybody.ask("GET", "/api/quality").json["quality"]
    assert (quality["judged"], quality["escapes"], quality["false_rejects"]) == (1, 0, 1)
    assert b"false_rejects" in anybody.ask("GET", "/api/quality.csv").body
    assert anybody.ask("GET", "/api/trends.csv").body.count(b"\r\n") == 2


@pytest.mark.parametrize(
    "query",
    [
        "since=2026-01-01T00:00:00Z&until=2027-01-01T00:00:00Z",
        "since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z",
        "since=yesterday",
        "recipe=-1",
        "since=0001-01-01T00:00:00%2B10:00",
    ],
)
def test_a_time_that_makes_no_sense_is_refused(page: Page, query: str) -> None:
    assert page.visitor().ask("GET", f"/api/trends?{query}").status == 400


def test_the_logbook_survives_the_page(tmp_path: Path) -> None:
    with serving(plant_of(tmp_path)) as page:
        a_short_fault(page)
        path = logbook_path(page.plant.station.state_dir)
    file = LogbookWriter(path, 2)
    assert file.waiting(9)[1] == 1
    file.close()
