"""Labels of another form as a folder with index.csv, every name made anew and every image read once."""

import csv
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.training.data.folder import INDEX, Image
from edge_inspector.training.data.label_forms import FORMS, Labelled

_LARGEST_SIDE: Final = 16384
_CLASS_NAME: Final = re.compile(r"[\w][\w .+-]{0,63}")


def import_labels(form: str, source: Path, target: Path, val_share: float, group_pattern: str) -> int:
    """Write the folder `target`; how many images it has. Raises ConfigError and then leaves nothing behind."""
    group = _grouping(group_pattern)
    if target.exists():
        raise ConfigError([Fault(str(target), "exists already")])
    fresh = target.with_name(target.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        rows = list(_rows(FORMS[form](source), fresh, group))
        if not any(row["label"] == "1" for row in rows):
            raise ConfigError([Fault(str(source), f"no defect found in it as {form}")])
        _split(rows, val_share)
        with (fresh / INDEX).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        fresh.replace(target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return len({row["image"] for row in rows})


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
        picture = _picture(labelled.image)
        name = f"{number:06d}_{re.sub(r'[^A-Za-z0-9.-]', '_', labelled.image.stem)[:80]}"
        image = f"images/{name}{labelled.image.suffix.lower()}"
        shutil.copyfile(labelled.image, target / image)
        shared = {"image": image, "group": group(labelled.image), "split": ""}
        kinds = sorted({*labelled.polygons, *labelled.masks})
        if not kinds:
            yield {**shared, "mask": "", "class": "good", "label": "0"}
        for place, kind in enumerate(kinds):
            mask = _mask(labelled, kind, picture)
            # Names of classes cannot tell files apart: written in ASCII, many are the same.
            file = f"masks/{name}_{place}.png"
            cv2.imwrite(str(target / file), mask)
            yield {**shared, "mask": file, "class": kind, "label": "1"}


def _mask(labelled: Labelled, kind: str, shape: tuple[int, int]) -> Image:
    if not _CLASS_NAME.fullmatch(kind):
        raise ConfigError([Fault(str(labelled.image), f"{kind[:80]!r} is no name for a class")])
    if kind in labelled.masks:
        mask = cv2.imread(str(labelled.masks[kind]), cv2.IMREAD_GRAYSCALE)
        if mask is None or mask.shape != shape:
            raise ConfigError([Fault(str(labelled.masks[kind]), "cannot be read, or is not of its image's size")])
        return np.where(mask > 0, np.uint8(255), np.uint8(0)).astype(np.uint8)
    drawn: Image = np.zeros(shape, np.uint8)
    for polygon in labelled.polygons[kind]:
        points = np.clip(np.array(polygon, np.float64), -_LARGEST_SIDE, 2 * _LARGEST_SIDE)
        cv2.fillPoly(drawn, [np.rint(points).astype(np.int32)], 255)
    return drawn


def _picture(path: Path) -> tuple[int, int]:
    """Height and width of an image that can be read."""
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if picture is None or max(picture.shape[:2]) > _LARGEST_SIDE:
        raise ConfigError([Fault(str(path), f"is no image that can be read, of at most {_LARGEST_SIDE} px a side")])
    return int(picture.shape[0]), int(picture.shape[1])


def _split(rows: list[dict[str, str]], val_share: float) -> None:
    """Whole groups to `val`, every nth of those with the same classes."""
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
