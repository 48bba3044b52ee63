"""Limits from good parts: each part has one score, and the scores of good parts set the limits of all classes.

A score says how far a part is from acceptance, as a multiple of the areas in the limits. With all areas at a smaller
multiple than its score, or just at it, the part is rejected. With larger areas it is accepted. The rule is the
recipe's own, with counts, lengths and grades. So one number moves the limits, and one promise holds for all classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from edge_inspector.inspection.decision import beyond_limits, grade_of
from edge_inspector.inspection.promise import RejectPromise
from edge_inspector.inspection.recipe import ClassLimits, Criteria
from edge_inspector.inspection.view import Look
from edge_inspector.records import Defect, Frame, Image

# A region of fewer mask pixels cannot be told from a flicker of the quantised mask.
SMALLEST_PX: Final = 3
_DIGITS: Final = 4  # of a limit, as the page shows it
_ROUNDING: Final = 1e-9

Regions = Sequence[Defect]
"""All regions of one part at the confidences of its limits, however small."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Limits from good parts. `factor` is how large all areas are, compared with those of the limits before.

    Of the `good` parts themselves `refused` are rejected, at most `allowed`. Of the `bad` ones `caught` are rejected.
    `refused_before` and `caught_before` are those by the limits before.
    """

    limits: dict[str, ClassLimits]
    factor: float
    good: int
    allowed: int
    refused: int
    refused_before: int
    bad: int
    caught: int
    caught_before: int


def bare(criteria: Criteria) -> Criteria:
    """The same limits without smallest areas: by these, every region is found."""
    limits = {name: limit.model_copy(update={"min_area_mm2": 0.0}) for name, limit in criteria.limits.items()}
    return Criteria(criteria.recipe, limits)


def regions_of(look: Look, camera: str, mask: Image) -> tuple[Defect, ...] | None:
    """The regions in one mask, by a look at `bare` limits. None if the mask cannot be judged."""
    frame = Frame(camera, 0, 0, exposure_ns=0, received_ns=0, image=np.empty((0, 0), np.uint8))
    view = look(frame, mask, begun_ns=0, inference_ns=0)
    return None if view.failure else view.defects


def refuses(criteria: Criteria, regions: Regions) -> bool:
    """Whether a part with these regions is rejected."""
    found = [each for each in regions if each.area_mm2 >= criteria.limits[each.defect_class].min_area_mm2]
    return _rejected(criteria, found)


def score(criteria: Criteria, regions: Regions, pixel_mm2: float) -> float:
    """The largest multiple of all areas at which a part with these regions is rejected. 0 if it never is."""
    sizes = _sizes(criteria, pixel_mm2)
    found: list[Defect] = []
    for each in sorted(regions, key=lambda one: one.area_mm2 / sizes[one.defect_class], reverse=True):
        found.append(each)
        if _rejected(criteria, found):
            return each.area_mm2 / sizes[each.defect_class]
    return 0.0


def propose(
    criteria: Criteria, good: Sequence[Regions], bad: Sequence[Regions], *, promise: RejectPromise, pixel_mm2: float
) -> Proposal | None:
    """Limits that keep the promise. None if the good parts are too few. `pixel_mm2` is the largest mask pixel's area.

    The good parts must be like those to come, and none of them may have been chosen by its look.
    """
    allowed = promise.may_reject(len(good))
    if allowed is None:
        return None
    scores = sorted(score(criteria, part, pixel_mm2) for part in good)
    factor = scores[len(scores) - 1 - allowed]
    limits = {
        name: criteria.limits[name].model_copy(
            update={"min_area_mm2": _above(max(factor * size, (SMALLEST_PX - 0.5) * pixel_mm2))}
        )
        for name, size in _sizes(criteria, pixel_mm2).items()
    }
    after = Criteria(criteria.recipe, limits)
    return Proposal(
        limits=limits,
        factor=factor,
        good=len(good),
        allowed=allowed,
        refused=_count(after, good),
        refused_before=_count(criteria, good),
        bad=len(bad),
        caught=_count(after, bad),
        caught_before=_count(criteria, bad),
    )


def _count(criteria: Criteria, parts: Sequence[Regions]) -> int:
    return sum(refuses(criteria, part) for part in parts)


def _rejected(criteria: Criteria, found: Regions) -> bool:
    return beyond_limits(found, criteria.limits) or not grade_of(found, criteria.recipe.grades)


def _sizes(criteria: Criteria, pixel_mm2: float) -> Mapping[str, float]:
    """What the areas of each class are compared with. A limit of 0 is one pixel, because every region has one."""
    return {name: max(limit.min_area_mm2, pixel_mm2) for name, limit in criteria.limits.items()}


def _above(area_mm2: float) -> float:
    """The next number of few digits above an area: a region of exactly this area is no defect."""
    area_mm2 *= 1 + _ROUNDING  # a multiple of an area may be rounded below the area itself
    step = 10.0 ** (math.floor(math.log10(area_mm2)) + 1 - _DIGITS)
    return float(f"{(math.floor(area_mm2 / step) + 1) * step:.{_DIGITS}g}")
