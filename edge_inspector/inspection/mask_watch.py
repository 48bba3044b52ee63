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
_INVALID = "255 everywhere, in every class: its numbers are invalid (NaN), and no part can be inspected"


class MaskWatch:
    """Takes the largest value of each mask, 0..255.

    A good model may give very low values for many good parts. Therefore there is no complaint if the model gave higher
    values for pictures full of edges, or if a limit counts such low values.
    """

    def __init__(self, model: ModelInfo) -> None:
        self._loudest = max(model.values, default=255)
        self._blind = model.blind
        self._proven = model.proven
        self._masks = 0

    def see(self, largest: int) -> None:
        """Take the largest value of one mask."""
        self._loudest = max(self._loudest, largest)
        self._masks += 1

    def complaint(self, in_use: Collection[Criteria]) -> str:
        """Why no part can be found defective. "" if nothing indicates that, or too few masks were seen to say so."""
        if not self._quiet(in_use):
            return ""
        if self._blind:
            return self._blind
        if self._masks < _PATIENCE:
            return ""
        return f"no value above {self._loudest} of 255 in {self._masks} masks: {_meaning(self._loudest)}"

    def distrust(self, in_use: Collection[Criteria]) -> str:
        """Why a mask without defects proves nothing, so that no part may be accepted. "" if it does.

        It takes no patience: no mask, and no picture full of edges, has shown yet that the model can say something. One
        that found known defects is believed, unless its file shows that it cannot.
        """
        if not self._quiet(in_use) or (self._proven and not self._blind):
            return ""
        return self.complaint(in_use) or f"no value above {self._loudest} of 255 up to now: {_meaning(self._loudest)}"

    def _quiet(self, in_use: Collection[Criteria]) -> bool:
        if self._loudest > FEW:  # as with nearly every mask of a good model
            return False
        counts = min((level(limit) for each in in_use for limit in each.limits.values()), default=0.0)
        return self._loudest < counts


def remarks(model: ModelInfo) -> list[str]:
    """Doubts about a loaded model before it has seen a part, for a person to check. `blind` is not among them."""
    what = "" if model.blind or not model.values else _INVALID if model.values == {255} else told_of(model.values)
    seen = f"in pictures full of edges, lines and blobs: {what}" if what else ""
    return [each for each in (model.doubt, seen) if each]


def advice(model: ModelInfo) -> str:
    """What to do about a model that is not believed yet, although its file shows no fault. "" if it is."""
    if model.blind or model.proven or max(model.values, default=255) > FEW:
        return ""
    return (
        "no part is inspected until it has found something: score it with `edge-inspector model evaluate` on parts "
        "that are known to be bad, or put one through the line"
    )


def invalid(model: ModelInfo) -> str:
    """Why no mask of the model can be used. "" if nothing indicates that."""
    return f"in test pictures its masks are {_INVALID}" if model.values == {255} else ""


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
