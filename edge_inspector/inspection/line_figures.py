"""Evaluates two seconds of the real line against the station file.

There is one finding for each thing that can be measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from edge_inspector.inspection.areas import beyond
from edge_inspector.inspection.recipe import Recipe
from edge_inspector.inspection.scale_watch import (
    SpeedWatch,
    bound_fault,
    likely_cause,
    near_fault,
    pitch_fault,
    pitches_mm,
    signed,
)
from edge_inspector.records import Bound, EncoderSample, PlcInput

_SLOW = 0.3  # of the maximum speed: if the belt never comes near it, the speed may be measured too low
_FITS = 7.0  # a picture may show 7 times the part's length, or a seventh of it. Beyond that its scale is doubtful
_WIDTHS = (*(2**bits for bits in (8, 12, 15, 16, 20, 24, 31)), *(10**digits for digits in range(2, 10)))
_ODD_STEP = 20  # if the count steps back this many times the usual step at once, the counter has wrapped


class Grade(StrEnum):
    """The kind of a finding. Only FAIL makes `check` fail."""

    OK = "ok"
    WARN = "WARN"
    FAIL = "FAIL"


class LineFinding(NamedTuple):
    """One thing that was measured, and its meaning."""

    subject: str
    what: str
    grade: Grade = Grade.OK


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The line's data in the station file.

    `counts_per_mm` is negative if the counter falls as the belt runs. `values` is how many values the counter has.
    `one_plc`: triggers and encoder come from one PLC, and both say from which run of it.
    """

    counts_per_mm: float
    speed_max_mm_s: float
    reserve_ms: float
    recipes: Sequence[Recipe]
    values: int = 1 << 32
    one_plc: bool = True

    @property
    def scale(self) -> float:
        """Counts per millimetre as a positive number, whatever the direction."""
        return abs(self.counts_per_mm)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The measured data: encoder samples, the PLC's block after them, and how long reading the block took.

    `heard` is None if no PLC announces the parts. `bound` is the error bound of a position at the end. `bound_at_most`
    is the bound at maximum speed.
    """

    samples: Sequence[EncoderSample]
    heard: PlcInput | None
    reading_ms: float
    bound: Bound | None
    bound_at_most: Bound | None


def line_findings(measured: Measured, written: Written) -> list[LineFinding]:
    """Compare each thing that could be measured with the station file."""
    watch = SpeedWatch(written.scale, written.speed_max_mm_s, written.values)
    speeds = [watch.speed_mm_s for sample in measured.samples if watch.add(sample) and watch.speed_mm_s is not None]
    speed_mm_s = max(speeds, key=abs, default=0.0)
    stands = abs(speed_mm_s) * written.scale < 10  # counts per second, which a trembling belt may show
    heard = measured.heard
    found = [*_clock(measured, watch, written), _round_trip(measured)]
    if heard is not None:
        found = [*([_source(measured, heard)] if written.one_plc else []), *found, _reserve(measured, written)]
    if stands:
        again = "the belt stands: direction and speed were not measured. Let the belt run and run check again"
        found.append(LineFinding("motion", again))
    else:
        found += [_direction(speed_mm_s, written), _speed(abs(speed_mm_s), watch, written)]
    found += _width(measured, written)
    if heard is not None:
        found.append(_pitch(heard, written))
    found += _bounds(measured, written, stands=stands)
    return found


def picture_findings(width_mm: float, height_mm: float, recipe: Recipe, camera: str) -> Iterator[LineFinding]:
    """Whether a picture of this size can show the things that the recipe judges."""
    size, areas = f"the picture shows {width_mm:.4g} x {height_mm:.4g} mm", recipe.areas(camera)
    outside = beyond((width_mm, height_mm), areas)
    if outside:
        yield LineFinding(
            camera,
            f"{size}, the region of recipe {recipe.id} {outside}: no part would be inspected (bad_image). Make "
            f"regions.{camera} smaller, or measure mm_per_px",
            Grade.FAIL,
        )
    elif not 1 / _FITS <= height_mm / recipe.part_length_mm <= _FITS:
        yield LineFinding(
            camera,
            f"{size}, part_length_mm of recipe {recipe.id} is {recipe.part_length_mm:g}: is mm_per_px right? It is the "
            "width of a part in millimetres, divided by its width in pixels",
            Grade.WARN,
        )


def _source(measured: Measured, heard: PlcInput) -> LineFinding:
    theirs = sorted({sample.boot_id for sample in measured.samples})
    if theirs == [heard.boot_id]:
        return LineFinding("source", f"encoder and trigger ring are of one PLC (boot {heard.boot_id:08x})")
    shown = ", ".join(f"{boot_id:08x}" for boot_id in theirs)
    return LineFinding(
        "source",
        f"the encoder's record has boot_id {shown}, the trigger ring {heard.boot_id:08x}: no part would ever "
        "be placed. Are [encoder] and the first [[plcs]] the same PLC and block? Its program writes one boot_id into "
        "both",
        Grade.FAIL,
    )


def _clock(measured: Measured, watch: SpeedWatch, written: Written) -> Iterator[LineFinding]:
    if measured.samples[0].device_ns is not None and not any(True for _ in _steps(measured.samples, written.values)):
        stuck = (
            "the PLC answers, but its record is not refreshed: is its program in RUN, and the block called each scan"
        )
        yield LineFinding("clock", stuck, Grade.FAIL)
    elif "clock" in watch.faults:
        yield LineFinding("clock", watch.faults["clock"], Grade.FAIL)
    elif scan_ms := _scan_ms(measured.samples, written.values):
        yield LineFinding("clock", f"a new count comes every {scan_ms:.3g} ms")


def _scan_ms(samples: Sequence[EncoderSample], values: int) -> float:
    """The PLC's cycle time: the shortest usual time between two of its timestamps. 0 if it is not known."""
    steps = sorted(device_ns for _, device_ns, _ in _steps(samples, values) if device_ns)
    return steps[len(steps) // 10] / 1e6 if steps else 0.0


def _round_trip(measured: Measured) -> LineFinding:
    trips = [(sample.answered_ns - sample.asked_ns) / 1e6 for sample in measured.samples]
    shown = f"{len(trips)} samples, round trip {median(trips):.3g} ms, at most {max(trips):.3g} ms"
    if measured.heard is None:
        return LineFinding("round trip", shown)
    return LineFinding("round trip", f"{shown}. Reading the PLC's block takes {measured.reading_ms:.3g} ms")


def _reserve(measured: Measured, written: Written) -> LineFinding:
    """Whether the reserve is enough: a verdict may wait for a running exchange and for the PLC's next scan."""
    trip_ms = median((sample.answered_ns - sample.asked_ns) / 1e6 for sample in measured.samples)
    needed_ms = measured.reading_ms + 2 * trip_ms + _scan_ms(measured.samples, written.values)
    told = f"a verdict reaches the PLC after {needed_ms:.3g} ms, line.reserve_ms is {written.reserve_ms:g}"
    if needed_ms < written.reserve_ms:
        return LineFinding("reserve", told)
    late = "verdicts would be late: take a faster way to the PLC (a gateway? a busy network?), or write"
    return LineFinding("reserve", f"{told}: {late} reserve_ms = {2 * needed_ms:.0f}", Grade.FAIL)


def _direction(speed_mm_s: float, written: Written) -> LineFinding:
    shown = "rises" if speed_mm_s > 0 else "falls"
    if (speed_mm_s > 0) == (written.counts_per_mm > 0):
        return LineFinding("direction", f"the count {shown}, as it should")
    return LineFinding(
        "direction",
        f"the count {shown} as the belt runs. If the belt ran forward: swap the encoder's A and B, or change the "
        "counter's direction in the PLC",
        Grade.FAIL,
    )


def _speed(speed_mm_s: float, watch: SpeedWatch, written: Written) -> LineFinding:
    told = watch.faults.get("scale") or watch.faults.get("speed")
    if told:
        return LineFinding("speed", told, Grade.FAIL)
    share = speed_mm_s / written.speed_max_mm_s
    told = f"{speed_mm_s:.3g} mm/s, line.speed_max_mm_s is {written.speed_max_mm_s:g}"
    if share > _SLOW:
        return LineFinding("speed", told)
    cause = likely_cause(share, written.scale)
    return LineFinding("speed", f"{told}: if this is the belt's usual speed, {cause}", Grade.WARN)


def _width(measured: Measured, written: Written) -> Iterator[LineFinding]:
    """Where the counter went back in one step, as it does if it is narrower than the station file says."""
    steps = [step for step, *_ in _steps(measured.samples, written.values)]
    usual = median(map(abs, steps)) if steps else 0
    for before, after in pairwise(measured.samples):
        step = signed(after.count - before.count, written.values)
        if before.boot_id != after.boot_id or not usual or abs(step) < _ODD_STEP * usual:
            continue
        seen = abs(step) + usual
        width = next((width for width in _WIDTHS if abs(seen - width) <= 4 * usual), round(seen))
        yield LineFinding(
            "counter",
            f"the count went from {before.count} to {after.count} in one step: if it starts again there, it has about "
            f"{width} values. It must be a DINT that wraps at 32 bits: let the PLC add up the differences",
            Grade.FAIL,
        )
        return


def _pitch(heard: PlcInput, written: Written) -> LineFinding:
    found = pitches_mm([each for each in heard.triggers if each.latched], written.scale, written.values)
    if not found:
        return LineFinding("pitch", "the trigger ring has fewer than two parts. Let parts pass and run check again")
    recipe = min(written.recipes, key=lambda recipe: recipe.min_pitch_mm)
    near = [pitch for pitch in found if pitch + 2 / written.scale < recipe.min_pitch_mm]
    if len(near) == len(found):
        return LineFinding("pitch", pitch_fault(found, recipe.min_pitch_mm, written.scale), Grade.FAIL)
    if near:
        return LineFinding("pitch", near_fault(near, len(found), recipe), Grade.WARN)
    return LineFinding("pitch", f"parts every {median(found):.4g} mm, at least {min(found):.4g} mm apart")


def _bounds(measured: Measured, written: Written, *, stands: bool) -> Iterator[LineFinding]:
    scale = written.scale
    now, at_most = measured.bound_at_most if stands else measured.bound, measured.bound_at_most
    if now is None or at_most is None:
        yield LineFinding("bound", "the encoder's samples contradict each other: no position is known", Grade.FAIL)
        return
    at = f"at speed_max_mm_s = {written.speed_max_mm_s:g} " if stands else ""
    for recipe in written.recipes:
        tolerance_mm = recipe.position_tolerance_mm
        grade = Grade.OK
        told = f"{at}positions are known to {now.counts / scale:.3g} mm, position_tolerance_mm is {tolerance_mm:g}"
        if now.counts / scale > tolerance_mm:
            grade, told = Grade.FAIL, at + bound_fault(now.counts / scale, tolerance_mm, now, scale)
        elif at_most.counts / scale > tolerance_mm:
            at_speed = f"at speed_max_mm_s = {written.speed_max_mm_s:g} "
            grade, told = Grade.WARN, at_speed + bound_fault(at_most.counts / scale, tolerance_mm, at_most, scale)
        yield LineFinding(f"bound, recipe {recipe.id}", told, grade)


def _steps(samples: Sequence[EncoderSample], values: int) -> Iterator[tuple[int, int, int]]:
    """The steps between fresh samples: counts, and ns by the source's clock (0 if it has none) and by the host's."""
    before = samples[0]
    for after in samples[1:]:
        if after.device_ns is not None and after.device_ns == before.device_ns:
            continue
        device_ns = 0 if after.device_ns is None or before.device_ns is None else after.device_ns - before.device_ns
        yield signed(after.count - before.count, values), device_ns, after.answered_ns - before.answered_ns
        before = after
