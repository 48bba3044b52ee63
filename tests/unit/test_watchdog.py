"""The service manager's watchdog is fed while every worker comes round, and only then."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from edge_inspector.daemon import Daemon
from edge_inspector.pipeline import build
from edge_inspector.runtime.supervisor import Supervisor
from edge_inspector.runtime.worker import Worker
from edge_inspector.simulation.line import Line
from edge_inspector.simulation.options import DemoOptions
from edge_inspector.simulation.station_files import write_station_files
from edge_inspector.station.load import Station, load_station


class Mill:
    """A stage that comes round while nobody holds it up."""

    name = "mill"
    beat_within_s = 0.4

    def __init__(self) -> None:
        self.free = threading.Event()
        self.free.set()

    def start(self) -> None:
        pass

    def step(self) -> None:
        self.free.wait(30)
        time.sleep(0.01)

    def stop(self, *, failed: bool) -> None:
        pass


@pytest.fixture
def station(tmp_path: Path) -> Station:
    line = Line(
        seed=1, start_ns=0, speed_mm_s=500.0, pitch_mm=400.0, part_length_mm=200.0, parts=1, lanes=1, gate_mm=1500.0,
        counts_per_mm=10.0, frames="",
    )  # fmt: skip
    line.write(tmp_path / "line.json")
    ports = {"plc": 1, "broker": 2, "web": 3}
    return load_station(
        write_station_files(tmp_path, tmp_path / "line.json", line, ports=ports, options=DemoOptions(model_ms=1.0))
    )


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(0.1)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listening


def heard(manager: socket.socket, seconds: float) -> int:
    """How often the watchdog was fed in this time."""
    fed, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            fed += manager.recv(4096) == b"WATCHDOG=1"
        except TimeoutError:
            continue
    return fed


def test_one_worker_that_hangs_starves_the_watchdog(station: Station, manager: socket.socket) -> None:
    mill, daemon = Mill(), Daemon(station)
    supervisor = Supervisor([Worker(mill)], on_fault=lambda *_: None, on_restart=lambda _: None)
    supervisor.start()
    station.segmenter.open()
    pipeline = build(
        station, boot_id=1, conditions=daemon._conditions, first_recipe=station.recipe.id
    )  # connected, never started
    watching = threading.Thread(target=daemon._supervise, args=(pipeline, supervisor))
    watching.start()
    try:
        assert heard(manager, 2.5) >= 1
        mill.free.clear()
        heard(manager, 1.0)
        assert heard(manager, 2.5) == 0
        mill.free.set()
        assert heard(manager, 2.5) >= 1
    finally:
        mill.free.set()
        daemon._stop.set()
        watching.join()
        supervisor.stop(supervisor.workers, time.monotonic_ns() + 10**9)
