"""Whether a model can report a defect at all.

Its masks should hold 255 times a probability. A wrong export may put something else into them.
"""

from __future__ import annotations

from collections.abc import Collection

from edge_inspector.inspection.areas import largest_mm2
from edge_inspector.inspection.defects import level
from edge_inspector.inspection.recipe import Criteria
from edge_inspector.records import ModelInfo

FEW = 10
"""Masks with values up to this only, of 255, hold class numbers or zeros and ones instead of probabilities."""

_PATIENCE = 20


class MaskWatch:
    """Takes the largest value of each mask, 0..255.

    A good model may give very low values for many good parts. Therefore there is no complaint if the model gave higher
    values for pictures full of edges, or if a limit counts such low values.
    """

    def __init__(self, model: ModelInfo) -> None:
        self._loudest = max(model.values, default=255)
        self._blind = model.blind
        self._masks = 0

    def see(self, largest: int) -> None:
        """Take the largest value of one mask."""
        self._loudest = max(self._loudest, largest)
        self._masks += 1

    def complaint(self, in_use: Collection[Criteria]) -> str:
        """Why no part can be found defective. "" if nothing indicates that."""
        if self._loudest > FEW:  # as with nearly every mask of a good model
            return ""
        counts = min((level(limit) for each in in_use for limit in each.limits.values()), default=0.0)
        if self._loudest >= counts:
            return ""
        if self._blind:
            return self._blind
        if self._masks < _PATIENCE:
            return ""
        return f"no value above {self._loudest} of 255 in {self._masks} masks: {_meaning(self._loudest)}"


def remarks(model: ModelInfo) -> list[str]:
    """Doubts about a loaded model before it has seen a part, for a person to check. `blind` is not among them."""
    what = "" if model.blind or not model.values else told_of(model.values)
    seen = f"in pictures full of edges, lines and blobs: {what}" if what else ""
    return [each for each in (model.doubt, seen) if each]


def told_of(values: Collection[int]) -> str:
    """A description of masks that hold only these values. "" if they look like probabilities."""
    largest = max(values, default=0)
    if largest <= FEW:
        return f"largest value {largest} of 255: {_meaning(largest)}"
    if set(values) <= {0, 255}:
        return "only 0 and 255: a mask without confidences. min_confidence and review_band have no effect"
    return ""


def out_of_reach(criteria: Criteria, camera: str, width_mm: float, height_mm: float) -> list[str]:
    """The classes that can never be a defect for this camera: their `min_area_mm2` exceeds the inspected area."""
    area_mm2 = largest_mm2((width_mm, height_mm), criteria.recipe.areas(camera))
    return [name for name, limit in criteria.limits.items() if limit.min_area_mm2 > area_mm2]


def _meaning(largest: int) -> str:
    return (
        "this looks like a class map or 0-1 mask, not like 255 times a probability" if largest else "it finds nothing"
    )
