"""deploy/plc's function block, run scan by scan beside the simulated PLC's program: both must do the same."""

from binascii import crc_hqx
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.scl import Place, Source

from edge_inspector.codes import Reason
from edge_inspector.plc.blocks import (
    DB_EDGE,
    DB_PLC,
    EDGE_HEADER,
    ENCODER,
    PLC_HEADER,
    TRIGGER,
    TRIGGER_BAD,
    TRIGGER_GOOD,
    VERDICT,
    wrap32,
)
from edge_inspector.plc.seal import sealed
from edge_inspector.simulation.plc import PlcProgram

FOLDER = Path(__file__).parents[2] / "deploy" / "plc"
BOOT, SESSION, GATE = 5, 900, 8000
SCAN_US, SCAN_COUNTS = 10_000, 100
START = 2**31 - 5000  # the counter wraps during every test


class Both:
    """The SCL and its mirror on one daemon's block, at the same belt and clock."""

    def __init__(self, boot: int = BOOT, *, falling: bool = False) -> None:
        self.way = -1 if falling else 1  # of the counter, as the belt runs
        self.source = Source(FOLDER / "EI_Types.udt", FOLDER / "EI_Blocks.db", FOLDER / "EI_EdgeInspector.scl")
        # Proven in test_plc_source.py; here only its time would count.
        self.source.builtins['"EI_Crc16"'] = crc16
        self.db_edge = self.source.data["DB_Edge"].memory
        self.db_plc = self.source.data["DB_Plc"].memory
        self.mirror_plc = bytearray(DB_PLC.size)
        self.boot = boot
        self.mirror = PlcProgram(boot, GATE * self.way)
        self.belt, self.now_us, self.events, self.heartbeat, self.seq = START * self.way, 2**32 - 50_000, 7, 0, 0
        self.session = SESSION
        self.out: dict[str, Any] = {"reject_all": False}
        self.rejected_all = False
        self.actions: list[Any] = []
        self.how: list[str] = []

    def header(self, **changes: int) -> None:
        self.heartbeat += 1
        values = {field.name: 0 for field in EDGE_HEADER.fields} | {
            "layout_version": 1,
            "status": 1,
            "boot_id": 3,
            "heartbeat": self.heartbeat,
            "session_id": self.session,
            "plc_boot_id": self.boot,
        }
        self.db_edge[: EDGE_HEADER.size] = EDGE_HEADER.pack(**(values | changes))

    def verdict(self, part_seq: int, *, rejects: bool = False, due: int | None = None, **changes: int) -> None:
        self.seq += 1
        announced = self.mirror.triggers.get(part_seq % 16)
        own = announced.count + GATE * self.way if announced is not None else self.belt
        values: dict[str, Any] = {field.name: 0 for field in VERDICT.fields} | {
            "seq": self.seq,
            "session_id": self.session,
            "part_seq": part_seq,
            "due_count": wrap32(own if due is None else due),
            "decision": 2 if rejects else 1,
            "flags": int(rejects),
            "area_mm2": 1.5,
        }
        at = DB_EDGE.offset(VERDICT, self.seq % 32)
        self.db_edge[at : at + VERDICT.size] = VERDICT.pack(**(values | changes))

    def scan(self, *, edge: int = 0, moved: int = SCAN_COUNTS, us: int = SCAN_US, **inputs: Any) -> dict[str, Any]:
        self.belt, self.now_us, self.events = self.belt + moved * self.way, self.now_us + us, self.events + edge
        latched = wrap32(self.belt - 30 * self.way)
        given_: dict[str, Any] = {
            "boot_id": self.boot,
            "eye_events": self.events,
            "eye_count": latched,
            "belt_count": wrap32(self.belt),
            "time_us": self.now_us % 2**32,
            "gate_counts": GATE * self.way,
            "recipe_id": 0,
            "enable": True,
            "reset": False,
            "line_running": True,
            "challenge": False,
            "known_good": False,
            "known_bad": False,
        }
        self.rejected_all = self.out["reject_all"]
        self.out = self.source.cycle("EdgeInspector_DB", **(given_ | inputs))
        if edge:
            self.mirror.photo_eye(latched)
        self.how = [how for _, how in self.mirror.consume(bytes(self.db_edge), self.now_us * 1000)]
        self.actions = self.mirror.gate(wrap32(self.belt))
        self.mirror.publish(self.mirror_plc)
        return self.out

    def agree(self) -> None:
        """Byte for byte in what both publish, and in what the gate does."""
        assert self.db_plc[: PLC_HEADER.size] == self.mirror_plc[: PLC_HEADER.size]
        assert self.db_plc[DB_PLC.offset(TRIGGER) :] == self.mirror_plc[DB_PLC.offset(TRIGGER) :]
        assert self.out["edge_alive"] == self.mirror.edge_alive
        assert self.out["edge_alarm"] == self.mirror.edge_alarm
        assert self.out["edge_off"] == self.mirror.edge_off
        assert self.out["missing_verdict"] == any(action.why == "no verdict" for action in self.actions)
        if not self.rejected_all:  # which ends by firing once more than the mirror
            assert self.out["gate_fire"] == any(action.fired for action in self.actions)
        kept = self.source.data["EdgeInspector_DB"]
        tracked = [kept.member("tracked").element(at) for at in range(32)]
        active = {each.member("part_seq").read()[1] for each in tracked if each.member("active").read()[1]}
        assert active == {part.part_seq for part in self.mirror.tracked}


def crc16(size: tuple[str, int], record: Place) -> tuple[str, int]:
    return "WORD", crc_hqx(bytes(record.memory[record.at : record.at + size[1]]), 0xFFFF)


@pytest.fixture
def both() -> Both:
    made = Both()
    made.header()
    made.scan(moved=0)
    until_the_belt_is_known(made)
    return made


def until_the_belt_is_known(both: Both) -> None:
    """The scans after a start in which the gate stays in reject."""
    for _ in range(GATE // SCAN_COUNTS):
        assert both.out["reject_all"]
        both.header()
        both.scan()
    assert not both.out["reject_all"]


def travel(both: Both, counts: int) -> list[dict[str, Any]]:
    """Scans until the belt has moved so far, with a living daemon."""
    found = []
    for _ in range(counts // SCAN_COUNTS):
        both.header()
        found.append(both.scan())
        both.agree()
    return found


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["part", "nothing", "nothing", "still"]),
        st.sampled_from(["beat", "beat", "silent"]),
        st.lists(
            st.tuples(
                st.integers(-3, 20),
                st.booleans(),
                st.integers(-400, 400),
                st.sampled_from(["ok", "ok", "ok", "ok", "trigger lost", "damaged", "other session", "gap"]),
            ),
            max_size=3,
        ),
        st.sampled_from(["same", "same", "same", "same", "new session", "other plc", "no session"]),
        st.integers(0, 900),
    ),
    max_size=60,
)


@given(steps=STEPS, falling=st.booleans())
@settings(max_examples=60)
def test_the_source_does_what_the_simulated_plc_does(steps: list[Any], falling: bool) -> None:  # noqa: FBT001
    both = Both(falling=falling)
    both.scan(moved=0)
    for part, beat, verdicts, session, moved in steps:
        changes = {}
        if session == "new session":
            both.session, both.seq = both.session + 1, 0
        elif session != "same":
            changes = {"other plc": {"plc_boot_id": 99}, "no session": {"session_id": 0}}[session]
        if beat == "beat":
            both.header(**changes)
        for behind, rejects, shift, damage in verdicts:
            lost = {"reason": int(Reason.TRIGGER_LOST), "due_count": 0}
            spoiled = {"other session": {"session_id": 1}, "gap": {"seq": both.seq + 5}, "trigger lost": lost}.get(
                damage, {}
            )
            part_seq = max(0, both.mirror.trigger_seq - behind)
            announced = both.mirror.triggers.get(part_seq % 16)
            due = (announced.count if announced is not None else both.belt) + (GATE + shift) * both.way
            both.verdict(part_seq, rejects=rejects, due=due, **spoiled)
            if damage == "damaged":
                both.db_edge[DB_EDGE.offset(VERDICT, both.seq % 32) + 17] ^= 4
        edge = int(part == "part" and len(both.mirror.tracked) < 32)  # the mirror has room for any number
        both.scan(edge=edge, moved=0 if part == "still" else moved, us=SCAN_US * (1 + moved % 3))
        both.agree()


def test_an_accepted_part_passes_a_rejected_one_and_a_forgotten_one_do_not(both: Both) -> None:
    for part_seq, told in ((1, True), (2, True), (3, False)):
        both.header()
        both.scan(edge=1)
        if told:
            both.verdict(part_seq, rejects=part_seq == 2)
        travel(both, 1000)
    dues = {part_seq: wrap32(both.mirror.triggers[part_seq].count + GATE) for part_seq in (1, 2, 3)}
    assert (both.out["next_fire"], both.out["next_fire_count"]) == (True, dues[2])
    outs = travel(both, GATE + 1000)
    assert [out["gate_count"] for out in outs if out["gate_fire"]] == [dues[2], dues[3]]
    assert [out["gate_count"] for out in outs if out["missing_verdict"]] == [dues[3]]
    assert not both.out["next_fire"]
    kept = both.source.data["EdgeInspector_DB"]
    assert [kept.member(name).read()[1] for name in ("parts_rejected", "parts_missing", "verdicts_late")] == [2, 1, 0]


@pytest.mark.parametrize("reason", [Reason.POSITION_UNKNOWN, Reason.TRIGGER_LOST])
@pytest.mark.parametrize("rejects", [True, False])
def test_a_verdict_on_a_part_whose_place_the_daemon_does_not_know_is_carried_out_where_the_plc_knows_it_to_be(
    both: Both,
    rejects: bool,  # noqa: FBT001 -- both ways
    reason: Reason,
) -> None:
    both.header()
    both.scan(edge=1)
    due = wrap32(both.mirror.triggers[1].count + GATE)
    both.verdict(1, rejects=rejects, reason=int(reason), due=0)
    outs = travel(both, GATE + 1000)
    assert [out["gate_count"] for out in outs if out["gate_fire"]] == [due] * rejects
    assert not both.mirror.tracked


def test_a_counter_that_falls_fires_where_it_has_fallen_to_the_due_count() -> None:
    both = Both(falling=True)
    both.header()
    both.scan(moved=0)
    until_the_belt_is_known(both)
    for part_seq in (1, 2):
        both.header()
        both.scan(edge=1)
        both.verdict(part_seq, rejects=part_seq == 2)
        travel(both, 1000)
    due = wrap32(both.mirror.triggers[2].count - GATE)
    assert (both.out["next_fire"], both.out["next_fire_count"]) == (True, due)
    outs = travel(both, GATE + 1000)
    assert [out["gate_count"] for out in outs if out["gate_fire"]] == [due]


def test_a_late_verdict_is_acknowledged_and_counted(both: Both) -> None:
    both.scan(edge=1)
    travel(both, GATE + 500)
    both.verdict(1)
    travel(both, 100)
    assert both.how == ["late"]
    assert both.source.data["EdgeInspector_DB"].member("verdicts_late").read()[1] == 1
    header = PLC_HEADER.unpack(both.db_plc[: PLC_HEADER.size])
    assert header is not None
    assert (header["ack_session"], header["ack_seq"]) == (SESSION, 1)


def test_a_silent_daemon_is_dead_after_400_ms_and_stays_so_when_the_clock_comes_round(both: Both) -> None:
    both.header()
    assert both.scan()["edge_ready"]
    for _ in range(39):
        assert both.scan()["edge_alive"]
    assert not both.scan()["edge_alive"]
    assert not both.out["edge_ready"]
    # 71 minutes later the difference of the times is small again.
    for us in (2**32 - 400_000, 10, 10):
        assert not both.scan(us=us)["edge_alive"]
    both.header()
    assert both.scan()["edge_alive"]


def test_a_torn_header_is_no_news_and_does_not_stop_the_line(both: Both) -> None:
    both.header()
    both.db_edge[13] ^= 1
    assert both.scan()["edge_ready"]
    for _ in range(50):
        both.scan()
    assert not both.out["edge_alive"]
    assert not both.out["fault"]


@pytest.mark.parametrize(
    ("changes", "ready"),
    [
        ({}, True),
        ({"status": 5}, True),
        ({"status": 0}, False),
        ({"status": 8}, False),
        ({"status": 9}, False),
        ({"status": 0b010001}, True),
        ({"status": 0b100000}, False),
        ({"plc_boot_id": 99}, False),
        ({"session_id": 0}, False),
    ],
)
def test_ready_means_alive_ready_faultless_and_ours(both: Both, changes: dict[str, int], ready: bool) -> None:  # noqa: FBT001 -- a table
    both.header(**changes)
    assert both.scan()["edge_ready"] is ready
    assert both.out["edge_alive"]


@pytest.mark.parametrize(
    ("status", "alarm", "off"),
    [(1, False, False), (0b010001, True, False), (0b100000, False, True), (0b11000, True, False)],
)
def test_alarm_and_off_are_outputs_as_long_as_the_daemon_lives(
    both: Both,
    status: int,
    alarm: bool,  # noqa: FBT001 -- a table
    off: bool,  # noqa: FBT001 -- a table
) -> None:
    both.header(status=status)
    out = both.scan()
    both.agree()
    assert (out["edge_alarm"], out["edge_off"]) == (alarm, off)
    for _ in range(40):
        both.scan()
        both.agree()
    assert (both.out["edge_alarm"], both.out["edge_off"]) == (False, False)


def test_parts_without_a_verdict_are_counted_for_the_daemon(both: Both) -> None:
    for _ in range(3):
        both.header()
        both.scan(edge=1)
    travel(both, GATE + 500)
    header = PLC_HEADER.unpack(both.db_plc[: PLC_HEADER.size])
    assert header is not None
    assert header["missing_verdicts"] == 3
    counted = both.source.data["EdgeInspector_DB"].member("parts_missing")
    counted.write(("UDINT", 2**16 + 4))
    both.header()
    both.scan()
    header = PLC_HEADER.unpack(both.db_plc[: PLC_HEADER.size])
    assert header is not None
    assert header["missing_verdicts"] == 4, "it wraps"


def test_a_tag_in_the_reserved_bytes_is_nothing_to_a_program_that_does_not_know_it(both: Both) -> None:
    key = bytes(range(32))
    both.header()
    both.scan(edge=1)
    both.header()
    both.verdict(1, rejects=True)
    slot = slice(DB_EDGE.offset(VERDICT, both.seq % 32), DB_EDGE.offset(VERDICT, both.seq % 32) + VERDICT.size)
    both.db_edge[:64] = sealed(EDGE_HEADER, bytes(both.db_edge[:64]), key)
    both.db_edge[slot] = sealed(VERDICT, bytes(both.db_edge[slot]), key)
    assert any(both.db_edge[46:62])
    out = both.scan()
    both.agree()
    assert (both.how, out["edge_ready"]) == (["in time"], True)


def test_another_layout_is_a_fault_until_reset(both: Both) -> None:
    both.header(layout_version=2)
    both.verdict(1)
    both.scan()
    both.agree()
    assert (both.out["faults"], both.out["fault"], both.out["edge_alive"]) == (4, True, False)
    both.header()
    assert both.scan()["fault"]
    both.header()
    assert not both.scan(reset=True)["fault"]


def test_without_a_boot_id_nothing_is_published_and_everything_is_rejected() -> None:
    both = Both(boot=0)
    out = both.scan(edge=1)
    assert (out["faults"], out["fault"], out["reject_all"]) == (8, True, True)
    assert not any(both.db_plc)


def test_after_a_start_the_gate_stays_in_reject_until_all_that_lay_on_the_belt_has_passed() -> None:
    both = Both()
    both.scan(moved=0)
    begun = both.belt
    until_the_belt_is_known(both)
    assert both.belt - begun == GATE
    assert (both.out["gate_fire"], both.out["gate_count"]) == (True, wrap32(begun + GATE))
    assert not both.scan()["gate_fire"]


def test_a_new_run_forgets_the_old_ones_parts_triggers_and_acknowledgements(both: Both) -> None:
    for part_seq in (1, 2):
        both.scan(edge=1)
        both.verdict(part_seq)
    travel(both, 200)
    both.boot, both.mirror = both.boot + 1, PlcProgram(both.boot + 1, GATE)
    both.mirror_plc[:] = bytes(DB_PLC.size)
    both.scan(us=0)
    header = PLC_HEADER.unpack(both.db_plc[: PLC_HEADER.size])
    assert header is not None
    assert {name: header[name] for name in ("boot_id", "heartbeat", "ack_session", "ack_seq", "trigger_seq")} == {
        "boot_id": BOOT + 1,
        "heartbeat": 1,
        "ack_session": 0,
        "ack_seq": 0,
        "trigger_seq": 0,
    }
    assert not any(both.db_plc[DB_PLC.offset(TRIGGER) :])
    assert both.out["reject_all"]


def test_an_instance_initialised_again_while_the_cpu_runs_is_another_run(both: Both) -> None:
    both.scan(edge=1)
    instance = both.source.data["EdgeInspector_DB"].memory
    instance[:] = bytes(len(instance))
    both.scan(edge=1)
    header = PLC_HEADER.unpack(both.db_plc[: PLC_HEADER.size])
    assert header is not None
    assert (header["boot_id"], header["trigger_seq"], header["ack_seq"]) == (BOOT + 1, 0, 0)
    encoder = ENCODER.unpack(both.db_plc[DB_PLC.offset(ENCODER) :][: ENCODER.size])
    assert encoder is not None
    assert encoder["boot_id"] == BOOT + 1
    for _ in range(3):
        both.scan()
    header = PLC_HEADER.unpack(both.db_plc[: PLC_HEADER.size])
    assert header is not None
    assert header["boot_id"] == BOOT + 1
    instance[:] = bytes(len(instance))
    both.scan()
    header = PLC_HEADER.unpack(both.db_plc[: PLC_HEADER.size])
    assert header is not None
    assert header["boot_id"] == BOOT + 2, "never one that was in use before"


@pytest.mark.parametrize("edges", [2, 5])
def test_an_edge_that_was_missed_keeps_the_gate_in_reject_until_its_part_has_passed(both: Both, edges: int) -> None:
    out = both.scan(edge=edges)
    latched = both.belt - 30
    assert (out["faults"], out["reject_all"]) == (2, True)
    outs = travel(both, GATE)
    assert all(out["reject_all"] or out["gate_fire"] for out in outs)
    assert outs[-1]["gate_count"] == wrap32(latched + GATE)
    assert not outs[-1]["reject_all"]


def test_more_parts_than_can_be_tracked_are_rejected(both: Both) -> None:
    for number in range(33):
        both.header()
        both.scan(edge=1, moved=50)
        assert both.out["faults"] == (1 if number == 32 else 0)
        assert both.out["reject_all"] is (number == 32)
    due = both.belt - 30 + GATE
    while both.belt < due:
        both.header()
        both.scan()
        assert both.out["reject_all"] or both.out["gate_fire"]
    assert not both.out["reject_all"]


def test_the_encoders_record_and_the_control_bits_are_what_the_caller_gave(both: Both) -> None:
    both.scan(enable=False, reset=True, line_running=False, challenge=True, recipe_id=4)
    encoder = ENCODER.unpack(both.db_plc[32:48])
    assert encoder == {"boot_id": BOOT, "count": wrap32(both.belt), "time_us": both.now_us % 2**32}
    header = PLC_HEADER.unpack(both.db_plc[: PLC_HEADER.size])
    assert header is not None
    assert (header["control"], header["recipe_id"]) == (10, 4)
    both.scan()
    header = PLC_HEADER.unpack(both.db_plc[: PLC_HEADER.size])
    assert header is not None
    assert header["control"] == 5


def test_parts_that_pass_are_marked_as_the_key_switch_says(both: Both) -> None:
    for mark, inputs in ((TRIGGER_GOOD, {"known_good": True}), (TRIGGER_BAD, {"known_bad": True}), (0, {})):
        both.mirror.mark = mark
        both.header()
        both.scan(edge=1, moved=500, **inputs)
        both.agree()
    both.verdict(1)
    both.scan(known_bad=True)
    both.agree()


def test_the_next_count_to_fire_at_is_the_nearest_of_all_wherever_its_part_is_kept(both: Both) -> None:
    for _ in range(4):
        both.header()
        both.scan(edge=1, moved=500)
        first = wrap32(both.mirror.triggers[1].count + GATE)
        assert (both.out["next_fire"], both.out["next_fire_count"]) == (True, first)
    both.verdict(1)
    travel(both, 100)
    second = wrap32(both.mirror.triggers[2].count + GATE)
    assert both.out["next_fire_count"] == second
    travel(both, 6400)
    assert 1 not in {part.part_seq for part in both.mirror.tracked}
    both.scan(edge=1, moved=0)  # takes the place that part 1 has left, before or behind the others
    assert both.out["next_fire_count"] == second


def test_a_part_that_the_trigger_ring_has_forgotten_still_gets_its_verdict_and_a_second_one_is_not_late(
    both: Both,
) -> None:
    for _ in range(17):
        both.header()
        both.scan(edge=1)
    both.verdict(17)
    both.verdict(1, due=both.belt + 500)
    both.verdict(17, rejects=True)
    travel(both, 1000)
    assert both.source.data["EdgeInspector_DB"].member("verdicts_late").read()[1] == 0
    assert both.source.data["EdgeInspector_DB"].member("parts_missing").read()[1] == 0
    assert {part.part_seq for part in both.mirror.tracked} == set(range(2, 18))
