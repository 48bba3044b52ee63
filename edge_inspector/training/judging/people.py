"""The model beside two annotators: how well each two of the three agree, and what that says about more training.

A second annotation is in the column `mask2` of the index, or in a folder `masks2` beside `masks`. The model is compared
with each annotator on the same pictures. If people differ from each other as much as the model differs from them,
better labels can help, and a better model cannot be seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_inspector.store.whole_file import draft_of
from edge_inspector.training.data.folder import Image
from edge_inspector.training.judging.evidence import Evidence, TruePart, TrueView, truth_planes
from edge_inspector.training.judging.limits import Limit, rejected

Floats = NDArray[np.float64]
Interval = tuple[float, float]

FEWEST: Final = 10
"""Pictures with a second annotation from which a conclusion is drawn."""
PAIRS: Final = ("first and second annotator", "model and first annotator", "model and second annotator")
_SEEN: Final = 0.5 * 255.0
_RESAMPLES: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondLooks:
    """The views that two people annotated.

    - `parts`, `groups`: which part each is of, and its group [views].
    - `overlap`, `union`: pixels of each two of the three, for each class and for any [views, pairs, classes + 1].
    - `bad`: whether the first and the second annotator call it bad [views, 2].
    """

    parts: NDArray[np.str_]
    groups: NDArray[np.str_]
    overlap: Floats
    union: Floats
    bad: NDArray[np.bool_]

    def save(self, path: Path) -> None:
        """Write it as .npz. After a power cut there is no file or the whole file."""
        with draft_of(path) as draft, draft.open("wb") as file:
            np.savez_compressed(file, **{each.name: getattr(self, each.name) for each in fields(self)})

    @staticmethod
    def load(path: Path) -> SecondLooks:
        """Read a file that `save` wrote."""
        with np.load(path, allow_pickle=False) as parts:
            return SecondLooks(**{name: parts[name] for name in parts.files})

    @staticmethod
    def joined(several: Sequence[SecondLooks]) -> SecondLooks:
        """Those of several folds as one."""
        return SecondLooks(
            **{each.name: np.concatenate([getattr(one, each.name) for one in several]) for each in fields(SecondLooks)}
        )


class SecondLookout:
    """Compares a net with both annotators, view by view. It is the `watch` of `gather`."""

    def __init__(self, classes: int, stride: int) -> None:
        self._classes, self._stride = classes, stride
        self._rows: list[tuple[str, str, Floats, Floats, tuple[bool, bool]]] = []

    def __call__(self, part: TruePart, masks: Sequence[Image]) -> None:
        """Note the views that two people annotated."""
        for view, mask in zip(part.views, masks, strict=True):
            if view.second is not None:
                self._rows.append((part.name, part.group, *self._pixels(view, view.second, mask)))

    def _pixels(self, view: TrueView, second: Image, mask: Image) -> tuple[Floats, Floats, tuple[bool, bool]]:
        first, other = (truth_planes(each, self._classes, self._stride) for each in (view.classes, second))
        seen = np.asarray(mask >= _SEEN, np.bool_)
        three = [np.concatenate([each, each.any(axis=0, keepdims=True)]) for each in (first, other, seen)]
        pairs = [(three[0], three[1]), (three[2], three[0]), (three[2], three[1])]
        overlap = np.array([(one & two).sum(axis=(1, 2)) for one, two in pairs], np.float64)
        union = np.array([(one | two).sum(axis=(1, 2)) for one, two in pairs], np.float64)
        return overlap, union, (bool(first.any()), bool(other.any()))

    def looks(self) -> SecondLooks | None:
        """What was noted. None if nobody annotated anything twice."""
        if not self._rows:
            return None
        parts, groups, overlap, union, bad = zip(*self._rows, strict=True)
        return SecondLooks(
            parts=np.array(parts),
            groups=np.array(groups),
            overlap=np.array(overlap),
            union=np.array(union),
            bad=np.array(bad, np.bool_),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SideBySide:
    """The three pairs of `PAIRS`: overlap over union by class and of any, and how often they say the same of a part.

    `lead` is by how much two people agree better than the model agrees with them, in IoU of any defect, and `lead_95`
    its interval over groups.
    """

    views: int
    parts: int
    iou: dict[str, tuple[float, float, float]]
    same: tuple[float, float, float]
    lead: float
    lead_95: Interval

    @property
    def conclusion(self) -> str:
        """Whether the data or the model limits what can be reached."""
        people, *model = self.iou["any"]
        if self.views < FEWEST:
            return (
                f"{self.views} pictures with a second annotation are too few for a conclusion: take at least {FEWEST}"
            )
        if self.lead_95[0] > 0:
            return (
                f"the model limits: people agree with each other (IoU {people:.2f}) better than the model agrees with "
                f"them ({np.mean(model):.2f}). More pictures or a better net can help"
            )
        return (
            f"the data limit: the model agrees with people (IoU {np.mean(model):.2f}) as well as people agree with "
            f"each other ({people:.2f}), as far as {self.views} pictures tell. Agree on what counts as a defect first"
        )

    def lines(self) -> Iterator[str]:
        """The table as text."""
        yield f"two annotators and the model, {self.views} pictures of {self.parts} parts:"
        for at, pair in enumerate(PAIRS):
            overlaps = ", ".join(f"{name} {of[at]:.3f}" for name, of in self.iou.items())
            yield f"  {pair}: IoU {overlaps}; the same verdict on {self.same[at]:.3f} of the parts"
        yield (
            f"  people lead the model by {self.lead:+.3f} IoU, 95 % of resampled groups within "
            f"[{self.lead_95[0]:+.3f}, {self.lead_95[1]:+.3f}]"
        )
        yield f"  {self.conclusion}"


def compare_people(looks: SecondLooks, seen: Evidence, limits: Sequence[Limit], classes: Sequence[str]) -> SideBySide:
    """The model with these limits beside both annotators."""
    refused = dict(zip((str(name) for name in seen.names), rejected(seen, limits), strict=True))
    return side_by_side(looks, classes, lambda name: bool(refused[name]))


def side_by_side(
    looks: SecondLooks, classes: Sequence[str], rejected: Callable[[str], bool], seed: int = 1
) -> SideBySide:
    """The comparison. `rejected` says of a part's name whether the model rejects it with its limits."""
    overlap, union = looks.overlap.sum(axis=0), looks.union.sum(axis=0)
    iou = {
        name: (
            _share(overlap[0, k], union[0, k]),
            _share(overlap[1, k], union[1, k]),
            _share(overlap[2, k], union[2, k]),
        )
        for k, name in enumerate((*classes, "any"))
        if union[0, k] or name == "any"
    }
    said: dict[str, list[bool]] = {}
    for name, (first, second) in zip(looks.parts, looks.bad, strict=True):
        known = said.setdefault(str(name), [False, False, rejected(str(name))])
        known[0] |= bool(first)
        known[1] |= bool(second)
    verdicts = np.array(list(said.values()))
    first, second, model = verdicts.T
    return SideBySide(
        views=len(looks.parts),
        parts=len(said),
        iou=iou,
        same=(float((first == second).mean()), float((model == first).mean()), float((model == second).mean())),
        lead=_lead(looks.overlap, looks.union),
        lead_95=_interval(looks, seed),
    )


def _lead(overlap: Floats, union: Floats) -> float:
    people, *model = (_share(overlap[:, pair, -1].sum(), union[:, pair, -1].sum()) for pair in range(len(PAIRS)))
    return people - float(np.mean(model))


def _interval(looks: SecondLooks, seed: int) -> Interval:
    """95 % of the leads when whole groups are drawn again."""
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(looks.groups == group) for group in sorted(set(looks.groups))]
    leads = []
    for _ in range(_RESAMPLES):
        drawn = np.concatenate([members[one] for one in rng.integers(len(members), size=len(members))])
        leads.append(_lead(looks.overlap[drawn], looks.union[drawn]))
    low, high = np.percentile(leads, (2.5, 97.5))
    return float(low), float(high)


def _share(overlap: float, union: float) -> float:
    """Two empty masks agree."""
    return float(overlap / union) if union else 1.0
