"""Label files of other tools, read with suspicion: MVTec-AD's layout, and polygons by COCO, VIA and labelme.

They come from anywhere: names that leave the folder, lists without end and coordinates that are no numbers are
refused, with the place named.
"""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.training.data.folder import misplaced

_LARGEST_LABELS: Final = 512 << 20
_MOST_POINTS: Final = 100_000
_PICTURES: Final = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})

Polygon = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Labelled:
    """One image and, per class, its mask's file or its polygons in pixels; nothing for a good image."""

    image: Path
    polygons: dict[str, list[Polygon]]
    masks: dict[str, Path]


def _mvtec(source: Path) -> Iterator[Labelled]:
    """train/good, test/CLASS and ground_truth/CLASS/*_mask.png; its own split has no defect to learn from."""
    for path in _pictures(source / "train" / "good"):
        yield Labelled(path, {}, {})
    test = source / "test"
    if not test.is_dir():
        raise ConfigError([Fault(str(test), "is no folder: this is not MVTec-AD's layout")])
    for folder in sorted(child for child in test.iterdir() if child.is_dir()):
        for path in _pictures(folder):
            if folder.name == "good":
                yield Labelled(path, {}, {})
                continue
            masks = source / "ground_truth" / folder.name
            mask = next((m for m in (masks / f"{path.stem}_mask.png", masks / f"{path.stem}.png") if m.is_file()), None)
            if mask is None:
                raise ConfigError([Fault(str(path), "has no mask in ground_truth")])
            yield Labelled(path, {}, {folder.name: mask})


def _coco(source: Path) -> Iterator[Labelled]:
    """Every *.json in the folder with images, annotations and categories; polygons only, no RLE."""
    for file in _label_files(source):
        table = _read(file)
        if not isinstance(table, dict) or not {"images", "annotations", "categories"} <= table.keys():
            continue
        names = {_field(c, "id", file): str(_field(c, "name", file)) for c in _list(table, "categories", file)}
        known = {_field(image, "id", file) for image in _list(table, "images", file)}
        polygons: dict[Any, dict[str, list[Polygon]]] = {}
        for each in _list(table, "annotations", file):
            shapes = _field(each, "segmentation", file)
            kind = names.get(_field(each, "category_id", file))
            if kind is None or not isinstance(shapes, list) or not shapes:
                raise ConfigError([Fault(str(file), "an annotation has no known category, or no polygon (RLE? box?)")])
            number = _field(each, "image_id", file)
            if number not in known:
                raise ConfigError([Fault(str(file), f"an annotation is of image {number!r}, which is not listed")])
            own = polygons.setdefault(number, {})
            for shape in shapes:
                numbers = shape if isinstance(shape, list) else []
                own.setdefault(kind, []).append(_polygon(numbers[0::2], numbers[1::2], file))
        for image in _list(table, "images", file):
            path = _inside(source, str(_field(image, "file_name", file)), file)
            yield Labelled(path, polygons.get(_field(image, "id", file), {}), {})


def _via(source: Path) -> Iterator[Labelled]:
    """VIA 2 projects or exports: regions with polygon shapes; the class is the first region attribute."""
    for file in _label_files(source):
        table = _read(file)
        images = table.get("_via_img_metadata", table) if isinstance(table, dict) else {}
        for each in images.values() if isinstance(images, dict) else ():
            if not isinstance(each, dict) or "filename" not in each:
                continue
            polygons: dict[str, list[Polygon]] = {}
            for region in _values({"regions": []} | each, "regions", file):
                shape = _field(region, "shape_attributes", file)
                kind = next((str(kind) for kind in _values(region, "region_attributes", file) if kind), "defect")
                _refuse_lines(_field(shape, "name", file), file)
                outline = _polygon(_list(shape, "all_points_x", file), _list(shape, "all_points_y", file), file)
                polygons.setdefault(kind, []).append(outline)
            yield Labelled(_inside(source, str(each["filename"]), file), polygons, {})


def _labelme(source: Path) -> Iterator[Labelled]:
    """One *.json per image with shapes; an image without one is good."""
    labelled: set[Path] = set()
    for file in _label_files(source):
        table = _read(file)
        if not isinstance(table, dict) or "shapes" not in table or "imagePath" not in table:
            continue
        path = _inside(source, str(table["imagePath"]).replace("\\", "/").rpartition("/")[2], file)
        polygons: dict[str, list[Polygon]] = {}
        for shape in _list(table, "shapes", file):
            points = _list(shape, "points", file)
            _refuse_lines(shape.get("shape_type") or "polygon", file)
            if any(not isinstance(point, list) or len(point) != 2 for point in points):
                raise ConfigError([Fault(str(file), "a point is not [x, y]")])
            outline = _polygon([point[0] for point in points], [point[1] for point in points], file)
            polygons.setdefault(str(_field(shape, "label", file)), []).append(outline)
        labelled.add(path)
        yield Labelled(path, polygons, {})
    for path in _pictures(source):
        if path.resolve() not in labelled:
            yield Labelled(path, {}, {})


def _label_files(source: Path) -> list[Path]:
    files = sorted(path for path in source.glob("*.json") if path.is_file())
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
    """Those of a list, or of a table whose keys do not matter."""
    value = _field(table, name, file)
    return list(value.values()) if isinstance(value, dict) else _list(table, name, file)


def _refuse_lines(shape: Any, file: Path) -> None:
    """See that a shape is closed: filled, a line along a crack is all that its ends embrace. Raises ConfigError."""
    if shape != "polygon":
        raise ConfigError([Fault(str(file), f"a shape is a {str(shape)[:40]}: draw polygons around the defects")])


def _polygon(xs: list[Any], ys: list[Any], file: Path) -> Polygon:
    """Points in pixels. Raises ConfigError for anything that is not at least three pairs of finite numbers."""
    if len(xs) != len(ys) or not 3 <= len(xs) <= _MOST_POINTS:
        raise ConfigError([Fault(str(file), f"a polygon has {len(xs)} x and {len(ys)} y values")])
    for value in (*xs, *ys):
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
            raise ConfigError([Fault(str(file), f"a coordinate is no number: {str(value)[:40]}")])
    return list(zip(map(float, xs), map(float, ys), strict=True))


def _inside(source: Path, name: str, file: Path) -> Path:
    what = misplaced(source, name)
    if what or Path(name).suffix.lower() not in _PICTURES:
        raise ConfigError([Fault(str(file), f"picture {name[:200]!r} {what or 'is of no known kind'}")])
    return (source / name).resolve()


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in _PICTURES and path.is_file())


FORMS: Final[dict[str, Callable[[Path], Iterator[Labelled]]]] = {
    "mvtec": _mvtec,
    "coco": _coco,
    "via": _via,
    "labelme": _labelme,
}
