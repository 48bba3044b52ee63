"""The quality of a model in a factory's terms: escapes, false rejects, their uncertainty, and recall by size."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_inspector.training.data.folder import LabelledImage
from edge_inspector.training.judging.evidence import Evidence
from edge_inspector.training.judging.limits import Limit, rates, recall_at, rejected, review_share

_RESAMPLES: Final = 500
_TIE_BREAK: Final = 1e-12
"""Per pixel. Even for the largest picture that can be read, the sum is below one step of a peak."""
_SHARE_FROM: Final = 20
"""Parts from which a share says more than the two counts."""
_SEEN: Final = 0.5
"""From this probability on a pixel counts as defective. This judges the masks, not the limits."""

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The results of limits on the measured parts. Rates are shares of 1.

    Intervals hold 95 % of the resamples of whole groups. If all or none of the parts were rejected, every resample is
    identical. The interval then ends at the 95 % bound for zero events in that many groups (1 - 0.05^(1/n)).

    - `class_recall`: a part counts as caught whatever class was found.
    - `average_precision`: parts are ranked by the peak of the class, then by its largest region at the highest
      confidence. "any" ranks by the highest of all classes.
    - `iou`, `mean_iou`: at p >= 0.5, over the defect classes that occur.
    - `binary_mean_iou`: over "flawed", of any class, and "sound", as in much of the literature.
    """

    parts: int
    defective: int
    groups: int
    part_recall: float
    part_recall_95: Interval
    escapes: int
    false_reject_rate: float
    false_reject_rate_95: Interval
    false_rejects: int
    recall_at_2_percent: float
    review_share: float
    mean_iou: float
    binary_mean_iou: float
    iou: dict[str, float]
    average_precision: dict[str, float]
    class_recall: dict[str, float]
    size_recall: dict[str, float]


def figures(seen: Evidence, classes: Sequence[str], limits: Sequence[Limit], seed: int = 1) -> Figures:
    """Apply the limits and count."""
    refused, bad = rejected(seen, limits), seen.defective
    caught, wrong = rates(seen, limits)
    overlaps = iou(seen, classes)
    spread = bootstrap(seen, lambda some: rates(some, limits), seed)
    return Figures(
        parts=len(bad),
        defective=int(bad.sum()),
        groups=len(set(seen.groups)),
        part_recall=caught,
        part_recall_95=_widened(spread[0], seen.groups[bad]),
        escapes=int((bad & ~refused).sum()),
        false_reject_rate=wrong,
        false_reject_rate_95=_widened(spread[1], seen.groups[~bad]),
        false_rejects=int((~bad & refused).sum()),
        recall_at_2_percent=recall_at(seen, limits, 0.02),
        review_share=review_share(seen, limits),
        mean_iou=float(np.mean(list(overlaps.values()))) if overlaps else float("nan"),
        binary_mean_iou=_binary_mean_iou(seen),
        iou=overlaps,
        average_precision=_average_precisions(seen, classes),
        class_recall={
            name: float(refused[seen.true[:, k]].mean()) for k, name in enumerate(classes) if seen.true[:, k].any()
        },
        size_recall=_by_size(seen, refused),
    )


def counted(some: int, of: int) -> str:
    """A count, with its share where there are enough to speak of one: 0 of 1 is not 0.000."""
    return f"{some} of {of}" + (f" ({some / of:.3f})" if of >= _SHARE_FROM else "")


def iou(seen: Evidence, classes: Sequence[str]) -> dict[str, float]:
    """Overlap over union for each class that occurs, over all pixels of all parts. Empty if no mask is known."""
    if without_masks(seen):
        return {}
    level = int(np.searchsorted(seen.confidences, _SEEN - 1e-9))
    overlap, union = seen.overlap[:, :, level].sum(axis=0), seen.union[:, :, level].sum(axis=0)
    return {name: float(overlap[k] / max(1.0, union[k])) for k, name in enumerate(classes) if seen.true[:, k].any()}


def without_masks(seen: Evidence) -> bool:
    """Whether only labels say which parts are defective."""
    return bool(seen.true.any()) and not (seen.sizes > 0).any()


def _binary_mean_iou(seen: Evidence) -> float:
    if without_masks(seen):
        return float("nan")
    overlap, union, everything = seen.binary.sum(axis=0)
    sound = (everything - union) / max(1.0, everything - overlap)
    return float(overlap / max(1.0, union) + sound) / 2.0


def bootstrap(
    seen: Evidence, measure: Callable[[Evidence], Sequence[float]], seed: int, resamples: int = _RESAMPLES
) -> list[Interval]:
    """The interval of 95 % of a measure's values when whole groups are drawn again with replacement."""
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(seen.groups == group) for group in sorted(set(seen.groups))]
    values = []
    for _ in range(resamples):
        drawn = rng.integers(len(members), size=len(members))
        values.append(measure(seen.chosen(np.concatenate([members[one] for one in drawn]))))
    table = np.array(values, np.float64)
    return [_interval(column[~np.isnan(column)]) for column in table.T]


def _interval(column: NDArray[np.float64]) -> Interval:
    if not column.size:
        return float("nan"), float("nan")
    low, high = np.percentile(column, (2.5, 97.5))
    return float(low), float(high)


def _widened(found: Interval, groups: NDArray[np.str_]) -> Interval:
    """Widen an interval at 0 or 1. None of 16 is not 0 %: the true rate may still be 17 %."""
    if found not in {(0.0, 0.0), (1.0, 1.0)}:
        return found
    unseen = 1.0 - 0.05 ** (1.0 / len(set(groups)))
    return (0.0, unseen) if found[0] == 0.0 else (1.0 - unseen, 1.0)


def _average_precisions(seen: Evidence, classes: Sequence[str]) -> dict[str, float]:
    # Eight bits end at 1. Among parts with the highest probability, the larger region ranks first.
    ranks = seen.peaks + _TIE_BREAK * seen.areas[:, :, -1]
    found = {name: average_precision(ranks[:, k], seen.true[:, k]) for k, name in enumerate(classes)}
    return {**found, "any": average_precision(ranks.max(axis=1), seen.defective)}


def average_precision(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Mean precision over the positives, ranked by score. Ties count against us. nan without a positive."""
    if not positive.any():
        return float("nan")
    order = np.lexsort((positive, -scores))
    hits = positive[order]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(precision[hits].mean())


def _by_size(seen: Evidence, refused: NDArray[np.bool_]) -> dict[str, float]:
    """Recall by the part's largest defect, in four bins of equal count."""
    known = seen.defective & (seen.sizes > 0)
    if not known.any():
        return {}
    edges = np.unique(np.quantile(seen.sizes[known], (0.0, 0.25, 0.5, 0.75, 1.0)))
    found = {}
    for position, (low, high) in enumerate(itertools.pairwise(edges)):
        last = position == len(edges) - 2
        inside = known & (seen.sizes >= low) & ((seen.sizes <= high) if last else (seen.sizes < high))
        if inside.any():
            found[f"{low:.0f}-{high:.0f} px"] = float(refused[inside].mean())
    return found


def human_level(entries: Iterable[LabelledImage], classes: Sequence[str]) -> dict[str, float]:
    """Overlap over union between the two annotators per class, for images that have both. Empty without any."""
    overlap, union = np.zeros(len(classes)), np.zeros(len(classes))
    for entry in entries:
        second = entry.second_classes
        if second is None:
            continue
        for k in range(len(classes)):
            one, other = entry.classes == 1 + k, second == 1 + k
            overlap[k] += int((one & other).sum())
            union[k] += int((one | other).sum())
    return {name: float(overlap[k] / union[k]) for k, name in enumerate(classes) if union[k]}
