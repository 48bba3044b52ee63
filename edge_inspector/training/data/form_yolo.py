"""YOLO's text files: one line for each region, with a class number and shares of width and height."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.training.data import shapes
from edge_inspector.training.data.label_files import PICTURES, Convention, Labelled, read_text, shape_of, split_of
from edge_inspector.training.data.shapes import Fill

_NAMES: Final = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt", "obj.names")


def read_yolo(source: Path, convention: Convention) -> Iterator[Labelled]:
    """Pictures with NAME.txt beside them, or in `labels` where the pictures are in `images`."""
    names = _class_names(source)
    used: set[Path] = set()
    files = sorted(source.rglob("*"))
    for path in files:
        if path.suffix.lower() not in PICTURES or not path.is_file():
            continue
        labels = _labels_of(path, source)
        used |= set() if labels is None else {labels}
        drawn = {} if labels is None else _regions(labels, names, convention)
        yield Labelled(path.resolve(), drawn, labelled=labels is not None, split=split_of(path, source))
    if not used:
        raise ConfigError([Fault(str(source), "has no picture with a NAME.txt beside it or in `labels`")])
    for path in files:
        if path.suffix == ".txt" and path not in used and path.name not in _NAMES and _is_lost(path, source):
            what = "has regions and no picture of its name: such a picture would count as good"
            raise ConfigError([Fault(str(path), what)])


def _is_lost(file: Path, source: Path) -> bool:
    return "labels" in file.relative_to(source).parts[:-1] and bool(read_text(file).strip())


def _labels_of(picture: Path, source: Path) -> Path | None:
    places = [picture.with_suffix(".txt")]
    parts = list(picture.relative_to(source).parts)
    folders = [at for at, part in enumerate(parts[:-1]) if part == "images"]
    places += [source.joinpath(*parts[:at], "labels", *parts[at + 1 :]).with_suffix(".txt") for at in folders]
    return next((place for place in places if place.is_file() and place.name not in _NAMES), None)


def _regions(file: Path, names: list[str], convention: Convention) -> dict[str, list[Fill]]:
    drawn: dict[str, list[Fill]] = {}
    for line, text in enumerate(read_text(file).splitlines(), 1):
        words = text.split()
        if not words:
            continue
        where = file.with_name(f"{file.name}: line {line}")
        try:
            number, values = int(words[0]), [float(word) for word in words[1:]]
        except ValueError as error:
            what = f"{file.name}: line {line} is not a class number followed by numbers"
            raise ConfigError([Fault(str(file), what)]) from error
        kind = names[number] if 0 <= number < len(names) else str(number)
        drawn.setdefault(kind, []).append(_outline(where, values, convention))
    return drawn


def _outline(where: Path, values: list[float], convention: Convention) -> Fill:
    if len(values) != 4:
        return shape_of(where, shapes.relative_polygon, values[0::2], values[1::2])
    if not convention.boxes:
        what = "marks a defect by a box: draw its outline, or take the whole box for defective with --boxes"
        raise ConfigError([Fault(str(where), what)])
    x, y, width, height = values
    left, top, right, bottom = x - width / 2, y - height / 2, x + width / 2, y + height / 2
    return shape_of(where, shapes.relative_polygon, [left, right, right, left], [top, top, bottom, bottom])


def _class_names(source: Path) -> list[str]:
    """The names in data.yaml or classes.txt, in the order of their numbers. Without a file, numbers are the names."""
    for name in _NAMES:
        for place in (source, source / "labels"):
            if (place / name).is_file():
                text = read_text(place / name)
                return _yaml_names(text) if name.endswith("ml") else [each.strip() for each in text.splitlines()]
    return []


def _yaml_names(text: str) -> list[str]:
    """The list or table `names`. Only this much of YAML is read."""
    start = re.search(r"^names\s*:[ \t]*(\[[^\]]*\])?", text, re.MULTILINE)
    if start is None:
        return []
    if start[1]:
        return [each.strip().strip("'\"") for each in start[1][1:-1].split(",")]
    found = []
    for line in text[start.end() :].splitlines()[1:]:
        entry = re.fullmatch(r"\s*(?:-|\d+\s*:)\s+(.+?)\s*(?:\s#.*)?", line)
        if entry is None:
            break
        found.append(entry[1].strip("'\""))
    return found
