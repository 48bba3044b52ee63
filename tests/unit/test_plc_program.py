"""The PLC's logic, scan by scan: what is consumed from the ring, and what the gate does when nothing comes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspector.inspection.counter import Counter
from edge_inspector.plc import blocks
from edge_inspector.plc.blocks import DB_EDGE, DB_PLC, EDGE_HEADER, PLC_HEADER, TRIGGER, VERDICT, VERDICT_SLOTS, wrap32
from edge_inspector.simulation.plc import EDGE_DEAD_NS, GateAction, PlcProgram

BOOT, SESSION, GATE = 5, 900, 8000
MS = 1_000_000


class Edge:
    """The daemon's block, written by hand."""

    def __init__(self) -> None:
        self.memory = bytearray(DB_EDGE.size)
        self.heartbeat = 0
        self.session_id, self.plc_boot_id = SESSION, BOOT

    def header(self, **changes: int) -> None:
        self.heartbeat += 1
        values = {field.name: 0 for field in EDGE_HEADER.fields} | {
            "layout_version": 1,
            "status": blocks.STATUS_READY,
            "boot_id": 3,
            "heartbeat": self.heartbeat,
            "session_id": self.session_id,
            "plc_boot_id": self.plc_boot_id,
        }
        self.memory[: EDGE_HEADER.size] = EDGE_HEADER.pack(**(values | changes))

    def verdict(self, seq: int, part_seq: int, *, rejects: bool = False, due: int = GATE, session: int = 0) -> None:
        values: dict[str, Any] = {field.name: 0 for field in VERDICT.fields}
        at = DB_EDGE.offset(VERDICT, seq % VERDICT_SLOTS)
        self.memory[at : at + VERDICT.size] = VERDICT.pack(
            **values
            | {
                "seq": seq,
                "session_id": session or self.session_id,
                "part_seq": part_seq,
                "due_count": wrap32(due),
                "decision": 2 if rejects else 1,
                "flags": blocks.VERDICT_REJECTS if rejects else 0,
            }
        )


@pytest.fixture
def edge() -> Edge:
    return Edge()


@pytest.fixture
def plc() -> PlcProgram:
    return PlcProgram(BOOT, GATE)


def consumed(plc: PlcProgram, edge: Edge, now_ns: int = MS, **header: int) -> list[tuple[int, str]]:
    edge.header(**header)
    return [(slot["part_seq"], how) for slot, how in plc.consume(bytes(edge.memory), now_ns)]


def fired(actions: list[GateAction]) -> list[tuple[int, bool, str]]:
    return [(action.part_seq, action.fired, action.why) for action in actions]


def published(plc: PlcProgram) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    memory = bytearray(DB_PLC.size)
    plc.publish(memory)
    header = PLC_HEADER.unpack(memory[: PLC_HEADER.size])
    assert header is not None
    triggers = (
        TRIGGER.unpack(memory[at : at + TRIGGER.size])
        for at in range(DB_PLC.offset(TRIGGER), DB_PLC.size, TRIGGER.size)
    )
    return header, [trigger for trigger in triggers if trigger is not None]


def test_the_photo_eye_numbers_parts_from_one_and_publishes_where_they_were(plc: PlcProgram) -> None:
    assert [plc.photo_eye(count) for count in (10, 20)] == [1, 2]
    header, triggers = published(plc)
    assert (header["trigger_seq"], header["boot_id"], header["ack_seq"], header["heartbeat"]) == (2, BOOT, 0, 1)
    assert [(trigger["part_seq"], trigger["count"], trigger["flags"]) for trigger in triggers] == [
        (1, 10, 0),
        (2, 20, 0),
    ]


def test_the_trigger_ring_shows_the_last_sixteen(plc: PlcProgram) -> None:
    for count in range(20):
        plc.photo_eye(count)
    assert sorted(trigger["part_seq"] for trigger in published(plc)[1]) == list(range(5, 21))


def test_verdicts_are_consumed_in_order_once_and_acknowledged(plc: PlcProgram, edge: Edge) -> None:
    for part_seq in (1, 2):
        plc.photo_eye(100 * part_seq)
        edge.verdict(part_seq, part_seq)
    assert consumed(plc, edge) == [(1, "in time"), (2, "in time")]
    assert consumed(plc, edge) == []
    header, triggers = published(plc)
    assert (header["ack_session"], header["ack_seq"]) == (SESSION, 2)
    assert [trigger["flags"] for trigger in triggers] == [blocks.TRIGGER_ANSWERED] * 2


def test_a_slot_ahead_of_its_turn_waits_for_the_one_before_it(plc: PlcProgram, edge: Edge) -> None:
    plc.photo_eye(100)
    plc.photo_eye(200)
    edge.verdict(2, 2)
    assert consumed(plc, edge) == []
    edge.verdict(1, 1)
    assert consumed(plc, edge) == [(1, "in time"), (2, "in time")]


def test_a_slot_half_written_is_not_consumed_until_it_is_whole(plc: PlcProgram, edge: Edge) -> None:
    plc.photo_eye(100)
    edge.verdict(1, 1)
    at = DB_EDGE.offset(VERDICT, 1) + 20
    edge.memory[at] ^= 0xFF
    assert consumed(plc, edge) == []
    edge.memory[at] ^= 0xFF
    assert consumed(plc, edge) == [(1, "in time")]


def test_the_ring_is_followed_around_its_end(plc: PlcProgram, edge: Edge) -> None:
    found = []
    for seq in range(1, 100):
        plc.photo_eye(100 * seq)
        edge.verdict(seq, seq)
        if seq % 7 == 0:
            found += consumed(plc, edge)
    found += consumed(plc, edge)
    assert [part_seq for part_seq, _ in found] == list(range(1, 100))


def test_a_second_verdict_on_a_part_is_a_duplicate_and_does_not_change_the_first(plc: PlcProgram, edge: Edge) -> None:
    plc.photo_eye(0)
    edge.verdict(1, 1, rejects=True)
    edge.verdict(2, 1, rejects=False)
    assert consumed(plc, edge) == [(1, "in time"), (1, "duplicate")]
    assert fired(plc.gate(GATE)) == [(1, True, "verdict")]


def test_a_verdict_for_a_part_already_past_the_gate_is_late_and_fires_nothing(plc: PlcProgram, edge: Edge) -> None:
    plc.photo_eye(0)
    assert fired(plc.gate(GATE)) == [(1, True, "no verdict")]
    edge.verdict(1, 1, rejects=True)
    assert consumed(plc, edge) == [(1, "late")]
    assert plc.gate(GATE + 10_000) == []


def test_a_new_session_begins_again_at_one_and_voids_the_slots_of_the_old(plc: PlcProgram, edge: Edge) -> None:
    for part_seq in range(1, 5):
        plc.photo_eye(100 * part_seq)
        edge.verdict(part_seq, part_seq)
    assert len(consumed(plc, edge)) == 4
    edge.session_id = SESSION + 1
    assert consumed(plc, edge) == []
    assert (plc.session_id, plc.ack_seq) == (SESSION + 1, 0)
    plc.photo_eye(600)
    edge.verdict(1, 5)
    assert consumed(plc, edge) == [(5, "in time")]
    assert plc.ack_seq == 1


def test_a_slot_of_an_older_session_is_void_even_with_the_right_number(plc: PlcProgram, edge: Edge) -> None:
    plc.photo_eye(0)
    edge.verdict(1, 1, rejects=False, session=SESSION - 1)
    assert consumed(plc, edge) == []
    assert fired(plc.gate(GATE)) == [(1, True, "no verdict")]


@pytest.mark.parametrize("header", [{"plc_boot_id": BOOT + 1}, {"session_id": 0}])
def test_a_daemon_that_does_not_answer_this_run_of_the_plc_is_not_listened_to(
    plc: PlcProgram, edge: Edge, header: dict[str, int]
) -> None:
    plc.photo_eye(0)
    edge.verdict(1, 1)
    assert consumed(plc, edge, **header) == []
    assert plc.edge_alive


@pytest.mark.parametrize("header", [{"layout_version": 2}, None])
def test_a_header_of_another_layout_or_a_blank_block_is_no_daemon(
    plc: PlcProgram, edge: Edge, header: dict[str, int] | None
) -> None:
    if header:
        edge.header(**header)
    assert plc.consume(bytes(edge.memory), MS) == []
    assert not plc.edge_alive


def test_the_daemon_is_dead_when_its_heartbeat_stands_still_for_400_ms_and_alive_with_the_next(
    plc: PlcProgram, edge: Edge
) -> None:
    assert EDGE_DEAD_NS == 400 * MS
    consumed(plc, edge, now_ns=1000 * MS)
    for now_ms, alive in ((1001, True), (1399, True), (1400, False), (9000, False)):
        plc.consume(bytes(edge.memory), now_ms * MS)
        assert plc.edge_alive is alive
    consumed(plc, edge, now_ns=9001 * MS)
    assert plc.edge_alive


@pytest.mark.parametrize(("rejects", "fires"), [(True, True), (False, False)])
def test_the_gate_fires_where_the_verdict_rejects(plc: PlcProgram, edge: Edge, rejects: bool, fires: bool) -> None:  # noqa: FBT001
    plc.photo_eye(0)
    edge.verdict(1, 1, rejects=rejects, due=GATE + 3)
    consumed(plc, edge)
    assert plc.gate(GATE + 2) == []
    assert plc.gate(GATE + 3) == [GateAction(1, GATE + 3, fires, "verdict")]
    assert plc.gate(GATE + 4) == []


def test_a_part_without_a_verdict_is_rejected_at_the_gate(plc: PlcProgram) -> None:
    plc.photo_eye(100)
    assert plc.gate(GATE + 99) == []
    assert plc.gate(GATE + 100) == [GateAction(1, GATE + 100, fired=True, why="no verdict")]


@pytest.mark.parametrize("start", [2**31 - 4000, 2**31 - 8000, 2**31 - 8001, 2**31 - 1, -(2**31)])
def test_the_gate_acts_at_the_right_count_across_the_counters_wrap(plc: PlcProgram, edge: Edge, start: int) -> None:
    plc.photo_eye(start)
    plc.photo_eye(wrap32(start + 500))
    edge.verdict(1, 1, rejects=True, due=start + GATE)
    consumed(plc, edge)
    happened = [
        (passed, action.part_seq) for passed in range(0, 9000, 10) for action in plc.gate(wrap32(start + passed))
    ]
    assert happened == [(8000, 1), (8500, 2)]


def test_a_belt_that_runs_back_over_the_gate_does_not_fire_again(plc: PlcProgram) -> None:
    plc.photo_eye(0)
    assert len(plc.gate(GATE)) == 1
    assert plc.gate(GATE - 500) == []
    assert plc.gate(GATE + 500) == []


happenings = st.lists(st.sampled_from(["part", "verdict", "scan", "gate", "daemon restarts"]), max_size=80)


@given(happenings)
def test_whatever_happens_every_part_passes_the_gate_once_and_without_a_verdict_it_is_rejected(
    steps: list[str],
) -> None:
    plc, edge, count, seq, newest = PlcProgram(BOOT, GATE), Edge(), 0, 0, 0
    answered: set[int] = set()
    actions: list[GateAction] = []
    waiting: list[int] = []
    for step in steps:
        count += 700
        match step:
            case "part":
                newest = plc.photo_eye(wrap32(count))
                waiting.append(newest)
            case "verdict" if waiting and seq - plc.ack_seq < VERDICT_SLOTS - 1:
                seq += 1
                edge.verdict(seq, waiting.pop(0), due=count + GATE)
            case "scan":
                answered |= {part_seq for part_seq, how in consumed(plc, edge) if how == "in time"}
            case "gate":
                actions += plc.gate(wrap32(count))
            case "daemon restarts":
                edge, seq = Edge(), 0
                edge.session_id = SESSION + count
    actions += plc.gate(wrap32(count + 10 * GATE))
    assert sorted(action.part_seq for action in actions) == list(range(1, newest + 1))
    assert all(action.fired for action in actions if action.part_seq not in answered)
    assert {action.part_seq for action in actions if action.why == "verdict"} == answered


@pytest.mark.parametrize("falling", [False, True])
def test_a_counter_with_hardly_more_values_than_the_way_to_the_gate_fires_once_and_at_its_due_count(
    edge: Edge,
    falling: bool,  # noqa: FBT001 -- both ways
) -> None:
    counter = Counter(0, 9999, falling)
    plc = PlcProgram(BOOT, GATE, counter)
    for part_seq, belt in ((1, 9000), (2, 11_000)):
        plc.photo_eye(counter.shown(belt))
        edge.verdict(part_seq, part_seq, rejects=True, due=counter.shown(belt + GATE))
    assert consumed(plc, edge) == [(1, "in time"), (2, "in time")]
    fires = {belt: fired(plc.gate(counter.shown(belt))) for belt in range(11_000, 30_000, 50)}
    assert {belt: found for belt, found in fires.items() if found} == {
        9000 + GATE: [(1, True, "verdict")],
        11_000 + GATE: [(2, True, "verdict")],
    }
