"""The areas of a recipe: rectangles, polygons and excluded areas, and a picture that does not show them."""

import math
import random
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from edge_inspector.inspection.areas import Area, beyond, largest_mm2, stencil
from edge_inspector.records import Image

SHAPE = (12, 20)
WHOLE = {"x_mm": 0, "y_mm": 0, "width_mm": 20, "height_mm": 12}


@pytest.fixture(autouse=True)
def anew() -> None:
    """No answer of an earlier test. Otherwise a mutant that begins after all tests have run once is never asked."""
    stencil.cache_clear()


def rectangle(x: float, y: float, width: float, height: float, **more: Any) -> Area:
    return Area(x_mm=x, y_mm=y, width_mm=width, height_mm=height, **more)


def polygon(*points: tuple[float, float], **more: Any) -> Area:
    return Area(points_mm=points, **more)


def judged(*areas: Area, scale: tuple[float, float] = (1.0, 1.0), shape: tuple[int, int] = SHAPE) -> Image:
    """255 where the picture is judged."""
    found = stencil(areas, shape, scale)
    assert not isinstance(found, str)
    left, top, right, bottom, inside = found
    whole = np.zeros(shape, np.uint8)
    whole[top:bottom, left:right] = 255 if inside is None else inside
    return whole


def told(*areas: Area, shape: tuple[int, int] = SHAPE) -> str:
    found = stencil(areas, shape, (1.0, 1.0))
    assert isinstance(found, str)
    return found


def expected(*boxes: tuple[int, int, int, int], value: int = 255, start: int = 0) -> Image:
    picture = np.full(SHAPE, start, np.uint8)
    for left, top, right, bottom in boxes:
        picture[top:bottom, left:right] = value
    return picture


def test_without_areas_and_with_one_rectangle_nothing_is_cut_out() -> None:
    assert stencil((), SHAPE, (1.0, 1.0)) == (0, 0, 20, 12, None)
    assert stencil((rectangle(2, 3, 5, 4),), SHAPE, (1.0, 1.0)) == (2, 3, 7, 7, None)
    assert stencil((rectangle(2, 3, 5, 4),), (24, 40), (0.5, 0.5)) == (4, 6, 14, 14, None)
    assert stencil((rectangle(2, 3, 5, 4),), (24, 40), (0.5, 1.0)) == (4, 3, 14, 7, None)


def test_several_rectangles_are_judged_and_what_lies_between_them_is_not() -> None:
    assert np.array_equal(
        judged(rectangle(1, 1, 3, 2), rectangle(10, 5, 4, 6)), expected((1, 1, 4, 3), (10, 5, 14, 11))
    )


@pytest.mark.parametrize("first", [True, False])
def test_an_excluded_area_is_not_judged_wherever_it_is_written(first: bool) -> None:  # noqa: FBT001 -- a table
    areas = [rectangle(0, 0, 20, 12), rectangle(5, 5, 2, 2, excluded=True)]
    assert np.array_equal(judged(*(areas if first else areas[::-1])), expected((5, 5, 7, 7), value=0, start=255))


def test_with_excluded_areas_alone_the_rest_is_judged() -> None:
    assert np.array_equal(judged(rectangle(5, 5, 2, 2, excluded=True)), expected((5, 5, 7, 7), value=0, start=255))


def test_an_excluded_area_may_end_beyond_the_picture() -> None:
    assert np.array_equal(judged(rectangle(18, 0, 9, 99, excluded=True)), expected((0, 0, 18, 12)))
    beside = polygon((18, 0), (30, 0), (30, 40), (18, 40), excluded=True)
    assert np.array_equal(judged(beside), expected((0, 0, 18, 12)))


def test_a_polygon_has_the_pixels_whose_middle_it_covers() -> None:
    box = polygon((2, 3), (7, 3), (7, 7), (2, 7))
    assert np.array_equal(judged(box), judged(rectangle(2, 3, 5, 4)))
    assert np.array_equal(judged(polygon((2, 7), (7, 7), (7, 3), (2, 3))), judged(box)), "in either direction"
    half = judged(polygon((0, 0), (12, 12), (0, 12)))
    assert np.array_equal(half[:, :12], np.tril(np.full((12, 12), 255, np.uint8), -1))
    assert np.array_equal(
        judged(polygon((2, 3), (7, 3), (7, 7), (2, 7)), scale=(0.5, 1.0), shape=(12, 40))[3],
        [255 if 4 <= at < 14 else 0 for at in range(40)],
    )


@pytest.mark.parametrize("seed", range(8))
def test_whatever_its_corners_a_polygon_has_the_pixels_whose_middle_lies_within(seed: int) -> None:
    chance, middle = random.Random(seed), (9.3, 9.6)
    # Around the middle by rising angles, so no sides cross. Some corners lie beyond the picture.
    angles = sorted(chance.uniform(0, 2 * math.pi) for _ in range(9))
    ways = [chance.uniform(1, 9) for _ in angles]
    points = [
        (middle[0] + way * math.cos(angle), middle[1] + way * math.sin(angle))
        for angle, way in zip(angles, ways, strict=True)
    ]
    scale, shape = (0.5, 0.25), (50, 32)
    found = judged(polygon(*points, excluded=True), scale=scale, shape=shape)
    corners = np.array(points, np.float32) / np.array(scale, np.float32)
    within = [cv2.pointPolygonTest(corners, (x + 0.5, y + 0.5), measureDist=False) > 0 for y, x in np.ndindex(shape)]
    assert np.array_equal(found == 0, np.reshape(within, shape))


def in_every_order(points: list[tuple[float, float]]) -> Iterator[tuple[tuple[float, float], ...]]:
    """The same polygon from each of its corners on, either way around, and mirrored at its diagonal."""
    for mirrored in (points, [(y, x) for x, y in points]):
        for turned in (mirrored, mirrored[::-1]):
            for first in range(len(turned)):
                yield (*turned[first:], *turned[:first])


@pytest.mark.parametrize(
    ("points", "crossed"),
    [
        ([(0, 0), (4, 4), (4, 0), (0, 4)], True),
        ([(0, 0), (8, 0), (8, 8), (4, 0), (0, 8)], True),  # a corner on another side
        ([(0, 0), (8, 0), (8, 8), (4, 1), (0, 8)], False),
        ([(0, 0), (8, 0), (8, 8), (5, 0), (3, 0), (0, 8)], True),  # a side along another one
        ([(0, 0), (3, 0), (4, 2), (5, 0), (8, 0), (8, 8), (0, 8)], False),  # two on one line, apart
        ([(0, 0), (3, 0), (4, 2), (3, 0), (8, 0), (8, 8), (0, 8)], True),  # two corners at one place
        ([(0, 0), (9, 0), (9, 9), (6, 9), (6, 3), (3, 3), (3, 9), (0, 9)], False),
        ([(0, 0), (9, 0), (9, 9), (6, 9), (6, 3), (7, 3), (7, 9), (0, 9)], True),
        ([(0, 0), (9, 1), (8, 9), (1, 8)], False),
    ],
)
def test_sides_that_cross_are_found_wherever_the_corners_begin(
    points: list[tuple[float, float]],
    crossed: bool,  # noqa: FBT001 -- a table
) -> None:
    for size in (1, 1 / 16):
        for corners in in_every_order([(size * x, size * y) for x, y in points]):
            if crossed:
                with pytest.raises(ValidationError, match="cross each other"):
                    polygon(*corners)
            else:
                assert polygon(*corners).size_mm2 == polygon(*points).size_mm2 * size**2


def test_a_polygon_with_a_notch_is_no_rectangle() -> None:
    shape = polygon((0, 0), (10, 0), (10, 10), (6, 10), (6, 4), (4, 4), (4, 10), (0, 10))
    assert np.array_equal(judged(shape), expected((0, 0, 10, 10)) - expected((4, 4, 6, 10)))


@pytest.mark.parametrize(
    ("area", "shown"),
    [
        (rectangle(0, 0, 20, 12), True),
        (rectangle(0, 0, 21, 13), True),  # one pixel of rounding
        (rectangle(0, 0, 22, 12), False),
        (rectangle(0, 0, 20, 14), False),
        (rectangle(19, 0, 1, 1), True),
        (rectangle(30, 0, 1, 1), False),
        (rectangle(0, 30, 1, 1), False),
        (polygon((0, 0), (22, 0), (0, 12)), False),
        (rectangle(0, 0, 0.2, 4), False),  # less than a pixel wide
        (rectangle(0, 0, 4, 0.2), False),
    ],
)
def test_what_the_picture_does_not_show_cannot_be_judged(area: Area, shown: bool) -> None:  # noqa: FBT001 -- a table
    assert isinstance(stencil((area,), SHAPE, (1.0, 1.0)), tuple) is shown
    assert isinstance(stencil((rectangle(0, 0, 5, 5), area), SHAPE, (1.0, 1.0)), tuple) is shown


def test_why_they_cannot_be_judged() -> None:
    assert told(rectangle(0, 0, 22, 5), rectangle(0, 0, 5, 14)) == "ends at 22 x 14 mm"
    assert told(rectangle(0, 0, 0.2, 4)) == "has an area that is smaller than a pixel or ends beyond the picture"
    assert told(rectangle(1, 1, 4, 4), rectangle(0, 0, 9, 9, excluded=True)) == "is excluded as a whole"


def test_where_the_areas_end() -> None:
    areas = [rectangle(0, 0, 22, 5), polygon((0, 0), (5, 0), (0, 14)), rectangle(0, 0, 90, 90, excluded=True)]
    assert beyond((22, 14), areas) == ""
    assert beyond((21.9, 14), areas) == beyond((22, 13.9), areas) == "ends at 22 x 14 mm"
    assert beyond((21.5, 13.75), areas, (0.5, 0.25)) == ""
    assert beyond((21.4, 13.75), areas, (0.5, 0.25)) == beyond((21.5, 13.7), areas, (0.5, 0.25)) != ""
    assert beyond((1, 1), []) == ""


def test_a_defect_cannot_be_larger_than_what_is_judged() -> None:
    assert largest_mm2((20, 12), []) == largest_mm2((20, 12), [rectangle(0, 0, 9, 9, excluded=True)]) == 240
    assert largest_mm2((20, 12), [rectangle(0, 0, 2, 3), polygon((2, 3), (7, 3), (7, 7))]) == 16


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ({}, "x_mm and y_mm and width_mm and height_mm missing: write x_mm, y_mm, width_mm and height_mm of a rect"),
        ({"x_mm": 1, "y_mm": 2, "width_mm": 3}, "height_mm missing"),
        ({**WHOLE, "points_mm": [[0, 0], [1, 0], [1, 1]]}, "but not both"),
        ({"x_mm": 1, "points_mm": [[0, 0], [1, 0], [1, 1]]}, "but not both"),
        ({"points_mm": [[0, 0], [4, 4], [4, 0], [0, 4]]}, "the sides of points_mm cross each other"),
        ({"points_mm": [[0, 0], [8, 0], [8, 8], [4, 0], [0, 8]]}, "cross each other"),  # a corner on another side
        ({"points_mm": [[0, 0], [1, 1], [2, 2]]}, "the corners in points_mm lie on one line"),
        ({"points_mm": [[0, 0], [1, 1]]}, "at least 3 items"),
        ({"points_mm": [[0, 0], [1, 1], [-1, 0]]}, "greater than or equal to 0"),
        ({**WHOLE, "width_mm": 0}, "greater than 0"),
    ],
)
def test_a_shape_that_is_none_is_refused(table: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Area.model_validate(table)


def test_sides_on_one_line_that_do_not_touch_cross_nothing() -> None:
    assert polygon((0, 0), (10, 0), (10, 10), (6, 10), (6, 4), (4, 4), (4, 10), (0, 10)).size_mm2 == 100 - 12
