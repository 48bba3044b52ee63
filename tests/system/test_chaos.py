"""A short form of the campaign (`make chaos`): a few faults on one running line, every part accounted for."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.chaos.__main__ import main
from benchmarks.chaos.account import Account, account_for, known_ms
from benchmarks.chaos.faults import DRAWS, draw_fault
from benchmarks.chaos.kinds import by_part, draws_of, is_unannounced
from benchmarks.chaos.lanes import both
from benchmarks.chaos.web import account_for_web
from edge_inspector.simulation.broker import find_mosquitto
from edge_inspector.simulation.line import Line
from edge_inspector.simulation.web import web_parts

S = 1_000_000_000


@pytest.mark.system
def test_a_few_faults_on_a_running_line_lose_nothing(tmp_path: Path) -> None:
    if find_mosquitto() is None:
        pytest.skip("mosquitto is not installed: the embedded broker promises nothing")
    code = main(["--runs", "5", "--seed", "2", "--minutes", "1", "--report", str(tmp_path / "report.json")])
    report = json.loads((tmp_path / "report.json").read_text())
    assert code == 0, report
    assert len(report["runs"]) >= 3
    assert sum(run["parts"] for run in report["runs"]) > 20
    assert all(run["lost"] == run["lost_mqtt"] == run["second"] == run["wrong_part"] == 0 for run in report["runs"])


@pytest.mark.system
def test_faults_on_a_line_without_our_blocks_lose_nothing(tmp_path: Path) -> None:
    if find_mosquitto() is None:
        pytest.skip("mosquitto is not installed: the embedded broker promises nothing")
    report = tmp_path / "report.json"
    assert main(["--line", "s7-simple", "--runs", "1", "--minutes", "1", "--report", str(report)]) == 0
    (run,) = json.loads(report.read_text())["runs"]
    assert (run["line"], run["violated"]) == ("s7-simple", False)
    assert run["parts"] > 0


def test_each_kind_of_line_has_the_faults_of_what_it_has() -> None:
    def names(kind: str) -> set[str]:
        draws = draws_of(kind)
        return {draw_fault(1, run, draws).name for run in range(len(draws))}

    assert len(names("mqtt")) == 14
    assert "camera unplugged" in names("mqtt")
    assert {name for name in names("mqtt") if name.startswith("plc ")} == {"plc killed", "plc SIGSTOP"}
    for kind in ("s7-simple", "modbus-simple", "camera-output", "s7commplus"):
        assert names(kind) - names("mqtt") == {
            "plc delayed",
            "plc truncated, reset",
            "plc black hole, then late",
            "plc black hole, half open",
            "plc cut",
        }


def test_the_faults_of_a_lane_are_those_of_its_station_its_broker_and_the_plc_of_both() -> None:
    draws = draws_of("lanes")
    names = {draw_fault(1, run, draws).name for run in range(len(draws))}
    assert len(names) == len(draws) == 18
    assert {"daemon killed", "plc killed", "plc cut", "broker cut"} <= names
    assert "camera unplugged" not in names


def test_a_broken_promise_on_the_lane_beside_counts_as_one_on_the_first() -> None:
    own = Account(parts=7, late=1, known_ms=12.0, faults=["the daemon ended"])
    found = both(own, Account(parts=5, second=1, known_ms=99.0))
    assert (found.parts, found.late, found.second, found.known_ms) == (12, 1, 1, 12.0)
    assert found.faults == ["the daemon ended"]
    assert found.violated
    assert not both(Account(parts=1), Account(parts=1)).violated


@pytest.mark.system
def test_a_fault_on_one_of_two_lanes_breaks_no_promise_on_either(tmp_path: Path) -> None:
    if find_mosquitto() is None:
        pytest.skip("mosquitto is not installed: the embedded broker promises nothing")
    report = tmp_path / "report.json"
    assert main(["--line", "lanes", "--runs", "1", "--minutes", "1", "--report", str(report)]) == 0
    (run,) = json.loads(report.read_text())["runs"]
    assert (run["line"], run["violated"]) == ("lanes", False)
    assert run["parts"] > 0


def test_parts_keep_their_own_number_when_the_station_begins_to_number_anew() -> None:
    """A camera announces: the station numbered parts 7 and 8 as 1 and 2 after its restart."""
    events = [
        {"kind": "trigger", "boot": 5, "part_seq": 8, "part": 7, "at_ns": S},
        {"kind": "trigger", "boot": 5, "part_seq": 9, "part": 8, "at_ns": 2 * S},
        {"kind": "verdict", "boot": 5, "part_seq": 8, "part": 7, "told": [6, 1], "how": "in time", "rejects": False},
        {"kind": "verdict", "boot": 5, "part_seq": 99, "part": None, "told": [6, 9], "how": "late", "rejects": False},
        {"kind": "gate", "boot": 5, "part_seq": 8, "part": 7, "fired": False, "why": "verdict", "at_ns": 3 * S},
    ]
    messages = [
        {"plc_boot_id": 6, "part_seq": 1, "boot_id": 6, "seq": 1},
        {"plc_boot_id": 6, "part_seq": 2, "boot_id": 6, "seq": 2},
        {"plc_boot_id": 4, "part_seq": 8, "boot_id": 4, "seq": 1},
    ]
    named, told_ = by_part(events, messages)
    assert [event["part_seq"] for event in named] == [7, 8, 7, 7], "the verdict on a part that nobody knows is left out"
    assert [body["part_seq"] for body in told_] == [7, 8], "nobody knows which part another run meant"


def test_parts_are_found_by_the_line_s_number_and_by_the_name_of_a_call() -> None:
    events = [{"kind": "trigger", "boot": 3, "part_seq": 1, "part": 40, "at_ns": S}]
    messages = [
        {"plc_boot_id": 3, "part_seq": 1, "boot_id": 6, "seq": 1},
        {"plc_boot_id": 6, "part_seq": 9, "boot_id": 6, "seq": 2, "part_id": "part-41"},
    ]
    assert [body["part_seq"] for body in by_part(events, messages)[1]] == [40, 41]


def test_a_seed_draws_the_same_faults_again_and_each_kind_once_a_round() -> None:
    names = [draw_fault(3, run).name for run in range(len(DRAWS))]
    assert len(set(names)) == len(DRAWS) == 25
    assert names == [draw_fault(3, run).name for run in range(len(DRAWS))]
    assert draw_fault(3, 5).lasts_s == draw_fault(3, 5).lasts_s
    assert names != [draw_fault(4, run).name for run in range(len(DRAWS))]


def trigger(part: int, at_s: float) -> dict[str, object]:
    return {"kind": "trigger", "boot": 1, "part_seq": part, "part": part, "at_ns": int(at_s * S)}


def gate(part: int, at_s: float, why: str = "verdict", **more: object) -> dict[str, object]:
    fields = {"fired": True, "hit": part} | more
    return {"kind": "gate", "boot": 1, "part_seq": part, "part": part, "why": why, "at_ns": int(at_s * S), **fields}


def verdict(part: int, how: str = "in time") -> dict[str, object]:
    return {"kind": "verdict", "boot": 1, "part_seq": part, "rejects": True, "how": how}


def ready(at_s: float, *, is_ready: bool) -> dict[str, object]:
    return {"kind": "ready", "boot": 1, "ready": is_ready, "at_ns": int(at_s * S)}


def edge(at_s: float, *, alive: bool) -> dict[str, object]:
    return {"kind": "edge", "boot": 1, "alive": alive, "at_ns": int(at_s * S)}


def read(newest: int) -> dict[str, object]:
    return {"kind": "read", "boot": 1, "trigger_seq": newest}


def told(part: int, seq: int) -> dict[str, object]:
    return {"plc_boot_id": 1, "part_seq": part, "boot_id": 9, "seq": seq}


READY = ready(0, is_ready=True)


@pytest.mark.parametrize(
    ("events", "messages", "what"),
    [
        ([trigger(1, 1), verdict(1), gate(1, 3)], [told(1, 1)], {}),
        ([trigger(1, 1), verdict(1), gate(1, 3)], [told(1, 1), told(1, 1)], {"repeats": 1}),
        ([trigger(1, 1), gate(1, 3, "no verdict")], [], {"lost": 1, "lost_mqtt": 1, "unwarned": 1}),
        ([trigger(1, 1), verdict(1), gate(1, 3)], [], {"lost_mqtt": 1}),
        ([trigger(1, 1), verdict(1), verdict(1, "duplicate"), gate(1, 3)], [told(1, 1)], {"second": 1}),
        ([trigger(1, 1), verdict(1), gate(1, 3)], [told(1, 1), told(1, 2)], {"second": 1}),
        ([trigger(1, 1), verdict(1), gate(1, 3, hit=2)], [told(1, 1)], {"wrong_part": 1}),
        ([trigger(1, 1), verdict(1), gate(1, 3, fired=False)], [told(1, 1)], {"missed": 1}),
        ([trigger(1, 1), verdict(1, "late"), gate(1, 3, "no verdict")], [told(1, 1)], {"unwarned": 1, "late": 1}),
        (
            [trigger(1, 1), ready(3.3, is_ready=False), verdict(1, "late"), gate(1, 3, "no verdict")],
            [told(1, 1)],
            {"late": 1},
        ),
        (
            [edge(0, alive=True), trigger(1, 1), read(1), edge(2, alive=False)]
            + [trigger(part, part) for part in range(2, 18)]
            + [edge(18, alive=True)],
            [],
            {"forgotten": 1},
        ),
        (
            [edge(0, alive=True), trigger(1, 1), read(1), edge(2, alive=False)]
            + [trigger(part, part) for part in range(2, 17)]
            + [edge(18, alive=True)],
            [],
            {"lost": 1, "lost_mqtt": 1},
        ),
        ([edge(0, alive=True), trigger(1, 1), {"kind": "boot", "boot": 2}], [], {"forgotten": 1}),
        ([edge(0, alive=True), trigger(1, 1), read(1), {"kind": "boot", "boot": 2}], [], {"lost": 1, "lost_mqtt": 1}),
    ],
)  # fmt: skip
def test_the_account_names_what_happened_to_a_part(
    events: list[dict[str, object]], messages: list[dict[str, object]], what: dict[str, int]
) -> None:
    found = account_for([READY, *events], messages, None, (0, 2 * S))
    counted = {
        name: getattr(found, name) for name in found.__slots__ if name not in ("parts", "known_ms", "faults", "unit")
    }
    counted.pop("rejected_by_plc")
    assert {name: count for name, count in counted.items() if count} == what
    assert found.violated == bool(set(what) - {"repeats", "late", "forgotten"})


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ([], {"lost": 1, "lost_mqtt": 1, "unwarned": 1}),
        ([ready(1.5, is_ready=False)], {"forgotten": 1}),
        ([{"kind": "boot", "boot": 2}, ready(3.5, is_ready=False)], {"forgotten": 1}),
        ([{"kind": "boot", "boot": 2}], {"forgotten": 1}),
    ],
)
def test_a_part_that_nobody_could_announce_is_not_lost_if_its_line_knew(
    more: list[dict[str, object]], what: dict[str, int]
) -> None:
    events = [READY, trigger(1, 1), *more, gate(1, 3, "no verdict")]
    found = account_for(events, [], None, (0, 2 * S), forgotten=is_unannounced)
    assert {name: getattr(found, name) for name in what} == what
    assert found.violated == ("lost" in what)


@pytest.mark.parametrize(
    ("readiness", "what"), [([], "wrong_part"), ([ready(3.2, is_ready=False), ready(4, is_ready=True)], "excused")]
)
def test_a_gate_that_the_station_switched_too_late_is_excused_if_it_said_so(
    readiness: list[dict[str, object]], what: str
) -> None:
    events = [READY, trigger(1, 1), verdict(1), gate(1, 3, hit=2), *readiness]
    assert getattr(account_for(events, [told(1, 1)], None, (0, 2 * S), switches=True), what) == 1
    assert account_for(events, [told(1, 1)], None, (0, 2 * S)).wrong_part == 1, "a PLC fires by itself"


def test_a_part_that_the_store_lacks_is_lost_there() -> None:
    events, messages = [READY, trigger(1, 1), verdict(1), gate(1, 3)], [told(1, 1)]
    assert account_for(events, messages, {(1, 1)}, (0, 2 * S)).lost_store == 0
    assert account_for(events, messages, set(), (0, 2 * S)).lost_store == 1
    assert not account_for(events, messages, set(), (0, 2 * S)).violated


def test_a_part_that_was_erased_from_the_store_breaks_a_promise() -> None:
    assert Account(erased=1).violated
    assert not Account().violated


def test_the_time_until_the_plc_knew_counts_from_the_fault() -> None:
    events = [READY, ready(1.4, is_ready=False), ready(2, is_ready=True)]
    assert known_ms(events, S, 3 * S) == pytest.approx(400)
    assert known_ms(events, int(1.5 * S), 3 * S) is None


WEB = Line(
    seed=1,
    start_ns=0,
    speed_mm_s=1000.0,
    pitch_mm=500.0,
    part_length_mm=450.0,
    parts=60,
    lanes=2,
    gate_mm=4000.0,
    counts_per_mm=10.0,
    web=True,
)
SEEN = 10 * S, 20 * S  # about 9.5 m of it
DRAWN = [each for each in web_parts(1, 500.0, 60).defects if each.from_mm > 10_000]


def piece(seq: int, from_mm: float, *, run: int = 9, decision: str = "", marks: bool = True, **more: Any) -> Any:
    """A verdict on half a metre of web, as a station without a flaw gives it."""
    shown = [
        each for each in web_parts(1, 500.0, 60).defects if from_mm - 60 < each.to_mm and each.from_mm < from_mm + 600
    ]
    decision = decision or ("REJECT" if shown else "ACCEPT")
    told_ = [
        {"from_m": each.from_mm / 1000, "to_m": each.to_mm / 1000, "along_m": each.along_mm / 1000}
        | {"number": web_parts(1, 500.0, 60).defects.index(each), "across_mm": each.across_mm, "error_mm": 0.5}
        for each in shown
        if marks and decision != "NOT_INSPECTED"
    ]
    count = WEB.counter.read(WEB.counter_zero(1)) + round((from_mm + WEB.eye_mm(0)) * 10)
    return {
        "boot_id": run,
        "seq": seq,
        "plc_boot_id": run,
        "part_seq": seq,
        "reason": "none",
        "decision": decision,
        "missing_views": [],
        "rejects": decision != "ACCEPT",
        "trigger_count": WEB.counter.shown(count),
        "stretch": {"from_m": from_mm / 1000, "to_m": (from_mm + 500) / 1000, "marks": told_},
    } | more


def pieces(first_mm: float = 0.0, last_mm: float = 30_000.0, *, run: int = 9) -> list[Any]:
    return [piece(at + 1, first_mm + at * 500, run=run) for at in range(int((last_mm - first_mm) / 500))]


def heard(bodies: list[Any], *, late_s: float = 0.0) -> list[dict[str, Any]]:
    """The ledger of a line whose program hears each verdict a second before its piece is at the gate."""
    zero = WEB.counter.read(WEB.counter_zero(1))
    events: list[dict[str, Any]] = [{"kind": "boot", "boot": 1, "begun_ns": 1}, READY]
    for body in bodies:
        due_mm = (WEB.counter.near(body["trigger_count"], zero) - zero) / 10 + WEB.gate_mm
        scan_ns = WEB.belt.time_at(due_mm) - S + int(late_s * S)
        events.append({"kind": "verdict", "boot": 1, "told": [body["boot_id"], body["seq"]], "scan_ns": scan_ns})
    return events


def broken(bodies: list[Any], events: list[dict[str, Any]] | None = None) -> set[str]:
    found = account_for_web(WEB, heard(bodies) if events is None else events, bodies, SEEN)
    assert found.unit == "mm"
    names = ("lost", "second", "wrong_part", "missed", "unwarned", "forgotten", "late")
    return {name for name in names if getattr(found, name)}


def test_a_web_is_in_order_wherever_its_pieces_begin() -> None:
    assert broken(pieces()) == set()
    assert broken(pieces(230.0)) == set()
    both = [*pieces(0.0, 15_000.0), *pieces(15_000.0 - 270.0, run=10)]
    assert broken(both) == set(), "a station that began anew covers some of it again"


def test_web_without_a_verdict_is_lost_unless_its_line_knew() -> None:
    bodies = [body for body in pieces() if not 12_000 <= body["stretch"]["from_m"] * 1000 < 13_000]
    found = account_for_web(WEB, heard(bodies), bodies, SEEN)
    assert (found.lost, found.unwarned) == (pytest.approx(980, abs=20), pytest.approx(980, abs=20))
    knew = [ready(14.0, is_ready=False), ready(14.5, is_ready=True)]
    found = account_for_web(WEB, [*heard(bodies), *knew], bodies, SEEN)
    assert (found.lost, found.unwarned, found.forgotten) == (0, 0, pytest.approx(980, abs=20))
    assert not found.violated


def test_a_verdict_that_comes_late_or_to_a_program_that_died_is_none_at_the_gate() -> None:
    bodies = pieces()
    assert broken(bodies, heard(bodies, late_s=1.5)) == {"late", "unwarned"}
    before = [event for event in heard(bodies) if event.get("scan_ns", 0) < 14 * S]
    assert broken(bodies, [*before, {"kind": "boot", "boot": 2, "begun_ns": 15 * S}]) == {"late", "unwarned"}


def test_a_defect_without_a_mark_is_missed_and_a_mark_without_a_defect_is_wrong() -> None:
    defect = DRAWN[1]
    shows = [
        body for body in pieces() if any(mark["along_m"] * 1000 == defect.along_mm for mark in body["stretch"]["marks"])
    ]
    others = [body for body in pieces() if body not in shows]
    blind = [body | {"stretch": body["stretch"] | {"marks": []}} for body in shows]
    assert broken([*others, *blind]) == {"missed"}, "it was rejected, but not marked"
    assert broken([*others, *(body | {"decision": "ACCEPT", "rejects": False} for body in shows)]) == {"missed"}
    lost = [body | {"decision": "NOT_INSPECTED", "rejects": True} for body in blind]
    assert broken([*others, *lost]) == set(), "nobody has looked at it"
    half = [body | {"missing_views": ["cam1"]} for body in blind]
    assert broken([*others, *half]) == set(), "rejected for what one camera saw, while the other was away"
    far = [{**mark, "along_m": mark["along_m"] + 0.3} for mark in shows[0]["stretch"]["marks"]]
    elsewhere = [body | {"stretch": body["stretch"] | {"marks": far}} for body in shows]
    assert broken([*others, *elsewhere]) == {"missed", "wrong_part"}
    unsure = [{**mark, "error_mm": 300.0} for mark in far]
    assert broken([*others, *(body | {"stretch": body["stretch"] | {"marks": unsure}} for body in shows)]) == set()


def test_a_defect_at_a_seam_is_not_missed_if_the_gate_shut_for_want_of_its_verdict() -> None:
    """The piece before was accepted in time, and the verdict on the piece with the defect came late."""
    defect = next(each for each in DRAWN if each.from_mm < 15_000)
    begin = defect.along_mm - 4
    before, own = piece(900, begin - 500, decision="ACCEPT"), piece(901, begin)
    others = [body for body in pieces() if not begin - 900 < body["stretch"]["from_m"] * 1000 < begin + 400]
    others += [piece(902, begin - 800), piece(903, begin + 500)]
    assert broken([*others, before, own]) <= {"second"}, "both in time, and one rejects"
    events = heard([*others, before]) + [event | {"scan_ns": 40 * S} for event in heard([own])[2:]]
    assert "missed" not in broken([*others, before, own], events)


def test_good_web_that_is_rejected_is_wrong_and_web_inspected_twice_is_told_twice() -> None:
    bodies = pieces()
    good = next(body for body in bodies if body["decision"] == "ACCEPT" and body["stretch"]["from_m"] > 11)
    rejected = [body | {"rejects": True, "decision": "REJECT"} if body is good else body for body in bodies]
    assert broken(rejected) == {"wrong_part"}
    assert broken([*bodies, good | {"seq": 900}]) == {"second"}
    assert broken([*bodies, piece(900, 12_200.0)]) == {"second"}
    assert account_for_web(WEB, heard(bodies), [*bodies, good], SEEN).repeats == 1
