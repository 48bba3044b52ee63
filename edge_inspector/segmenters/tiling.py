"""A frame larger than the model's input: where its tiles lie, and how a tile is laid into the input buffer."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from edge_inspector.records import Image


class Tile(NamedTuple):
    """Which pixels of the frame one run of the model sees: rows top..bottom, columns left..right."""

    top: int
    bottom: int
    left: int
    right: int


@lru_cache(maxsize=64)
def plan_tiles(height: int, width: int, tile: tuple[int, int], overlap: int, stride: int) -> tuple[Tile, ...]:
    """The tiles that cover a frame, evenly spread. `tile` is (height, width).

    Neighbours share at least `overlap` pixels; every tile starts on a multiple of `stride`, so that its mask falls on
    the frame's mask grid.
    """
    rows = _starts(height, tile[0], overlap, stride)
    columns = _starts(width, tile[1], overlap, stride)
    return tuple(
        Tile(top, min(top + tile[0], height), left, min(left + tile[1], width)) for top in rows for left in columns
    )


def _starts(length: int, tile: int, overlap: int, stride: int) -> list[int]:
    if length <= tile:
        return [0]
    step = (tile - overlap) // stride
    last = -(-(length - tile) // stride)
    gaps = -(-last // step)
    return [stride * (index * last // gaps) for index in range(gaps + 1)]


def place(pixels: Image, slot: Image) -> None:
    """Lay pixels into the model's input: channels converted, what is missing to the right and below mirrored."""
    height, width = pixels.shape[:2]
    corner = slot[:height, :width]
    if pixels.ndim == slot.ndim:
        np.copyto(corner, pixels)
    else:
        cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY if slot.ndim == 2 else cv2.COLOR_GRAY2BGR, dst=corner)
    below, right = slot.shape[0] - height, slot.shape[1] - width
    if below or right:
        mirrors = below < height and right < width
        border = cv2.BORDER_REFLECT_101 if mirrors else cv2.BORDER_REPLICATE
        # OpenCV sees that the source already lies in the destination and only draws the border.
        cv2.copyMakeBorder(corner, 0, below, 0, right, border, dst=slot)
