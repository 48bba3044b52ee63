"""Masks that nobody drew: made of a coarse map of where a defect is suspected, and of what the picture shows there."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspector.training.data.folder import Image

Floats = NDArray[np.float32]

_REGION: Final = 0.1
"""Of the highest value of a map. From there on a place is suspected."""
_PEAK: Final = 0.6
"""Of the highest value. A region without it belongs to something else."""
_DOUBT: Final = 77
"""Certainty of a suspected pixel that does not differ from its surroundings: below half, so it is no defect."""
_LEAST_PX: Final = 12
_LEAST_FOUND: Final = 0.1
"""A net that is less sure than this everywhere has not found the defect."""


def first_mask(picture: Image, places: Floats) -> Image:
    """Certainty [H, W], 0..255, from a picture [H, W, C] and a coarse map [h, w] of the same area, 0..1.

    The suspected region is where the map is high. In it, what differs most from the brightness around it is the defect
    (Otsu 1979). Holes are filled. If nothing differs, the whole region is it.
    """
    height, width = picture.shape[:2]
    grown = np.asarray(cv2.resize(places, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    region = _regions(grown, _REGION)
    if not region.any():
        return np.zeros((height, width), np.uint8)
    cell = max(2.0, height / places.shape[0])
    region = cv2.dilate(region.astype(np.uint8), _disc(cell / 2)) > 0
    differs = _difference(picture, 2.0 * cell)
    level = _otsu(differs[region])
    inside = region & (differs >= level)
    inside = _whole(inside, region)
    certainty = np.where(region, np.uint8(_DOUBT), np.uint8(0))
    sure = 255.0 * np.clip(0.5 + 0.5 * grown / grown.max(), 0.55, 1.0)
    return np.where(inside, sure.astype(np.uint8), certainty).astype(np.uint8)


def next_mask(found: Image, before: Image) -> Image:
    """Certainty [H, W] from what a net finds [h, w], 0..255, in a picture with the mask `before` [H, W].

    The net learned from all pictures, so what it finds is steadier than the mask of one. It may lie elsewhere. If the
    net finds nothing, the mask stays.
    """
    grown = np.asarray(cv2.resize(found, before.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32) / 255.0
    highest = float(grown.max())
    if highest < _LEAST_FOUND:
        return before
    level = min(0.5, 0.5 * highest)
    region = _thinner(_regions(grown, level / highest))
    sure = 255.0 * np.clip(0.5 + 0.5 * grown / highest, 0.55, 1.0)
    return np.where(region, sure, 0.0).astype(np.uint8)


def _regions(values: Floats, share: float) -> NDArray[np.bool_]:
    """The connected regions above a share of the highest value that reach near it."""
    highest = float(values.max())
    if highest <= 0.0:
        return np.zeros(values.shape, np.bool_)
    count, labels = cv2.connectedComponents((values >= share * highest).astype(np.uint8), connectivity=8)
    peaks = np.zeros(count, np.float32)
    np.maximum.at(peaks, labels.ravel(), values.ravel())
    kept = peaks >= _PEAK * highest
    kept[0] = False
    return np.asarray(kept[labels], np.bool_)


def _thinner(region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Without its outermost pixels. A mask pixel is positive if any of its pixels is, so nets find a little too much.

    Regions of which nothing would be left stay.
    """
    inner = cv2.erode(region.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    count, labels = cv2.connectedComponents(region.astype(np.uint8), connectivity=8)
    left = np.bincount(labels[inner], minlength=count) > 0
    return np.asarray(np.where(left[labels], inner, region), np.bool_)


def _difference(picture: Image, around: float) -> Floats:
    """How far each pixel is from the mean brightness around it, in grey levels, without grain."""
    grey = picture.astype(np.float32)
    calm = cv2.GaussianBlur(grey, (0, 0), 1.0).reshape(picture.shape)
    mean = cv2.GaussianBlur(grey, (0, 0), around).reshape(picture.shape)
    return np.asarray(np.abs(calm - mean).max(axis=2), np.float32)


def _otsu(values: Floats) -> float:
    """The level that parts the values best into two kinds."""
    highest = float(values.max())
    if highest <= 0.0:
        return 0.0
    scaled = np.rint(values * (255.0 / highest)).astype(np.uint8).reshape(-1, 1)
    level, _ = cv2.threshold(scaled, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    return (float(level) + 0.5) * highest / 255.0


def _whole(inside: NDArray[np.bool_], region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Join what nearly touches, fill holes, leave out specks. The region, if nothing is left."""
    closed = cv2.morphologyEx(inside.astype(np.uint8), cv2.MORPH_CLOSE, _disc(2.0))
    outlines, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    areas = [float(np.count_nonzero(_filled(inside.shape, outline))) for outline in outlines]
    least = max(float(_LEAST_PX), 0.1 * max(areas, default=0.0))
    kept = [outline for outline, area in zip(outlines, areas, strict=True) if area >= least]
    if not kept:
        return region
    whole = np.zeros(inside.shape, np.uint8)
    cv2.drawContours(whole, kept, -1, 1, cv2.FILLED)
    return np.asarray(whole > 0, np.bool_)


def _filled(shape: tuple[int, ...], outline: NDArray[np.int32]) -> Image:
    plane = np.zeros(shape, np.uint8)
    cv2.drawContours(plane, [outline], -1, 1, cv2.FILLED)
    return plane


def _disc(radius: float) -> Image:
    side = 2 * max(1, round(radius)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)
