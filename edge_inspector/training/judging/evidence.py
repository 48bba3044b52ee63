"""The results of a model on every part. They are enough to choose limits, and to judge the model with any limits.

A part is rejected if, in any view's mask and for any class, the pixels with p >= min_confidence form a connected region
(8-connectivity, at the mask's resolution) of at least min_area_px input pixels. This is the rule of the line.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.store.whole_file import draft_of
from edge_inspector.training.data.folder import Image, LabelledImage

CONFIDENCES: Final = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""The confidences from which limits are chosen."""

Predict: TypeAlias = Callable[[Image], Image]
"""From a frame of any size to its mask [K, H/stride, W/stride]."""

Seen: TypeAlias = list[tuple[object, ...]]
"""What each model makes of one part, as a row of `Evidence`."""


@dataclass(frozen=True, slots=True)
class TrueView:
    """One frame of a part, with the class map of the true defects, and that of a second annotator if there is one."""

    image: Image
    classes: Image
    name: str = ""
    second: Image | None = None


@dataclass(frozen=True, slots=True)
class TruePart:
    """All views of one part. Resampling draws whole groups, so parts with the same `group` stay together.

    `labelled` has the indices of the classes that labels of whole pictures name. Masks may be missing then.
    """

    name: str
    group: str
    defective: bool
    views: list[TrueView]
    labelled: tuple[int, ...] = ()


Watch: TypeAlias = Callable[[TruePart, Sequence[Image]], None]
"""Gets each part and the masks of its views, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The results of a model, part by part.

    - `confidences`: the levels at which regions were measured, rising [levels].
    - `areas`: the largest region in input pixels [parts, classes, levels].
    - `peaks`: the highest probability of a 3 x 3 of mask pixels [parts, classes].
    - `true`: which classes a part has [parts, classes].
    - `sizes`: its largest true defect in input pixels [parts]. 0 for all of them if no mask is known.
    - `overlap`, `union`: pixel counts per part [parts, classes, levels].
    - `binary`: counts of defective pixels at p >= 0.5, of any class: overlap, union and all mask pixels [parts, 3].
    """

    names: NDArray[np.str_]
    groups: NDArray[np.str_]
    areas: NDArray[np.float64]
    peaks: NDArray[np.float64]
    true: NDArray[np.bool_]
    defective: NDArray[np.bool_]
    sizes: NDArray[np.float64]
    overlap: NDArray[np.float64]
    union: NDArray[np.float64]
    binary: NDArray[np.float64]
    confidences: NDArray[np.float64] = field(default_factory=lambda: np.array(CONFIDENCES))

    def save(self, path: Path) -> None:
        """Write it as .npz. After a power cut there is no file or the whole file."""
        with draft_of(path) as draft, draft.open("wb") as file:
            np.savez_compressed(file, **{field.name: getattr(self, field.name) for field in fields(self)})

    @staticmethod
    def load(path: Path) -> "Evidence":
        """Read a file that `save` wrote."""
        with np.load(path, allow_pickle=False) as parts:
            return Evidence(**{name: parts[name] for name in parts.files})

    @staticmethod
    def joined(several: Sequence["Evidence"]) -> "Evidence":
        """Evidence of several folds as one."""
        return replace(
            several[0], **{name: np.concatenate([getattr(one, name) for one in several]) for name in _BY_PART}
        )

    def at(self, level: int) -> "Evidence":
        """The evidence at one of its confidences."""
        one = slice(level, level + 1)
        regions = {name: getattr(self, name)[:, :, one] for name in ("areas", "overlap", "union")}
        return replace(self, **regions, confidences=self.confidences[one])

    def chosen(self, which: NDArray[np.intp]) -> "Evidence":
        """The evidence of the given parts, in the given order. An index may be repeated."""
        return replace(self, **{name: getattr(self, name)[which] for name in _BY_PART})


_BY_PART: Final = tuple(field.name for field in fields(Evidence) if field.name != "confidences")


def entry_parts(entries: Iterable[LabelledImage]) -> Iterator[TruePart]:
    """Images of a folder as parts. Images with the same part are its views."""
    parts: dict[str, list[LabelledImage]] = {}
    for entry in entries:
        parts.setdefault(entry.part, []).append(entry)
    for name, views in parts.items():
        bad = any(view.defective for view in views)
        named = tuple(sorted({index - 1 for view in views for index in view.labelled}))
        yield TruePart(name, views[0].group, bad, [_true_view(view) for view in views], named)


def _true_view(view: LabelledImage) -> TrueView:
    return TrueView(view.image, view.classes, view.name, view.second_classes)


def gather(
    predict: Predict,
    *,
    classes: int,
    stride: int,
    parts: Iterable[TruePart],
    confidences: Sequence[float] = CONFIDENCES,
    workers: int = 1,
    watch: Watch | None = None,
) -> Evidence:
    """Run a model over parts. `confidences` must rise. `predict` is called by so many `workers` at the same time.

    `watch` is called by the same workers.
    """
    return gather_each(
        [predict],
        classes=classes,
        stride=stride,
        parts=parts,
        confidences=confidences,
        workers=workers,
        watch=watch,
    )[0]


def gather_each(
    predicts: Sequence[Predict],
    *,
    classes: int,
    stride: int,
    parts: Iterable[TruePart],
    confidences: Sequence[float] = CONFIDENCES,
    workers: int = 1,
    watch: Watch | None = None,
) -> list[Evidence]:
    """Run several models, or one on several runtimes, over the same parts. Each part is read only once.

    Raises ConfigError if there is no part.
    """

    def seen_by_each(part: TruePart) -> Seen:
        return [
            _seen(predict, classes=classes, stride=stride, part=part, confidences=confidences, watch=watch)
            for predict in predicts
        ]

    rows = list(_in_order(seen_by_each, parts, workers))
    if not rows:
        raise ConfigError([Fault("DATA", "has no part to judge by")])
    return [_tabled(list(seen), confidences) for seen in zip(*rows, strict=True)]


def _in_order(work: Callable[[TruePart], Seen], parts: Iterable[TruePart], workers: int) -> Iterator[Seen]:
    """The work on each part, in order. Parts are read while others are worked on, and few of them at a time."""
    if workers == 1:
        yield from map(work, parts)
        return
    waiting: deque[Future[Seen]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for part in parts:
            waiting.append(pool.submit(work, part))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _tabled(seen: list[tuple[object, ...]], confidences: Sequence[float]) -> Evidence:
    names, groups, areas, peaks, true, defective, sizes, overlap, union, binary = zip(*seen, strict=True)
    return Evidence(
        names=np.array(names),
        groups=np.array(groups),
        areas=np.array(areas),
        peaks=np.array(peaks),
        true=np.array(true),
        defective=np.array(defective, np.bool_),
        sizes=np.array(sizes),
        overlap=np.array(overlap),
        union=np.array(union),
        binary=np.array(binary),
        confidences=np.array(confidences),
    )


def _seen(
    predict: Predict,
    *,
    classes: int,
    stride: int,
    part: TruePart,
    confidences: Sequence[float],
    watch: Watch | None,
) -> tuple[object, ...]:
    shape = (classes, len(confidences))
    areas, overlap, union = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    peaks, present, size = np.zeros(classes), np.zeros(classes, np.bool_), 0.0
    binary = np.zeros(3)
    present[list(part.labelled)] = True
    masks = [predict(view.image) for view in part.views]
    if watch is not None:
        watch(part, masks)
    for view, mask in zip(part.views, masks, strict=True):
        planes = truth_planes(view.classes, classes, stride)
        present |= planes.any(axis=(1, 2))
        flawed = planes.any(axis=0)
        size = max(size, largest_region(np.asarray(flawed, np.uint8)) * stride**2)
        found = mask.max(axis=0) >= 0.5 * 255.0
        drawn = not part.labelled or bool(flawed.any())  # a label alone says nothing about the pixels
        if drawn:
            binary += [float(count) for count in ((found & flawed).sum(), (found | flawed).sum(), flawed.size)]
        for k in range(classes):
            peaks[k] = max(peaks[k], float(cv2.blur(mask[k], (3, 3)).max()) / 255.0)
            counts = (overlap[k], union[k]) if drawn else (np.zeros(shape[1]), np.zeros(shape[1]))
            largest = _regions(mask[k], planes[k], confidences=confidences, overlap=counts[0], union=counts[1])
            areas[k] = np.maximum(areas[k], largest * stride**2)
    return part.name, part.group, areas, peaks, present, part.defective, size, overlap, union, binary


def truth_planes(classes: Image, count: int, stride: int) -> NDArray[np.bool_]:
    """Class map -> [K, H/stride, W/stride], true if any of the input pixels is."""
    height, width = classes.shape
    even = np.pad(classes, ((0, -height % stride), (0, -width % stride)))
    blocks = even.reshape(even.shape[0] // stride, stride, even.shape[1] // stride, stride)
    return np.stack([(blocks == 1 + k).any(axis=(1, 3)) for k in range(count)])


def _regions(
    probability: Image,
    truth: NDArray[np.bool_],
    *,
    confidences: Sequence[float],
    overlap: NDArray[np.float64],
    union: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Largest region per confidence, in mask pixels. Adds to the pixel counts in place."""
    largest = np.zeros(len(confidences))
    extent, peak = int(truth.sum()), int(probability.max())
    for level, confidence in enumerate(confidences):
        if peak < confidence * 255.0:
            union[level:] += extent
            break
        binary = probability >= confidence * 255.0
        union[level] += int(np.count_nonzero(binary | truth))
        overlap[level] += int(np.count_nonzero(binary & truth))
        largest[level] = largest_region(binary.astype(np.uint8))
    return largest


def largest_region(binary: Image) -> float:
    """Pixels of the largest region (8-connectivity)."""
    stats = cv2.connectedComponentsWithStats(binary, connectivity=8)[2]
    return float(stats[1:, cv2.CC_STAT_AREA].max()) if len(stats) > 1 else 0.0
