"""Whether a net can say "defective" at all: its masks hold 255 times a probability, or something else by mistake."""

from __future__ import annotations

from collections.abc import Collection

from edge_inspector.inspection.defects import level
from edge_inspector.inspection.recipe import Criteria
from edge_inspector.records import ModelInfo

FEW = 10
"""Masks that never hold more than this, of 255, are class numbers or zeros and ones, and no probabilities."""

_PATIENCE = 20


class MaskWatch:
    """Fed with the largest value of each mask, 0..255.

    A good net may say next to nothing of many good parts. So it is not silent when it has said more of pictures that
    are full of edges, or when a limit counts the little that it says.
    """

    def __init__(self, model: ModelInfo) -> None:
        self._loudest = max(model.values, default=255)
        self._blind = model.blind
        self._masks = 0

    def see(self, largest: int) -> None:
        """One more mask."""
        self._loudest = max(self._loudest, largest)
        self._masks += 1

    def complaint(self, in_use: Collection[Criteria]) -> str:
        """Why no part can be found defective, "" while nothing speaks for that."""
        counts = min((level(limit) for each in in_use for limit in each.limits.values()), default=0.0)
        if self._loudest > FEW or self._loudest >= counts:
            return ""
        if self._blind:
            return self._blind
        if self._masks < _PATIENCE:
            return ""
        return f"no value above {self._loudest} of 255 in {self._masks} masks: {_meaning(self._loudest)}"


def remarks(model: ModelInfo) -> list[str]:
    """What a loaded model shows before it has seen a part, beside `blind`, for people to look into."""
    what = "" if model.blind or not model.values else told_of(model.values)
    seen = f"in pictures full of edges, lines and blobs: {what}" if what else ""
    return [each for each in (model.doubt, seen) if each]


def told_of(values: Collection[int]) -> str:
    """What masks look like that hold just these values, "" for probabilities."""
    largest = max(values, default=0)
    if largest <= FEW:
        return f"largest value {largest} of 255: {_meaning(largest)}"
    if set(values) <= {0, 255}:
        return "only 0 and 255: a mask without confidences; min_confidence and review_band change nothing"
    return ""


def out_of_reach(criteria: Criteria, camera: str, width_mm: float, height_mm: float) -> list[str]:
    """The classes that can never be a defect in the camera's picture: their least area is more than all of it."""
    region = criteria.recipe.regions.get(camera)
    area_mm2 = width_mm * height_mm if region is None else region.width_mm * region.height_mm
    return [name for name, limit in criteria.limits.items() if limit.min_area_mm2 > area_mm2]


def _meaning(largest: int) -> str:
    return (
        "this looks like a class map or 0-1 mask, not like 255 times a probability" if largest else "it finds nothing"
    )
