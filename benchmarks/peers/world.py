"""The world around a product: pictures, a line without a belt for products that know none, network cameras."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
from scenarios import LANES, PITCH_MM

from edge_inspector.simulation.demo import Demo, free_port
from edge_inspector.simulation.line import Line
from edge_inspector.simulation.options import DemoOptions
from edge_inspector.simulation.tiles import write_textures

_DEAD_S = 3.0
AFTERWARDS_S = 4.0
OUTAGE_S = _DEAD_S + AFTERWARDS_S
DISTINCT = 8


@dataclass(frozen=True, slots=True)
class World:
    """The files in `folder`, drawn once for all runs."""

    folder: Path

    @classmethod
    def draw(cls, folder: Path) -> Self:
        """Textures, and the pictures of every lane as (lanes, parts, H, W, 3)."""
        world = cls(folder)
        write_textures(folder / "textures.npz", DemoOptions().seed)
        look = world.line(1.0, 0).look
        pictures = [[np.asarray(look.render(part, lane)) for part in range(DISTINCT)] for lane in range(LANES)]
        np.save(world.pictures, np.array(pictures, np.uint8))
        return world

    @property
    def pictures(self) -> Path:
        """The file of the pictures."""
        return self.folder / "pictures.npy"

    def line(self, frames_per_s: float, start_ns: int) -> Line:
        """A line with unlimited parts, this many per second."""
        options = DemoOptions(cameras=LANES, speed_mm_s=frames_per_s * PITCH_MM, pitch_mm=PITCH_MM, parts=60_000)
        return replace(
            Demo(options, self.folder).line,
            distinct=DISTINCT,
            start_ns=start_ns,
            started_by="",
            textures=str(self.folder / "textures.npz"),
        )


class NetworkCameras:
    """feed.py as a process."""

    def __init__(self, line_file: Path) -> None:
        self.ports = [free_port() for _ in range(LANES)]
        script = Path(__file__).with_name("feed.py")
        self._process = subprocess.Popen([sys.executable, str(script), str(line_file), *map(str, self.ports)])

    def urls(self) -> list[str]:
        """One URL for each lane."""
        return [f"http://127.0.0.1:{port}/" for port in self.ports]

    def outage(self) -> tuple[int, int]:
        """Kill the first camera and bring it back. Returns the times of both."""
        died_ns = time.monotonic_ns()
        self._process.send_signal(signal.SIGUSR1)
        time.sleep(_DEAD_S)
        back_ns = time.monotonic_ns()
        self._process.send_signal(signal.SIGUSR2)
        time.sleep(AFTERWARDS_S)
        return died_ns, back_ns

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
