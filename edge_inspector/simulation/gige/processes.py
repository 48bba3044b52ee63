"""The demo's simulated GigE cameras: each has its own process and loopback address, from 127.0.0.2 on."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from edge_inspector.errors import EdgeInspectorError
from edge_inspector.simulation.line import camera_offset_mm

_MOST: Final = 250


def camera_address(lane: int) -> str:
    """The address of the lane's camera."""
    return f"127.0.0.{lane + 2}"


class CameraProcesses:
    """The camera processes. `start` starts all of them, `stop` ends all."""

    def __init__(self, line_file: Path, lanes: int, loss: float) -> None:
        if lanes > _MOST:
            raise EdgeInspectorError(f"at most {_MOST} cameras have an address")
        self._line_file = line_file
        self._lanes = lanes
        self._loss = loss
        self._boot = 1
        self._running: dict[int, subprocess.Popen[str]] = {}
        self._revived: int | None = None

    def start(self) -> None:
        """Start them in parallel. Raises EdgeInspectorError if one does not become ready."""
        for lane in range(self._lanes):
            self._spawn(lane)
        for lane in range(self._lanes):
            self._await(lane)

    def kill(self, lane: int) -> None:
        """Cut the power of the camera."""
        self._running[lane].kill()
        self._reap(lane)

    def revive(self, lane: int) -> None:
        """Power it on again. It needs some time to become ready."""
        self._spawn(lane)
        self._revived = lane

    @property
    def revived_ns(self) -> int | None:
        """The time when the camera was ready after power came back. None if no camera was revived."""
        return None if self._revived is None else self._await(self._revived)

    def reset_encoders(self) -> None:
        """The PLC restarted and counts from another zero, so the cameras' counters restart, too."""
        self._boot += 1
        for process in self._running.values():
            process.send_signal(signal.SIGUSR1)

    def stop(self) -> None:
        """End the processes."""
        for process in self._running.values():
            process.terminate()
        for lane in list(self._running):
            self._reap(lane)

    def _spawn(self, lane: int) -> None:
        command = [sys.executable, "-m", "edge_inspector.simulation.gige", camera_address(lane), f"LANE{lane + 1}"]
        command += [str(self._line_file), str(lane), str(camera_offset_mm(lane))]
        command += ["--boot", str(self._boot), "--loss", str(self._loss)]
        self._running[lane] = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )

    def _await(self, lane: int) -> int:
        """The time when the camera became ready."""
        process = self._running[lane]
        word, _, at_ns = (process.stdout.readline() if process.stdout is not None else "").partition(" ")
        if word != "ready":
            said = process.stderr.read() if process.stderr is not None else ""
            raise EdgeInspectorError(said.strip() or f"the camera on {camera_address(lane)} did not start")
        return int(at_ns)

    def _reap(self, lane: int) -> None:
        process = self._running.pop(lane)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
