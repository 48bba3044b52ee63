"""Masks become defects in millimetres."""

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_inspector.inspection import defects
from edge_inspector.inspection.defects import doubtful, find_defects
from edge_inspector.inspection.recipe import ClassLimits
from edge_inspector.records import Defect

MM_PER_PX = 0.5
LIMITS = {"crack": ClassLimits(min_confidence=0.5, min_area_mm2=1.0)}


def mask(*rectangles: tuple[int, int, int, int, int], height: int = 60, width: int = 80) -> NDArray[np.uint8]:
    """One class; each rectangle is x, y, width, height, level."""
    plane = np.zeros((1, height, width), np.uint8)
    for x, y, w, h, level in rectangles:
        plane[0, y : y + h, x : x + w] = level
    return plane


def find(picture: NDArray[np.uint8], limits: dict[str, ClassLimits] | None = None, **more: Any) -> tuple[Defect, ...]:
    return find_defects(
        "cam", picture, classes=["crack"], limits=LIMITS if limits is None else limits, mm_per_px=MM_PER_PX, **more
    )


def test_a_blank_mask_has_no_defects() -> None:
    assert find(mask()) == ()


def test_a_region_is_measured_in_millimetres() -> None:
    (found,) = find(mask((10, 20, 8, 4, 200)))
    assert (found.camera, found.defect_class) == ("cam", "crack")
    assert found.area_mm2 == pytest.approx(8 * 4 * 0.25)
    assert found.length_mm == pytest.approx(8 * 0.5)
    assert found.confidence == pytest.approx(200 / 255)
    assert (found.x_mm, found.y_mm) == (pytest.approx(13.5 * 0.5), pytest.approx(21.5 * 0.5))


def test_each_region_has_its_own_place_and_box_and_confidence() -> None:
    picture = mask((10, 20, 8, 4, 200), (40, 30, 3, 10, 150), (25, 40, 2, 2, 250))
    found = find(picture, origin=(100, 200), mm_per_row=0.25)
    assert [each.box_mm for each in found] == [
        (110 * 0.5, 220 * 0.25, 118 * 0.5, 224 * 0.25),
        (140 * 0.5, 230 * 0.25, 143 * 0.5, 240 * 0.25),
    ], "the third one is too small"
    assert [(each.x_mm, each.y_mm) for each in found] == [(113.5 * 0.5, 221.5 * 0.25), (141 * 0.5, 234.5 * 0.25)]
    assert [each.confidence for each in found] == [200 / 255, 150 / 255]


def test_the_length_of_a_slanting_crack_is_its_own_not_its_boxes() -> None:
    picture = mask()
    for step in range(40):
        picture[0, 5 + step : 8 + step, 5 + step] = 255
    (found,) = find(picture)
    assert found.length_mm == pytest.approx(40 * 2**0.5 * 0.5, abs=2.0)


@pytest.mark.parametrize("closer", [2, 5])
def test_rows_that_lie_closer_give_the_same_millimetres(closer: int) -> None:
    square = mask((10, 20, 8, 4, 200), (40, 10, 3, 30, 200))
    scanned = np.repeat(square, closer, axis=1)
    expected = find(square)
    found = find(scanned, mm_per_row=MM_PER_PX / closer)
    assert len(found) == len(expected) == 2
    for one, other in zip(expected, found, strict=True):
        assert other.area_mm2 == pytest.approx(one.area_mm2)
        assert other.x_mm == pytest.approx(one.x_mm)
        assert other.y_mm == pytest.approx(one.y_mm, abs=MM_PER_PX / 2)
        assert other.length_mm == pytest.approx(one.length_mm, abs=MM_PER_PX)


def test_the_confidence_is_that_of_the_surest_pixel() -> None:
    picture = mask((10, 10, 6, 6, 150))
    picture[0, 12, 12] = 240
    (found,) = find(picture)
    assert found.confidence == pytest.approx(240 / 255)


def test_regions_that_touch_at_a_corner_are_one_and_with_a_gap_two() -> None:
    assert len(find(mask((10, 10, 4, 4, 255), (14, 14, 4, 4, 255)))) == 1
    assert len(find(mask((10, 10, 4, 4, 255), (15, 10, 4, 4, 255)))) == 2


@pytest.mark.parametrize(("level", "count"), [(127, 0), (128, 1)])
def test_only_pixels_that_are_sure_enough_count(level: int, count: int) -> None:
    assert len(find(mask((10, 10, 6, 6, level)))) == count


def test_a_confidence_limit_of_zero_does_not_make_the_background_a_defect() -> None:
    anything = {"crack": ClassLimits(min_confidence=0.0, min_area_mm2=0.0)}
    assert find(mask(), anything) == ()
    (found,) = find(mask((10, 10, 1, 1, 1)), anything)
    assert found.area_mm2 == pytest.approx(0.25)


@pytest.mark.parametrize(("width", "count"), [(3, 0), (4, 1)])
def test_only_regions_that_are_large_enough_count(width: int, count: int) -> None:
    assert len(find(mask((10, 10, width, 1, 255)))) == count


def test_a_small_region_does_not_hide_a_large_one() -> None:
    assert len(find(mask((2, 2, 1, 1, 255), (20, 20, 10, 10, 255), (50, 2, 1, 1, 255)))) == 1


def test_each_class_has_its_own_limits_and_a_class_without_limits_is_not_looked_for() -> None:
    picture = np.concatenate([mask((10, 10, 6, 6, 255)), mask((30, 30, 6, 6, 255)), mask((50, 10, 6, 6, 255))])
    limits = {
        "pore": ClassLimits(min_area_mm2=1.0),
        "crack": ClassLimits(min_area_mm2=100.0),
    }
    found = find_defects("cam", picture, classes=["crack", "pore", "stain"], limits=limits, mm_per_px=MM_PER_PX)
    assert [(each.defect_class, each.x_mm) for each in found] == [("pore", pytest.approx(32.5 * 0.5))]


def test_places_are_those_of_the_frame_wherever_the_mask_begins() -> None:
    (found,) = find(mask((10, 20, 8, 4, 200))[:, 16:36, 8:28], origin=(8, 16))
    assert (found.x_mm, found.y_mm) == (pytest.approx(13.5 * 0.5), pytest.approx(21.5 * 0.5))


@pytest.mark.parametrize(
    ("level", "doubt"), [(0, False), (101, False), (102, True), (130, True), (153, True), (154, False), (255, False)]
)
def test_a_person_looks_where_the_surest_pixel_is_in_the_review_band(level: int, doubt: bool) -> None:  # noqa: FBT001
    assert doubtful([level], (0.4, 0.6)) is doubt


def test_any_class_may_be_doubtful() -> None:
    assert doubtful([255, 128], (0.4, 0.6))
    assert not doubtful([], (0.4, 0.6))


def test_more_specks_than_16_bits_can_number_are_still_told_apart() -> None:
    picture = np.zeros((1, 600, 600), np.uint8)
    picture[0, ::2, ::2] = 255  # 90 000 single pixels
    picture[0, 590:600, 590:600] = 255
    (found,) = find(picture)
    assert found.area_mm2 == pytest.approx(0.25 * 100, abs=3)


@given(
    seed=st.integers(0, 2**32 - 1),
    share=st.sampled_from((0.001, 0.02, 0.3, 0.6, 0.99)),
    grain=st.sampled_from((1, 3)),
    height=st.integers(2, 120),
    width=st.integers(2, 120),
)
def test_the_kind_of_numbers_changes_no_defect(seed: int, share: float, grain: int, height: int, width: int) -> None:
    chance = np.random.default_rng(seed)
    coarse = chance.random((1, -(-height // grain), -(-width // grain))) < share
    picture = np.kron(coarse, np.ones((1, grain, grain)))[:, :height, :width].astype(np.uint8)
    picture *= chance.integers(128, 256, picture.shape, np.uint8)
    limits = {"crack": ClassLimits(min_confidence=0.5, min_area_mm2=0.0)}
    found = find(picture, limits)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(defects, "_FEW_PIXELS", 0)  # 32 bits for all
        assert found == find(picture, limits)
    assert bool(found) == bool(picture.any())


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_as_many_regions_as_16_bits_can_number_are_told_apart(more: int) -> None:
    picture = np.zeros((1, 513, 512), np.uint8)
    rows, columns = np.divmod(np.arange(defects._FEW_PIXELS + more - 2), 256)
    picture[0, 2 * rows, 2 * columns] = 255
    picture[0, 512, :2] = 255
    found = find(picture, {"crack": ClassLimits(min_confidence=0.5, min_area_mm2=0.0)})
    assert np.count_nonzero(picture) == defects._FEW_PIXELS + more
    assert [each.area_mm2 for each in found] == [0.5] + [0.25] * 31
    assert [(each.x_mm, each.y_mm) for each in found[1:]] == [(column * 1.0, 0.0) for column in range(31)]


def test_a_picture_full_of_specks_does_not_hold_up_the_line() -> None:
    picture = np.zeros((1, 400, 400), np.uint8)
    picture[0, ::4, ::4] = 255  # 10 000 single pixels
    picture[0, 100:110, 100:110] = 255
    begun = time.monotonic()
    found = find(picture, {"crack": ClassLimits(min_area_mm2=0.0)})
    # Measured 10 ms, and minutes when every speck was looked for in the whole picture.
    assert time.monotonic() - begun < 20.0
    assert len(found) == 32, "more than any recipe can allow"
    assert found[0].area_mm2 == pytest.approx(25, abs=3), "the largest come first"


def test_every_class_has_its_own_defects() -> None:
    picture = np.concatenate([mask((10, 10, 4, 4, 255)), mask((30, 30, 4, 4, 255))])
    limits = {name: ClassLimits(min_area_mm2=1.0) for name in ("crack", "pore")}
    assert [
        defect.defect_class
        for defect in find_defects("cam", picture, classes=["crack", "pore"], limits=limits, mm_per_px=0.5)
    ] == [
        "crack",
        "pore",
    ]


def test_what_must_be_certain_is_found_where_it_is() -> None:
    limits = {"crack": ClassLimits(min_confidence=1.0, min_area_mm2=1.0)}
    assert len(find(mask((10, 10, 4, 4, 255)), limits)) == 1
    assert find(mask((10, 10, 4, 4, 254)), limits) == ()


def test_of_equal_regions_the_first_ones_are_kept() -> None:
    places = [(x, y) for y in range(2, 58, 8) for x in range(2, 78, 8)]
    found = find(mask(*((x, y, 4, 4, 255) for x, y in places)))
    assert len(places) > 32
    assert [(round(each.x_mm / 0.5 - 1.5), round(each.y_mm / 0.5 - 1.5)) for each in found] == places[:32]


def test_the_band_of_doubt_includes_its_ends_and_nothing_beyond() -> None:
    assert doubtful([102], (0.4, 0.6))
    assert doubtful([153], (0.4, 0.6))
    assert not doubtful([101], (0.4, 0.6))
    assert not doubtful([154], (0.4, 0.6))
    assert doubtful([255], (0.4, 1.0))
    assert doubtful([0], (0.0, 0.0))
    assert not doubtful([128], (0.4, 0.5))
