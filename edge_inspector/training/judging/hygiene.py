"""Which labels are probably wrong, by nets that did not learn from the picture in question.

Two questions are asked, and each becomes a probability:

- Does the picture show a defect? Asked of good pictures, and of bad ones beside their drawn defects.
- Is there anything where a defect is drawn? The answer is compared with masks of bad pictures that were laid on good
  ones, where nothing is.

Both are logistic regressions on a few figures, over all held-out pictures. How often labels are wrong is estimated
along with them, so clean data get few accusations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspector.store.whole_file import draft_of
from edge_inspector.training.data.folder import Image
from edge_inspector.training.judging.evidence import TruePart, largest_region, truth_planes

Floats = NDArray[np.float64]

FEWEST: Final = 10
"""Good and bad pictures each, below which nothing is said."""
_LEVELS: Final = (0.3, 0.5, 0.7, 0.9)
_RIM_PX: Final = 5
"""Mask pixels around a drawn defect that still belong to it: nobody draws an outline exactly."""
_RING_PX: Final = (3, 15)
_ROUNDS: Final = 150
_WRONG_MOST: Final = 0.3
"""Share of wrong labels of one kind, above which the figures are doubted and not the labels."""
_KEPT_BITS: Final = np.uint8(0xF0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinions:
    """What nets say of pictures that they did not learn from, picture by picture.

    - `bad`: as labelled [pictures].
    - `whole`, `outside`: how strongly a defect is seen, anywhere and beside the drawn ones [pictures, 5].
    - `drawn`: how far net and picture support the drawn defects, nan without any [pictures, 6].
    - `moved`: `whole` and `drawn` of masks that were laid on good pictures [masks, 11].
    - `own`, `other`: index of the drawn class, and of the one that the net would rather say [pictures].
    - `sides`: probability of both inside the drawn defects [pictures, 2].
    - `maps`, `ends`: the probability of any defect as one PNG for each picture, and where each ends.
    """

    names: NDArray[np.str_]
    bad: NDArray[np.bool_]
    whole: Floats
    outside: Floats
    drawn: Floats
    moved: Floats
    own: NDArray[np.int64]
    other: NDArray[np.int64]
    sides: Floats
    maps: Image
    ends: NDArray[np.int64]

    def save(self, path: Path) -> None:
        """Write it as .npz. After a power cut there is no file or the whole file."""
        with draft_of(path) as draft, draft.open("wb") as file:
            np.savez_compressed(file, **{each.name: getattr(self, each.name) for each in fields(self)})

    @staticmethod
    def load(path: Path) -> Opinions:
        """Read a file that `save` wrote."""
        with np.load(path, allow_pickle=False) as parts:
            return Opinions(**{name: parts[name] for name in parts.files})

    @staticmethod
    def joined(several: Sequence[Opinions]) -> Opinions:
        """The opinions on several folds as one."""
        shifts = np.cumsum([0, *(len(each.maps) for each in several)])
        table = {each.name: np.concatenate([getattr(one, each.name) for one in several]) for each in fields(Opinions)}
        table["ends"] = np.concatenate([one.ends + shift for one, shift in zip(several, shifts, strict=False)])
        return Opinions(**table)

    def map_of(self, at: int) -> Image:
        """The probability of any defect [H/stride, W/stride], 0..255."""
        begin = int(self.ends[at - 1]) if at else 0
        return _from_png(self.maps[begin : int(self.ends[at])])


class Listener:
    """Hears what a net says of each part, and makes `Opinions` of it. It is the `watch` of `gather`."""

    def __init__(self, classes: int, stride: int) -> None:
        self._classes, self._stride = classes, stride
        self._rows: list[tuple[str, bool, Floats, Floats, Floats, tuple[int, int], tuple[float, float], bytes]] = []
        self._calm: list[tuple[bytes, bytes]] = []  # of good pictures: what the net said, and the picture
        self._masks: list[bytes] = []

    def __call__(self, part: TruePart, masks: Sequence[Image]) -> None:
        """Note the views of a part."""
        for view, mask in zip(part.views, masks, strict=True):
            planes = truth_planes(view.classes, self._classes, self._stride)
            drawn = np.asarray(planes.any(axis=0), np.bool_)
            likely: Image = np.asarray(mask.max(axis=0), np.uint8)
            kept: Image = np.asarray(likely & _KEPT_BITS, np.uint8)
            grey = _grey(view.image, likely.shape)
            support, classes, sides = np.full(_SUPPORTS, np.nan), (-1, -1), (0.0, 0.0)
            if drawn.any():
                support = _support(likely, drawn, grey)
                classes, sides = _rather(mask, planes)
                self._masks.append(_png(drawn.astype(np.uint8) * 255))
            else:
                self._calm.append((_png(likely), _png(grey)))
            beside = np.where(_grown(drawn, _RIM_PX), np.uint8(0), likely).astype(np.uint8)
            self._rows.append(
                (
                    view.name or part.name,
                    bool(drawn.any()),
                    _strength(likely),
                    _strength(beside),
                    support,
                    classes,
                    sides,
                    _png(kept),
                )
            )

    def heard(self) -> Opinions:
        """The opinions on all parts that were noted."""
        names, bad, whole, outside, drawn, classes, sides, maps = zip(*self._rows, strict=True)
        own, other = np.array(classes).T
        return Opinions(
            names=np.array(names),
            bad=np.array(bad, np.bool_),
            whole=np.array(whole),
            outside=np.array(outside),
            drawn=np.array(drawn),
            moved=self._moved(),
            own=own,
            other=other,
            sides=np.array(sides),
            maps=np.frombuffer(b"".join(maps), np.uint8),
            ends=np.cumsum([len(each) for each in maps]),
        )

    def _moved(self) -> Floats:
        """Masks of bad pictures on good ones, at the same place. Each good picture gets one, and each mask its turn."""
        found = []
        if self._calm and self._masks:
            for at in range(max(len(self._calm), len(self._masks))):
                likely, grey = (_from_png(each) for each in self._calm[at % len(self._calm)])
                mask = _from_png(self._masks[at % len(self._masks)])
                laid = np.asarray(cv2.resize(mask, likely.shape[::-1], interpolation=cv2.INTER_NEAREST)) > 0
                if laid.any():
                    found.append(np.concatenate([_strength(likely), _support(likely, laid, grey)]))
        return np.array(found).reshape(-1, 1 + len(_LEVELS) + _SUPPORTS)


def _strength(likely: Image) -> Floats:
    """How strongly a defect is seen: the highest probability, and the largest region at each level."""
    peak = float(np.asarray(cv2.blur(likely, (3, 3))).max()) / 255.0
    regions = [largest_region((likely >= level * 255.0).astype(np.uint8)) for level in _LEVELS]
    return np.array([_log_odds(peak), *np.log1p(regions)])


_SUPPORTS: Final = 6


def _support(likely: Image, drawn: NDArray[np.bool_], grey: Image) -> Floats:
    """How far the net and the picture itself say that something is where a defect is drawn."""
    probability = likely.astype(np.float64) / 255.0
    calm = np.asarray(cv2.blur(likely, (3, 3)), np.float64) / 255.0
    overlap = float(probability[drawn].sum())
    union = float(drawn.sum() + probability[~drawn].sum())
    ring = _ring(drawn)
    light = grey.astype(np.float64)
    edges = np.hypot(cv2.Sobel(light, cv2.CV_64F, 1, 0), cv2.Sobel(light, cv2.CV_64F, 0, 1))
    contrast = abs(light[drawn].mean() - light[ring].mean()) / (light[ring].std() + 2.0)
    return np.array(
        [
            _log_odds(float(probability[drawn].mean())),
            _log_odds(float(calm[drawn].max())),
            overlap / max(1.0, union),
            np.log1p(contrast),
            abs(np.log((light[drawn].std() + 1.0) / (light[ring].std() + 1.0))),
            np.log((edges[drawn].mean() + 1.0) / (edges[ring].mean() + 1.0)),
        ]
    )


def _ring(drawn: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What surrounds a drawn defect. All of the rest if it is too large for a ring."""
    width = int(np.clip(np.sqrt(drawn.sum()) / 2, *_RING_PX))
    ring = _grown(drawn, width + 1) & ~_grown(drawn, 1)
    if not ring.any():
        ring = ~drawn if not drawn.all() else drawn
    return np.asarray(ring, np.bool_)


def _rather(mask: Image, planes: NDArray[np.bool_]) -> tuple[tuple[int, int], tuple[float, float]]:
    """The largest drawn class and the class that the net sees there instead, with their probabilities."""
    own = int(planes.sum(axis=(1, 2)).argmax())
    inside = mask[:, planes[own]].mean(axis=1) / 255.0
    if len(inside) == 1:
        return (own, own), (float(inside[0]), 0.0)
    other = max((k for k in range(len(inside)) if k != own), key=lambda k: float(inside[k]))
    return (own, other), (float(inside[own]), float(inside[other]))


@dataclass(frozen=True, slots=True)
class Odds:
    """A logistic regression: the log of how much likelier 1 is than 0."""

    centre: Floats
    scale: Floats
    weights: Floats

    @staticmethod
    def fitted(rows: Floats, truth: Floats, begin: Odds | None = None, *, steps: int = 25, ridge: float = 0.02) -> Odds:
        """Fit by Newton's method, from those to `begin` with. `truth` is 0 to 1 [rows]."""
        centre, scale = rows.mean(axis=0), rows.std(axis=0) + 1e-6
        known = np.column_stack([(rows - centre) / scale, np.ones(len(rows))])
        held = np.diag([*[ridge] * rows.shape[1], 1e-3])
        weights = np.zeros(known.shape[1]) if begin is None else begin.weights.copy()
        for _ in range(steps):
            said = sigmoid(known @ weights)
            slope = known.T @ (said - truth) + held @ weights
            bend = (known * (said * (1 - said))[:, np.newaxis]).T @ known + held
            weights -= np.linalg.solve(bend, slope)
        return Odds(centre, scale, weights)

    def __call__(self, rows: Floats) -> Floats:
        """The log odds of each row."""
        known = np.column_stack([(rows - self.centre) / self.scale, np.ones(len(rows))])
        return np.asarray(known @ self.weights)


def doubts(rows: Floats, labels: NDArray[np.bool_], certain: NDArray[np.bool_]) -> tuple[Odds, Floats]:
    """The odds of 1 by the figures, and the probability that each label is wrong. Those that are `certain` are not.

    The regression is fitted to what the labels probably should be, and this follows from the regression and from how
    often labels of each kind are wrong, which follows from both in turn (Raykar et al. 2010).
    """
    truth = labels.astype(np.float64)
    wrong = np.array([0.15, 0.15])  # of what is 0, of what is 1
    odds = Odds.fitted(rows, truth)
    for _ in range(_ROUNDS):
        odds = Odds.fitted(rows, truth, odds, steps=2)
        said = sigmoid(odds(rows))
        one = said * np.where(labels, 1.0 - wrong[1], wrong[1])
        zero = (1.0 - said) * np.where(labels, wrong[0], 1.0 - wrong[0])
        truth = np.where(certain, labels, one / (one + zero))
        counts = np.array([(1.0 - truth)[labels].sum(), truth[~labels].sum()])
        totals = np.array([(1.0 - truth).sum(), truth.sum()])
        wrong = np.clip((counts + 1.0) / (totals + 20.0), 1e-3, _WRONG_MOST)
    return odds, np.where(labels, 1.0 - truth, truth)


def sigmoid(value: Floats) -> Floats:
    """Log odds as a probability."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(value, -40.0, 40.0))))


def _log_odds(probability: float) -> float:
    """Bounded where a byte ends: below it nothing is known."""
    bounded = min(max(probability, 1e-3), 1.0 - 1e-3)
    return float(np.log(bounded / (1.0 - bounded)))


def _grey(image: Image, shape: tuple[int, ...]) -> Image:
    """The picture in grey, at the mask's resolution."""
    plain = image[:, :, 0] if image.shape[2] == 1 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    return np.asarray(cv2.resize(plain, shape[::-1], interpolation=cv2.INTER_AREA), np.uint8)


def _grown(mask: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    side = 2 * by + 1
    return np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8))) > 0


def _png(image: Image) -> bytes:
    return bytes(cv2.imencode(".png", image)[1])


def _from_png(content: Image | bytes) -> Image:
    packed = np.frombuffer(content, np.uint8) if isinstance(content, bytes) else content
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE), np.uint8)
