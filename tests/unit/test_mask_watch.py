"""A net that cannot say "defective" is found out, and a good one that has little to say is left alone."""

from dataclasses import replace
from typing import Any

import pytest

from edge_inspector.inspection.mask_watch import MaskWatch, advice, out_of_reach, remarks, told_of
from edge_inspector.inspection.recipe import ClassLimits, Criteria, Recipe
from edge_inspector.records import ModelInfo

RECIPE = {
    "id": 4,
    "name": "tile",
    "model": "tile-1",
    "views": ["left"],
    "part_length_mm": 100,
    "min_pitch_mm": 120,
    "position_tolerance_mm": 5,
}


def model(*values: int, blind: str = "", doubt: str = "") -> ModelInfo:
    return ModelInfo(
        "m",
        "1",
        "",
        ("crack",),
        height=64,
        width=64,
        channels=1,
        stride=2,
        precision="int8",
        provider="cpu",
        values=frozenset(values),
        blind=blind,
        doubt=doubt,
    )


def criteria(confidence: float = 0.5, area: float = 2.0, **recipe: Any) -> Criteria:
    limits = {
        "crack": ClassLimits(min_confidence=confidence, min_area_mm2=area),
        "pit": ClassLimits(min_confidence=1.0, min_area_mm2=3.0),
    }
    return Criteria(Recipe.model_validate(RECIPE | recipe), limits)


def watched(info: ModelInfo, *largest: int) -> MaskWatch:
    watch = MaskWatch(info)
    for each in largest:
        watch.see(each)
    return watch


@pytest.mark.parametrize(("values", "seen"), [((0,), [0] * 20), ((0, 1), [1] * 20), ((0, 2), [10, *[0] * 19])])
def test_masks_that_never_leave_a_few_values_are_told_after_twenty(values: tuple[int, ...], seen: list[int]) -> None:
    assert watched(model(*values), *seen[:-1]).complaint([criteria()]) == ""
    complaint = watched(model(*values), *seen).complaint([criteria()])
    assert complaint.startswith(f"no value above {max(values + tuple(seen))} of 255 in 20 masks: ")


def test_what_the_few_values_look_like() -> None:
    assert watched(model(0), *[0] * 20).complaint([criteria()]).endswith("it finds nothing")
    assert "class map" in watched(model(0), *[1] * 20).complaint([criteria()])


@pytest.mark.parametrize(
    ("info", "seen"),
    [
        (model(0, 200), [0] * 500),  # said something of pictures that are full of edges
        (model(0, 11), [0] * 500),
        (model(0), [0] * 19 + [11] + [0] * 450),  # and of one part
        (model(), [0] * 500),  # no such pictures were tried
    ],
)
def test_a_good_net_may_have_little_to_say(info: ModelInfo, seen: list[int]) -> None:
    assert watched(info, *seen).complaint([criteria()]) == ""


def test_what_its_file_shows_is_told_at_once_and_no_longer_than_it_is_true() -> None:
    watch = watched(model(0, 1, blind="it ends in ArgMax"))
    assert watch.complaint([criteria()]) == "it ends in ArgMax"
    watch.see(12)
    assert watch.complaint([criteria()]) == ""


@pytest.mark.parametrize(("confidence", "told"), [(0.0, False), (0.0039, False), (0.004, True)])
def test_a_mask_of_zeros_and_ones_is_none_of_our_business_where_one_counts(confidence: float, told: bool) -> None:  # noqa: FBT001
    watch = watched(model(0, 1, blind="0 and 1"))
    assert bool(watch.complaint([criteria(), criteria(confidence)])) is told
    assert watch.complaint([]) == ""


def test_a_net_that_never_said_anything_is_not_believed() -> None:
    assert watched(model(0)).distrust([criteria()]) == "no value above 0 of 255 up to now: it finds nothing"
    assert watched(model(0), *[1] * 20).distrust([criteria()]).startswith("no value above 1 of 255 in 20 masks")
    assert watched(model(0), 11, 0).distrust([criteria()]) == ""
    assert watched(model(0, 1), 1).distrust([criteria(0.0)]) == ""
    for believed in (model(0, 200), model(), replace(model(0), proven=True)):
        assert watched(believed, 0).distrust([criteria()]) == ""
    assert watched(replace(model(0, blind="ArgMax"), proven=True)).distrust([criteria()]) == "ArgMax"


def test_what_to_do_about_a_net_that_is_not_believed_yet() -> None:
    assert advice(model(0)).startswith("no part is inspected until it has found something: score it")
    for other in (model(), model(11), model(0, blind="ArgMax"), replace(model(0), proven=True)):
        assert advice(other) == ""


def test_remarks_on_a_loaded_model() -> None:
    assert remarks(model(0, 40, 255)) == []
    assert remarks(model()) == []
    assert remarks(model(0, 1, blind="class map", doubt="NaN")) == ["NaN"]
    (said,) = remarks(model(255))
    assert "255 everywhere, in every class: its numbers are invalid (NaN)" in said
    (said,) = remarks(model(0, 1))
    assert said == (
        "in pictures full of edges, lines and blobs: largest value 1 of 255: "
        "this looks like a class map or 0-1 mask, not like 255 times a probability"
    )


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({0, 1, 2}, "largest value 2 of 255: this looks like a class map"),
        (set(range(11)), "largest value 10 of 255"),
        ({0}, "largest value 0 of 255: it finds nothing"),
        ([], "largest value 0 of 255: it finds nothing"),
        ({0, 255}, "only 0 and 255: a mask without confidences"),
        ({255}, "only 0 and 255"),
        (set(range(12)), ""),
        ({0, 254, 255}, ""),
    ],
)
def test_what_values_say_of_the_net(values: set[int], words: str) -> None:
    assert told_of(values).startswith(words)
    assert bool(told_of(values)) is bool(words)


def test_limits_that_no_picture_can_reach() -> None:
    assert out_of_reach(criteria(area=200.0), "left", 20.0, 10.0) == []
    assert out_of_reach(criteria(area=200.1), "left", 20.0, 10.0) == ["crack"]
    assert out_of_reach(criteria(area=1e9), "left", 1.0, 2.9) == ["crack", "pit"]
    region = {"left": {"x_mm": 0, "y_mm": 0, "width_mm": 4, "height_mm": 5}}
    assert out_of_reach(criteria(area=21.0, regions=region), "left", 20.0, 10.0) == ["crack"]
    assert out_of_reach(criteria(area=21.0, regions=region), "right", 20.0, 10.0) == []
