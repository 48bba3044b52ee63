"""One fingerprint over all that judges, and the words for what is otherwise."""

from dataclasses import replace
from typing import Any

import pytest

from edge_inspector.inspection.basis import Basis, differences
from edge_inspector.inspection.recipe import ClassLimits, Criteria, Recipe
from edge_inspector.records import ModelInfo

MODEL = ModelInfo(
    "tile",
    "1.1",
    "ab" * 32,
    ("crack",),
    height=64,
    width=64,
    channels=3,
    stride=2,
    precision="int8",
    provider="cpu",
    runtime="onnxruntime 1.31",
)
REGIONS = {"left": {"x_mm": 0, "y_mm": 0, "width_mm": 4, "height_mm": 5}}
RECIPE = {
    "id": 4,
    "name": "tile",
    "model": "tile-1.1",
    "views": ["left"],
    "part_length_mm": 100,
    "min_pitch_mm": 120,
    "position_tolerance_mm": 5,
    "regions": REGIONS,
}


def criteria(min_area_mm2: float = 3.0, **changes: Any) -> Criteria:
    return Criteria(Recipe.model_validate(RECIPE | changes), {"crack": ClassLimits(min_area_mm2=min_area_mm2)})


def basis(changed: Criteria | None = None, mm_per_px: float = 0.2, **model: Any) -> Basis:
    running = replace(MODEL, **model)
    return Basis({4: changed or criteria(), 5: criteria(id=5)}, lambda: running, {"left": (mm_per_px, 0.2)})


OTHERWISE = {
    "recipe": (basis(criteria(min_pitch_mm=121)), ["recipe.min_pitch_mm: 120 before, now 121"]),
    "recipe, deep inside": (
        basis(criteria(regions={})),
        [f"recipe.regions.left.{key}: {value} before, now nothing"
         for key, value in (("x_mm", 0), ("y_mm", 0), ("width_mm", 4), ("height_mm", 5))],
    ),
    "a region more": (
        basis(criteria(regions=REGIONS | {"left": {**REGIONS["left"], "x_mm": 1}})),
        ["recipe.regions.left.x_mm: 0 before, now 1"],
    ),
    "grades": (
        basis(criteria(grades=[{"name": "A"}])),
        ['recipe.grades: nothing before, now [{"name": "A", "classes": {}}]'],
    ),
    "limits that the model suggests": (basis(criteria(9)), ["limits.crack.min_area_mm2: 3 before, now 9"]),
    "the net's file": (basis(sha256="cd" * 32), [f"model file: {'ab' * 32} before, now {'cd' * 32}"]),
    "a camera's scale": (basis(mm_per_px=0.02), ["mm_per_px left: 0.2 x 0.2 before, now 0.02 x 0.2"]),
    "the model": (basis(version="1.2"), ["model: tile-1.1 before, now tile-1.2"]),
    "what looks before it": (basis(before="light-1.0"), ["first stage:  before, now light-1.0"]),
    "the provider": (
        basis(provider="openvino"),
        ["run by: int8 on cpu, onnxruntime 1.31 before, now int8 on openvino, onnxruntime 1.31"],
    ),
    "the runtime's version": (
        basis(runtime="onnxruntime 1.32"),
        ["run by: int8 on cpu, onnxruntime 1.31 before, now int8 on cpu, onnxruntime 1.32"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("other", "words"), OTHERWISE.values(), ids=OTHERWISE)
def test_whatever_judges_otherwise_changes_the_fingerprint_and_is_named(other: Basis, words: list[str]) -> None:
    assert basis().fingerprint(4) != other.fingerprint(4)
    assert [str(each) for each in differences(basis().of(4), other.of(4))] == words


def test_what_was_not_there_before_is_named_so() -> None:
    (found,) = differences({}, {"first stage": "light-1.0"})
    assert str(found) == "first stage: nothing before, now light-1.0"


def test_limits_judge_alike_wherever_they_are_written() -> None:
    written = criteria(classes={"crack": {"min_area_mm2": 3.0}})
    assert basis(written).fingerprint(4) == basis().fingerprint(4)


def test_the_same_has_the_same_fingerprint_in_every_run() -> None:
    assert basis().fingerprint(4) == basis().fingerprint(4) == "9cf76d09f3846a09"
    assert basis().fingerprint(4) != basis().fingerprint(5)
    assert differences(basis().of(4), basis().of(4)) == []


def test_what_does_not_judge_is_not_in_it() -> None:
    """Whether another provider failed, or what the file's end looks like, decides nothing."""
    assert basis(fell_back=True, doubt="NaN", blind="x", values=frozenset({1})).fingerprint(4) == basis().fingerprint(4)


def test_a_session_that_is_built_anew_may_be_another() -> None:
    running = [MODEL]
    changing = Basis({4: criteria()}, lambda: running[0], {})
    before = changing.fingerprint(4)
    assert changing.model is MODEL
    running[0] = replace(MODEL)
    assert changing.fingerprint(4) == before
    running[0] = replace(MODEL, provider="cuda")
    assert changing.fingerprint(4) not in (before, "")
    assert changing.model.provider == "cuda"


def test_each_recipe_has_the_model_of_its_own_if_there_are_several() -> None:
    recipes = {4: criteria(), 5: criteria(id=5, model="other-1")}
    models = {recipes[4].recipe.model: MODEL, "other-1": replace(MODEL, name="other", sha256="ef" * 32)}
    both = Basis(recipes, lambda: MODEL, {}, lambda: models)
    assert (both.model_of(4).name, both.model_of(5).name) == (MODEL.name, "other")
    assert both.of(5)["model file"] == "ef" * 32
    before = both.fingerprint(4), both.fingerprint(5)
    models["other-1"] = replace(MODEL, name="other", sha256="cd" * 32)
    assert (both.fingerprint(4), both.fingerprint(5) != before[1]) == (before[0], True)
