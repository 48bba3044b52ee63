"""A bench without a belt: a clock takes the place of the encoder, and one count is one millisecond."""

from __future__ import annotations

import time

from edge_inspector.codes import Promise
from edge_inspector.drivers import DriverSettings
from edge_inspector.encoders.by_time import TimedEncoder

COUNTS_PER_S = 1000.0


class NoBelt(TimedEncoder):
    """Counts milliseconds. `line.gate_mm` is then the longest time until the answer, in milliseconds."""

    class Settings(DriverSettings):
        """It has no settings. The station file must say counts_per_mm = 1 and speed_max_mm_s = 1000."""

        @property
        def promise(self) -> Promise:
            """Nothing moves."""
            return Promise.BENCH

        @property
        def states_run(self) -> bool:
            """It has no PLC."""
            return False

    def __init__(self, settings: Settings) -> None:
        del settings
        super().__init__(COUNTS_PER_S, time.monotonic_ns())
