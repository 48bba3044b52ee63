"""Converts labels of another form into a folder with index.csv. Every file gets a new name, every image is read."""

import csv
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import cv2
import numpy as np

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.training.data.folder import Image
from edge_inspector.training.data.index_file import INDEX
from edge_inspector.training.data.label_forms import FORMS, Convention, Labelled
from edge_inspector.training.data.pictures import read_picture, read_pixels
from edge_inspector.training.data.shapes import LARGEST_SIDE

_PLAIN: Final = Convention()
_CLASS_NAME: Final = re.compile(r"[\w][\w .+-]{0,63}")


@dataclass(frozen=True, slots=True)
class Imported:
    """How many images were imported, how many of them have no label, and how many have a region to ignore."""

    images: int
    unlabelled: int
    ignored: int


def import_labels(
    form: str,
    source: Path,
    target: Path,
    *,
    val_share: float,
    group_pattern: str,
    convention: Convention = _PLAIN,
    skip_unlabelled: bool = False,
) -> Imported:
    """Write the folder `target`. On ConfigError nothing is left behind.

    A picture without a label counts as good, unless it is to be left out.
    """
    group = _grouping(group_pattern)
    if target.exists():
        raise ConfigError([Fault(str(target), "exists already")])
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f"{target.name}.", dir=target.parent) as scratch:
        fresh = Path(scratch) / target.name
        found = list(FORMS[form](source, convention))
        kept = [each for each in found if each.labelled or not skip_unlabelled]
        rows = list(_rows(kept, fresh, group))
        if not any(row["label"] == "1" for row in rows):
            raise ConfigError([Fault(str(source), f"no defect found in it as {form}")])
        _split(rows, val_share)
        with (fresh / INDEX).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        fresh.replace(target)
    return Imported(len(kept), sum(not each.labelled for each in found), sum(bool(each.note) for each in kept))


def _grouping(pattern: str) -> Callable[[Path], str]:
    if not pattern:
        return lambda path: path.stem
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ConfigError([Fault("--group-pattern", f"is no regular expression: {error}")]) from error
    if compiled.groups < 1:
        raise ConfigError([Fault("--group-pattern", "needs one group in parentheses: the grouping key")])

    def key(path: Path) -> str:
        found = compiled.search(path.name)
        if found is None or not found[1]:
            raise ConfigError([Fault("--group-pattern", f"does not match {path.name}")])
        return found[1]

    return key


def _rows(found: Iterable[Labelled], target: Path, group: Callable[[Path], str]) -> Iterator[dict[str, str]]:
    (target / "images").mkdir(parents=True)
    (target / "masks").mkdir()
    for number, labelled in enumerate(found):
        size = _size(labelled.image)
        name = f"{number:06d}_{re.sub(r'[^A-Za-z0-9.-]', '_', labelled.image.stem)[:80]}"
        image = f"images/{name}{labelled.image.suffix.lower()}"
        shutil.copyfile(labelled.image, target / image)
        shared = {"image": image, "group": group(labelled.image), "split": "", "note": labelled.note}
        kinds = sorted({*labelled.drawn, *labelled.masks})
        if not kinds:
            yield {**shared, "mask": "", "class": "good", "label": "0"}
        for place, kind in enumerate(kinds):
            mask = _mask(labelled, kind, size)
            # The names of classes cannot keep files apart: written in ASCII, many are the same.
            file = f"masks/{name}_{place}.png"
            cv2.imwrite(str(target / file), mask)
            yield {**shared, "mask": file, "class": kind, "label": "1"}


def _mask(labelled: Labelled, kind: str, shape: tuple[int, int]) -> Image:
    if not _CLASS_NAME.fullmatch(kind):
        raise ConfigError([Fault(str(labelled.image), f"{kind[:80]!r} is no name for a class")])
    if kind in labelled.masks:
        _refuse_turned(labelled.image)
        mask = read_pixels(labelled.masks[kind], cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
        if mask.shape != shape:
            raise ConfigError([Fault(str(labelled.masks[kind]), f"is {mask.shape}, its image {shape}")])
        return np.where(mask > 0, np.uint8(255), np.uint8(0)).astype(np.uint8)
    drawn: Image = np.zeros(shape, np.uint8)
    for fill in labelled.drawn[kind]:
        try:
            fill(drawn)
        except ValueError as error:
            raise ConfigError([Fault(str(labelled.image), str(error))]) from error
    return drawn


def _size(path: Path) -> tuple[int, int]:
    """Height and width of a picture as viewers show it. Polygons are drawn on this view, too."""
    height, width = read_picture(path, grey=True).shape
    if max(height, width) > LARGEST_SIDE:
        raise ConfigError([Fault(str(path), f"has more than {LARGEST_SIDE} px a side")])
    return height, width


def _refuse_turned(path: Path) -> None:
    """Raise ConfigError if a picture is stored in a turned position: its mask could belong to either position."""
    stored = read_pixels(path, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION)
    if not np.array_equal(stored, read_pixels(path, cv2.IMREAD_GRAYSCALE)):
        raise ConfigError([Fault(str(path), "is turned by its EXIF, its mask is not: save it upright")])


def _split(rows: list[dict[str, str]], val_share: float) -> None:
    """Assign whole groups to `val`: every nth of those with the same classes."""
    kinds: dict[str, set[str]] = {}
    for row in rows:
        kinds.setdefault(row["group"], set()).add(row["class"])
    turns: dict[str, float] = {}
    chosen: dict[str, str] = {}
    for name in sorted(kinds):
        key = "+".join(sorted(kinds[name]))
        turns[key] = turns.get(key, 0.5) + val_share
        chosen[name] = "val" if turns[key] >= 1.0 else "train"
        turns[key] -= turns[key] >= 1.0
    for row in rows:
        row["split"] = chosen[row["group"]]
