"""`edge-inspector calibrate RECIPE --graded LIST`: grade limits from parts that people graded."""

from __future__ import annotations

import argparse
import csv
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from edge_inspector.commands.judge import PictureJudge
from edge_inspector.errors import ConfigError, Fault
from edge_inspector.inspection.recipe import ClassLimits, GradeTable
from edge_inspector.records import Defect
from edge_inspector.training.judging.agreement import wilson
from edge_inspector.training.judging.grading import FEWEST, REJECT, GradedPart, Learned, learn_grades, letters_of

_LETTER: Final = re.compile("[A-Z]")
_REJECTS: Final = frozenset({"reject", "scrap", "bad", "-"})


def calibrate_grades(given: argparse.Namespace) -> None:
    """Read the parts, learn, and print the limits with their mistakes on parts held back. Raises ConfigError."""
    rows = _rows(given.graded)
    judge = PictureJudge(given.file, given)
    parts, unknown = _parts(judge, given.graded.parent, rows)
    print(f"{len(parts)} graded parts: {_counted(parts)}, and {unknown} that cannot be judged")
    _refuse_few(given.graded, parts)
    learned = learn_grades(parts, too_good_cost=given.too_good_cost)
    print("\n".join(_told(learned, letters_of(parts))))
    print(f"\nPut this into {given.file}, instead of the tables of these classes and of grades:\n")
    print(grades_toml(learned.grades, judge.criteria.limits))


def _rows(path: Path) -> list[dict[str, str]]:
    """The rows of the list, each with its grade as a letter or REJECT. Raises ConfigError."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, restval=""))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError([Fault(str(path), f"cannot be read: {error}")]) from error
    if not rows or not {"image", "grade"} <= rows[0].keys():
        raise ConfigError([Fault(str(path), "needs the columns image and grade: a letter from A, or reject")])
    faults = []
    grades: dict[str, str] = {}
    for line, row in enumerate(rows, 2):
        word = row["grade"].strip()
        row["grade"] = REJECT if word.casefold() in _REJECTS else word.upper()
        row["part"] = row.get("part") or row["image"]
        if row["grade"] != REJECT and not _LETTER.fullmatch(row["grade"]):
            faults.append(Fault(f"{path}: line {line}", f"grade must be a letter from A to Z, or reject, not {word!r}"))
        elif grades.setdefault(row["part"], row["grade"]) != row["grade"]:
            what = f"{row['part']} has grade {row['grade']} here and {grades[row['part']]} before"
            faults.append(Fault(f"{path}: line {line}", what))
        elif not (path.parent / row["image"]).is_file():
            faults.append(Fault(f"{path}: line {line}", f"{row['image']} is not a file beside the list"))
    if faults:
        raise ConfigError(faults[:20])
    return rows


def _parts(judge: PictureJudge, root: Path, rows: Sequence[Mapping[str, str]]) -> tuple[list[GradedPart], int]:
    """The parts with all defects that the recipe's limits see, and how many could not be judged."""
    found: dict[str, list[Defect]] = {}
    grades = {row["part"]: row["grade"] for row in rows}
    unknown: set[str] = set()
    for row in rows:
        seen = judge.look_at(root / row["image"], judge.criteria)
        if isinstance(seen, str) or seen.view.failure:
            unknown.add(row["part"])
        else:
            found.setdefault(row["part"], []).extend(seen.view.defects)
    parts = [GradedPart(name, tuple(defects), grades[name]) for name, defects in found.items() if name not in unknown]
    return parts, len(unknown)


def _counted(parts: Sequence[GradedPart]) -> str:
    counts = Counter(part.grade for part in parts)
    return ", ".join(f"{grade} {counts[grade]}" for grade in sorted(counts, key=lambda each: (each == REJECT, each)))


def _refuse_few(path: Path, parts: Sequence[GradedPart]) -> None:
    counts = Counter(part.grade for part in parts)
    if len(counts) < 2:
        raise ConfigError([Fault(str(path), "all parts have one grade: parts of at least two are needed")])
    few = [grade for grade, count in sorted(counts.items()) if count < FEWEST]
    if few:
        what = f"grade {few[0]} has {counts[few[0]]} parts that can be judged: at least {FEWEST} of each are needed"
        raise ConfigError([Fault(str(path), what)])


def _told(learned: Learned, letters: Sequence[str]) -> Iterator[str]:
    order = [*letters, REJECT]
    yield from _table(learned.held_back, order)
    right, better, worse, total = _mistakes(learned.held_back, order)
    low, high = wilson(right, total)
    yield (
        f"held-back parts with the grade that people gave: {right} of {total} ({right / total:.3f}, 95 % interval "
        f"{low:.3f} to {high:.3f}). Too good: {better}, too bad: {worse}"
    )
    fitted = _mistakes(learned.fitted, order)[0]
    yield f"on the parts that they were learned from: {fitted} of {total}, which looks better than it is"


def _table(counts: Mapping[tuple[str, str], int], order: Sequence[str]) -> Iterator[str]:
    yield "by people \\ by the limits, on held-back parts:"
    yield f"{'':10}" + "".join(f"{grade:>8}" for grade in order)
    for true in order:
        yield f"{true:10}" + "".join(f"{counts.get((true, said), 0):8}" for said in order)


def _mistakes(counts: Mapping[tuple[str, str], int], order: Sequence[str]) -> tuple[int, int, int, int]:
    """Right ones, those that got a better grade than people gave, those that got a worse one, and all."""
    right = better = worse = 0
    for (true, said), count in counts.items():
        distance = order.index(said) - order.index(true)
        right += count * (distance == 0)
        better += count * (distance < 0)
        worse += count * (distance > 0)
    return right, better, worse, right + better + worse


def grades_toml(grades: Sequence[GradeTable], limits: Mapping[str, ClassLimits]) -> str:
    """The tables for a recipe. Its classes must allow what the worst grade allows, so that the grades decide."""
    tables = []
    for name in sorted({name for grade in grades for name in grade.classes}):
        most = max(grade.classes[name].max_count for grade in grades if name in grade.classes)
        limit = limits[name]
        lines = [f"min_confidence = {limit.min_confidence}", f"min_area_mm2 = {limit.min_area_mm2:.6g}"]
        tables.append("\n".join([f"[classes.{json.dumps(name)}]", *lines, f"max_count = {most}"]))
    for grade in grades:
        lines = ["[[grades]]", f'name = "{grade.name}"']
        for name, allowed in grade.classes.items():
            values = [f"{key} = {value}" for key, value in allowed.model_dump(exclude_none=True).items()]
            lines += [f"[grades.classes.{json.dumps(name)}]", *values]
        tables.append("\n".join(lines))
    return "\n\n".join(tables)
