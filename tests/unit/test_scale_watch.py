"""A wrong scale, another clock, a photo-eye that bounces, places that nobody knows: told with the likely cause."""

from typing import Any

import pytest

from edge_inspector.inspection.recipe import Recipe
from edge_inspector.inspection.scale_watch import (
    BoundWatch,
    PitchWatch,
    SpeedWatch,
    bound_fault,
    clock_fault,
    likely_cause,
    near_fault,
    pitch_fault,
    pitches_mm,
    signed,
    speed_fault,
)
from edge_inspector.plc.blocks import wrap32
from edge_inspector.records import Bound, EncoderSample, Trigger

MS, S = 1_000_000, 1_000_000_000
SCALE, SPEED_MAX = 10.0, 660.0  # counts per mm, mm/s


def recipe(**changes: Any) -> Recipe:
    wanted = {"part_length_mm": 60, "min_pitch_mm": 120, "position_tolerance_mm": 10}
    return Recipe.model_validate({"id": 7, "name": "x", "model": "none", "views": ["top"], **wanted, **changes})


# The likely cause.


@pytest.mark.parametrize(
    ("ratio", "words"),
    [
        (1.2, "= 10 too small (x2 evaluation for x1, or x4 for x2: then 20)"),
        (1.3, "= 10 too small (x2 evaluation for x1, or x4 for x2: then 20)"),
        (2.2, "= 10 too small (x2 evaluation for x1, or x4 for x2: then 20)"),
        (2.21, "= 10 too small (x4 evaluation for x1: then 40)"),
        (4.4, "= 10 too small (x4 evaluation for x1: then 40)"),
        (9.0, "= 10 too small (a digit too many or missing: then 100)"),
        (25.4, "= 10 too small (inches: then 254)"),
        (1000.0, "= 10 too small (metres for millimetres: then 10000)"),
        (0.5, "= 10 too large (x2 evaluation for x1, or x4 for x2: then 5)"),
        (0.4, "= 10 too large (x4 evaluation for x1: then 2.5)"),
        (0.04, "= 10 too large (inches: then 0.393701)"),
        (0.001, "= 10 too large (metres for millimetres: then 0.01)"),
    ],
)
def test_a_ratio_has_its_likely_cause_and_what_to_write(ratio: float, words: str) -> None:
    assert likely_cause(ratio, SCALE) == f"is line.counts_per_mm {words}? Measure a metre of belt"


@pytest.mark.parametrize("ratio", [1.0, 1.19, 0.9, 1101.0, 1e-4])
def test_a_ratio_that_nobody_can_explain_asks_for_a_metre_of_belt(ratio: float) -> None:
    assert likely_cause(ratio, SCALE) == "measure a metre of belt: line.counts_per_mm is its counts / 1000"


def test_a_belt_that_is_a_little_too_fast_asks_for_its_greatest_speed_first() -> None:
    assert speed_fault(700.0, SPEED_MAX, SCALE) == (
        "the belt runs at 700 mm/s, line.speed_max_mm_s is 660: write the greatest speed that it ever has, or measure "
        "a metre of belt: line.counts_per_mm is its counts / 1000"
    )
    assert "too small (x2 evaluation" in speed_fault(1.5 * SPEED_MAX, SPEED_MAX, SCALE)
    assert "then 40" in speed_fault(2400.0, SPEED_MAX, SCALE)


def test_a_pitch_is_told_with_its_cause() -> None:
    assert pitch_fault([50.0, 49.9, 50.1], 120.0, SCALE) == (
        "parts come every 50 mm, min_pitch_mm is 120: is line.counts_per_mm = 10 too large "
        "(x4 evaluation for x1: then 2.5)? Measure a metre of belt"
    )
    assert "measure a metre" in pitch_fault([130.0], 120.0, SCALE)
    assert "measure a metre" in pitch_fault([240.0], 120.0, SCALE), "parts may always be further apart"
    for still in ([0.2, 0.0, 0.1], [0.2, 0.2, 0.2]):
        assert pitch_fault(still, 120.0, SCALE) == (
            "parts come, and the count stands: is the encoder wired, and does it turn with the belt"
        )
    assert pitch_fault([0.2, 0.3, 0.3], 120.0, SCALE).startswith("parts come every 0.3 mm")


@pytest.mark.parametrize(
    ("rate", "cause"),
    [
        (0.001, "milliseconds? It must be microseconds"),
        (9.1, "tenths of microseconds? It must be microseconds"),
        (10.9, "tenths of microseconds? It must be microseconds"),
        (900.0, "nanoseconds? It must be microseconds"),
        (1100.0, "nanoseconds? It must be microseconds"),
        (3.0, "it must be microseconds, from a clock that is never set"),
        (1200.0, "it must be microseconds, from a clock that is never set"),
    ],
)
def test_a_clock_of_another_unit_is_named(rate: float, cause: str) -> None:
    assert clock_fault(rate) == (f"the PLC's clock (time_us) runs {rate:.3g} times as fast as this machine's: {cause}")


def test_parts_within_each_other_are_a_photo_eye_that_bounces_and_others_are_too_near() -> None:
    assert near_fault([3.0, 70.0], 20, recipe()) == (
        "2 of the last 20 parts were announced nearer than min_pitch_mm = 120 to the one before, the nearest 3 mm, and "
        "a part is 60 mm long: does the photo-eye bounce, or see holes in the part? Let the PLC ignore it for the "
        "length of a part"
    )
    assert near_fault([60.0], 20, recipe()).endswith(
        "60 mm: increase the distance of the parts, or correct min_pitch_mm"
    )


@pytest.mark.parametrize(
    ("bound", "words"),
    [
        (
            Bound(0.5, 0.9, 0.02, 0.002),
            ": 0.1 mm of it is one encoder count. Take an encoder or an evaluation with more counts",
        ),
        (
            Bound(90.0, 50.0, 0.0999, 0.002),
            (
                ": 9 mm of it is the possible movement of the belt between two samples, 99.9 ms. Poll more often "
                "(encoder.interval_ms), let the PLC scan faster, or correct acceleration_max_mm_s2"
            ),
        ),
        (
            Bound(90.0, 377.0, 0.07, 0.0572),
            (
                ": 37.7 mm of it is the movement of the belt in 57.2 ms, the doubt about the PLC's clock. Take a "
                "faster way to the PLC (a gateway? a busy network?), or a smaller publish_delay_us"
            ),
        ),
        (None, ": too few encoder samples come"),
    ],
)
def test_a_bound_names_where_most_of_it_comes_from(bound: Bound | None, words: str) -> None:
    told = bound_fault(14.23, 10.0, bound, SCALE)
    told = told.split(": take an encoder or")[0]
    assert told == f"positions are known to 14.2 mm only, position_tolerance_mm is 10{words}"


def test_all_of_a_bound_is_its_three_parts() -> None:
    assert Bound(2.0, 3.5, 0.1, 0.1).counts == 6.5


# Speed.


def drive(
    watch: SpeedWatch,
    counts_per_s: float,
    seconds: float,
    *,
    begun_ns: int = 0,
    clock: float | None = 1.0,
    trip_ms: float = 0.2,
    boot: int = 1,
) -> int:
    """Polls every 8 ms of a PLC that scans every 10 ms; how many of them were news."""
    news = 0
    for at_ns in range(begun_ns, begun_ns + int(seconds * S), 8 * MS):
        scan_ns = at_ns // (10 * MS) * 10 * MS if clock is not None else at_ns
        count = wrap32(round(2**31 - 9000 + counts_per_s * scan_ns / S))
        device_ns = None if clock is None else int(scan_ns * clock)
        news += watch.add(EncoderSample(count, device_ns, at_ns, at_ns + int(trip_ms * MS), boot_id=boot))
    return news


@pytest.mark.parametrize("clock", [None, 1.0])
@pytest.mark.parametrize("speed_mm_s", [600.0, -600.0, 0.0, 660.0])
def test_a_belt_that_runs_as_it_may_is_measured_and_no_fault(speed_mm_s: float, clock: float | None) -> None:
    watch = SpeedWatch(SCALE, SPEED_MAX)
    assert watch.speed_mm_s is None
    assert drive(watch, speed_mm_s * SCALE, 1.0, clock=clock) in {4, 5, 6}
    assert watch.speed_mm_s == pytest.approx(speed_mm_s, rel=0.02, abs=0.1)
    assert watch.faults == {}


@pytest.mark.parametrize("clock", [None, 1.0])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_belt_that_the_timeline_refuses_is_measured_all_the_same(clock: float | None, sign: int) -> None:
    watch = SpeedWatch(SCALE, SPEED_MAX)
    assert drive(watch, sign * 24_000, 0.8, clock=clock) > 0
    assert "the belt runs at 24" in watch.faults["scale"]
    assert "then 40" in watch.faults["scale"]


def test_a_slow_way_to_the_plc_is_no_speed() -> None:
    watch = SpeedWatch(SCALE, SPEED_MAX)
    drive(watch, 7000, 2.0, clock=None, trip_ms=60)
    assert watch.faults == {}, "answers that may be 60 ms late prove no 700 mm/s"
    drive(watch, 7000, 4.0, begun_ns=2 * S, trip_ms=60)
    assert list(watch.faults) == ["speed"], "the PLC's own clock does"
    assert "700 mm/s" in watch.faults["speed"]


class Feed:
    """A belt whose count moves by so many counts in each tenth of a second, read without a clock."""

    def __init__(self, trip_ms: int = 0) -> None:
        self.watch = SpeedWatch(SCALE, SPEED_MAX)
        self._trip_ns = trip_ms * MS
        self._at = self._count = 0
        self._add()

    def run(self, counts: int, readings: int) -> list[str]:
        """The subjects of the faults after so many readings."""
        for _ in range(readings):
            self._at, self._count = self._at + 1, self._count + counts
            self._add()
        return list(self.watch.faults)

    def _add(self) -> None:
        asked_ns = 100 * MS * self._at
        self.watch.add(EncoderSample(self._count, None, asked_ns, asked_ns + self._trip_ns, boot_id=1))


@pytest.mark.parametrize(("trip_ms", "most"), [(0, 668), (2, 695)])
def test_a_speed_is_too_high_if_no_rounding_and_no_late_answer_explains_it(trip_ms: int, most: int) -> None:
    # 1 % above 660 mm/s are 6666 counts in a second. Two counts are rounding, and both answers may be late by a trip.
    for sign in (1, -1):
        assert Feed(trip_ms).run(sign * most, 5) == []
        assert Feed(trip_ms).run(sign * (most + 1), 4) == [], "five readings are needed"
        assert Feed(trip_ms).run(sign * (most + 1), 5) == ["speed"]


@pytest.mark.parametrize(("counts", "subject"), [(989, "speed"), (990, "scale")])
def test_half_as_fast_again_is_another_scale(counts: int, subject: str) -> None:
    assert Feed().run(counts, 5) == [subject]


@pytest.mark.parametrize(("counts", "moves"), [(13, False), (14, True), (-14, True)])
def test_a_hundred_readings_of_a_belt_that_moves_as_it_may_end_an_overspeed(counts: int, moves: bool) -> None:  # noqa: FBT001
    feed = Feed()
    assert feed.run(700, 5) == ["speed"]
    # The median of five is of the slow belt from the third reading on.
    assert feed.run(counts, 2 + 99) == ["speed"]
    assert feed.run(counts, 1) == ([] if moves else ["speed"])


def test_one_jump_of_the_count_is_no_speed() -> None:
    watch = SpeedWatch(SCALE, SPEED_MAX)
    drive(watch, 6000, 1.0)
    assert watch.add(EncoderSample(-(2**31) + 123, 2 * S, 2 * S, 2 * S, boot_id=1))
    drive(watch, 6000, 0.4, begun_ns=2 * S)
    assert watch.faults == {}


def test_another_run_of_the_plc_is_measured_anew() -> None:
    watch = SpeedWatch(SCALE, SPEED_MAX)
    drive(watch, 24_000, 0.4)
    assert drive(watch, 24_000, 0.4, begun_ns=S // 2, boot=2) == 0
    assert watch.faults == {}


def test_an_overspeed_is_over_when_the_belt_has_run_as_it_may_for_ten_seconds() -> None:
    watch = SpeedWatch(SCALE, SPEED_MAX)
    drive(watch, 24_000, 1.0)
    drive(watch, 0, 30.0, begun_ns=S)
    assert "scale" in watch.faults, "a belt that stands proves nothing"
    drive(watch, 6000, 8.0, begun_ns=31 * S)
    assert "scale" in watch.faults
    drive(watch, 24_000, 1.0, begun_ns=39 * S)
    drive(watch, 6000, 8.0, begun_ns=40 * S)
    assert "scale" in watch.faults, "ten seconds since the last time"
    drive(watch, 6000, 5.0, begun_ns=48 * S)
    assert watch.faults == {}
    drive(watch, 7000, 1.0, begun_ns=60 * S)
    assert list(watch.faults) == ["speed"]
    drive(watch, 6000, 13.0, begun_ns=61 * S)
    assert watch.faults == {}


@pytest.mark.parametrize(("rate", "unit"), [(0.001, "milliseconds"), (1000.0, "nanoseconds")])
def test_a_clock_of_another_unit_is_told_and_the_speed_is_still_right(rate: float, unit: str) -> None:
    watch = SpeedWatch(SCALE, SPEED_MAX)
    drive(watch, 6000, 1.0, clock=rate)
    assert list(watch.faults) == ["clock"]
    assert unit in watch.faults["clock"]
    assert watch.speed_mm_s == pytest.approx(600, rel=0.15)
    drive(watch, 6000, 1.2, begun_ns=2 * S)
    assert watch.faults == {}


@pytest.mark.parametrize(("rate", "wrong"), [(0.55, False), (1.9, False), (0.45, True), (2.1, True)])
def test_a_clock_may_be_off_by_what_polling_does_to_it(rate: float, wrong: bool) -> None:  # noqa: FBT001
    watch = SpeedWatch(SCALE, SPEED_MAX)
    for at_ns in range(0, S, 100 * MS):
        watch.add(EncoderSample(0, int(at_ns * rate), at_ns, at_ns, boot_id=1))
    assert ("clock" in watch.faults) is wrong


def test_the_same_scan_seen_again_is_no_reading() -> None:
    watch = SpeedWatch(SCALE, SPEED_MAX)
    for at_ns in range(0, 3 * S, 200 * MS):
        assert not watch.add(EncoderSample(5, 77, at_ns, at_ns, boot_id=1))
    assert watch.speed_mm_s is None


# Pitch.


def announce(watch: PitchWatch, *pitches: float, boot: int = 3, first: int = 1, **changes: Any) -> list[bool]:
    """Parts so many millimetres apart, the count passing its wrap."""
    count, found = (
        2**31 - 2000,
        [watch.add(boot, Trigger(first, wrap32(2**31 - 2000), answered=False), recipe(**changes))],
    )
    for part_seq, pitch in enumerate(pitches, start=first + 1):
        count += round(pitch * SCALE)
        found.append(watch.add(boot, Trigger(part_seq, wrap32(count), answered=False), recipe(**changes)))
    return found


def test_parts_as_far_apart_as_they_should_be_are_no_fault() -> None:
    watch = PitchWatch(SCALE)
    assert not any(announce(watch, *[200.0, 120.0, 119.8, 150.0] * 10))
    assert watch.faults == {}, "a count at either end is the rounding"
    announce(watch, *[119.7] * 5, boot=4)
    assert list(watch.faults) == ["scale"], "three counts are more than that"


def test_five_parts_in_a_row_that_are_all_too_near_are_a_wrong_scale() -> None:
    watch = PitchWatch(SCALE)
    assert announce(watch, *[50.0] * 4) == [False, True, True, True, True]
    assert watch.faults == {}
    announce(watch, *[50.0] * 5, boot=4)
    assert list(watch.faults) == ["scale"]
    assert "parts come every 50 mm, min_pitch_mm is 120" in watch.faults["scale"]


def test_a_gap_between_parts_does_not_take_a_wrong_scale_back_but_right_pitches_do() -> None:
    watch = PitchWatch(SCALE)
    announce(watch, *[50.0] * 6, 150.0, 50.0, 150.0, 50.0)
    assert list(watch.faults) == ["scale"]
    announce(watch, *[50.0] * 6, 150.0, 150.0, 150.0)
    assert list(watch.faults) == ["pitch"]
    announce(watch, *[50.0] * 6, *[150.0] * 20)
    assert watch.faults == {}


def test_another_run_of_the_plc_or_a_part_left_out_has_no_pitch() -> None:
    watch = PitchWatch(SCALE)
    assert announce(watch, boot=1) + announce(watch, boot=2, first=2) == [False, False]
    assert announce(watch, boot=2, first=4) == [False]
    assert watch.faults == {}


def test_one_bounce_is_counted_and_the_second_is_told() -> None:
    watch = PitchWatch(SCALE)
    assert announce(watch, 200.0, 5.0, 195.0, 200.0) == [False, False, True, False, False]
    assert watch.faults == {}
    assert announce(watch, 200.0, 59.9, 140.0, 60.0, 130.0, boot=4) == [False, False, True, False, False, False]
    assert list(watch.faults) == ["pitch"]
    assert "2 of the last 5 parts" in watch.faults["pitch"]
    assert "bounce" in watch.faults["pitch"]


@pytest.mark.parametrize("bounces", [[5.0, 195.0], [5.0, 5.0, 190.0], [4.0] * 4 + [184.0]])
def test_a_photo_eye_that_bounces_at_every_part_is_no_wrong_scale(bounces: list[float]) -> None:
    watch = PitchWatch(SCALE)
    announce(watch, *bounces * 10)
    assert list(watch.faults) == ["pitch"]


def test_bounces_are_forgotten_after_twenty_parts() -> None:
    watch = PitchWatch(SCALE)
    announce(watch, 200.0, 5.0, 5.0, *[200.0] * 18)
    assert list(watch.faults) == ["pitch"]
    announce(watch, 200.0, 5.0, 5.0, *[200.0] * 19, boot=4)
    assert watch.faults == {}


def test_each_pitch_is_held_against_the_recipe_of_its_part() -> None:
    watch = PitchWatch(SCALE)
    announce(watch, *[130.0] * 4)
    announce(watch, *[130.0] * 4, first=6, min_pitch_mm=140)
    assert list(watch.faults) == ["pitch"], "the first four were as they should be"
    announce(watch, *[130.0] * 5, first=11, min_pitch_mm=140)
    assert list(watch.faults) == ["scale"]


def test_pitches_are_those_between_neighbours_only() -> None:
    shown = [
        Trigger(1, 2**31 - 10, answered=True),
        Trigger(2, -(2**31) + 10, answered=False),
        Trigger(4, 500, answered=False),
    ]
    assert pitches_mm(shown, SCALE, 2**32) == [2.0]
    assert pitches_mm(shown[:1], SCALE, 2**32) == []
    dint = 2**32
    assert (signed(2**31, dint), signed(2**31 - 1, dint), signed(-(2**32) + 5, dint)) == (-(2**31), 2**31 - 1, 5)
    assert (signed(-9990, 10_000), signed(4999, 10_000), signed(5000, 10_000)) == (10, 4999, -5000)


# Bound.


def test_places_that_are_not_known_well_enough_are_told_after_five_parts_in_a_row() -> None:
    watch, bound = BoundWatch(SCALE), Bound(1.0, 377.0, 0.07, 0.0572)
    for _ in range(4):
        watch.add(14.0, 10.0, bound)
    assert watch.faults == {}
    watch.add(10.0, 10.0, bound)
    for _ in range(4):
        watch.add(14.0, 10.0, bound)
    assert watch.faults == {}, "one within it begins the row anew"
    watch.add(13.0, 10.0, bound)
    assert "positions are known to 13 mm only" in watch.faults["bound"]
    watch.add(10.1, 10.0, None)
    assert "10.1 mm only, position_tolerance_mm is 10: too few" in watch.faults["bound"]


def test_places_that_are_known_again_are_so_after_five_parts_in_a_row() -> None:
    watch = BoundWatch(SCALE)
    for _ in range(5):
        watch.add(14.0, 10.0, None)
    for _ in range(4):
        watch.add(9.0, 10.0, None)
    watch.add(11.0, 10.0, None)
    assert "11 mm" in watch.faults["bound"]
    for _ in range(4):
        watch.add(9.0, 10.0, None)
    assert watch.faults
    watch.add(9.0, 10.0, None)
    assert watch.faults == {}
