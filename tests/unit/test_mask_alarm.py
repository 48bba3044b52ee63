"""A station whose net or limits let everything pass says so, and takes it back when that is disproved."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edge_inspector.codes import ErrorCode, Reason, StationState
from edge_inspector.inspection.recipe import ClassLimits, Criteria, Recipe
from edge_inspector.inspection.view import Look
from edge_inspector.records import Frame, ModelInfo, View, ViewFigures
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.watches.masks import MaskAlarm

QUIET = ModelInfo(
    "m",
    "1",
    "",
    ("crack", "pit"),
    height=64,
    width=64,
    channels=1,
    stride=2,
    precision="int8",
    provider="cpu",
    values=frozenset({0, 1}),
)
FRAME = Frame("left", 12, 1000, 200, received_ns=1500, image=np.zeros((64, 64), np.uint8))
FIGURES = ViewFigures(100.0, 3.0)


class Line:
    def __init__(
        self,
        model: ModelInfo = QUIET,
        areas: tuple[float, float] = (2.0, 2.0),
        models: Mapping[str, ModelInfo] | None = None,
        **recipe: Any,
    ) -> None:
        self._limits = {
            name: ClassLimits(min_area_mm2=area) for name, area in zip(("crack", "pit"), areas, strict=True)
        }
        self._in_use: list[Criteria] = []
        self.use(**recipe)
        self.conditions = Conditions()
        self.conditions.phase(StationState.READY)
        self._alarm = MaskAlarm(
            Look(lambda: self._in_use, model, {"left": 0.5}, {"left": 0.5}, models or {}), self.conditions
        )

    def use(self, **recipe: Any) -> None:
        self._in_use[:] = [self._criteria(**recipe)]

    def use_both(self, model: str) -> None:
        """The recipe in use, and recipe 5 with this model."""
        self._in_use.append(self._criteria(id=5, model=model))

    def look(self, mask: Any) -> View:
        return self._alarm(FRAME, mask, begun_ns=1, inference_ns=2, figures=FIGURES)

    def _criteria(self, **recipe: Any) -> Criteria:
        table = {
            "id": 4,
            "name": "tile",
            "model": "m-1",
            "views": ["left"],
            "part_length_mm": 100,
            "min_pitch_mm": 120,
            "position_tolerance_mm": 5,
        }
        return Criteria(Recipe.model_validate(table | recipe), self._limits)

    def see(self, value: int, times: int = 1) -> View:
        mask = np.zeros((2, 32, 32), np.uint8)
        mask[1, 3, 4] = value
        for _ in range(times):
            view = self._alarm(FRAME, mask, begun_ns=1, inference_ns=2, figures=FIGURES)
            assert view.figures is not None
            assert view.figures.confidence == value / 255
        return view

    @property
    def told(self) -> list[tuple[str, str]]:
        held = self.conditions.reasons()
        assert all(each.code is ErrorCode.MASKS_SILENT for each in held)
        return [(each.subject, each.why) for each in held]


def test_a_net_whose_masks_never_leave_a_few_values_is_degraded_until_it_says_more() -> None:
    line = Line()
    line.see(1, times=19)
    assert line.told == []
    line.see(1)
    ((subject, why),) = line.told
    assert subject == "model"
    assert "no value above 1 of 255 in 20 masks" in why
    assert line.conditions.state is StationState.DEGRADED
    line.see(1, times=3)
    assert len(line.told) == 1
    line.see(11)
    assert line.told == []
    line.see(0, times=60)
    assert line.told == []


def test_a_graph_that_ends_in_a_class_map_is_told_with_the_first_mask() -> None:
    blind = ModelInfo(
        "m",
        "1",
        "",
        ("crack", "pit"),
        height=64,
        width=64,
        channels=1,
        stride=2,
        precision="int8",
        provider="cpu",
        values=frozenset({0}),
        blind="ArgMax",
    )
    line = Line(blind)
    line.see(0)
    assert line.told == [("model", "ArgMax")]


BLIND = replace(QUIET, values=frozenset({0}), blind="ArgMax")


@pytest.mark.parametrize("model", [QUIET, BLIND, replace(BLIND, proven=True)], ids=["quiet", "blind", "proven blind"])
def test_a_mask_of_a_silent_net_proves_nothing(model: ModelInfo) -> None:
    """Its parts are not inspected until one mask shows that the net can say something."""
    line = Line(model)
    assert line.see(0).failure is Reason.INFERENCE_FAILED
    assert line.see(1, times=30).failure is Reason.INFERENCE_FAILED
    assert line.see(11).failure is Reason.NONE
    assert line.see(0).failure is Reason.NONE
    assert line.told == []


def test_a_quiet_net_that_found_known_defects_is_told_and_believed() -> None:
    line = Line(replace(QUIET, proven=True))
    assert line.see(1).failure is Reason.NONE
    assert line.see(1, times=19).failure is Reason.NONE
    assert [subject for subject, _ in line.told] == ["model"]


def test_only_recipes_of_the_silent_net_have_no_view() -> None:
    """Two models look while the recipe changes from one product to another."""
    by_name = {"m-1": BLIND, "n-1": replace(QUIET, values=frozenset({200}))}
    line = Line(models=by_name)
    line.use_both("n-1")
    mask = np.zeros((2, 32, 32), np.uint8)
    view = line.look({"m-1": mask, "n-1": mask})
    assert [view.by(number).failure for number in (4, 5)] == [Reason.INFERENCE_FAILED, Reason.NONE]


def test_what_a_silent_net_did_not_see_for_another_reason_keeps_that_reason() -> None:
    line = Line(BLIND, regions={"left": {"x_mm": 0, "y_mm": 0, "width_mm": 40, "height_mm": 10}})
    mask = np.zeros((2, 32, 32), np.uint8)
    assert line.look(mask).failure is Reason.BAD_IMAGE


@pytest.mark.parametrize(("areas", "told"), [((1024.1, 1e9), True), ((1024.0, 1e9), False)])
def test_limits_that_let_everything_pass(areas: tuple[float, float], told: bool) -> None:  # noqa: FBT001
    """32 x 32 mask pixels of 1 mm each: a picture of 1024 square millimetres."""
    line = Line(areas=areas)
    line.see(255)
    why = "min_area_mm2 of every class is more than all of the picture, 32 x 32 mm"
    assert line.told == ([("recipe 4 left", why)] if told else [])
    line.see(255)
    assert len(line.told) == told


def test_an_area_that_the_picture_does_not_show_is_told_with_the_first_picture() -> None:
    line = Line(regions={"left": {"x_mm": 0, "y_mm": 0, "width_mm": 40, "height_mm": 10}})
    line.see(200)
    (held,) = line.conditions.reasons()
    assert (held.code, held.subject) == (ErrorCode.BAD_PICTURES, "recipe 4 left")
    assert held.why == (
        "regions.left ends at 40 x 10 mm, and the picture, 32 x 32 mm, does not show it: no part is inspected "
        "(bad_image)"
    )
    line.use(id=5, regions={"left": {"x_mm": 0, "y_mm": 0, "width_mm": 30, "height_mm": 10}})
    line.see(200)
    assert line.conditions.reasons() == []


def test_a_recipe_that_judges_no_more_has_no_faults() -> None:
    line = Line(areas=(5000.0, 5000.0))
    line.see(200)
    assert line.told
    line.use(id=5)
    line.see(200)
    assert [subject for subject, _ in line.told] == ["recipe 5 left"]
