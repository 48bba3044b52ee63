"""Chooses limits from the results of a model, and judges parts with them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.inspection.promise import RejectPromise
from edge_inspector.training.judging.evidence import CONFIDENCES, Evidence

# A region of fewer than three mask pixels cannot be told from a flicker of the quantised sigmoid.
_SMALLEST_REGION: Final = 3.0
_SCALES: Final = np.geomspace(0.02, 50.0, 200)
_REVIEW_FACTOR: Final = 2.0
"""A part needs a second look if limits twice or half as large would change its verdict."""


@dataclass(frozen=True, slots=True)
class Limit:
    """The limits from which a region of one class counts as a defect."""

    min_confidence: float
    min_area_px: float


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of each mistake, and how many of a hundred parts are defective on this line."""

    escape: float
    false_reject: float
    defect_rate: float


def rejected(seen: Evidence, limits: Sequence[Limit]) -> NDArray[np.bool_]:
    """The verdict on every part. Even with a minimum area of 0 there must be a region."""
    areas = np.stack([seen.areas[:, k, level_of(seen, limit)] for k, limit in enumerate(limits)])
    least = np.array([[limit.min_area_px] for limit in limits])
    return np.asarray(((areas > 0) & (areas >= least)).any(axis=0), np.bool_)


def rates(seen: Evidence, limits: Sequence[Limit]) -> tuple[float, float]:
    """Recall and false-reject rate. nan if there are no such parts."""
    return _rates(rejected(seen, limits), seen.defective)


def _rates(refused: NDArray[np.bool_], defective: NDArray[np.bool_]) -> tuple[float, float]:
    bad, good = refused[defective], refused[~defective]
    return float(bad.mean()) if bad.size else float("nan"), float(good.mean()) if good.size else float("nan")


def review_share(seen: Evidence, limits: Sequence[Limit]) -> float:
    """The share of parts for a second look."""
    loose, strict = (rejected(seen, scaled(limits, factor)) for factor in (1 / _REVIEW_FACTOR, _REVIEW_FACTOR))
    return float((loose != strict).mean())


def confidences_with(limits: Sequence[Limit]) -> tuple[float, ...]:
    """The confidences at which to gather evidence, so that these limits judge exactly as on a line."""
    return tuple(sorted({*CONFIDENCES, *(limit.min_confidence for limit in limits)}))


def level_of(seen: Evidence, limit: Limit) -> int:
    """The index of a limit's confidence in the evidence, or of the next higher one."""
    levels = seen.confidences
    return min(int(np.searchsorted(levels, limit.min_confidence - 1e-9)), len(levels) - 1)


def choose_limits(folds: Sequence[Evidence], budget: float, stride: int) -> list[Limit]:
    """Limits that catch the most defective parts while the share of good parts rejected is within the budget.

    All classes share one confidence. It is chosen by cross-validation: limits are fitted on all folds but one and
    scored on that one. With a confidence per class, limits fitted only the folds that they were chosen on (decision
    0042).
    """
    seen = Evidence.joined(folds)

    def standing(level: int) -> tuple[bool, float, float]:
        at_level = [fold.at(level) for fold in folds]
        caught, refused = np.nan_to_num(
            elsewhere(at_level, lambda others: _areas(Evidence.joined(others), budget, stride))
        )
        within = bool(refused <= budget)
        unsure = review_share(seen, _areas(seen.at(level), budget, stride))
        return within, caught if within else -refused, -unsure

    return _areas(seen.at(max(range(len(seen.confidences)), key=standing)), budget, stride)


def limits_of_good(seen: Evidence, before: Sequence[Limit], promise: RejectPromise, stride: int) -> list[Limit] | None:
    """Limits from good parts alone, as `edge-inspector calibrate` has them. None if there are too few for the promise.

    All areas of `before` change by one factor, and its confidences stay. So a good part has one score: the largest
    factor at which it is still rejected.
    """
    areas = np.stack([seen.areas[~seen.defective, k, level_of(seen, each)] for k, each in enumerate(before)], axis=1)
    allowed = promise.may_reject(len(areas))
    if allowed is None:
        return None
    pixel = float(stride**2)
    sizes = np.array([max(each.min_area_px, pixel) for each in before])
    factor = float(np.sort((areas / sizes).max(axis=1))[-1 - allowed])
    # Areas are whole mask pixels. So half of one more passes this region and no larger one.
    least = np.maximum(factor * sizes, (_SMALLEST_REGION - 1) * pixel) + pixel / 2
    return [Limit(each.min_confidence, float(area)) for each, area in zip(before, least, strict=True)]


def elsewhere(
    folds: Sequence[Evidence], choose: Callable[[Sequence[Evidence]], Sequence[Limit]]
) -> tuple[float, float]:
    """Recall and false-reject rate on each fold, with limits chosen on the other folds. A single fold judges itself."""
    refused, bad = [], []
    for index, fold in enumerate(folds):
        others = [*folds[:index], *folds[index + 1 :]] or [fold]
        refused.append(rejected(fold, choose(others)))
        bad.append(fold.defective)
    return _rates(np.concatenate(refused), np.concatenate(bad))


def _areas(seen: Evidence, budget: float, stride: int) -> list[Limit]:
    """Limits at the one confidence of the evidence.

    Each class starts without a false reject. Then, step by step, the class that gains most may have one more.
    """
    count = seen.true.shape[1]
    allowed = [0] * count
    limits = [_choose(seen, k, 0, stride) for k in range(count)]
    while True:
        steps = [(k, extra) for k in range(count) for extra in (1, 2, 3)]
        trials = [(k, extra, _replaced(limits, k, _choose(seen, k, allowed[k] + extra, stride))) for k, extra in steps]
        affordable = [trial for trial in trials if rates(seen, trial[2])[1] <= budget]
        caught = rates(seen, limits)[0]
        best = max(affordable, key=lambda trial: (rates(seen, trial[2])[0] - caught) / trial[1], default=None)
        # Without a defective part both are nan, so nothing is gained either.
        if best is None or not rates(seen, best[2])[0] > caught:
            return limits
        allowed[best[0]] += best[1]
        limits = best[2]


def cheapest(seen: Evidence, limits: Sequence[Limit], cost: Cost) -> tuple[list[Limit], float]:
    """The limits with all areas scaled by the one factor that costs least per part, and this cost.

    Raises ConfigError.
    """
    if seen.defective.all() or not seen.defective.any():
        raise ConfigError([Fault("--cost", "needs good parts and defective ones: these are all of one kind")])

    def expense(factor: float) -> float:
        recall, refused = rates(seen, scaled(limits, factor))
        share = cost.defect_rate
        return share * (1.0 - recall) * cost.escape + (1.0 - share) * refused * cost.false_reject

    prices = np.array([expense(float(factor)) for factor in _SCALES])
    # The middle of the cheapest range leaves the same margin on both sides.
    best = np.flatnonzero(prices <= prices.min() + 1e-12)
    factor = float(_SCALES[best[len(best) // 2]])
    return scaled(limits, factor), float(prices.min())


def scaled(limits: Sequence[Limit], factor: float) -> list[Limit]:
    """The same limits with all areas multiplied by a factor."""
    return [Limit(limit.min_confidence, limit.min_area_px * factor) for limit in limits]


def recall_at(seen: Evidence, limits: Sequence[Limit], budget: float) -> float:
    """The best recall within a false-reject rate when all areas are scaled by one factor.

    The factor is chosen on the same parts that it is measured on. So the figure describes the model and is no setting
    to ship.
    """
    points = [rates(seen, scaled(limits, float(factor))) for factor in _SCALES]
    return max((recall for recall, refused in points if refused <= budget), default=0.0)


def _replaced(limits: list[Limit], k: int, limit: Limit) -> list[Limit]:
    return [*limits[:k], limit, *limits[k + 1 :]]


def _choose(seen: Evidence, k: int, allowed: int, stride: int) -> Limit:
    """One class's limit, at the one confidence of the evidence, that rejects at most `allowed` good parts.

    The area is the geometric mean of two regions: the largest on good parts that must pass, and the smallest on
    defective parts that must not pass. So the margin is the same on both sides.
    """
    good, bad = np.sort(seen.areas[~seen.defective, k, 0]), seen.areas[seen.true[:, k], k, 0]
    pixel = float(stride**2)
    floor = _SMALLEST_REGION * pixel
    if len(good):
        floor = max(floor, float(good[-1 - min(allowed, len(good) - 1)]) + pixel)
    # If a class cannot be told from good parts at all, it must at least not reject those.
    ceiling = float(np.min(bad[bad >= floor], initial=np.inf))
    area = floor if np.isinf(ceiling) else round(float(np.sqrt(floor * ceiling)), 1)
    return Limit(float(seen.confidences[0]), area)
