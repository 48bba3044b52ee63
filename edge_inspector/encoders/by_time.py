"""What sources of position that are clocks have in common."""

from __future__ import annotations

import time

from edge_inspector.plc.blocks import wrap32
from edge_inspector.records import EncoderSample

_RUN = 1  # a clock of this process has one run only


class TimedEncoder:
    """Counts evenly from `begun_ns` on, wrapped as a counter of 32 bits."""

    def __init__(self, counts_per_s: float, begun_ns: int) -> None:
        self._counts_per_s = counts_per_s
        self._begun_ns = begun_ns

    def open(self) -> None:
        """Nothing to connect."""

    def read(self) -> EncoderSample:
        """The count that belongs to this instant."""
        now = time.monotonic_ns()
        count = wrap32(round((now - self._begun_ns) / 1e9 * self._counts_per_s))
        return EncoderSample(count=count, device_ns=None, asked_ns=now, answered_ns=now, boot_id=_RUN)

    def close(self) -> None:
        """Nothing to disconnect."""
