"""Test pictures full of edges, lines and blobs. A net that finds nothing in them will hardly find anything."""

from __future__ import annotations

import math
from random import Random

import cv2
import numpy as np

from edge_inspector.records import Image

_BLOCK_PX = 16
_SHAPES = 12


def probe_pictures(shape: tuple[int, ...]) -> list[Image]:
    """Three pictures of this shape, always the same: rough blocks, soft clouds, shapes on an even ground."""
    rng = Random(1)  # numpy.random takes 4 MiB, and nothing else in a station needs it
    height, width, *channels = shape
    blocks_shape = -(-height // _BLOCK_PX), -(-width // _BLOCK_PX), *channels
    small = np.frombuffer(rng.randbytes(math.prod(blocks_shape)), np.uint8).reshape(blocks_shape)
    blocks = cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)
    clouds = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    shapes = np.full(shape, 160, np.uint8)
    for _ in range(_SHAPES):
        start, end, centre = ([int(side * rng.random()) for side in (width, height)] for _ in range(3))
        dark, bright = rng.randrange(128), rng.randrange(192, 256)
        cv2.line(shapes, start, end, (dark,) * 3, rng.randrange(1, 5))
        cv2.circle(shapes, centre, rng.randrange(2, 30), (bright,) * 3, -1)
    # OpenCV drops the axis of a single channel.
    return [np.asarray(picture, np.uint8).reshape(shape) for picture in (blocks, clouds, shapes)]
