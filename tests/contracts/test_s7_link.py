"""The links over the two blocks, against real servers in this process; and S7 against the simulated PLC in its own."""

import hmac
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from snap7 import Server
from snap7.type import SrvArea
from support.commplus_server import CommPlusServer
from support.register_server import READ, RegisterServer, Request
from support.register_server import WRITE as WRITE_REGISTERS
from support.snap7_peer import RemoteBlock, Snap7Server, needs_peers
from support.verdicts import announced, verdict

from edge_inspector.codes import Decision, ErrorCode, Reason, StationState
from edge_inspector.errors import DeviceError, DeviceTimeoutError, LayoutError
from edge_inspector.plc.block_link import BlockLink
from edge_inspector.plc.blocks import DB_EDGE, DB_PLC, EDGE_HEADER, ENCODER, PLC_HEADER, TRIGGER, VERDICT
from edge_inspector.plc.modbus import ModbusLink
from edge_inspector.plc.modbus_connection import ModbusSettings
from edge_inspector.plc.s7 import S7Link
from edge_inspector.plc.s7_connection import S7Settings
from edge_inspector.plc.s7commplus import S7CommPlusLink
from edge_inspector.plc.s7commplus_connection import S7CommPlusSettings
from edge_inspector.plc.word_order import turned
from edge_inspector.records import Defect, Identity, PlacedView, PlcInput, Position, StationStatus, Verdict, View
from edge_inspector.simulation.demo import free_port
from edge_inspector.simulation.line import Line
from edge_inspector.simulation.plc import PlcProgram

ROOT = Path(__file__).parents[2]
BOOT, DAEMON, GATE = 77, 4242, 8000
READY = StationStatus(StationState.READY, ErrorCode.NONE, 4)
WRITE = 0x40000  # the server's event for a write
IDENTITY = Identity(
    station="press-3", boot_id=DAEMON, state_dir=Path("/nowhere"), counts_per_mm=10.0, defect_classes=("crack", "pore")
)


def freeze(pid: int) -> None:
    """SIGSTOP, and wait until it has stopped: the signal alone may come after one more answer."""
    os.kill(pid, signal.SIGSTOP)
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        time.sleep(0.001)


def s7_link(port: int, **settings: Any) -> BlockLink:
    return S7Link(S7Settings(host="127.0.0.1", port=port, **settings), IDENTITY)


def modbus_link(port: int, **settings: Any) -> BlockLink:
    return ModbusLink(ModbusSettings(host="127.0.0.1", port=port, **settings), IDENTITY)


def commplus_link(port: int, **settings: Any) -> BlockLink:
    return S7CommPlusLink(S7CommPlusSettings(host="127.0.0.1", port=port, tls=False, **settings), IDENTITY)


def judged(seq: int, part_seq: int = 0, *, boot: int = BOOT, rejects: bool = False, **changes: Any) -> Verdict:
    """Of a part that the simulated PLC announced: one each 4000 counts."""
    part = announced(part_seq or seq, boot, trigger_count=seq * 4000, due_count=seq * 4000 + GATE)
    decision, grade = (Decision.REJECT, "C") if rejects else (Decision.ACCEPT, "A")
    plain = verdict(seq, decision, boot_id=DAEMON, part=part, views=(), grade=grade, error_mm=0.25, recipe_id=4)
    return replace(plain, decided_ns=5_000_000, due_ns=9_000_000, **changes)


class Plc:
    """The PLC's logic on a real server, scanned by the test. `writes` is every write it got: (block, start, size)."""

    def __init__(self) -> None:
        self.db_plc, self.db_edge = bytearray(DB_PLC.size), bytearray(DB_EDGE.size)
        self.writes: list[tuple[int, int, int]] = []
        self.program = PlcProgram(BOOT, GATE)
        self.port = free_port()
        self.start()

    def start(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        raise NotImplementedError

    def take_away(self, block: int) -> None:
        """As if there were no such block."""
        raise NotImplementedError

    def link(self) -> BlockLink:
        raise NotImplementedError

    def link_to_nowhere(self) -> BlockLink:
        """To this server, at a place where there is no block."""
        raise NotImplementedError

    def words(self, what: str) -> str:
        """What the link calls a thing, as a pattern."""
        raise NotImplementedError

    def scan(self) -> list[tuple[int, str]]:
        """Consume and publish; (part_seq, how) of what was consumed."""
        found = self.program.consume(bytes(self.db_edge), time.monotonic_ns())
        self.program.publish(self.db_plc)
        return [(slot["part_seq"], how) for slot, how in found]

    def restart(self) -> None:
        self.db_plc[:], self.db_edge[:] = bytes(DB_PLC.size), bytes(DB_EDGE.size)
        self.program = PlcProgram(self.program.boot_id + 1, GATE)
        self.program.publish(self.db_plc)

    def write_header(self, **changes: int) -> None:
        values = {field.name: 0 for field in PLC_HEADER.fields} | {"layout_version": 1, "boot_id": BOOT}
        self.db_plc[: PLC_HEADER.size] = PLC_HEADER.pack(**(values | changes))

    def header(self) -> dict[str, Any]:
        found = EDGE_HEADER.unpack(self.db_edge[: EDGE_HEADER.size])
        assert found is not None
        return found

    def slot(self, number: int) -> dict[str, Any] | None:
        at = DB_EDGE.offset(VERDICT, number)
        return VERDICT.unpack(self.db_edge[at : at + VERDICT.size])

    def slots(self) -> dict[int, int]:
        """slot -> seq of all that is written."""
        return {number: found["seq"] for number in range(32) if (found := self.slot(number)) is not None}


class S7Plc(Plc):
    def start(self) -> None:
        self.server = Server(log=False)
        self.server.register_area(SrvArea.DB, 100, self.db_plc)
        self.server.register_area(SrvArea.DB, 101, self.db_edge)
        self.server.set_events_callback(self._on_event)
        self.server.start_to("127.0.0.1", self.port)

    def _on_event(self, event: Any) -> None:
        if event.EvtCode == WRITE:
            self.writes.append((event.EvtParam2, event.EvtParam3, event.EvtParam4))

    def stop(self) -> None:
        self.server.stop()

    def take_away(self, block: int) -> None:
        self.server.unregister_area(SrvArea.DB, block)

    def link(self) -> BlockLink:
        return s7_link(self.port)

    def link_to_nowhere(self) -> BlockLink:
        return s7_link(self.port, db_plc=200)

    def words(self, what: str) -> str:
        return {
            "address": f"s7://127.0.0.1:{self.port} rack 0 slot 1",
            "block": "DB100",
            "edge": "DB101",
            "no plc": r"cannot read DB100 bytes 0\.\.",
            "no edge": r"cannot read DB101 bytes 2048\.\.2111",
            "nowhere": r"cannot read DB200 bytes 0\.\.319",
        }[what]


class Snap7Plc(S7Plc):
    """The server that the S7 world is tested with: nothing of it is ours, nor python-snap7's."""

    def start(self) -> None:
        needs_peers()
        self.peer = Snap7Server(self.port)
        self.db_plc, self.db_edge = (RemoteBlock(self.peer, 100, 320), RemoteBlock(self.peer, 101, 2112))  # type: ignore[assignment]

    @property  # type: ignore[override]
    def writes(self) -> list[tuple[int, int, int]]:
        time.sleep(0.05)  # the server tells of a write after it has answered it
        told = self.peer.writes()
        self._writes += told[self._told :]
        self._told = len(told)
        return self._writes

    @writes.setter
    def writes(self, first: list[tuple[int, int, int]]) -> None:
        self._writes, self._told = first, 0

    def stop(self) -> None:
        self.peer.stop()

    def take_away(self, block: int) -> None:
        self.peer.ask("drop", block)


class ModbusPlc(Plc):
    def start(self) -> None:
        self.server = RegisterServer(self.port, {0: self.db_plc, 1000: self.db_edge}, self._on_request)

    def _on_request(self, request: Request) -> None:
        if request.code == WRITE_REGISTERS:
            block, base = (101, 1000) if request.address >= 1000 else (100, 0)
            self.writes.append((block, 2 * (request.address - base), 2 * request.count))

    def stop(self) -> None:
        self.server.stop()

    def take_away(self, block: int) -> None:
        del self.server.blocks[{100: 0, 101: 1000}[block]]

    def link(self) -> BlockLink:
        return modbus_link(self.port)

    def link_to_nowhere(self) -> BlockLink:
        return modbus_link(self.port, plc_address=30000)

    def words(self, what: str) -> str:
        refused = ".*refused with exception code 2"
        return {
            "address": f"modbus://127.0.0.1:{self.port} unit 1",
            "block": "the block from register 0",
            "edge": "the block from register 1000",
            "no plc": r"cannot read registers 0\.\." + refused,
            "no edge": r"cannot read registers 2024\.\.2055" + refused,
            "nowhere": r"cannot read registers 30000\.\.30119" + refused,
        }[what]


class CommPlusPlc(Plc):
    def start(self) -> None:
        blocks = {100: self.db_plc, 101: self.db_edge}
        self.server = CommPlusServer(self.port, blocks, lambda *written: self.writes.append(written))

    def stop(self) -> None:
        self.server.stop()

    def take_away(self, block: int) -> None:
        self.server.take_away(block)

    def link(self) -> BlockLink:
        return commplus_link(self.port)

    def link_to_nowhere(self) -> BlockLink:
        return commplus_link(self.port, db_plc=200)

    def words(self, what: str) -> str:
        return {
            "address": f"s7commplus://127.0.0.1:{self.port}",
            "block": "DB100",
            "edge": "DB101",
            "no plc": r"cannot read DB100 bytes 0\.\.",
            "no edge": r"cannot read DB101 bytes 2048\.\.2111",
            "nowhere": r"cannot read DB200 bytes 0\.\.319",
        }[what]


class OptimizedPlc(CommPlusPlc):
    """Its blocks have no bytes to address: every value is read and written by its name."""

    def start(self) -> None:
        blocks = {100: self.db_plc, 101: self.db_edge}
        self.server = CommPlusServer(self.port, blocks, self._on_write, optimized=True)

    def _on_write(self, block: int, start: int, _size: int) -> None:
        """A record comes value by value, the last one first. It counts as one write, with its first value."""
        record = 64 * (start // 64)
        if start == record:
            self.writes.append((block, start, 64))

    def link(self) -> BlockLink:
        return commplus_link(self.port, symbolic=True)

    def link_to_nowhere(self) -> BlockLink:
        return commplus_link(self.port, symbolic=True, db_plc=200)

    def words(self, what: str) -> str:
        unknown = {
            "no plc": "cannot look up the values of DB100",
            "no edge": "cannot look up the values of DB101",
            "nowhere": "cannot look up the values of DB200",
        }
        return unknown.get(what) or super().words(what)


@pytest.fixture(
    params=[S7Plc, Snap7Plc, ModbusPlc, CommPlusPlc, OptimizedPlc],
    ids=["s7", "snap7", "modbus", "s7commplus", "optimized"],
)
def plc(request: pytest.FixtureRequest) -> Iterator[Plc]:
    made: Plc = request.param()
    made.program.publish(made.db_plc)
    yield made
    made.stop()


@pytest.fixture
def link(plc: Plc) -> Iterator[BlockLink]:
    made = plc.link()
    yield made
    made.close()


def heard(link: BlockLink, status: StationStatus = READY) -> PlcInput:
    found = link.exchange(status)
    assert found is not None
    return found


def exchanged_in_vain(link: BlockLink, times: int) -> None:
    for _ in range(times):
        assert link.exchange(READY) is None


def ready(link: BlockLink) -> BlockLink:
    link.open()
    heard(link)
    assert link.connected
    return link


# Safe until armed.


def test_an_open_link_is_silent_until_the_first_exchange(plc: Plc, link: BlockLink) -> None:
    link.open()
    assert link.deliver([judged(1)]) == 0
    link.close()
    assert plc.writes == []
    assert not any(plc.db_edge)


def scanning(plc: Plc) -> AbstractContextManager[None]:
    """The PLC's program runs, as long as the block of code does."""

    @contextmanager
    def run() -> Iterator[None]:
        stop = threading.Event()

        def scans() -> None:
            while not stop.wait(0.01):
                plc.program.publish(plc.db_plc)

        thread = threading.Thread(target=scans)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    return run()


def test_a_probe_changes_nothing_and_says_what_is_there(plc: Plc, link: BlockLink) -> None:
    plc.program.photo_eye(0)
    plc.scan()
    before = bytes(plc.db_edge)
    with scanning(plc):
        assert link.probe() == plc.words("address") + ", both blocks there, trigger 1"
    assert bytes(plc.db_edge) == before
    assert plc.writes == [(101, 0, EDGE_HEADER.size)], "whether it may write, it has tried with what stood there"
    assert not link.connected


def test_a_look_gives_what_the_plc_says_and_writes_nothing(plc: Plc, link: BlockLink) -> None:
    plc.program.photo_eye(77)
    plc.scan()
    heard = link.look()
    assert heard is not None
    assert [(trigger.part_seq, trigger.count) for trigger in heard.triggers] == [(1, 77)]
    assert plc.writes == []
    assert not link.connected


def test_a_probe_does_not_write_where_a_daemon_is_at_work(plc: Plc, link: BlockLink) -> None:
    stop = threading.Event()

    def beats() -> None:
        other = plc.link()
        other.open()
        while not stop.wait(0.02):
            other.exchange(READY)
        other._wire.close()

    thread = threading.Thread(target=beats)
    thread.start()
    try:
        wait_for(lambda: EDGE_HEADER.unpack(bytes(plc.db_edge[:64])))
        plc.writes.clear()
        with scanning(plc):
            found = link.probe()
            while "Its heartbeat stands still" in found:  # the scanning thread had no time
                found = link.probe()
    finally:
        stop.set()
        thread.join()
    assert found.endswith(f". A daemon (boot_id {DAEMON:08x}) writes to {plc.words('edge')}, so writing was not tried")


def test_a_probe_says_that_the_plcs_program_stands_still(link: BlockLink) -> None:
    assert "Its heartbeat stands still: is the PLC in STOP" in link.probe()


@pytest.mark.parametrize(
    ("spoil", "error", "what", "words"),
    [
        (
            lambda plc: plc.db_plc.__setitem__(slice(0, 32), bytes(32)),
            LayoutError,
            "block",
            "holds no header of layout 1",
        ),
        (lambda plc: plc.write_header(layout_version=2), LayoutError, "block", "holds no header of layout 1"),
        (lambda plc: plc.take_away(101), DeviceError, "no edge", ""),
        (lambda plc: plc.take_away(100), DeviceError, "no plc", ""),
    ],
    ids=["blank", "other layout", "no DB_Edge", "no DB_Plc"],
)
def test_a_probe_names_what_is_missing(
    plc: Plc, link: BlockLink, spoil: Callable[[Plc], None], error: type[DeviceError], what: str, words: str
) -> None:
    spoil(plc)
    with pytest.raises(error, match=f"{plc.words(what)}.*{words}"):
        link.probe()
    assert plc.writes == []


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda plc: plc.write_header(layout_version=2), "has layout 2, this daemon needs 1"),
        (lambda plc: plc.write_header(boot_id=0), "has boot_id 0: the PLC program has not initialised it"),
        (lambda plc: plc.db_plc.__setitem__(slice(0, 320), bytes(320)), "holds no valid header: wrong block, "),
        (
            lambda plc: plc.db_plc.__setitem__(slice(0, 320), b"\x5a" * 320),
            "holds no valid header: wrong block, ",
        ),
        (
            lambda plc: plc.db_plc.__setitem__(slice(0, 320), bytes(range(160)) * 2),
            "holds no valid header: wrong block, ",
        ),
    ],
    ids=["other layout", "not initialised", "blank", "constant", "garbage"],
)
def test_a_plc_of_another_layout_is_refused_in_clear_words_and_never_written_to(
    plc: Plc, link: BlockLink, spoil: Callable[[Plc], None], words: str
) -> None:
    spoil(plc)
    link.open()
    with pytest.raises(LayoutError, match=f"{plc.words('block')} .*{words}"):
        exchanged_in_vain(link, 10)
    assert not link.connected
    assert link.deliver([judged(1)]) == 0
    link.close()
    assert plc.writes == []


def test_a_missing_block_is_a_device_error(plc: Plc) -> None:
    wrong = plc.link_to_nowhere()
    wrong.open()
    with pytest.raises(DeviceError, match=plc.words("nowhere")):
        wrong.exchange(READY)
    assert not wrong.connected
    wrong.close()


def test_calls_on_a_closed_link_are_device_errors_or_nothing(link: BlockLink) -> None:
    link.close()
    with pytest.raises(DeviceError, match="not connected"):
        link.exchange(READY)
    assert link.deliver([judged(1)]) == 0
    link.close()


@pytest.mark.parametrize("make", [s7_link, modbus_link])
def test_nobody_listening_is_a_device_error(make: Callable[[int], BlockLink]) -> None:
    with pytest.raises(DeviceError, match="cannot connect"):
        make(free_port()).open()


# What is on the wire.


def test_an_exchange_writes_the_header_alone_and_its_heartbeat_counts_up(plc: Plc, link: BlockLink) -> None:
    ready(link)
    first = plc.header()["heartbeat"]
    heard(link)
    assert plc.header()["heartbeat"] == first + 1
    assert plc.writes == [(101, 0, EDGE_HEADER.size)] * 2


def test_the_header_says_who_speaks_to_whom_and_how_the_station_is(plc: Plc, link: BlockLink) -> None:
    ready(link)
    heard(
        link,
        StationStatus(
            StationState.DEGRADED, ErrorCode.CAMERA_LOST, 4, parts=10, rejected=2, not_inspected=2**32 + 3, busy=True
        ),
    )
    header = plc.header()
    assert header.pop("heartbeat") > 0
    assert header.pop("session_id") > 0
    assert header == {
        "layout_version": 1,
        "status": 0b0111,
        "boot_id": DAEMON,
        "plc_boot_id": BOOT,
        "last_seq": 0,
        "parts": 10,
        "rejected": 2,
        "not_inspected": 3,
        "error_code": 101,
        "recipe_id": 4,
    }


@pytest.mark.parametrize(
    ("state", "bits"),
    [
        ("starting", 0),
        ("ready", 0b0001),
        ("degraded", 0b0101),
        ("off", 0b100000),
        ("fault", 0b1000),
        ("stopping", 0),
    ],
)
def test_each_state_has_its_bits(plc: Plc, link: BlockLink, state: str, bits: int) -> None:
    ready(link)
    heard(link, StationStatus(StationState(state), ErrorCode.NONE, 4))
    assert plc.header()["status"] == bits


def test_what_the_plc_says_is_heard(plc: Plc, link: BlockLink) -> None:
    for count in (100, 2**31 - 1, -(2**31)):
        plc.program.photo_eye(count)
    plc.program.triggers[1].answered = True
    plc.program.publish(plc.db_plc)
    link.open()
    found = heard(link)
    assert (found.boot_id, found.trigger_seq, found.enable, found.reset, found.line_running) == (
        BOOT,
        3,
        True,
        False,
        True,
    )
    assert [(trigger.part_seq, trigger.count, trigger.answered) for trigger in found.triggers] == [
        (1, 100, True),
        (2, 2**31 - 1, False),
        (3, -(2**31), False),
    ]


def test_triggers_come_in_order_whatever_slot_they_are_in_and_damaged_ones_are_left_out(
    plc: Plc, link: BlockLink
) -> None:
    for count in range(21):
        plc.program.photo_eye(count)
    plc.program.publish(plc.db_plc)
    plc.db_plc[DB_PLC.offset(TRIGGER, 7) + 5] ^= 1
    link.open()
    assert [trigger.part_seq for trigger in heard(link).triggers] == [6, *range(8, 22)]


def test_a_verdict_is_written_as_the_manual_says(plc: Plc, link: BlockLink) -> None:
    ready(link)
    defects = tuple(
        Defect("cam", name, area_mm2=area, length_mm=3.0, confidence=confidence, x_mm=1, y_mm=1)
        for name, area, confidence in (("crack", 2, 0.75), ("pore", 1.5, 0.875))
    )
    views = tuple(
        PlacedView(View("cam", 1, captured_ns), Position(count, 1.0, 1))
        for captured_ns, count in ((4_000_000, 2**31 + 99.6), (3_000_000, 50.0))
    )
    rejected = judged(1, 12, rejects=True, defects=defects, views=views, error_mm=0.5)
    rejected = replace(rejected, part=replace(rejected.part, due_count=2**31 + 5))
    assert link.deliver([rejected]) == 1
    at = DB_EDGE.offset(VERDICT, 1)
    raw = bytes(plc.db_edge[at : at + VERDICT.size])
    session = plc.header()["session_id"]
    assert raw[:44] == struct.pack(
        ">IIIiiBBBBHHffIf", 1, session, 12, -(2**31) + 100, -(2**31) + 5, 2, 1, ord("C"), 2, 1, 4, 3.5, 0.875, 1000, 0.5
    )
    assert not any(raw[44:62])


def test_a_verdict_without_views_or_defects_has_zeros_for_them(plc: Plc, link: BlockLink) -> None:
    ready(link)
    link.deliver([judged(1, rejects=True, decision=Decision.NOT_INSPECTED, reason=Reason.LATE, grade="", error_mm=0.0)])
    slot = plc.slot(1)
    assert slot is not None
    for name in ("capture_count", "grade", "defect_class", "area_mm2", "max_confidence", "latency_us"):
        assert slot[name] == 0
    assert (slot["decision"], slot["reason"], slot["flags"]) == (3, 10, 1)


def test_each_verdict_is_one_write_of_one_record(plc: Plc, link: BlockLink) -> None:
    ready(link)
    plc.writes.clear()
    assert link.deliver([judged(seq) for seq in (1, 2, 3)]) == 3
    assert plc.writes == [(101, DB_EDGE.offset(VERDICT, seq), 64) for seq in (1, 2, 3)]


# The ring.


def test_a_verdict_arrives_and_its_acknowledgement_comes_back(plc: Plc, link: BlockLink) -> None:
    plc.program.photo_eye(4000)
    plc.scan()
    ready(link)
    assert link.deliver([judged(1, rejects=True)]) == 1
    assert link.backlog == 1
    assert plc.scan() == [(1, "in time")]
    assert heard(link).triggers[0].answered
    assert link.backlog == 0
    assert [action.fired for action in plc.program.gate(4000 + GATE)] == [True]


def test_the_same_verdict_delivered_again_is_written_once(plc: Plc, link: BlockLink) -> None:
    ready(link)
    assert link.deliver([judged(1)]) == 1
    plc.writes.clear()
    assert link.deliver([judged(1), judged(2)]) == 2
    assert plc.writes == [(101, DB_EDGE.offset(VERDICT, 2), 64)]
    assert plc.slots() == {1: 1, 2: 2}


def test_a_plc_that_does_not_acknowledge_gets_31_verdicts_and_none_of_them_is_overwritten(
    plc: Plc, link: BlockLink
) -> None:
    ready(link)
    waiting = [judged(seq) for seq in range(1, 41)]
    assert link.deliver(waiting) == 31
    full = bytes(plc.db_edge)
    assert plc.slots() == {seq: seq for seq in range(1, 32)}
    assert link.deliver(waiting[31:]) == 0
    heard(link)
    assert plc.db_edge[EDGE_HEADER.size :] == full[EDGE_HEADER.size :]
    assert link.connected

    plc.scan()
    heard(link)
    assert link.deliver(waiting[31:]) == 9
    assert plc.scan() == [(seq, "late") for seq in range(32, 41)]


def test_hundreds_of_verdicts_arrive_in_order_and_once_while_the_plc_reads_when_it_likes(
    plc: Plc, link: BlockLink
) -> None:
    ready(link)
    waiting, consumed = [judged(seq) for seq in range(1, 301)], []
    for turn in range(400):
        del waiting[: link.deliver(waiting[:7])]
        if turn % 5 == 0:
            consumed += [part_seq for part_seq, _ in plc.scan()]
            heard(link)
    assert consumed == list(range(1, 301))


def test_a_slot_that_somebody_else_wrote_is_told_and_the_link_goes_on_in_a_session_of_its_own(
    plc: Plc, link: BlockLink
) -> None:
    plc.program.photo_eye(4000)
    plc.program.photo_eye(8000)
    plc.scan()
    ready(link)
    assert link.deliver([judged(1)]) == 1
    session, slot = plc.header()["session_id"], plc.slot(1)
    assert slot is not None
    forged = VERDICT.pack(**slot | {"seq": 2, "part_seq": 2, "decision": 1})
    plc.db_edge[DB_EDGE.offset(VERDICT, 2) : DB_EDGE.offset(VERDICT, 3)] = forged
    assert plc.scan() == [(1, "in time"), (2, "in time")]
    heard(link)
    ((code, what),) = link.incidents()
    assert code is ErrorCode.OTHER_WRITER
    assert what == (
        f"the PLC consumed slot 2 of {plc.words('edge')}, which this station never wrote: part 2 ACCEPT. Find out who "
        "writes there (docs/plc.md)"
    )
    assert link.connected
    assert plc.header()["session_id"] not in (0, session)
    assert link.deliver([judged(2), judged(3)]) == 2
    assert [part_seq for part_seq, _ in plc.scan()] == [1, 2, 3], "what was not acknowledged comes once more"
    heard(link)
    assert (link.backlog, link.incidents()) == (0, [])


def _look_again(link: BlockLink) -> None:
    link._look_ns = 0
    heard(link)


@pytest.mark.parametrize("taken", ["not yet", "taken"])
def test_a_slot_that_somebody_else_wrote_over_is_told_and_the_verdict_comes_again(
    plc: Plc, link: BlockLink, taken: str
) -> None:
    plc.program.photo_eye(4000)
    plc.program.photo_eye(8000)
    plc.scan()
    ready(link)
    link.deliver([judged(1, rejects=True)])
    session, slot = plc.header()["session_id"], plc.slot(1)
    assert slot is not None
    forged = VERDICT.pack(**slot | {"part_seq": 2, "decision": 1})
    plc.db_edge[DB_EDGE.offset(VERDICT, 1) : DB_EDGE.offset(VERDICT, 2)] = forged
    if taken == "taken":
        assert plc.scan() == [(2, "in time")]
    _look_again(link)
    ((code, what),) = link.incidents()
    assert code is ErrorCode.OTHER_WRITER
    assert what == (
        f"slot 1 of {plc.words('edge')} was overwritten: part 1 REJECT became part 2 ACCEPT. Find out who writes "
        "there (docs/plc.md)"
    )
    heard(link)
    assert plc.header()["session_id"] not in (0, session)
    assert plc.scan() == [(1, "in time")]
    _look_again(link)
    assert (link.backlog, link.incidents(), link.events["foreign_slot"]) == (0, [], 1)


def test_a_taken_slot_that_was_written_over_is_told_though_the_ring_is_full_by_now(plc: Plc, link: BlockLink) -> None:
    plc.program.photo_eye(4000)
    plc.scan()
    ready(link)
    link.deliver([judged(1, rejects=True)])
    slot = plc.slot(1)
    assert slot is not None
    forged = VERDICT.pack(**slot | {"decision": 1})
    plc.db_edge[DB_EDGE.offset(VERDICT, 1) : DB_EDGE.offset(VERDICT, 2)] = forged
    plc.scan()
    link._look_ns = time.monotonic_ns()
    heard(link)
    assert link.deliver([judged(seq) for seq in range(2, 40)]) == 31
    _look_again(link)
    ((code, what),) = link.incidents()
    assert code is ErrorCode.OTHER_WRITER
    assert "part 1 REJECT became part 1 ACCEPT" in what
    assert link.backlog == 31


@pytest.mark.parametrize("change", [{}, {"seq": 9}, {"session_id": 7}, None], ids=["same", "seq", "session", "zeros"])
def test_a_slot_that_the_plc_does_not_take_is_nobody_elses_verdict(
    plc: Plc, link: BlockLink, change: dict[str, int] | None
) -> None:
    ready(link)
    link.deliver([judged(1)])
    slot = plc.slot(1)
    assert slot is not None
    other = bytes(VERDICT.size) if change is None else VERDICT.pack(**slot | change)
    plc.db_edge[DB_EDGE.offset(VERDICT, 1) : DB_EDGE.offset(VERDICT, 2)] = other
    _look_again(link)
    assert (link.incidents(), link.events["foreign_slot"]) == ([], 0)


@pytest.mark.parametrize("make", [S7Plc, ModbusPlc], ids=["s7", "modbus"])
def test_with_a_key_all_that_is_written_carries_its_tag_under_new_numbers_too(make: type[Plc], tmp_path: Path) -> None:
    key = bytes(range(32))
    (tmp_path / "plc.key").write_text(key.hex())
    (tmp_path / "plc.key").chmod(0o600)
    plc = make()
    plc.program.publish(plc.db_plc)
    keyed = s7_link if make is S7Plc else modbus_link
    link = keyed(plc.port, auth_key_file=tmp_path / "plc.key")

    def tagged(at: int, letter: bytes) -> bool:
        raw = bytes(plc.db_edge[at : at + 64])
        return raw[46:62] == hmac.digest(key, letter + raw[:46], "sha256")[:16]

    try:
        ready(link)
        link.deliver([judged(1)])
        assert tagged(0, b"H")
        assert tagged(64 + 64, b"V")
        before = bytes(plc.db_edge[64:])
        link._number_anew()
        heard(link)
        assert bytes(plc.db_edge[64:]) != before
        assert tagged(0, b"H")
        assert tagged(64 + 64, b"V")
        assert plc.scan() == [(1, "late")], "a program without the key takes it as ever"
    finally:
        link.close()
        plc.stop()


def test_an_acknowledgement_read_once_and_not_again_is_ignored(plc: Plc, link: BlockLink) -> None:
    ready(link)
    link.deliver([judged(1)])
    session = plc.header()["session_id"]
    plain = link._wire.read
    torn = bytearray(plc.db_plc)
    values = PLC_HEADER.unpack(bytes(torn[:32]))
    assert values is not None
    torn[:32] = PLC_HEADER.pack(**values | {"ack_session": session, "ack_seq": 7})
    answers = [bytes(torn)]
    link._wire.read = lambda block, start, size: answers.pop() if answers else plain(block, start, size)  # type: ignore[method-assign]
    assert link.exchange(READY) is None
    heard(link)
    assert (link.incidents(), plc.header()["session_id"]) == ([], session)


def test_slots_that_are_gone_are_said_to_be_gone(plc: Plc, link: BlockLink) -> None:
    ready(link)
    plc.write_header(ack_session=plc.header()["session_id"], ack_seq=1_000_000, heartbeat=2)
    heard(link)
    ((_, what),) = link.incidents()
    assert "the PLC consumed slots 1 to 1000000 of" in what
    assert "never wrote: they are gone. Find out" in what


def test_a_plc_that_took_up_another_session_in_between_gets_the_rest_under_new_numbers(
    plc: Plc, link: BlockLink
) -> None:
    ready(link)
    for seq in range(1, 40):  # slot 1 is long another one's
        link.deliver([judged(seq)])
        plc.scan()
        heard(link)
    assert link.deliver([judged(40), judged(41)]) == 2
    session, ours = plc.header()["session_id"], bytes(plc.db_edge[: EDGE_HEADER.size])
    plc.db_edge[: EDGE_HEADER.size] = EDGE_HEADER.pack(**plc.header() | {"session_id": session ^ 1})
    assert plc.scan() == []
    plc.db_edge[: EDGE_HEADER.size] = ours
    assert plc.scan() == []
    heard(link)
    assert plc.header()["session_id"] not in (0, session)
    assert plc.scan() == [(40, "late"), (41, "late")]
    heard(link)
    assert link.backlog == 0
    assert link.deliver([judged(42)]) == 1
    assert plc.scan() == [(42, "late")]


def test_a_slot_that_somebody_wiped_is_written_again_when_the_plc_makes_no_progress(
    plc: Plc, link: BlockLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_inspector.plc.block_link._STUCK_NS", 50_000_000)
    ready(link)
    link.deliver([judged(1)])
    at = DB_EDGE.offset(VERDICT, 1)
    plc.db_edge[at : at + 64] = bytes(64)
    heard(link)
    assert plc.scan() == []
    time.sleep(0.06)
    heard(link)
    assert plc.scan() == [(1, "late")]


def believed(link: BlockLink) -> PlcInput:
    """Exchanges until what the PLC says is believed."""
    found: PlcInput = wait_for(lambda: link.exchange(READY))
    return found


def test_after_numbers_fell_nothing_of_before_is_delivered_and_the_link_goes_on(plc: Plc, link: BlockLink) -> None:
    for count in range(1, 18):
        plc.program.photo_eye(count * 1000)
    plc.scan()
    ready(link)
    first = heard(link)
    assert link.deliver([judged(1, 16)]) == 1
    session = plc.header()["session_id"]
    plc.program.trigger_seq = 0
    plc.program.triggers.clear()
    plc.program.tracked.clear()
    plc.program.photo_eye(99_000)
    plc.program.publish(plc.db_plc)

    assert link.exchange(READY) is None
    assert not link.connected
    assert link.deliver([judged(2, 17)]) == 0, "nothing is said as long as it is not clear of which part 17"
    anew = believed(link)
    assert (anew.run_key, anew.fresh) == ((BOOT, first.run + 1), False)
    assert [trigger.part_seq for trigger in anew.triggers] == [1]
    ((code, what),) = link.incidents()
    assert code is ErrorCode.PLC_NUMBERS
    assert what.startswith("trigger_seq fell from 17 to 1 without a new boot_id. Earlier parts count as past.")
    assert link.troubles == {}
    assert plc.header()["session_id"] not in (0, session)
    assert (link.backlog, link.deliver([judged(2, 17)])) == (0, 1), "void"
    assert plc.scan() == [], "what lies in the ring is of the session before"
    assert link.deliver([replace(judged(3, 1), part=replace(judged(3, 1).part, run=anew.run))]) == 1
    assert plc.scan() == [(1, "in time")]


def test_a_doubt_that_lasts_is_a_trouble_and_the_heartbeat_goes_on(plc: Plc, link: BlockLink) -> None:
    plc.write_header(trigger_seq=40, heartbeat=1)
    ready(link)
    before = plc.header()["heartbeat"]
    plc.write_header(trigger_seq=2**32 - 1, heartbeat=2)
    exchanged_in_vain(link, 1)
    assert link.troubles == {}
    exchanged_in_vain(link, 1)
    ((code, why),) = link.troubles.items()
    assert code is ErrorCode.PLC_NUMBERS
    assert "trigger_seq jumped from 40 to 4294967295" in why
    assert plc.header()["heartbeat"] == before + 2
    plc.write_header(trigger_seq=40, heartbeat=3)
    assert heard(link).trigger_seq == 40
    assert (link.connected, link.troubles, link.incidents()) == (True, {}, [])


def test_a_run_of_the_plc_that_comes_back_is_numbered_anew(plc: Plc, link: BlockLink) -> None:
    plc.write_header(trigger_seq=4)
    ready(link)
    assert heard(link).run_key == (BOOT, 0)
    plc.write_header(trigger_seq=4, boot_id=BOOT + 1)
    assert believed(link).run_key == (BOOT + 1, 0)
    plc.write_header(trigger_seq=4)
    assert believed(link).run_key == (BOOT, 1)


@pytest.mark.parametrize("when", ["no part yet", "parts"])
def test_words_in_the_other_order_are_refused_before_a_part_is_announced(plc: Plc, link: BlockLink, when: str) -> None:
    if when == "parts":
        plc.program.photo_eye(4000)
        plc.program.photo_eye(8000)
    announced = []

    def exchanged() -> None:
        for _ in range(10):
            plc.program.publish(right := bytearray(DB_PLC.size))
            plc.db_plc[:] = turned(DB_PLC, 0, bytes(right))
            found = link.exchange(READY)
            announced.append(found.trigger_seq if found else 0)

    link.open()
    with pytest.raises(LayoutError, match=r"words of 32-bit values are swapped .*: (write word_order|the PLC must)"):
        exchanged()
    assert not any(announced)
    assert not link.connected


# Interruptions.


def test_a_read_that_meets_the_plc_while_it_writes_is_no_news_and_no_failure(plc: Plc, link: BlockLink) -> None:
    ready(link)
    before = plc.header()["heartbeat"]
    plc.db_plc[9] ^= 1
    exchanged_in_vain(link, 4)
    assert link.connected
    assert plc.header()["heartbeat"] == before + 4
    plc.db_plc[9] ^= 1
    heard(link)
    plc.db_plc[9] ^= 1
    exchanged_in_vain(link, 4)


def test_after_a_lost_connection_what_is_unacknowledged_is_written_again_unchanged(plc: Plc, link: BlockLink) -> None:
    ready(link)
    link.deliver([judged(seq) for seq in (1, 2, 3)])
    plc.scan()
    heard(link)
    link.deliver([judged(seq) for seq in (4, 5)])
    session, slots = plc.header()["session_id"], bytes(plc.db_edge[64:])
    link.close()
    plc.db_edge[64 + 4 * 64 : 64 + 6 * 64] = bytes(128)  # as if the writes had not arrived
    plc.writes.clear()
    link.open()
    assert plc.writes == []
    heard(link)
    assert plc.header()["session_id"] == session
    assert bytes(plc.db_edge[64:]) == slots
    assert [start for _, start, _ in plc.writes[:-1]] == [DB_EDGE.offset(VERDICT, seq) for seq in (4, 5)]
    assert plc.scan() == [(4, "late"), (5, "late")]


def test_a_restarted_plc_gets_a_new_session_from_one_and_no_verdict_on_parts_of_its_old_run(
    plc: Plc, link: BlockLink
) -> None:
    ready(link)
    link.deliver([judged(seq) for seq in (1, 2, 3)])
    old = plc.header()["session_id"]
    plc.restart()
    assert link.exchange(READY) is None, "one reading may be torn"
    believed(link)
    assert plc.header()["session_id"] not in (0, old)
    assert plc.header()["plc_boot_id"] == BOOT + 1
    assert link.backlog == 0

    plc.program.photo_eye(0)
    stale, fresh = judged(4, 4, boot=BOOT), judged(5, 1, boot=BOOT + 1)
    assert link.deliver([stale, fresh]) == 2
    assert plc.slots() == {1: 1}
    assert plc.scan() == [(1, "in time")]


def test_a_restarted_daemon_begins_a_new_session_with_a_plc_that_still_acknowledges_the_old_one(
    plc: Plc, link: BlockLink
) -> None:
    ready(link)
    link.deliver([judged(seq) for seq in (1, 2, 3)])
    plc.scan()
    heard(link)
    link.close()
    plc.program.photo_eye(4000)
    plc.scan()

    second = plc.link()
    ready(second)
    assert second.deliver([judged(1)]) == 1
    assert plc.scan() == [(1, "in time")]
    heard(second)
    assert second.backlog == 0
    second.close()


def test_closing_says_not_ready_once_and_may_be_done_twice(plc: Plc, link: BlockLink) -> None:
    ready(link)
    assert plc.header()["status"] == 1
    link.close()
    assert plc.header()["status"] == 0
    beats = plc.header()["heartbeat"]
    link.close()
    assert plc.header()["heartbeat"] == beats
    assert not link.connected


def test_a_closed_link_opens_again(plc: Plc, link: BlockLink) -> None:
    for _ in range(3):
        ready(link)
        link.close()
    assert plc.header()["heartbeat"] == 6


# The simulated PLC in a process of its own, that can be killed and hung.


class PlcProcess:
    """`edge_inspector.simulation.plc` over a belt that starts now."""

    def __init__(self, folder: Path, port: int, boot: int = 1) -> None:
        self.ledger = folder / "ledger.jsonl"
        line = folder / "line.json"
        if not line.exists():
            Line(
                seed=1,
                start_ns=time.monotonic_ns(),
                speed_mm_s=1000.0,
                pitch_mm=100.0,
                part_length_mm=50.0,
                parts=1000,
                lanes=1,
                gate_mm=100_000.0,
                counts_per_mm=10.0,
            ).write(line)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "edge_inspector.simulation.plc", line, str(port), self.ledger, "--boot", str(boot)],
            cwd=ROOT,
        )

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def events(self, kind: str) -> list[dict[str, Any]]:
        lines = self.ledger.read_text(encoding="utf-8").splitlines()
        return [event for event in map(json.loads, lines) if event["kind"] == kind]


@pytest.fixture
def processes() -> Iterator[list[PlcProcess]]:
    started: list[PlcProcess] = []
    yield started
    for each in started:
        each.kill()


def wait_for(done: Callable[[], object], timeout_s: float = 20.0) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (found := done()):
        assert time.monotonic() < deadline, "not within the time"
        time.sleep(0.01)
    return found


def opened(link: BlockLink) -> PlcInput:
    def attempt() -> PlcInput | None:
        try:
            link.open()
            return link.exchange(READY)
        except DeviceError:
            link.close()
            return None

    found: PlcInput = wait_for(attempt)
    return found


def triggered(link: BlockLink, part_seq: int) -> PlcInput:
    found: PlcInput = wait_for(lambda: (said := link.exchange(READY)) and said.trigger_seq >= part_seq and said)
    return found


@pytest.mark.system
def test_a_killed_plc_is_a_device_error_and_the_next_one_starts_a_new_session(
    tmp_path: Path, processes: list[PlcProcess]
) -> None:
    port = free_port()
    processes.append(PlcProcess(tmp_path, port))
    link = s7_link(port)
    first = opened(link)
    triggered(link, 2)
    assert link.deliver([judged(1, boot=first.boot_id), judged(2, boot=first.boot_id)]) == 2
    wait_for(lambda: link.exchange(READY) and link.backlog == 0)
    assert [event["how"] for event in processes[0].events("verdict")] == ["in time"] * 2

    processes[0].kill()
    with pytest.raises(DeviceError):
        link.deliver([judged(3, boot=first.boot_id)])
    assert not link.connected
    with pytest.raises(DeviceError):
        link.exchange(READY)
    assert link.deliver([judged(4, boot=first.boot_id)]) == 0
    link.close()
    with pytest.raises(DeviceError, match="cannot connect"):
        link.open()

    processes.append(PlcProcess(tmp_path, port, boot=2))
    second = opened(link)
    assert second.boot_id != first.boot_id
    triggered(link, 1)
    # 3 and 4 are on parts of the run that is over: void, and out of the way of 5.
    waiting = [judged(3, boot=first.boot_id), judged(4, boot=first.boot_id), judged(5, 1, boot=second.boot_id)]
    assert link.deliver(waiting) == 3
    wait_for(lambda: link.exchange(READY) and link.backlog == 0)
    told = [(event["boot"], event["part_seq"], event["how"]) for event in processes[1].events("verdict")]
    assert told == [(first.boot_id, 1, "in time"), (first.boot_id, 2, "in time"), (second.boot_id, 1, "in time")]
    link.close()


@pytest.mark.system
def test_a_hung_plc_is_noticed_within_the_timeout_and_gets_each_verdict_once_when_it_goes_on(
    tmp_path: Path, processes: list[PlcProcess]
) -> None:
    port = free_port()
    processes.append(PlcProcess(tmp_path, port))
    link = s7_link(port)
    boot_id = opened(link).boot_id
    triggered(link, 2)
    assert link.deliver([judged(1, boot=boot_id)]) == 1

    freeze(processes[0].process.pid)
    begun = time.monotonic()
    with pytest.raises(DeviceTimeoutError, match="no answer in time"):
        link.deliver([judged(2, boot=boot_id)])  # and this write is applied when the PLC goes on
    assert not link.connected
    link.close()
    with pytest.raises(DeviceTimeoutError, match="cannot connect"):
        link.open()
    # Two timeouts of half a second; python-snap7 on its own would have waited ten.
    assert time.monotonic() - begun < 4.0

    processes[0].send(signal.SIGCONT)
    assert opened(link).boot_id == boot_id
    assert link.deliver([judged(2, boot=boot_id)]) == 1
    wait_for(lambda: link.exchange(READY) and link.backlog == 0)
    told = [(event["part_seq"], event["how"]) for event in processes[0].events("verdict")]
    assert told == [(1, "in time"), (2, "in time")]
    link.close()


def test_the_encoders_record_is_no_part_of_what_the_link_needs(plc: Plc, link: BlockLink) -> None:
    plc.db_plc[DB_PLC.offset(ENCODER) : DB_PLC.offset(ENCODER) + ENCODER.size] = bytes(ENCODER.size)
    ready(link)


# Modbus alone.


@pytest.fixture
def modbus() -> Iterator[ModbusPlc]:
    made = ModbusPlc()
    made.program.publish(made.db_plc)
    yield made
    made.stop()


def test_modbus_requests_are_as_small_as_the_protocol_wants_and_never_cut_a_record(modbus: ModbusPlc) -> None:
    link = modbus.link()
    ready(link)
    link.deliver([judged(1)])
    # Header before triggers: what the header announces is then in its slot. The first time it is read twice.
    assert modbus.server.requests == [
        Request(READ, 0, 120),
        Request(READ, 120, 40),
        Request(READ, 0, 120),
        Request(READ, 120, 40),
        Request(READ, 1000, 32),
        Request(WRITE_REGISTERS, 1000, 32),
        Request(WRITE_REGISTERS, 1064, 32),
    ]
    assert (240 - DB_PLC.offset(TRIGGER)) % TRIGGER.size == 0
    link.close()


def test_a_hung_modbus_plc_is_noticed_within_the_timeout_and_takes_each_verdict_once(modbus: ModbusPlc) -> None:
    link = modbus_link(modbus.port, timeout_s=0.2)
    ready(link)
    modbus.server.hang()
    begun = time.monotonic()
    with pytest.raises(DeviceTimeoutError, match=r"cannot write registers 1064\.\.1095: no answer in time"):
        link.deliver([judged(1)])
    assert time.monotonic() - begun < 2.0
    assert not link.connected
    with pytest.raises(DeviceError, match="not connected"):
        link.exchange(READY)

    modbus.server.go_on()  # and the write that timed out is applied, or not
    link.close()
    ready(link)
    assert link.deliver([judged(1)]) == 1
    assert modbus.scan() == [(1, "late")]
    heard(link)
    assert link.backlog == 0
    link.close()


def test_a_modbus_plc_that_goes_is_a_device_error_and_its_return_is_found(modbus: ModbusPlc) -> None:
    link = modbus.link()
    ready(link)
    modbus.stop()
    with pytest.raises(DeviceError):
        link.deliver([judged(1)])
    link.close()
    with pytest.raises(DeviceError, match="cannot connect"):
        link.open()
    modbus.start()
    ready(link)
    assert modbus.scan() == [(1, "late")]
    link.close()


@pytest.mark.parametrize("address", ["plc_address", "edge_address"])
def test_modbus_blocks_must_fit_and_lie_apart(address: str) -> None:
    for wrong in (65500, 900 if address == "plc_address" else 100):
        with pytest.raises(ValueError, match=r"overlap|beyond register 65535"):
            ModbusSettings(host="plc", **{address: wrong})
    ModbusSettings(host="plc", plc_address=840, edge_address=1000)
