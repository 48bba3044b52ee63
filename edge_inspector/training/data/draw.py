"""Drawn defects on good surfaces: lines, blobs, chips and bands, for classes with few pictures.

Each changes the brightness relative to the surface, so it takes the light of its place.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Image: TypeAlias = NDArray[np.uint8]
Rng: TypeAlias = np.random.Generator

_SHIFT: Final = 4


def draw(shape: str, image: Image, classes: Image, *, index: int, rng: Rng, shrink: int = 1) -> None:
    """Draw one defect of `shape` (a key of SHAPES) into a patch and its class map, in place.

    It is drawn at the camera's resolution and then shrunk like the patch: a hole of ten camera pixels keeps this size.
    """
    cover = np.zeros([side * shrink for side in classes.shape], np.uint8)
    change = SHAPES[shape](cover, rng)
    soft = cv2.GaussianBlur(cover, (0, 0), rng.uniform(0.5, 1.2)).astype(np.float32) / 255.0
    factor = cv2.resize(1.0 + soft * (change - 1.0), classes.shape[::-1], interpolation=cv2.INTER_AREA)
    image[:] = np.clip(image * factor[:, :, np.newaxis], 0.0, 255.0).astype(np.uint8)
    covered = cv2.resize(cover, classes.shape[::-1], interpolation=cv2.INTER_AREA)
    classes[covered > 96 // shrink] = index


def _line(cover: Image, rng: Rng) -> NDArray[np.float32]:
    """A crack: a wandering line that grows thin, mostly from a side inwards."""
    height, width = cover.shape
    steps = int(rng.integers(8, 60))
    if rng.random() < 0.6:
        start, inwards = _at_side(cover, rng)
        heading = inwards + rng.normal(0.0, 0.4)
    else:
        start, heading = rng.uniform((0.0, 0.0), (width, height)), rng.uniform(0.0, math.pi)
    headings = heading + np.cumsum(rng.normal(0.0, rng.uniform(0.02, 0.09), steps))
    points = start + np.cumsum(np.stack((np.cos(headings), np.sin(headings)), axis=1) * 3.0, axis=0)
    thickness = rng.uniform(1.5, 5.5)
    for index, pair in enumerate(pairwise(points)):
        _stroke(cover, np.array(pair), max(1, round(thickness * (1.0 - index / steps))))
    return np.float32(rng.uniform(0.1, 0.75)) * _grain(cover, rng, 0.1)


def _blob(cover: Image, rng: Rng) -> NDArray[np.float32]:
    """A hole: small, dark, often with a bright rim."""
    radius = math.exp(rng.uniform(math.log(1.7), math.log(11.0)))
    centre = rng.uniform(radius, np.array(cover.shape[::-1]) - radius)
    outline = _outline(centre, radius, rng)
    fixed = np.rint(outline * (1 << _SHIFT)).astype(np.int32)
    cv2.fillPoly(cover, [fixed], 255, lineType=cv2.LINE_AA, shift=_SHIFT)
    change = np.full(cover.shape, rng.uniform(0.15, 0.75), np.float32) * _grain(cover, rng, 0.15)
    if rng.random() < 0.3:
        rim = np.zeros_like(cover)
        cv2.polylines(rim, [fixed], isClosed=True, color=255, thickness=1, lineType=cv2.LINE_AA, shift=_SHIFT)
        change[rim > 96] *= np.float32(rng.uniform(1.5, 3.0))
    return change


def _chip(cover: Image, rng: Rng) -> NDArray[np.float32]:
    """Missing material at a side or near it: darker or brighter, smooth or rough, often with a dark outline."""
    radius = math.exp(rng.uniform(math.log(5.0), math.log(45.0)))
    centre, inwards = _at_side(cover, rng)
    slit = rng.random() < 0.3
    reach = rng.uniform(0.0, 60.0) if slit else rng.uniform(0.0, 12.0)
    centre = centre + reach * np.array((math.cos(inwards), math.sin(inwards)))
    outline = _outline(centre, radius, rng, flat=slit)
    fixed = np.rint(outline * (1 << _SHIFT)).astype(np.int32)
    cv2.fillPoly(cover, [fixed], 255, lineType=cv2.LINE_AA, shift=_SHIFT)
    level = rng.uniform(0.3, 0.9) if rng.random() < 0.75 else rng.uniform(1.2, 2.2)
    change = np.float32(level) * _grain(cover, rng, rng.uniform(0.03, 0.5))
    if rng.random() < 0.5:
        rim = np.zeros_like(cover)
        cv2.polylines(rim, [fixed], isClosed=True, color=255, thickness=int(rng.integers(1, 4)), shift=_SHIFT)
        change[rim > 96] *= np.float32(rng.uniform(0.2, 0.7))
        np.maximum(cover, rim, out=cover)
    return change


def _at_side(cover: Image, rng: Rng) -> tuple[NDArray[np.float64], float]:
    """A point on a side of the picture, often near a corner, and the direction inwards."""
    height, width = cover.shape
    along = rng.random() if rng.random() < 0.6 else rng.choice((0.0, 1.0)) + rng.normal(0.0, 0.05)
    side = int(rng.integers(4))
    x = (0.0, float(width), along * width, along * width)[side]
    y = (along * height, along * height, 0.0, float(height))[side]
    return np.array((x, y)), (0.0, math.pi, math.pi / 2, -math.pi / 2)[side]


def _band(cover: Image, rng: Rng) -> NDArray[np.float32]:
    """A band of uneven grinding: streaks along the columns, stronger than around it."""
    height, width = cover.shape
    top, left = int(rng.uniform(-0.2, 0.8) * height), int(rng.uniform(-0.3, 0.6) * width)
    bottom, right = top + int(rng.uniform(0.1, 0.6) * height), left + int(rng.uniform(0.4, 1.3) * width)
    cv2.rectangle(cover, (left, top), (right, bottom), 255, -1)
    streaks = np.exp(rng.normal(0.0, rng.uniform(0.06, 0.18), (1, width))).astype(np.float32)
    return streaks * np.float32(rng.uniform(0.85, 1.3)) * _grain(cover, rng, 0.05)


def _outline(centre: NDArray[np.float64], radius: float, rng: Rng, *, flat: bool = False) -> NDArray[np.float64]:
    turn = np.linspace(0.0, 2.0 * math.pi, 28, endpoint=False)
    waves = sum(rng.uniform(-1.0, 1.0) / k * np.sin(k * turn + rng.uniform(0.0, 6.3)) for k in range(2, 7))
    reach = radius * (0.85 + 0.2 * waves)
    squeeze, angle = rng.uniform(0.15, 0.4) if flat else rng.uniform(0.3, 1.0), rng.uniform(0.0, math.pi)
    local = np.stack((np.cos(turn) * reach, np.sin(turn) * reach * squeeze), axis=1)
    cos, sin = math.cos(angle), math.sin(angle)
    return np.asarray(centre + local @ np.array(((cos, sin), (-sin, cos))))


def _stroke(cover: Image, points: NDArray[np.float64], thickness: int) -> None:
    fixed = np.rint(points * (1 << _SHIFT)).astype(np.int32)
    cv2.polylines(cover, [fixed], isClosed=False, color=255, thickness=thickness, lineType=cv2.LINE_AA, shift=_SHIFT)


def _grain(cover: Image, rng: Rng, strength: float) -> NDArray[np.float32]:
    """Relative roughness around 1, [H, W], correlated over a few pixels."""
    noise = cv2.GaussianBlur(rng.standard_normal(cover.shape, dtype=np.float32), (0, 0), 1.0)
    return np.asarray(1.0 + 3.0 * strength * noise, np.float32)


SHAPES: Final[dict[str, Callable[[Image, Rng], NDArray[np.float32]]]] = {
    "line": _line,
    "blob": _blob,
    "chip": _chip,
    "band": _band,
}
"""The shapes that can be drawn."""
