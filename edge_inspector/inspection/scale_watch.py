"""Whether the counts, millimetres and speeds in the station file are those of the belt.

Every fault is one sentence: the measured value, the value in the station file, and the likely cause.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from edge_inspector.inspection.recipe import Recipe
from edge_inspector.records import Bound, EncoderSample, Trigger

_READING_NS = 100_000_000  # long enough that two counts and a late answer do not matter
_READINGS = 5  # the median of these is used, because a single jump of the count is no speed
_MOVING = 0.02  # of the maximum speed: below this the belt stands or creeps
_SURELY = 1.01  # times the speed in the station file: below this it may be a measuring error
_OTHER_SCALE = 1.5  # times: a belt is normally not this much faster than its written speed, so the scale is wrong
_CALM_READINGS = 100  # an overspeed is over after 10 s of a belt at allowed speed, and not when the belt stops
# rate of the PLC's clock on this machine's clock: outside this range it counts in another unit
_CLOCK_RATES = (0.5, 2.0)
_PARTS = 5  # this many in a row are no accident
_PITCHES = 20  # parts that are looked back on
_NEAR_TWICE = 2  # of these parts may not lie too near
_STILL = 2  # counts: this little from part to part is no movement

# How far counts_per_mm may be wrong, and the mistake that causes it.
_CAUSES = (
    (2.0, "x2 evaluation for x1, or x4 for x2"),
    (4.0, "x4 evaluation for x1"),
    (10.0, "a digit too many or missing"),
    (25.4, "inches"),
    (1000.0, "metres for millimetres"),
)


def likely_cause(ratio: float, counts_per_mm: float) -> str:
    """The likely cause of at least (above 1) or at most (below 1) `ratio` times the counts that the file predicts."""
    factor = max(ratio, 1 / ratio)
    known = next(((size, words) for size, words in _CAUSES if factor <= 1.1 * size), None)
    if known is None or factor < 1.2:
        return "measure a metre of belt: line.counts_per_mm is its counts / 1000"
    size, words = known
    right, far = (counts_per_mm * size, "small") if ratio > 1 else (counts_per_mm / size, "large")
    return f"is line.counts_per_mm = {counts_per_mm:g} too {far} ({words}: then {right:g})? Measure a metre of belt"


def speed_fault(speed_mm_s: float, speed_max_mm_s: float, counts_per_mm: float) -> str:
    """The belt is faster than the station file allows."""
    ratio = speed_mm_s / speed_max_mm_s
    told = f"the belt runs at {speed_mm_s:.0f} mm/s, line.speed_max_mm_s is {speed_max_mm_s:g}: "
    if ratio < _OTHER_SCALE:
        return told + "write the greatest speed that it ever has, or " + likely_cause(1.0, counts_per_mm)
    return told + likely_cause(ratio, counts_per_mm)


def pitch_fault(pitches_mm: Sequence[float], min_pitch_mm: float, counts_per_mm: float) -> str:
    """All parts are closer together than the recipe allows."""
    usual = median(pitches_mm)
    if usual * counts_per_mm <= _STILL:
        return "parts come, and the count stands: is the encoder wired, and does it turn with the belt"
    cause = likely_cause(min(usual / min_pitch_mm, 1.0), counts_per_mm)
    return f"parts come every {usual:.3g} mm, min_pitch_mm is {min_pitch_mm:g}: {cause}"


def near_fault(near_mm: Sequence[float], of: int, recipe: Recipe) -> str:
    """Some of the last parts are closer together than allowed. Parts cannot overlap."""
    nearest, length_mm = min(near_mm), recipe.part_length_mm
    told = (
        f"{len(near_mm)} of the last {of} parts were announced nearer than min_pitch_mm = {recipe.min_pitch_mm:g} to "
        f"the one before, the nearest {nearest:.3g} mm"
    )
    if nearest < length_mm:
        return (
            f"{told}, and a part is {length_mm:g} mm long: does the photo-eye bounce, or see holes in the part? Let "
            "the PLC ignore it for the length of a part"
        )
    return f"{told}: increase the distance of the parts, or correct min_pitch_mm"


def clock_fault(rate: float) -> str:
    """The PLC's clock does not count microseconds. `rate` is its seconds per second of this machine's clock."""
    units = ((0.001, "milliseconds"), (10.0, "tenths of microseconds"), (1000.0, "nanoseconds"))
    unit = next((words for size, words in units if 0.9 <= rate / size <= 1.1), "")
    cause = f"{unit}? It must be microseconds" if unit else "it must be microseconds, from a clock that is never set"
    return f"the PLC's clock (time_us) runs {rate:.3g} times as fast as this machine's: {cause}"


def bound_fault(error_mm: float, tolerance_mm: float, bound: Bound | None, counts_per_mm: float) -> str:
    """Positions are not known well enough: the main cause of the uncertainty, and a remedy."""
    told = f"positions are known to {error_mm:.3g} mm only, position_tolerance_mm is {tolerance_mm:g}"
    if bound is None:
        return told + ": too few encoder samples come"
    bend = (
        f"is the possible movement of the belt between two samples, {bound.span_s * 1000:.3g} ms. Poll more often "
        "(encoder.interval_ms), let the PLC scan faster, or correct acceleration_max_mm_s2"
    )
    doubt = (
        f"is the movement of the belt in {bound.doubt_s * 1000:.3g} ms, the doubt about the PLC's clock. Take a faster "
        "way to the PLC (a gateway? a busy network?), or a smaller publish_delay_us"
    )
    count = "is one encoder count. Take an encoder or an evaluation with more counts"
    origins = ((1.0, count), (bound.bend, bend), (bound.doubt, doubt))
    counts, words = max(origins)
    return f"{told}: {counts / counts_per_mm:.3g} mm of it {words}"


def pitches_mm(triggers: Sequence[Trigger], counts_per_mm: float, values: int) -> list[float]:
    """The distance from each part to the next, if both are there. The counter has `values` values."""
    return [
        abs(signed(after.count - before.count, values)) / counts_per_mm
        for before, after in pairwise(triggers)
        if after.part_seq == before.part_seq + 1
    ]


def signed(difference: int, values: int) -> int:
    """The signed difference of two raw counts of a counter that has `values` values."""
    return (difference + values // 2) % values - values // 2


@dataclass(frozen=True, slots=True)
class _Reading:
    """The encoder's movement in a tenth of a second or more.

    `clock_s` is the time by the PLC's clock, or None if it has no clock.
    """

    counts: int
    host_s: float
    unsure_s: float
    clock_s: float | None

    def speeds(self, *, by_clock: bool) -> tuple[float, float]:
        """Counts per second: the likely speed with its sign, and the lowest speed that explains the counts."""
        if by_clock and self.clock_s is not None:
            seconds, longest_s = self.clock_s, self.clock_s
        else:
            seconds, longest_s = self.host_s, self.host_s + self.unsure_s
        return self.counts / seconds, (abs(self.counts) - 2) / longest_s


class SpeedWatch:
    """Measures the belt's speed from the raw samples, because the timeline refuses samples that contradict the file.

    `faults` has the faults by subject. With `scale`, no position on the belt is right. With `speed`, the belt is only
    faster than the file says. `speed_mm_s` is signed, and None until it is known.
    """

    def __init__(self, counts_per_mm: float, speed_max_mm_s: float, values: int = 1 << 32) -> None:
        self.counts_per_mm = counts_per_mm
        self._values = values
        self.speed_mm_s: float | None = None
        self.faults: dict[str, str] = {}
        self._speed_max_mm_s = speed_max_mm_s
        self._readings: deque[_Reading] = deque(maxlen=_READINGS)
        self._begun: EncoderSample | None = None
        self._newest_ns: int | None = None
        self._calm = 0

    def add(self, sample: EncoderSample) -> bool:
        """Take one sample. True if it completes a new measurement."""
        begun = self._begun
        if begun is None or begun.boot_id != sample.boot_id:
            self._readings.clear()
            self._begun = sample
            return False
        seen_before = sample.device_ns is not None and sample.device_ns == self._newest_ns
        self._newest_ns = sample.device_ns
        if seen_before or sample.answered_ns - begun.answered_ns < _READING_NS:
            return False
        self._readings.append(_reading(begun, sample, self._values))
        self._begun = sample
        if len(self._readings) < _READINGS:
            return False
        self._judge()
        return True

    def _judge(self) -> None:
        rate = median(1.0 if each.clock_s is None else each.clock_s / each.host_s for each in self._readings)
        is_clocked = _CLOCK_RATES[0] <= rate <= _CLOCK_RATES[1]
        if is_clocked:
            self.faults.pop("clock", None)
        else:
            self.faults["clock"] = clock_fault(rate)
        scale = self.counts_per_mm
        speeds = [each.speeds(by_clock=is_clocked) for each in self._readings]
        self.speed_mm_s = median(likely for likely, _ in speeds) / scale
        if median(least for _, least in speeds) / scale > _SURELY * self._speed_max_mm_s:
            self._calm = 0
            subject = "speed" if abs(self.speed_mm_s) < _OTHER_SCALE * self._speed_max_mm_s else "scale"
            self.faults[subject] = speed_fault(abs(self.speed_mm_s), self._speed_max_mm_s, scale)
        elif abs(self.speed_mm_s) > _MOVING * self._speed_max_mm_s:
            self._calm += 1
            if self._calm >= _CALM_READINGS:
                self.faults.pop("scale", None)
                self.faults.pop("speed", None)


def _reading(before: EncoderSample, after: EncoderSample, values: int) -> _Reading:
    clock_s = None
    trips_ns = (before.answered_ns - before.asked_ns) + (after.answered_ns - after.asked_ns)
    if before.device_ns is not None and after.device_ns is not None:
        clock_s = (after.device_ns - before.device_ns) / 1e9
    return _Reading(
        signed(after.count - before.count, values),
        (after.answered_ns - before.answered_ns) / 1e9,
        trips_ns / 1e9,
        clock_s,
    )


@dataclass(frozen=True, slots=True)
class _Pitch:
    mm: float
    is_near: bool


class PitchWatch:
    """Watches the distance between parts by their triggers. `faults` has the faults by subject."""

    def __init__(self, counts_per_mm: float, values: int = 1 << 32) -> None:
        self.faults: dict[str, str] = {}
        self._counts_per_mm = counts_per_mm
        self._values = values
        self._boot_id = 0
        self._last: Trigger | None = None
        self._pitches: deque[_Pitch] = deque(maxlen=_PITCHES)

    def add(self, boot_id: int, trigger: Trigger, recipe: Recipe) -> bool:
        """Take a trigger whose count is known. True if its part overlaps the part before."""
        before = self._last
        if boot_id != self._boot_id:
            self._boot_id, before = boot_id, None
            self._pitches.clear()
        self._last = trigger
        found = pitches_mm([before, trigger], self._counts_per_mm, self._values) if before is not None else []
        if not found:
            return False
        # The two counts are for rounding, one at either end.
        self._pitches.append(_Pitch(found[0], found[0] + 2 / self._counts_per_mm < recipe.min_pitch_mm))
        self._judge(recipe)
        return found[0] < recipe.part_length_mm

    def _judge(self, recipe: Recipe) -> None:
        latest = list(self._pitches)[-_PARTS:]
        near = sum(each.is_near for each in latest)
        # A photo-eye that bounces shows one true pitch between the false ones. A wrong scale shows none.
        if near == _PARTS:
            pitches = [each.mm for each in latest]
            self.faults["scale"] = pitch_fault(pitches, recipe.min_pitch_mm, self._counts_per_mm)
        elif len(latest) - near > _PARTS // 2:
            self.faults.pop("scale", None)
        near_mm = [each.mm for each in self._pitches if each.is_near]
        if "scale" not in self.faults and _NEAR_TWICE <= len(near_mm) < len(self._pitches):
            self.faults["pitch"] = near_fault(near_mm, len(self._pitches), recipe)
        else:
            self.faults.pop("pitch", None)


class BoundWatch:
    """Whether the positions of parts are as exact as their recipe requires. `faults` has the faults by subject."""

    def __init__(self, counts_per_mm: float) -> None:
        self._counts_per_mm = counts_per_mm
        self._beyond = self._within = 0
        self.faults: Mapping[str, str] = {}

    def add(self, error_mm: float, tolerance_mm: float, bound: Bound | None) -> None:
        """Take the error bound of one part's position. `bound` is what can be reached now."""
        if error_mm <= tolerance_mm:
            self._within, self._beyond = self._within + 1, 0
            if self._within >= _PARTS:
                self.faults = {}
            return
        self._within, self._beyond = 0, self._beyond + 1
        if self._beyond >= _PARTS or self.faults:
            self.faults = {"bound": bound_fault(error_mm, tolerance_mm, bound, self._counts_per_mm)}
