"""Grades and wrong material on rendered planks with known truth: `python -m benchmarks.grades_and_kinds --out DIR`.

Grades: 300 planks are graded by hidden limits on what is truly on them. `calibrate --graded` sees their pictures and
grades, and nothing else. Its limits then grade 300 planks of another seed.

Material: planks of four glazes, two of which differ little, under the light of the rendered line. `model kinds` sees
40 good ones of each. Then 100 others of each are judged, and 100 with an inlay of the wrong glaze.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from edge_inspector.cli import main as command
from edge_inspector.commands.judge import PictureJudge
from edge_inspector.inspection.decision import beyond_limits, grade_of
from edge_inspector.inspection.defects import find_defects
from edge_inspector.inspection.recipe import ClassLimits, GradeLimits, GradeTable
from edge_inspector.records import Image
from edge_inspector.segmenters.manifest import read_manifest
from edge_inspector.simulation.tiles import CLASSES, MM_PER_PX, TileLine
from edge_inspector.training.judging.agreement import wilson
from edge_inspector.training.judging.runtimes import model_predictor

_GRADED: Final = 300
_KNOWN, _FRESH = 40, 100
_HIDDEN: Final = (
    GradeTable(name="A", classes={"scratch": GradeLimits(max_count=1, max_length_mm=30, max_area_mm2=200)}),
    GradeTable(
        name="B",
        classes={
            "scratch": GradeLimits(max_count=2, max_length_mm=70, max_area_mm2=600),
            "stain": GradeLimits(max_count=1, max_length_mm=60, max_area_mm2=500),
            "colour": GradeLimits(max_count=1, max_length_mm=200, max_area_mm2=1200),
        },
    ),
    GradeTable(
        name="C",
        classes={
            "scratch": GradeLimits(max_count=3, max_length_mm=120, max_area_mm2=2000),
            "stain": GradeLimits(max_count=2, max_length_mm=60, max_area_mm2=1500),
            "colour": GradeLimits(max_count=2, max_length_mm=200, max_area_mm2=4000),
            "crack": GradeLimits(max_count=1, max_length_mm=25, max_area_mm2=200),
        },
    ),
)
_REJECT: Final = "reject"
_RECIPE: Final = """\
id = 1
name = "planks"
model = "tile-1.1"
views = ["camera"]
part_length_mm = 200.0
min_pitch_mm = 400.0
position_tolerance_mm = 5.0
"""
_GLAZES: Final = {
    "sand": ((1.0, 1.0, 1.0), 0.0),
    "ivory": ((0.88, 0.98, 1.02), 0.0),
    "slate": ((0.80, 0.66, 0.58), 0.0),
    "rough": ((1.0, 1.0, 1.0), 9.0),
}
"""Factors of blue, green and red, and the grain in grey levels."""


def main() -> int:
    """Both examples."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for pictures, recipes and models")
    parser.add_argument("--models", type=Path, default=Path("models"), help="folder with tile-1.1 (default: models)")
    parser.add_argument("--only", choices=["grades", "kinds"])
    given = parser.parse_args()
    if given.only != "kinds":
        _grades(given.out / "grades", given.models)
    if given.only != "grades":
        _kinds(given.out / "kinds")
    return 0


def _grades(out: Path, models: Path) -> None:
    (out / "planks").mkdir(parents=True, exist_ok=True)
    line = TileLine(4101, 1, 0.75)
    rows = [(f"{part}.png", _true_grade(line, part)) for part in range(_GRADED)]
    for part in range(_GRADED):
        cv2.imwrite(str(out / "planks" / f"{part}.png"), line.render(part, 0))
    with (out / "planks" / "graded.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "grade"), *rows])
    recipe = out / "recipe.toml"
    recipe.write_text(_RECIPE)
    words = ["calibrate", str(recipe), "--models", str(models), "--mm-per-px", str(MM_PER_PX)]
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        if command([*words, "--graded", str(out / "planks" / "graded.csv")]):
            raise SystemExit("the grades were not learned")
    print(told.getvalue())
    recipe.write_text(f"{_RECIPE}\n{told.getvalue()[told.getvalue().index('[classes') :]}")
    _tell_grades(recipe, models, TileLine(4102, 1, 0.75), out)


def _tell_grades(recipe: Path, models: Path, line: TileLine, out: Path) -> None:
    """Grade planks of another seed with what was learned, and compare with the truth."""
    given = argparse.Namespace(models=models, mm_per_px=MM_PER_PX, runtime="onnx", precision="int8")
    judge, path = PictureJudge(recipe, given), out / "fresh.png"
    counts: Counter[tuple[str, str]] = Counter()
    for part in range(_GRADED):
        cv2.imwrite(str(path), line.render(part, 0))
        seen = judge.look_at(path, judge.criteria)
        if isinstance(seen, str):
            raise SystemExit(seen)
        beyond = beyond_limits(seen.view.defects, judge.criteria.limits)
        said = _REJECT if beyond else grade_of(seen.view.defects, judge.criteria.recipe.grades) or _REJECT
        counts[_true_grade(line, part), said] += 1
    order = ["A", "B", "C", _REJECT]
    print(f"on {_GRADED} planks of another seed, truth \\ by the learned limits:")
    print(f"{'':10}" + "".join(f"{grade:>8}" for grade in order))
    for true in order:
        print(f"{true:10}" + "".join(f"{counts[true, said]:8}" for said in order))
    right = sum(counts[grade, grade] for grade in order)
    low, high = wilson(right, _GRADED)
    better = sum(count for (true, said), count in counts.items() if order.index(said) < order.index(true))
    print(f"right: {right} of {_GRADED} ({right / _GRADED:.3f}, {low:.3f} to {high:.3f}), too good {better}\n")


def _true_grade(line: TileLine, part: int) -> str:
    """By what is truly on the plank, measured as a station measures masks."""
    truth = line.truth(part, 0)[::2, ::2]
    planes = np.stack([(truth == 1 + at).astype(np.uint8) * 255 for at in range(len(CLASSES))])
    limits = {name: ClassLimits(min_area_mm2=8.0) for name in CLASSES}
    scale = 2 * MM_PER_PX
    found = find_defects("camera", planes, classes=CLASSES, limits=limits, mm_per_px=scale, mm_per_row=scale)
    return grade_of(found, _HIDDEN) or _REJECT


def _kinds(out: Path) -> None:
    line = TileLine(4201, 1, 0.0)
    for glaze in _GLAZES:
        (out / "good" / glaze).mkdir(parents=True, exist_ok=True)
        for part in range(_KNOWN):
            cv2.imwrite(str(out / "good" / glaze / f"{part}.png"), _glazed(line, part, glaze))
    version = 1
    while (out / "models" / f"plank-sand-{version}").exists():
        version += 1
    words = ["model", "kinds", str(out / "good"), "--name", "plank", "--version", str(version)]
    if command([*words, "--models", str(out / "models")]):
        raise SystemExit("the kinds were not learned")
    fresh = TileLine(4202, 1, 0.0)
    print(
        f"\n{_FRESH} other planks of each glaze that each model refuses, and inlays of the wrong glaze that it finds:"
    )
    print("| right glaze | " + " | ".join(_GLAZES) + " | inlay 20 mm | inlay 40 mm | inlay 80 mm |")
    print("|---|" + "---|" * (len(_GLAZES) + 3))
    for right in _GLAZES:
        folder = out / "models" / f"plank-{right}-{version}"
        refused = [_refused(folder, (_glazed(fresh, part, glaze) for part in range(_FRESH))) for glaze in _GLAZES]
        inlaid = [
            _refused(folder, (_inlaid(fresh, part, right, side) for part in range(_FRESH))) for side in (20, 40, 80)
        ]
        print(f"| {right} | " + " | ".join(map(str, [*refused, *inlaid])) + " |")


def _refused(folder: Path, pictures: Iterable[Image]) -> int:
    """How many pictures have a region of wrong material, by the limits of the model."""
    predict, info = model_predictor(folder, "fp32")
    (limit,) = read_manifest(folder).limits.values()
    count = 0
    for picture in pictures:
        mask = (predict(picture)[0] >= limit.min_confidence * 255).astype(np.uint8)
        sizes = cv2.connectedComponentsWithStats(mask, connectivity=8)[2][1:, cv2.CC_STAT_AREA]
        count += bool(len(sizes) and sizes.max() * info.stride**2 >= limit.min_area_px)
    return count


def _glazed(line: TileLine, part: int, glaze: str) -> Image:
    """A plank of another glaze: its colours are scaled, and it gets the grain. The belt stays as it is."""
    factors, grain = _GLAZES[glaze]
    plain = line.render(part, 0).astype(np.float64)
    rng = np.random.default_rng((part, 7))
    plank = plain * factors + rng.normal(0.0, grain or 1e-9, (*plain.shape[:2], 1))
    belt = plain.mean(axis=2, keepdims=True) < 60
    return np.clip(np.where(belt, plain, plank), 0, 255).astype(np.uint8)


def _inlaid(line: TileLine, part: int, right: str, side_mm: float) -> Image:
    """A plank with a square of another glaze."""
    rng = np.random.default_rng((part, 8))
    others = [glaze for glaze in _GLAZES if glaze != right]
    wrong = _glazed(line, part, others[part % len(others)])
    picture = _glazed(line, part, right)
    side = round(side_mm / MM_PER_PX)
    top, left = (int(each) for each in rng.integers(12, 244 - side, 2))
    picture[top : top + side, left : left + side] = wrong[top : top + side, left : left + side]
    return picture


if __name__ == "__main__":
    sys.exit(main())
