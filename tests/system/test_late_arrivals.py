"""What is not there when the daemon starts, and can be there in a minute, is waited for."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edge_inspector.simulation.demo import free_port
from edge_inspector.simulation.line import Line
from edge_inspector.simulation.options import DemoOptions
from edge_inspector.simulation.station_files import models_dir, write_station_files

pytestmark = pytest.mark.system


def station_files(folder: Path, options: DemoOptions) -> Path:
    line = Line(
        seed=1, start_ns=0, speed_mm_s=500.0, pitch_mm=400.0, part_length_mm=200.0, parts=1, lanes=1, gate_mm=1500.0,
        counts_per_mm=10.0, frames="",
    )  # fmt: skip
    line.write(folder / "line.json")
    ports = {"plc": free_port(), "broker": free_port(), "web": free_port()}
    return write_station_files(folder, folder / "line.json", line, ports=ports, options=options)


def web_port(station: Path) -> int:
    return int(station.read_text().partition("[web]\nport = ")[2].split()[0])


@contextmanager
def running(station: Path) -> Iterator[Callable[[], str]]:
    """The daemon; what it has logged."""
    log = station.parent / "daemon.log"
    with log.open("w") as out:
        command = [sys.executable, "-m", "edge_inspector", "run", str(station)]
        daemon = subprocess.Popen(command, stderr=out, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    try:
        yield log.read_text
        assert daemon.poll() is None, log.read_text()
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(20)


def wait_until(holds: Callable[[], Any]) -> None:
    until_s = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until_s, "not within the time"
        time.sleep(0.05)


def conditions(port: int) -> list[str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            body = answer.read()
    except urllib.error.HTTPError as error:
        body = error.read()
    except OSError:
        return ["no answer"]
    found: list[str] = json.loads(body)["conditions"]
    return found


def test_a_page_without_its_port_and_a_state_folder_that_comes_late_stop_no_station(tmp_path: Path) -> None:
    station = station_files(tmp_path, DemoOptions(model_ms=1.0))
    (tmp_path / "disk").write_text("no folder yet")
    station.write_text(station.read_text().replace('state_dir = "state"', 'state_dir = "disk/state"'))
    port = web_port(station)
    with socket.create_server(("127.0.0.1", port)) as holder, running(station) as log:
        wait_until(lambda: f"web.port {port} on 127.0.0.1 is taken" in log())
        wait_until(lambda: "is a file where a folder must be" in log())
        holder.close()
        wait_until(lambda: conditions(port) != ["no answer"])
        assert not any("page_lost" in each for each in conditions(port))
        (tmp_path / "disk").unlink()
        wait_until((tmp_path / "disk" / "state" / "outbox.sqlite").exists)


def test_a_models_folder_that_is_mounted_late_is_waited_for(tmp_path: Path) -> None:
    station = station_files(tmp_path, DemoOptions())
    text = station.read_text()
    start = text.index("models_dir = ")
    station.write_text(text[:start] + 'models_dir = "late"' + text[text.index("\n", start) :])
    (tmp_path / "late").mkdir()
    with running(station) as log:
        wait_until(lambda: "is station.models_dir right, and its disk mounted?" in log())
        shutil.copytree(models_dir() / "tile-1.1", tmp_path / "coming" / "tile-1.1")
        (tmp_path / "late").rmdir()
        (tmp_path / "coming").rename(tmp_path / "late")
        wait_until(lambda: conditions(web_port(station)) != ["no answer"])
