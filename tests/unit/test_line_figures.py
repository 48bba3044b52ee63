"""Two seconds of a line: each thing that was measured is held against the file, with the likely cause in words."""

from collections.abc import Sequence
from typing import Any

import pytest

from edge_inspector.inspection.line_figures import (
    Grade,
    LineFinding,
    Measured,
    Written,
    line_findings,
    picture_findings,
)
from edge_inspector.inspection.recipe import Recipe
from edge_inspector.plc.blocks import wrap32
from edge_inspector.records import Bound, EncoderSample, PlcInput, Trigger

MS, S = 1_000_000, 1_000_000_000
BOOT = 0xABC
GOOD = Bound(1.0, 2.0, 0.01, 0.0003)
BAD = Bound(1.0, 377.0, 0.07, 0.0572)


def recipe(**changes: Any) -> Recipe:
    wanted = {"part_length_mm": 60, "min_pitch_mm": 120, "position_tolerance_mm": 10}
    return Recipe.model_validate({"id": 7, "name": "x", "model": "none", "views": ["top"], **wanted, **changes})


def samples(
    counts_per_s: float = 6000.0,
    *,
    wrap: int = 2**32,
    trip_ms: float = 1.0,
    clock: float | None = 1.0,
    boot: int = BOOT,
    zero: int = 0,
) -> list[EncoderSample]:
    found = []
    for at_ns in range(0, 2 * S, 8 * MS):
        scan_ns = at_ns // (10 * MS) * 10 * MS if clock is not None else at_ns
        count = wrap32(round(zero + counts_per_s * scan_ns / S) % wrap)
        stamp_ns = None if clock is None else int(scan_ns * clock)
        found.append(EncoderSample(count, stamp_ns, at_ns, at_ns + int(trip_ms * MS), boot_id=boot))
    return found


def ring(*pitches_mm: float, scale: float = 10.0) -> PlcInput:
    counts = [0.0]
    for pitch in pitches_mm:
        counts.append(counts[-1] + pitch * scale)
    triggers = tuple(Trigger(seq, round(count), answered=False) for seq, count in enumerate(counts, start=1))
    return PlcInput(
        BOOT,
        1,
        enable=True,
        reset=False,
        line_running=True,
        recipe_id=0,
        ack_session=1,
        ack_seq=0,
        trigger_seq=len(triggers),
        triggers=triggers,
    )


def measure(
    shown: Sequence[EncoderSample] | None = None,
    heard: PlcInput | None = None,
    *,
    reading_ms: float = 2.0,
    bound: Bound | None = GOOD,
    bound_at_most: Bound | None = GOOD,
    recipes: Sequence[Recipe] = (),
    counts_per_mm: float = 10.0,
    values: int = 2**32,
) -> dict[str, LineFinding]:
    measured = Measured(
        samples=samples() if shown is None else shown,
        heard=ring(200, 210, 190) if heard is None else heard,
        reading_ms=reading_ms,
        bound=bound,
        bound_at_most=bound_at_most,
    )
    found = line_findings(
        measured,
        Written(
            counts_per_mm=counts_per_mm,
            speed_max_mm_s=660.0,
            reserve_ms=100.0,
            recipes=list(recipes) or [recipe()],
            values=values,
        ),
    )
    by_subject = {finding.subject: finding for finding in found}
    assert len(by_subject) == len(found)
    return by_subject


def wrong(found: dict[str, LineFinding]) -> dict[str, Grade]:
    return {subject: finding.grade for subject, finding in found.items() if finding.grade is not Grade.OK}


def test_a_line_as_the_file_says_is_right_in_everything() -> None:
    found = measure()
    assert {subject: finding.what for subject, finding in found.items()} == {
        "source": "encoder and trigger ring are of one PLC (boot 00000abc)",
        "clock": "a new count comes every 10 ms",
        "round trip": "250 samples, round trip 1 ms, at most 1 ms. Reading the PLC's block takes 2 ms",
        "reserve": "a verdict reaches the PLC after 14 ms, line.reserve_ms is 100",
        "direction": "the count rises, as it should",
        "speed": "600 mm/s, line.speed_max_mm_s is 660",
        "pitch": "parts every 200 mm, at least 190 mm apart",
        "bound, recipe 7": "positions are known to 0.4 mm, position_tolerance_mm is 10",
    }
    assert wrong(found) == {}


def test_a_source_without_a_clock_is_measured_by_ours() -> None:
    found = measure(samples(clock=None))
    assert "clock" not in found
    assert found["speed"].what.startswith("600 mm/s")
    assert wrong(found) == {}


def test_a_belt_that_stands_is_no_failure_but_said() -> None:
    found = measure(samples(0.0), bound=BAD)
    assert found["motion"].what == (
        "the belt stands: direction and speed were not measured. Let the belt run and run check again"
    )
    assert not {"direction", "speed"} & found.keys()
    assert found["bound, recipe 7"].what.startswith("at speed_max_mm_s = 660 positions are known to 0.4 mm")
    assert wrong(found) == {}


@pytest.mark.parametrize(("counts_per_s", "stands"), [(9.0, True), (-9.0, True), (12.0, False)])
def test_what_trembles_stands_and_what_creeps_does_not(counts_per_s: float, stands: bool) -> None:  # noqa: FBT001
    assert ("motion" in measure(samples(counts_per_s))) is stands


def test_a_count_that_falls_fails() -> None:
    found = measure(samples(-6000.0))
    assert wrong(found) == {"direction": Grade.FAIL}
    assert found["direction"].what == (
        "the count falls as the belt runs. If the belt ran forward: swap the encoder's A and B, or change the "
        "counter's direction in the PLC"
    )


def test_a_coarse_encoder_has_a_direction_too() -> None:
    assert measure(samples(300.0), ring(200, 200, scale=0.5), counts_per_mm=0.5)["direction"].grade is Grade.OK
    assert measure(samples(-300.0), ring(200, 200, scale=0.5), counts_per_mm=0.5)["direction"].grade is Grade.FAIL


def test_a_counter_that_falls_by_design_must_fall() -> None:
    found = measure(samples(-6000.0), counts_per_mm=-10.0)
    assert wrong(found) == {}
    assert found["direction"].what == "the count falls, as it should"
    assert found["speed"].what == "600 mm/s, line.speed_max_mm_s is 660"
    found = measure(samples(6000.0), counts_per_mm=-10.0)
    assert wrong(found) == {"direction": Grade.FAIL}
    assert "the count rises as the belt runs" in found["direction"].what


def test_a_belt_faster_than_the_file_fails_with_the_likely_cause() -> None:
    found = measure(samples(24_000.0), ring(800, 800), bound=None)
    assert wrong(found) == {"speed": Grade.FAIL, "bound": Grade.FAIL}
    assert "the belt runs at 2400 mm/s" in found["speed"].what
    assert "x4 evaluation" in found["speed"].what
    assert found["bound"].what == "the encoder's samples contradict each other: no position is known"
    found = measure(samples(7000.0))
    assert wrong(found) == {"speed": Grade.FAIL}
    assert "the belt runs at 700 mm/s" in found["speed"].what


def test_a_belt_that_is_much_too_slow_is_worth_a_question() -> None:
    found = measure(samples(1500.0))
    assert wrong(found) == {"speed": Grade.WARN}
    assert "if this is the belt's usual speed, is line.counts_per_mm = 10 too large (a digit" not in found["speed"].what
    assert "x4 evaluation for x1: then 2.5" in found["speed"].what
    assert wrong(measure(samples(1990.0))) == {}


def test_encoder_and_ring_of_two_plcs_fail() -> None:
    found = measure(samples(boot=0x1267))
    assert wrong(found) == {"source": Grade.FAIL}
    assert found["source"].what == (
        "the encoder's record has boot_id 00001267, the trigger ring 00000abc: no part would ever be placed. Are "
        "[encoder] and the first [[plcs]] the same PLC and block? Its program writes one boot_id into both"
    )
    found = measure([*samples(), *samples(boot=5)])
    assert wrong(found)["source"] is Grade.FAIL
    assert "has boot_id 00000005, 00000abc, the trigger ring" in found["source"].what


def test_a_clock_of_another_unit_or_one_that_stands_fails() -> None:
    found = measure(samples(clock=0.001))
    assert "milliseconds?" in found["clock"].what
    assert found["clock"].grade is Grade.FAIL
    found = measure(samples(0.0, clock=0.0))
    assert wrong(found) == {"clock": Grade.FAIL}
    assert found["clock"].what == (
        "the PLC answers, but its record is not refreshed: is its program in RUN, and the block called each scan"
    )


def test_a_way_to_the_plc_that_is_too_slow_fails() -> None:
    found = measure(samples(trip_ms=30), reading_ms=40.0)
    assert wrong(found) == {"reserve": Grade.FAIL}
    assert found["reserve"].what == (
        "a verdict reaches the PLC after 110 ms, line.reserve_ms is 100: verdicts would be late: take a faster way to "
        "the PLC (a gateway? a busy network?), or write reserve_ms = 220"
    )
    assert wrong(measure(samples(trip_ms=30), reading_ms=29.9)) == {}


@pytest.mark.parametrize(
    ("wrap", "zero", "width"),
    [(2**16, 60_000, "65536"), (10_000, 1000, "10000"), (7000, 500, "70"), (2**24, 2**24 - 5000, "16777216")],
)
def test_a_counter_that_begins_anew_is_named_by_its_width(wrap: int, zero: int, width: str) -> None:
    found = measure(samples(wrap=wrap, zero=zero))
    assert wrong(found) == {"counter": Grade.FAIL}
    assert f"it has about {width}" in found["counter"].what
    assert "must be a DINT that wraps at 32 bits" in found["counter"].what


def test_32_bits_that_wrap_and_a_restart_are_no_narrow_counter() -> None:
    assert wrong(measure(samples(zero=2**31 - 3000))) == {}
    assert "counter" not in measure([*samples(), *samples(boot=5, zero=500_000)])
    assert wrong(measure(samples(wrap=10_000), values=10_000)) == {}, "the file says so"


def test_parts_that_are_all_too_near_fail_and_some_are_a_warning() -> None:
    found = measure(None, ring(50, 50, 50))
    assert wrong(found) == {"pitch": Grade.FAIL}
    assert "parts come every 50 mm, min_pitch_mm is 120" in found["pitch"].what
    found = measure(None, ring(200, 4, 196))
    assert wrong(found) == {"pitch": Grade.WARN}
    assert found["pitch"].what.startswith("1 of the last 3 parts were announced nearer than min_pitch_mm = 120 to")
    assert "does the photo-eye bounce" in found["pitch"].what
    assert wrong(measure(None, ring(119.8, 119.8))) == {}, "a count at either end is the rounding"
    assert wrong(measure(None, ring(119.7, 119.7))) == {"pitch": Grade.FAIL}


def test_the_recipe_with_the_least_pitch_is_the_one_that_parts_must_keep() -> None:
    assert wrong(measure(None, ring(70, 70), recipes=[recipe(), recipe(id=8, min_pitch_mm=65)])) == {}


def test_a_ring_without_two_parts_says_so() -> None:
    found = measure(None, ring())
    assert found["pitch"].what == "the trigger ring has fewer than two parts. Let parts pass and run check again"
    assert wrong(found) == {}


def test_a_bound_beyond_a_tolerance_fails_by_recipe() -> None:
    found = measure(bound=BAD, bound_at_most=BAD, recipes=[recipe(), recipe(id=8, position_tolerance_mm=50)])
    assert wrong(found) == {"bound, recipe 7": Grade.FAIL}
    assert (
        "positions are known to 37.9 mm only, position_tolerance_mm is 10: 37.7 mm of it is"
        in found["bound, recipe 7"].what
    )


def test_a_bound_may_be_as_large_as_the_tolerance() -> None:
    just = Bound(49.0, 50.0, 0.01, 0.0003)  # 100 counts are 10 mm
    assert wrong(measure(bound=just, bound_at_most=just)) == {}


def test_a_reserve_that_is_just_used_up_is_too_short() -> None:
    found = measure(reading_ms=88.0)
    assert wrong(found) == {"reserve": Grade.FAIL}
    assert found["reserve"].what.startswith("a verdict reaches the PLC after 100 ms, line.reserve_ms is 100: verdicts")
    assert wrong(measure(reading_ms=87.9)) == {}


def test_a_bound_that_holds_at_this_speed_only_is_a_warning() -> None:
    found = measure(bound_at_most=BAD)
    assert wrong(found) == {"bound, recipe 7": Grade.WARN}
    assert "37.7 mm of it is the movement of the belt" in found["bound, recipe 7"].what
    assert found["bound, recipe 7"].what.startswith("at speed_max_mm_s = 660 positions are known to 37.9 mm only")
    found = measure(samples(0.0), bound_at_most=BAD)
    assert wrong(found) == {"bound, recipe 7": Grade.FAIL}
    assert found["bound, recipe 7"].what.count("speed_max") == 1


# Pictures.

REGION = {"regions": {"top": {"x_mm": 5, "y_mm": 0, "width_mm": 20, "height_mm": 30}}}


def pictured(width_mm: float, height_mm: float, **changes: Any) -> list[LineFinding]:
    return list(picture_findings(width_mm, height_mm, recipe(**changes), "top"))


@pytest.mark.parametrize(("width_mm", "height_mm"), [(24.9, 30), (25, 29.9)])
def test_a_region_that_the_picture_does_not_show_fails(width_mm: float, height_mm: float) -> None:
    (found,) = pictured(width_mm, height_mm, **REGION)
    assert (found.subject, found.grade) == ("top", Grade.FAIL)
    assert found.what == (
        f"the picture shows {width_mm:.4g} x {height_mm:.4g} mm, the region of recipe 7 ends at 25 x 30 mm: no part "
        "would be inspected (bad_image). Make regions.top smaller, or measure mm_per_px"
    )


@pytest.mark.parametrize(
    ("areas", "where"),
    [
        ([{"x_mm": 0, "y_mm": 0, "width_mm": 9, "height_mm": 9}, {"points_mm": [[0, 0], [26, 0], [0, 30]]}], "26 x 30"),
        ([{"points_mm": [[0, 0], [5, 0], [0, 31]]}, {"x_mm": 1, "y_mm": 1, "width_mm": 2, "height_mm": 2}], "5 x 31"),
    ],
)
def test_each_of_several_areas_must_be_in_the_picture(areas: list[dict[str, Any]], where: str) -> None:
    (found,) = pictured(25, 30, regions={"top": areas})
    assert found.grade is Grade.FAIL
    assert f"ends at {where} mm" in found.what


def test_an_excluded_area_may_end_outside_the_picture() -> None:
    away = {"x_mm": 20, "y_mm": 0, "width_mm": 90, "height_mm": 90, "excluded": True}
    assert pictured(25, 30, regions={"top": [away]}) == []


def test_a_picture_that_fits_its_recipe_is_not_worth_a_word() -> None:
    assert pictured(25, 30, **REGION) == []
    assert pictured(1000, 60) == []


@pytest.mark.parametrize(("height_mm", "odd"), [(8.5, True), (8.6, False), (420, False), (421, True)])
def test_a_picture_that_is_far_from_the_part_s_length_is_worth_a_question(height_mm: float, odd: bool) -> None:  # noqa: FBT001
    found = pictured(100, height_mm)
    assert [each.grade for each in found] == [Grade.WARN] * odd
    what = (
        f"the picture shows 100 x {height_mm:.4g} mm, part_length_mm of recipe 7 is 60: is mm_per_px right? It is the "
        "width of a part in millimetres, divided by its width in pixels"
    )
    assert [(each.subject, each.what) for each in found] == [("top", what)] * odd


def test_without_a_plc_s_block_only_the_encoder_is_looked_at() -> None:
    measured = Measured(samples=samples(6000.0), heard=None, reading_ms=0.0, bound=GOOD, bound_at_most=GOOD)
    written = Written(
        counts_per_mm=10.0, speed_max_mm_s=660.0, reserve_ms=100.0, recipes=[recipe()], values=2**32, one_plc=True
    )
    found = {finding.subject: finding for finding in line_findings(measured, written)}
    assert "Reading the PLC" not in found["round trip"].what
    assert not {"source", "reserve", "pitch"} & set(found)


def test_two_plcs_are_not_compared() -> None:
    measured = Measured(samples=samples(6000.0), heard=ring(200), reading_ms=2.0, bound=GOOD, bound_at_most=GOOD)
    written = Written(
        counts_per_mm=10.0, speed_max_mm_s=660.0, reserve_ms=100.0, recipes=[recipe()], values=2**32, one_plc=False
    )
    assert "source" not in {finding.subject for finding in line_findings(measured, written)}
