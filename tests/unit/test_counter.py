"""What a counter shows becomes a belt count and comes back, whichever way it counts and however many values it has."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.verdicts import announced, verdict

from edge_inspector.codes import Reason
from edge_inspector.inspection.counter import Counter, as_told
from edge_inspector.records import PlacedView, Position, Verdict, View

lowests = st.integers(-(2**31), 2**31 - 257)
counters = lowests.flatmap(
    lambda lowest: st.builds(Counter, st.just(lowest), st.integers(lowest + 255, 2**31 - 1), st.booleans())
)
counts = st.integers(-(2**40), 2**40)
NARROW = Counter(0, 9999)
DOWN = Counter(falling=True)


@given(counters, counts)
def test_what_is_shown_near_a_known_count_is_that_count(counter: Counter, count: int) -> None:
    assert counter.can_show(counter.shown(count))
    assert counter.near(counter.shown(count), count) == count


@given(counters, counts, st.data())
def test_a_shown_value_is_read_as_the_nearest_count_that_shows_it(
    counter: Counter, known: int, data: st.DataObject
) -> None:
    raw = data.draw(st.integers(counter.lowest, counter.highest))
    count = counter.near(raw, known)
    assert counter.shown(count) == raw
    assert -(counter.span // 2) <= count - known < counter.span - counter.span // 2
    assert counter.shown(counter.read(raw)) == raw


@given(counters, counts, st.integers(0, 100))
def test_belt_counts_rise_with_the_belt_whichever_way_the_counter_counts(
    counter: Counter, count: int, step: int
) -> None:
    assert counter.near(counter.shown(count + step), count) == count + step


@given(counts)
def test_a_counter_of_32_bits_is_told_without_its_wrap(count: int) -> None:
    assert Counter().told(count) == count
    assert DOWN.told(count) == -count
    assert (DOWN.told(count) - DOWN.shown(count)) % 2**32 == 0


def test_a_narrow_counter_is_told_as_it_shows_itself() -> None:
    assert [NARROW.told(count) for count in (-1, 0, 9999, 10_000, 12_345)] == [9999, 0, 9999, 0, 2345]
    assert [replace(NARROW, falling=True).told(count) for count in (-1, 0, 1, 9999)] == [1, 0, 9999, 1]


@pytest.mark.parametrize(("raw", "can"), [(-1, False), (0, True), (9999, True), (10_000, False)])
def test_what_lies_beyond_its_ends_it_cannot_show(raw: int, can: bool) -> None:  # noqa: FBT001
    assert NARROW.can_show(raw) is can


def test_other_limits_change_nothing_but_the_limits() -> None:
    assert DOWN.within(None) is DOWN
    assert DOWN.within((0, 65_535)) == Counter(0, 65_535, falling=True)


def placed_at(counts: tuple[int, int], *places: float, handicap: Reason = Reason.NONE) -> Verdict:
    part = announced(17, trigger_count=counts[0], due_count=counts[1], handicap=handicap)
    views = tuple(PlacedView(View("top", 1, 1), Position(place, 2.0, 1)) for place in places)
    return verdict(1, part=part, views=views)


@pytest.mark.parametrize(
    ("counter", "trigger", "due", "place"),
    [
        (Counter(), 12_000, 21_000, 14_500.25),
        (NARROW, 2000, 1000, 4500.25),
        (DOWN, -12_000, -21_000, -14_500.25),
        (Counter(0, 65_535, falling=True), 53_536, 44_536, 51_035.75),
    ],
)
def test_a_verdict_goes_out_with_the_counts_that_the_counter_will_show(
    counter: Counter, trigger: int, due: int, place: float
) -> None:
    told = as_told(placed_at((12_000, 21_000), 14_500.25), counter)
    assert (told.part.trigger_count, told.part.due_count) == (trigger, due)
    assert told.views[0].position == Position(place, 2.0, 1)


def test_a_part_whose_trigger_is_lost_has_no_counts_to_tell() -> None:
    lost = placed_at((0, 0), handicap=Reason.TRIGGER_LOST)
    assert as_told(lost, Counter(100, 10_099)) == lost
