"""Converts labels of another form into a folder with index.csv. Every file gets a new name, every image is read."""

import csv
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import cv2
import numpy as np

from edge_inspector.errors import ConfigError, EdgeInspectorError, Fault
from edge_inspector.training.data.dealing import deal_splits
from edge_inspector.training.data.folder import Image
from edge_inspector.training.data.form_guess import INDEXED, guess_form
from edge_inspector.training.data.index_file import INDEX
from edge_inspector.training.data.label_files import PICTURES, Convention, Labelled, merged, renamed
from edge_inspector.training.data.label_forms import FORMS
from edge_inspector.training.data.masks import read_two_valued
from edge_inspector.training.data.pictures import foretell, read_picture, read_pixels, refuse_turned, turned
from edge_inspector.training.data.shapes import LARGEST_SIDE
from edge_inspector.training.data.unpacking import as_folder

_PLAIN: Final = Convention()
_LISTS_ALL: Final = frozenset({"coco", "via", "cvat"})
"""Forms whose files name the good pictures as well."""
_CLASS_NAME: Final = re.compile(r"[\w][\w .+-]{0,63}")


@dataclass(frozen=True, slots=True)
class Imported:
    """How many images were imported, how many of them have no label, and how many have a region to ignore.

    `unnamed`: pictures that no label file names, and that were left out.
    """

    images: int
    unlabelled: int
    ignored: int
    unnamed: int = 0


def import_labels(
    form: str,
    source: Path,
    target: Path,
    *,
    val_share: float,
    group_pattern: str,
    convention: Convention = _PLAIN,
    skip_unlabelled: bool = False,
    good_only: bool = False,
    told: Callable[[str], None] = lambda _: None,
) -> Imported:
    """Write the folder `target`. On an error nothing is left behind. `told` hears how long it takes, if that is long.

    `source` is a folder or a zip file. Without a `form` it is found out. Raises ConfigError, and EdgeInspectorError if
    the disk fails.

    A picture without a label counts as good, unless it is to be left out. Without `good_only` there must be a defect,
    because labels that were not found look like good pictures.
    """
    if target.exists():
        raise ConfigError([Fault(str(target), "exists already")])
    with _disk(target), ExitStack() as stack:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = stack.enter_context(TemporaryDirectory(prefix=f"{target.name}.", dir=target.parent))
        folder = stack.enter_context(as_folder(source, target.parent))
        fresh = Path(scratch) / target.name
        form = form or guess_form(folder)
        if form == INDEXED:
            what = f"has {INDEX} already and needs no import: unpack it if it is a zip file, and give its folder"
            raise ConfigError([Fault(str(source), what)])
        found = [renamed(each, convention) for each in merged(FORMS[form](folder, convention))]
        kept = [each for each in found if each.labelled or not skip_unlabelled]
        _refuse_outside(folder)
        foretell([each.image for each in kept], told)
        rows = list(_rows(kept, fresh, _grouping(group_pattern, folder, kept)))
        if not good_only and not any(row["label"] == "1" for row in rows):
            raise ConfigError([Fault(str(source), f"no defect found in it as {form}")])
        _split(rows, val_share)
        with (fresh / INDEX).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        fresh.replace(target)  # a whole folder. After a power cut it is imported again
        unnamed = _in_no_file(form, folder, found)
    ignored = sum(bool(each.note) for each in kept)
    return Imported(len(kept), sum(not each.labelled for each in found), ignored, unnamed)


@contextmanager
def _disk(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EdgeInspectorError(f"{error.filename or target}: {error.strerror or error}. Nothing was kept") from error


def _refuse_outside(folder: Path) -> None:
    """Raise ConfigError if a link leads out of the folder: whoever packed the folder must not choose what is read."""
    root = folder.resolve()
    for path in folder.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            raise ConfigError([Fault(str(path), f"lies outside {folder}: copy it into the folder")])


def _in_no_file(form: str, folder: Path, found: Iterable[Labelled]) -> int:
    """How many pictures no label file names, if such a file names all pictures."""
    if form not in _LISTS_ALL:
        return 0
    named = {each.image.resolve() for each in found}
    return sum(path.suffix.lower() in PICTURES and path.resolve() not in named for path in folder.rglob("*"))


def _grouping(pattern: str, folder: Path, found: Iterable[Labelled]) -> Callable[[Path], str]:
    if not pattern:
        return _by_name(folder, found)
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ConfigError([Fault("--group-pattern", f"is not a regular expression: {error}")]) from error
    if compiled.groups < 1:
        raise ConfigError([Fault("--group-pattern", "needs one group in parentheses: the grouping key")])

    def key(path: Path) -> str:
        found = compiled.search(path.name)
        if found is None or not found[1]:
            raise ConfigError([Fault("--group-pattern", f"does not match {path.name}")])
        return found[1]

    return key


def _by_name(folder: Path, found: Iterable[Labelled]) -> Callable[[Path], str]:
    """The name is the group. Where numbers start again in each folder, the folder is a part of it.

    Copies that Roboflow has turned or blurred have the name of their original before `.rf.`.
    """
    images = [each.image for each in found]
    again = len({path.stem for path in images}) < len({path.with_suffix("") for path in images})

    def key(path: Path) -> str:
        whole = path.relative_to(folder.resolve()) if path.is_absolute() else path.relative_to(folder)
        return (whole.with_suffix("").as_posix() if again else path.stem).partition(".rf.")[0]

    return key


def _rows(found: Iterable[Labelled], target: Path, group: Callable[[Path], str]) -> Iterator[dict[str, str]]:
    (target / "images").mkdir(parents=True)
    (target / "masks").mkdir()
    for number, labelled in enumerate(found):
        size = _size(labelled.image)
        name = f"{number:06d}_{re.sub(r'[^A-Za-z0-9.-]', '_', labelled.image.stem)[:80]}"
        image = _copied(labelled.image, target, f"images/{name}")
        shared = {"image": image, "group": group(labelled.image), "split": labelled.split, "note": labelled.note}
        kinds = sorted({*labelled.drawn, *labelled.masks})
        if not kinds:
            yield {**shared, "mask": "", "class": "good", "label": "0"}
        for place, kind in enumerate(kinds):
            mask = _mask(labelled, kind, size)
            # The names of classes cannot keep files apart: written in ASCII, many are the same.
            file = f"masks/{name}_{place}.png"
            (target / file).write_bytes(cv2.imencode(".png", mask)[1].tobytes())
            yield {**shared, "mask": file, "class": kind, "label": "1"}


def _copied(image: Path, target: Path, name: str) -> str:
    """The picture's new name. One that is stored turned becomes upright, as its polygons see it."""
    if not turned(image):
        copied = f"{name}{image.suffix.lower()}"
        shutil.copyfile(image, target / copied)
        return copied
    upright = read_pixels(image, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH)
    (target / f"{name}.png").write_bytes(cv2.imencode(".png", upright)[1].tobytes())
    return f"{name}.png"


def _mask(labelled: Labelled, kind: str, shape: tuple[int, int]) -> Image:
    if not _CLASS_NAME.fullmatch(kind):
        raise ConfigError([Fault(str(labelled.image), f"{kind[:80]!r} is not a name for a class")])
    if kind in labelled.masks:
        refuse_turned(labelled.image)
        mask = read_two_valued(labelled.masks[kind])
        if mask.shape != shape:
            raise ConfigError([Fault(str(labelled.masks[kind]), f"is {mask.shape}, its image {shape}")])
        return mask
    drawn: Image = np.zeros(shape, np.uint8)
    for fill in labelled.drawn[kind]:
        try:
            fill(drawn)
        except ValueError as error:
            raise ConfigError([Fault(str(labelled.image), str(error))]) from error
    return drawn


def _size(path: Path) -> tuple[int, int]:
    """Height and width of a picture as viewers show it. Polygons are drawn on this view, too."""
    height, width = read_picture(path, grey=True).shape
    if max(height, width) > LARGEST_SIDE:
        raise ConfigError([Fault(str(path), f"has more than {LARGEST_SIDE} px a side")])
    return height, width


def _split(rows: list[dict[str, str]], val_share: float) -> None:
    """Choose a split for the rows without one. Whole groups go to `val`."""
    chosen = deal_splits(((row["group"], row["class"]) for row in rows if not row["split"]), val_share)
    for row in rows:
        row["split"] = row["split"] or chosen[row["group"]]
