"""Brush strokes as a person in a hurry would draw them, simulated from exact masks.

The rule, for each connected region of a mask, larger regions first, at most five in a picture:

1. The path runs along the longer side of the region's bounding box. In each row (or column) it passes through the
   middle of the region there.
2. A tenth of the path is left out at either end, because nobody begins exactly at the tip.
3. Eight points of the path are kept. Each is moved by a random distance in both directions, with a deviation of a sixth
   of the brush, because no hand is steady.
4. The brush is as wide as the region's typical width (its area divided by the length of the path) times a factor
   between 1.0 and 2.0, and at least 5 pixels of the picture as the net sees it. People choose too wide a brush rather
   than too thin a one.
5. The points are joined by straight lines of this brush.

So a stroke covers the place and the direction, but not the outline.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

_REGIONS_MOST: Final = 5
_LEFT_OUT: Final = 0.1
_POINTS: Final = 8
_LEAST_BRUSH_PX: Final = 5
_WIDER: Final = (1.0, 2.0)
_SHAKE: Final = 1.0 / 6.0


def stroked(mask: Image, rng: np.random.Generator) -> Image:
    """A mask [H, W] of 0 and 255 in which each region is one stroke of a brush. Empty if the mask is."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((mask > 127).astype(np.uint8), connectivity=8)
    largest = sorted(range(1, count), key=lambda label: -int(stats[label, cv2.CC_STAT_AREA]))[:_REGIONS_MOST]
    drawn = np.zeros(mask.shape, np.uint8)
    for label in largest:
        _stroke(drawn, labels == label, rng)
    return drawn


def _stroke(drawn: Image, region: NDArray[np.bool_], rng: np.random.Generator) -> None:
    path = _path(region)
    cut = int(_LEFT_OUT * len(path))
    path = path[cut : len(path) - cut]
    width = float(region.sum()) / len(_path(region))
    brush = max(_LEAST_BRUSH_PX, round(width * rng.uniform(*_WIDER)))
    kept = path[np.linspace(0, len(path) - 1, min(_POINTS, len(path))).astype(int)]
    shaken = np.rint(kept + rng.normal(0.0, _SHAKE * brush, kept.shape)).astype(np.int32)
    if len(shaken) == 1:
        cv2.circle(drawn, tuple(int(each) for each in shaken[0]), brush // 2, 255, -1)
    else:
        cv2.polylines(drawn, [shaken.reshape(-1, 1, 2)], isClosed=False, color=255, thickness=brush)


def _path(region: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Points (x, y) in the middle of each row or column, along the longer side."""
    rows, columns = np.nonzero(region)
    upright = np.ptp(rows) > np.ptp(columns)
    along, across = (rows, columns) if upright else (columns, rows)
    places, where = np.unique(along, return_inverse=True)
    middle = np.bincount(where, weights=across) / np.bincount(where)
    points = np.stack([middle, places] if upright else [places, middle], axis=1)
    return np.asarray(points, np.float64)
