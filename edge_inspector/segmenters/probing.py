"""Test pictures full of edges, lines and blobs. A net that finds nothing in them will hardly find anything."""

from __future__ import annotations

import cv2
import numpy as np

from edge_inspector.records import Image

_BLOCK_PX = 16
_SHAPES = 12


def probe_pictures(shape: tuple[int, ...]) -> list[Image]:
    """Three pictures of this shape, always the same: rough blocks, soft clouds, shapes on an even ground."""
    rng = np.random.default_rng(1)
    height, width, *channels = shape
    small = rng.integers(0, 256, (-(-height // _BLOCK_PX), -(-width // _BLOCK_PX), *channels), np.uint8)
    blocks = cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)
    clouds = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    shapes = np.full(shape, 160, np.uint8)
    for _ in range(_SHAPES):
        start, end, centre = (
            [int(side * share) for side, share in zip((width, height), rng.random(2), strict=True)] for _ in range(3)
        )
        dark, bright = rng.integers(0, 128), rng.integers(192, 256)
        cv2.line(shapes, start, end, (int(dark),) * 3, int(rng.integers(1, 5)))
        cv2.circle(shapes, centre, int(rng.integers(2, 30)), (int(bright),) * 3, -1)
    # OpenCV drops the axis of a single channel
    return [np.asarray(picture, np.uint8).reshape(shape) for picture in (blocks, clouds, shapes)]
