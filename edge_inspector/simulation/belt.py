"""A belt whose position is a pure function of the monotonic clock, so processes agree without communication."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass, field


@dataclass(frozen=True, slots=True)
class Pause:
    """The belt ramps down, stands, and ramps up again. Times in seconds after the start."""

    at_s: float
    stand_s: float
    ramp_s: float = 0.5


@dataclass(frozen=True, slots=True)
class Belt:
    """Starts from rest at `start_ns`, runs at `speed_mm_s` with a small ripple, and stops for each pause.

    The motion is computed on a "drive time" that runs at rate 0..1 of the clock. Ramps and pauses change the drive
    time, ripple changes the position.
    """

    start_ns: int
    speed_mm_s: float
    _: KW_ONLY
    ripple: float = 0.01
    pauses: tuple[Pause, ...] = field(default=())
    ramp_s: float = 0.5

    def position_mm(self, at_ns: int) -> float:
        """The distance that the belt has moved since the start."""
        drive_s = self._drive((at_ns - self.start_ns) / 1e9)
        return self.speed_mm_s * (drive_s + self._ripple(drive_s) - self._ripple(0.0))

    def time_at(self, position_mm: float) -> int:
        """The first instant at which the belt has moved this far, in ns."""
        low = self.start_ns
        high = low + int(1e9 * max(1.0, 2 * position_mm / self.speed_mm_s + self.ramp_s))
        high += int(1e9 * sum(pause.stand_s + 2 * pause.ramp_s for pause in self.pauses))
        if self.position_mm(low) >= position_mm:
            return low
        # The step of a belt at full speed. A few steps are enough, except on ramps and in pauses.
        guess, quick = low + int(1e9 * (position_mm / self.speed_mm_s + self.ramp_s / 2)), 12
        while high - low > 1:
            middle = guess if quick > 0 and low < guess < high else (low + high) // 2
            quick -= 1
            missing_mm = position_mm - self.position_mm(middle)
            if missing_mm > 0:
                low = middle
            else:
                high = middle
            step = int(1e9 * missing_mm / self.speed_mm_s)
            guess = middle + (step or (1 if missing_mm > 0 else -1))
        return high

    def _ripple(self, drive_s: float) -> float:
        # A slow and a fast wave, as from a worn roller and a chain. Amplitudes in seconds of drive time.
        slow, fast = 2 * math.pi * 0.7, 2 * math.pi * 3.1
        return self.ripple * (0.6 / slow * math.sin(slow * drive_s) + 0.4 / fast * math.sin(fast * drive_s + 1.0))

    def _drive(self, clock_s: float) -> float:
        if clock_s <= 0:
            return 0.0
        lost = self.ramp_s / 2 if clock_s >= self.ramp_s else clock_s - clock_s**2 / (2 * self.ramp_s)
        for pause in self.pauses:
            lost += _standing(clock_s - pause.at_s, pause)
        return clock_s - lost


def _standing(since_s: float, pause: Pause) -> float:
    """Seconds of drive time lost to the pause so far."""
    ramp, stand = pause.ramp_s, pause.stand_s
    if since_s <= 0:
        return 0.0
    if since_s < ramp:
        return since_s**2 / (2 * ramp)
    if since_s < ramp + stand:
        return ramp / 2 + (since_s - ramp)
    tail = min(since_s - ramp - stand, ramp)
    return ramp / 2 + stand + tail - tail**2 / (2 * ramp)
