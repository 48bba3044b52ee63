"""The simulated belt's encoder, read without a PLC in between."""

from __future__ import annotations

import time
from pathlib import Path

from edge_inspector.drivers import DriverSettings
from edge_inspector.errors import DeviceError
from edge_inspector.records import EncoderSample
from edge_inspector.simulation.line import Line


class SimulatedEncoder:
    """Exact at the instant it is read; no clock of its own."""

    class Settings(DriverSettings):
        """The simulated line and its 32-bit counter."""

        line: Path
        """File that describes the simulated line."""
        zero: int = 0
        """Value of the counter at the start of the belt."""
        boot_id: int = 1
        """Number of the simulated PLC's run."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._line: Line | None = None

    def open(self) -> None:
        """Find the line. Raises DeviceError."""
        try:
            self._line = Line.read(self._settings.line)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DeviceError(f"line file {self._settings.line}: {error}") from error

    def read(self) -> EncoderSample:
        """The count now."""
        if self._line is None:
            raise DeviceError("simulated encoder: not open")
        now = time.monotonic_ns()
        count = self._line.raw_count(self._line.belt.position_mm(now), self._settings.zero)
        return EncoderSample(count, None, now, now, self._settings.boot_id)

    def close(self) -> None:
        """Let go."""
        self._line = None
