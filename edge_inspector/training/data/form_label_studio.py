"""Label Studio: its JSON with polygons, ellipses and boxes, and its brush PNGs beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.training.data import shapes
from edge_inspector.training.data.label_files import (
    Convention,
    Labelled,
    boxed,
    field_of,
    label_files,
    list_of,
    open_shape,
    picture_of,
    read_json,
    shape_of,
    values_of,
)
from edge_inspector.training.data.masks import read_mask
from edge_inspector.training.data.pictures import refuse_turned
from edge_inspector.training.data.shapes import Fill

_BRUSH: Final = re.compile(r"task-(\d+)-annotation-\d+-by-.*-tag-(.+?)-\d+\.png")
_UPLOADED: Final = re.compile(r"[0-9a-f]{8}-(.+)")  # it puts eight signs before the name of an uploaded file


def read_label_studio(source: Path, convention: Convention) -> Iterator[Labelled]:
    """One task for each picture. A task without an annotation was seen by nobody."""
    brushes = _brushes(source)
    for file in label_files(source):
        table = read_json(file)
        for task in table if isinstance(table, list) else []:
            yield _task(source, file, task, brushes, convention=convention)


def _task(
    source: Path, file: Path, task: Any, brushes: dict[str, list[tuple[str, Path]]], *, convention: Convention
) -> Labelled:
    texts = [value for value in values_of(task, "data", file) if isinstance(value, str)]
    path = _picture(source, file, texts)
    drawn: dict[str, list[Fill]] = {}
    for kind, mask in brushes.get(str(field_of(task, "id", file)), []):
        refuse_turned(path)
        drawn.setdefault(kind, []).append(shapes.drawn_as(partial(read_mask, mask)))
    given = list_of(task, "annotations", file)
    answers = [each for each in given if not (isinstance(each, dict) and each.get("was_cancelled"))]
    for region in (region for answer in answers for region in list_of(answer, "result", file)):
        kinds = _kinds(region)
        # Brush strokes come as PNGs. Their own run lengths are a format of that tool alone.
        if kinds and not region.get("type", "").startswith("brush"):
            drawn.setdefault(kinds[0], []).append(_outline(file, region, convention))
        elif kinds and not drawn.get(kinds[0]):
            what = f"task {task['id']} has brush strokes: export them as PNG too, and put the files into this folder"
            raise ConfigError([Fault(str(file), what)])
    return Labelled(path, drawn, labelled=bool(answers))


def _kinds(region: Any) -> list[str]:
    kind = field_of(region, "type", Path("result")) if isinstance(region, dict) else ""
    value = region.get("value") if isinstance(kind, str) and kind.endswith("labels") else None
    names = value.get(kind) if isinstance(value, dict) else None
    return [str(name) for name in names] if isinstance(names, list) else []


def _outline(file: Path, region: Any, convention: Convention) -> Fill:
    """Coordinates are percent of the picture, whose size stands beside them."""
    value, kind = field_of(region, "value", file), region["type"]
    width, height = (shape_of(file, shapes.number, region.get(f"original_{side}")) for side in ("width", "height"))

    def px(name: str, side: float) -> float:
        return shape_of(file, shapes.number, value.get(name)) * side / 100.0

    if kind == "polygonlabels":
        points = list_of(value, "points", file)
        if any(not isinstance(point, list) or len(point) != 2 for point in points):
            raise ConfigError([Fault(str(file), "a point is not [x, y]")])
        xs, ys = (
            [shape_of(file, shapes.number, point[axis]) * side / 100.0 for point in points]
            for axis, side in ((0, width), (1, height))
        )
        return shape_of(file, shapes.polygon, xs, ys)
    if kind == "rectanglelabels":
        return boxed(file, convention, px("x", width), px("y", height), px("width", width), px("height", height))
    if kind == "ellipselabels":
        sizes = px("x", width), px("y", height), px("radiusX", width), px("radiusY", height)
        return shape_of(file, shapes.ellipse, *sizes)
    raise open_shape(kind, file)


def _picture(source: Path, file: Path, texts: list[str]) -> Path:
    """The picture that one of the task's texts names, by its own name or without what the tool put before it."""
    for text in texts:
        try:
            parts = urlsplit(text)
        except ValueError:
            continue
        name = unquote((parse_qs(parts.query).get("d") or [parts.path])[0]).replace("\\", "/").rpartition("/")[2]
        shorter = _UPLOADED.fullmatch(name)
        for each in (name, shorter[1] if shorter else name):
            with suppress(ConfigError):
                return picture_of(source, each, file)
    raise ConfigError([Fault(str(file), f"the picture of {str(texts)[:200]} is not in this folder")])


def _brushes(source: Path) -> dict[str, list[tuple[str, Path]]]:
    found: dict[str, list[tuple[str, Path]]] = {}
    for path in sorted(source.rglob("task-*.png")):
        if named := _BRUSH.fullmatch(path.name):
            found.setdefault(named[1], []).append((named[2], path))
    return found
