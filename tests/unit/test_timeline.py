"""Where the belt was: never farther from the truth than the bound that is given with it."""

import math
import random
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_inspector.errors import PositionPendingError, PositionUnknownError
from edge_inspector.inspection.counter import Counter
from edge_inspector.inspection.timeline import Jump, Motion, Passage, Timeline
from edge_inspector.plc.blocks import wrap32
from edge_inspector.records import EncoderSample

MS = 1_000_000
S = 1_000_000_000
MOTION = Motion(speed_max=20_000.0, acceleration_max=50_000.0)  # counts: 2 m/s and 5 m/s2 at 10 per mm


class Belt:
    """Runs from one speed to the next with the greatest acceleration there is, and holds it for a while."""

    def __init__(self, legs: list[tuple[float, float]]) -> None:
        self._starts: list[float] = []
        self._pieces: list[tuple[float, float, float]] = []
        at = place = speed = 0.0
        for wanted, hold_s in legs:
            rate = math.copysign(MOTION.acceleration_max, wanted - speed)
            for seconds, acceleration in ((abs(wanted - speed) / MOTION.acceleration_max, rate), (hold_s, 0.0)):
                self._starts.append(at)
                self._pieces.append((place, speed, acceleration))
                at += seconds
                place += speed * seconds + acceleration * seconds**2 / 2
                speed += acceleration * seconds
        self._starts.append(at)
        self._pieces.append((place, speed, 0.0))

    def __call__(self, at_ns: float) -> float:
        index = max(0, bisect_right(self._starts, at_ns / S) - 1)
        place, speed, acceleration = self._pieces[index]
        since = at_ns / S - self._starts[index]
        return place + speed * since + acceleration * since**2 / 2


@dataclass
class World:
    """A belt, a PLC that stamps its count once per scan, and a network; all of it random, and known to the test."""

    belt: Belt
    seed: int
    zero: int = 0
    scan_ns: int = 10 * MS
    drift: float = 0.0
    publish_ns: int = 0
    trip_ns: int = 2 * MS
    boot_id: int = 7
    read_point: float = 0.5

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._clock_start = self._random.randrange(10**15)
        self._phase = self._random.randrange(self.scan_ns)

    def device_ns(self, at_ns: int) -> int:
        """The PLC's clock, in whole microseconds."""
        return (self._clock_start + at_ns + round(at_ns * self.drift)) // 1000 * 1000

    def poll(self, asked_ns: int) -> EncoderSample:
        trip_ns = self._random.randint(50_000, self.trip_ns)
        read_ns = asked_ns + self._random.choice((0, trip_ns, self._random.randint(0, trip_ns)))
        scan = (read_ns - self._phase) // self.scan_ns
        if read_ns < self._stamped_ns(scan) + self._delay_ns(scan):
            scan -= 1
        stamped_ns = self._stamped_ns(scan)
        count = wrap32(self.zero + round(self.belt(stamped_ns)))
        return EncoderSample(count, self.device_ns(stamped_ns), asked_ns, asked_ns + trip_ns, boot_id=self.boot_id)

    def polls(self, timeline: Timeline, until_ns: int, interval_ns: int = 8 * MS) -> Iterator[EncoderSample]:
        """Anywhere in the scan, or aimed at its edge, as the track stage does it."""
        now = self._random.randrange(interval_ns) + 20 * MS
        while now < until_ns:
            sample = self.poll(now)
            yield sample
            now = sample.answered_ns + self._random.randint(interval_ns // 2, interval_ns * 3 // 2)
            edge = timeline.next_edge(now - interval_ns // 2) if self._random.random() < 0.5 else None
            if edge is not None:
                aim = edge[0] + self._random.randint(-edge[1] - 100_000, edge[1] + 100_000)
                now = max(sample.answered_ns, aim)

    def _stamped_ns(self, scan: int) -> int:
        return self._phase + scan * self.scan_ns

    def _delay_ns(self, scan: int) -> int:
        return random.Random(scan ^ self.seed).randint(0, self.publish_ns)


def timeline_of(world: World) -> Timeline:
    return Timeline(MOTION, drift=100e-6, publish_ns=world.publish_ns, read_point=world.read_point)


speeds = st.one_of(st.just(0.0), st.floats(-MOTION.speed_max, MOTION.speed_max), st.just(MOTION.speed_max))
belts = st.lists(st.tuples(speeds, st.floats(0.0, 0.3)), min_size=1, max_size=8).map(Belt)
zeros = st.one_of(st.integers(-(2**31), 2**31 - 1), st.integers(2**31 - 3000, 2**31 - 1), st.just(-(2**31)))
worlds = st.builds(
    World,
    belt=belts,
    seed=st.integers(0, 2**32),
    zero=zeros,
    scan_ns=st.integers(5 * MS, 20 * MS),
    drift=st.floats(-100e-6, 100e-6),
    publish_ns=st.integers(0, 2 * MS),
    trip_ns=st.sampled_from([200_000, 2 * MS, 10 * MS, 40 * MS]),
    read_point=st.floats(0.0, 1.0),
)


@settings(max_examples=120)
@given(worlds)
def test_the_error_is_never_greater_than_its_bound(world: World) -> None:
    timeline, chance = timeline_of(world), random.Random(world.seed + 1)
    base: float | None = None
    answers = 0
    for sample in world.polls(timeline, 2 * S):
        timeline.add(sample)
        now = sample.answered_ns
        if base is None:
            base = round((sample.count - world.zero - world.belt(now)) / 2**32) * 2**32 + world.zero
        for at_ns in (now - chance.randrange(60 * MS), now - chance.randrange(1500 * MS)):
            off_ns = chance.choice((0, 0, -1, 1)) * chance.randrange(100 * MS)
            try:
                position = timeline.count_at(at_ns, now, unsure_ns=abs(off_ns))
            except (PositionPendingError, PositionUnknownError):
                continue
            answers += 1
            assert abs(position.count - (base + world.belt(at_ns + off_ns))) <= position.error_counts + 1
            assert position.epoch == 1
    assert answers > 20
    assert timeline.epoch == 1


@settings(max_examples=120)
@given(worlds)
def test_ahead_of_the_newest_sample_the_error_is_never_greater_than_its_bound(world: World) -> None:
    timeline, chance = timeline_of(world), random.Random(world.seed + 1)
    base: float | None = None
    answers = 0
    for sample in world.polls(timeline, 2 * S):
        timeline.add(sample)
        now = sample.answered_ns
        if base is None:
            base = round((sample.count - world.zero - world.belt(now)) / 2**32) * 2**32 + world.zero
        at_ns = now + chance.randrange(60 * MS)
        off_ns = chance.choice((0, 0, -1, 1)) * chance.randrange(30 * MS)
        try:
            position = timeline.count_at(at_ns, at_ns, chance.choice((300.0, 3000.0)), abs(off_ns))
        except PositionPendingError:
            continue
        answers += 1
        assert abs(position.count - (base + world.belt(at_ns + off_ns))) <= position.error_counts + 1
    assert answers > 5


@settings(max_examples=70)
@given(worlds)
def test_the_belt_is_never_farther_than_furthest_says(world: World) -> None:
    timeline, chance = timeline_of(world), random.Random(world.seed + 1)
    base: float | None = None
    for sample in world.polls(timeline, 2 * S):
        timeline.add(sample)
        if base is None:
            base = round((sample.count - world.zero - world.belt(sample.answered_ns)) / 2**32) * 2**32 + world.zero
        for now in (sample.answered_ns, sample.answered_ns + chance.randrange(500 * MS)):
            furthest = timeline.furthest(now)
            assert furthest is not None
            assert furthest >= base + world.belt(now)


@settings(max_examples=70)
@given(worlds)
def test_the_offset_between_the_clocks_lies_within_its_bounds(world: World) -> None:
    timeline = timeline_of(world)
    for sample in world.polls(timeline, 4 * S):
        timeline.add(sample)
        low, high = timeline.offset_bounds(sample.answered_ns)
        truth = sample.answered_ns - world.device_ns(sample.answered_ns)
        # A microsecond is what the PLC's clock shows; ten more are what it drifts within one trip and scan.
        assert low - 11_000 <= truth <= high + 11_000


def test_the_bound_is_small_enough_to_be_of_use() -> None:
    for seed in range(20):
        world = World(Belt([(10_000.0, 9.0)]), seed, drift=50e-6, trip_ns=1 * MS)
        timeline = timeline_of(world)
        for sample in world.polls(timeline, 3 * S):
            timeline.add(sample)
        now = sample.answered_ns
        # 10 counts are 1 mm: at 1 m/s, within the recipe's usual tolerance many times over.
        assert timeline.count_at(now - 100 * MS, now).error_counts < 12


def test_while_the_belt_stands_the_position_is_known_to_a_few_counts() -> None:
    world = World(Belt([(20_000.0, 0.1), (0.0, 9.0)]), seed=3, trip_ns=5 * MS)
    timeline = timeline_of(world)
    for sample in world.polls(timeline, 3 * S):
        timeline.add(sample)
    now = sample.answered_ns
    position = timeline.count_at(now - 100 * MS, now)
    assert position.count == sample.count
    assert position.error_counts < 10


def line_of(*samples: EncoderSample, **options: int) -> Timeline:
    timeline = Timeline(MOTION, **options)
    for sample in samples:
        timeline.add(sample)
    return timeline


def stamped(at_ms: float, count: int, *, trip_ms: float = 1.0, boot_id: int = 7, ahead_ms: float = 0) -> EncoderSample:
    """Read in the middle of the trip; the PLC's clock is 5 s ahead, and steps by `ahead_ms`."""
    at_ns, half_ns = int(at_ms * MS), int(trip_ms * MS / 2)
    device_ns = at_ns + 5 * S + int(ahead_ms * MS)
    return EncoderSample(wrap32(count), device_ns, at_ns - half_ns, at_ns + half_ns, boot_id=boot_id)


def bare(at_ms: float, count: int, *, trip_ms: float = 1.0, boot_id: int = 7) -> EncoderSample:
    """From a source without a clock."""
    at_ns, half_ns = int(at_ms * MS), int(trip_ms * MS / 2)
    return EncoderSample(wrap32(count), None, at_ns - half_ns, at_ns + half_ns, boot_id=boot_id)


def test_before_the_first_sample_nothing_is_known() -> None:
    timeline = Timeline(MOTION)
    assert (timeline.epoch, timeline.boot_id) == (0, None)
    assert timeline.furthest(S) is None
    assert timeline.estimate(S) is None
    assert not timeline.fresh(S)
    assert timeline.next_edge(S) is None
    with pytest.raises(PositionUnknownError, match=r"^no encoder sample yet$"):
        timeline.count_at(S, S)
    with pytest.raises(PositionUnknownError, match=r"^no encoder sample yet$"):
        timeline.unwrap(0)


def test_the_first_sample_begins_the_first_epoch() -> None:
    timeline = Timeline(MOTION)
    assert timeline.add(stamped(100, 0)) is False
    assert (timeline.epoch, timeline.boot_id) == (1, 7)
    assert timeline.add(stamped(110, 10)) is True
    assert timeline.epoch == 1


@pytest.mark.parametrize(
    ("next_one", "what"),
    [
        (stamped(110, 110, boot_id=8), "the PLC has started anew"),
        (stamped(110, 100_000), "the count jumped forward"),
        (stamped(110, -100_000), "the count jumped back"),
        (stamped(110, 110, ahead_ms=400), "the PLC's clock was set forward"),
        (stamped(110, 110, ahead_ms=-400), "the PLC's clock was set back"),
        (stamped(120, 110, ahead_ms=30), "the PLC's clock stepped by a little"),
        (stamped(60_100 + 100, 100), "the source was silent for so long that the count may have wrapped"),
        (bare(110, 110), "the source has lost its clock"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_a_new_epoch_begins_when(next_one: EncoderSample, what: str) -> None:
    del what
    slow = Motion(speed_max=40_000_000.0 if next_one.answered_ns > 60 * S else 20_000.0, acceleration_max=50_000.0)
    timeline = Timeline(slow)
    for at in range(8):
        timeline.add(stamped(30 + 10 * at, 30 + 10 * at))
    assert timeline.add(next_one) is False
    assert timeline.epoch == 2
    assert timeline.boot_id == next_one.boot_id
    assert timeline.unwrap(next_one.count).count == next_one.count


def test_a_clock_set_back_by_less_than_the_bounds_is_noticed_with_the_next_sample() -> None:
    timeline = line_of(*(stamped(30 + 10 * at, 0) for at in range(8)))
    assert [timeline.add(stamped(at, 0, ahead_ms=-15)) for at in (120, 130)].count(False) == 1
    assert timeline.epoch == 2


def test_every_sample_is_news() -> None:
    timeline = Timeline(MOTION)
    assert timeline.news == 0
    for sample in (stamped(100, 0), stamped(110, 10), stamped(110, 10), stamped(120, 20, boot_id=8)):
        before = timeline.news
        timeline.add(sample)
        assert timeline.news == before + 1


@pytest.mark.parametrize("way", [1, -1])
@pytest.mark.parametrize(("sample", "most"), [(stamped, 200 + 2), (bare, 220 + 2)])
def test_a_count_is_possible_up_to_the_greatest_speed_and_two_counts(
    sample: Callable[[float, int], EncoderSample], most: int, way: int
) -> None:
    # Without a clock of the source each of the two may have been read half a millisecond before or after.
    assert line_of(sample(100, 0)).add(sample(110, way * (most - 1)))
    assert not line_of(sample(100, 0)).add(sample(110, way * (most + 1)))


def test_the_bounds_of_the_clocks_are_those_of_the_trips_and_widen_with_the_time_that_passes() -> None:
    before, after = stamped(100, 0), stamped(110, 10)
    high, now = -5 * S + MS // 2, after.answered_ns
    assert line_of(before).offset_bounds(before.answered_ns) == (high - 250 * MS, high)
    low = -5 * S - 10 * MS - MS // 2
    timeline = line_of(before, after)
    assert timeline.offset_bounds(now) == (low, high)
    for away_ns in (-S, S):
        assert timeline.offset_bounds(now + away_ns) == (low - 100_000, high + 100_000)
    assert line_of(before, after, publish_ns=2 * MS).offset_bounds(now) == (low - 2 * MS, high)


@pytest.mark.parametrize("read_point", [0.0, 0.2, 0.5, 0.8, 1.0])
def test_where_in_the_trip_the_plc_reads_moves_the_likely_offset_and_widens_the_doubt(read_point: float) -> None:
    timeline = Timeline(MOTION, read_point=read_point)
    for at in range(100, 180, 10):
        timeline.add(stamped(at, 0))
    now = stamped(170, 0).answered_ns
    low, high = timeline.offset_bounds(now)
    bound, edge = timeline.reachable(), timeline.next_edge(now)
    assert bound is not None
    assert bound.doubt_s == round(max(read_point, 1 - read_point) * (high - low)) / 1e9
    assert edge is not None
    assert (edge[0] - 170 * MS - 5 * S - low - round(read_point * (high - low))) % (10 * MS) == 0


@pytest.mark.parametrize(("later_ns", "high"), [(0, 300_000), (1, 500_000)])
def test_the_best_trip_bounds_the_clocks_for_two_seconds(later_ns: int, high: int) -> None:
    sharp = stamped(100, 0, trip_ms=0.2)
    timeline = line_of(sharp, *(stamped(at, 0) for at in range(110, 2090, 10)))
    at_ns = sharp.answered_ns + 2 * S + later_ns
    timeline.add(EncoderSample(0, at_ns + 5 * S - MS // 2, at_ns - MS, at_ns, boot_id=7))
    assert timeline.offset_bounds(at_ns)[1] == -5 * S + high


@pytest.mark.parametrize(("later_ns", "known"), [(0, True), (1, False)])
def test_the_history_is_five_seconds_long(later_ns: int, known: bool) -> None:  # noqa: FBT001
    times = (0, 2500 * MS, 5000 * MS + later_ns)
    timeline = line_of(*(EncoderSample(7, None, at_ns, at_ns, boot_id=7) for at_ns in times))
    if known:
        assert timeline.count_at(0, times[-1]).count == 7
    else:
        with pytest.raises(PositionUnknownError):
            timeline.count_at(0, times[-1])


def test_positions_from_before_a_new_epoch_are_not_given() -> None:
    timeline = line_of(stamped(100, 0), stamped(110, 10), stamped(120, 1000, boot_id=8), stamped(130, 1010, boot_id=8))
    with pytest.raises(PositionUnknownError, match=r"^older than the encoder's history$"):
        timeline.count_at(105 * MS, 131 * MS)
    assert timeline.count_at(125 * MS, 131 * MS).epoch == 2


def test_an_instant_after_the_newest_sample_is_pending_until_the_next_one() -> None:
    timeline = line_of(bare(100, 0), bare(110, 10))
    with pytest.raises(PositionPendingError):
        timeline.count_at(115 * MS, 116 * MS)
    timeline.add(bare(120, 20))
    assert timeline.count_at(115 * MS, 121 * MS).count == 15
    assert timeline.count_at(120 * MS, 121 * MS).count == 20, "the newest sample itself"


@pytest.mark.parametrize("per_ms", [10, -10, 19])
def test_an_instant_after_the_newest_sample_goes_on_at_the_belts_speed_where_that_is_exact_enough(per_ms: int) -> None:
    timeline = line_of(*(stamped(at, per_ms * at) for at in (80, 90, 100)))
    at_ns = 110 * MS
    low, high = timeline.offset_bounds(at_ns)
    doubt_s = round((high - low) / 2) / S
    ahead_s = (at_ns - (low + round((high - low) / 2)) - 5 * S - 100 * MS) / S
    position = timeline.count_at(at_ns, at_ns, tolerance=1000.0)
    assert position.count == pytest.approx(100 * per_ms + 1000 * per_ms * ahead_s, rel=1e-12)
    steady = 1 + (1 / 0.020 + 50_000 * (0.020 + ahead_s) / 2) * ahead_s
    fastest = min(20_000, 1000 * abs(per_ms) + 1 / 0.020 + 50_000 * (0.020 + ahead_s + doubt_s))
    assert position.error_counts == pytest.approx(steady + doubt_s * fastest, rel=1e-12)
    assert position.epoch == 1
    with pytest.raises(PositionPendingError):
        timeline.count_at(at_ns, at_ns, tolerance=position.error_counts - 0.1)
    assert timeline.count_at(at_ns, at_ns, tolerance=position.error_counts) == position


def ahead_by_two_spans(samples: list[EncoderSample], at_ns: int) -> float:
    return line_of(*samples[-3:]).count_at(at_ns, at_ns, tolerance=1e9).count


def test_a_belt_that_ran_evenly_is_known_better_ahead_than_by_two_spans_of_whole_counts() -> None:
    at_ns, errors, coarse_errors = 110 * MS, [], []
    for speed in (0.3 + step * 0.0137 for step in range(60)):
        samples = [stamped(at, round(speed * at)) for at in range(30, 101, 10)]
        timeline = line_of(*samples)
        low, high = timeline.offset_bounds(at_ns)
        truth = speed * (at_ns - (low + round((high - low) / 2)) - 5 * S) / MS
        even, coarse = timeline.count_at(at_ns, at_ns, tolerance=1000.0), ahead_by_two_spans(samples, at_ns)
        errors.append(abs(even.count - truth))
        coarse_errors.append(abs(coarse - truth))
        # The bound still covers all that two spans allow.
        assert even.error_counts >= 1 + abs(even.count - coarse)
    assert max(errors) < 1.0 < max(coarse_errors)
    assert sum(errors) < 0.6 * sum(coarse_errors)


@pytest.mark.parametrize("off", [[0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 9, 9, 9, 9], [-3, 3, -3, 3, -3, 3, -3, 3]])
def test_a_belt_that_ran_unevenly_or_is_hardly_known_goes_on_at_the_speed_of_the_last_two_spans(off: list[int]) -> None:
    begin = 100 - 10 * (len(off) - 1)
    samples = [stamped(begin + 10 * at, 10 * at + by) for at, by in enumerate(off)]
    at_ns = 110 * MS
    found = line_of(*samples).count_at(at_ns, at_ns, tolerance=1e9)
    assert found.count == pytest.approx(ahead_by_two_spans(samples, at_ns), abs=1e-6)


@pytest.mark.parametrize("samples", [[bare(80, 0), bare(90, 10), bare(100, 20)], [stamped(90, 0), stamped(100, 10)]])
def test_no_position_is_made_up_ahead_without_a_clock_or_two_spans(samples: list[EncoderSample]) -> None:
    timeline = line_of(*samples)
    with pytest.raises(PositionPendingError):
        timeline.count_at(101 * MS, 102 * MS, tolerance=1e9)


def test_an_instant_after_the_newest_sample_is_unknown_once_the_source_is_silent() -> None:
    timeline, newest = line_of(bare(100, 0), bare(110, 10)), bare(110, 10).answered_ns
    with pytest.raises(PositionPendingError):
        timeline.count_at(115 * MS, newest + 250 * MS)
    with pytest.raises(PositionUnknownError, match=r"^the encoder sends no samples$"):
        timeline.count_at(115 * MS, newest + 250 * MS + 1)
    assert timeline.fresh(newest + 250 * MS)
    assert not timeline.fresh(newest + 250 * MS + 1)


@pytest.mark.parametrize(
    ("motion", "travel", "error"),
    [
        # Known to half a trip, 0.5 ms, at 101 counts in 9 ms, and what 50 000 counts/s2 add in 5 and 2 x 0.5 ms.
        (MOTION, 100, 1 + 50_000 * 0.010**2 / 8 + (101 / 0.009 + 50_000 * 0.006) * 0.0005),
        (MOTION, -100, 1 + 50_000 * 0.010**2 / 8 + (101 / 0.009 + 50_000 * 0.006) * 0.0005),
        (MOTION, 190, 1 + 50_000 * 0.010**2 / 8 + 20_000 * 0.0005),
        (Motion(speed_max=100.0, acceleration_max=1e9), 1, 1 + 100 * 0.010 + 100 * 0.0005),
    ],
    ids=["steady", "reverse", "at full speed", "as jerky as can be"],
)
def test_the_bound_between_two_samples_is_what_the_belts_limits_allow(
    motion: Motion, travel: int, error: float
) -> None:
    timeline = Timeline(motion)
    for sample in (bare(100, 0), bare(110, travel)):
        timeline.add(sample)
    position = timeline.count_at(102 * MS, 111 * MS)
    assert position.count == pytest.approx(0.2 * travel, rel=1e-12)
    assert position.error_counts == pytest.approx(error, rel=1e-12)


def test_the_bound_that_can_be_reached_is_that_of_a_place_between_the_latest_samples() -> None:
    timeline = line_of(*(bare(100 + 10 * at, 100 * at) for at in range(7)))
    assert timeline.reachable() is None
    timeline.add(bare(170, 700))
    bound = timeline.reachable()
    assert bound is not None
    assert bound.counts == pytest.approx(timeline.count_at(165 * MS, 171 * MS).error_counts, rel=1e-9)
    assert (bound.span_s, bound.doubt_s) == (0.01, 0.0005)
    assert bound.bend == pytest.approx(50_000 * 0.010**2 / 8, rel=1e-12)
    assert bound.doubt == pytest.approx((101 / 0.009 + 50_000 * 0.006) * 0.0005, rel=1e-12)
    faster = timeline.reachable(15_000)
    assert faster is not None
    assert faster.doubt == pytest.approx((151 / 0.009 + 50_000 * 0.006) * 0.0005, rel=1e-12)


def test_the_present_speed_is_that_over_the_eight_latest_samples() -> None:
    # At first it stood, and then it ran 40 counts in a span, 35 in the average.
    counts = (0, 0, 0, 35, 75, 115, 155, 195, 230, 245)
    bound = line_of(*(bare(100 + 10 * at, count) for at, count in enumerate(counts))).reachable()
    assert bound is not None
    assert bound.doubt == pytest.approx((35 + 1) / 0.009 * 0.0005 + 50_000 * 0.006 * 0.0005, rel=1e-12)


def test_a_belt_that_fell_is_as_fast_as_one_that_rose() -> None:
    rising, falling = (line_of(*(bare(100 + 10 * at, sign * 100 * at) for at in range(9))) for sign in (1, -1))
    assert rising.reachable() == falling.reachable()


@pytest.mark.parametrize(
    ("travel", "unsure_ms", "more"),
    [
        # At 101 counts in 9 ms and what was gained on the way there, and what 50 000 counts/s2 add in half of the time.
        (100, 20, (101 / 0.009 + 50_000 * 0.006 + 50_000 * 0.010) * 0.020),
        (-100, 20, (101 / 0.009 + 50_000 * 0.006 + 50_000 * 0.010) * 0.020),
        (100, 400, 20_000 * 0.400),
    ],
    ids=["steady", "reverse", "so long that it may run at full speed"],
)
def test_who_does_not_know_the_instant_gets_a_bound_that_holds_for_all_of_them(
    travel: int, unsure_ms: int, more: float
) -> None:
    timeline = Timeline(MOTION)
    for sample in (bare(100, 0), bare(110, travel)):
        timeline.add(sample)
    sure = timeline.count_at(102 * MS, 111 * MS)
    unsure = timeline.count_at(102 * MS, 111 * MS, unsure_ns=unsure_ms * MS)
    assert unsure.count == sure.count
    assert unsure.error_counts - sure.error_counts == pytest.approx(more, rel=1e-9)


def test_the_bound_for_an_instant_that_is_not_known_holds_ahead_and_at_the_first_sample_too() -> None:
    samples = [stamped(at, 15 * at) for at in range(100, 200, 10)]
    timeline = line_of(*samples)
    sure, unsure = (timeline.count_at(195 * MS, 195 * MS, 1e9, unsure_ns) for unsure_ns in (0, 5 * MS))
    assert 15_000 * 0.005 < unsure.error_counts - sure.error_counts < 20_000 * 0.005
    with pytest.raises(PositionPendingError):
        timeline.count_at(195 * MS, 195 * MS, sure.error_counts, 5 * MS)
    first = line_of(bare(100, 40), bare(110, 40))
    assert first.count_at(100 * MS, 111 * MS).error_counts == 1
    assert first.count_at(100 * MS, 111 * MS, unsure_ns=7 * MS).error_counts == pytest.approx(
        1 + 20_000 * 0.007, rel=1e-12
    )


def test_before_any_sample_nothing_can_be_unwrapped() -> None:
    with pytest.raises(PositionUnknownError, match=r"^no encoder sample yet$"):
        Timeline(MOTION).unwrap(5)


def test_furthest_is_the_newest_count_and_the_greatest_speed_since() -> None:
    timeline = line_of(bare(100, 1000))
    assert timeline.furthest(int(99.5 * MS)) == 1002, "read half a trip after at the latest: no age yet"
    assert timeline.furthest(1100 * MS) == 1000 + int(20_000 * 1.0005) + 2


def test_an_instant_before_the_history_is_unknown() -> None:
    timeline = line_of(*(bare(at, at) for at in range(100, 3000, 10)), history_ns=S)
    with pytest.raises(PositionUnknownError, match=r"^older than the encoder's history$"):
        timeline.count_at(1900 * MS, 2995 * MS)
    assert timeline.count_at(2100 * MS, 2995 * MS).count == 2100


def test_the_very_first_instant_of_the_history_is_known() -> None:
    timeline = line_of(bare(100, 40), bare(110, 50))
    assert timeline.count_at(100 * MS, 111 * MS).count == 40


def test_a_scan_seen_twice_is_no_sign_of_life() -> None:
    first = stamped(100, 0)
    timeline = line_of(first, stamped(110, 10))
    again = EncoderSample(10, stamped(110, 10).device_ns, 400 * MS, 401 * MS, boot_id=7)
    assert timeline.add(again) is True
    assert timeline.epoch == 1
    assert not timeline.fresh(401 * MS)


def test_a_scan_seen_twice_sharpens_the_bound_on_the_clocks() -> None:
    def width(*samples: EncoderSample) -> int:
        low, high = line_of(*samples).offset_bounds(130 * MS)
        return high - low

    again = EncoderSample(0, stamped(100, 0).device_ns, 108 * MS, 109 * MS, boot_id=7)
    assert width(stamped(100, 0), again, stamped(110, 10)) < width(stamped(100, 0), stamped(110, 10))


@given(zeros, st.integers(-(2**31) + 1, 2**31 - 1))
def test_unwrap_gives_the_count_nearest_to_the_belts_newest_position(zero: int, way: int) -> None:
    timeline = line_of(bare(100, zero))
    assert timeline.unwrap(wrap32(wrap32(zero) + way)).count == wrap32(zero) + way


def test_a_latched_count_from_before_the_wrap_is_unwrapped_after_it() -> None:
    top = 2**31 - 50
    timeline = line_of(*(bare(100 + 10 * at, top + 20 * at) for at in range(6)))
    assert timeline.epoch == 1
    assert timeline.unwrap(wrap32(top + 100)).count == top + 100
    assert timeline.unwrap(top - 5).count == top - 5
    assert timeline.count_at(145 * MS, 151 * MS).count == top + 90


def test_the_counter_may_wrap_many_times_in_one_epoch() -> None:
    fast = Timeline(Motion(4e9, 1e9))
    for at in range(40):
        fast.add(bare(100 + 100 * at, 300_000_000 * at))
    assert fast.epoch == 1
    assert fast.unwrap(wrap32(300_000_000 * 39)).count == 300_000_000 * 39


def test_a_belt_in_reverse_is_followed() -> None:
    timeline = line_of(*(bare(100 + 10 * at, -(2**31) + 30 - 10 * at) for at in range(8)))
    assert timeline.epoch == 1
    assert timeline.count_at(165 * MS, 171 * MS).count == -(2**31) + 30 - 65


def test_the_estimate_goes_on_at_the_belts_speed() -> None:
    timeline = line_of(*(bare(100 + 10 * at, 100 * at) for at in range(6)))
    assert timeline.estimate(170 * MS) == pytest.approx(700)
    assert line_of(bare(100, 40)).estimate(900 * MS) == 40.0


@settings(max_examples=70)
@given(belts, st.integers(0, 2**32), st.integers(1, 30))
def test_a_source_without_a_clock_keeps_its_epoch_and_its_bounds_too(belt: Belt, seed: int, trip_ms: int) -> None:
    chance, timeline, now = random.Random(seed), Timeline(MOTION), 20 * MS
    while now < 2 * S:
        asked_ns, now = now, now + chance.randint(50_000, trip_ms * MS)
        read_ns = chance.choice((asked_ns, now, chance.randint(asked_ns, now)))
        timeline.add(EncoderSample(round(belt(read_ns)), None, asked_ns, now, boot_id=7))
        assert timeline.epoch == 1
        furthest = timeline.furthest(now + 30 * MS)
        assert furthest is not None
        assert furthest >= belt(now + 30 * MS)
        for at_ns in (now - chance.randrange(60 * MS), now - chance.randrange(S)):
            try:
                position = timeline.count_at(at_ns, now)
            except (PositionPendingError, PositionUnknownError):
                continue
            assert abs(position.count - belt(at_ns)) <= position.error_counts + 1
        now += chance.choice((0, chance.randrange(12 * MS)))
    assert timeline.next_edge(now) is None
    assert timeline.offset_bounds(now) == (0, 0)


def test_the_next_edge_is_one_of_the_plcs_scans() -> None:
    world = World(Belt([(5_000.0, 9.0)]), seed=11, trip_ns=500_000)
    timeline = timeline_of(world)
    for sample in world.polls(timeline, 2 * S):
        timeline.add(sample)
    now = sample.answered_ns
    edge = timeline.next_edge(now)
    assert edge is not None
    at_ns, unsure_ns = edge
    assert now < at_ns <= now + 2 * world.scan_ns
    into_scan = (at_ns - world._phase) % world.scan_ns
    assert min(into_scan, world.scan_ns - into_scan) <= unsure_ns + 10_000


def test_the_next_edge_is_not_known_after_a_few_samples() -> None:
    assert line_of(*(stamped(100 + 10 * at, at) for at in range(7))).next_edge(200 * MS) is None
    assert line_of(*(stamped(100 + 10 * at, at) for at in range(8))).next_edge(200 * MS) is not None


@pytest.mark.parametrize(("after_ms", "edge_ms"), [(100, 190), (180, 190), (187, 200), (213, 220)])
def test_the_next_edge_is_as_many_of_the_shortest_cycles_on_as_it_takes(after_ms: int, edge_ms: int) -> None:
    timeline = line_of(*(stamped(at, 0) for at in (100, 110, 120, 130, 150, 160, 170, 180)))
    low, high = timeline.offset_bounds(after_ms * MS)
    likely = low + round((high - low) / 2)
    # The PLC's clock is 5 s ahead. The middle of the bounds is 5 ms less, so the edges are seen at 185, 195, ... ms.
    assert timeline.next_edge(after_ms * MS) == (edge_ms * MS + 5 * S + likely, (high - low) // 4)


def straight(*samples: tuple[int, int], trip_ns: int = 0) -> Timeline:
    """A timeline of (count, at_ns) by the PLC's clock, each answered after `trip_ns` and read just then."""
    timeline = Timeline(MOTION, stale_ns=100 * MS, read_point=1.0)
    for count, at_ns in samples:
        timeline.add(EncoderSample(count, at_ns, at_ns, at_ns + trip_ns, boot_id=7))
    return timeline


def test_freshness_ends_after_the_stale_limit_of_the_newest_sample() -> None:
    timeline = straight((0, S), (10, S + 10 * MS), (20, S + 20 * MS))
    assert timeline.fresh(S + 120 * MS)
    assert not timeline.fresh(S + 120 * MS + 1)
    assert not Timeline(MOTION, stale_ns=1).fresh(0)


def test_the_estimate_goes_on_at_the_speed_of_the_last_four_samples() -> None:
    assert Timeline(MOTION, stale_ns=1).estimate(0) is None
    assert straight((7, S)).estimate(2 * S) == 7.0
    assert straight((0, S), (10, S + 10 * MS)).estimate(S + 20 * MS) == pytest.approx(20, abs=0.1)
    # 0 to 40 in steps of 10, then faster: five samples back the belt was slower.
    samples = [(0, S), (1, S + 10 * MS), (11, S + 20 * MS), (21, S + 30 * MS), (31, S + 40 * MS)]
    assert straight(*samples).estimate(S + 50 * MS) == pytest.approx(41, abs=0.1)
    assert straight(*samples).estimate(S + 30 * MS) == pytest.approx(21, abs=0.1)


def test_on_an_even_belt_whole_counts_are_smoothed_between_samples_and_ahead() -> None:
    # 3.3 counts in each span: 0, 3, 7, 10, 13, 16, 20, ... are up to 0.4 off.
    timeline = straight(*((round(3.3 * at), S + 10 * MS * at) for at in range(9)))
    for ms in (25, 30, 45, 60, 75, 80, 85):
        found = timeline.count_at(S + ms * MS, S + 86 * MS, tolerance=50.0)
        assert found.count == pytest.approx(0.33 * ms, abs=0.25), ms
    evened = timeline.count_at(S + 35 * MS, S + 86 * MS)
    assert evened.error_counts > 1 + abs(evened.count - 11.5), "the bound is the two samples' own, and wider"


@pytest.mark.parametrize("ms", [20, 23, 35, 48, 60, 71, 80])
def test_an_even_belt_is_where_the_line_through_the_five_samples_around_it_says(ms: int) -> None:
    counts = [0, 3, 7, 10, 13, 16, 20, 23, 26]
    samples = [EncoderSample(count, None, at * 10 * MS, at * 10 * MS, boot_id=7) for at, count in enumerate(counts)]
    found = line_of(*samples).count_at(ms * MS, 81 * MS)
    first = min(math.ceil(ms / 10) - 2, 4)
    slope, offset = np.polyfit([10 * at for at in range(first, first + 5)], counts[first : first + 5], 1)
    assert found.count == pytest.approx(slope * ms + offset, rel=1e-9)
    before = min(max(0, math.ceil(ms / 10) - 1), 7)
    between = counts[before] + (counts[before + 1] - counts[before]) * (ms / 10 - before)
    bend = 50_000 * 0.010**2 / 8
    assert found.error_counts == pytest.approx(1 + bend + abs(found.count - between), rel=1e-9)
    assert found.epoch == 1


def test_a_belt_that_is_not_even_is_taken_between_its_two_samples() -> None:
    counts = [0, 3, 7, 10, 13, 18, 27, 40, 57]
    timeline = straight(*((count, S + 10 * MS * at) for at, count in enumerate(counts)))
    assert timeline.count_at(S + 65 * MS, S + 86 * MS).count == pytest.approx(33.5, abs=0.01)
    assert timeline.count_at(S + 25 * MS, S + 86 * MS).count == pytest.approx(8.25, abs=0.25)


def test_what_is_foreseen_is_now_the_furthest_and_goes_on_as_the_belt_does() -> None:
    timeline = straight((0, S), (10, S + 10 * MS), (20, S + 20 * MS))
    now = S + 25 * MS
    assert timeline.foreseen(now, now) == timeline.furthest(now)
    assert timeline.foreseen(now, now + 100 * MS) == pytest.approx(100 + (timeline.furthest(now) or 0), abs=0.1)
    assert Timeline(MOTION, stale_ns=1).foreseen(now, now) is None


def test_the_estimate_asks_for_the_clocks_at_that_instant() -> None:
    timeline = straight((0, S), (10, S + 10 * MS), trip_ns=4 * MS)
    assert timeline.estimate(S + 24 * MS) == pytest.approx(20, abs=0.1), "what the PLC stamped, 4 ms later here"


def test_furthest_is_the_newest_count_and_the_greatest_speed_since_and_no_more() -> None:
    timeline = straight((0, S), (10, S + 10 * MS), (20, S + 20 * MS))
    at_once = timeline.furthest(S + 20 * MS)
    assert at_once is not None
    # The lower bound of the clocks lets the sample be up to one interval older: 200 counts at the greatest speed.
    assert 22 <= at_once <= 22 + 20_000 * 0.0101
    later = timeline.furthest(S + 120 * MS)
    assert later is not None
    assert later - at_once == pytest.approx(2000, abs=2)
    assert timeline.furthest(-S) == 22, "before the sample there is nothing to add but the two counts of rounding"


# Counters that fall or are narrower.


@settings(max_examples=30)
@given(worlds, st.sampled_from([Counter(0, 9999), Counter(0, 65_535, falling=True), Counter(falling=True)]))
def test_whichever_way_the_counter_counts_the_belt_is_where_it_is(world: World, counter: Counter) -> None:
    plain = timeline_of(world)
    other = Timeline(MOTION, publish_ns=world.publish_ns, read_point=world.read_point, counter=counter)
    for sample in world.polls(plain, S):
        continued, expected = plain.add(sample), plain.newest
        assert expected is not None
        shown = counter.shown(expected)
        assert other.add(replace(sample, count=shown)) is continued
        newest = other.newest
        assert newest is not None
        away = newest - expected
        assert other.unwrap(shown).count == newest
        for at_ns in (sample.answered_ns - 40 * MS, sample.answered_ns - 300 * MS):
            try:
                position = plain.count_at(at_ns, sample.answered_ns)
            except (PositionPendingError, PositionUnknownError):
                continue
            assert other.count_at(at_ns, sample.answered_ns).count == pytest.approx(position.count + away, abs=1e-3)
    assert other.epoch == plain.epoch == 1


def test_a_count_is_taken_for_the_one_nearest_to_where_it_may_lie() -> None:
    timeline = Timeline(MOTION, counter=Counter(0, 9999))
    for at in range(4):
        timeline.add(stamped(100 + 10 * at, (9990 + 10 * at) % 10_000))
    assert timeline.newest == 10_020
    assert timeline.unwrap(1000).count == 11_000
    assert timeline.unwrap(1000, behind=4500).count == 1000
    assert timeline.unwrap(100, behind=4500).count == 10_100


def test_a_silence_in_which_a_narrow_counter_may_have_wrapped_begins_a_new_epoch() -> None:
    timeline = Timeline(MOTION, counter=Counter(0, 9999))
    timeline.add(stamped(100, 0))
    assert timeline.add(stamped(340, 0)) is True, "4802 counts at the most"
    assert timeline.add(stamped(590, 0)) is False, "5002"


# What a jump tells.


def jump_after(*counts: int, counter: Counter | None = None, ahead_ms: float = 0.0) -> Jump | None:
    timeline = Timeline(MOTION, counter=counter or Counter())
    for at, count in enumerate(counts[:-1]):
        timeline.add(stamped(100 + 10 * at, count))
    assert timeline.add(stamped(100 + 10 * len(counts) - 10, counts[-1], ahead_ms=ahead_ms)) is False
    return timeline.jump


def test_a_jump_says_how_much_of_the_way_the_counter_lost() -> None:
    # 60 counts in each span, and in the last one too: 9970 + 60 is 10030, not 30.
    jump = jump_after(9790, 9850, 9910, 9970, 30)
    assert jump is not None
    assert (jump.before, jump.after, jump.lost) == (9970, 30, pytest.approx(10_000))
    assert jump.unsure == pytest.approx(2 + 50_000 * 0.010 * 0.040 / 2, rel=1e-12)


def test_only_the_last_three_spans_tell_how_fast_the_belt_runs() -> None:
    jump = jump_after(9800, 9800, 9810, 9820, 9830, 0)
    assert jump is not None
    assert jump.lost == pytest.approx(9840)


def test_a_jump_of_a_belt_that_runs_backwards_is_counted_along_its_way() -> None:
    jump = jump_after(190, 130, 70, 10, 9950)
    assert jump is not None
    assert jump.lost == pytest.approx(10_000)
    falling = jump_after(190, 130, 70, 10, 9950, counter=Counter(falling=True))
    assert falling is not None
    assert (falling.before, falling.after, falling.lost) == (10, 9950, pytest.approx(10_000))


def test_a_jump_forward_is_a_loss_below_zero() -> None:
    jump = jump_after(0, 60, 120, 180, 10_240)
    assert jump is not None
    assert jump.lost == pytest.approx(-10_000)


@pytest.mark.parametrize(("counts", "known"), [((0, 1, 2, 4, 90_000), True), ((0, 1, 2, 3, 90_000), False)])
def test_of_a_belt_that_stands_a_jump_tells_nothing(counts: tuple[int, ...], known: bool) -> None:  # noqa: FBT001
    jump = jump_after(*counts)
    assert jump is not None
    assert (jump.lost != 0, jump.unsure != 0) == (known, known)


def test_without_a_clock_of_the_source_a_loss_is_less_sure() -> None:
    timeline = Timeline(MOTION)
    for at in range(4):
        timeline.add(bare(100 + 10 * at, 9790 + 60 * at, trip_ms=2))
    assert timeline.add(bare(140, 30, trip_ms=2)) is False
    assert timeline.jump is not None
    assert timeline.jump.lost == pytest.approx(10_000)
    assert timeline.jump.unsure == pytest.approx(2 + 50_000 * 0.010 * 0.040 / 2 + 6000 * 0.002, rel=1e-12)


def test_a_loss_is_told_of_the_time_that_passed_as_the_source_stamped_it() -> None:
    timeline = line_of(*(stamped(100 + 10 * at, 60 * at) for at in range(4)))
    assert timeline.add(stamped(150, 100_000)) is False
    # 120 counts in 20 ms were expected.
    expected = Jump(180, 100_000, pytest.approx(300 - 100_000), pytest.approx(2 + 50_000 * 0.02 * 0.05 / 2, rel=1e-12))
    assert timeline.jump == expected


def test_an_epoch_that_begins_for_another_reason_has_no_jump() -> None:
    timeline = Timeline(MOTION)
    assert timeline.jump is None
    for at in range(4):
        timeline.add(stamped(100 + 10 * at, 60 * at))
    timeline.add(stamped(140, 90_000))
    assert timeline.jump is not None
    timeline.add(stamped(150, 90_000, boot_id=8))
    assert timeline.jump is None
    timeline.add(stamped(160, 0, boot_id=8, ahead_ms=-400))
    assert timeline.jump is None


# When the belt passed a count.


@settings(max_examples=100)
@given(worlds)
def test_the_belt_did_not_pass_a_count_later_than_is_told(world: World) -> None:
    timeline, chance = timeline_of(world), random.Random(world.seed + 1)
    waiting: list[tuple[int, int, int]] = []
    answers = 0
    for sample in world.polls(timeline, 2 * S):
        timeline.add(sample)
        now = sample.answered_ns
        eye_ns = now - chance.randrange(20 * MS)
        if eye_ns > 30 * MS:
            # A part latched then, announced now, and not shown by a reading a moment before.
            latched = wrap32(world.zero + round(world.belt(eye_ns)))
            waiting.append((latched, eye_ns, now))
        still = []
        for latched, eye_ns, announced_ns in waiting:
            count = timeline.unwrap(latched).count
            try:
                passage = timeline.passage(count, eye_ns - 100 * MS, announced_ns)
            except PositionPendingError:
                still.append((latched, eye_ns, announced_ns))
                continue
            answers += 1
            assert passage.at_ns is not None
            assert passage.at_ns <= eye_ns + 10_000
        waiting = still
    assert answers > 20


def evenly(*, speed: int = 10, until_ms: int = 300, trip_ns: int = 1 * MS) -> Timeline:
    """`speed` counts per ms from 0 at 100 ms on, on a clock that is the host's, read in the middle of the trip."""
    timeline = Timeline(MOTION)
    for at_ms in range(100, until_ms + 1, 10):
        at_ns = at_ms * MS
        asked_ns, answered_ns = at_ns - trip_ns // 2, at_ns + trip_ns // 2
        timeline.add(EncoderSample(speed * (at_ms - 100), at_ns, asked_ns, answered_ns, boot_id=7))
    return timeline


@pytest.mark.parametrize("count", [500, 505, 599, 600, 1234])
def test_the_time_of_a_passage_is_known_to_the_bound_of_the_clocks(count: int) -> None:
    timeline = evenly()
    low, _ = timeline.offset_bounds(300 * MS)
    found = timeline.passage(count, 120 * MS, 290 * MS).at_ns
    truth = 100 * MS + count * MS // 10
    assert found is not None
    # At the greatest speed the belt would have come the rest of its scan in half of the time.
    assert truth + low - 5 * MS - 2 * MS <= found <= truth


def test_a_passage_is_looked_for_in_the_time_asked_for_only() -> None:
    timeline = evenly()
    assert timeline.passage(500, 200 * MS, 280 * MS) == Passage(None, 900, 2000)
    assert timeline.passage(1700, 150 * MS, 220 * MS).at_ns is None
    assert timeline.passage(1700, 150 * MS, 280 * MS).at_ns is not None


@pytest.mark.parametrize(
    ("count", "since_ms", "until_ms", "passage"),
    [
        # It is at 1200 at 220 ms, and at full speed 32.375 counts further 1.61875 ms later.
        (1234, 120, 290, Passage(221_618_750, 100, 1300)),
        # 1.625 counts beside the path: within the span before, 99.375 counts from its beginning.
        (1201, 120, 290, Passage(214_968_750, 100, 1200)),
        (1204, 120, 290, Passage(220_118_750, 100, 1300)),
        (150, 120, 290, Passage(120 * MS, 100, 200)),
        (1234, 120, 220, Passage(221_618_750, 100, 1300)),
        (1234, 120, 219, Passage(None, 100, 1200)),
        (5000, 120, 300, Passage(None, 100, 2000)),
        (-1, 100, 290, Passage(100 * MS, 0, 100)),
        (-700, 100, 290, Passage(100 * MS, 0, 2000)),
        (-700, 101, 290, Passage(None, 0, 2000)),
    ],
)
def test_when_the_clocks_are_one_a_passage_is_told_exactly(
    count: int, since_ms: int, until_ms: int, passage: Passage
) -> None:
    timeline = line_of(*(bare(at_ms, 10 * (at_ms - 100), trip_ms=0) for at_ms in range(100, 301, 10)))
    assert timeline.passage(count, since_ms * MS, until_ms * MS) == passage
    backwards = line_of(*(bare(at_ms, -10 * (at_ms - 100), trip_ms=0) for at_ms in range(100, 301, 10)))
    mirrored = Passage(passage.at_ns, -passage.highest, -passage.lowest)
    assert backwards.passage(-count, since_ms * MS, until_ms * MS) == mirrored


def test_what_was_read_somewhere_in_a_trip_may_have_been_there_from_its_beginning() -> None:
    timeline = line_of(*(bare(at_ms, 10 * (at_ms - 100), trip_ms=4) for at_ms in range(100, 301, 10)))
    assert timeline.passage(1234, 120 * MS, 290 * MS) == Passage(219_618_750, 100, 1300)
    timeline.add(bare(310, 2100, trip_ms=8))
    assert timeline.passage(5000, 120 * MS, 306 * MS).at_ns is None
    with pytest.raises(PositionPendingError):
        timeline.passage(5000, 120 * MS, 306 * MS + 1)


def test_a_belt_that_stood_was_there_from_the_beginning() -> None:
    timeline = evenly(speed=0)
    assert timeline.passage(0, 150 * MS, 290 * MS).at_ns == 150 * MS


@pytest.mark.parametrize(("away", "near"), [(21, True), (22, False), (-21, True), (-22, False)])
def test_a_little_beside_the_path_is_on_it(away: int, near: bool) -> None:  # noqa: FBT001
    timeline = evenly(speed=0)
    # 1 count of rounding and 0.6 of bend come on top.
    assert (timeline.passage(away, 150 * MS, 280 * MS, slack=20).at_ns is not None) is near
    exactly = away - math.copysign(20, away)
    assert (timeline.passage(int(exactly), 150 * MS, 280 * MS).at_ns is not None) is near


def test_a_record_that_begins_later_cannot_say_that_the_belt_was_elsewhere() -> None:
    timeline = evenly()
    assert timeline.passage(-700, 50 * MS, 290 * MS).at_ns == 50 * MS
    assert timeline.passage(500, 0, 290 * MS).at_ns != 0, "where it shows the count, that is when it was there"


def test_a_record_that_ends_earlier_cannot_say_that_the_belt_was_elsewhere_either() -> None:
    timeline = evenly()
    with pytest.raises(PositionPendingError):
        timeline.passage(5000, 150 * MS, 310 * MS)
    assert timeline.passage(1000, 150 * MS, 310 * MS).at_ns is not None


def test_before_any_sample_there_is_no_passage() -> None:
    with pytest.raises(PositionUnknownError, match=r"^no encoder sample yet$"):
        Timeline(MOTION).passage(0, 0, S)
    assert Timeline(MOTION).newest is None


# When the belt will be at a count.


def test_the_arrival_at_a_count_follows_from_the_speed_of_the_last_half_second() -> None:
    timeline = Timeline(MOTION)
    assert timeline.arrival(0, timeline.epoch, ahead=1000) is None, "nothing is known yet"
    timeline.add(bare(0, 0))
    assert timeline.arrival(100, timeline.epoch, ahead=1000) == (0, 0.0), "one sample shows no speed"
    for at_ms in range(10, 1010, 10):
        timeline.add(bare(at_ms, at_ms * 2))
    found = timeline.arrival(2200, timeline.epoch, ahead=4000)
    assert found is not None
    at_ns, speed = found
    assert speed == pytest.approx(2000)
    assert at_ns == pytest.approx(1100 * MS, abs=2 * MS)
    assert timeline.arrival(2200, timeline.epoch + 1, ahead=4000) is None


def test_an_arrival_is_told_exactly_when_the_clocks_are_one() -> None:
    timeline = line_of(*(bare(at_ms, 2 * at_ms, trip_ms=0) for at_ms in range(0, 1001, 100)))
    assert timeline.arrival(2200, 1, ahead=4000) == (pytest.approx(1100 * MS, abs=1), pytest.approx(2000, rel=1e-12))
    assert timeline.arrival(1900, 1, ahead=4000) == (pytest.approx(950 * MS, abs=1), pytest.approx(2000, rel=1e-12))
    assert timeline.arrival(2200, 2, ahead=4000) is None
    ahead = line_of(*(stamped(at_ms, 2 * at_ms) for at_ms in range(0, 1001, 100)))
    low, high = ahead.offset_bounds(stamped(1000, 0).answered_ns)
    seen_ns = 1000 * MS + 5 * S + low + round((high - low) / 2)
    assert ahead.arrival(2200, 1, ahead=4000) == (pytest.approx(seen_ns + 100 * MS, abs=1), pytest.approx(2000))


@pytest.mark.parametrize(
    ("samples", "speed"),
    [
        ([(0, 0), (100, 90), (200, 200), (600, 1000)], 910 / 0.5),
        ([(0, 0), (99, 90), (200, 200), (600, 1000)], 800 / 0.4),
        ([(0, 0), (700, 100), (1400, 1500)], 1400 / 0.7),
    ],
)
def test_the_pace_is_that_of_the_last_half_second_or_of_the_last_span(
    samples: list[tuple[int, int]], speed: float
) -> None:
    timeline = line_of(*(bare(at_ms, count, trip_ms=0) for at_ms, count in samples))
    assert timeline.arrival(2000, 1, ahead=4000) == (pytest.approx(0, abs=10 * S), pytest.approx(speed, rel=1e-12))


def test_a_count_of_a_narrow_counter_is_looked_for_ahead_of_the_belt() -> None:
    timeline = Timeline(MOTION, counter=Counter(0, 9999))
    for at_ms in (100, 200):
        timeline.add(bare(at_ms, 10 * at_ms, trip_ms=0))
    # The belt is at 2000, at 10 counts in a millisecond. What it may come to lies from 1500 to 11 499.
    assert timeline.arrival(1400, 1, ahead=9000) == (pytest.approx(1140 * MS, abs=1), pytest.approx(10_000))
    assert timeline.arrival(1499, 1, ahead=9000) == (pytest.approx(1149_900_000, abs=1), pytest.approx(10_000))
    assert timeline.arrival(1500, 1, ahead=9000) == (pytest.approx(150 * MS, abs=1), pytest.approx(10_000))


def test_a_belt_that_stands_arrives_nowhere() -> None:
    timeline = Timeline(MOTION)
    for at_ms in range(0, 1000, 10):
        timeline.add(bare(at_ms, 500))
    assert timeline.arrival(700, timeline.epoch, ahead=1000) == (0, 0.0)


def test_positions_that_somebody_voids_belong_to_another_epoch() -> None:
    timeline = Timeline(MOTION)
    for at_ms in range(0, 100, 10):
        timeline.add(bare(at_ms, at_ms))
    before = timeline.epoch
    timeline.void()
    timeline.add(bare(110, 110))
    assert timeline.epoch != before
