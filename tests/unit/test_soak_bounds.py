"""What a soak holds can be broken: growth is seen through the phases' own levels, and a slower phase is said."""

from itertools import pairwise
from typing import Any

from soak_bounds import median_by_turn, memory_grows, slope_within_phases, slower
from soak_report import Plan, Sample

PHASES = ("quiet", "clients", "clients, full disk")
PLAN = Plan(PHASES, 60.0)


def samples(mb_per_h: float) -> list[Sample]:
    """Half an hour; clients take 10 MB when they come, and give them back."""
    levels = dict(zip(PHASES, (150.0, 160.0, 175.0), strict=True))
    return [
        Sample(at_s, levels[PLAN.phase(at_s)] + mb_per_h * at_s / 3600, 20, 0, 0.0)
        for at_s in map(float, range(180, 1800))
    ]


def test_a_leak_is_found_among_phases_that_take_memory() -> None:
    assert abs(slope_within_phases(PLAN, samples(0.0), lambda each: each.rss_mb) * 3600) < 0.01
    assert abs(slope_within_phases(PLAN, samples(18.6), lambda each: each.rss_mb) * 3600 - 18.6) < 0.01


def test_memory_is_told_turn_by_turn() -> None:
    told = median_by_turn(PLAN, samples(36.0))
    assert len(told) == 9, "ten turns, of which the first has no samples"
    assert all(1.7 < later - earlier < 1.9 for earlier, later in pairwise(told))


def test_an_hour_is_held_to_its_slope_and_two_minutes_to_what_every_phase_grows() -> None:
    assert not memory_grows(60.0, 3.9, [[150.0, 170.0]])
    assert memory_grows(60.0, 4.1, [[150.0, 150.0]])
    settling = [[136.0, 171.0], [145.0, 172.0], [171.0, 172.0]]
    assert not memory_grows(2.0, 913.4, settling)
    leaking = [[136.0, 171.0], [145.0, 172.0], [171.0, 183.1]]
    assert memory_grows(2.0, 0.0, leaking)


def test_phases_come_again_and_settle() -> None:
    assert [PLAN.phase(at_s) for at_s in (0, 59, 60, 179, 180, 240)] == [
        "quiet", "quiet", "clients", "clients, full disk", "quiet", "clients",
    ]  # fmt: skip
    assert [PLAN.settled(at_s) for at_s in (5, 15, 62, 75, 181)] == [False, True, False, True, False]


def phase(**changes: Any) -> dict[str, Any]:
    return {"parts": 1000, "late": 0, "not_inspected": 0, "p50_ms": 20.0, "p99_ms": 60.0} | changes


def test_a_slower_phase_is_named_with_what_it_was_slower_at() -> None:
    assert slower({"quiet": phase(), "clients": phase(p50_ms=25.9, p99_ms=99.0, late=1, not_inspected=10)}) == []
    for change in ({"p50_ms": 26.1}, {"p99_ms": 101.0}, {"late": 2}, {"not_inspected": 11}, {"p50_ms": None}):
        (found,) = slower({"quiet": phase(), "clients": phase(**change)})
        assert found.startswith(f"clients: {next(iter(change))}")
