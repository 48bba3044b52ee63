"""Finds out in which form the labels of a folder are, so that nobody must know the names of forms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.training.data.form_folders import BAD_FOLDERS, GOOD_FOLDERS, MASK_FOLDERS
from edge_inspector.training.data.index_file import INDEX
from edge_inspector.training.data.label_files import PICTURES, SPLITS, read_json

INDEXED: Final = "index"
"""Not a form to convert: the folder has an index.csv already."""


def guess_form(source: Path) -> str:
    """The form of the folder's labels. Raises ConfigError if there is none that it could be."""
    for name, fits in _SIGNS.items():
        if fits(source):
            return name
    pictures = sum(1 for _ in _pictures(source))
    what = (
        f"has {pictures} pictures and no labels in a known form: sort them into the folders good and bad, or add "
        "index.csv with the columns image and class"
        if pictures
        else "has no pictures"
    )
    raise ConfigError([Fault(str(source), what)])


def _pictures(source: Path) -> Iterator[Path]:
    return (path for path in source.rglob("*") if path.suffix.lower() in PICTURES)


def _folders(source: Path) -> set[str]:
    return {child.name.casefold() for child in source.iterdir() if child.is_dir()}


def _tables(source: Path) -> Iterator[Any]:
    """One JSON file of each place. A folder of labelme has thousands, and one is enough."""
    for place in (source, source / "annotations", *(source / name for name in SPLITS)):
        for path in sorted(place.glob("*.json"))[:1]:
            yield read_json(path)


def _any_table(fits: Callable[[Any], bool]) -> Callable[[Path], bool]:
    return lambda source: any(fits(table) for table in _tables(source))


def _is_mvtec(source: Path) -> bool:
    return (source / "train" / "good").is_dir() and (source / "test").is_dir()


def _is_yolo(source: Path) -> bool:
    texts = (path for path in source.rglob("*.txt") if path.name not in {"labelmap.txt", "classes.txt"})
    return any(
        any(path.with_suffix(kind).is_file() for kind in PICTURES) or "labels" in path.relative_to(source).parts
        for path in texts
    )


def _is_via(table: Any) -> bool:
    images = table.get("_via_img_metadata", table) if isinstance(table, dict) else {}
    return isinstance(images, dict) and any(isinstance(each, dict) and "regions" in each for each in images.values())


def _has_masks(source: Path) -> bool:
    named = bool(_folders(source) & {name.casefold() for name in MASK_FOLDERS})
    return named or any(path.stem.endswith("_mask") for path in _pictures(source))


def _is_severstal(source: Path) -> bool:
    for path in source.glob("*.csv"):
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            if "EncodedPixels" in file.readline(1000):
                return True
    return False


_SIGNS: Final[dict[str, Callable[[Path], bool]]] = {
    INDEXED: lambda source: (source / INDEX).is_file(),
    "mvtec": _is_mvtec,
    "folders": lambda source: bool(_folders(source) & (GOOD_FOLDERS | BAD_FOLDERS)),
    "coco": _any_table(lambda table: isinstance(table, dict) and {"images", "categories"} <= table.keys()),
    "labelme": _any_table(lambda table: isinstance(table, dict) and "shapes" in table),
    "label-studio": _any_table(lambda table: isinstance(table, list)),
    "via": _any_table(_is_via),
    "cvat": lambda source: (source / "annotations.xml").is_file(),
    "severstal": _is_severstal,
    "yolo": _is_yolo,
    "masks": _has_masks,
}
