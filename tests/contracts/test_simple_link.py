"""PLCs as they are, against real servers: parts and counts come in, results and the heartbeat go out."""

import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from snap7 import Server
from snap7.type import SrvArea
from support.register_server import RegisterServer

from edge_inspector.codes import Decision, ErrorCode, Reason, StationState
from edge_inspector.errors import CautionError, DeviceError
from edge_inspector.plc.modbus_output import ModbusOutput
from edge_inspector.plc.modbus_simple import ModbusSimpleEncoder, ModbusSimpleLink
from edge_inspector.plc.s7_simple import S7SimpleEncoder, S7SimpleLink
from edge_inspector.plc.simple.link import SimpleLink
from edge_inspector.records import GateTime, Identity, Part, PlcInput, StationStatus, Verdict

S = 1_000_000_000
READY = StationStatus(StationState.READY, ErrorCode.NONE, 4)
FAULT = StationStatus(StationState.FAULT, ErrorCode.LINE_BLIND, 4)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def identity(**more: Any) -> Identity:
    return Identity(
        station="a",
        boot_id=5,
        state_dir=Path("/nowhere"),
        counts_per_mm=10.0,
        defect_classes=(),
        parts_per_s=5.0,
        **more,
    )


class S7Memory:
    """DB10 and M are the PLC's, DB11 is written by the station."""

    def __init__(self) -> None:
        self.plc, self.edge, self.merkers = bytearray(64), bytearray(64), bytearray(64)
        self.port = free_port()
        self.server = Server(log=False)
        self.server.register_area(SrvArea.DB, 10, self.plc)
        self.server.register_area(SrvArea.DB, 11, self.edge)
        self.server.register_area(SrvArea.MK, 0, self.merkers)
        self.server.start_to("127.0.0.1", self.port)

    def run(self, *, on: bool) -> None:
        self.merkers[3] = 4 * on

    def link(self, **more: Any) -> SimpleLink:
        return S7SimpleLink(
            S7SimpleLink.Settings.model_validate(
                {
                    "host": "127.0.0.1",
                    "port": self.port,
                    "trigger": "DB10.DBW0",
                    "trigger_count": "DB10.DBD2 as dint",
                    "alive": "DB10.DBW6",
                    "running": "M3.2",
                    "taken": "DB10.DBD12 as udint",
                    "heartbeat": "DB11.DBW10",
                    "status": "DB11.DBW12",
                    "result": {"part": "DB11.DBD0 as udint", "due": "DB11.DBD4 as dint", "decision": "DB11.DBW8"},
                }
                | more
            ),
            identity(),
        )

    def encoder(self, place: str = "DB10.DBD8 as dint") -> Any:
        settings = {"host": "127.0.0.1", "port": self.port, "count": place, "scan_ms": 10.0}
        return S7SimpleEncoder(S7SimpleEncoder.Settings.model_validate(settings))

    def stop(self) -> None:
        self.server.stop()


class ModbusMemory:
    """Registers from 0 on are the PLC's, those from 100 on are written by the station."""

    def __init__(self, port: int = 0) -> None:
        self.plc, self.edge = bytearray(64), bytearray(64)
        self.port = port or free_port()
        self.server = RegisterServer(self.port, {0: self.plc, 100: self.edge})

    def run(self, *, on: bool) -> None:
        self.plc[41] = 4 * on

    def link(self, **more: Any) -> SimpleLink:
        return ModbusSimpleLink(
            ModbusSimpleLink.Settings.model_validate(
                {
                    "host": "127.0.0.1",
                    "port": self.port,
                    "trigger": "holding 0",
                    "trigger_count": "holding 1 as dint",
                    "alive": "holding 3",
                    "running": "holding 20.2",
                    "taken": "holding 6 as udint",
                    "heartbeat": "holding 105",
                    "status": "holding 106",
                    "result": {"part": "holding 100 as udint", "due": "holding 102 as dint", "decision": "holding 104"},
                }
                | more
            ),
            identity(),
        )

    def encoder(self, place: str = "holding 4 as dint") -> Any:
        settings = {"host": "127.0.0.1", "port": self.port, "count": place, "scan_ms": 10.0}
        return ModbusSimpleEncoder(ModbusSimpleEncoder.Settings.model_validate(settings))

    def stop(self) -> None:
        self.server.stop()


Plc = S7Memory | ModbusMemory


@pytest.fixture(autouse=True)
def no_thread_outlives_its_test() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 5.0
    while not set(threading.enumerate()) <= before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert set(threading.enumerate()) <= before


@pytest.fixture(params=[S7Memory, ModbusMemory], ids=["s7", "modbus"])
def plc(request: pytest.FixtureRequest) -> Iterator[Plc]:
    made: Plc = request.param()
    yield made
    made.stop()


@pytest.fixture
def link(plc: Plc) -> Iterator[SimpleLink]:
    made = plc.link()
    made.open()
    yield made
    made.close()


def show(plc: Plc, part: int, count: int = 0, alive: int = 0, encoder: int = 0) -> None:
    plc.plc[:12] = struct.pack(">HiHi", part, count, alive, encoder)


def take(plc: Plc, part: int) -> None:
    plc.plc[12:16] = struct.pack(">I", part)


def result(plc: Plc) -> tuple[int, int, int]:
    """Part, due count, decision."""
    found: tuple[int, int, int] = struct.unpack(">IiH", plc.edge[:10])
    return found


def heard(link: SimpleLink, status: StationStatus = READY) -> PlcInput:
    found = link.exchange(status)
    assert found is not None
    return found


def verdict(part_seq: int, *, run: int = 0, reason: Reason = Reason.NONE, **changes: Any) -> Verdict:
    decision = Decision.REJECT if reason is Reason.DEFECT else Decision.ACCEPT if not reason else Decision.NOT_INSPECTED
    plain = Verdict(
        boot_id=5,
        seq=part_seq,
        part=Part(part_seq=part_seq, plc_boot_id=1, epoch=1, trigger_count=100, due_count=9100, run=run),
        decision=decision,
        reason=reason,
        rejects=bool(reason),
        grade="",
        defects=(),
        views=(),
        error_mm=0.1,
        recipe_id=4,
        recipe_hash="",
        model="m",
        decided_ns=0,
        due_ns=time.monotonic_ns() + 5 * S,
    )
    return replace(plain, **changes)


def test_parts_come_with_the_plc_s_number_and_its_latched_count(plc: Plc, link: SimpleLink) -> None:
    show(plc, 70, 5)
    first = heard(link)
    assert (first.trigger_seq, first.known_from, first.triggers) == (70, 70, ())
    show(plc, 71, -900)
    (trigger,) = heard(link).triggers
    assert (trigger.part_seq, trigger.count, trigger.latched) == (71, -900, True)


def test_the_belt_s_signal_and_the_plc_s_life_are_read(plc: Plc, link: SimpleLink) -> None:
    plc.run(on=False)
    show(plc, 0, alive=7)
    assert (heard(link).line_running, heard(link).heartbeat) == (False, 7)
    plc.run(on=True)
    show(plc, 0, alive=8)
    assert (heard(link).line_running, heard(link).heartbeat) == (True, 8)


@pytest.mark.parametrize("on", [False, True])
def test_a_bit_of_the_plc_asks_for_a_challenge(plc: Plc, *, on: bool) -> None:
    asking = plc.link(challenge="M3.2" if isinstance(plc, S7Memory) else "holding 20.2")
    asking.open()
    try:
        plc.run(on=on)
        assert heard(asking).challenge is on
    finally:
        asking.close()


@pytest.mark.parametrize(("reason", "code"), [(Reason.NONE, 1), (Reason.DEFECT, 2), (Reason.LATE, 3)])
def test_a_result_is_written_with_part_and_due_count(plc: Plc, link: SimpleLink, reason: Reason, code: int) -> None:
    heard(link)
    assert link.deliver([verdict(9, reason=reason)]) == 1
    assert result(plc) == (9, 9100, code)


@pytest.mark.parametrize("reason", [Reason.POSITION_UNKNOWN, Reason.TRIGGER_LOST])
def test_a_part_that_nobody_can_place_has_no_due_count(plc: Plc, link: SimpleLink, reason: Reason) -> None:
    heard(link)
    link.deliver([verdict(9, reason=reason)])
    assert result(plc) == (9, 0, 3)


def test_a_result_waits_until_the_plc_has_taken_the_one_before(plc: Plc, link: SimpleLink) -> None:
    heard(link)
    assert link.deliver([verdict(1), verdict(2)]) == 2
    heard(link)
    assert (result(plc)[0], link.backlog) == (1, 1)
    take(plc, 1)
    heard(link)
    assert (result(plc)[0], link.backlog) == (2, 0)


def test_a_plc_that_takes_nothing_is_told(plc: Plc, link: SimpleLink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_inspector.plc.simple.link._UNTAKEN_NS", 0)
    heard(link)
    link.deliver([verdict(1)])
    heard(link)
    assert "does not take the result for part 1" in link.troubles[ErrorCode.PLC_RING_FULL]
    take(plc, 1)
    heard(link)
    assert ErrorCode.PLC_RING_FULL not in link.troubles


def test_a_result_that_a_plc_without_power_forgot_is_written_again(
    plc: Plc, link: SimpleLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard(link)
    link.deliver([verdict(1), verdict(2)])
    plc.edge[:10] = bytes(10)
    heard(link)
    assert result(plc)[0] == 0, "it has had no time yet"
    monkeypatch.setattr("edge_inspector.plc.simple.link._UNTAKEN_NS", 0)
    heard(link)
    assert result(plc) == (1, 9100, 1)
    take(plc, 1)
    heard(link)
    assert (result(plc)[0], link.backlog) == (2, 0)


def test_a_result_of_a_run_that_is_over_is_not_waited_for(
    plc: Plc, link: SimpleLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_inspector.plc.simple.link._UNTAKEN_NS", 0)
    show(plc, 5)
    heard(link)
    link.deliver([verdict(5)])
    heard(link)
    assert ErrorCode.PLC_RING_FULL in link.troubles
    plc.edge[:10] = bytes(10)
    show(plc, 40_000)
    heard(link)
    assert ErrorCode.PLC_RING_FULL not in link.troubles
    link.deliver([verdict(40_001, run=1)])
    assert result(plc)[0] == 40_001


def test_a_result_that_waits_past_its_due_is_told(plc: Plc, link: SimpleLink) -> None:
    heard(link)
    link.deliver([verdict(1), verdict(2, due_ns=1)])
    heard(link)
    assert ErrorCode.VERDICT_LATE in link.troubles
    take(plc, 1)
    heard(link)
    assert link.events["result_late"] == 1


def test_the_heartbeat_counts_while_the_station_is_ready_and_stands_when_it_is_not(plc: Plc, link: SimpleLink) -> None:
    def beat() -> int:
        return int.from_bytes(plc.edge[10:12], "big")

    before = beat()
    heard(link)
    heard(link)
    assert beat() == before + 2
    heard(link, FAULT)
    assert beat() == before + 2
    assert plc.edge[13] == 0
    heard(link)
    assert plc.edge[13] == 1


def test_the_end_says_not_ready(plc: Plc, link: SimpleLink) -> None:
    heard(link)
    link.close()
    assert plc.edge[12:14] == bytes(2)


def test_a_counter_that_jumps_is_an_incident_and_voids_what_waits(plc: Plc, link: SimpleLink) -> None:
    show(plc, 5)
    heard(link)
    link.deliver([verdict(5), verdict(6)])
    show(plc, 40_000)
    again = heard(link)
    assert (again.run, again.trigger_seq, again.triggers, link.backlog) == (1, 40_000, (), 0)
    ((code, what),) = link.incidents()
    assert code is ErrorCode.PLC_NUMBERS
    assert "from 5 to 40000" in what
    assert link.deliver([verdict(6)]) == 1
    assert link.backlog == 0, "of the run that is over: the PLC has forgotten it"


def test_a_plc_that_is_gone_is_a_device_error_and_comes_back(plc: Plc) -> None:
    link = plc.link()
    with pytest.raises(DeviceError, match="not connected"):
        link.exchange(READY)
    assert not link.connected
    link.open()
    heard(link)
    assert link.connected
    link.close()


def test_the_probe_shows_the_values_and_writes_nothing(plc: Plc) -> None:
    show(plc, 12, 34)
    before = bytes(plc.edge)
    with pytest.raises(DeviceError, match="alive stands still"):
        plc.link().probe()
    with pytest.raises(CautionError, match="trigger 12, trigger_count 34"):
        plc.link(alive=None).probe()
    assert plc.edge == before


def test_an_encoder_s_sample_may_be_a_scan_old(plc: Plc) -> None:
    encoder = plc.encoder()
    encoder.open()
    show(plc, 0, encoder=-5)
    before = time.monotonic_ns()
    sample = encoder.read()
    encoder.close()
    assert sample.count == -5
    assert sample.device_ns is None
    assert sample.answered_ns - sample.asked_ns >= 10_000_000
    assert sample.answered_ns >= before > sample.asked_ns


def test_an_encoder_that_shows_no_number_is_a_device_error(plc: Plc) -> None:
    real = plc.encoder("DB10.DBD8 as real" if isinstance(plc, S7Memory) else "holding 4 as real")
    real.open()
    plc.plc[8:12] = struct.pack(">f", float("nan"))
    with pytest.raises(DeviceError, match="is no number"):
        real.read()


class Gate:
    """A remote output, and what the station thinks of the part's time."""

    def __init__(self, **more: Any) -> None:
        self.memory = ModbusMemory()
        self.time: GateTime | None = GateTime(time.monotonic_ns() + S // 2, 0)
        settings = {"host": "127.0.0.1", "port": self.memory.port, "fire": "holding 100", "pulse_ms": 200.0} | more
        self.output = ModbusOutput(
            ModbusOutput.Settings.model_validate(settings), identity(gate_time=lambda _: self.time)
        )
        self.output.open()
        self.output.exchange(READY)

    @property
    def is_on(self) -> bool:
        return any(self.memory.edge[:2])

    def fired_within(self, seconds: float) -> int | None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.output.exchange(READY)
            if self.is_on:
                return time.monotonic_ns()
            time.sleep(0.002)
        return None


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.output.close()
    made.memory.stop()


def test_the_output_fires_when_the_part_is_there_and_ends(gate: Gate) -> None:
    assert gate.output.deliver([verdict(1, reason=Reason.DEFECT)]) == 1
    assert gate.time is not None
    at_ns = gate.fired_within(5.0)
    assert at_ns is not None
    assert at_ns >= (gate.time.at_ns or 0)
    until = time.monotonic() + 5.0
    while gate.is_on and time.monotonic() < until:
        gate.output.exchange(READY)
    assert not gate.is_on
    assert gate.output.events["fired"] == 1


def test_a_good_part_does_not_fire_it(gate: Gate) -> None:
    assert gate.output.deliver([verdict(1)]) == 1
    assert gate.output.backlog == 0


def test_while_the_belt_stands_the_part_waits(gate: Gate) -> None:
    gate.time = GateTime(None, None)
    gate.output.deliver([verdict(1, reason=Reason.DEFECT)])
    gate.output.exchange(READY)
    assert (gate.output.backlog, gate.is_on) == (1, False)


def test_a_part_that_nobody_can_follow_any_more_is_told(gate: Gate) -> None:
    gate.time = None
    gate.output.deliver([verdict(1, reason=Reason.DEFECT)])
    gate.output.exchange(READY)
    ((code, what),) = gate.output.incidents()
    assert code is ErrorCode.VERDICT_LATE
    assert "part 1 is at the gate: take it out by hand" in what
    assert gate.output.backlog == 0


def test_a_part_that_has_passed_is_told_and_not_fired_at(gate: Gate) -> None:
    gate.time = GateTime(time.monotonic_ns() - S, 0)
    gate.output.deliver([verdict(1, reason=Reason.DEFECT)])
    gate.output.exchange(READY)
    assert (
        "part 1 passed the gate before the output could be switched for it: take it out by hand"
        in gate.output.incidents()[0][1]
    )
    assert not gate.is_on


def test_an_output_that_the_network_switched_too_late_is_told(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    write = gate.output._memory.write

    def slowly(first: Any, content: bytes) -> None:
        time.sleep(0.21)  # more than its pulse
        write(first, content)

    monkeypatch.setattr(gate.output._memory, "write", slowly)
    gate.time = GateTime(time.monotonic_ns(), 0)
    gate.output.deliver([verdict(1, reason=Reason.DEFECT)])
    gate.output.exchange(READY)
    ((code, what),) = gate.output.incidents()
    assert code is ErrorCode.VERDICT_LATE
    assert "the output for part 1 was switched up to 2" in what
    assert (gate.output.events["slow"], gate.output.backlog) == (1, 0)


def test_a_part_whose_output_could_not_be_switched_is_not_forgotten(gate: Gate) -> None:
    gate.output.deliver([verdict(1, reason=Reason.DEFECT)])
    gate.memory.stop()
    gate.time = GateTime(time.monotonic_ns() + S // 2, 0)
    with pytest.raises(DeviceError):
        gate.fired_within(5.0)
    gate.output.close()
    assert gate.output.backlog == 1
    gate.memory = ModbusMemory(gate.memory.port)
    gate.time = GateTime(time.monotonic_ns() - S, 0)
    gate.output.open()
    gate.output.exchange(READY)
    assert "take it out by hand" in gate.output.incidents()[0][1]


def test_an_output_that_a_broken_connection_left_on_is_switched_off(gate: Gate) -> None:
    gate.output.close()
    gate.memory.edge[1] = 1
    gate.output.open()
    assert not gate.is_on


def test_a_good_part_that_came_too_late_was_rejected_and_need_not_be_taken_out() -> None:
    gate = Gate(fires_on="accept")
    try:
        gate.time = None
        gate.output.deliver([verdict(1)])
        gate.output.exchange(READY)
        assert "it is good, and was rejected" in gate.output.incidents()[0][1]
    finally:
        gate.output.close()
        gate.memory.stop()


def test_an_output_can_open_the_gate_for_good_parts_only() -> None:
    gate = Gate(fires_on="accept", ready="holding 101")
    try:
        gate.output.deliver([verdict(1, reason=Reason.DEFECT), verdict(2)])
        assert gate.output.backlog == 1
        assert gate.memory.edge[3] == 1
        gate.output.exchange(FAULT)
        assert gate.memory.edge[3] == 0
        gate.output.close()
        assert not gate.is_on
    finally:
        gate.output.close()
        gate.memory.stop()


@pytest.mark.parametrize(
    ("letter", "rejects", "on"),
    [("A", False, {"A"}), ("B", False, {"B"}), ("C", False, set()), ("B", True, {"gate"})],
)
def test_an_accepted_part_switches_the_output_of_its_grade(letter: str, *, rejects: bool, on: set[str]) -> None:
    gate = Gate(grades={"A": "holding 101", "B": "holding 102"})
    try:
        gate.time = GateTime(time.monotonic_ns(), 0)
        reason = Reason.DEFECT if rejects else Reason.NONE
        gate.output.deliver([verdict(1, grade=letter, reason=reason)])
        gate.output.exchange(READY)
        places = {"gate": 1, "A": 3, "B": 5}
        assert {name for name, at in places.items() if gate.memory.edge[at]} == on
        gate.output.close()
        assert not any(gate.memory.edge), "the end switches all of them off"
    finally:
        gate.output.close()
        gate.memory.stop()


def test_a_part_of_a_grade_that_could_not_be_sorted_is_told() -> None:
    gate = Gate(grades={"B": "holding 102"})
    try:
        gate.time = None
        gate.output.deliver([verdict(1, grade="B"), verdict(2, grade="A")])
        gate.output.exchange(READY)
        ((code, what),) = gate.output.incidents()
        assert code is ErrorCode.VERDICT_LATE
        assert "part 1 is at the gate: it has grade B, and was not sorted" in what
    finally:
        gate.output.close()
        gate.memory.stop()


def test_two_meanings_of_one_output_are_refused() -> None:
    with pytest.raises(ValueError, match="'coil 0' has two meanings"):
        ModbusOutput.Settings.model_validate({"host": "127.0.0.1", "fire": "coil 0", "grades": {"B": "coil 0"}})


def test_a_plc_as_it_is_gets_the_grade_as_a_number(plc: Plc) -> None:
    at = "DB11.DBW16" if isinstance(plc, S7Memory) else "holding 108"
    places = {"part": "DB11.DBD0 as udint", "decision": "DB11.DBW8"}
    if isinstance(plc, ModbusMemory):
        places = {"part": "holding 100 as udint", "decision": "holding 104"}
    link = plc.link(result=places | {"grade": at}, taken=None, hold_ms=1.0)
    link.open()
    try:
        for number, (letter, reason, code) in enumerate(
            [("B", Reason.NONE, 2), ("", Reason.LATE, 0), ("C", Reason.DEFECT, 0)], start=1
        ):
            heard(link)
            time.sleep(0.002)
            link.deliver([verdict(number, grade=letter, reason=reason)])
            assert (result(plc)[0], plc.edge[17]) == (number, code)
    finally:
        link.close()


def test_an_input_is_no_output() -> None:
    with pytest.raises(ValueError, match="is no output"):
        ModbusOutput.Settings.model_validate({"host": "127.0.0.1", "fire": "discrete 3"})
