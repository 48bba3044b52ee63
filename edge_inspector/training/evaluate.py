"""How good a model file is, by the rule that the line itself judges with.

A part is rejected when, in any view's mask, for any class, the pixels with p >= min_confidence form a connected
region (8-connectivity, at the mask's resolution) of at least min_area_px input pixels.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspector.simulation.tiles import TileLine
from edge_inspector.training.dataset import PATCH, Entry, Image, windows
from edge_inspector.training.nets import STRIDE
from edge_inspector.training.quantize import open_session

CONFIDENCES: Final = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
# Below three mask pixels a region is indistinguishable from a flicker of the quantised sigmoid.
SMALLEST_AREA_PX: Final = 3.0 * STRIDE**2


@dataclass(frozen=True, slots=True)
class View:
    """One frame of a part, with the class map of what is truly there."""

    image: Image
    classes: Image


@dataclass(frozen=True, slots=True)
class Limit:
    """From when on a region of one class counts as a defect."""

    min_confidence: float
    min_area_px: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a model saw on every part, enough to judge it by any limits.

    areas: largest region in input pixels [parts, classes, CONFIDENCES]; true: which classes a part has
    [parts, classes]; overlap and union: pixel counts over all parts [classes, CONFIDENCES].
    """

    classes: tuple[str, ...]
    areas: NDArray[np.float64]
    true: NDArray[np.bool_]
    defective: NDArray[np.bool_]
    overlap: NDArray[np.float64]
    union: NDArray[np.float64]

    def rejected(self, limits: Sequence[Limit]) -> NDArray[np.bool_]:
        """Judge every part."""
        hits = [self.areas[:, k, _level(limit)] >= limit.min_area_px for k, limit in enumerate(limits)]
        return np.asarray(np.any(np.stack(hits), axis=0), np.bool_)


@dataclass(frozen=True, slots=True)
class Score:
    """What limits achieve on the parts seen; class_recall counts a part caught by whatever class."""

    part_recall: float
    false_reject_rate: float
    mean_iou: float
    iou: dict[str, float]
    class_recall: dict[str, float]


def predictor(path: Path) -> Callable[[Image], Image]:
    """Give a function from a frame of any size to its mask [K, H/2, W/2], windows merged by their maximum."""
    session = open_session(path)

    def predict(image: Image) -> Image:
        if image.shape[:2] == (PATCH, PATCH):
            return np.asarray(session.run(None, {"image": image[np.newaxis]})[0][0], np.uint8)
        rows, columns = (-(-side // STRIDE) for side in image.shape[:2])
        merged: Image | None = None
        for top, left, patch in windows(image):
            mask = session.run(None, {"image": patch[np.newaxis]})[0][0]
            if merged is None:
                merged = np.zeros((mask.shape[0], rows, columns), np.uint8)
            place = merged[:, top // STRIDE : top // STRIDE + PATCH, left // STRIDE : left // STRIDE + PATCH]
            place = place[:, : mask.shape[1], : mask.shape[2]]
            np.maximum(place, mask[:, : place.shape[1], : place.shape[2]], out=place)
        if merged is None:
            raise ValueError("an image without pixels has no mask")
        return merged

    return predict


def tile_parts(line: TileLine, parts: int) -> Iterable[list[View]]:
    """Render the line's parts, each as the views of its lanes."""
    clean = np.zeros((PATCH, PATCH), np.uint8)
    for part in range(parts):
        good = not line.defects(part)
        yield [View(line.render(part, lane), clean if good else line.truth(part, lane)) for lane in range(line.lanes)]


def gather(
    predict: Callable[[Image], Image],
    classes: tuple[str, ...],
    parts: Iterable[list[View]],
    labels: Iterable[bool] | None = None,
) -> Evidence:
    """Run the model over parts; `labels` says which are defective where a mask may be missing or empty."""
    shape = (len(classes), len(CONFIDENCES))
    overlap, union = np.zeros(shape), np.zeros(shape)
    areas, true = [], []
    for views in parts:
        largest, present = np.zeros(shape), np.zeros(len(classes), np.bool_)
        for view in views:
            mask = predict(view.image)
            planes = _planes(view.classes, len(classes))
            present |= planes.any(axis=(1, 2))
            for k in range(len(classes)):
                largest[k] = np.maximum(largest[k], _regions(mask[k], planes[k], overlap[k], union[k]))
        areas.append(largest)
        true.append(present)
    found = np.array(true)
    defective = found.any(axis=1) if labels is None else np.fromiter(labels, np.bool_)
    return Evidence(classes, np.array(areas), found, np.asarray(defective, np.bool_), overlap, union)


def entry_views(entries: Iterable[Entry]) -> Iterable[list[View]]:
    """Treat each image as a part with one view."""
    for entry in entries:
        yield [View(entry.image, entry.classes)]


def choose_limits(seen: Evidence, false_reject_budget: float) -> list[Limit]:
    """Choose limits that catch the most defective parts while good parts are rejected within the budget.

    Each class starts with no false reject; then, one at a time, the class that gains most may have one more.
    """
    allowed = [0] * len(seen.classes)
    limits = [_choose(seen, k, 0) for k in range(len(seen.classes))]
    while True:
        steps = [(k, extra) for k in range(len(seen.classes)) for extra in (1, 2, 3)]
        trials = [(k, extra, _replaced(limits, k, _choose(seen, k, allowed[k] + extra))) for k, extra in steps]
        affordable = [trial for trial in trials if _rates(seen, trial[2])[1] <= false_reject_budget]
        caught = _rates(seen, limits)[0]
        best = max(affordable, key=lambda trial: (_rates(seen, trial[2])[0] - caught) / trial[1], default=None)
        if best is None or _rates(seen, best[2])[0] <= caught:
            return limits
        allowed[best[0]] += best[1]
        limits = best[2]


def _replaced(limits: list[Limit], k: int, limit: Limit) -> list[Limit]:
    return [*limits[:k], limit, *limits[k + 1 :]]


def _rates(seen: Evidence, limits: Sequence[Limit]) -> tuple[float, float]:
    """Give recall and false-reject rate."""
    rejected = seen.rejected(limits)
    return float(rejected[seen.defective].mean()), float(rejected[~seen.defective].mean())


def _choose(seen: Evidence, k: int, allowed: int) -> Limit:
    """Choose one class's limit that rejects at most `allowed` good parts.

    Between the largest region on good parts that must pass and the smallest on defective parts that must not, the
    area is set at their geometric mean: as much margin on either side.
    """
    good, bad = np.sort(seen.areas[~seen.defective, k], axis=0), seen.areas[seen.true[:, k], k]
    floors = np.maximum(SMALLEST_AREA_PX, good[-1 - min(allowed, len(good) - 1)] + STRIDE**2)
    # Where a class cannot be told from good parts at all, it must at least not reject those.
    best, best_key = Limit(CONFIDENCES[-1], float(floors[-1])), (-1.0, -1.0)
    for level, confidence in enumerate(CONFIDENCES):
        floor = float(floors[level])
        caught = bad[:, level] >= floor
        if not caught.any():
            continue
        ceiling = float(np.min(bad[caught, level]))
        # Equal recall: the confidence that separates good from bad by the widest ratio.
        key = (float(caught.mean()), ceiling / floor)
        if key > best_key:
            best_key, best = key, Limit(confidence, round(float(np.sqrt(floor * ceiling)), 1))
    return best


def score(seen: Evidence, limits: Sequence[Limit]) -> Score:
    """Apply the limits."""
    rejected, (caught, refused) = seen.rejected(limits), _rates(seen, limits)
    picked = [(k, _level(limit)) for k, limit in enumerate(limits)]
    iou = {seen.classes[k]: float(seen.overlap[k, i] / max(1.0, seen.union[k, i])) for k, i in picked}
    recall = {
        name: float(rejected[seen.true[:, k]].mean()) for k, name in enumerate(seen.classes) if seen.true[:, k].any()
    }
    return Score(
        part_recall=caught,
        false_reject_rate=refused,
        mean_iou=float(np.mean(list(iou.values()))),
        iou=iou,
        class_recall=recall,
    )


def recall_at(seen: Evidence, limits: Sequence[Limit], budgets: Sequence[float]) -> dict[float, float]:
    """Find the best recall at each false-reject rate when all areas are scaled by one factor.

    This sweep looks at the very parts it is measured on: it describes the model, it is no setting to ship.
    """
    points = []
    for factor in np.geomspace(0.02, 50.0, 200):
        scaled = [Limit(limit.min_confidence, limit.min_area_px * float(factor)) for limit in limits]
        points.append(_rates(seen, scaled))
    return {budget: max((recall for recall, rate in points if rate <= budget), default=0.0) for budget in budgets}


def _level(limit: Limit) -> int:
    return CONFIDENCES.index(limit.min_confidence)


def _planes(classes: Image, count: int) -> NDArray[np.bool_]:
    """Class map -> [K, H/2, W/2], true where any of the input pixels is."""
    height, width = classes.shape
    even = np.pad(classes, ((0, height % STRIDE), (0, width % STRIDE)))
    blocks = even.reshape(even.shape[0] // STRIDE, STRIDE, even.shape[1] // STRIDE, STRIDE)
    return np.stack([(blocks == 1 + k).any(axis=(1, 3)) for k in range(count)])


def _regions(
    probability: Image, truth: NDArray[np.bool_], overlap: NDArray[np.float64], union: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Largest region per confidence; adds to the pixel counts in place."""
    largest = np.zeros(len(CONFIDENCES))
    extent = int(truth.sum())
    peak = int(probability.max())
    for level, confidence in enumerate(CONFIDENCES):
        if peak < confidence * 255.0:
            union[level:] += extent
            break
        binary = probability >= confidence * 255.0
        union[level] += int(np.count_nonzero(binary | truth))
        overlap[level] += int(np.count_nonzero(binary & truth))
        stats = cv2.connectedComponentsWithStats(binary.astype(np.uint8), connectivity=8)[2]
        largest[level] = float(stats[1:, cv2.CC_STAT_AREA].max()) * STRIDE**2
    return largest
