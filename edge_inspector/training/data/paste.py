"""Defects cut from one picture and blended into another, so that a few defects appear on many good surfaces."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

_MARGIN_PX: Final = 8
_SMALLEST_AREA_PX: Final = 16
"""A smaller area is a slip of the annotator's brush."""
_LARGEST_PX: Final = 128
"""A larger cut is mostly background and would bring its own surface along."""


@dataclass(frozen=True, slots=True)
class Cut:
    """One defect: its brightness relative to the surface around it, and its shape, both [h, w]."""

    ratio: NDArray[np.float32]
    mask: NDArray[np.bool_]


def cuts(image: Image, mask: NDArray[np.bool_]) -> list[Cut]:
    """Every connected defect of a picture [H, W, C] that is small enough to be moved."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    grey = image.mean(axis=2, dtype=np.float32)
    found = []
    for label in range(1, len(stats)):
        left, top, width, height, area = (int(value) for value in stats[label])
        if max(width, height) > _LARGEST_PX or area < _SMALLEST_AREA_PX:
            continue
        rows = slice(max(0, top - _MARGIN_PX), top + height + _MARGIN_PX)
        columns = slice(max(0, left - _MARGIN_PX), left + width + _MARGIN_PX)
        here, around = labels[rows, columns] == label, ~mask[rows, columns]
        if around.any():
            level = float(grey[rows, columns][around].mean()) + 1.0
            found.append(Cut(grey[rows, columns] / np.float32(level), here))
    return found


def paste(cut: Cut, image: Image, classes: Image, *, index: int, rng: np.random.Generator) -> None:
    """Blend a cut, turned and flipped at random, into a patch and its class map, in place."""
    turns, flip = int(rng.integers(4)), bool(rng.integers(2))
    ratio, mask = (np.rot90(plane, turns) for plane in (cut.ratio, cut.mask))
    if flip:
        ratio, mask = ratio[:, ::-1], mask[:, ::-1]
    height, width = (min(side, room) for side, room in zip(mask.shape, classes.shape, strict=True))
    top, left = (int(rng.integers(room - side + 1)) for side, room in zip((height, width), classes.shape, strict=True))
    box = slice(top, top + height), slice(left, left + width)
    ratio, mask = ratio[:height, :width], mask[:height, :width]
    alpha = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 1.5)
    # The cut is applied as a change of brightness, so that it takes the light of its new place.
    strength = np.float32(rng.uniform(0.7, 1.2))
    change = 1.0 + alpha * strength * (ratio - 1.0)
    image[box] = np.clip(image[box] * change[:, :, np.newaxis], 0.0, 255.0).astype(np.uint8)
    classes[box][mask] = index
