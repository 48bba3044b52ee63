"""Limits from good parts: the score follows the recipe's own rule, and the limits keep what they promise."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_inspector.inspection.calibration import bare, propose, refuses, regions_of, score
from edge_inspector.inspection.promise import RejectPromise
from edge_inspector.inspection.recipe import Criteria, Recipe
from edge_inspector.inspection.view import Look
from edge_inspector.records import Defect, ModelInfo

PIXEL = 0.25
PROMISE = RejectPromise(0.02, 0.95)


def criteria(classes: dict[str, dict[str, Any]], **other: Any) -> Criteria:
    recipe = Recipe.model_validate(
        {
            "id": 1,
            "name": "r",
            "model": "m-1",
            "views": ["top"],
            "part_length_mm": 50,
            "min_pitch_mm": 60,
            "position_tolerance_mm": 5,
            "classes": classes,
            **other,
        }
    )
    return Criteria(recipe, recipe.classes)


def region(area_mm2: float, name: str = "crack", length_mm: float = 1.0) -> Defect:
    return Defect("top", name, area_mm2=area_mm2, length_mm=length_mm, confidence=0.9, x_mm=1.0, y_mm=1.0)


def scaled(given_: Criteria, factor: float) -> Criteria:
    limits = {
        name: limit.model_copy(update={"min_area_mm2": max(limit.min_area_mm2, PIXEL) * factor})
        for name, limit in given_.limits.items()
    }
    return Criteria(given_.recipe, limits)


RULES = [
    criteria({"crack": {"min_area_mm2": 2.0}, "stain": {"min_area_mm2": 10.0}}),
    criteria({"crack": {"min_area_mm2": 2.0, "max_count": 2}, "stain": {"min_area_mm2": 0.0, "max_length_mm": 5.0}}),
    criteria({"crack": {"min_area_mm2": 2.0, "max_count": 31, "max_length_mm": 5.0}, "stain": {"min_area_mm2": 3.0}}),
    criteria(
        {"crack": {"min_area_mm2": 1.0, "max_count": 9}, "stain": {"min_area_mm2": 1.0, "max_count": 9}},
        grades=[{"name": "A", "classes": {"crack": {"max_count": 1, "max_area_mm2": 4.0}}}, {"name": "B"}],
    ),
]
REGIONS = st.lists(
    st.builds(
        region,
        st.integers(1, 200).map(lambda pixels: pixels * PIXEL),
        st.sampled_from(["crack", "stain"]),
        st.floats(0.5, 10),
    ),
    max_size=8,
)


@pytest.mark.parametrize("rule", RULES)
@given(regions=REGIONS, factor=st.floats(0.01, 300))
@settings(max_examples=60)
def test_a_part_is_rejected_exactly_up_to_its_score(rule: Criteria, regions: list[Defect], factor: float) -> None:
    at = score(rule, regions, PIXEL)
    if abs(factor - at) > 1e-6 * factor:
        assert refuses(scaled(rule, factor), regions) == (factor < at)


def test_nothing_to_find_has_no_score() -> None:
    assert score(RULES[0], [], PIXEL) == 0
    assert score(RULES[1], [region(9.0), region(9.0)], PIXEL) == 0, "two are allowed, however large"
    assert score(RULES[1], [region(9.0), region(8.0), region(5.0)], PIXEL) == 2.5, "the third is too many"


def line(rng: np.random.Generator, parts: int) -> list[list[Defect]]:
    """Parts with a few regions of whole mask pixels in two classes."""
    return [
        [
            region(float(pixels) * PIXEL, ("crack", "stain")[int(rng.integers(2))])
            for pixels in rng.geometric(0.15, int(rng.integers(3)))
        ]
        for _ in range(parts)
    ]


def test_limits_keep_their_promise_on_parts_to_come() -> None:
    rng = np.random.default_rng(2)
    promise, kept = RejectPromise(0.1, 0.9), 0
    to_come = line(rng, 1000)
    for _ in range(60):
        found = propose(RULES[0], line(rng, 45), [], promise=promise, pixel_mm2=PIXEL)
        assert found is not None
        after = Criteria(RULES[0].recipe, found.limits)
        kept += sum(refuses(after, part) for part in to_come) <= 0.1 * len(to_come)
    assert kept >= 48


def test_a_good_part_at_the_limit_passes_and_one_pixel_more_does_not() -> None:
    good = [[region(7 * PIXEL)]] * 149
    found = propose(RULES[0], good, [[region(8 * PIXEL)], [region(7 * PIXEL)]], promise=PROMISE, pixel_mm2=PIXEL)
    assert found is not None
    assert (found.refused, found.caught, found.bad, found.allowed) == (0, 1, 2, 0)
    assert 7 * PIXEL < found.limits["crack"].min_area_mm2 < 7.01 * PIXEL
    assert found.limits["stain"].min_area_mm2 == pytest.approx(5 * found.limits["crack"].min_area_mm2, rel=1e-3)
    assert (found.refused_before, found.caught_before) == (0, 1)


@given(st.floats(0.01, 1e4), st.floats(0.01, 1e3))
def test_no_rounding_rejects_a_part_at_the_limit(area: float, size: float) -> None:
    rule = criteria({"crack": {"min_area_mm2": size}})
    found = propose(rule, [[region(area)]] * 149, [], promise=PROMISE, pixel_mm2=1e-3)
    assert found is not None
    assert found.refused == 0
    limit = found.limits["crack"].min_area_mm2
    assert limit == float(f"{limit:.4g}"), "as the page shows it"


def test_a_line_without_any_region_has_the_smallest_limits_that_mean_something() -> None:
    found = propose(RULES[0], [[] for _ in range(149)], [[region(3 * PIXEL)]], promise=PROMISE, pixel_mm2=PIXEL)
    assert found is not None
    assert (found.factor, found.caught) == (0, 1)
    assert all(2 * PIXEL < limit.min_area_mm2 < 3 * PIXEL for limit in found.limits.values())


def test_too_few_good_parts_promise_nothing() -> None:
    assert propose(RULES[0], [[]] * 148, [], promise=PROMISE, pixel_mm2=PIXEL) is None


MODEL = ModelInfo(
    "m", "1", "", ("crack", "stain"), height=8, width=8, channels=1, stride=1, precision="int8", provider="cpu"
)


def test_a_mask_shows_all_its_regions_unless_it_is_void() -> None:
    every = bare(RULES[0])
    look = Look(lambda: [every], MODEL, {"top": 0.5}, {"top": 0.5})
    mask = np.zeros((2, 8, 8), np.uint8)
    mask[0, 1, 1] = mask[1, 5:7, 5] = 200
    found = regions_of(look, "top", mask)
    assert found is not None
    assert sorted((each.defect_class, each.area_mm2) for each in found) == [("crack", 0.25), ("stain", 0.5)]
    assert regions_of(look, "top", np.full((2, 8, 8), 255, np.uint8)) is None
    assert math.isclose(score(RULES[0], [replace(found[0], area_mm2=4.0)], PIXEL), 2.0)
