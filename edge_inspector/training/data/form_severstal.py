"""A table of run lengths, as Severstal's and Kaggle's: ImageId, ClassId, EncodedPixels."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.training.data import shapes
from edge_inspector.training.data.label_files import (
    LARGEST_LABELS,
    Convention,
    Labelled,
    label_files,
    picture_of,
    pictures_in,
    shape_of,
)
from edge_inspector.training.data.shapes import Fill

_FOLDERS: Final = ("images", "train_images")


def read_severstal(source: Path, _: Convention) -> Iterator[Labelled]:
    """One row for each class in a picture. A picture without a row has no defect, or nobody has looked at it."""
    drawn: dict[str, dict[str, list[Fill]]] = {}
    named: dict[str, Path] = {}
    for file in label_files(source, "csv"):
        for line, row in enumerate(_rows(file), 2):
            name, kind, runs = _fields(row)
            where = file.with_name(f"{file.name}: line {line}")
            if not name:
                raise ConfigError([Fault(str(where), "needs the columns ImageId, ClassId and EncodedPixels")])
            named.setdefault(name, where)
            regions = drawn.setdefault(name, {})
            if runs.strip():
                regions.setdefault(kind, []).append(shape_of(where, shapes.start_lengths, runs))
    folders = [source, *(source / name for name in _FOLDERS)]
    for name, regions in drawn.items():
        folder = next((each for each in folders if (each / name).is_file()), source)
        yield Labelled(picture_of(folder, name, named[name]), regions)
    for path in (path for folder in folders for path in pictures_in(folder)):
        if path.name not in drawn:
            yield Labelled(path.resolve(), labelled=False)


def _fields(row: dict[str, str]) -> tuple[str, str, str]:
    """Picture, class and runs of a row."""
    runs = row.get("EncodedPixels") or ""
    if "ImageId_ClassId" in row:
        name, _, kind = (row["ImageId_ClassId"] or "").rpartition("_")
        return name, kind, runs
    return row.get("ImageId") or "", row.get("ClassId") or "defect", runs


def _rows(file: Path) -> list[dict[str, str]]:
    if file.stat().st_size > LARGEST_LABELS:
        raise ConfigError([Fault(str(file), f"is larger than {LARGEST_LABELS >> 20} MB")])
    csv.field_size_limit(1 << 24)  # the runs of one picture
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:
            return list(csv.DictReader(opened, restval=""))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError([Fault(str(file), f"cannot be read: {error}")]) from error
