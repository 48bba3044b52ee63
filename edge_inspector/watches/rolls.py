"""A new roll of a web, as the PLC that counts it says by a bit."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Protocol

from edge_inspector.codes import CommandName
from edge_inspector.drivers import Encoder
from edge_inspector.records import Command, CommandResult, EncoderSample
from edge_inspector.runtime.clock import iso, utc_of

log = logging.getLogger(__name__)


class RollTeller(Encoder, Protocol):
    """An encoder that also reads the bit. `rolls` counts how often it rose."""

    rolls: int


class RollByBit:
    """The encoder, as it is. Each time its bit has risen, the station gets the command `new_roll` from `plc`.

    The roll's name is the date and time, as 2026-12-01T06.30.00Z.
    """

    def __init__(self, encoder: RollTeller, tell: Callable[[Command], object]) -> None:
        self._encoder = encoder
        self._tell = tell
        self._known = encoder.rolls

    def open(self) -> None:
        """Connect. Raises DeviceError."""
        self._encoder.open()

    def read(self) -> EncoderSample | None:
        """Take one sample. Raises DeviceError."""
        sample = self._encoder.read()
        if self._encoder.rolls != self._known:
            self._known = self._encoder.rolls
            name = iso(utc_of(time.monotonic_ns()), "seconds").replace(":", ".")
            self._tell(Command("plc", name, CommandName.NEW_ROLL, _answered))
        return sample

    def close(self) -> None:
        """Disconnect."""
        self._encoder.close()


def _answered(result: CommandResult) -> None:
    if result.error:
        log.warning("the new roll that the PLC announced was refused: %s", result.error)
