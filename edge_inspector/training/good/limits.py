"""Limits from good parts that the net has not seen, with the promise of `calibrate`, and figures by real defects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_inspector.inspection.promise import RejectPromise, promised_by
from edge_inspector.training.good.task import DRAWN
from edge_inspector.training.judging.evidence import Evidence
from edge_inspector.training.judging.limits import Limit, rejected

LEVELS: Final = tuple(round(0.02 * step, 2) for step in range(1, 50))
"""The confidences among which the limit is."""
_SURE: Final = 0.95
_SMALLEST: Final = 12.0
"""Mask pixels. A single cell of features that is unusual covers more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Promised:
    """The limits, and what they promise: at most `false_rejects` of good parts, by `parts` held-out good ones."""

    limits: list[Limit]
    parts: int
    false_rejects: float
    confidence: float
    fewest: int

    def said(self) -> str:
        """The promise in words, and how many good parts the asked one needs."""
        share = f"at most {100 * self.false_rejects:.1f} % of good parts are rejected, {100 * self.confidence:g} % sure"
        more = f". What was asked needs {self.fewest} good parts" if self.parts < self.fewest else ""
        return f"limits from {self.parts} good parts that the net had not seen: {share}{more}"


def promised_limits(folds: Sequence[Evidence], false_rejects: float, stride: int) -> Promised:
    """Limits by held-out good parts alone. Defects, real or drawn, play no part.

    Each good part has one score: the highest confidence at which it has a region that is not too small, and beyond the
    last level the size of this region. The limit lies above the score that is so many places from the top that the
    promise holds. With too few good parts it lies above all, and the promise is what so many can promise.
    """
    promise = RejectPromise(false_rejects, _SURE)
    seen = Evidence.joined(folds)
    areas = seen.areas[~seen.defective, 0]
    may = promise.may_reject(len(areas))
    return Promised(
        limits=[_limit(areas, seen.confidences, may or 0, float(stride**2))],
        parts=len(areas),
        false_rejects=false_rejects if may is not None else promised_by(len(areas), _SURE),
        confidence=_SURE,
        fewest=promise.fewest,
    )


def _limit(areas: NDArray[np.float64], levels: NDArray[np.float64], may: int, pixel: float) -> Limit:
    """`areas` [parts, levels]. At most `may` of the parts lie beyond."""
    floor = _SMALLEST * pixel
    beyond = (areas >= floor).sum(axis=0)
    within = np.flatnonzero(beyond <= may)
    if len(within):
        return Limit(float(levels[within[0]]), floor)
    return Limit(float(levels[-1]), float(np.sort(areas[:, -1])[-1 - may]) + pixel)


def elsewhere_good(folds: Sequence[Evidence], false_rejects: float, stride: int) -> tuple[float, float]:
    """Recall and false rejects on each fold, with limits from the good parts of the other folds."""
    refused, bad = [], []
    for at, fold in enumerate(folds):
        others = [*folds[:at], *folds[at + 1 :]]
        refused.append(rejected(fold, promised_limits(others, false_rejects, stride).limits))
        bad.append(fold.defective)
    every, flawed = np.concatenate(refused), np.concatenate(bad)
    return _share(every[flawed]), _share(every[~flawed])


def without_drawn(seen: Evidence) -> Evidence:
    """The real parts. If none of them is defective, all parts, so that there is something to judge by."""
    real = ~drawn(seen)
    return seen.chosen(np.flatnonzero(real)) if (real & seen.defective).any() else seen


def drawn(seen: Evidence) -> NDArray[np.bool_]:
    """Which parts have drawn defects."""
    return np.asarray(np.char.startswith(seen.names, DRAWN), np.bool_)


def _share(refused: NDArray[np.bool_]) -> float:
    return float(refused.mean()) if refused.size else float("nan")
