"""The belt's position at an instant of the host's clock, with a bound on the error.

The PLC stamps its count with its own clock. Two facts limit the offset between that clock and the host's. They need no
assumption about how the round trip divides into its two ways:

- The content of an answer was read before the answer arrived: offset <= answered - stamp.
- The content of the next sample was not readable at this request: offset >= asked - next stamp (- publish delay).

Each sample narrows the interval from above, and each pair of neighbours from below. Polls at random points of the scan
(dither) narrow it to little more than a one-way trip. Positions are then interpolated on the PLC's own clock.
"""

from __future__ import annotations

import math
import threading
from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from statistics import median
from typing import NamedTuple

from edge_inspector.errors import PositionPendingError, PositionUnknownError
from edge_inspector.inspection.counter import Counter
from edge_inspector.records import Bound, EncoderSample, Position

_EVEN = 5  # samples, 40 ms with a scan of 10 ms: belts are not even for longer
_RUNS = 4  # counts in three spans: fewer may be a rocking belt
_UNEVEN = 0.7  # counts off the line: half a count is the rounding to whole numbers
_RECENT = 8  # samples that show how a source behaves now
_PACE_NS = 500_000_000  # samples that show how fast the belt runs now
_OLDEST_STAMP_S = 0.25  # a timestamp may be one scan old when it is read, and PLCs scan much faster than this


@dataclass(frozen=True, slots=True)
class Motion:
    """The limits of the belt's motion, from which every bound is computed, in counts and seconds."""

    speed_max: float
    acceleration_max: float


@dataclass(frozen=True, slots=True)
class Latched:
    """A raw count unwrapped, the epoch in which it is valid, and that epoch's boot id."""

    count: int
    epoch: int
    boot_id: int | None


@dataclass(frozen=True, slots=True)
class Passage:
    """The earliest time at which the belt can have been at a count. `at_ns` is None if it was surely not there.

    If the record does not show the count, but starts too late to exclude it, `at_ns` is the start of the requested
    time. `lowest` and `highest` are the range of the belt in the searched part of the record.
    """

    at_ns: int | None
    lowest: int
    highest: int


@dataclass(frozen=True, slots=True)
class Jump:
    """A count that the belt cannot have reached. It went from raw count `before` to `after` in one sample.

    The counter lost `lost` counts of the distance that the belt had run by then, give or take `unsure`. A negative
    number means that it gained counts. It is 0 if the belt's direction is not known.
    """

    before: int
    after: int
    lost: float
    unsure: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    count: int
    device_ns: int
    asked_ns: int
    answered_ns: int
    error_ns: int


class _Newest(NamedTuple):
    """What is known now: the newest sample, one shortly before it, and the bounds on the offset of the clocks."""

    last: _Sample
    before: _Sample
    lower: tuple[int, int] | None
    upper: tuple[int, int]


class Timeline:
    """Thread-safe. One thread adds samples, and any thread may ask.

    `drift` is how fast the two clocks may run apart. `publish_ns` is the longest time of the PLC from reading count and
    clock to showing them. `read_point` is where in the round trip the PLC reads, 0..1. It moves the most likely offset
    within its bounds, and never the bounds. Samples and latched counts are raw. `counter` converts them to belt counts.
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
        counter: Counter = Counter(),  # noqa: B008 -- frozen
    ) -> None:
        self._motion = motion
        self._counter = counter
        self._stale_ns = stale_ns
        self._window_ns = window_ns
        self._history_ns = history_ns
        self._drift = drift
        self._publish_ns = publish_ns
        self._read_point = read_point
        self._lock = threading.Lock()
        self._epoch = 0
        self._boot_id: int | None = None
        self._jump: Jump | None = None
        self._stamped = True
        self._samples: deque[_Sample] = deque()
        self.news = 0
        """Counts up with every sample. While it stays the same, a pending position stays pending until it is stale."""
        self._upper: deque[tuple[int, int]] = deque()
        self._lower: deque[tuple[int, int]] = deque()
        self._newest: _Newest | None = None  # read without the lock, because each picture of each camera asks twice

    @property
    def epoch(self) -> int:
        """Counts up whenever earlier positions become invalid. 0 before the first sample."""
        return self._epoch

    @property
    def boot_id(self) -> int | None:
        """The source's boot id in this epoch."""
        return self._boot_id

    @property
    def jump(self) -> Jump | None:
        """The impossible count that started this epoch. None if the epoch started for another reason."""
        return self._jump

    @property
    def newest(self) -> int | None:
        """The belt count of the newest sample."""
        return None if self._newest is None else self._newest.last.count

    def add(self, raw: EncoderSample) -> bool:
        """Take one sample. False if it started a new epoch: a restart, an impossible jump, or a clock that stepped."""
        with self._lock:
            self.news += 1
            continues = self._add(raw)
            samples = self._samples
            before = samples[max(-4, -len(samples))]
            self._newest = _Newest(samples[-1], before, self._lower[0] if self._lower else None, self._upper[0])
            return continues

    def _add(self, raw: EncoderSample) -> bool:
        if self._boot_id != raw.boot_id or not self._samples:
            self._begin(raw)
            return False
        last = self._samples[-1]
        sample = _stamped(raw, self._counter.near(raw.count, last.count))
        if self._stamped and sample.device_ns == last.device_ns:
            # The same scan, seen later. It narrows the bound from below, but is no sign of life.
            self._samples[-1] = replace(last, asked_ns=sample.asked_ns)
            return True
        if not self._in_order(sample, last):
            self._begin(raw)
            return False
        if not self._in_reach(sample, last):
            self._begin(raw, self._jumped(raw, sample, last))
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

    def void(self) -> None:
        """Positions up to now are invalid: the next sample begins a new epoch."""
        with self._lock:
            self._boot_id = None

    def fresh(self, now_ns: int) -> bool:
        """Whether the newest sample is new enough to be used."""
        newest = self._newest
        return newest is not None and now_ns - newest.last.answered_ns <= self._stale_ns

    def count_at(self, at_ns: int, now_ns: int, tolerance: float = 0.0, unsure_ns: int = 0) -> Position:
        """The position at `at_ns`, between the two samples around it.

        If the instant is known only to `unsure_ns`, the bound holds for the whole interval. As long as the later sample
        is missing, the position ahead of the newest sample is returned, if its bound is within `tolerance` counts.
        Otherwise it raises PositionPendingError. It raises PositionUnknownError if `at_ns` is too old, or if nothing
        newer came within the stale limit.
        """
        with self._lock:
            if not self._samples:
                raise PositionUnknownError("no encoder sample yet")
            low, high = self._offset(at_ns)
            device_ns = at_ns - self._likely(low, high)
            if device_ns > self._samples[-1].device_ns:
                if now_ns - self._samples[-1].answered_ns > self._stale_ns:
                    raise PositionUnknownError("the encoder sends no samples")
                ahead = self._ahead(device_ns, self._doubt(low, high), unsure_ns)
                if ahead is None or ahead.error_counts > tolerance:
                    raise PositionPendingError
                return ahead
            index = self._index_of(device_ns)
            after = self._samples[index]
            if index == 0:
                if device_ns < after.device_ns:
                    raise PositionUnknownError("older than the encoder's history")
                astray = self._motion.speed_max * (self._doubt(low, high) + unsure_ns) / 1e9
                return Position(after.count, 1 + astray, self._epoch)
            between = self._between(
                self._samples[index - 1], after, device_ns, offset_error_ns=self._doubt(low, high), unsure_ns=unsure_ns
            )
            return self._evened(between, device_ns, index)

    def estimate(self, at_ns: int) -> float | None:
        """The likely count at `at_ns`, extrapolated if needed.

        Use it to order work, and never for the position in a verdict.
        """
        newest = self._newest
        if newest is None:
            return None
        last, before, lower, upper = newest
        if last.device_ns == before.device_ns:
            return float(last.count)
        low, high = self._within(lower, upper, at_ns)
        speed = (last.count - before.count) / (last.device_ns - before.device_ns)
        return last.count + speed * (at_ns - self._likely(low, high) - last.device_ns)

    def furthest(self, now_ns: int) -> int | None:
        """The furthest count that the belt can have reached by now. It is never below the real count."""
        newest = self._newest
        if newest is None:
            return None
        last, _, lower, upper = newest
        low, _ = self._within(lower, upper, now_ns)
        age_s = max(0, now_ns - low - last.device_ns + last.error_ns) / 1e9
        return last.count + int(self._motion.speed_max * age_s) + 2

    def foreseen(self, now_ns: int, at_ns: int) -> float | None:
        """The likely value of `furthest` at `at_ns`, if the belt moves as it does now."""
        if at_ns <= now_ns:
            return self.furthest(now_ns)
        likely, then, furthest = self.estimate(now_ns), self.estimate(at_ns), self.furthest(now_ns)
        return None if likely is None or then is None or furthest is None else then + furthest - likely

    def arrival(self, raw_count: int, epoch: int, *, ahead: int) -> tuple[int, float] | None:
        """When the belt will be at this raw count if it goes on as it runs now, and its speed in counts per second.

        The count may lie up to `ahead` counts ahead of the newest sample. The speed is 0 while the belt stands or its
        speed is not known. None if the epoch is over.
        """
        with self._lock:
            if epoch != self._epoch or not self._samples:
                return None
            if len(self._samples) < 2:
                return 0, 0.0
            last = self._samples[-1]
            near = bisect_left(self._samples, last.device_ns - _PACE_NS, key=lambda sample: sample.device_ns)
            before = self._samples[min(near, len(self._samples) - 2)]
            speed = (last.count - before.count) / (last.device_ns - before.device_ns)
            if speed <= 0:
                return 0, 0.0
            left = self._counter.near(raw_count, last.count + ahead // 2) - last.count
            low, high = self._offset(last.answered_ns)
            return last.device_ns + self._likely(low, high) + int(left / speed), speed * 1e9

    def unwrap(self, raw_count: int, behind: int = 0) -> Latched:
        """The belt count nearest to `behind` counts before the newest sample's. Raises PositionUnknownError."""
        with self._lock:
            if not self._samples:
                raise PositionUnknownError("no encoder sample yet")
            near = self._samples[-1].count - behind
            return Latched(self._counter.near(raw_count, near), self._epoch, self._boot_id)

    def passage(self, count: int, since_ns: int, until_ns: int, slack: float = 0.0) -> Passage:
        """The earliest time, between two host times, at which the belt can have been within `slack` of `count`.

        Raises PositionPendingError as long as the record does not reach `until_ns`, and PositionUnknownError before any
        sample.
        """
        with self._lock:
            if not self._samples:
                raise PositionUnknownError("no encoder sample yet")
            low, high = self._offset(until_ns)
            first, last = since_ns - high, until_ns - low
            begun = bisect_left(self._samples, first, key=lambda sample: sample.device_ns + sample.error_ns)
            start = max(0, begun - 1)
            counts = [self._samples[start].count]
            for before, after in pairwise(islice(self._samples, start, None)):
                if before.device_ns - before.error_ns > last:
                    break
                counts.append(after.count)
                # `min` and `max` would take several times as long, and each part comes here with some thirty samples.
                near, far = (before.count, after.count) if before.count < after.count else (after.count, before.count)
                reach = 1 + slack + self._bend((after.device_ns - before.device_ns) / 1e9)
                if near - reach <= count <= far + reach:
                    later_s = max(0.0, abs(count - before.count) - reach) / self._motion.speed_max
                    at_ns = before.device_ns - before.error_ns + low + int(later_s * 1e9)
                    return Passage(max(since_ns, at_ns), min(counts), max(counts))
            if begun == 0:
                return Passage(since_ns, min(counts), max(counts))
            if self._samples[-1].device_ns - self._samples[-1].error_ns < last:
                raise PositionPendingError
            return Passage(None, min(counts), max(counts))

    def offset_bounds(self, now_ns: int) -> tuple[int, int]:
        """The interval in ns that contains the host clock minus the source clock."""
        with self._lock:
            return self._offset(now_ns)

    def reachable(self, speed: float | None = None) -> Bound | None:
        """The bound that the latest samples allow, at the present speed or at `speed` counts per second.

        None before there are enough samples.
        """
        with self._lock:
            if len(self._samples) < _RECENT:
                return None
            recent = [self._samples[index] for index in range(-_RECENT, 0)]
            low, high = self._offset(recent[-1].answered_ns)
            span_ns = int(median(after.device_ns - before.device_ns for before, after in pairwise(recent)))
            error_ns = max(sample.error_ns for sample in recent)
            ran = abs(recent[-1].count - recent[0].count) / (recent[-1].device_ns - recent[0].device_ns) * 1e9
            travel = (ran if speed is None else speed) * span_ns / 1e9
            return self._bound(travel, span_ns, self._doubt(low, high) + error_ns, 2 * error_ns)

    def next_edge(self, after_ns: int) -> tuple[int, int] | None:
        """The first instant after `after_ns` at which the source should show a new timestamp, and its error, in ns.

        None if the source has no clock, or if its cycle is not known yet.
        """
        with self._lock:
            if not self._stamped or len(self._samples) < _RECENT:
                return None
            recent = [self._samples[index].device_ns for index in range(-_RECENT, 0)]
            cycle = min(later - earlier for earlier, later in pairwise(recent))
            low, high = self._offset(after_ns)
            shown = recent[-1] + self._likely(low, high)
            return shown + max(1, -(-(after_ns - shown) // cycle)) * cycle, (high - low) // 4

    def _index_of(self, device_ns: int) -> int:
        """The index of the first sample that is not older. Nearly always it is one of the newest."""
        samples = self._samples
        index = len(samples) - 1
        for _ in range(_EVEN):
            if index == 0 or samples[index - 1].device_ns < device_ns:
                return index
            index -= 1
        return bisect_left(samples, device_ns, key=lambda sample: sample.device_ns)

    def _begin(self, raw: EncoderSample, jump: Jump | None = None) -> None:
        self._epoch += 1
        self._boot_id = raw.boot_id
        self._jump = jump
        self._samples.clear()
        self._upper.clear()
        self._lower.clear()
        self._stamped = raw.device_ns is not None
        sample = _stamped(raw, self._counter.read(raw.count))
        self._samples.append(sample)
        self._bound_above(sample)

    def _in_order(self, sample: _Sample, last: _Sample) -> bool:
        elapsed_s = (sample.device_ns - last.device_ns) / 1e9
        passed_s = (sample.answered_ns - last.answered_ns) / 1e9
        return 0 < elapsed_s <= passed_s + _OLDEST_STAMP_S

    def _in_reach(self, sample: _Sample, last: _Sample) -> bool:
        elapsed_s = (sample.device_ns - last.device_ns) / 1e9
        reach = self._motion.speed_max * (elapsed_s + (last.error_ns + sample.error_ns) / 1e9) + 2
        return reach < self._counter.span // 2 and abs(sample.count - last.count) <= reach

    def _jumped(self, raw: EncoderSample, sample: _Sample, last: _Sample) -> Jump:
        before = self._samples[max(-4, -len(self._samples))]
        span_s, elapsed_s = (last.device_ns - before.device_ns) / 1e9, (sample.device_ns - last.device_ns) / 1e9
        travel, shown = last.count - before.count, self._counter.shown(last.count)
        if abs(travel) < _RUNS:
            return Jump(shown, raw.count, 0.0, 0.0)
        expected = travel * elapsed_s / span_s
        lost = math.copysign(1, travel) * (self._counter.read(shown) + expected - self._counter.read(raw.count))
        error_s = (last.error_ns + sample.error_ns) / 1e9
        unsure = 2 + self._motion.acceleration_max * elapsed_s * (span_s + elapsed_s) / 2
        return Jump(shown, raw.count, lost, unsure + abs(travel) / span_s * error_s)

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
        # All bounds age alike, so a bound that is worse than another one stays worse. The first in the queue is always
        # the best.
        bounds.append((at_ns, bound))
        while bounds[0][0] < at_ns - self._window_ns:
            bounds.popleft()

    def _aged(self, entry: tuple[int, int], now_ns: int, sign: int = 1) -> int:
        at_ns, bound = entry
        return bound + sign * int(self._drift * abs(now_ns - at_ns))

    def _offset(self, now_ns: int) -> tuple[int, int]:
        return self._within(self._lower[0] if self._lower else None, self._upper[0], now_ns)

    def _within(self, lower: tuple[int, int] | None, upper: tuple[int, int], now_ns: int) -> tuple[int, int]:
        """The bounds of the offset at `now_ns`, from the best ones of before."""
        if not self._stamped:
            return 0, 0
        high = self._aged(upper, now_ns)
        if lower is None:
            return high - int(_OLDEST_STAMP_S * 1e9), high
        return self._aged(lower, now_ns, -1), high

    def _likely(self, low: int, high: int) -> int:
        return low + round(self._read_point * (high - low))

    def _doubt(self, low: int, high: int) -> int:
        return round(max(self._read_point, 1 - self._read_point) * (high - low))

    def _between(
        self, before: _Sample, after: _Sample, device_ns: int, *, offset_error_ns: int, unsure_ns: int
    ) -> Position:
        span_ns = after.device_ns - before.device_ns
        travel = after.count - before.count
        error_ns, stamps_ns = offset_error_ns + max(before.error_ns, after.error_ns), before.error_ns + after.error_ns
        # The sum of a `Bound`, which is not needed for each view.
        fastest = self._fastest(abs(travel), span_ns, error_ns, stamps_ns)
        bound = 1 + self._bend(span_ns / 1e9) + fastest * (error_ns / 1e9)
        if unsure_ns:
            bound += self._astray(fastest, unsure_ns)
        count = before.count + travel * (device_ns - before.device_ns) / span_ns
        return Position(count, bound, self._epoch)

    def _bound(self, travel: float, span_ns: int, doubt_ns: int, stamps_ns: int) -> Bound:
        """The bound if the belt moved by `travel` in `span_ns`. The ends are known to `stamps_ns` together."""
        span_s, doubt_s = span_ns / 1e9, doubt_ns / 1e9
        doubt = self._fastest(travel, span_ns, doubt_ns, stamps_ns) * doubt_s
        return Bound(self._bend(span_s), doubt, span_s, doubt_s)

    def _fastest(self, travel: float, span_ns: int, doubt_ns: int, stamps_ns: int) -> float:
        """The highest speed anywhere in the span.

        It is the mean speed over the shortest possible time of the travel, plus what the belt can gain from the place
        where it ran at this mean.
        """
        gain = self._motion.acceleration_max * (span_ns / 2 + 2 * doubt_ns) / 1e9
        return min(self._motion.speed_max, (travel + 1) / (max(1, span_ns - stamps_ns) / 1e9) + gain)

    def _bend(self, span_s: float) -> float:
        """How far the belt can be off the straight line between two samples."""
        return min(self._motion.acceleration_max * span_s * span_s / 8, self._motion.speed_max * span_s)

    def _astray(self, speed: float, unsure_ns: int) -> float:
        """How far the belt can be from a position within `unsure_ns` before or after it, at `speed` at most."""
        unsure_s = unsure_ns / 1e9
        return min(self._motion.speed_max, speed + self._motion.acceleration_max * unsure_s / 2) * unsure_s

    def _ahead(self, device_ns: int, offset_error_ns: int, unsure_ns: int) -> Position | None:
        """The position at the speed of the last two spans. None if there are none, or if the source has no clock."""
        if not self._stamped or len(self._samples) < 3:
            return None
        before, last = self._samples[-3], self._samples[-1]
        span_s, ahead_s = (last.device_ns - before.device_ns) / 1e9, (device_ns - last.device_ns) / 1e9
        error_s = offset_error_ns / 1e9
        acceleration = self._motion.acceleration_max
        speed = (last.count - before.count) / span_s
        # The belt ran at the mean speed somewhere within the span, give or take one count. It may have become faster
        # since.
        unsure = 1 / span_s + acceleration * (span_s + ahead_s) / 2
        fastest = min(self._motion.speed_max, abs(speed) + 1 / span_s + acceleration * (span_s + ahead_s + error_s))
        bound = 1 + unsure * ahead_s + fastest * error_s + self._astray(fastest, unsure_ns)
        found = Position(last.count + speed * ahead_s, bound, self._epoch)
        return self._evened(found, device_ns, len(self._samples))

    def _evened(self, found: Position, device_ns: int, index: int) -> Position:
        """The same position from the five samples around `index`, if the belt ran evenly along them.

        Counts are whole numbers. Two samples give a position to half a count, and two spans give a speed to one count
        in their length. A line through five samples is several times better for both.
        """
        first = min(index - _EVEN // 2, len(self._samples) - _EVEN)
        if first < 0:
            return found
        samples, middle = self._samples, found.count
        times, counts = [], []
        for near in range(first, first + _EVEN):
            sample = samples[near]
            times.append((sample.device_ns - device_ns) / 1e9)
            counts.append(sample.count - middle)
        speed, offset = _line_through(times, counts)
        for at, count in zip(times, counts, strict=True):
            if not -_UNEVEN <= offset + speed * at - count <= _UNEVEN:
                return found
        # The bound holds around the first position. Around the second it is wider by the distance of the two.
        return Position(found.count + offset, found.error_counts + abs(offset), self._epoch)


def _line_through(times: list[float], counts: list[float]) -> tuple[float, float]:
    """Slope and offset of the line of least squares. `statistics.linear_regression` takes ten times as long."""
    number = len(times)
    middle, mean = sum(times) / number, sum(counts) / number
    spread = product = 0.0
    for at, count in zip(times, counts, strict=True):
        away = at - middle
        spread += away * away
        product += away * (count - mean)
    slope = product / spread
    return slope, mean - slope * middle


def _stamped(raw: EncoderSample, count: int) -> _Sample:
    if raw.device_ns is not None:
        return _Sample(
            count=count, device_ns=raw.device_ns, asked_ns=raw.asked_ns, answered_ns=raw.answered_ns, error_ns=0
        )
    # A source without a clock was read somewhere within the round trip.
    middle = (raw.asked_ns + raw.answered_ns) // 2
    return _Sample(
        count=count,
        device_ns=middle,
        asked_ns=raw.asked_ns,
        answered_ns=raw.answered_ns,
        error_ns=(raw.answered_ns - raw.asked_ns + 1) // 2,
    )
