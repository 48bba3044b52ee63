"""Each other kind of line, from its photo-eye to its gate, with the real daemon and real protocols in between."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from edge_inspector.simulation.demo import Demo, run_demo
from edge_inspector.simulation.lines.kinds import KINDS
from edge_inspector.simulation.lines.lanes import run_lanes
from edge_inspector.simulation.options import DemoOptions
from edge_inspector.simulation.report import read_ledger

pytestmark = pytest.mark.system


@pytest.mark.parametrize("kind", KINDS)
def test_every_part_of_the_line_has_one_verdict_and_the_gate_hits_no_wrong_part(tmp_path: Path, kind: str) -> None:
    report = tmp_path / "report.json"
    assert run_demo(DemoOptions(line=kind, parts=12, keep=tmp_path, report=report)) == 0
    told = json.loads(report.read_text())
    assert told["parts_triggered"] == 12
    assert (told["unaccounted"], told["duplicates"], told["gate_wrong_part"], told["escapes"]) == (0, 0, 0, 0)
    assert told["position_bound_broken"] == 0
    assert told["gate_bound_broken"] == 0
    assert told["accept"] + told["reject"] > 0, "parts are really inspected"
    ledger = read_ledger(tmp_path / "ledger.jsonl")
    if kind == "plc-camera":
        fired = Counter(event["output"] for event in ledger if event["kind"] == "camera")
        assert fired == dict.fromkeys(range(1, 9), 12), "each output fires for each part"
    if kind == "changeover":
        assert {event["recipe_id"] for event in ledger if event["kind"] == "recipe"} >= {1, 2}
    if kind == "web":
        assert (told["marks_missed"], told["marks_twice"], told["marks_false"]) == (0, 0, 0)
        assert told["marks"] > 0
    if kind == "grades":
        assert (told["sorted_wrong_part"], told["sorted_false"]) == (0, 0)
        assert 0 < sum(told["sorted"].values()) <= told["accept"], "one that was told too late is rejected"


def test_two_lanes_share_a_plc_and_keep_their_own_parts(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    assert run_lanes(DemoOptions(line="lanes", parts=8, keep=tmp_path, report=report)) == 0
    told = json.loads(report.read_text())
    assert [lane["parts_triggered"] for lane in told["lanes"]] == [8, 8]
    assert (told["unaccounted"], told["duplicates"], told["gate_wrong_part"], told["escapes"]) == (0, 0, 0, 0)
    assert all(lane["accept"] + lane["reject"] > 0 for lane in told["lanes"])
    boots = [{event["boot"] for event in read_ledger(tmp_path / f"lane-{lane}" / "ledger.jsonl")} for lane in (1, 2)]
    assert boots[0].isdisjoint(boots[1]), "each has its own instance of the function block"


def test_the_station_of_one_lane_is_killed_and_the_other_lane_goes_on(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    run_lanes(DemoOptions(line="lanes", parts=20, speed_mm_s=500, kills=("daemon@1",), keep=tmp_path, report=report))
    first, second = json.loads(report.read_text())["lanes"]
    assert (first["duplicates"], first["gate_wrong_part"], first["escapes"]) == (0, 0, 0)
    assert (second["unaccounted"], second["duplicates"], second["gate_wrong_part"]) == (0, 0, 0)
    assert "daemon_restarted" not in second["not_inspected_reasons"]
    silent = [event for event in read_ledger(tmp_path / "lane-1" / "ledger.jsonl") if event["kind"] == "edge"]
    assert any(not event["alive"] for event in silent), "the PLC noticed"
    assert (tmp_path / "lane-2" / "daemon.log").read_text().count(", boot ") == 1, "it began once"


@pytest.mark.parametrize("what", ["plc", "daemon", "broker"])
def test_a_process_that_is_killed_costs_no_verdict_and_no_wrong_part(tmp_path: Path, what: str) -> None:
    """The gateway, the station or the broker of a line that has nothing but MQTT."""
    report = tmp_path / "report.json"
    options = DemoOptions(line="mqtt", parts=60, kills=(f"{what}@3",), keep=tmp_path, report=report)
    run_demo(options)
    told = json.loads(report.read_text())
    assert (told["duplicates"], told["gate_wrong_part"], told["escapes"]) == (0, 0, 0)
    assert told["gate_misses"] == 0


def test_a_part_with_a_picture_too_few_or_too_many_is_not_accepted(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    faults = "skip_every = 4, double_every = 3"
    options = DemoOptions(line="shots", parts=24, speed_mm_s=1000, camera_faults=faults, keep=tmp_path, report=report)
    assert run_demo(options) == 0
    told = json.loads(report.read_text())
    assert (told["unaccounted"], told["escapes"], told["late"]) == (0, 0, 0)
    # Parts 3, 4, 6, 8, 9, 12, ... of 24 have one too few or too many. Those with a defect may be rejected for it.
    spoiled = sum(part % 3 == 0 or part % 4 == 0 for part in range(1, 25))
    reasons = told["not_inspected_reasons"]
    starved = sum(reasons.get(reason, 0) for reason in ("late", "position_unknown"))  # on a machine that is too busy
    # A picture that comes twice is the same picture twice, as from a camera that is frozen.
    assert set(reasons) <= {"frame_missing", "bad_image", "late", "position_unknown"}
    assert spoiled - told["reject"] - starved <= reasons["frame_missing"] + reasons.get("bad_image", 0) <= spoiled


@pytest.mark.parametrize("kind", ["mqtt-timed", "camera-timed"])
def test_a_belt_without_an_encoder_that_stops_lets_no_part_pass_as_good_in_a_wrong_place(
    tmp_path: Path, kind: str
) -> None:
    demo = Demo(DemoOptions(line=kind, parts=40), tmp_path)
    demo.line = replace(demo.line, pauses=((4.0, 1.5),))
    with demo.running():
        demo.play()
        told = demo.finish()
    assert (told["unaccounted"], told["duplicates"], told["gate_wrong_part"], told["escapes"]) == (0, 0, 0, 0)
    assert told["gate_bound_broken"] == 0
    reasons = told["not_inspected_reasons"]
    assert isinstance(reasons, dict)
    assert reasons["position_unknown"] > 4, "those at the start, and those that stood between photo-eye and gate"
    assert int(str(told["accept"])) > 10, "it goes on afterwards"
