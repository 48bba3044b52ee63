"""From a probability mask to defects in millimetres."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspector.inspection.recipe import ClassLimits
from edge_inspector.records import Defect

Mask = NDArray[np.uint8]

# One more than a recipe can allow, so the decision is always right. More would let a mask of pure noise delay the line.
_LARGEST = 32

# Each region has at least one pixel, so 16 bits can number the regions of fewer pixels than this. That takes a third of
# the time.
_FEW_PIXELS = 2**16 - 1


def find_defects(
    camera: str,
    mask: Mask,
    *,
    classes: Sequence[str],
    limits: Mapping[str, ClassLimits],
    mm_per_px: float,
    origin: tuple[int, int] = (0, 0),
    mm_per_row: float | None = None,
) -> tuple[Defect, ...]:
    """The regions of every limited class that are confident and large enough, at most the 32 largest of each class.

    `mask` is (classes, H, W), 0..255 for probability 0..1. `mm_per_px` is per mask pixel. `mm_per_row` is the distance
    of mask rows, if it is different. Regions are 8-connected. The length is the longer side of the smallest rectangle
    around a region. Positions are in mm from the frame's corner. `origin` is the column and row of the frame's mask
    where this mask begins.
    """
    scale = (mm_per_px, mm_per_px if mm_per_row is None else mm_per_row)
    found: list[Defect] = []
    for index, name in enumerate(classes):
        if name in limits:
            found += _of_class(camera, name=name, plane=mask[index], limits=limits[name], scale=scale, origin=origin)
    return tuple(found)


def level(limits: ClassLimits) -> float:
    """The lowest value, 1..255, at which a pixel counts as a defect."""
    return max(1.0, limits.min_confidence * 255)


def doubtful(peaks: Sequence[int], band: tuple[float, float]) -> bool:
    """Whether the highest pixel of any class (0..255 each) is in the range that a person should review."""
    low, high = band[0] * 255, band[1] * 255
    return any(low <= peak <= high for peak in peaks)


def _of_class(
    camera: str, *, name: str, plane: Mask, limits: ClassLimits, scale: tuple[float, float], origin: tuple[int, int]
) -> list[Defect]:
    above = plane >= math.ceil(level(limits))
    pixels = int(np.count_nonzero(above))
    if not pixels:
        return []
    sure = above.view(np.uint8)
    x0, y0, width, height = cv2.boundingRect(sure)
    _, labels, stats, centres = cv2.connectedComponentsWithStatsWithAlgorithm(
        sure[y0 : y0 + height, x0 : x0 + width],
        8,
        cv2.CV_16U if pixels < _FEW_PIXELS else cv2.CV_32S,
        cv2.CCL_DEFAULT,
    )
    across, along = scale
    areas = stats[1:, cv2.CC_STAT_AREA] * (across * along)
    largest = np.argsort(-areas, kind="stable")[:_LARGEST]
    found = []
    for label in (int(index) + 1 for index in largest if areas[index] >= limits.min_area_mm2):
        left, top, wide, high = (int(value) for value in stats[label, :4])
        here = labels[top : top + high, left : left + wide] == label
        points = cv2.findNonZero(here.astype(np.uint8)) * np.array((1.0, along / across))
        _, sides, _ = cv2.minAreaRect(points.astype(np.float32))
        within = plane[y0 + top : y0 + top + high, x0 + left : x0 + left + wide]
        found.append(
            Defect(
                camera=camera,
                defect_class=name,
                area_mm2=float(areas[label - 1]),
                length_mm=(max(sides) + 1) * across,
                confidence=float(within[here].max()) / 255,
                x_mm=(origin[0] + x0 + float(centres[label][0])) * across,
                y_mm=(origin[1] + y0 + float(centres[label][1])) * along,
                box_mm=(
                    (origin[0] + x0 + left) * across,
                    (origin[1] + y0 + top) * along,
                    (origin[0] + x0 + left + wide) * across,
                    (origin[1] + y0 + top + high) * along,
                ),
            )
        )
    return found
