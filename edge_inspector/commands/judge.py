"""`edge-inspector judge`: run a recipe over picture files, without a line."""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from pydantic import ValidationError

from edge_inspector.codes import Decision, Reason
from edge_inspector.commands.arguments import add_runtime, positive
from edge_inspector.drivers import load_driver
from edge_inspector.errors import ConfigError, EdgeInspectorError, Fault
from edge_inspector.inspection.decision import beyond_limits, grade_of
from edge_inspector.inspection.defects import level
from edge_inspector.inspection.mask_watch import MaskWatch, remarks
from edge_inspector.inspection.picture import fault_of, picture_figures
from edge_inspector.inspection.recipe import ClassLimits, Criteria, Recipe, read_recipe
from edge_inspector.inspection.view import Look
from edge_inspector.records import Defect, Frame, Image, ModelInfo, View
from edge_inspector.simulation.station_files import models_dir
from edge_inspector.store.picture_file import camera_picture, content_of
from edge_inspector.store.whole_file import draft_of

_SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
_GOOD: Final = frozenset({"0", "", "good", "ok", "accept", "pass"})
_COLOUR: Final = (0, 0, 255)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which pictures, by which recipe."""
    parser.add_argument("pictures", type=Path, metavar="PICTURE|FOLDER", help="a picture, or a folder with pictures")
    parser.add_argument("--recipe", type=Path, required=True, help="the recipe file")
    add_model(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="write each picture with its defects outlined")
    parser.add_argument(
        "--expect",
        type=Path,
        metavar="LIST",
        help="compare with a CSV file that has the columns image and class, or label. Exit code 1 on a difference",
    )


def add_model(parser: argparse.ArgumentParser) -> None:
    """The model that judges pictures without a station, and their scale."""
    parser.add_argument("--models", type=Path, help="folder with the model folders (default: where `demo` looks)")
    parser.add_argument(
        "--mm-per-px",
        type=positive,
        default=1.0,
        help="size of a pixel, as in the station file (default: 1, then sizes are in pixels)",
    )
    add_runtime(parser)
    parser.add_argument("--precision", choices=["int8", "fp32"], default="int8", help="model file (default: int8)")


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedPicture:
    """One picture: the decision, why, and what was found."""

    name: str
    decision: Decision
    why: str
    defects: tuple[Defect, ...]


def run(given: argparse.Namespace) -> int:
    """Judge and print, picture by picture."""
    pictures = dict(pictures_in(given.pictures))
    expected = expected_of(given.expect, pictures) if given.expect else {}
    judge = PictureJudge(given.recipe, given)
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    for name, path in pictures.items():
        if expected and name not in expected:
            continue
        found = judge(name, path, given.out)
        counts[found.decision.name] += 1
        right = not expected or (found.decision is Decision.REJECT) == expected[name]
        if not right or (expected and found.decision is Decision.NOT_INSPECTED):
            wrong.append(name)
        print(_line(found, "" if not wrong or wrong[-1] != name else _wanted(defective=expected[name])), flush=True)
    for what in filter(None, (judge.model.blind, *remarks(judge.model))):
        print(f"WARN: {what}")
    print(", ".join(f"{count} {name}" for name, count in sorted(counts.items())))
    if expected:
        print("\n".join(_summary(expected, wrong)))
    return 1 if wrong else 0


@dataclass(frozen=True, slots=True)
class LookedAt:
    """A picture with its mask and what was found."""

    image: Image
    mask: Image
    view: View


class PictureJudge:
    """A recipe with its model, as a station would judge one view. Raises ConfigError."""

    def __init__(self, path: Path, given: argparse.Namespace) -> None:
        recipe = read_recipe(path)
        self.folder: Path = (given.models or models_dir()) / recipe.model
        self._segmenter = _opened(self.folder, given)
        self.model: ModelInfo = self._segmenter.info
        _refuse_unknown(path, recipe, self.model)
        self.criteria = Criteria(recipe, _limits(recipe, self.model, given.mm_per_px))
        self._scale = dict.fromkeys(recipe.views, given.mm_per_px)
        self._watch = MaskWatch(self.model)

    def __call__(self, name: str, path: Path, out: Path | None) -> JudgedPicture:
        """Judge one file. With `out`, write it with its defects outlined."""
        found, limits = self.look_at(path, self.criteria), self.criteria.limits
        if isinstance(found, str):
            return JudgedPicture(name=name, decision=Decision.NOT_INSPECTED, why=found, defects=())
        defects, failure = found.view.defects, found.view.failure
        if out is not None:
            target = out / f"{name.replace('/', '_')}.png"
            _write_outlined(target, found.image, found.mask, self.model, limits=limits)
        grades = self.criteria.recipe.grades
        beyond = beyond_limits(list(defects), limits)
        rejected = beyond or not grade_of(defects, grades)
        self._watch.see(int(found.mask.max(initial=0)))
        why = failure.meaning if failure is not Reason.NONE else self._watch.distrust([self.criteria])
        if why and not rejected:
            return JudgedPicture(name=name, decision=Decision.NOT_INSPECTED, why=why, defects=defects)
        if rejected:
            why = _deciding(defects, limits) if beyond else "it fits no grade of the recipe"
            return JudgedPicture(name=name, decision=Decision.REJECT, why=why, defects=defects)
        why = f"grade {grade_of(defects, grades)}" if grades else ""
        return JudgedPicture(name=name, decision=Decision.ACCEPT, why=why, defects=defects)

    def look_at(self, path: Path, criteria: Criteria) -> LookedAt | str:
        """What one file shows by these limits, or why it is not judged."""
        try:
            image = camera_picture(content_of(path))
        except ValueError as error:
            return str(error)
        fault = fault_of(picture_figures(image), criteria.recipe.picture, None)
        if fault is not None:
            return f"the picture is {fault}"
        mask: Image = self._segmenter.segment([image])[0]
        frame = Frame(criteria.recipe.views[0], 1, 0, exposure_ns=0, received_ns=0, image=image)
        look = Look(lambda: [criteria], self.model, self._scale, self._scale)
        return LookedAt(image, mask, look(frame, mask, begun_ns=0, inference_ns=0))


def _opened(folder: Path, given: argparse.Namespace) -> Any:
    """The segmenter with the model. Raises ConfigError."""
    settings: dict[str, Any] = {"precision": given.precision, "workers": 1, "max_batch": 1}
    try:
        kind = load_driver("segmenters", given.runtime)
        if "providers" in kind.Settings.model_fields:
            settings["providers"] = ("cpu",)
        segmenter = kind(folder, kind.Settings(**settings))
        segmenter.open()
    except (ImportError, ValidationError) as error:
        raise ConfigError([Fault("--runtime", f"{given.runtime!r} cannot run here: {error}")]) from error
    return segmenter


def _refuse_unknown(path: Path, recipe: Recipe, model: ModelInfo) -> None:
    unknown = sorted(recipe.classes.keys() - set(model.classes))
    if unknown:
        what = f"the model knows only: {', '.join(model.classes)}"
        raise ConfigError([Fault(f"{path}: classes.{unknown[0]}", what)])
    unlimited = [name for name in model.classes if name not in recipe.classes and name not in model.limits]
    if unlimited:
        what = "is missing, and the model suggests no limits for it"
        raise ConfigError([Fault(f"{path}: classes.{unlimited[0]}", what)])


def _limits(recipe: Recipe, model: ModelInfo, mm_per_px: float) -> dict[str, ClassLimits]:
    suggested = {
        name: ClassLimits(min_confidence=confidence, min_area_mm2=area_px * mm_per_px**2)
        for name, (confidence, area_px) in model.limits.items()
    }
    return suggested | recipe.classes


def pictures_in(path: Path) -> Iterator[tuple[str, Path]]:
    """Name and file of each picture. Masks beside pictures are none. Raises ConfigError."""
    if path.is_file():
        yield path.name, path
        return
    if not path.is_dir():
        raise ConfigError([Fault(str(path), "there is no such picture or folder")])
    found = False
    for each in sorted(path.rglob("*")):
        relative = each.relative_to(path)
        masks = {"masks", "ground_truth"} & {*relative.parts[:-1]} or each.stem.endswith("_mask")
        if each.suffix.lower() in _SUFFIXES and each.is_file() and not masks:
            found = True
            yield relative.as_posix(), each
    if not found:
        raise ConfigError([Fault(str(path), "has no pictures")])


def _deciding(defects: tuple[Defect, ...], limits: Mapping[str, ClassLimits]) -> str:
    """The limit that decided, in words."""
    counts = Counter(defect.defect_class for defect in defects)
    for name, count in counts.items():
        if count > limits[name].max_count:
            limit = limits[name]
            most = "none" if limit.max_count == 0 else f"at most {limit.max_count}"
            return (
                f"{name}: {count}, allowed {most} of {limit.min_area_mm2:.4g} mm2 and more (confidence "
                f"{limit.min_confidence:g})"
            )
    longest = next(d for d in defects if (limits[d.defect_class].max_length_mm or d.length_mm) < d.length_mm)
    return f"{longest.defect_class}: {longest.length_mm:.1f} mm long"


def _line(found: JudgedPicture, wanted: str) -> str:
    seen = "; ".join(
        f"{defect.defect_class} {defect.area_mm2:.4g} mm2, {defect.length_mm:.1f} mm long at "
        f"({defect.x_mm:.0f}, {defect.y_mm:.0f}), p {defect.confidence:.2f}"
        for defect in found.defects[:5]
    )
    parts = [f"{found.decision.name:13} {found.name}", seen, found.why, wanted]
    return "  | ".join(part for part in parts if part)


def _wanted(*, defective: bool) -> str:
    return f"WRONG: expected {'REJECT' if defective else 'ACCEPT'}"


def _summary(expected: Mapping[str, bool], wrong: list[str]) -> Iterator[str]:
    bad = [name for name, defective in expected.items() if defective]
    good = [name for name, defective in expected.items() if not defective]
    yield f"of {len(bad)} bad ones {sum(name in wrong for name in bad)} were not rejected"
    yield f"of {len(good)} good ones {sum(name in wrong for name in good)} were not accepted"


def expected_of(path: Path, pictures: Mapping[str, Path]) -> dict[str, bool]:
    """Picture -> whether it is defective. Raises ConfigError if the list names one that is not there."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, restval=""))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError([Fault(str(path), f"cannot be read: {error}")]) from error
    key = next((name for name in ("label", "class", "decision") if rows and name in rows[0]), "")
    if not key or "image" not in rows[0]:
        raise ConfigError([Fault(str(path), "needs the columns image, and class or label (0 good, 1 defective)")])
    found: dict[str, bool] = {}
    for line, row in enumerate(rows, 2):
        name = row["image"].replace("\\", "/")
        if name not in pictures:
            raise ConfigError([Fault(f"{path}: line {line}", f"{name} is not among the pictures")])
        bad = row[key].strip().casefold() not in _GOOD
        if found.setdefault(name, bad) != bad:
            raise ConfigError([Fault(f"{path}: line {line}", f"{name} is good in one line and bad in another")])
    return found


def _write_outlined(
    path: Path, image: Image, mask: Image, model: ModelInfo, *, limits: Mapping[str, ClassLimits]
) -> None:
    shown = image.copy() if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    for index, name in enumerate(model.classes):
        if name not in limits:
            continue
        sure = (mask[index] >= level(limits[name])).astype(np.uint8)
        grown = np.repeat(np.repeat(sure, model.stride, 0), model.stride, 1)[: shown.shape[0], : shown.shape[1]]
        outlines, _ = cv2.findContours(grown, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(shown, outlines, -1, _COLOUR, 2)
    try:
        with draft_of(path, synced=False) as draft:
            draft.write_bytes(cv2.imencode(".png", shown)[1].tobytes())
    except OSError as error:
        raise EdgeInspectorError(f"{path}: {error.strerror or error}") from error
