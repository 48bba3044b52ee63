"""The shapes of labelling tools, each as a filled mask. Lines and points are refused, because they have no inside."""

from __future__ import annotations

import base64
import binascii
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspector.store.picture_file import decoded

Image: TypeAlias = NDArray[np.uint8]
Polygon: TypeAlias = list[tuple[float, float]]
Fill: TypeAlias = Callable[[Image], None]
"""Writes 255 into a mask, [H, W], inside the shape. Raises ValueError if the shape does not fit the picture."""

LARGEST_SIDE: Final = 16384
_MOST_POINTS: Final = 100_000
_ROUND: Final = 64  # corners of a circle
_FAR: Final = 2.0  # shares of a side. Tools draw a little beyond the picture


def polygon(xs: Sequence[Any], ys: Sequence[Any]) -> Fill:
    """The inside of at least three points, in pixels. Raises ValueError."""
    if len(xs) != len(ys) or not 3 <= len(xs) <= _MOST_POINTS:
        raise ValueError(f"a polygon has {len(xs)} x and {len(ys)} y values")
    points = list(zip(map(number, xs), map(number, ys), strict=True))

    def fill(mask: Image) -> None:
        inside = np.clip(np.array(points), -LARGEST_SIDE, 2 * LARGEST_SIDE)
        cv2.fillPoly(mask, [np.rint(inside).astype(np.int32)], 255)

    return fill


def relative_polygon(xs: Sequence[Any], ys: Sequence[Any]) -> Fill:
    """The inside of at least three points, in shares of width and height. Raises ValueError."""
    if len(xs) != len(ys) or not 3 <= len(xs) <= _MOST_POINTS:
        raise ValueError(f"a polygon has {len(xs)} x and {len(ys)} y values")
    across, down = [number(x) for x in xs], [number(y) for y in ys]
    if min(*across, *down) < -1 or max(*across, *down) > _FAR:
        raise ValueError("coordinates are not shares of width and height, from 0 to 1")

    def fill(mask: Image) -> None:
        height, width = mask.shape
        polygon([x * width for x in across], [y * height for y in down])(mask)

    return fill


def start_lengths(text: str) -> Fill:
    """Pairs of start and length, counted from 1 and column by column, as in Kaggle's tables. Raises ValueError."""
    words = text.split()
    if (
        len(words) % 2
        or len(words) > 2 * _MOST_POINTS
        or not all(word.isdecimal() and len(word) < 10 for word in words)
    ):
        raise ValueError("run lengths are no pairs of start and length")
    starts, lengths = [int(word) - 1 for word in words[0::2]], [int(word) for word in words[1::2]]

    def fill(mask: Image) -> None:
        flat = np.zeros(mask.size, np.bool_)
        for start, length in zip(starts, lengths, strict=True):
            if start < 0 or start + length > mask.size:
                raise ValueError(f"a run ends at pixel {start + length}, the picture has {mask.size}")
            flat[start : start + length] = True
        height, width = mask.shape
        mask[flat.reshape(width, height).T] = 255

    return fill


def patch_of_runs(runs: Sequence[Any], box: Sequence[Any]) -> Fill:
    """CVAT's mask: run lengths row by row within a box (left, top, width, height), first good. Raises ValueError."""
    left, top, width, height = (round(number(value)) for value in box)
    if not 0 < width <= LARGEST_SIDE or not 0 < height <= LARGEST_SIDE:
        raise ValueError("a mask has no size")
    if any(not isinstance(run, int) or run < 0 for run in runs) or sum(runs) != width * height:
        raise ValueError(f"run lengths do not add up to {width} x {height} px")

    def fill(mask: Image) -> None:
        flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
        under = mask[max(0, top) : top + height, max(0, left) : left + width]
        if min(left, top) < 0 or under.shape != flat.shape:
            raise ValueError("a mask lies beyond its picture")
        under[flat] = 255

    return fill


def drawn_as(read: Callable[[], Image]) -> Fill:
    """A mask that `read` returns, as large as the picture. Half certain and more is defective."""

    def fill(mask: Image) -> None:
        stored = read()
        if stored.shape != mask.shape:
            raise ValueError(f"its mask is {stored.shape}, the picture {mask.shape}")
        mask[stored > 127] = 255

    return fill


def rectangle(x: Any, y: Any, width: Any, height: Any) -> Fill:
    """A box from its corner and size, in pixels. Raises ValueError."""
    left, top = number(x), number(y)
    right, bottom = left + number(width), top + number(height)
    return polygon([left, right, right, left], [top, top, bottom, bottom])


def ellipse(x: Any, y: Any, along: Any, across: Any, *, turned_rad: Any = 0.0) -> Fill:
    """An ellipse from its centre, half axes and rotation. Raises ValueError."""
    middle_x, middle_y, first, second, turned = map(number, (x, y, along, across, turned_rad))
    turn = np.linspace(0.0, 2 * math.pi, _ROUND, endpoint=False)
    a, b = first * np.cos(turn), second * np.sin(turn)
    cos, sin = math.cos(turned), math.sin(turned)
    return polygon((middle_x + a * cos - b * sin).tolist(), (middle_y + a * sin + b * cos).tolist())


def run_lengths(counts: Any, size: Any) -> Fill:
    """COCO's run lengths, as list or text: column by column, starting with good pixels. Raises ValueError."""
    if not (isinstance(size, list) and len(size) == 2 and all(isinstance(side, int) for side in size)):
        raise ValueError("the size of run lengths is not [height, width]")
    height, width = size
    runs = _unpacked(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or any(isinstance(run, bool) or not isinstance(run, int) or run < 0 for run in runs):
        raise ValueError("run lengths are no list of whole numbers")
    if not 0 < max(height, width) <= LARGEST_SIDE or sum(runs) != height * width:
        raise ValueError(f"run lengths add up to {sum(runs)}, their picture has {height} x {width} px")

    def fill(mask: Image) -> None:
        if mask.shape != (height, width):
            raise ValueError(f"run lengths are of {height} x {width} px, the picture has {mask.shape}")
        flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
        mask[flat.reshape(width, height).T] = 255

    return fill


def stamp(encoded: Any, corner: Any) -> Fill:
    """Labelme's mask: a small PNG in base64, and the position of its upper left corner. Raises ValueError."""
    try:
        raw = base64.b64decode(encoded, validate=True)
        left, top = (round(number(value)) for value in corner)
    except (binascii.Error, TypeError) as error:
        raise ValueError("a mask is not a PNG in base64 with a corner") from error
    try:
        small = decoded(raw, cv2.IMREAD_GRAYSCALE)
    except ValueError as error:
        raise ValueError(f"a mask is not a PNG in base64: it {error}") from error

    def fill(mask: Image) -> None:
        under = mask[max(0, top) : top + small.shape[0], max(0, left) : left + small.shape[1]]
        if min(left, top) < 0 or under.shape != small.shape:
            raise ValueError("a mask lies beyond its picture")
        under[small > 0] = 255

    return fill


def number(value: Any) -> float:
    """A finite number. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        raise ValueError(f"a coordinate is not a number: {str(value)[:40]}")
    return float(value)


def _unpacked(text: str) -> list[int]:
    """COCO's text form: six bits a character, five of them value. From the third run on, a value is a difference.

    The difference is to the run two before.
    """
    runs: list[int] = []
    at = 0
    while at < len(text):
        value, shift, more = 0, 0, True
        while more:
            if at >= len(text) or not 48 <= ord(text[at]) < 48 + 64 or shift > 30:
                raise ValueError("run lengths are damaged")
            bits = ord(text[at]) - 48
            value |= (bits & 0x1F) << shift
            more, at, shift = bool(bits & 0x20), at + 1, shift + 5
            if not more and bits & 0x10:
                value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
    return runs
