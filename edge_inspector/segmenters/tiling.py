"""Tiles for a frame that is larger than the model's input: their positions, and copying into the input buffer."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from edge_inspector.records import Image
from edge_inspector.segmenters.manifest import Fill


class Tile(NamedTuple):
    """The pixels of the frame that one run of the model covers: rows top..bottom, columns left..right."""

    top: int
    bottom: int
    left: int
    right: int


@lru_cache(maxsize=64)
def plan_tiles(height: int, width: int, *, tile: tuple[int, int], overlap: int, stride: int) -> tuple[Tile, ...]:
    """The tiles that cover a frame, evenly spread. `tile` is (height, width).

    Neighbours share at least `overlap` pixels. Every tile starts on a multiple of `stride`, so its mask fits the grid
    of the frame's mask.
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


def place(pixels: Image, slot: Image, fill: Fill) -> None:
    """Copy pixels into the model's input, convert the channels and fill the missing area."""
    height, width = pixels.shape[:2]
    corner = slot[:height, :width]
    if pixels.ndim == slot.ndim:
        np.copyto(corner, pixels)
    else:
        cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY if slot.ndim == 2 else cv2.COLOR_GRAY2BGR, dst=corner)
    if corner.shape != slot.shape:
        # OpenCV detects that the source already lies in the destination and only draws the border.
        fill_up(corner, slot.shape[:2], fill, slot)


def fill_up(pixels: Image, size: tuple[int, ...], fill: Fill, into: Image | None = None) -> Image:
    """Extend an image to `size`, (height, width), to the right and below. It is never scaled."""
    below, right = size[0] - pixels.shape[0], size[1] - pixels.shape[1]
    border = cv2.BORDER_CONSTANT
    if fill == "mirror":
        mirrors = below < pixels.shape[0] and right < pixels.shape[1]
        border = cv2.BORDER_REFLECT_101 if mirrors else cv2.BORDER_REPLICATE
    return np.asarray(cv2.copyMakeBorder(pixels, 0, below, 0, right, border, dst=into), np.uint8)
