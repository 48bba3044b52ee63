"""What all readers of label files share: what they yield, and how they read a file that can come from anywhere.

Names that leave the folder, endless lists and invalid coordinates are refused, and the message names the place.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.training.data import shapes
from edge_inspector.training.data.index_file import IGNORED, misplaced
from edge_inspector.training.data.shapes import Fill

T = TypeVar("T")

LARGEST_LABELS: Final = 512 << 20
_LARGEST_TEXT: Final = 16 << 20
_MOST_LISTS: Final = 8 << 20  # in one file. Each takes two bytes there, and at least 56 in memory
PICTURES: Final = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
"""The endings of pictures."""
SPLITS: Final = {"train": "train", "valid": "val", "val": "val", "test": "test"}
"""Names of folders that mean a split."""


TO_IGNORE: Final = "has a region to ignore"
"""The note of a picture with such a region."""


@dataclass(frozen=True, slots=True)
class Convention:
    """Choices that a tool's file leaves open. `class_attribute`: VIA's attribute that names the class.

    `boxes`: rectangles count as masks, although most of their area is good. `names`: other names for classes, and names
    for class numbers. `dropped`: classes that do not matter. Their regions count as good.
    """

    class_attribute: str = ""
    boxes: bool = False
    names: Mapping[str, str] = field(default_factory=dict)
    dropped: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Labelled:
    """One image with a mask file or shapes per class. A good image has none.

    `labelled` is false if no label file names the image. `note` says why it must not be used for training. `split` is
    what the tool says, or empty.
    """

    image: Path
    drawn: dict[str, list[Fill]] = field(default_factory=dict)
    _: KW_ONLY
    masks: dict[str, Path] = field(default_factory=dict)
    labelled: bool = True
    note: str = ""
    split: str = ""


def boxed(file: Path, convention: Convention, *box: Any) -> Fill:
    """A box from its corner and size, if boxes are allowed. Raises ConfigError."""
    if not convention.boxes:
        what = "a defect is marked by a box: draw its outline, or take the whole box for defective with --boxes"
        raise ConfigError([Fault(str(file), what)])
    if len(box) != 4:
        raise ConfigError([Fault(str(file), "an annotation has neither an outline nor a box of four numbers")])
    return shape_of(file, shapes.rectangle, *box)


def shape_of(file: Path, make: Callable[..., T], *given: Any, **named: Any) -> T:
    """The shape, with the file in the message if it is invalid. Raises ConfigError."""
    try:
        return make(*given, **named)
    except ValueError as error:
        raise ConfigError([Fault(str(file), str(error))]) from error


def open_shape(shape: Any, file: Path) -> ConfigError:
    """The error for an open line along a crack: filled, it would cover all the area between its ends."""
    return ConfigError([Fault(str(file), f"a shape is a {str(shape)[:40]}: draw polygons around the defects")])


def label_files(source: Path, kind: str = "json") -> list[Path]:
    """The label files of a folder, of its `annotations`, and of its folders for splits."""
    places = (source, source / "annotations", *(source / name for name in SPLITS))
    files = sorted(path for place in places for path in place.glob(f"*.{kind}") if path.is_file())
    if not files:
        raise ConfigError([Fault(str(source), f"has no *.{kind} with labels")])
    return files


def split_of(file: Path, source: Path) -> str:
    """The split that a file's folders name, as `train/images/a.png` or `images/val/a.png`. Otherwise ""."""
    folders = file.relative_to(source).parts[:-1]
    return next((SPLITS[name] for name in folders if name in SPLITS), "")


def merged(found: Iterable[Labelled]) -> list[Labelled]:
    """One item for each image. Several label files may each know some of its regions."""
    by_image: dict[Path, Labelled] = {}
    for each in found:
        before = by_image.get(each.image)
        by_image[each.image] = each if before is None else _joined(before, each)
    return list(by_image.values())


def _joined(one: Labelled, other: Labelled) -> Labelled:
    drawn = {kind: [*one.drawn.get(kind, []), *other.drawn.get(kind, [])] for kind in {**one.drawn, **other.drawn}}
    return Labelled(
        one.image,
        drawn,
        masks={**one.masks, **other.masks},
        labelled=one.labelled or other.labelled,
        note=one.note or other.note,
        split=one.split or other.split,
    )


def renamed(each: Labelled, convention: Convention) -> Labelled:
    """The same with the class names that were asked for, and without dropped classes and regions to ignore."""
    drawn: dict[str, list[Fill]] = {}
    for kind, fills in each.drawn.items():
        if kind not in convention.dropped:
            drawn.setdefault(convention.names.get(kind, kind), []).extend(fills)
    kept = {kind: mask for kind, mask in each.masks.items() if kind not in convention.dropped}
    masks = {convention.names.get(kind, kind): mask for kind, mask in kept.items()}
    if len(masks) < len(kept):
        raise ConfigError([Fault(str(each.image), "has masks of two classes that would get one name")])
    ignores = drawn.pop(IGNORED, None) is not None or masks.pop(IGNORED, None) is not None
    return replace(each, drawn=drawn, masks=masks, note=each.note or (TO_IGNORE if ignores else ""))


def read_json(file: Path) -> Any:
    """The content of a JSON file. Raises ConfigError."""
    if file.stat().st_size > LARGEST_LABELS:
        raise ConfigError([Fault(str(file), f"is larger than {LARGEST_LABELS >> 20} MB")])
    try:
        text = file.read_text(encoding="utf-8-sig")
        if text.count("[") + text.count("{") > _MOST_LISTS:
            raise ConfigError([Fault(str(file), f"has more than {_MOST_LISTS} lists and tables: split it")])
        return json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError([Fault(str(file), f"cannot be read: {error}")]) from error


def read_text(file: Path) -> str:
    """The text of a small file. Raises ConfigError."""
    try:
        if file.stat().st_size > _LARGEST_TEXT:
            raise ConfigError([Fault(str(file), f"is larger than {_LARGEST_TEXT >> 20} MB")])
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([Fault(str(file), f"cannot be read: {error}")]) from error


def field_of(table: Any, name: str, file: Path) -> Any:
    """A field of a table. Raises ConfigError if it is missing."""
    if not isinstance(table, dict) or name not in table:
        raise ConfigError([Fault(str(file), f"{name!r} is missing where it must be")])
    value = table[name]
    if (name == "id" or name.endswith("_id")) and not isinstance(value, int | str):
        raise ConfigError([Fault(str(file), f"{name!r} must be a number or a name")])
    return value


def list_of(table: Any, name: str, file: Path) -> list[Any]:
    """A list in a table. Raises ConfigError if it is none."""
    value = field_of(table, name, file)
    if not isinstance(value, list):
        raise ConfigError([Fault(str(file), f"{name!r} must be a list")])
    return value


def values_of(table: Any, name: str, file: Path) -> list[Any]:
    """The items of a list, or the values of a table whose keys do not matter."""
    value = field_of(table, name, file)
    return list(value.values()) if isinstance(value, dict) else list_of(table, name, file)


def picture_of(source: Path, name: str, file: Path) -> Path:
    """The path of a picture that a label file names: in the folder, or in its `images`, or in a folder of that."""
    base = name.replace("\\", "/").rpartition("/")[2]
    what = misplaced(source, name)
    if what == "is missing":
        elsewhere = [found for place in ("images", "images/*") for found in source.glob(f"{place}/{literal(base)}")]
        if len(elsewhere) == 1:
            name = elsewhere[0].relative_to(source).as_posix()
            what = misplaced(source, name)
    if what or Path(name).suffix.lower() not in PICTURES:
        raise ConfigError([Fault(str(file), f"picture {name[:200]!r} {what or 'is of no known kind'}")])
    return (source / name).resolve()


def literal(name: str) -> str:
    """A name for `glob`, with its special characters escaped."""
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in name)


def pictures_in(folder: Path) -> list[Path]:
    """The pictures that lie directly in a folder, by name. None if there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES and path.is_file())
