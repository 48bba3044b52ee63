"""Where a defect of a continuous web lies, from the start of its roll and from its edge. One defect is one mark.

Pictures overlap, so a defect near a seam is in two pictures. Both show it at the same place of the web.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from edge_inspector.records import Defect, Part, PlacedView, RollMark, Stretch

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_ROLLS = 8  # that pieces on the way to the gate may belong to
_STRETCHES = 8  # back from the newest one, in which a mark may go on
_MARKS = 1024  # that are known at once: a web full of defects must not delay the line


@dataclass(frozen=True, slots=True, kw_only=True)
class WebGeometry:
    """A web in millimetres. `piece_mm` is the length of a virtual piece.

    `rows_mm` is, for each view, the way from where positions are measured to the first row of its pictures. `across_mm`
    is where the left edge of its pictures lies. Marks nearer than `near_mm` are one. So are those that may be so near
    by the bounds on their places, but bounds count up to `overlap_mm` only: else many defects would be one mark.
    """

    piece_mm: float
    rows_mm: Mapping[str, float]
    across_mm: Mapping[str, float]
    near_mm: float
    overlap_mm: float


@dataclass(slots=True)
class _Roll:
    """Pieces of `epoch` from belt count `since` on. `zero` is the count at which the roll starts, once it is known."""

    name: str
    number: int = 1
    epoch: int = 0
    since: float = -math.inf
    zero: float | None = None
    to_mm: float = 0.0
    breaks: int = 0


class Rolls:
    """The rolls of this run, and the marks on them. One thread owns it.

    The first roll begins with the first piece. When a new epoch begins, nobody knows how much web has passed meanwhile.
    The roll then goes on where its last piece ended, and counts a break.
    """

    def __init__(self, web: WebGeometry, counts_per_mm: float) -> None:
        self._web = web
        self._scale = counts_per_mm
        self._rolls: deque[_Roll] = deque([_Roll("1")], maxlen=_ROLLS)
        self._marks: list[tuple[int, RollMark]] = []
        self._number = 0

    @property
    def now(self) -> tuple[str, float]:
        """The newest roll's name, and how many millimetres of it were judged."""
        return self._rolls[-1].name, self._rolls[-1].to_mm

    def change(self, name: str, count: int | None, epoch: int) -> str:
        """A new roll begins with the first piece that begins at or behind this count, which the belt has now.

        Without a count it begins with the next piece. Returns why not, or "".
        """
        if not _NAME.fullmatch(name):
            return "the name of a roll has at most 64 of the letters A-Z a-z, digits and . _ -"
        since = -math.inf if count is None else count
        self._rolls.append(_Roll(name, self._rolls[-1].number + 1, epoch, since))
        return ""

    def stretch(self, part: Part, views: Iterable[PlacedView]) -> Stretch:
        """Where the piece lies, and what is new on it."""
        roll = self._roll_of(part)
        from_mm = roll.to_mm
        if roll.zero is not None and part.epoch == roll.epoch:
            from_mm = (part.trigger_count - roll.zero) / self._scale
        roll.to_mm = max(roll.to_mm, from_mm + self._web.piece_mm)
        found = [mark for placed in views for mark in self._marks_of(roll, placed)]
        told = self._new_or_larger(roll, found)
        self._forget(roll)
        return Stretch(
            roll=roll.name,
            roll_number=roll.number,
            from_mm=round(from_mm, 1),
            to_mm=round(from_mm + self._web.piece_mm, 1),
            marks=tuple(told),
            breaks=roll.breaks,
        )

    def _roll_of(self, part: Part) -> _Roll:
        newest = self._rolls[-1]
        if part.epoch > newest.epoch:
            # No roll has been used if it has no zero yet: then nothing of it is lost.
            newest.breaks += newest.zero is not None
            newest.epoch, newest.since = part.epoch, -math.inf
            newest.zero = part.trigger_count - newest.to_mm * self._scale
        mine = [roll for roll in self._rolls if roll.epoch == part.epoch and roll.since <= part.trigger_count]
        roll = mine[-1] if mine else self._rolls[0]
        if roll.zero is None and part.epoch == roll.epoch:
            roll.zero = float(part.trigger_count)
        return roll

    def _marks_of(self, roll: _Roll, placed: PlacedView) -> Iterator[RollMark]:
        if roll.zero is None or placed.position.epoch != roll.epoch:
            return
        view, web = placed.view, self._web
        top_mm = (placed.position.count - roll.zero) / self._scale - web.rows_mm[view.camera]
        for defect in view.defects:
            if defect.box_mm is not None:
                yield _mark(
                    defect,
                    defect.box_mm,
                    top_mm=top_mm,
                    across_mm=web.across_mm[view.camera],
                    error_mm=placed.position.error_counts / self._scale,
                )

    def _new_or_larger(self, roll: _Roll, found: Iterable[RollMark]) -> list[RollMark]:
        told: dict[int, RollMark] = {}
        for mark in found:
            at = next((at for at, known in enumerate(self._marks) if self._same(roll, known, mark)), None)
            if at is None:
                self._number += 1
                told[self._number] = replace(mark, number=self._number)
                self._marks.append((roll.number, told[self._number]))
                continue
            before = self._marks[at][1]
            both = _joined(before, mark)
            if before.number in told or self._grew(before, both):
                self._marks[at] = roll.number, both
                told[before.number] = both
        return list(told.values())

    def _same(self, roll: _Roll, known: tuple[int, RollMark], mark: RollMark) -> bool:
        number, other = known
        if number != roll.number or other.defect_class != mark.defect_class:
            return False
        along = self._web.near_mm + min(other.error_mm + mark.error_mm, self._web.overlap_mm)
        return (
            mark.from_mm <= other.to_mm + along
            and other.from_mm <= mark.to_mm + along
            and mark.left_mm <= other.right_mm + self._web.near_mm
            and other.left_mm <= mark.right_mm + self._web.near_mm
        )

    def _grew(self, before: RollMark, both: RollMark) -> bool:
        """Whether it reaches so much further that people should know."""
        ways = (
            before.from_mm - both.from_mm,
            both.to_mm - before.to_mm,
            before.left_mm - both.left_mm,
            both.right_mm - before.right_mm,
        )
        return max(ways) > self._web.near_mm

    def _forget(self, roll: _Roll) -> None:
        """Marks so far back that no picture can show more of them."""
        since_mm = roll.to_mm - _STRETCHES * self._web.piece_mm
        self._marks = [
            (number, mark) for number, mark in self._marks if number != roll.number or mark.to_mm >= since_mm
        ][-_MARKS:]


def _mark(
    defect: Defect, box_mm: tuple[float, float, float, float], *, top_mm: float, across_mm: float, error_mm: float
) -> RollMark:
    left, top, right, bottom = box_mm
    return RollMark(
        number=0,
        defect_class=defect.defect_class,
        camera=defect.camera,
        from_mm=round(top_mm + top, 1),
        to_mm=round(top_mm + bottom, 1),
        left_mm=round(across_mm + left, 1),
        right_mm=round(across_mm + right, 1),
        area_mm2=round(defect.area_mm2, 2),
        confidence=round(defect.confidence, 3),
        error_mm=round(error_mm, 2),
    )


def _joined(first: RollMark, second: RollMark) -> RollMark:
    return replace(
        first,
        from_mm=min(first.from_mm, second.from_mm),
        to_mm=max(first.to_mm, second.to_mm),
        left_mm=min(first.left_mm, second.left_mm),
        right_mm=max(first.right_mm, second.right_mm),
        area_mm2=max(first.area_mm2, second.area_mm2),
        confidence=max(first.confidence, second.confidence),
        error_mm=max(first.error_mm, second.error_mm),
    )
