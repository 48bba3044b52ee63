"""Reads label files of other tools: MVTec-AD's layout, and shapes from COCO, VIA and labelme.

The files can come from anywhere. Names that leave the folder, endless lists and invalid coordinates are refused, and
the message names the place.
"""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.training.data import shapes
from edge_inspector.training.data.index_file import misplaced
from edge_inspector.training.data.shapes import Fill

T = TypeVar("T")

_LARGEST_LABELS: Final = 512 << 20
_IGNORED: Final = "__ignore__"  # labelme's own word for a region that is neither good nor bad
_BACKGROUND: Final = "_background_"
_PICTURES: Final = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})


@dataclass(frozen=True, slots=True)
class Convention:
    """Choices that a tool's file leaves open. `class_attribute`: VIA's attribute that names the class.

    `boxes`: rectangles count as masks, although most of their area is good.
    """

    class_attribute: str = ""
    boxes: bool = False


@dataclass(frozen=True, slots=True)
class Labelled:
    """One image with a mask file or shapes per class. A good image has none.

    `labelled` is false if no label file names the image. `note` says why it must not be used for training.
    """

    image: Path
    drawn: dict[str, list[Fill]] = field(default_factory=dict)
    _: KW_ONLY
    masks: dict[str, Path] = field(default_factory=dict)
    labelled: bool = True
    note: str = ""


def _mvtec(source: Path, _: Convention) -> Iterator[Labelled]:
    """train/good, test/CLASS and ground_truth/CLASS/*_mask.png. MVTec's own training split has no defects."""
    for path in _pictures(source / "train" / "good"):
        yield Labelled(path)
    test = source / "test"
    if not test.is_dir():
        raise ConfigError([Fault(str(test), "is no folder: this is not MVTec-AD's layout")])
    for folder in sorted(child for child in test.iterdir() if child.is_dir()):
        for path in _pictures(folder):
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
    for file in _label_files(source):
        table = _read(file)
        if not isinstance(table, dict) or not {"images", "annotations", "categories"} <= table.keys():
            continue
        names = {_field(c, "id", file): str(_field(c, "name", file)) for c in _list(table, "categories", file)}
        known = {_field(image, "id", file) for image in _list(table, "images", file)}
        drawn: dict[Any, dict[str, list[Fill]]] = {}
        for each in _list(table, "annotations", file):
            kind = names.get(_field(each, "category_id", file))
            if kind is None:
                raise ConfigError([Fault(str(file), "an annotation has no known category")])
            number = _field(each, "image_id", file)
            if number not in known:
                raise ConfigError([Fault(str(file), f"an annotation is of image {number!r}, which is not listed")])
            drawn.setdefault(number, {}).setdefault(kind, []).extend(_segments(each, file, convention))
        for image in _list(table, "images", file):
            path = _picture(source, str(_field(image, "file_name", file)), file)
            yield Labelled(path, drawn.get(_field(image, "id", file), {}))


def _segments(annotation: Any, file: Path, convention: Convention) -> Iterator[Fill]:
    """The polygons or run lengths of an annotation, or its box if boxes are allowed."""
    found = _field(annotation, "segmentation", file)
    if isinstance(found, dict):
        yield _shape(file, shapes.run_lengths, found.get("counts"), found.get("size"))
    elif found and isinstance(found, list):
        for outline in found:
            numbers = outline if isinstance(outline, list) else []
            yield _shape(file, shapes.polygon, numbers[0::2], numbers[1::2])
    else:
        box = _list(annotation, "bbox", file) if "bbox" in annotation else []
        yield _boxed(file, convention, *box)


def _via(source: Path, convention: Convention) -> Iterator[Labelled]:
    """VIA 2 projects or exports."""
    for file in _label_files(source):
        table = _read(file)
        images = table.get("_via_img_metadata", table) if isinstance(table, dict) else {}
        menus = _menus(table)
        for each in images.values() if isinstance(images, dict) else ():
            if not isinstance(each, dict) or "filename" not in each:
                continue
            drawn: dict[str, list[Fill]] = {}
            for region in _values({"regions": []} | each, "regions", file):
                kinds = _via_classes(_field(region, "region_attributes", file), menus, file, convention)
                outline = _via_shape(_field(region, "shape_attributes", file), file, convention)
                for kind in kinds:
                    drawn.setdefault(kind, []).append(outline)
            yield Labelled(_picture(source, str(each["filename"]), file), drawn)


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
        what = f"regions have the attributes {', '.join(filled)}: say which one is the class, --class-attribute NAME"
        raise ConfigError([Fault(str(file), what)])
    if convention.class_attribute and name not in filled:
        raise ConfigError([Fault(str(file), f"a region has no attribute {name!r}; it has: {', '.join(filled)}")])
    value = filled.get(name, "defect")
    chosen = [key for key, ticked in value.items() if ticked] if isinstance(value, dict) else [value]
    menu = menus.get(name, {})
    # VIA may store a check box's option by its own name, but a menu's choice by a number that stands for it.
    yield from (str(menu.get(str(key)) or key) for key in chosen)


def _via_shape(shape: Any, file: Path, convention: Convention) -> Fill:
    kind = _field(shape, "name", file)
    if kind == "polygon":
        return _shape(file, shapes.polygon, _list(shape, "all_points_x", file), _list(shape, "all_points_y", file))
    if kind == "rect":
        return _boxed(file, convention, *(shape.get(name) for name in ("x", "y", "width", "height")))
    if kind == "circle":
        radius = shape.get("r")
        return _shape(file, shapes.ellipse, shape.get("cx"), shape.get("cy"), radius, radius)
    if kind == "ellipse":
        return _shape(
            file, shapes.ellipse, *(shape.get(name) for name in ("cx", "cy", "rx", "ry")), shape.get("theta", 0)
        )
    raise _open_shape(kind, file)


def _labelme(source: Path, convention: Convention) -> Iterator[Labelled]:
    """One *.json with shapes per image. An image without one has no defect, or nobody has looked at it."""
    labelled: set[Path] = set()
    for file in _label_files(source):
        table = _read(file)
        if not isinstance(table, dict) or "shapes" not in table or "imagePath" not in table:
            continue
        path = _picture(source, str(table["imagePath"]).replace("\\", "/").rpartition("/")[2], file)
        drawn: dict[str, list[Fill]] = {}
        note = ""
        for shape in _list(table, "shapes", file):
            kind = str(_field(shape, "label", file))
            if kind == _IGNORED:
                note = "has a region to ignore"
            elif kind != _BACKGROUND:
                drawn.setdefault(kind, []).append(_labelme_shape(shape, file, convention))
        labelled.add(path)
        yield Labelled(path, drawn, note=note)
    for path in _pictures(source):
        if path.resolve() not in labelled:
            yield Labelled(path, labelled=False)


def _labelme_shape(shape: Any, file: Path, convention: Convention) -> Fill:
    kind, points = shape.get("shape_type") or "polygon", _list(shape, "points", file)
    if any(not isinstance(point, list) or len(point) != 2 for point in points):
        raise ConfigError([Fault(str(file), "a point is not [x, y]")])
    if kind == "polygon":
        return _shape(file, shapes.polygon, [point[0] for point in points], [point[1] for point in points])
    if kind in {"rectangle", "circle", "mask"} and len(points) != 2:
        raise ConfigError([Fault(str(file), f"a {kind} has {len(points)} points, not two")])
    if kind == "mask":
        return _shape(file, shapes.stamp, shape.get("mask"), points[0])
    if kind in {"rectangle", "circle"}:
        (x, y), (to_x, to_y) = ([_shape(file, shapes.number, value) for value in point] for point in points)
        if kind == "circle":
            radius = math.hypot(to_x - x, to_y - y)
            return _shape(file, shapes.ellipse, x, y, radius, radius)
        return _boxed(file, convention, min(x, to_x), min(y, to_y), abs(to_x - x), abs(to_y - y))
    raise _open_shape(kind, file)


def _boxed(file: Path, convention: Convention, *box: Any) -> Fill:
    if not convention.boxes:
        what = "a defect is marked by a box: draw its outline, or take the whole box for defective with --boxes"
        raise ConfigError([Fault(str(file), what)])
    if len(box) != 4:
        raise ConfigError([Fault(str(file), "an annotation has neither an outline nor a box of four numbers")])
    return _shape(file, shapes.rectangle, *box)


def _shape(file: Path, make: Callable[..., T], *given: Any) -> T:
    try:
        return make(*given)
    except ValueError as error:
        raise ConfigError([Fault(str(file), str(error))]) from error


def _open_shape(shape: Any, file: Path) -> ConfigError:
    """The error for an open line along a crack: filled, it would cover all the area between its ends."""
    return ConfigError([Fault(str(file), f"a shape is a {str(shape)[:40]}: draw polygons around the defects")])


def _is_table(value: Any) -> bool:
    return isinstance(value, dict)


def _label_files(source: Path) -> list[Path]:
    places = (source, source / "annotations")
    files = sorted(path for place in places for path in place.glob("*.json") if path.is_file())
    if not files:
        raise ConfigError([Fault(str(source), "has no *.json with labels")])
    return files


def _read(file: Path) -> Any:
    if file.stat().st_size > _LARGEST_LABELS:
        raise ConfigError([Fault(str(file), f"is larger than {_LARGEST_LABELS >> 20} MB")])
    try:
        return json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError([Fault(str(file), f"cannot be read: {error}")]) from error


def _field(table: Any, name: str, file: Path) -> Any:
    if not isinstance(table, dict) or name not in table:
        raise ConfigError([Fault(str(file), f"{name!r} is missing where it must be")])
    value = table[name]
    if (name == "id" or name.endswith("_id")) and not isinstance(value, int | str):
        raise ConfigError([Fault(str(file), f"{name!r} must be a number or a name")])
    return value


def _list(table: Any, name: str, file: Path) -> list[Any]:
    value = _field(table, name, file)
    if not isinstance(value, list):
        raise ConfigError([Fault(str(file), f"{name!r} must be a list")])
    return value


def _values(table: Any, name: str, file: Path) -> list[Any]:
    """The items of a list, or the values of a table whose keys do not matter."""
    value = _field(table, name, file)
    return list(value.values()) if isinstance(value, dict) else _list(table, name, file)


def _picture(source: Path, name: str, file: Path) -> Path:
    """The path of a picture that a label file names: in the folder, or in its `images`, or in a folder of that."""
    base = name.replace("\\", "/").rpartition("/")[2]
    what = misplaced(source, name)
    if what == "is missing":
        elsewhere = [found for place in ("images", "images/*") for found in source.glob(f"{place}/{_literal(base)}")]
        if len(elsewhere) == 1:
            name = elsewhere[0].relative_to(source).as_posix()
            what = misplaced(source, name)
    if what or Path(name).suffix.lower() not in _PICTURES:
        raise ConfigError([Fault(str(file), f"picture {name[:200]!r} {what or 'is of no known kind'}")])
    return (source / name).resolve()


def _literal(name: str) -> str:
    """A name for `glob`, with its special characters escaped."""
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in name)


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in _PICTURES and path.is_file())


FORMS: Final[dict[str, Callable[[Path, Convention], Iterator[Labelled]]]] = {
    "mvtec": _mvtec,
    "coco": _coco,
    "via": _via,
    "labelme": _labelme,
}
