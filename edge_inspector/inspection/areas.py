"""The areas of a picture that a recipe judges or excludes, in millimetres from the picture's upper left corner."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import combinations
from typing import Annotated, Any, Self

import numpy as np
from pydantic import Field, TypeAdapter, model_serializer, model_validator
from pydantic_core.core_schema import SerializerFunctionWrapHandler

from edge_inspector.records import Image
from edge_inspector.settings import Table

Along = Annotated[float, Field(ge=0)]
Point = tuple[Along, Along]
Corner = tuple[float, float]
Box = tuple[float, float, float, float]
"""Left, top, right and bottom."""

_SIDES = ("x_mm", "y_mm", "width_mm", "height_mm")


class Area(Table):
    """A rectangle or a polygon, measured from the frame's upper left corner. What no area covers is ignored.

    A rectangle has `x_mm`, `y_mm`, `width_mm` and `height_mm`. A polygon has `points_mm`.
    """

    x_mm: Along | None = None
    """Distance from the left edge of the frame to the rectangle."""
    y_mm: Along | None = None
    """Distance from the upper edge of the frame to the rectangle."""
    width_mm: Annotated[float, Field(gt=0)] | None = None
    """Width of the rectangle."""
    height_mm: Annotated[float, Field(gt=0)] | None = None
    """Height of the rectangle."""
    points_mm: Annotated[tuple[Point, ...], Field(min_length=3, max_length=64)] | None = None
    """Corners of a polygon in order, each `[x, y]`. Its sides must not cross."""
    excluded: bool = False
    """Do not judge this area, even where another area covers it. If all areas are excluded, the rest is judged."""

    @model_validator(mode="after")
    def _one_shape(self) -> Self:
        missing = [side for side in _SIDES if getattr(self, side) is None]
        if self.points_mm is None and missing:
            raise ValueError(
                f"{' and '.join(missing)} missing: write x_mm, y_mm, width_mm and height_mm of a rectangle, or "
                "points_mm of a polygon"
            )
        if self.points_mm is not None:
            if len(missing) < len(_SIDES):
                raise ValueError("write x_mm, y_mm, width_mm and height_mm, or points_mm, but not both")
            if _crosses(self.points_mm):
                raise ValueError("the sides of points_mm cross each other: write the corners in order around the area")
            if not _extent(self.points_mm):
                raise ValueError("the corners in points_mm lie on one line: they enclose no area")
        return self

    @model_serializer(mode="wrap")
    def _written(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What is set, so that the hash of a recipe with one rectangle stays what it was."""
        return {key: value for key, value in plain(self).items() if value is not None and value is not False}

    @property
    def box_mm(self) -> Box:
        """The smallest upright rectangle around the area."""
        if self.points_mm is None:
            left, top, width, height = (getattr(self, side) for side in _SIDES)
            return left, top, left + width, top + height
        across, along = zip(*self.points_mm, strict=True)
        return min(across), min(along), max(across), max(along)

    @property
    def size_mm2(self) -> float:
        """The size of the area."""
        if self.points_mm is None:
            left, top, right, bottom = self.box_mm
            return (right - left) * (bottom - top)
        return _extent(self.points_mm)


_several = TypeAdapter(tuple[Area, ...])


def one_or_several(value: object, _: Callable[[object], object]) -> Area | tuple[Area, ...]:
    """A table, or a list of tables. Each fault then has the key path that the user wrote."""
    if isinstance(value, list | tuple):
        if not value:
            raise ValueError("names no area: leave it out if the whole view is judged")
        return _several.validate_python(value)
    return Area.model_validate(value)


def beyond(size_mm: tuple[float, float], areas: Sequence[Area], rounding_mm: tuple[float, float] = (0, 0)) -> str:
    """Why a picture of this width and height does not show these areas. "" if it does.

    An excluded area may lie outside. At the right and lower sides `rounding_mm` may be missing.
    """
    ends = [area.box_mm[2:] for area in areas if not area.excluded]
    right, bottom = max((end[0] for end in ends), default=0.0), max((end[1] for end in ends), default=0.0)
    if right > size_mm[0] + rounding_mm[0] or bottom > size_mm[1] + rounding_mm[1]:
        return f"ends at {right:g} x {bottom:g} mm"
    return ""


def largest_mm2(size_mm: tuple[float, float], areas: Sequence[Area]) -> float:
    """At most this much of a picture is judged."""
    sizes = [area.size_mm2 for area in areas if not area.excluded]
    return sum(sizes) if sizes else size_mm[0] * size_mm[1]


@lru_cache(maxsize=256)
def stencil(areas: tuple[Area, ...], shape: tuple[int, int], scale: tuple[float, float]) -> Stencil | str:
    """What these areas leave of a mask of this height and width. A text says why they cannot be judged in it.

    `scale` are the millimetres from pixel to pixel and from row to row.
    """
    boxes = [_pixels(area.box_mm, scale) for area in areas if not area.excluded]
    if not all(_lies_in(box, shape) for box in boxes):
        size_mm = shape[1] * scale[0], shape[0] * scale[1]
        return beyond(size_mm, areas) or "has an area that is smaller than a pixel or ends beyond the picture"
    left, top = min((box[0] for box in boxes), default=0), min((box[1] for box in boxes), default=0)
    right, bottom = max((box[2] for box in boxes), default=shape[1]), max((box[3] for box in boxes), default=shape[0])
    if len(areas) <= 1 and all(area.points_mm is None and not area.excluded for area in areas):
        return left, top, right, bottom, None
    judged = np.full(shape, 0 if boxes else 255, np.uint8)
    for area in sorted(areas, key=lambda each: each.excluded):
        _fill(judged, area, scale)
    if not judged.any():
        return "is excluded as a whole"
    return left, top, right, bottom, judged[top:bottom, left:right]


Stencil = tuple[int, int, int, int, Image | None]
"""Left, top, right and bottom of what is judged, and 255 where it is judged. None: everywhere between these four."""


def _fill(judged: Image, area: Area, scale: tuple[float, float]) -> None:
    value = 0 if area.excluded else 255
    if area.points_mm is None:
        left, top, right, bottom = _pixels(area.box_mm, scale)
        judged[top:bottom, left:right] = value
        return
    height, width = judged.shape
    inside = np.zeros((height, width), np.bool_)
    middles = np.arange(width) + 0.5
    for one, other in _sides([(x / scale[0], y / scale[1]) for x, y in area.points_mm]):
        (x1, y1), (x2, y2) = sorted((one, other), key=lambda corner: corner[1])
        # The rows whose middle lies between the two ends. Each side turns what is left of it inside out.
        for row in range(math.ceil(y1 - 0.5), min(height, math.ceil(y2 - 0.5))):
            inside[row] ^= middles < x1 + (x2 - x1) * (row + 0.5 - y1) / (y2 - y1)
    judged[inside] = value


def _pixels(box: Box, scale: tuple[float, float]) -> tuple[int, int, int, int]:
    across, along = scale
    left, top = round(box[0] / across), round(box[1] / along)
    return left, top, left + round((box[2] - box[0]) / across), top + round((box[3] - box[1]) / along)


def _lies_in(box: tuple[int, int, int, int], shape: tuple[int, int]) -> bool:
    """One pixel of rounding may be missing at the right and lower sides."""
    left, top, right, bottom = box
    return left < right <= shape[1] + 1 and top < bottom <= shape[0] + 1


def _extent(points: Sequence[Corner]) -> float:
    """The area of a polygon."""
    return abs(math.fsum(_turn((0.0, 0.0), one, other) for one, other in _sides(points))) / 2


def _sides(points: Sequence[Corner]) -> list[tuple[Corner, Corner]]:
    return list(zip(points, [*points[1:], points[0]], strict=True))


def _crosses(points: Sequence[Corner]) -> bool:
    """Whether two sides meet that are no neighbours. An area between them would be judged or not by chance."""
    sides = _sides(points)
    return any(
        _meet(*one, *other) for one, other in combinations(sides, 2) if one[1] != other[0] and other[1] != one[0]
    )


def _meet(one: Corner, two: Corner, three: Corner, four: Corner) -> bool:
    """Whether the line from `one` to `two` meets that from `three` to `four`."""
    near = all(
        max(one[axis], two[axis]) >= min(three[axis], four[axis])
        and max(three[axis], four[axis]) >= min(one[axis], two[axis])
        for axis in (0, 1)
    )
    apart = _turn(one, two, three) * _turn(one, two, four) <= 0
    return near and apart and _turn(three, four, one) * _turn(three, four, two) <= 0


def _turn(one: Corner, two: Corner, three: Corner) -> float:
    return (two[0] - one[0]) * (three[1] - one[1]) - (two[1] - one[1]) * (three[0] - one[0])
