"""The encoder of the simulated belt, read directly and not through a PLC."""

from __future__ import annotations

import time
from pathlib import Path

from edge_inspector.drivers import DriverSettings
from edge_inspector.errors import DeviceError
from edge_inspector.records import EncoderSample
from edge_inspector.simulation.line import Line


class SimulatedEncoder:
    """Returns the exact count at the time of reading. It has no clock of its own."""

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
        """Read the line file. Raises DeviceError."""
        try:
            self._line = Line.read(self._settings.line)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DeviceError(f"line file {self._settings.line}: {error}") from error

    def read(self) -> EncoderSample:
        """The present count."""
        if self._line is None:
            raise DeviceError("simulated encoder: not open")
        now = time.monotonic_ns()
        count = self._line.raw_count(self._line.belt.position_mm(now), self._settings.zero)
        return EncoderSample(count=count, device_ns=None, asked_ns=now, answered_ns=now, boot_id=self._settings.boot_id)

    def close(self) -> None:
        """Close the encoder."""
        self._line = None
