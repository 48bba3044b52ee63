"""Folders as people make them: good and bad ones side by side, or pictures with a mask for each."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.training.data import shapes
from edge_inspector.training.data.label_files import (
    PICTURES,
    TO_IGNORE,
    Convention,
    Labelled,
    pictures_in,
    read_text,
    split_of,
)
from edge_inspector.training.data.masks import read_mask
from edge_inspector.training.data.pictures import read_pixels, refuse_turned
from edge_inspector.training.data.shapes import Fill, Image

GOOD_FOLDERS: Final = frozenset({"good", "ok", "normal", "pass"})
BAD_FOLDERS: Final = frozenset({"bad", "ng", "nok", "defect", "defects", "defective", "fail"})
PICTURE_FOLDERS: Final = ("images", "imgs", "JPEGImages", "image", "img")
MASK_FOLDERS: Final = ("masks", "mask", "SegmentationClass", "labels", "ground_truth", "annotations", "ann")
_ENDINGS: Final = ("_mask", "-mask", ".mask", "_label", "_gt", "")
_IGNORED: Final = 255
NO_MASK: Final = "no mask"
"""The note of a picture that is known to be bad, but not where."""


def read_folders(source: Path, _: Convention) -> Iterator[Labelled]:
    """good/ and bad/, with masks beside the bad pictures or in a folder `masks`. Bad ones may have no mask."""
    kinds = {child.name.casefold(): child for child in sorted(source.iterdir()) if child.is_dir()}
    good = [kinds[name] for name in sorted(kinds.keys() & GOOD_FOLDERS)]
    bad = [kinds[name] for name in sorted(kinds.keys() & BAD_FOLDERS)]
    if not good and not bad:
        raise ConfigError([Fault(str(source), "has no folder good (or OK) and no folder bad (or NG)")])
    _refuse_others(source, [*good, *bad])
    for folder in good:
        for path in _below(folder):
            yield Labelled(path.resolve())
    for folder in bad:
        for path in _below(folder):
            kind = path.parent.name if path.parent != folder else "defect"
            mask = _mask_of(path, [path.parent, path.parent / "masks", folder / "masks", source / "masks"])
            if mask is None:
                yield Labelled(path.resolve(), {kind: [_nothing]}, note=NO_MASK)
            else:
                refuse_turned(path)
                yield Labelled(path.resolve(), {kind: [shapes.drawn_as(partial(read_mask, mask))]})


def read_masks(source: Path, convention: Convention) -> Iterator[Labelled]:
    """images/ and masks/ with the same names, or x.png and x_mask.png side by side. Each picture has a mask."""
    colours = _label_map(source)
    used: set[Path] = set()
    for path in _with_masks(source):
        mask = _mask_of(path, [path.parent, *_mask_folders(path, source)])
        used |= set() if mask is None else {mask}
        if mask is None:
            yield Labelled(path.resolve(), labelled=False, split=split_of(path, source))
            continue
        refuse_turned(path)
        drawn, note = _coloured(mask, colours) if colours else _numbered(mask, convention)
        yield Labelled(path.resolve(), drawn, note=note, split=split_of(path, source))
    lost = [path for path in _masks(source) if path not in used]
    if lost:
        what = f"{len(lost)} masks belong to no picture, and such a picture would count as good: give both one name"
        raise ConfigError([Fault(str(lost[0]), what)])
    if not used:
        raise ConfigError([Fault(str(source), "has no picture with a mask beside it or in `masks`")])


def _masks(source: Path) -> list[Path]:
    """The pictures in folders for masks, or with a name of a mask."""
    pictures = sorted(path for path in source.rglob("*") if path.suffix.lower() in PICTURES and path.is_file())
    return [path for path in pictures if _is_mask(path) or {*path.relative_to(source).parts[:-1]} & {*MASK_FOLDERS}]


def _nothing(_: Image) -> None:
    """Nobody drew where the defect is."""


def _refuse_others(source: Path, kinds: list[Path]) -> None:
    """Raise ConfigError for pictures of which nobody said whether they are good."""
    for place in (source, *(child for child in sorted(source.iterdir()) if child.is_dir())):
        if place in kinds or place.name in MASK_FOLDERS:
            continue
        pictures = pictures_in(source) if place == source else _below(place)
        if pictures:
            what = (
                f"has {len(pictures)} pictures that are in neither good nor bad: move them into one of these, or away"
            )
            raise ConfigError([Fault(str(place), what)])


def _below(folder: Path) -> list[Path]:
    """The pictures of a folder and of all folders in it, without masks."""
    places = [folder, *(child for child in sorted(folder.rglob("*")) if child.is_dir())]
    named = [place for place in places if not {*place.relative_to(folder).parts} & {*MASK_FOLDERS}]
    return [path for place in named for path in pictures_in(place) if not _is_mask(path)]


def _is_mask(path: Path) -> bool:
    return any(path.stem.endswith(ending) for ending in _ENDINGS if ending)


def _mask_of(picture: Path, places: list[Path]) -> Path | None:
    names = [f"{picture.stem}{ending}{kind}" for ending in _ENDINGS for kind in (".png", ".bmp", ".tif", ".tiff")]
    tried = (place / name for place in places for name in (*names, picture.name))
    return next((path for path in tried if path.is_file() and path != picture), None)


def _with_masks(source: Path) -> Iterator[Path]:
    roots = [source / name for name in PICTURE_FOLDERS if (source / name).is_dir()] or [source]
    for path in sorted(path for root in roots for path in root.rglob("*")):
        inside = set(path.relative_to(source).parts[:-1])
        if path.suffix.lower() in PICTURES and path.is_file() and not inside & {*MASK_FOLDERS} and not _is_mask(path):
            yield path


def _mask_folders(picture: Path, source: Path) -> Iterator[Path]:
    """`masks` where the picture lies in `images`, whatever folders are around both."""
    parts = picture.relative_to(source).parts[:-1]
    for name in MASK_FOLDERS:
        yield source / name
        yield picture.parent / name
        yield source.joinpath(*(name if part in PICTURE_FOLDERS else part for part in parts))
        yield source / name / Path(*(part for part in parts if part not in PICTURE_FOLDERS))


def _numbered(path: Path, convention: Convention) -> tuple[dict[str, list[Fill]], str]:
    """Regions of a mask of class numbers that have names, otherwise of a mask of 0 and 255.

    With numbers, 255 is a border or a region to ignore, as in Pascal VOC.
    """
    numbers = {int(name) for name in convention.names if name.isdecimal()}
    if not numbers:
        mask = read_mask(path)
        return ({"defect": [shapes.drawn_as(partial(read_mask, path))]} if (mask > 127).any() else {}), ""
    plane = _plane(path)
    values = {int(value) for value in np.unique(plane)} - {0}
    unknown = sorted(values - numbers - {_IGNORED})
    if unknown:
        what = f"holds the class numbers {', '.join(map(str, unknown))}: name each, as --class {unknown[0]}=NAME"
        raise ConfigError([Fault(str(path), what)])
    named = sorted(values & numbers)
    drawn = {str(number): [shapes.drawn_as(partial(_where, path, number))] for number in named}
    return drawn, TO_IGNORE if _IGNORED in values - numbers else ""


def _plane(path: Path) -> NDArray[Any]:
    pixels = read_pixels(path, cv2.IMREAD_UNCHANGED)
    if pixels.ndim != 2:
        what = "holds colours, not class numbers: a palette shows its colours here. Add a labelmap.txt (name:r,g,b::)"
        raise ConfigError([Fault(str(path), what)])
    return pixels


def _where(path: Path, number: int) -> Image:
    return np.where(_plane(path) == number, np.uint8(255), np.uint8(0)).astype(np.uint8)


def _label_map(source: Path) -> dict[tuple[int, ...], str]:
    """The colours of CVAT's labelmap.txt: `name:r,g,b::`. Empty if there is no such file."""
    file = source / "labelmap.txt"
    if not file.is_file():
        return {}
    found: dict[tuple[int, ...], str] = {}
    for line in read_text(file).splitlines():
        name, _, rest = line.partition(":")
        colour = rest.partition(":")[0].split(",")
        if line.startswith("#") or not line.strip():
            continue
        if len(colour) != 3 or not all(each.strip().isdecimal() for each in colour):
            raise ConfigError([Fault(str(file), f"{line[:80]!r} is not name:r,g,b::")])
        found[tuple(int(each) for each in colour)] = name
    return found


def _coloured(path: Path, colours: dict[tuple[int, ...], str]) -> tuple[dict[str, list[Fill]], str]:
    pixels = read_pixels(path, cv2.IMREAD_COLOR)[..., ::-1]
    present = {tuple(int(value) for value in colour) for colour in np.unique(pixels.reshape(-1, 3), axis=0)}
    unknown = sorted(present - colours.keys() - {(0, 0, 0)})
    if unknown:
        raise ConfigError([Fault(str(path), f"holds the colour {unknown[0]}, which labelmap.txt does not name")])
    drawn = {}
    for colour in sorted(present - {(0, 0, 0)}):
        if colours[colour].casefold() != "background":
            drawn[colours[colour]] = [shapes.drawn_as(partial(_of_colour, path, colour))]
    return drawn, ""


def _of_colour(path: Path, colour: tuple[int, ...]) -> Image:
    same = (read_pixels(path, cv2.IMREAD_COLOR)[..., ::-1] == colour).all(axis=2)
    return np.where(same, np.uint8(255), np.uint8(0)).astype(np.uint8)
