"""Grade limits from parts that people graded: for each grade and class how many defects, how long, how large.

A part has the first grade that it fits (docs/how-to/grades.md). Each grade is a box: a part fits if no figure of it is
above its limit. A box is learned against all worse parts. It begins with the largest figures of the parts that belong
in it, and shrinks figure by figure while that makes fewer mistakes. No limit is below that of a better grade. A
length or area may lie half-way to the nearest worse part, and otherwise nothing is beyond what was graded so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_inspector.inspection.decision import grade_of
from edge_inspector.inspection.recipe import GradeLimits, GradeTable
from edge_inspector.records import Defect

Floats = NDArray[np.float64]

REJECT: Final = "reject"
FEWEST: Final = 5
"""Parts of a grade, below which nothing can be learned of it and held back from it."""
_FOLDS: Final = 5
_FIGURES: Final = 3
"""Of each class: count, longest length in mm, largest area in mm2."""
_COUNT_MOST: Final = 31
_DIGITS: Final = 3


@dataclass(frozen=True, slots=True)
class GradedPart:
    """What was found on a part, and the grade that people gave it: a letter, or REJECT."""

    name: str
    defects: tuple[Defect, ...]
    grade: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """The grades, best first, and how they do.

    - `held_back`: how often parts that a grade was not learned from got which grade, by (given by people, by limits).
    - `fitted`: the same on the parts that it was learned from, which looks better than it is.
    """

    grades: tuple[GradeTable, ...]
    held_back: Mapping[tuple[str, str], int]
    fitted: Mapping[tuple[str, str], int]


def learn_grades(parts: Sequence[GradedPart], *, too_good_cost: float = 1.0, seed: int = 1) -> Learned:
    """The limits that make the fewest mistakes. A grade better than the true one costs `too_good_cost` mistakes."""
    fold_of = _dealt(parts, seed)
    held_back: Counter[tuple[str, str]] = Counter()
    for fold in range(_FOLDS):
        known = [part for part, at in zip(parts, fold_of, strict=True) if at != fold]
        others = [part for part, at in zip(parts, fold_of, strict=True) if at == fold]
        held_back.update(_confusion(_fit(known, too_good_cost), others))
    grades = _fit(parts, too_good_cost)
    return Learned(grades=grades, held_back=held_back, fitted=_confusion(grades, parts))


def letters_of(parts: Sequence[GradedPart]) -> list[str]:
    """The grades that occur, best first, without REJECT."""
    return sorted({part.grade for part in parts} - {REJECT})


def classes_of(parts: Sequence[GradedPart]) -> list[str]:
    """The classes of defects that occur."""
    return sorted({defect.defect_class for part in parts for defect in part.defects})


def _dealt(parts: Sequence[GradedPart], seed: int) -> list[int]:
    """The fold of each part: each has its share of every grade."""
    rng = np.random.default_rng(seed)
    found = [0] * len(parts)
    for grade in sorted({part.grade for part in parts}):
        members = [at for at, part in enumerate(parts) if part.grade == grade]
        for place, at in enumerate(rng.permutation(members)):
            found[int(at)] = place % _FOLDS
    return found


def _fit(parts: Sequence[GradedPart], too_good_cost: float) -> tuple[GradeTable, ...]:
    letters, classes = letters_of(parts), classes_of(parts)
    figures = np.array([_figures(part.defects, classes) for part in parts]).reshape(len(parts), -1)
    rank = np.array([letters.index(part.grade) if part.grade != REJECT else len(letters) for part in parts])
    least = np.zeros(figures.shape[1])
    tables = []
    for at, letter in enumerate(letters):
        least = _box(figures, rank <= at, least, too_good_cost)
        tables.append(GradeTable(name=letter, classes=dict(_limits(least, classes))))
    return tuple(tables)


def _figures(defects: Sequence[Defect], classes: Sequence[str]) -> list[float]:
    found: list[float] = []
    for name in classes:
        own = [defect for defect in defects if defect.defect_class == name]
        found.append(float(len(own)))
        found.append(max((defect.length_mm for defect in own), default=0.0))
        found.append(max((defect.area_mm2 for defect in own), default=0.0))
    return found


def _box(figures: Floats, wanted: NDArray[np.bool_], least: Floats, too_good_cost: float) -> Floats:
    """The limits of one grade, not below `least`."""

    def cost(limits: Floats) -> float:
        fits = (figures <= limits).all(axis=1)
        return float((wanted & ~fits).sum() + too_good_cost * (~wanted & fits).sum())

    top = figures[wanted].max(axis=0, initial=0.0) if wanted.any() else least
    limits = np.maximum(least, top)
    best = cost(limits)
    while True:
        trials = [
            (cost(_with(limits, column, value)), column, value)
            for column in range(figures.shape[1])
            for value in np.unique([least[column], *figures[wanted, column]])
            if least[column] <= value < limits[column]
        ]
        # Of equal ones the widest limit, because the figures of parts to come scatter.
        chosen = min(trials, key=lambda trial: (trial[0], -trial[2] / max(1e-9, limits[trial[1]])), default=None)
        if chosen is None or chosen[0] >= best:
            break
        best, limits = chosen[0], _with(limits, chosen[1], chosen[2])
    return _with_margin(figures, wanted, limits)


def _with(limits: Floats, column: int, value: float) -> Floats:
    changed = limits.copy()
    changed[column] = value
    return changed


def _with_margin(figures: Floats, wanted: NDArray[np.bool_], limits: Floats) -> Floats:
    """Lengths and areas half-way to the nearest part that only this limit keeps out. Counts are whole numbers."""
    found = limits.copy()
    for column in range(len(limits)):
        if column % _FIGURES == 0:
            continue
        others = np.delete(np.arange(len(limits)), column)
        kept_out = (figures[:, others] <= limits[others]).all(axis=1) & (figures[:, column] > limits[column]) & ~wanted
        if limits[column] > 0 and kept_out.any():
            found[column] = float(np.sqrt(limits[column] * figures[kept_out, column].min()))
    return found


def _limits(limits: Floats, classes: Sequence[str]) -> Iterator[tuple[str, GradeLimits]]:
    for at, name in enumerate(classes):
        count, length, area = limits[_FIGURES * at : _FIGURES * (at + 1)]
        if count >= 1 and length > 0 and area > 0:
            most = min(_COUNT_MOST, int(count))
            yield name, GradeLimits(max_count=most, max_length_mm=_rounded(length), max_area_mm2=_rounded(area))


def _rounded(value: float) -> float:
    """Up, in few digits: what was just within a limit stays within."""
    step = 10.0 ** (np.floor(np.log10(value)) + 1 - _DIGITS)
    return float(f"{np.ceil(value / step - 1e-9) * step:.{_DIGITS + 1}g}")


def _confusion(grades: Sequence[GradeTable], parts: Sequence[GradedPart]) -> Counter[tuple[str, str]]:
    return Counter((part.grade, grade_of(part.defects, grades) or REJECT) for part in parts)
