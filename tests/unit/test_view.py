"""A frame is looked at by every recipe in use, each with its own limits, regions and review band."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edge_inspector.codes import Reason
from edge_inspector.inspection.recipe import ClassLimits, Criteria, Recipe
from edge_inspector.inspection.view import Look
from edge_inspector.records import Frame, ModelInfo, View, ViewFigures

MODEL = ModelInfo(
    "tile", "1", "", ("crack",), height=64, width=64, channels=3, stride=2, precision="int8", provider="cpu"
)
FRAME = Frame(
    "left",
    12,
    1000,
    200,
    received_ns=1500,
    image=np.zeros((64, 64, 3), np.uint8),
    encoder_count=77,
    captured_error_ns=33,
)


def criteria(number: int, min_area_mm2: float = 0.0, **changes: Any) -> Criteria:
    recipe = Recipe.model_validate(
        {
            "id": number,
            "name": "tile",
            "model": "tile-1",
            "views": ["left"],
            "part_length_mm": 100,
            "min_pitch_mm": 120,
            "position_tolerance_mm": 5,
            **changes,
        }
    )
    return Criteria(recipe, {"crack": ClassLimits(min_area_mm2=min_area_mm2)})


def look(*in_use: Criteria, confidence: int = 255) -> View:
    mask = np.zeros((1, 32, 32), np.uint8)
    mask[0, 10:14, 10:14] = confidence
    return Look(lambda: in_use, MODEL, {"left": 0.25}, {"left": 0.25})(FRAME, mask, begun_ns=1_600, inference_ns=5_000)


def test_a_view_keeps_what_identifies_its_frame_and_has_its_defects_in_millimetres() -> None:
    view = look(criteria(4))
    assert (view.camera, view.frame_id, view.captured_ns, view.exposure_ns) == ("left", 12, 1000, 200)
    assert (view.encoder_count, view.recipe_id, view.others) == (77, 4, ())
    assert (view.received_ns, view.begun_ns, view.inference_ns) == (1500, 1_600, 5_000)
    assert view.captured_error_ns == View.unseen(FRAME, None, Reason.LATE).captured_error_ns == 33
    (defect,) = view.defects
    assert defect.camera == "left"
    assert defect.area_mm2 == 16 * 0.5**2, "a mask pixel is two frame pixels of a quarter of a millimetre"


def test_while_recipes_change_each_has_its_own_look_at_the_frame() -> None:
    region = {"left": {"x_mm": 0, "y_mm": 0, "width_mm": 4, "height_mm": 4}}
    view = look(criteria(4), criteria(5, min_area_mm2=9.0), criteria(6, regions=region))
    assert view.recipe_id == 4
    assert [other.recipe_id for other in view.others] == [5, 6]
    assert [len(each.defects) for each in (view, *view.others)] == [1, 0, 0]
    assert all(other.others == () and other.frame_id == 12 for other in view.others)
    assert view.by(4) is view
    assert view.by(6) is view.others[1]


@pytest.mark.parametrize(
    ("region", "shown"),
    [
        ((0, 0, 16, 16), True),
        ((0, 0, 16.6, 16.6), True),  # one pixel of rounding
        ((10, 0, 16, 10), False),
        ((0, 10, 10, 7.2), False),
        ((20, 20, 4, 4), False),
        ((0, 0, 0.1, 4), False),  # less than a pixel wide
        ((5, 5, 0.5, 0.5), True),  # a single pixel
    ],
)
def test_a_region_that_the_picture_does_not_show_whole_was_not_inspected(
    region: tuple[float, ...],
    shown: bool,  # noqa: FBT001 -- a table
) -> None:
    table = dict(zip(("x_mm", "y_mm", "width_mm", "height_mm"), region, strict=True))
    view = look(criteria(7, regions={"left": table}))
    assert view.failure is (Reason.NONE if shown else Reason.BAD_IMAGE)
    assert shown or view.defects == ()


def areas(*tables: dict[str, Any], confidence: int = 255) -> View:
    return look(criteria(7, regions={"left": tables}), confidence=confidence)


SPECK = {"x_mm": 5, "y_mm": 5, "width_mm": 2, "height_mm": 2}  # where the defect is: pixels 10..13 of half a millimetre
WHOLE = {"x_mm": 0, "y_mm": 0, "width_mm": 16, "height_mm": 16}


def test_a_defect_is_judged_only_in_the_areas_that_the_recipe_names() -> None:
    (whole,), (cut,) = areas(WHOLE).defects, areas({**SPECK, "width_mm": 1}).defects
    assert (whole.area_mm2, cut.area_mm2) == (4.0, 2.0)
    assert areas(WHOLE, {**SPECK, "excluded": True}).defects == areas({**SPECK, "excluded": True}).defects == ()
    assert areas({**SPECK, "x_mm": 8}, {**SPECK, "y_mm": 8}).defects == ()
    (found,) = areas({**SPECK, "x_mm": 8, "height_mm": 1}, {"points_mm": [[4, 4], [8, 4], [8, 8], [4, 8]]}).defects
    assert (found.area_mm2, found.x_mm, found.y_mm) == (whole.area_mm2, whole.x_mm, whole.y_mm)


def test_what_is_excluded_is_not_doubtful_either() -> None:
    assert areas(WHOLE, confidence=128).doubtful
    assert not areas(WHOLE, {**SPECK, "excluded": True}, confidence=128).doubtful


def test_areas_that_leave_nothing_to_judge_are_no_inspection() -> None:
    assert areas({**WHOLE, "excluded": True}).failure is Reason.BAD_IMAGE


def test_the_areas_of_a_picture_are_said_not_to_fit_before_a_part_is_judged() -> None:
    made, mask = Look(tuple, MODEL, {"left": 0.25}, {"left": 0.25}), np.zeros((1, 32, 32), np.uint8)
    assert made.size_mm(criteria(4), "left", mask) == (16, 16)
    assert made.unfit(criteria(7, regions={"left": WHOLE}), "left", mask) == ""
    assert made.unfit(criteria(7, regions={"left": {**WHOLE, "x_mm": 9}}), "left", mask) == "ends at 25 x 16 mm"


def test_a_doubtful_look_is_a_matter_of_the_recipe_s_review_band() -> None:
    view = look(criteria(4), criteria(5, review_band=(0.7, 0.9)), confidence=204)
    assert not view.doubtful
    assert view.others[0].doubtful


def test_rows_of_another_height_are_measured_as_such() -> None:
    mask = np.zeros((1, 32, 32), np.uint8)
    mask[0, 10:14, 10:14] = 255
    made = Look(lambda: (criteria(4),), MODEL, {"left": 0.25}, {"left": 0.5})
    (defect,) = made(FRAME, mask, begun_ns=0, inference_ns=5_000).defects
    assert defect.area_mm2 == 16 * (0.25 * 2) * (0.5 * 2)


def test_the_picture_s_figures_get_the_surest_pixel_of_any_class() -> None:
    model = ModelInfo(
        "tile", "1", "", ("crack", "stain"), height=64, width=64, channels=3, stride=2, precision="int8", provider="cpu"
    )
    mask = np.zeros((2, 32, 32), np.uint8)
    mask[1, 3, 3] = 51
    made = Look(lambda: (criteria(4), criteria(5)), model, {"left": 0.25}, {"left": 0.25})
    view = made(FRAME, mask, begun_ns=0, inference_ns=0, figures=ViewFigures(90.0, 4.0))
    assert view.figures == ViewFigures(90.0, 4.0, 0.2) == view.others[0].figures
    assert made(FRAME, mask, begun_ns=0, inference_ns=0).figures is None
    nothing = made(FRAME, np.zeros((2, 0, 0), np.uint8), begun_ns=0, inference_ns=0, figures=ViewFigures(90.0, 4.0))
    assert nothing.figures == ViewFigures(90.0, 4.0, 0.0)


@pytest.mark.parametrize(("confidence", "found"), [(126, 0), (127, 0), (128, 1), (255, 1)])
def test_a_look_finds_what_reaches_the_recipe_s_confidence_and_nothing_below_it(confidence: int, found: int) -> None:
    sure = Criteria(criteria(4).recipe, {"crack": ClassLimits(min_area_mm2=0.0, min_confidence=0.5)})
    assert len(look(sure, confidence=confidence).defects) == found


def test_a_class_without_limits_is_not_searched_for() -> None:
    assert look(Criteria(criteria(4).recipe, {})).defects == ()


@pytest.mark.parametrize(("lowest", "failure"), [(255, Reason.INFERENCE_FAILED), (254, Reason.NONE)])
def test_a_mask_that_is_certain_everywhere_is_none_and_still_no_good_part(lowest: int, failure: Reason) -> None:
    """So a net's guard says that its numbers were none. A recipe that allows a defect must not accept it."""
    mask = np.full((1, 32, 32), 255, np.uint8)
    mask[0, 31, 31] = lowest
    view = Look(lambda: [criteria(4)], MODEL, {"left": 0.25}, {"left": 0.25})(
        FRAME, mask, begun_ns=1_600, inference_ns=5_000
    )
    assert view.failure is failure
    assert len(view.defects) == 1


def test_a_mask_without_a_pixel_says_nothing() -> None:
    view = Look(lambda: [criteria(4)], MODEL, {"left": 0.25}, {"left": 0.25})(
        FRAME, np.zeros((1, 0, 0), np.uint8), begun_ns=1_600, inference_ns=5_000
    )
    assert view.failure is Reason.NONE
    assert view.defects == ()


def test_each_recipe_takes_the_mask_of_its_own_model_or_none() -> None:
    other = ModelInfo(
        "plank", "1", "", ("knot", "crack"), height=64, width=64, channels=3, stride=4, precision="int8", provider="cpu"
    )
    first, second = np.zeros((1, 32, 32), np.uint8), np.zeros((2, 16, 16), np.uint8)
    first[0, 10:14, 10:14] = 200
    second[1, 4:6, 4:6] = 100
    in_use = (criteria(4), criteria(5, model="plank-1", review_band=(0.3, 0.4)), criteria(6, model="gone-1"))
    made = Look(lambda: in_use, MODEL, {"left": 0.25}, {"left": 0.25}, {"tile-1": MODEL, "plank-1": other})
    figures = ViewFigures(100.0, 4.0)
    view = made(FRAME, {"tile-1": first, "plank-1": second}, begun_ns=1, inference_ns=2, figures=figures)
    assert [defect.area_mm2 for defect in view.by(4).defects] == [16 * 0.5**2]
    assert view.by(5).defects == (), "its best pixel is below the confidence"
    assert (view.by(5).doubtful, view.by(5).failure) == (True, Reason.NONE)
    assert (view.by(6).failure, view.by(6).defects, view.by(6).figures) == (Reason.CHANGING, (), None)
    told = [view.by(number).figures for number in (4, 5)]
    assert [each and each.confidence for each in told] == [200 / 255, 100 / 255]


def test_a_picture_taken_for_other_products_is_judged_by_none_of_the_rest() -> None:
    mask = np.full((1, 32, 32), 200, np.uint8)
    made = Look(lambda: (criteria(4), criteria(5)), MODEL, {"left": 0.25}, {"left": 0.25})
    view = made(replace(FRAME, fits=frozenset({5})), mask, begun_ns=1, inference_ns=2)
    assert (view.by(4).failure, view.by(4).defects) == (Reason.CHANGING, ())
    assert (view.by(5).failure, len(view.by(5).defects)) == (Reason.NONE, 1)
