"""What each cell of a picture looks like, in a few numbers that need no training: lines, blobs and roughness."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspector.training.data.folder import Image

Floats = NDArray[np.float32]

CELL: Final = 8
"""Pixels, of the picture as the net sees it."""
_LENGTHS: Final = (9, 25)
_DIRECTIONS: Final = 8
_BLOBS: Final = (2.0, 5.0)
"""Sigmas in pixels."""
_AROUND: Final = 8.0
_LIGHT: Final = 32.0
_GRAIN: Final = 0.8
_ROUGH: Final = 3.0
_LEAST_SPREAD: Final = 4.0
"""Grey levels. Less contrast than that is noise of the camera."""


def contrasts(image: Image) -> Floats:
    """[F, h, w] in cells, from a picture [H, W, C]: the highest value of each number in a cell.

    For brightness, and for colour where there is any: dark and bright lines of two lengths, dark and bright blobs of
    two sizes, rough and smooth. All are relative to the contrast around them, so light and exposure do not matter.
    """
    planes = [image.mean(axis=2, dtype=np.float32)]
    if image.shape[2] > 1:
        planes.append((image.max(axis=2) - image.min(axis=2)).astype(np.float32))
    return np.concatenate([_cells(_numbers(plane)) for plane in planes])


def _numbers(plane: Floats) -> Floats:
    centred = plane - cv2.GaussianBlur(plane, (0, 0), _AROUND)
    spread = np.sqrt(cv2.GaussianBlur(centred * centred, (0, 0), _LIGHT)) + _LEAST_SPREAD
    relative = np.asarray(centred / spread, np.float32)
    calm = cv2.GaussianBlur(relative, (0, 0), _GRAIN)
    found = []
    for length in _LENGTHS:
        along = [cv2.filter2D(calm, -1, line, borderType=cv2.BORDER_REFLECT_101) for line in _lines(length)]
        found += [-np.min(along, axis=0), np.max(along, axis=0)]
    for size in _BLOBS:
        blob = cv2.GaussianBlur(relative, (0, 0), size)
        found += [-blob, blob]
    rough = np.log(cv2.GaussianBlur(relative * relative, (0, 0), _ROUGH) + 0.05)
    return np.stack([*found, rough, -rough]).astype(np.float32)


def _lines(length: int) -> Sequence[Floats]:
    """Kernels that take the mean along a line, in each direction."""
    centre = length // 2
    kernels = []
    for step in range(_DIRECTIONS):
        angle = math.pi * step / _DIRECTIONS
        reach = round(centre * math.cos(angle)), round(centre * math.sin(angle))
        kernel = np.zeros((length, length), np.float32)
        cv2.line(kernel, (centre - reach[0], centre - reach[1]), (centre + reach[0], centre + reach[1]), 1.0, 1)
        kernels.append(kernel / kernel.sum())
    return kernels


def _cells(numbers: Floats) -> Floats:
    """The highest value in each cell. Cells at the far sides may be smaller."""
    count, height, width = numbers.shape
    grown = np.pad(numbers, ((0, 0), (0, -height % CELL), (0, -width % CELL)), mode="edge")
    blocks = grown.reshape(count, grown.shape[1] // CELL, CELL, grown.shape[2] // CELL, CELL)
    return np.asarray(blocks.max(axis=(2, 4)), np.float32)
