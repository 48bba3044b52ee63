"""Counts over many parts, limits of chance, and why a part was rejected."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.verdicts import defect, placed, verdict

from edge_inspector.codes import Decision
from edge_inspector.errors import DeviceError
from edge_inspector.inspection.breach import breaches
from edge_inspector.inspection.control_limits import control_limits
from edge_inspector.inspection.decision import beyond_limits
from edge_inspector.inspection.recipe import ClassLimits
from edge_inspector.store.results import Results
from edge_inspector.store.results_file import results_path
from edge_inspector.store.results_writer import ResultsWriter, StoredVerdict
from edge_inspector.store.trends import Cell, Quality, Sums, Trends

BEGIN = datetime(2026, 11, 30, 6, 0, tzinfo=UTC)
END = BEGIN + timedelta(hours=8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six parts of recipe 3, one every half hour, and one of recipe 4."""
    writer = ResultsWriter(results_path(tmp_path))
    kinds = (
        Decision.ACCEPT,
        Decision.REJECT,
        Decision.ACCEPT,
        Decision.REJECT,
        Decision.NOT_INSPECTED,
        Decision.ACCEPT,
    )
    for seq, kind in enumerate(kinds, 1):
        defects = [defect(defect_class="crack"), defect("cam2", "stain")][: seq // 2] if kind is Decision.REJECT else []
        part = verdict(seq, kind, views=(placed(frame_id=seq, defects=defects),))
        writer.add([StoredVerdict(part, BEGIN + timedelta(minutes=30 * (seq - 1)), "", {})], [])
    writer.add([StoredVerdict(verdict(7, recipe_id=4), BEGIN, "", {})], [])
    writer.close()
    return tmp_path


def test_parts_are_summed_by_recipe_and_interval(folder: Path) -> None:
    trends = Trends(results_path(folder))
    found = trends.intervals(BEGIN, END, 3600)
    assert [(each.utc.hour, each.recipe_id, each.sums) for each in found] == [
        (6, 3, Sums(1, 1, 0)),
        (6, 4, Sums(1, 0, 0)),
        (7, 3, Sums(1, 1, 0)),
        (8, 3, Sums(1, 0, 1)),
    ]
    assert [each.utc for each in trends.reserves(BEGIN, END, 7200)] == [BEGIN, BEGIN + timedelta(hours=2)]
    assert trends.reserves(BEGIN, END, 7200)[0].least_ms == 450
    assert trends.classes(BEGIN, END) == [("crack", 2), ("stain", 1)]
    assert trends.classes(BEGIN, END, 4) == []
    assert trends.reasons(BEGIN, END) == [(10, 1)]


def test_places_are_squares_of_a_view(folder: Path) -> None:
    cells = Trends(results_path(folder)).places(BEGIN, END, 4.0)
    assert cells == [Cell("cam1", "crack", 2, 5, defects=2), Cell("cam2", "stain", 2, 5, defects=1)]


def test_what_people_found_wrong_is_counted_by_recipe_and_model(folder: Path) -> None:
    results, trends = Results(results_path(folder)), Trends(results_path(folder))

    def say(part: int, label: str) -> None:
        assert results.label(part, "", label=label, defect_class="", user="eva", utc=END)  # type: ignore[arg-type]

    say(1, "defect")  # an accepted part: an escape
    say(2, "good")  # a rejected part: a false reject
    say(3, "good")
    say(4, "good")
    say(4, "defect")  # the last word counts
    say(5, "good")  # not inspected: nobody was wrong
    say(6, "unsure")
    assert trends.quality(BEGIN, END) == [Quality(3, "m-1/int8/cpu", judged=4, escapes=1, false_rejects=1)]
    assert trends.quality(BEGIN + timedelta(minutes=1), END)[0].escapes == 0


def test_without_results_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="there are none yet"):
        Trends(results_path(tmp_path)).last_id()


def test_chance_keeps_a_rate_within_three_sigmas() -> None:
    low, high = control_limits([(10, 100), (10, 100)])
    assert low == high
    assert low is not None
    assert (round(low.low, 3), low.centre, round(low.high, 3)) == (0.01, 0.1, 0.19)
    assert control_limits([(0, 0), (1, 10)])[0] is None
    assert control_limits([(0, 0)]) == [None]
    assert control_limits([]) == []


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(50, 500)), min_size=1, max_size=20))
def test_limits_are_rates(intervals: list[tuple[int, int]]) -> None:
    for limits in control_limits(intervals):
        assert limits is not None
        assert 0 <= limits.low <= limits.centre <= limits.high <= 1


@given(
    st.lists(st.tuples(st.sampled_from(["crack", "stain"]), st.floats(0.1, 50), st.floats(0.1, 50)), max_size=8),
    st.integers(0, 3),
    st.one_of(st.none(), st.floats(1, 40)),
)
def test_a_part_is_rejected_if_and_only_if_a_broken_limit_can_be_named(
    found: list[tuple[str, float, float]], allowed: int, longest: float | None
) -> None:
    limits = {"crack": ClassLimits(min_area_mm2=1, max_count=allowed, max_length_mm=longest)}
    limits["stain"] = ClassLimits(min_area_mm2=1, max_count=31)
    defects = [defect(defect_class=name, area_mm2=area) for name, area, _ in found]
    assert bool(breaches(defects, limits)) == beyond_limits(defects, limits)


def test_the_largest_defect_is_named_with_the_limit_that_it_broke() -> None:
    limits = {
        "crack": ClassLimits(min_area_mm2=2, max_count=1, max_length_mm=2.5),
        "stain": ClassLimits(min_area_mm2=1),
    }
    few = breaches([defect(area_mm2=4.0)], limits)
    assert [(each.kind, each.found, each.limit) for each in few] == [("length", 3.0, 2.5)]
    many = breaches([defect(area_mm2=4.0), defect(area_mm2=9.0), defect(defect_class="stain", area_mm2=20.0)], limits)
    assert [(each.defect.defect_class, each.kind, each.found, each.defect.area_mm2) for each in many] == [
        ("stain", "count", 1, 20.0),
        ("crack", "count", 2, 9.0),
        ("crack", "length", 3.0, 4.0),
    ]
    assert breaches([defect(defect_class="of another model")], limits) == []
