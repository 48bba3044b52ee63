"""Where the belt was at an instant of the host's clock, with a bound on the error.

The PLC stamps its count with its own clock. Two facts bound the offset between that clock and the host's, with no
assumption on how the round trip divides:

- what an answer contains was read before the answer came:          offset <= answered - stamp
- what the next sample contains was not readable when it was asked:  offset >= asked - next stamp (- publish delay)

Each sample narrows the interval from above, each pair of neighbours from below; polls that fall anywhere in the scan
(dither) close it to little more than a one-way trip. Positions are then interpolated on the PLC's own clock.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import linear_regression

from edge_inspector.errors import PositionPendingError, PositionUnknownError
from edge_inspector.records import EncoderSample, Position

_WRAP = 1 << 32
_HALF = 1 << 31
_EVEN = 5  # samples, 40 ms with a scan of 10 ms: longer, and belts are not even
_UNEVEN = 0.7  # counts off the line: half of one is the rounding of whole numbers
_OLDEST_STAMP_S = 0.25  # a stamp may be one scan old when it is read, and PLCs scan in well under this


@dataclass(frozen=True, slots=True)
class Motion:
    """What the belt cannot do better than: the limits behind every bound, in counts and seconds."""

    speed_max: float
    acceleration_max: float


@dataclass(frozen=True, slots=True)
class Latched:
    """A raw count unwrapped, the epoch in which it is valid, and that epoch's boot id."""

    count: int
    epoch: int
    boot_id: int | None


@dataclass(frozen=True, slots=True)
class _Sample:
    count: int
    device_ns: int
    asked_ns: int
    answered_ns: int
    error_ns: int


class Timeline:
    """Thread-safe. One thread adds samples; any thread asks.

    `drift` is how fast the two clocks may run apart; `publish_ns` how long the PLC takes, at most, from reading count
    and clock to showing them. `read_point` is where in the round trip the PLC reads, 0..1: it moves the likeliest
    offset within its bounds, never the bounds.
    """

    def __init__(
        self,
        motion: Motion,
        *,
        stale_ns: int = 250_000_000,
        window_ns: int = 2_000_000_000,
        history_ns: int = 5_000_000_000,
        drift: float = 100e-6,
        publish_ns: int = 0,
        read_point: float = 0.5,
    ) -> None:
        self._motion = motion
        self._stale_ns = stale_ns
        self._window_ns = window_ns
        self._history_ns = history_ns
        self._drift = drift
        self._publish_ns = publish_ns
        self._read_point = read_point
        self._lock = threading.Lock()
        self._epoch = 0
        self._boot_id: int | None = None
        self._stamped = True
        self._samples: deque[_Sample] = deque()
        self._upper: deque[tuple[int, int]] = deque()
        self._lower: deque[tuple[int, int]] = deque()

    @property
    def epoch(self) -> int:
        """Counts up whenever earlier positions become void; 0 before the first sample."""
        return self._epoch

    @property
    def boot_id(self) -> int | None:
        """The source's boot id in this epoch."""
        return self._boot_id

    def add(self, raw: EncoderSample) -> bool:
        """Take one sample. False where it began a new epoch (a restart, an impossible jump, a clock that stepped)."""
        with self._lock:
            if self._boot_id != raw.boot_id or not self._samples:
                self._begin(raw)
                return False
            last = self._samples[-1]
            sample = _stamped(raw, last.count + _signed(raw.count - last.count))
            if self._stamped and sample.device_ns == last.device_ns:
                # The same scan, seen later: it sharpens the bound from below, but is no sign of life.
                self._samples[-1] = replace(last, asked_ns=sample.asked_ns)
                return True
            if not self._possible(sample, last):
                self._begin(raw)
                return False
            self._bound_below(sample, last)
            self._bound_above(sample)
            self._samples.append(sample)
            while self._samples[0].answered_ns < sample.answered_ns - self._history_ns:
                self._samples.popleft()
            low, high = self._offset(sample.answered_ns)
            if low > high:
                self._begin(raw)
                return False
            return True

    def fresh(self, now_ns: int) -> bool:
        """Whether the newest sample is young enough to act on."""
        with self._lock:
            return bool(self._samples) and now_ns - self._samples[-1].answered_ns <= self._stale_ns

    def count_at(self, at_ns: int, now_ns: int, tolerance: float = 0.0, unsure_ns: int = 0) -> Position:
        """The position at `at_ns`, between the two samples around it.

        Whoever knows the instant only to `unsure_ns` gets a bound that holds for all of them.

        While the later one is not there yet, the position ahead of the newest sample will do if its bound is within
        `tolerance` counts. Raises PositionPendingError until then, PositionUnknownError when `at_ns` is too old, or
        nothing newer came within the stale limit.
        """
        with self._lock:
            if not self._samples:
                raise PositionUnknownError("no encoder sample yet")
            low, high = self._offset(at_ns)
            device_ns = at_ns - self._likely(low, high)
            if device_ns > self._samples[-1].device_ns:
                if now_ns - self._samples[-1].answered_ns > self._stale_ns:
                    raise PositionUnknownError("the encoder is silent")
                ahead = self._ahead(device_ns, self._doubt(low, high), unsure_ns)
                if ahead is None or ahead.error_counts > tolerance:
                    raise PositionPendingError
                return ahead
            index = bisect_left(self._samples, device_ns, key=lambda sample: sample.device_ns)
            after = self._samples[index]
            if index == 0:
                if device_ns < after.device_ns:
                    raise PositionUnknownError("older than the encoder's history")
                astray = self._motion.speed_max * (self._doubt(low, high) + unsure_ns) / 1e9
                return Position(after.count, 1 + astray, self._epoch)
            between = self._between(self._samples[index - 1], after, device_ns, self._doubt(low, high), unsure_ns)
            return self._evened(between, device_ns, index)

    def estimate(self, at_ns: int) -> float | None:
        """The likely count at `at_ns`, extrapolated if need be: for ordering work, never for a verdict's position."""
        with self._lock:
            if len(self._samples) < 2:
                return float(self._samples[-1].count) if self._samples else None
            low, high = self._offset(at_ns)
            last, before = self._samples[-1], self._samples[max(-4, -len(self._samples))]
            speed = (last.count - before.count) / max(1, last.device_ns - before.device_ns)
            return last.count + speed * (at_ns - self._likely(low, high) - last.device_ns)

    def furthest(self, now_ns: int) -> int | None:
        """The furthest count that the belt can have reached by now: never less than the truth."""
        with self._lock:
            if not self._samples:
                return None
            last = self._samples[-1]
            low, _ = self._offset(now_ns)
            age_s = max(0, now_ns - low - last.device_ns + last.error_ns) / 1e9
            return last.count + int(self._motion.speed_max * age_s) + 2

    def foreseen(self, now_ns: int, at_ns: int) -> float | None:
        """What `furthest` is likely to say at `at_ns`, as the belt moves now."""
        likely, then, furthest = self.estimate(now_ns), self.estimate(at_ns), self.furthest(now_ns)
        return None if likely is None or then is None or furthest is None else then + furthest - likely

    def unwrap(self, raw_count: int) -> Latched:
        """The unwrapped count nearest to the belt's newest position. Raises PositionUnknownError before any sample."""
        with self._lock:
            if not self._samples:
                raise PositionUnknownError("no encoder sample yet")
            newest = self._samples[-1].count
            return Latched(newest + _signed(raw_count - newest), self._epoch, self._boot_id)

    def offset_bounds(self, now_ns: int) -> tuple[int, int]:
        """Host clock minus source clock: the interval that holds it, ns."""
        with self._lock:
            return self._offset(now_ns)

    def next_edge(self, after_ns: int) -> tuple[int, int] | None:
        """The first instant after `after_ns` at which the source should show a new stamp, and how unsure that is, ns.

        None where the source has no clock, or its cycle is not known yet.
        """
        with self._lock:
            if not self._stamped or len(self._samples) < 8:
                return None
            recent = [self._samples[index].device_ns for index in range(-8, 0)]
            cycle = min(later - earlier for earlier, later in pairwise(recent))
            low, high = self._offset(after_ns)
            shown = recent[-1] + self._likely(low, high)
            return shown + max(1, -(-(after_ns - shown) // cycle)) * cycle, (high - low) // 4

    def _begin(self, raw: EncoderSample) -> None:
        self._epoch += 1
        self._boot_id = raw.boot_id
        self._samples.clear()
        self._upper.clear()
        self._lower.clear()
        self._stamped = raw.device_ns is not None
        sample = _stamped(raw, raw.count)
        self._samples.append(sample)
        self._bound_above(sample)

    def _possible(self, sample: _Sample, last: _Sample) -> bool:
        elapsed_s = (sample.device_ns - last.device_ns) / 1e9
        passed_s = (sample.answered_ns - last.answered_ns) / 1e9
        if not 0 < elapsed_s <= passed_s + _OLDEST_STAMP_S:
            return False
        reach = self._motion.speed_max * (elapsed_s + (last.error_ns + sample.error_ns) / 1e9) + 2
        return reach < _HALF and abs(sample.count - last.count) <= reach

    def _bound_above(self, sample: _Sample) -> None:
        bound = sample.answered_ns - sample.device_ns
        while self._upper and self._aged(self._upper[-1], sample.answered_ns) >= bound:
            self._upper.pop()
        self._keep(self._upper, sample.answered_ns, bound)

    def _bound_below(self, sample: _Sample, last: _Sample) -> None:
        bound = last.asked_ns - sample.device_ns - self._publish_ns
        while self._lower and self._aged(self._lower[-1], sample.answered_ns, -1) <= bound:
            self._lower.pop()
        self._keep(self._lower, sample.answered_ns, bound)

    def _keep(self, bounds: deque[tuple[int, int]], at_ns: int, bound: int) -> None:
        # All bounds age alike, so one that is beaten stays beaten: the first in the queue is always the best.
        bounds.append((at_ns, bound))
        while bounds[0][0] < at_ns - self._window_ns:
            bounds.popleft()

    def _aged(self, entry: tuple[int, int], now_ns: int, sign: int = 1) -> int:
        at_ns, bound = entry
        return bound + sign * int(self._drift * abs(now_ns - at_ns))

    def _offset(self, now_ns: int) -> tuple[int, int]:
        if not self._stamped:
            return 0, 0
        high = self._aged(self._upper[0], now_ns)
        if not self._lower:
            return high - int(_OLDEST_STAMP_S * 1e9), high
        return self._aged(self._lower[0], now_ns, -1), high

    def _likely(self, low: int, high: int) -> int:
        return low + round(self._read_point * (high - low))

    def _doubt(self, low: int, high: int) -> int:
        return round(max(self._read_point, 1 - self._read_point) * (high - low))

    def _between(
        self, before: _Sample, after: _Sample, device_ns: int, offset_error_ns: int, unsure_ns: int
    ) -> Position:
        span_ns = after.device_ns - before.device_ns
        travel = after.count - before.count
        span_s = span_ns / 1e9
        error_s = (offset_error_ns + max(before.error_ns, after.error_ns)) / 1e9
        # The greatest speed anywhere in reach: the mean over the shortest time that the travel can have taken, and
        # what the belt can gain on the way from where it ran at that mean.
        shortest_s = max(1, span_ns - before.error_ns - after.error_ns) / 1e9
        gain = self._motion.acceleration_max * (span_s / 2 + 2 * error_s)
        speed = min(self._motion.speed_max, (abs(travel) + 1) / shortest_s + gain)
        bend = min(self._motion.acceleration_max * span_s * span_s / 8, self._motion.speed_max * span_s)
        count = before.count + travel * (device_ns - before.device_ns) / span_ns
        return Position(count, 1 + bend + speed * error_s + self._astray(speed, unsure_ns), self._epoch)

    def _astray(self, speed: float, unsure_ns: int) -> float:
        """How far the belt can be from a place so long before or after it was there, at most at `speed`."""
        unsure_s = unsure_ns / 1e9
        return min(self._motion.speed_max, speed + self._motion.acceleration_max * unsure_s / 2) * unsure_s

    def _ahead(self, device_ns: int, offset_error_ns: int, unsure_ns: int) -> Position | None:
        """At the speed of the last two spans; None where there are none, or the source has no clock."""
        if not self._stamped or len(self._samples) < 3:
            return None
        before, last = self._samples[-3], self._samples[-1]
        span_s, ahead_s = (last.device_ns - before.device_ns) / 1e9, (device_ns - last.device_ns) / 1e9
        error_s = offset_error_ns / 1e9
        acceleration = self._motion.acceleration_max
        speed = (last.count - before.count) / span_s
        # The belt ran at the mean speed somewhere within the span, give or take one count, and may have gained since.
        unsure = 1 / span_s + acceleration * (span_s + ahead_s) / 2
        fastest = min(self._motion.speed_max, abs(speed) + 1 / span_s + acceleration * (span_s + ahead_s + error_s))
        bound = 1 + unsure * ahead_s + fastest * error_s + self._astray(fastest, unsure_ns)
        found = Position(last.count + speed * ahead_s, bound, self._epoch)
        return self._evened(found, device_ns, len(self._samples))

    def _evened(self, found: Position, device_ns: int, index: int) -> Position:
        """The same place as told by the five samples around `index`, if the belt ran evenly along them.

        Counts are whole: two samples tell a place to half a count and two spans a speed to one count in their length;
        a line through five tells both several times as well.
        """
        first = min(index - _EVEN // 2, len(self._samples) - _EVEN)
        if first < 0:
            return found
        near = [self._samples[at] for at in range(first, first + _EVEN)]
        times = [(sample.device_ns - device_ns) / 1e9 for sample in near]
        counts = [sample.count - found.count for sample in near]
        speed, offset = linear_regression(times, counts)
        if any(abs(offset + speed * at - count) > _UNEVEN for at, count in zip(times, counts, strict=True)):
            return found
        # The bound holds around the first of the two: around the other it is wider by what lies between them.
        return Position(found.count + offset, found.error_counts + abs(offset), self._epoch)


def _stamped(raw: EncoderSample, count: int) -> _Sample:
    if raw.device_ns is not None:
        return _Sample(count, raw.device_ns, raw.asked_ns, raw.answered_ns, 0)
    # Without a clock of its own the source was read somewhere within the round trip.
    middle = (raw.asked_ns + raw.answered_ns) // 2
    return _Sample(count, middle, raw.asked_ns, raw.answered_ns, (raw.answered_ns - raw.asked_ns + 1) // 2)


def _signed(difference: int) -> int:
    return (difference + _HALF) % _WRAP - _HALF
