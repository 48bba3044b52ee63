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

Image: TypeAlias = NDArray[np.uint8]
Polygon: TypeAlias = list[tuple[float, float]]
Fill: TypeAlias = Callable[[Image], None]
"""Writes 255 into a mask, [H, W], inside the shape. Raises ValueError if the shape does not fit the picture."""

LARGEST_SIDE: Final = 16384
_MOST_POINTS: Final = 100_000
_ROUND: Final = 64  # corners of a circle


def polygon(xs: Sequence[Any], ys: Sequence[Any]) -> Fill:
    """The inside of at least three points, in pixels. Raises ValueError."""
    if len(xs) != len(ys) or not 3 <= len(xs) <= _MOST_POINTS:
        raise ValueError(f"a polygon has {len(xs)} x and {len(ys)} y values")
    points = list(zip(map(number, xs), map(number, ys), strict=True))

    def fill(mask: Image) -> None:
        inside = np.clip(np.array(points), -LARGEST_SIDE, 2 * LARGEST_SIDE)
        cv2.fillPoly(mask, [np.rint(inside).astype(np.int32)], 255)

    return fill


def rectangle(x: Any, y: Any, width: Any, height: Any) -> Fill:
    """A box from its corner and size, in pixels. Raises ValueError."""
    left, top = number(x), number(y)
    right, bottom = left + number(width), top + number(height)
    return polygon([left, right, right, left], [top, top, bottom, bottom])


def ellipse(x: Any, y: Any, *, along: Any, across: Any, turned_rad: Any = 0.0) -> Fill:
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
        small = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_GRAYSCALE)
        left, top = (round(number(value)) for value in corner)
    except (binascii.Error, TypeError, cv2.error) as error:
        raise ValueError("a mask is no PNG in base64 with a corner") from error
    if small is None:
        raise ValueError("a mask is no PNG in base64")

    def fill(mask: Image) -> None:
        under = mask[max(0, top) : top + small.shape[0], max(0, left) : left + small.shape[1]]
        if min(left, top) < 0 or under.shape != small.shape:
            raise ValueError("a mask lies beyond its picture")
        under[small > 0] = 255

    return fill


def number(value: Any) -> float:
    """A finite number. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        raise ValueError(f"a coordinate is no number: {str(value)[:40]}")
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
