"""What every encoder driver must do, and what the S7 one does beyond."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from snap7 import Server
from snap7.type import SrvArea
from support.register_server import RegisterServer

from edge_inspector.drivers import Encoder
from edge_inspector.errors import DeviceError, DeviceTimeoutError
from edge_inspector.inspection.timeline import Motion, Timeline
from edge_inspector.plc.blocks import DB_PLC, ENCODER, wrap32
from edge_inspector.plc.modbus import ModbusEncoder
from edge_inspector.plc.modbus_connection import ModbusSettings
from edge_inspector.plc.s7 import S7Encoder
from edge_inspector.plc.s7_connection import S7Settings
from edge_inspector.records import EncoderSample
from edge_inspector.simulation.demo import free_port
from edge_inspector.simulation.encoder import SimulatedEncoder
from edge_inspector.simulation.line import Line
from edge_inspector.simulation.plc import SimulatedPlc

ROOT = Path(__file__).parents[2]
SPEED_MM_S, COUNTS_PER_MM = 1000.0, 10.0
S = 1_000_000_000


def running_line() -> Line:
    """A belt at full speed since ten seconds ago."""
    return Line(
        seed=1,
        start_ns=time.monotonic_ns() - 10 * S,
        speed_mm_s=SPEED_MM_S,
        pitch_mm=100.0,
        part_length_mm=50.0,
        parts=0,
        lanes=1,
        gate_mm=900.0,
        counts_per_mm=COUNTS_PER_MM,
        ripple=0.0,
    )


def simulated(work: Path, line: Line, _stack: ExitStack) -> Encoder:
    line.write(work / "line.json")
    return SimulatedEncoder(SimulatedEncoder.Settings(line=work / "line.json", zero=2**31 - 1000))


def s7(work: Path, line: Line, stack: ExitStack) -> Encoder:
    """Through a real S7 server, with the simulated PLC's scan in a thread of this process."""
    ledger = stack.enter_context((work / "ledger.jsonl").open("w", encoding="utf-8"))
    port, stop = free_port(), threading.Event()
    plc = SimulatedPlc(line, port=port, ledger=ledger, boot=1, panel=work / "panel.json")
    scan = threading.Thread(target=plc.run, args=(stop, threading.Event()))
    scan.start()
    stack.callback(scan.join)
    stack.callback(stop.set)
    made = s7_encoder(port)
    first_sample(made)
    made.close()
    return made


def modbus(_work: Path, line: Line, stack: ExitStack) -> Encoder:
    """Through a real Modbus server, which takes count and time as it is asked."""
    memory, started_ns = bytearray(DB_PLC.size), time.monotonic_ns()

    def publish(_: object) -> None:
        now = time.monotonic_ns()
        show(memory, line.raw_count(line.belt.position_mm(now), 2**31 - 1000), (now - started_ns) // 1000)

    port = free_port()
    server = RegisterServer(port, {0: memory}, publish)
    stack.callback(server.stop)
    return modbus_encoder(port)


def modbus_encoder(port: int, **settings: Any) -> ModbusEncoder:
    return ModbusEncoder(ModbusSettings(host="127.0.0.1", port=port, **settings))


def show(memory: bytearray, count: int, time_us: int, boot_id: int = 7) -> None:
    at = DB_PLC.offset(ENCODER)
    memory[at : at + ENCODER.size] = ENCODER.pack(boot_id=boot_id, count=count, time_us=time_us & 0xFFFFFFFF)


def s7_encoder(port: int, **settings: Any) -> S7Encoder:
    return S7Encoder(S7Settings(host="127.0.0.1", port=port, **settings))


@pytest.fixture
def line() -> Line:
    return running_line()


@pytest.fixture(params=[simulated, s7, modbus], ids=lambda make: make.__name__)
def encoder(request: pytest.FixtureRequest, tmp_path: Path, line: Line) -> Iterator[Encoder]:
    with ExitStack() as stack:
        made: Encoder = request.param(tmp_path, line, stack)
        stack.callback(made.close)
        yield made


def samples(encoder: Encoder, count: int, pause_s: float = 0.012) -> list[EncoderSample]:
    taken = []
    for _ in range(count):
        taken.append(encoder.read())
        time.sleep(pause_s)
    return taken


def test_a_read_before_open_is_a_device_error(encoder: Encoder) -> None:
    with pytest.raises(DeviceError, match=r"not (open|connected)"):
        encoder.read()


def test_a_sample_was_asked_for_and_then_answered_while_the_call_ran(encoder: Encoder) -> None:
    encoder.open()
    for _ in range(5):
        before = time.monotonic_ns()
        sample = encoder.read()
        assert before <= sample.asked_ns <= sample.answered_ns <= time.monotonic_ns()


def test_counts_are_32_bit_and_the_source_names_its_run(encoder: Encoder) -> None:
    encoder.open()
    taken = samples(encoder, 10)
    assert all(-(2**31) <= sample.count < 2**31 for sample in taken)
    assert len({sample.boot_id for sample in taken}) == 1
    assert taken[0].boot_id > 0


def test_counts_follow_the_belt(encoder: Encoder) -> None:
    encoder.open()
    first, *_, last = samples(encoder, 20)
    moved = wrap32(last.count - first.count)
    elapsed_s = (last.asked_ns - first.asked_ns) / 1e9
    # A scan of 10 ms, and what two busy cores make of it.
    assert moved == pytest.approx(elapsed_s * SPEED_MM_S * COUNTS_PER_MM, abs=0.2 * SPEED_MM_S * COUNTS_PER_MM)
    assert moved > 0


def test_the_sources_clock_runs_with_the_hosts_or_is_not_there(encoder: Encoder) -> None:
    encoder.open()
    taken = samples(encoder, 20)
    stamps = [sample.device_ns for sample in taken if sample.device_ns is not None]
    assert len(stamps) in (0, len(taken))
    assert all(after >= before for before, after in pairwise(stamps))
    if stamps:
        elapsed_ns = taken[-1].answered_ns - taken[0].answered_ns
        assert stamps[-1] - stamps[0] == pytest.approx(elapsed_ns, abs=S / 5)


def test_the_timeline_knows_the_belts_place_from_these_samples_to_its_bound(encoder: Encoder, line: Line) -> None:
    timeline = Timeline(Motion(SPEED_MM_S * COUNTS_PER_MM * 1.1, SPEED_MM_S * COUNTS_PER_MM * 4))
    encoder.open()
    for sample in samples(encoder, 40, pause_s=0.007):
        timeline.add(sample)
    assert timeline.epoch == 1
    now = sample.answered_ns
    position = timeline.count_at(now - S // 10, now)
    earlier = timeline.count_at(now - S // 5, now)
    moved = (line.belt.position_mm(now - S // 10) - line.belt.position_mm(now - S // 5)) * COUNTS_PER_MM
    assert position.count - earlier.count == pytest.approx(moved, abs=position.error_counts + earlier.error_counts + 2)


def test_close_twice_and_without_open_and_open_again(encoder: Encoder) -> None:
    encoder.close()
    encoder.open()
    before = encoder.read()
    encoder.close()
    encoder.close()
    with pytest.raises(DeviceError, match=r"not (open|connected)"):
        encoder.read()
    encoder.open()
    after = encoder.read()
    assert after.boot_id == before.boot_id
    assert wrap32(after.count - before.count) >= 0
    if before.device_ns is not None:
        assert after.device_ns is not None
        assert after.device_ns >= before.device_ns


@pytest.mark.parametrize("make", [simulated, s7_encoder, modbus_encoder], ids=["simulated", "s7", "modbus"])
def test_a_source_that_is_not_there_is_a_device_error(make: Any, tmp_path: Path) -> None:
    if make is simulated:
        absent: Encoder = SimulatedEncoder(SimulatedEncoder.Settings(line=tmp_path / "gone.json"))
    else:
        absent = make(free_port())
    with pytest.raises(DeviceError):
        absent.open()
    absent.close()


# The S7 encoder, record by record.


class Source:
    """A server whose encoder record the test writes."""

    def __init__(self) -> None:
        self.memory = bytearray(DB_PLC.size)
        self.writes = 0
        self.port = free_port()
        self.server = Server(log=False)
        self.server.register_area(SrvArea.DB, 100, self.memory)
        self.server.set_events_callback(self._on_event)
        self.server.start_to("127.0.0.1", self.port)

    def _on_event(self, event: Any) -> None:
        self.writes += event.EvtCode == 0x40000

    def show(self, count: int, time_us: int, boot_id: int = 7) -> None:
        show(self.memory, count, time_us, boot_id)


@pytest.fixture
def source() -> Iterator[Source]:
    made = Source()
    yield made
    made.server.stop()


@pytest.fixture
def polled(source: Source) -> Iterator[S7Encoder]:
    made = s7_encoder(source.port)
    made.open()
    yield made
    made.close()


def test_s7_reads_count_run_and_clock_and_writes_nothing(source: Source, polled: S7Encoder) -> None:
    source.show(-(2**31), time_us=1000, boot_id=2**32 - 1)
    first = polled.read()
    source.show(2**31 - 1, time_us=21_000, boot_id=2**32 - 1)
    second = polled.read()
    assert (first.count, first.boot_id) == (-(2**31), 2**32 - 1)
    assert second.count == 2**31 - 1
    assert first.device_ns is not None
    assert second.device_ns == first.device_ns + 20_000_000
    assert source.writes == 0


def test_s7_follows_the_plcs_clock_over_its_wrap_also_across_a_reconnect(source: Source, polled: S7Encoder) -> None:
    stamps = []
    for time_us in (2**32 - 20_000, 2**32 - 1, 2**32 + 20_000, 2**32 + 2**31, 2**33 + 5):
        source.show(0, time_us)
        polled.close()
        polled.open()
        stamps.append(polled.read().device_ns)
    assert all(stamp is not None for stamp in stamps)
    steps = [after - before for before, after in pairwise(stamp for stamp in stamps if stamp is not None)]
    assert steps == [19_999_000, 20_001_000, (2**31 - 20_000) * 1000, (2**31 + 5) * 1000]


@pytest.mark.parametrize("damage", ["bit", "blank"])
def test_s7_refuses_a_record_whose_crc_does_not_hold(source: Source, polled: S7Encoder, damage: str) -> None:
    source.show(5, 1000)
    at = DB_PLC.offset(ENCODER)
    source.memory[at : at + ENCODER.size] = (
        bytes(ENCODER.size)
        if damage == "blank"
        else bytes(byte ^ (index == 6) for index, byte in enumerate(source.memory[at : at + ENCODER.size]))
    )
    with pytest.raises(DeviceError, match="encoder record in DB100 is damaged"):
        polled.read()


def test_s7_names_a_block_that_is_not_there(source: Source) -> None:
    wrong = s7_encoder(source.port, db_plc=200)
    wrong.open()
    with pytest.raises(DeviceError, match=r"cannot read DB200 bytes 32\.\.47"):
        wrong.read()
    wrong.close()


def freeze(pid: int) -> None:
    """SIGSTOP, and wait until it has stopped: the signal alone may come after one more answer."""
    os.kill(pid, signal.SIGSTOP)
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        time.sleep(0.001)


@pytest.mark.system
def test_s7_notices_a_hung_and_a_killed_plc_and_reads_on_when_it_is_back(tmp_path: Path, line: Line) -> None:
    line.write(tmp_path / "line.json")
    port = free_port()
    polled = s7_encoder(port)
    with started(tmp_path, port) as plc:
        boot_id = first_sample(polled).boot_id
        freeze(plc.pid)
        begun = time.monotonic()
        with pytest.raises(DeviceTimeoutError, match="no answer in time"):
            polled.read()
        polled.close()
        with pytest.raises(DeviceTimeoutError, match="cannot connect"):
            polled.open()
        # Two timeouts of half a second; python-snap7 on its own would have waited ten.
        assert time.monotonic() - begun < 4.0
        plc.send_signal(signal.SIGCONT)
        assert first_sample(polled).boot_id == boot_id
        plc.kill()
        with pytest.raises(DeviceError):
            polled.read()
        with pytest.raises(DeviceError, match="not connected"):
            polled.read()
    with started(tmp_path, port):
        assert first_sample(polled).boot_id != boot_id
        polled.close()


class started:  # noqa: N801 -- reads as a word in `with`
    """The simulated PLC in a process of its own."""

    def __init__(self, folder: Path, port: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "edge_inspector.simulation.plc", folder / "line.json", str(port), folder / "ledger"],
            cwd=ROOT,
        )

    def __enter__(self) -> "subprocess.Popen[bytes]":
        return self._process

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(10)


def first_sample(encoder: S7Encoder) -> EncoderSample:
    """Until the PLC is up and has scanned once."""
    deadline = time.monotonic() + 20.0
    while True:
        try:
            encoder.open()
            return encoder.read()
        except DeviceError:
            encoder.close()
            assert time.monotonic() < deadline, "not within the time"
            time.sleep(0.02)


# The Modbus encoder, where it is not the S7 one.


def test_modbus_names_registers_that_are_not_there_and_a_damaged_record() -> None:
    port, memory = free_port(), bytearray(DB_PLC.size)
    server = RegisterServer(port, {0: memory})
    wrong, blank = modbus_encoder(port, plc_address=500), modbus_encoder(port)
    try:
        wrong.open()
        with pytest.raises(DeviceError, match=r"cannot read registers 516\.\.523: refused with exception code 2"):
            wrong.read()
        blank.open()
        with pytest.raises(DeviceError, match="encoder record in the block from register 0 is damaged"):
            blank.read()
    finally:
        wrong.close()
        blank.close()
        server.stop()


def test_modbus_notices_a_hung_source_within_its_timeout() -> None:
    port, memory = free_port(), bytearray(DB_PLC.size)
    show(memory, 5, 1000)
    server = RegisterServer(port, {0: memory})
    polled = modbus_encoder(port, timeout_s=0.2)
    try:
        polled.open()
        assert polled.read().count == 5
        server.hang()
        begun = time.monotonic()
        with pytest.raises(DeviceTimeoutError, match="no answer in time"):
            polled.read()
        assert time.monotonic() - begun < 2.0
        server.go_on()
        polled.open()
        assert polled.read().count == 5
    finally:
        polled.close()
        server.stop()
