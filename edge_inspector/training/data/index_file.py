"""Reads and checks the file index.csv of a folder of labelled images. Each fault says what to write instead."""

import csv
import posixpath
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, Literal, TypeAlias

from edge_inspector.errors import ConfigError, Fault

Row: TypeAlias = dict[str, str]

INDEX: Final = "index.csv"
GOOD: Final = frozenset({"", "good", "ok"})
"""The words in the column `class` that mean good, in any case of letters."""
IGNORED: Final = "__ignore__"
"""labelme's own word for a region that is neither good nor bad. It is no class, whichever tool wrote it."""
Masks: TypeAlias = Literal["needed", "optional", "ignored"]
"""What a folder's masks are for. With `ignored` their names are dropped, so that nothing can read one."""
_MASK_COLUMNS: Final = ("mask", "mask2", "defect_px", "n_components")
"""The columns that name a mask, or were measured on one."""
SECOND: Final = "masks2"
"""The folder of a second annotator's masks, which have the names of those in `masks`."""


def read_index(root: Path, masks: Masks = "needed") -> list[Row]:
    """The rows of the folder's index. Raises ConfigError with the first twenty faults.

    A missing `label` follows from `class`, and a missing `class` from `label`. `mask` and `split` may be missing too.
    Each row then has them, empty. Unless masks are `needed`, a defective picture may be without one.
    """
    path = root / INDEX
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # Excel puts a byte order mark first
            rows = list(csv.DictReader(file, restval=""))
    except UnicodeDecodeError as error:
        raise ConfigError([Fault(str(path), "is not UTF-8: save it as CSV UTF-8")]) from error
    except (OSError, csv.Error) as error:
        raise ConfigError([Fault(str(path), f"cannot be read: {error}")]) from error
    missing = [] if rows and "image" in rows[0] else ["image"]
    missing += [] if rows and rows[0].keys() & {"class", "label"} else ["class (or label)"]
    if missing:
        raise ConfigError([Fault(str(path), _columns_wanted(missing, rows))])
    if masks == "ignored":
        rows = [{name: value for name, value in row.items() if name not in _MASK_COLUMNS} for row in rows]
    rows = [_completed(row) for row in rows]
    if masks != "ignored":
        rows = [_seconded(root, row) for row in rows]
    found = ((line, what) for line, row in enumerate(rows, 2) for what in _wrong(root, row, masks))
    faults = [Fault(f"{path}: line {line}", what) for line, what in found]
    faults += [Fault(str(path), what) for what in _contradictions(rows)]
    if faults:
        raise ConfigError(faults[:20])
    return rows


def _completed(row: Row) -> Row:
    """The row with the four columns that it may leave out."""
    label, kind = row.get("label", "").strip(), row.get("class", "").strip()
    if "class" not in row:
        kind = "defect" if label == "1" else "good"
    return {
        **row,
        "mask": row.get("mask", ""),
        "class": row.get("class", kind),
        "label": label or str(int(kind.casefold() not in GOOD)),
        "split": row.get("split", ""),
    }


def _seconded(root: Path, row: Row) -> Row:
    """The row with the second annotator's mask, if there is one of this name in a folder `masks2`."""
    folder, _, name = (row["mask"] or f"masks/{Path(row['image']).stem}.png").partition("/")
    other = f"{SECOND}/{name}"
    if "mask2" in row or folder != "masks" or not name or not _is_there(root / other):
        return row
    return {**row, "mask2": other}


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _columns_wanted(missing: Iterable[str], rows: list[Row]) -> str:
    wanted = f"needs at least one row and the columns {', '.join(missing)}"
    heading = ",".join(str(name) for name in rows[0]) if rows else ""
    separator = next((mark for mark in ";\t" if mark in heading), "")
    if separator:
        return f"{wanted}. The fields are separated by {separator!r}: save it with commas"
    return f"{wanted}. Its first line is {heading!r}" if heading else wanted


def _contradictions(rows: Sequence[Row]) -> Iterable[str]:
    """Faults that no single row shows: one picture good and bad, one class spelled in two ways."""
    labels: dict[str, set[str]] = {}
    spellings: dict[str, set[str]] = {}
    for row in rows:
        labels.setdefault(posixpath.normpath(row["image"]), set()).add(row["label"])
        if row["label"] == "1":
            spellings.setdefault(row["class"].strip().casefold(), set()).add(row["class"])
    for image, found in labels.items():
        if len(found) > 1:
            yield f"{image} has a row with label 0 and one with label 1: it is good or it is not"
    if len({bool(row["split"]) for row in rows}) > 1:
        line = next(line for line, row in enumerate(rows, 2) if not row["split"])
        yield f"line {line} has no split, other lines have one: write train or val, or leave the whole column out"
    for names in spellings.values():
        if len(names) > 1:
            yield f"the classes {', '.join(map(repr, sorted(names)))} differ only in spelling: write one"


def _wrong(root: Path, row: Row, masks: Masks) -> Iterable[str]:
    if None in row:
        yield "has more fields than the heading"
    if row["label"] not in {"0", "1"}:
        yield f"label must be 0 or 1, not {row['label']!r}: write 0 for good and 1 for defective"
    yield from _wrong_class(row)
    if masks == "needed" and row["label"] == "1" and not row["mask"] and not row.get("note"):
        yield f"{row['image']} is defective and has no mask: draw one, or write why in a column `note` to leave it out"
    for column in ("image", "mask", "mask2"):
        name = row.get(column)
        if not name:
            if column == "image":
                yield "names no image"
            continue
        if what := misplaced(root, name):
            yield f"{column} {name} {what}"


def _wrong_class(row: Row) -> Iterable[str]:
    if row["label"] == "1" and not row["class"]:
        yield "a defective row names its class"
    if row["label"] == "1" and row["class"].strip().casefold() in GOOD - {""}:
        yield f"{row['image']} has label 1 and the class {row['class']!r}: it is good or it is not"
    if row["class"].strip() == IGNORED:
        yield f"{IGNORED} is no class: write the defect's, and in a column `note` why the picture is not learned from"


def misplaced(folder: Path, name: str) -> str:
    """The fault in a file name of an index or a label file. "" if the file lies in the folder."""
    try:
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()):
            return "is outside the folder"
        if path.is_file():
            return ""
        return "is missing: write / instead of \\" if "\\" in name else "is missing"
    except (OSError, ValueError):
        return "is too long, or no name at all"
