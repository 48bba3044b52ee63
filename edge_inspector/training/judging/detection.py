"""Recall and false rejects of groups and sizes, with intervals, for a report."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_inspector.training.judging.agreement import Interval, wilson
from edge_inspector.training.judging.evidence import Evidence
from edge_inspector.training.judging.limits import Limit, rejected

_BINS: Final = 4


@dataclass(frozen=True, slots=True)
class Slice:
    """Some of the parts: how many of them are bad, and what became of the bad and the good ones."""

    name: str
    bad: int
    escapes: int
    good: int
    false_rejects: int

    @property
    def recall(self) -> tuple[float, Interval]:
        """The share of bad parts that were rejected, with its interval of 95 %."""
        return _share(self.bad - self.escapes, self.bad)

    @property
    def false_reject_rate(self) -> tuple[float, Interval]:
        """The share of good parts that were rejected, with its interval of 95 %."""
        return _share(self.false_rejects, self.good)


def by_group(seen: Evidence, limits: Sequence[Limit]) -> list[Slice]:
    """One for each group, those with mistakes first."""
    refused = rejected(seen, limits)
    found = [_slice(str(group), seen, refused, seen.groups == group) for group in sorted(set(seen.groups))]
    return sorted(found, key=lambda each: (-each.escapes, -each.false_rejects, each.name))


def by_class(seen: Evidence, limits: Sequence[Limit], classes: Sequence[str]) -> list[Slice]:
    """One for each class that occurs. A part counts as caught whatever class was found."""
    refused = rejected(seen, limits)
    return [_slice(name, seen, refused, seen.true[:, at]) for at, name in enumerate(classes) if seen.true[:, at].any()]


def by_size(seen: Evidence, limits: Sequence[Limit], mm2_per_px: float) -> list[Slice]:
    """The bad parts by the area of their largest defect, in four bins of equal count."""
    refused, known = rejected(seen, limits), seen.defective & (seen.sizes > 0)
    if not known.any():
        return []
    edges = np.unique(np.quantile(seen.sizes[known], np.linspace(0, 1, _BINS + 1)))
    if len(edges) == 1:
        edges = np.repeat(edges, 2)
    found = []
    for at, (low, high) in enumerate(itertools.pairwise(edges)):
        last = at == len(edges) - 2
        inside = known & (seen.sizes >= low) & ((seen.sizes <= high) if last else (seen.sizes < high))
        found.append(_slice(f"{_mm2(low * mm2_per_px)} to {_mm2(high * mm2_per_px)} mm2", seen, refused, inside))
    return found


def _mm2(area: float) -> str:
    """Three digits that count, and no power of ten."""
    return f"{float(f'{area:.3g}'):.9g}"


def missed(seen: Evidence, limits: Sequence[Limit]) -> list[str]:
    """The names of the bad parts that were accepted."""
    return [str(name) for name in seen.names[seen.defective & ~rejected(seen, limits)]]


def _slice(name: str, seen: Evidence, refused: NDArray[np.bool_], inside: NDArray[np.bool_]) -> Slice:
    bad, good = inside & seen.defective, inside & ~seen.defective
    return Slice(name, int(bad.sum()), int((bad & ~refused).sum()), int(good.sum()), int((good & refused).sum()))


def _share(some: int, of: int) -> tuple[float, Interval]:
    return (some / of if of else float("nan")), wilson(some, of)
