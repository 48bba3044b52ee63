"""Simulated GigE cameras as processes of their own, each on a loopback address of this test run."""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_inspector.cameras import aravis_library
from edge_inspector.errors import DeviceError
from edge_inspector.records import Image
from edge_inspector.simulation.line import Line

OFFSET_MM = 300.0
INTERVAL_S = 0.02
PICTURES = 8
HEIGHT, WIDTH = 48, 64

os.environ.setdefault("PYLON_CAMEMU", "2")  # pylon's own emulated cameras, 0815-0000 and 0815-0001

StartCamera = Callable[..., "GigeProcess"]
_last_bytes = itertools.count(2)


class GigeProcess:
    """One camera; `start` again after `kill` gives a camera that knows nothing of before."""

    def __init__(self, line_file: Path, options: tuple[str, ...]) -> None:
        self.line_file = line_file
        self.line = Line.read(line_file)
        self.address = f"127.{100 + os.getpid() % 100}.{os.getpid() // 100 % 250}.{next(_last_bytes)}"
        self.serial = f"T{os.getpid()}-{self.address.rpartition('.')[2]}"
        self._arguments = [self.address, self.serial, str(line_file), "0", str(OFFSET_MM), *options]
        self.process: subprocess.Popen[str]

    def start(self) -> None:
        command = [sys.executable, "-m", "edge_inspector.simulation.gige", *self._arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline().startswith("ready ")

    def kill(self) -> None:
        self.process.kill()
        self._reap()

    def end(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        self._reap()

    def _reap(self) -> None:
        self.process.wait(10)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


def gige_picture(index: int) -> Image:
    """Smooth, so that a Bayer mosaic can be undone; every index has its own colour."""
    ramp = np.linspace(0, 60, WIDTH, dtype=np.uint8)
    picture = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    for channel, base in enumerate((20 + 20 * index, 100, 180 - 20 * index)):
        picture[:, :, channel] = base + ramp
    return picture


def write_line(folder: Path) -> Path:
    pictures = folder / "pictures"
    pictures.mkdir()
    for index in range(PICTURES):
        cv2.imwrite(str(pictures / f"{index}.png"), gige_picture(index))
    line = Line(
        seed=1,
        start_ns=time.monotonic_ns() - 1_000_000_000,
        speed_mm_s=100.0 / INTERVAL_S,
        pitch_mm=100.0,
        part_length_mm=50.0,
        parts=100_000,
        lanes=1,
        gate_mm=900.0,
        counts_per_mm=10.0,
        frames=str(pictures),
    )
    line.write(folder / "line.json")
    return folder / "line.json"


@contextmanager
def cameras(folder: Path) -> Iterator[StartCamera]:
    try:
        aravis_library.load()
    except DeviceError as error:
        pytest.skip(str(error))
    line_file = write_line(folder)
    started: list[GigeProcess] = []

    def start(*options: str) -> GigeProcess:
        camera = GigeProcess(line_file, options)
        camera.start()
        started.append(camera)
        return camera

    try:
        yield start
    finally:
        for camera in started:
            camera.end()


@pytest.fixture
def start_gige(tmp_path: Path) -> Iterator[StartCamera]:
    with cameras(tmp_path) as start:
        yield start


@pytest.fixture(scope="module")
def gige(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GigeProcess]:
    """One camera without faults for all tests that leave it as it was."""
    with cameras(tmp_path_factory.mktemp("gige")) as start:
        yield start()
