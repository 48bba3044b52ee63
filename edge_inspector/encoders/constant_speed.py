"""A belt without an encoder: its position follows from the time and from a speed that never changes."""

from __future__ import annotations

import time
from typing import Annotated

from pydantic import Field

from edge_inspector.codes import Promise
from edge_inspector.drivers import DriverSettings
from edge_inspector.encoders.by_time import TimedEncoder


class ConstantSpeedEncoder(TimedEncoder):
    """Counts as an encoder would on a belt that runs at `speed_mm_s` all the time."""

    class Settings(DriverSettings):
        """The belt's speed, and how well it is known."""

        speed_mm_s: Annotated[float, Field(gt=0)]
        """Speed of the running belt. Measure it: a mark on the belt, a measured way, a stopwatch."""
        speed_error_percent: Annotated[float, Field(gt=0, le=20)]
        """How far the real speed may be from it at any time: load, cold gears, mains frequency. It bounds positions."""
        counts_per_mm: Annotated[float, Field(gt=0)]
        """The same number as line.counts_per_mm. It says how finely the position is told: 10 is usual."""
        settle_ms: Annotated[float, Field(ge=0, le=60_000)] = 2000.0
        """Time from the start of the belt until it runs evenly. Parts on the belt before that have no position."""
        never_stops: bool = False
        """The belt never stops while parts are on it, and nobody need tell. A stop is then noticed by nobody."""

        @property
        def promise(self) -> Promise:
            """Positions follow from the time."""
            return Promise.TIMED

        @property
        def states_run(self) -> bool:
            """It has no PLC."""
            return False

        @property
        def travel_error(self) -> float:
            """As wrong as the speed."""
            return self.speed_error_percent / 100

        @property
        def settle_s(self) -> float | None:
            """None if the belt never stops."""
            return None if self.never_stops else self.settle_ms / 1000

        @property
        def speed_counts_s(self) -> float:
            """Counts per second of the running belt."""
            return self.speed_mm_s * self.counts_per_mm

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.speed_counts_s, time.monotonic_ns())
