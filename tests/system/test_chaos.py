"""A short form of the campaign (`make chaos`): a few faults on one running line, every part accounted for."""

import json
from pathlib import Path

import pytest

from benchmarks.chaos.__main__ import main
from benchmarks.chaos.account import Account, account_for, known_ms
from benchmarks.chaos.faults import DRAWS, draw_fault
from benchmarks.chaos.kinds import by_part, draws_of, is_unannounced
from edge_inspector.simulation.broker import find_mosquitto

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
    counted = {name: getattr(found, name) for name in found.__slots__ if name not in ("parts", "known_ms", "faults")}
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
