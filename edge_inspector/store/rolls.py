"""The rolls of a web on the disk: for each roll a table of its marks, one of its pieces, and a map as a picture.

`rolls/` in `state_dir` has three files for each roll, named by when it began and by its name. The tables grow while the
roll runs. The map is drawn when the roll ends, and for whoever asks before.
"""

from __future__ import annotations

import csv
import io
import re
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from edge_inspector.errors import StateError
from edge_inspector.records import Image, RollMark, Stretch
from edge_inspector.store.whole_file import replace_file
from edge_inspector.texts import harmless

_WAITING: Final = 4096  # pieces that wait for the disk
_KEPT: Final = 1000  # rolls. The oldest are deleted
_STEM: Final = re.compile(r"^\d{8}T\d{6}-[A-Za-z0-9_.-]{1,64}$")
_MARKS: Final = (
    "number",
    "class",
    "from_m",
    "to_m",
    "left_mm",
    "right_mm",
    "area_mm2",
    "confidence",
    "error_mm",
    "camera",
)
_PIECES: Final = ("from_m", "to_m", "decision", "reason", "breaks")

_STRIP_PX: Final = 1600  # a strip of the map, along
_STRIPS: Final = 40  # at most. A longer roll has longer strips
_ACROSS_PX: Final = 90
_GAP_PX: Final = 34
_LEFT_PX: Final = 70
_COLOURS: Final = {"ACCEPT": (214, 235, 214), "REJECT": (190, 190, 255), "NOT_INSPECTED": (150, 150, 150)}


@dataclass(frozen=True, slots=True)
class _Row:
    stretch: Stretch
    told: tuple[str, str]
    utc: datetime


class RollBook:
    """Writes the rolls. One thread owns it. `write` and `end` raise StateError if the disk fails."""

    def __init__(self, state_dir: Path) -> None:
        self._folder = rolls_dir(state_dir)
        self._waiting: deque[_Row] = deque()
        self._stem = ""
        self._roll: tuple[str, int] | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, stretch: Stretch, told: tuple[str, str], utc: datetime) -> bool:
        """Keep a piece with its decision and reason until the next `write`. False if too many wait."""
        if len(self._waiting) >= _WAITING:
            return False
        self._waiting.append(_Row(stretch, told, utc))
        return True

    def write(self) -> None:
        """Append what waits to the tables. A piece of another roll ends the one before."""
        while self._waiting:
            first = self._waiting[0]
            roll = first.stretch.roll, first.stretch.roll_number
            if roll != self._roll:
                self.end()
                self._begin(first)
                self._roll = roll
            same = [row for row in self._waiting if (row.stretch.roll, row.stretch.roll_number) == roll]
            self._append(same)
            for row in same:
                self._waiting.remove(row)

    def end(self) -> None:
        """The roll is over: each mark gets one row, and the map is drawn."""
        stem, self._stem, self._roll = self._stem, "", None
        if not stem:
            return
        try:
            marks = marks_of(self._folder, stem)
            replace_file(self._folder / f"{stem}.marks.csv", _table(_MARKS, [_mark_row(mark) for mark in marks]))
            replace_file(self._folder / f"{stem}.png", roll_map(self._folder, stem))
            self._forget()
        except OSError as error:
            raise StateError(f"roll {stem}: {error}") from error

    def _begin(self, row: _Row) -> None:
        self._stem = f"{row.utc:%Y%m%dT%H%M%S}-{row.stretch.roll}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for kind, heads in (("marks", _MARKS), ("pieces", _PIECES)):
                path = self._folder / f"{self._stem}.{kind}.csv"
                if not path.exists():
                    path.write_text(_table(heads, []))
        except OSError as error:
            self._stem = ""
            raise StateError(f"{self._folder}: {error}") from error

    def _append(self, rows: Sequence[_Row]) -> None:
        marks = [_mark_row(mark) for row in rows for mark in row.stretch.marks]
        pieces = [_piece_row(row) for row in rows]
        try:
            for kind, lines in (("marks", marks), ("pieces", pieces)):
                if lines:
                    with (self._folder / f"{self._stem}.{kind}.csv").open("a", newline="") as file:
                        csv.writer(file).writerows(lines)
        except OSError as error:
            raise StateError(f"{self._folder}: {error}") from error

    def _forget(self) -> None:
        for stem in stems(self._folder)[_KEPT:]:
            for path in self._folder.glob(f"{stem}.*"):
                path.unlink(missing_ok=True)


def rolls_dir(state_dir: Path) -> Path:
    """The folder of the rolls."""
    return state_dir / "rolls"


def stems(folder: Path) -> list[str]:
    """The rolls in the folder, the newest first."""
    found = {path.name.removesuffix(".pieces.csv") for path in folder.glob("*.pieces.csv")}
    return sorted((stem for stem in found if _STEM.match(stem)), reverse=True)


def marks_of(folder: Path, stem: str) -> list[RollMark]:
    """The marks of a roll in the order of their places, each as it was last. Raises OSError."""
    found: dict[int, RollMark] = {}
    for row in _rows(folder / f"{stem}.marks.csv", _MARKS):
        mark = _mark(row)
        if mark is not None:
            found[mark.number] = mark
    return sorted(found.values(), key=lambda mark: mark.from_mm)


def roll_map(folder: Path, stem: str) -> bytes:
    """The map of a roll as a PNG file. Time runs to the right, strip by strip from top to bottom. Raises OSError."""
    pieces = [row for row in _rows(folder / f"{stem}.pieces.csv", _PIECES) if _numbers(row[:2]) is not None]
    marks = marks_of(folder, stem)
    spans = [(float(row[0]), float(row[1]), row[2]) for row in pieces]
    length_m = max((to_m for _, to_m, _ in spans), default=1.0)
    across_mm = max((mark.right_mm for mark in marks), default=1000.0) * 1.02
    strip_m = max(10.0, 10.0 * -(-length_m // (10.0 * _STRIPS)))
    strips = int(length_m // strip_m) + 1
    image = np.full((strips * (_ACROSS_PX + _GAP_PX) + _GAP_PX, _LEFT_PX + _STRIP_PX + 20, 3), 255, np.uint8)
    for from_m, to_m, decision in spans:
        _box(image, strip_m, (from_m, to_m), (0.0, 1.0), colour=_COLOURS.get(decision, (0, 0, 255)))
    for mark in marks:
        share = mark.left_mm / across_mm, mark.right_mm / across_mm
        _box(image, strip_m, (mark.from_mm / 1000, mark.to_mm / 1000), share, colour=(0, 0, 160), least_px=3)
    for strip in range(strips):
        top = strip * (_ACROSS_PX + _GAP_PX) + _GAP_PX
        cv2.rectangle(image, (_LEFT_PX, top), (_LEFT_PX + _STRIP_PX, top + _ACROSS_PX), (90, 90, 90), 1)
        cv2.putText(image, f"{strip * strip_m:g} m", (4, top + 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1)
    words = f"{stem}   {length_m:.1f} m   {len(marks)} marks   strips of {strip_m:g} m, {across_mm:.0f} mm across"
    cv2.putText(image, words, (4, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1)
    done, packed = cv2.imencode(".png", image)
    if not done:
        raise OSError("the map cannot be packed")
    return packed.tobytes()


def _box(
    image: Image,
    strip_m: float,
    along_m: tuple[float, float],
    share: tuple[float, float],
    *,
    colour: tuple[int, int, int],
    least_px: int = 1,
) -> None:
    """Fill a rectangle of the web, in each strip that it is in."""
    begin, end = max(0.0, along_m[0]), along_m[1]
    for strip in range(int(begin // strip_m), int(end // strip_m) + 1):
        left = _LEFT_PX + int(_STRIP_PX * max(0.0, begin / strip_m - strip))
        right = _LEFT_PX + int(_STRIP_PX * min(1.0, end / strip_m - strip))
        top = strip * (_ACROSS_PX + _GAP_PX) + _GAP_PX
        first, last = top + int(_ACROSS_PX * min(share[0], 1.0)), top + int(_ACROSS_PX * min(share[1], 1.0))
        last, right = max(last, first + least_px - 1), max(right, left + least_px - 1)
        cv2.rectangle(image, (left, first), (right, last), colour, -1)


def _rows(path: Path, heads: Sequence[str]) -> list[list[str]]:
    if not path.is_file():
        return []
    with path.open(newline="", errors="replace") as file:
        return [row for row in csv.reader(file) if len(row) == len(heads)][1:]


def _numbers(cells: Iterable[str]) -> list[float] | None:
    try:
        found = [float(cell) for cell in cells]
    except ValueError:
        return None
    return found if all(0 <= abs(each) < 1e9 for each in found) else None


def _mark(row: Sequence[str]) -> RollMark | None:
    """The mark of a row. None for a row that was cut off or edited."""
    numbers = _numbers([row[0], *row[2:9]])
    if numbers is None:
        return None
    number, from_m, to_m, left, right, area, confidence, error = numbers
    return RollMark(
        number=int(number),
        defect_class=row[1],
        camera=row[9],
        from_mm=from_m * 1000,
        to_mm=to_m * 1000,
        left_mm=left,
        right_mm=right,
        area_mm2=area,
        confidence=confidence,
        error_mm=error,
    )


def _mark_row(mark: RollMark) -> list[object]:
    return [
        mark.number,
        harmless(mark.defect_class),
        round(mark.from_mm / 1000, 4),
        round(mark.to_mm / 1000, 4),
        mark.left_mm,
        mark.right_mm,
        mark.area_mm2,
        mark.confidence,
        mark.error_mm,
        mark.camera,
    ]


def _piece_row(row: _Row) -> list[object]:
    stretch = row.stretch
    return [round(stretch.from_mm / 1000, 4), round(stretch.to_mm / 1000, 4), *row.told, stretch.breaks]


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(heads)
    writer.writerows(rows)
    return text.getvalue()
