"""Reads label files of other tools: MVTec-AD's layout, and shapes from COCO, VIA and labelme."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.training.data import shapes
from edge_inspector.training.data.form_cvat import read_cvat
from edge_inspector.training.data.form_folders import read_folders, read_masks
from edge_inspector.training.data.form_label_studio import read_label_studio
from edge_inspector.training.data.form_severstal import read_severstal
from edge_inspector.training.data.form_yolo import read_yolo
from edge_inspector.training.data.index_file import IGNORED
from edge_inspector.training.data.label_files import (
    Convention,
    Labelled,
    boxed,
    field_of,
    label_files,
    list_of,
    open_shape,
    picture_of,
    pictures_in,
    read_json,
    shape_of,
    split_of,
    values_of,
)
from edge_inspector.training.data.shapes import Fill

_BACKGROUND: Final = "_background_"


def _mvtec(source: Path, _: Convention) -> Iterator[Labelled]:
    """train/good, test/CLASS and ground_truth/CLASS/*_mask.png. MVTec's own training split has no defects."""
    for path in pictures_in(source / "train" / "good"):
        yield Labelled(path)
    test = source / "test"
    if not test.is_dir():
        raise ConfigError([Fault(str(test), "is not a folder: this is not MVTec-AD's layout")])
    for folder in sorted(child for child in test.iterdir() if child.is_dir()):
        for path in pictures_in(folder):
            if folder.name == "good":
                yield Labelled(path)
                continue
            masks = source / "ground_truth" / folder.name
            mask = next((m for m in (masks / f"{path.stem}_mask.png", masks / f"{path.stem}.png") if m.is_file()), None)
            if mask is None:
                raise ConfigError([Fault(str(path), "has no mask in ground_truth")])
            yield Labelled(path, masks={folder.name: mask})


def _coco(source: Path, convention: Convention) -> Iterator[Labelled]:
    """Every *.json in the folder, or in its `annotations`, with images, annotations and categories."""
    for file in label_files(source):
        table = read_json(file)
        if not isinstance(table, dict) or not {"images", "annotations", "categories"} <= table.keys():
            continue
        names = {field_of(c, "id", file): str(field_of(c, "name", file)) for c in list_of(table, "categories", file)}
        known = {field_of(image, "id", file) for image in list_of(table, "images", file)}
        drawn: dict[Any, dict[str, list[Fill]]] = {}
        for each in list_of(table, "annotations", file):
            kind = names.get(field_of(each, "category_id", file))
            if kind is None:
                raise ConfigError([Fault(str(file), "an annotation has no known category")])
            number = field_of(each, "image_id", file)
            if number not in known:
                raise ConfigError([Fault(str(file), f"an annotation is of image {number!r}, which is not listed")])
            drawn.setdefault(number, {}).setdefault(kind, []).extend(_segments(each, file, convention))
        for image in list_of(table, "images", file):
            beside = file.parent if split_of(file, source) else source
            path = picture_of(beside, str(field_of(image, "file_name", file)), file)
            yield Labelled(path, drawn.get(field_of(image, "id", file), {}), split=split_of(file, source))


def _segments(annotation: Any, file: Path, convention: Convention) -> Iterator[Fill]:
    """The polygons or run lengths of an annotation, or its box if boxes are allowed."""
    found = field_of(annotation, "segmentation", file)
    if isinstance(found, dict):
        yield shape_of(file, shapes.run_lengths, found.get("counts"), found.get("size"))
    elif found and isinstance(found, list):
        for outline in found:
            numbers = outline if isinstance(outline, list) else []
            yield shape_of(file, shapes.polygon, numbers[0::2], numbers[1::2])
    else:
        box = list_of(annotation, "bbox", file) if "bbox" in annotation else []
        yield boxed(file, convention, *box)


def _via(source: Path, convention: Convention) -> Iterator[Labelled]:
    """VIA 2 projects or exports."""
    for file in label_files(source):
        table = read_json(file)
        images = table.get("_via_img_metadata", table) if isinstance(table, dict) else {}
        menus = _menus(table)
        for each in images.values() if isinstance(images, dict) else ():
            if not isinstance(each, dict) or "filename" not in each:
                continue
            drawn: dict[str, list[Fill]] = {}
            for region in values_of({"regions": []} | each, "regions", file):
                kinds = _via_classes(field_of(region, "region_attributes", file), menus, file, convention)
                outline = _via_shape(field_of(region, "shape_attributes", file), file, convention)
                for kind in kinds:
                    drawn.setdefault(kind, []).append(outline)
            yield Labelled(picture_of(source, str(each["filename"]), file), drawn)


def _menus(table: Any) -> dict[str, dict[str, Any]]:
    """VIA's menus: for each attribute, the text for each stored number."""
    attributes = table.get("_via_attributes") if isinstance(table, dict) else None
    regions = attributes.get("region") if isinstance(attributes, dict) else None
    found = regions.items() if isinstance(regions, dict) else ()
    return {name: menu["options"] for name, menu in found if isinstance(menu, dict) and _is_table(menu.get("options"))}


def _via_classes(
    attributes: Any, menus: dict[str, dict[str, Any]], file: Path, convention: Convention
) -> Iterator[str]:
    """The classes of a region: one, or several with check boxes."""
    given = attributes if isinstance(attributes, dict) else {}
    if isinstance(attributes, list):
        given = {"class": next((each for each in attributes if each), "")}
    filled = {str(name): value for name, value in given.items() if value}
    name = convention.class_attribute or next(iter(filled), "")
    if len(filled) > 1 and not convention.class_attribute:
        what = f"regions have the attributes {', '.join(filled)}: name the one with the class: --class-attribute NAME"
        raise ConfigError([Fault(str(file), what)])
    if convention.class_attribute and name not in filled:
        raise ConfigError([Fault(str(file), f"a region has no attribute {name!r}, only {', '.join(filled)}")])
    value = filled.get(name, "defect")
    chosen = [key for key, ticked in value.items() if ticked] if isinstance(value, dict) else [value]
    menu = menus.get(name, {})
    # VIA may store a check box's option by its own name, but a menu's choice by a number that stands for it.
    yield from (str(menu.get(str(key)) or key) for key in chosen)


def _via_shape(shape: Any, file: Path, convention: Convention) -> Fill:
    kind = field_of(shape, "name", file)
    if kind == "polygon":
        return shape_of(
            file, shapes.polygon, list_of(shape, "all_points_x", file), list_of(shape, "all_points_y", file)
        )
    if kind == "rect":
        return boxed(file, convention, *(shape.get(name) for name in ("x", "y", "width", "height")))
    if kind == "circle":
        radius = shape.get("r")
        return shape_of(file, shapes.ellipse, shape.get("cx"), shape.get("cy"), radius, radius)
    if kind == "ellipse":
        sizes = (shape.get(name) for name in ("cx", "cy", "rx", "ry"))
        return shape_of(file, shapes.ellipse, *sizes, turned_rad=shape.get("theta", 0))
    raise open_shape(kind, file)


def _labelme(source: Path, convention: Convention) -> Iterator[Labelled]:
    """One *.json with shapes per image. An image without one has no defect, or nobody has looked at it."""
    labelled: set[Path] = set()
    for file in label_files(source):
        table = read_json(file)
        if not isinstance(table, dict) or "shapes" not in table or "imagePath" not in table:
            continue
        path = picture_of(source, str(table["imagePath"]).replace("\\", "/").rpartition("/")[2], file)
        drawn: dict[str, list[Fill]] = {}
        for shape in list_of(table, "shapes", file):
            kind = str(field_of(shape, "label", file))
            if kind == IGNORED:
                drawn[kind] = []
            elif kind != _BACKGROUND:
                drawn.setdefault(kind, []).append(_labelme_shape(shape, file, convention))
        labelled.add(path)
        yield Labelled(path, drawn)
    for path in pictures_in(source):
        if path.resolve() not in labelled:
            yield Labelled(path, labelled=False)


def _labelme_shape(shape: Any, file: Path, convention: Convention) -> Fill:
    points = list_of(shape, "points", file)
    kind = str(shape.get("shape_type") or "polygon")
    if any(not isinstance(point, list) or len(point) != 2 for point in points):
        raise ConfigError([Fault(str(file), "a point is not [x, y]")])
    if kind == "polygon":
        return shape_of(file, shapes.polygon, [point[0] for point in points], [point[1] for point in points])
    if kind in {"rectangle", "circle", "mask"} and len(points) != 2:
        raise ConfigError([Fault(str(file), f"a {kind} has {len(points)} points, not two")])
    if kind == "mask":
        return shape_of(file, shapes.stamp, shape.get("mask"), points[0])
    if kind in {"rectangle", "circle"}:
        (x, y), (to_x, to_y) = ([shape_of(file, shapes.number, value) for value in point] for point in points)
        if kind == "circle":
            radius = math.hypot(to_x - x, to_y - y)
            return shape_of(file, shapes.ellipse, x, y, radius, radius)
        return boxed(file, convention, min(x, to_x), min(y, to_y), abs(to_x - x), abs(to_y - y))
    raise open_shape(kind, file)


def _is_table(value: Any) -> bool:
    return isinstance(value, dict)


FORMS: Final[dict[str, Callable[[Path, Convention], Iterator[Labelled]]]] = {
    "mvtec": _mvtec,
    "coco": _coco,
    "via": _via,
    "labelme": _labelme,
    "yolo": read_yolo,
    "cvat": read_cvat,
    "severstal": read_severstal,
    "label-studio": read_label_studio,
    "masks": read_masks,
    "folders": read_folders,
}
"""The forms of labels, by name."""
