"""From what a model saw to the limits that it is judged by."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.training.judging.evidence import CONFIDENCES, Evidence

# Below three mask pixels a region is indistinguishable from a flicker of the quantised sigmoid.
_SMALLEST_REGION: Final = 3.0
_SCALES: Final = np.geomspace(0.02, 50.0, 200)


@dataclass(frozen=True, slots=True)
class Limit:
    """From when on a region of one class counts as a defect."""

    min_confidence: float
    min_area_px: float


@dataclass(frozen=True, slots=True)
class Cost:
    """What a mistake costs, and how many of a hundred parts are defective on this line."""

    escape: float
    false_reject: float
    defect_rate: float


def rejected(seen: Evidence, limits: Sequence[Limit]) -> NDArray[np.bool_]:
    """The verdict on every part; where no area is asked for, there must be a region all the same."""
    areas = np.stack([seen.areas[:, k, level_of(seen, limit)] for k, limit in enumerate(limits)])
    least = np.array([[limit.min_area_px] for limit in limits])
    return np.asarray(((areas > 0) & (areas >= least)).any(axis=0), np.bool_)


def rates(seen: Evidence, limits: Sequence[Limit]) -> tuple[float, float]:
    """Recall and false-reject rate; nan where there is nothing to take it from."""
    refused = rejected(seen, limits)
    bad, good = refused[seen.defective], refused[~seen.defective]
    return float(bad.mean()) if bad.size else float("nan"), float(good.mean()) if good.size else float("nan")


def confidences_with(limits: Sequence[Limit]) -> tuple[float, ...]:
    """What evidence is to be gathered at, so that these limits judge exactly as they do on a line."""
    return tuple(sorted({*CONFIDENCES, *(limit.min_confidence for limit in limits)}))


def level_of(seen: Evidence, limit: Limit) -> int:
    """Where a limit's confidence lies in those of the evidence, the next higher one if it is none of them."""
    levels = seen.confidences
    return min(int(np.searchsorted(levels, limit.min_confidence - 1e-9)), len(levels) - 1)


def choose_limits(seen: Evidence, false_reject_budget: float, stride: int) -> list[Limit]:
    """Limits that catch the most defective parts while good parts are rejected within the budget.

    Each class starts with no false reject; then, one at a time, the class that gains most may have one more.
    """
    count = seen.true.shape[1]
    allowed = [0] * count
    limits = [_choose(seen, k, 0, stride) for k in range(count)]
    while True:
        steps = [(k, extra) for k in range(count) for extra in (1, 2, 3)]
        trials = [(k, extra, _replaced(limits, k, _choose(seen, k, allowed[k] + extra, stride))) for k, extra in steps]
        affordable = [trial for trial in trials if rates(seen, trial[2])[1] <= false_reject_budget]
        caught = rates(seen, limits)[0]
        best = max(affordable, key=lambda trial: (rates(seen, trial[2])[0] - caught) / trial[1], default=None)
        # Without a defective part both are nan, and nothing is gained either.
        if best is None or not rates(seen, best[2])[0] > caught:
            return limits
        allowed[best[0]] += best[1]
        limits = best[2]


def cheapest(seen: Evidence, limits: Sequence[Limit], cost: Cost) -> tuple[list[Limit], float]:
    """All areas scaled by the one factor that costs least per part, and that cost. Raises ConfigError."""
    if seen.defective.all() or not seen.defective.any():
        raise ConfigError([Fault("--cost", "needs good parts and defective ones: these are all of one kind")])

    def expense(factor: float) -> float:
        recall, refused = rates(seen, scaled(limits, factor))
        share = cost.defect_rate
        return share * (1.0 - recall) * cost.escape + (1.0 - share) * refused * cost.false_reject

    prices = np.array([expense(float(factor)) for factor in _SCALES])
    # The middle of the cheapest stretch leaves as much margin on either side.
    best = np.flatnonzero(prices <= prices.min() + 1e-12)
    factor = float(_SCALES[best[len(best) // 2]])
    return scaled(limits, factor), float(prices.min())


def scaled(limits: Sequence[Limit], factor: float) -> list[Limit]:
    """The same limits with all areas times a factor."""
    return [Limit(limit.min_confidence, limit.min_area_px * factor) for limit in limits]


def recall_at(seen: Evidence, limits: Sequence[Limit], budget: float) -> float:
    """The best recall within a false-reject rate when all areas are scaled by one factor.

    This looks at the very parts it is measured on: it describes the model, it is no setting to ship.
    """
    points = [rates(seen, scaled(limits, float(factor))) for factor in _SCALES]
    return max((recall for recall, refused in points if refused <= budget), default=0.0)


def _replaced(limits: list[Limit], k: int, limit: Limit) -> list[Limit]:
    return [*limits[:k], limit, *limits[k + 1 :]]


def _choose(seen: Evidence, k: int, allowed: int, stride: int) -> Limit:
    """One class's limit that rejects at most `allowed` good parts.

    Between the largest region on good parts that must pass and the smallest on defective parts that must not, the
    area is set at their geometric mean: as much margin on either side.
    """
    good, bad = np.sort(seen.areas[~seen.defective, k], axis=0), seen.areas[seen.true[:, k], k]
    pixel = float(stride**2)
    floors = np.full(len(seen.confidences), _SMALLEST_REGION * pixel)
    if len(good):
        floors = np.maximum(floors, good[-1 - min(allowed, len(good) - 1)] + pixel)
    # Where a class cannot be told from good parts at all, it must at least not reject those.
    best, best_key = Limit(float(seen.confidences[-1]), float(floors[-1])), (-1.0, -1.0)
    for level, confidence in enumerate(seen.confidences):
        floor = float(floors[level])
        caught = bad[:, level] >= floor
        if not caught.any():
            continue
        ceiling = float(np.min(bad[caught, level]))
        # Equal recall: the confidence that separates good from bad by the widest ratio.
        key = (float(caught.mean()), ceiling / floor)
        if key > best_key:
            best_key, best = key, Limit(float(confidence), round(float(np.sqrt(floor * ceiling)), 1))
    return best
