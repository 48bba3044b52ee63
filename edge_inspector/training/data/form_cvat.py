"""CVAT for images: annotations.xml with polygons, boxes, ellipses and masks, and the pictures in `images`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.parsers import expat

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.training.data import shapes
from edge_inspector.training.data.label_files import (
    LARGEST_LABELS,
    SPLITS,
    Convention,
    Labelled,
    boxed,
    label_files,
    open_shape,
    picture_of,
    shape_of,
)
from edge_inspector.training.data.shapes import Fill


def read_cvat(source: Path, convention: Convention) -> Iterator[Labelled]:
    """Every picture that annotations.xml lists. One without a region has no defect."""
    for file in label_files(source, "xml"):
        for image, regions in _listed(file):
            drawn: dict[str, list[Fill]] = {}
            for shape, table in regions:
                drawn.setdefault(table.get("label", "defect"), []).append(_outline(shape, table, file, convention))
            split = SPLITS.get(image.get("subset", "").casefold(), "")
            yield Labelled(picture_of(source, image.get("name", ""), file), drawn, split=split)


def _outline(shape: str, table: dict[str, str], file: Path, convention: Convention) -> Fill:
    if shape == "polygon":
        points = [pair.split(",") for pair in table.get("points", "").split(";")]
        if any(len(pair) != 2 for pair in points):
            raise ConfigError([Fault(str(file), "a polygon's points are not x,y;x,y;...")])
        return shape_of(file, shapes.polygon, [_number(x) for x, _ in points], [_number(y) for _, y in points])
    if shape == "box":
        left, top, right, bottom = (_number(table.get(name)) for name in ("xtl", "ytl", "xbr", "ybr"))
        return boxed(file, convention, left, top, right - left, bottom - top)
    if shape == "ellipse":
        sizes = [_number(table.get(name)) for name in ("cx", "cy", "rx", "ry")]
        turned = math.radians(_number(table.get("rotation", "0")))
        return shape_of(file, shapes.ellipse, *sizes, turned_rad=turned)
    if shape == "mask":
        runs = [_whole(run) for run in table.get("rle", "").split(",")]
        box = [_number(table.get(name)) for name in ("left", "top", "width", "height")]
        return shape_of(file, shapes.patch_of_runs, runs, box)
    raise open_shape(shape, file)


def _number(text: str | None) -> float:
    """The number, or nan. The shapes refuse nan."""
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def _whole(text: str) -> int:
    """The number without its fraction, or -1. The shapes refuse -1."""
    value = _number(text)
    return round(value) if math.isfinite(value) else -1


_SHAPES = frozenset({"polygon", "box", "ellipse", "mask", "polyline", "points", "cuboid", "skeleton"})
Region = tuple[str, dict[str, str]]


def _listed(file: Path) -> list[tuple[dict[str, str], list[Region]]]:
    """Each `image` of the file with its regions. Entities of the file's own are refused."""
    found: list[tuple[dict[str, str], list[Region]]] = []

    def begin(element: str, attributes: dict[str, str]) -> None:
        if element == "image":
            found.append((attributes, []))
        elif element in _SHAPES and found:
            found[-1][1].append((element, attributes))

    def refuse(*_: Any) -> None:
        raise ValueError("it declares entities of its own")

    if file.stat().st_size > LARGEST_LABELS:
        raise ConfigError([Fault(str(file), f"is larger than {LARGEST_LABELS >> 20} MB")])
    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.StartDoctypeDeclHandler = begin, refuse
    try:
        parser.Parse(file.read_bytes(), True)  # noqa: FBT003 -- expat's signature
    except (expat.ExpatError, LookupError, ValueError, OSError) as error:
        raise ConfigError([Fault(str(file), f"cannot be read: {error}")]) from error
    return found
