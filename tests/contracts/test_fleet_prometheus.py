"""The fleet page with a real Prometheus: stations are found by its targets, and their state comes from metrics."""

import json
import shutil
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from support.mqtt_peers import wait_until
from support.prometheus_server import hall_of, plant_of, prometheus, until
from support.simulated_stations import SimulatedStation, SimulatedStations

from edge_inspector.cli import main
from edge_inspector.codes import ErrorCode, StationState
from edge_inspector.fleet.prometheus import Watched
from edge_inspector.fleet.roster import Roster
from edge_inspector.fleet.serve import asker_of, look_once
from edge_inspector.fleet.tables import PrometheusTable, read_fleet
from edge_inspector.fleet.view import Row, rows_of

PATIENCE_S = 60.0
"""Wide: Prometheus scrapes once a second."""
needs_prometheus = pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed")


def watched(url: str, **more: Any) -> tuple[Watched, Roster]:
    roster, file = Roster([]), read_fleet(None, url)
    table = PrometheusTable(**{"url": url} | more)
    return Watched(roster, table, file.poll, asker_of(file.poll)), roster


def shown(watching: Watched, roster: Roster) -> dict[str, Row]:
    watching.look()
    return {row.name: row for row in rows_of(roster.sightings(), 0)}


@pytest.mark.system
@needs_prometheus
def test_stations_are_found_by_targets_and_a_plant_sees_those_of_its_halls(tmp_path: Path) -> None:
    reasons = [(ErrorCode.CAMERA_LOST, "top", "no frame")]
    stations = [
        SimulatedStation("line-1", parts=(90, 10, 0)),
        SimulatedStation("line-2", state=StationState.DEGRADED, reasons=reasons),
        SimulatedStation("line-3", answers=lambda _: b""),
    ]
    with ExitStack() as stack:
        server = stack.enter_context(SimulatedStations(*stations))
        hall = stack.enter_context(prometheus(tmp_path / "hall", hall_of(server)))
        plant = stack.enter_context(prometheus(tmp_path / "plant", plant_of(hall)))
        until(hall, 'edge_inspector_station_state{instance="line-2", state="degraded"} == 1')
        until(hall, 'up{instance="line-3"} == 0')
        watching, roster = watched(f"http://127.0.0.1:{hall}")
        wait_until(lambda: shown(watching, roster)["line-1"].state == "ready", PATIENCE_S)
        rows = shown(watching, roster)
        assert list(rows) == ["line-3", "line-2", "line-1"], "the one that needs help most comes first"
        assert (rows["line-3"].state, rows["line-3"].needs_help) == ("lost", True)
        assert rows["line-1"].page == server.at("line-1"), "the page is where Prometheus asks for metrics"
        assert rows["line-2"].reasons[0].code == "camera_lost"
        assert rows["line-2"].reasons[0].subject == "top"
        asked = stations[0].asked
        until(plant, 'instance:edge_inspector_state:urgency{instance="line-2"} == 2')
        above, its_roster = watched(f"http://127.0.0.1:{plant}")
        wait_until(lambda: "line-3" in shown(above, its_roster), PATIENCE_S)
        rows = shown(above, its_roster)
        assert {name: row.state for name, row in rows.items()} == {
            "line-1": "ready",
            "line-2": "degraded",
            "line-3": "lost",
        }
        assert {row.site for row in rows.values()} == {"hall-1"}
        assert rows["line-2"].reasons[0].code == "camera_lost"
        stations[0].answers = lambda _: b""
        until(hall, 'up{instance="line-1"} == 0')
        for _ in range(2):
            rows = shown(watching, roster)
        assert rows["line-1"].state == "lost"
        assert stations[0].asked > asked, "by Prometheus"


class Answers:
    """A Prometheus that says what a test wants."""

    def __init__(self) -> None:
        self.queries: dict[str, Sequence[tuple[dict[str, str], str]]] = {}
        self.targets: list[dict[str, Any]] = []
        self.body: bytes | None = None
        self.asked: list[str] = []
        self.tokens: list[str | None] = []

    def to(self, path: str) -> bytes:
        if self.body is not None:
            return self.body
        if path.startswith("/api/v1/targets"):
            return json.dumps({"status": "success", "data": {"activeTargets": self.targets}}).encode()
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(path).query)["query"][0]
        self.asked.append(query)
        found = next((result for piece, result in self.queries.items() if query.startswith(piece)), ())
        result = [{"metric": labels, "value": [1.0, value]} for labels, value in found]
        return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()


@contextmanager
def answering() -> Iterator[tuple[Answers, str]]:
    answers = Answers()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = answers.to(self.path)
            answers.tokens.append(self.headers.get("Authorization"))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield answers, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


LABELS = {"job": "edge-inspector", "instance": "a:1"}


def ready(instance: str) -> dict[str, Sequence[tuple[dict[str, str], str]]]:
    return {
        "up": [({"instance": instance}, "1")],
        "edge_inspector_station_state": [({"instance": instance, "state": "ready"}, "1")],
        "edge_inspector_station_info": [({"instance": instance, "station": "press", "version": "0.1"}, "1")],
    }


@pytest.mark.parametrize(("step", "shown_as"), [("shadow", ("mean-1.1", "shadow")), ("kept", None)])
def test_a_roll_out_that_is_under_way_is_seen_without_asking_the_station(
    step: str, shown_as: tuple[str, str] | None
) -> None:
    with answering() as (answers, url):
        labels = LABELS | {"package": "mean-1.1", "step": step, "wanted": ""}
        answers.queries = ready("a:1") | {"edge_inspector_rollout_since_seconds": [(labels, "1.7e9")]}
        watching, roster = watched(url)
        (row,) = shown(watching, roster).values()
    assert row.state == "ready"
    assert (row.rollout and (row.rollout.package, row.rollout.step)) == shown_as


def test_a_prometheus_that_is_gone_makes_its_stations_lost_and_says_so() -> None:
    with answering() as (answers, url):
        answers.queries = ready("10.0.0.1:9108")
        watching, roster = watched(url)
        row = shown(watching, roster)["press"]
        assert (row.state, row.page, row.version) == ("ready", "http://10.0.0.1:9108", "0.1")
    for _ in range(2):
        row = shown(watching, roster)["press"]
    assert row.state == "lost"
    assert row.needs_help
    assert roster.prometheus_trouble.startswith(url)


def test_a_station_that_is_no_target_any_more_is_not_shown_any_more() -> None:
    with answering() as (answers, url):
        answers.queries = ready("10.0.0.1:9108")
        watching, roster = watched(url)
        assert shown(watching, roster)
        answers.queries = {}
        assert not shown(watching, roster)
        assert not roster.prometheus_trouble


def test_parts_of_the_last_minutes_are_those_that_prometheus_has_counted() -> None:
    with answering() as (answers, url):
        answers.queries = ready("a:1") | {
            "sum": [
                ({"instance": "a:1", "decision": "accept"}, "89.6"),
                ({"instance": "a:1", "decision": "reject"}, "10.4"),
            ]
        }
        watching, roster = watched(url)
        for _ in range(3):
            row = shown(watching, roster)["press"]
        assert row.recent is not None
        counts, over_s = row.recent
        assert (counts.parts, counts.rejected, counts.not_inspected, over_s) == (100, 10, 0, 600.0)


@pytest.mark.parametrize(
    "change",
    [
        lambda answers: setattr(answers, "body", b"<html>"),
        lambda answers: setattr(answers, "body", b'{"status": "error", "error": "x"}'),
        lambda answers: setattr(answers, "body", b"[" * 100_000),
        lambda answers: answers.queries.update(edge_inspector_station_state=[(LABELS | {"state": "Z\x1b"}, "1")]),
        lambda answers: answers.queries.update(edge_inspector_condition_active=[(LABELS | {"code": "É"}, "1")]),
        lambda answers: answers.queries.update(sum=[({"instance": "a:1", "decision": "accept"}, "many")]),
        lambda answers: answers.queries.update(sum=[({"instance": "a:1", "decision": "accept"}, "NaN")]),
        lambda answers: answers.targets.append({"labels": LABELS, "scrapeUrl": "http://[x"}),
        lambda answers: answers.targets.append({"labels": LABELS, "scrapeUrl": "gopher://x/metrics"}),
    ],
    ids=["html", "error", "brackets", "state", "code", "word for a number", "NaN", "broken address", "odd address"],
)  # fmt: skip
def test_an_odd_answer_ends_nothing(change: Callable[[Answers], None]) -> None:
    with answering() as (answers, url):
        answers.queries = ready("a:1")
        change(answers)
        watching, roster = watched(url)
        for row in shown(watching, roster).values():
            assert "\x1b" not in row.state


def test_a_listed_station_is_asked_and_shown_once() -> None:
    with answering() as (answers, url), SimulatedStations(SimulatedStation("line-1")) as server:
        address = f"127.0.0.1:{server.port}"
        answers.queries = ready("line-1")
        labels = {"job": "edge-inspector", "instance": "line-1"}
        answers.targets = [{"labels": labels, "scrapeUrl": f"http://{address}/line-1/metrics", "health": "up"}]
        file = read_fleet(None, url)
        text = {"address": server.at("line-1"), "name": "mine"}
        listed = file.model_copy(update={"stations": [type(file).model_validate({"stations": [text]}).stations[0]]})
        (row,) = rows_of(look_once(listed).sightings(), 0)
        assert (row.name, row.state) == ("mine", "ready")


def test_the_command_needs_a_file_or_a_prometheus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fleet"]) == 2
    assert "name the fleet file, or type --prometheus URL" in capsys.readouterr().err
    assert main(["fleet", "--prometheus", "nonsense"]) == 2
    assert "prometheus.url: must be the address" in capsys.readouterr().err
    (tmp_path / "token").write_text("0123456789abcdef\n")
    (tmp_path / "fleet.toml").write_text('[prometheus]\nurl = "http://a:1"\ntoken_file = "token"\n')
    assert main(["fleet", str(tmp_path / "fleet.toml")]) == 2
    assert "prometheus.token_file: others on the network could read the token" in capsys.readouterr().err


def test_once_prints_what_prometheus_knows_and_its_absence_is_no_good_news(capsys: pytest.CaptureFixture[str]) -> None:
    with answering() as (answers, url):
        answers.queries = ready("10.0.0.1:9108")
        assert main(["fleet", "--prometheus", url, "--once"]) == 0
        assert "ready     press  http://10.0.0.1:9108" in capsys.readouterr().out
    assert main(["fleet", "--prometheus", url, "--once"]) == 1
    assert "the stations that it watches are missing" in capsys.readouterr().out
