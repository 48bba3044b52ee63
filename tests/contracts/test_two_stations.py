"""Two daemons at one PLC: one serves it, the other one is silent and says so."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.register_server import RegisterServer
from support.verdicts import verdict

from edge_inspector.codes import ErrorCode, StationState
from edge_inspector.errors import DeviceError
from edge_inspector.plc import block_link
from edge_inspector.plc.blocks import DB_EDGE, DB_PLC, EDGE_HEADER
from edge_inspector.plc.modbus import ModbusLink
from edge_inspector.plc.modbus_connection import ModbusSettings
from edge_inspector.records import Identity, PlcInput, StationStatus
from edge_inspector.simulation.plc import PlcProgram

BOOT, FIRST, SECOND = 7, 0xAAAA, 0xBBBB
READY = StationStatus(StationState.READY, ErrorCode.NONE, 4)


class Plc:
    """Its program on a real server; whose header stands there is noted at every write."""

    def __init__(self, port: int) -> None:
        self.db_plc, self.db_edge = bytearray(DB_PLC.size), bytearray(DB_EDGE.size)
        self.program = PlcProgram(BOOT, 8000)
        self.server = RegisterServer(port, {0: self.db_plc, 1000: self.db_edge})
        self.port = port
        self.scan()

    def scan(self) -> None:
        self.program.consume(bytes(self.db_edge), time.monotonic_ns())
        self.program.publish(self.db_plc)

    @property
    def writer(self) -> int:
        header = EDGE_HEADER.unpack(bytes(self.db_edge[:64]))
        return 0 if header is None else int(header["boot_id"])


class Station(threading.Thread):
    """A daemon's link at its work: an exchange every 20 ms."""

    def __init__(self, plc: Plc, boot_id: int) -> None:
        super().__init__()
        identity = Identity(
            station="line-1", boot_id=boot_id, state_dir=Path("/nowhere"), counts_per_mm=10.0, defect_classes=()
        )
        self.link = ModbusLink(ModbusSettings(host="127.0.0.1", port=plc.port), identity)
        self.heard: list[PlcInput] = []
        self.troubled: list[str] = []
        self.pause = threading.Event()
        self.end = threading.Event()

    def run(self) -> None:
        self.link.open()
        while not self.end.wait(0.02):
            if self.pause.is_set():
                continue
            try:
                heard = self.link.exchange(READY)
            except DeviceError:
                self.link.open()
                continue
            self.heard += [heard] if heard is not None else []
            self.troubled.append(self.link.troubles.get(ErrorCode.OTHER_WRITER, ""))
        self.link._wire.close()  # as if killed: without a last word

    def kill(self) -> None:
        self.end.set()
        self.join()

    @property
    def trouble(self) -> str:
        return self.troubled[-1] if self.troubled else ""


@pytest.fixture
def plc() -> Iterator[Plc]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    made = Plc(port)
    stop = threading.Event()

    def scans() -> None:
        while not stop.wait(0.01):
            made.scan()

    thread = threading.Thread(target=scans)
    thread.start()
    yield made
    stop.set()
    thread.join()
    made.server.stop()


@pytest.fixture
def station(plc: Plc) -> Iterator[Callable[[int], Station]]:
    started: list[Station] = []

    def start(boot_id: int) -> Station:
        made = Station(plc, boot_id)
        made.start()
        started.append(made)
        return made

    yield start
    for each in started:
        if each.is_alive():
            each.kill()


def wait_for(done: Callable[[], object], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline, "not within the time"
        time.sleep(0.005)


def test_the_second_writes_nothing_hears_nothing_and_says_who_is_there(
    plc: Plc, station: Callable[[int], Station]
) -> None:
    first = station(FIRST)
    wait_for(lambda: plc.writer == FIRST)
    second = station(SECOND)
    wait_for(lambda: second.trouble)
    seen = {plc.writer for _ in range(200) if time.sleep(0.002) is None}
    assert seen <= {FIRST, 0}
    assert f"another daemon (boot_id {FIRST:08x}) writes the block from register 1000." in second.trouble
    assert (second.heard, second.link.connected, second.link.deliver([])) == ([], False, 0)
    assert first.link.connected
    assert set(first.troubled) == {""}


def test_the_second_takes_over_when_the_first_is_gone_for_good_and_begins_anew(
    plc: Plc, station: Callable[[int], Station], caplog: pytest.LogCaptureFixture
) -> None:
    for count in (100, 200):
        plc.program.photo_eye(count)
    first = station(FIRST)
    wait_for(lambda: plc.writer == FIRST)
    second = station(SECOND)
    wait_for(lambda: second.trouble)
    gone = time.monotonic()
    first.kill()
    wait_for(lambda: second.link.connected)
    assert time.monotonic() - gone > 1.9
    wait_for(lambda: second.heard and plc.writer == SECOND)
    assert second.trouble == ""
    assert "no other daemon writes the block from register 1000 any more. This one takes over" in caplog.text
    heard = second.heard[0]
    assert (heard.run, heard.fresh, [trigger.part_seq for trigger in heard.triggers]) == (1, False, [1, 2])
    assert (second.link.events["took_over"], second.link.events["fell_silent"]) == (1, 0)


def test_a_daemon_that_was_killed_is_followed_by_the_next_one_within_half_a_second(
    plc: Plc, station: Callable[[int], Station]
) -> None:
    first = station(FIRST)
    wait_for(lambda: plc.writer == FIRST)
    first.kill()
    begun = time.monotonic()
    second = station(SECOND)
    wait_for(lambda: bool(second.heard))
    assert time.monotonic() - begun > 0.25, "for so long it looked whether the header was a dead one's"
    assert set(second.troubled) == {""}
    assert second.heard[0].run == 0


def test_one_that_was_paused_is_older_when_it_comes_back_and_both_tell(
    plc: Plc, station: Callable[[int], Station]
) -> None:
    first = station(FIRST)
    wait_for(lambda: first.link._heartbeat > 250)
    second = station(SECOND)
    wait_for(lambda: second.trouble)
    first.pause.set()
    wait_for(lambda: plc.writer == SECOND)
    first.pause.clear()
    wait_for(lambda: "was there before it and goes on" in first.trouble)
    wait_for(lambda: "came later and writes nothing" in second.trouble)
    assert second.link.events["fell_silent"] == 1
    wait_for(lambda: not first.trouble)
    assert plc.writer == FIRST
    assert first.link.connected


def test_a_daemon_of_an_older_version_that_looks_at_nothing_is_told_of(
    plc: Plc, station: Callable[[int], Station]
) -> None:
    first = station(FIRST)
    wait_for(lambda: first.link._heartbeat > 150)
    old = Station(plc, SECOND)
    old.link._owner.look = lambda *_: None  # type: ignore[method-assign]
    old.link._owner.begin = lambda: setattr(old.link._owner, "speaks", True)  # type: ignore[method-assign]
    old.start()
    try:
        wait_for(lambda: f"another daemon (boot_id {SECOND:08x}) writes" in first.trouble)
        assert first.link.connected
    finally:
        old.kill()
    wait_for(lambda: not first.trouble)


def test_looking_for_others_costs_one_request_in_five_exchanges(plc: Plc, monkeypatch: pytest.MonkeyPatch) -> None:
    now_ns = time.monotonic_ns()
    monkeypatch.setattr(block_link, "time", SimpleNamespace(monotonic_ns=lambda: now_ns))
    identity = Identity(
        station="line-1", boot_id=FIRST, state_dir=Path("/nowhere"), counts_per_mm=10.0, defect_classes=()
    )
    link = ModbusLink(ModbusSettings(host="127.0.0.1", port=plc.port), identity)
    link.open()
    link.exchange(READY)
    plc.server.requests.clear()
    for _ in range(50):
        now_ns += 20_000_000
        link.exchange(READY)
    looks = [request for request in plc.server.requests if (request.code, request.address) == (3, 1000)]
    link.close()
    assert len(looks) == 10


def test_a_verdict_on_a_part_of_before_the_takeover_is_void(station: Callable[[int], Station]) -> None:
    second = station(SECOND)
    wait_for(lambda: second.heard)
    second.kill()
    link, plain = second.link, verdict(1, part_seq=1)
    link.open()
    wait_for(lambda: link.exchange(READY))
    link._begin_anew()
    assert link.deliver([replace(plain, part=replace(plain.part, plc_boot_id=BOOT))]) == 1
    assert link.backlog == 0
    link.close()
