"""A report of a web counts what lies where, also when the station began anew in the middle of it."""

from typing import Any

import pytest

from edge_inspector.simulation.line import Line
from edge_inspector.simulation.web import web_parts
from edge_inspector.simulation.web_account import web_account

S = 1_000_000_000
PIECES = 24
WEB = Line(
    seed=1,
    start_ns=0,
    speed_mm_s=1000.0,
    pitch_mm=500.0,
    part_length_mm=450.0,
    parts=PIECES,
    lanes=2,
    gate_mm=4000.0,
    counts_per_mm=10.0,
    web=True,
)


def piece(seq: int, from_mm: float, *, run: int = 9, **more: Any) -> dict[str, Any]:
    """A verdict on half a metre of web, as a station without a flaw gives it."""
    shown = web_parts(1, 500.0, PIECES).shows(from_mm)
    count = WEB.counter.read(WEB.counter_zero(1)) + round((from_mm + WEB.eye_mm(0)) * 10)
    return {
        "boot_id": run,
        "seq": seq,
        "plc_boot_id": run,
        "part_seq": seq,
        "reason": "none",
        "decision": "REJECT" if shown else "ACCEPT",
        "missing_views": [],
        "rejects": shown,
        "trigger_count": WEB.counter.shown(count),
        "stretch": {"from_m": 0.0, "to_m": 0.5, "marks": []},
    } | more


def pieces(first_mm: float = 0.0, last_mm: float = 500.0 * PIECES, *, run: int = 9) -> list[dict[str, Any]]:
    return [piece(at + 1, first_mm + at * 500, run=run) for at in range(int((last_mm - first_mm) / 500))]


def ready(at_s: float, *, is_ready: bool = True) -> dict[str, Any]:
    return {"kind": "ready", "boot": 1, "at_ns": int(at_s * S), "ready": is_ready}


def passes_s(at_mm: float) -> float:
    """When this place of the web is at the photo-eye."""
    return WEB.belt.time_at(WEB.eye_mm(0) + at_mm) / S


def ledger(bodies: list[dict[str, Any]], *more: dict[str, Any], late: int = 0) -> list[dict[str, Any]]:
    """The line's: each piece met its photo-eye, and each verdict was heard before its piece was at the gate."""
    events = [ready(0.001), *more]
    events += [{"kind": "trigger", "boot": 9, "part_seq": at + 1, "part": at} for at in range(PIECES)]
    for nth, body in enumerate(bodies):
        told = [body["boot_id"], body["seq"]]
        events.append({"kind": "verdict", "boot": 9, "told": told, "scan_ns": 1000 * S if nth < late else S})
    return events


def account(bodies: list[dict[str, Any]], *more: dict[str, Any], late: int = 0) -> dict[str, Any]:
    return web_account(WEB, ledger(bodies, *more, late=late), bodies)


def test_a_web_without_a_flaw_is_accounted_for_as_parts_are() -> None:
    found = account(pieces())
    assert found["verdicts"] == found["accept"] + found["reject"] == PIECES
    assert found["reject"] == found["truth_defective"] > 2
    names = ("unaccounted", "unaccounted_mqtt", "unaccounted_plc", "duplicates", "late", "escapes", "false_rejects")
    assert [found[name] for name in names] == [0] * len(names)
    assert (found["web_lost_mm"], found["web_passed_alone_mm"]) == (0, 0)


def test_a_station_that_began_anew_begins_its_pieces_elsewhere_and_nothing_is_unaccounted_for() -> None:
    gone, back = passes_s(6000), passes_s(8230)
    bodies = [*pieces(0, 6000), *pieces(8230, 8230 + 9 * 500, run=10)]
    found = account(bodies, ready(gone + 0.4, is_ready=False), ready(back))
    assert (found["unaccounted"], found["duplicates"], found["web_lost_mm"]) == (0, 0, 0)
    assert found["web_passed_alone_mm"] == pytest.approx(2230, abs=20), "this is told, and not hidden"
    assert (found["escapes"], found["false_rejects"]) == (0, 0), "defects are looked for where the pieces lie"


def test_web_that_nobody_told_about_while_the_line_counted_on_the_station_is_lost() -> None:
    found = account([body for body in pieces() if body["seq"] not in (9, 10, 20)])
    assert (found["unaccounted"], found["web_passed_alone_mm"]) == (3, 0)
    assert found["web_lost_mm"] == pytest.approx(1500, abs=60)


def test_a_doubt_that_came_after_the_web_had_passed_the_gate_is_no_excuse() -> None:
    bodies = [body for body in pieces() if body["seq"] != 9]
    past_s = passes_s(4500 + WEB.gate_mm) + 1.0
    found = account(bodies, ready(past_s, is_ready=False))
    assert (found["unaccounted"], found["web_passed_alone_mm"]) == (1, 0)


def test_verdicts_that_came_late_or_twice_or_wrong_are_counted() -> None:
    assert account(pieces(), late=2)["late"] == 2
    second = [*pieces(), piece(99, 1000.0, part_seq=3)]
    assert account(second)["duplicates"] == 1
    bodies = pieces()
    wrong = {"ACCEPT": "REJECT", "REJECT": "ACCEPT"}
    turned = [body | {"decision": wrong[body["decision"]]} for body in bodies]
    found = account(turned)
    assert found["escapes"] == found["truth_defective"]
    assert found["rejected_for_edges"] > 0, "part of a defect is seen, too little of it to be sure"
    assert found["false_rejects"] + found["rejected_for_edges"] == PIECES - found["truth_defective"]


def test_a_verdict_that_the_gate_never_heard_is_missing_there() -> None:
    bodies = pieces()
    events = [event for event in ledger(bodies) if event.get("told") != [9, 5]]
    found = web_account(WEB, events, bodies)
    assert (found["unaccounted"], found["unaccounted_plc"]) == (0, 1)
