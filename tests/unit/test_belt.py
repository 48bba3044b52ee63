"""The simulated belt: the truth that positions are measured against must itself hold."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspector.simulation.belt import Belt, Pause

S = 1_000_000_000
START_NS = 5_000 * S


def pauses(gaps: list[tuple[float, float, float]]) -> tuple[Pause, ...]:
    """One after the other, after the first ramp and without overlap."""
    at_s, found = 1.0, []
    for gap_s, stand_s, ramp_s in gaps:
        at_s += gap_s
        found.append(Pause(at_s, stand_s, ramp_s))
        at_s += stand_s + 2 * ramp_s
    return tuple(found)


belts = st.builds(
    Belt,
    start_ns=st.just(START_NS),
    speed_mm_s=st.floats(10.0, 3000.0),
    ripple=st.floats(0.0, 0.05),
    pauses=st.lists(st.tuples(st.floats(0.0, 3.0), st.floats(0.0, 5.0), st.floats(0.05, 1.0)), max_size=3).map(pauses),
    ramp_s=st.floats(0.05, 1.0),
)
instants = st.integers(START_NS - S, START_NS + 30 * S)


def test_before_the_start_the_belt_stands_at_zero() -> None:
    belt = Belt(START_NS, 1000.0)
    assert [belt.position_mm(at_ns) for at_ns in (0, START_NS - 1, START_NS)] == [0.0, 0.0, 0.0]


@given(belts, instants, instants)
def test_the_belt_never_runs_backwards(belt: Belt, one: int, other: int) -> None:
    earlier, later = sorted((one, other))
    assert belt.position_mm(later) >= belt.position_mm(earlier) - 1e-6


@given(belts, instants, st.integers(1, S))
def test_the_belt_is_never_faster_than_its_speed_and_ripple(belt: Belt, at_ns: int, for_ns: int) -> None:
    moved = belt.position_mm(at_ns + for_ns) - belt.position_mm(at_ns)
    assert moved <= belt.speed_mm_s * (1 + belt.ripple) * for_ns / S + 1e-6


@given(belts, st.floats(0.0, 20_000.0))
def test_time_at_is_when_the_belt_gets_there(belt: Belt, position_mm: float) -> None:
    at_ns = belt.time_at(position_mm)
    assert belt.position_mm(at_ns) == pytest.approx(position_mm, abs=1e-4)
    # The first such instant: a microsecond earlier it is not there, however long it stands there.
    if position_mm > 1.0:
        assert belt.position_mm(at_ns - 1000) < position_mm


@given(belts, instants)
def test_position_is_a_pure_function_of_the_clock(belt: Belt, at_ns: int) -> None:
    before = belt.position_mm(at_ns)
    belt.position_mm(at_ns + S)
    belt.time_at(500.0)
    in_another_process = pickle.loads(pickle.dumps(belt))  # noqa: S301 -- our own
    assert belt.position_mm(at_ns) == before == in_another_process.position_mm(at_ns)


def test_a_pause_ramps_down_stands_still_and_ramps_up_again() -> None:
    belt = Belt(START_NS, 1000.0, ripple=0.0, pauses=(Pause(at_s=5.0, stand_s=2.0, ramp_s=0.5),))

    def speed(at_s: float) -> float:
        at_ns = START_NS + int(at_s * S)
        return (belt.position_mm(at_ns + 1_000_000) - belt.position_mm(at_ns)) * 1000

    assert speed(4.9) == pytest.approx(1000, rel=0.01)
    assert 100 < speed(5.25) < 900
    stood = {round(belt.position_mm(START_NS + int(at_s * S)), 6) for at_s in (5.5, 6.0, 6.9, 7.5)}
    assert len(stood) == 1
    assert 100 < speed(7.75) < 900
    assert speed(8.1) == pytest.approx(1000, rel=0.01)
    # Two ramps of half a second cost half a second between them, the stand all of its two.
    without = Belt(START_NS, 1000.0, ripple=0.0)
    later = START_NS + 20 * S
    assert without.position_mm(later) - belt.position_mm(later) == pytest.approx(2500)


def test_where_the_belt_stands_time_at_is_the_instant_at_which_it_got_there() -> None:
    belt = Belt(START_NS, 1000.0, ripple=0.0, pauses=(Pause(at_s=5.0, stand_s=2.0, ramp_s=0.5),))
    stands_mm = belt.position_mm(START_NS + 6 * S)
    assert belt.time_at(stands_mm) <= START_NS + int(5.51 * S)
    assert belt.time_at(stands_mm + 0.1) >= START_NS + int(7.5 * S)


@pytest.mark.parametrize("position_mm", [0.0, -50.0])
def test_places_already_passed_at_the_start_are_reached_at_the_start(position_mm: float) -> None:
    assert Belt(START_NS, 1000.0).time_at(position_mm) == START_NS


def test_ripple_makes_the_speed_uneven_but_does_not_carry_the_belt_away() -> None:
    smooth, rough = Belt(START_NS, 1000.0, ripple=0.0), Belt(START_NS, 1000.0, ripple=0.01)
    apart = [
        rough.position_mm(START_NS + at * S // 10) - smooth.position_mm(START_NS + at * S // 10) for at in range(600)
    ]
    assert max(map(abs, apart)) > 0.5
    assert max(map(abs, apart)) < 5.0
