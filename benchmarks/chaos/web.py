"""The fate of a web with faults: what was told and what the gate did, against what was drawn, in millimetres.

A station that began anew begins its pieces elsewhere. So pieces are not counted here. Each stretch of the web is looked
at where it lies, whichever pieces cover it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.chaos.account import Account
from edge_inspector.simulation.line import Line
from edge_inspector.simulation.plc import SCAN_NS
from edge_inspector.simulation.readiness import SILENT_NS, doubted, readiness_of
from edge_inspector.simulation.web import WebDefect, web_parts
from edge_inspector.simulation.web_told import ToldMark, ToldPiece, told_marks, told_pieces

Event = dict[str, Any]

_STEP_MM = 10
_TOLERANCE_MM = 10.0  # a piece begins so much before or behind its place: the recipe's position_tolerance_mm
_BESIDE_MM = (60.0, 100.0)  # a picture shows so much of the web before its piece, and behind it
_GRID_NS = 2_000_000


def account_for_web(
    line: Line, events: Sequence[Event], messages: Sequence[Event], window_ns: tuple[int, int]
) -> Account:
    """The web that passed the photo-eye in the window, in millimetres.

    - `lost`: no verdict covers it, and the line counted on the station. If it did not, it is `forgotten`.
    - `second`: inspected twice by one run of the station, or a piece with a second verdict.
    - `wrong_part`: a mark without a defect, or a rejected piece whose pictures show none.
    - `missed`: a defect on inspected web without a mark, or that passed the gate as good.
    - `unwarned`: at the gate without a verdict, while the line counted on the station.
    - `late`: its verdict came when the beginning of its piece was at the gate.
    """
    web = _Web(line, events, messages, window_ns)
    found = Account(unit="mm", parts=round(web.last_mm - web.first_mm), second=web.twice_mm())
    for at_mm in np.arange(web.first_mm, web.last_mm, _STEP_MM):
        _look_at(found, web, float(at_mm))
    for defect in web_parts(line.seed, line.pitch_mm, line.parts).defects:
        if web.first_mm <= defect.from_mm and defect.to_mm < web.last_mm:
            found.missed += round(defect.to_mm - defect.from_mm) * web.misses(defect)
    found.wrong_part = round(sum(web.wrong_mm()))
    told = [(body["boot_id"], body["seq"]) for body in messages]
    found.repeats = sum(told.count(number) - 1 for number in web.numbers())
    return found


def _look_at(found: Account, web: _Web, at_mm: float) -> None:
    """Account for the few millimetres from here on."""
    told, gate_ns = web.covering(at_mm), web.gate_ns(at_mm)
    is_doubted = web.is_doubted(at_mm)
    found.lost += _STEP_MM * (not told and not is_doubted)
    found.forgotten += _STEP_MM * (not told and is_doubted)
    if web.stood(gate_ns):
        return
    in_time = web.in_time(told, gate_ns)
    found.late += _STEP_MM * (bool(told) and not in_time)
    found.rejected_by_plc += _STEP_MM * (not in_time)
    found.unwarned += _STEP_MM * (not in_time and not is_doubted)


@dataclass(frozen=True, slots=True)
class _Program:
    """One run of the line's own program. It forgets what an earlier one has heard."""

    begun_ns: int
    ended_ns: int
    heard: Mapping[tuple[int, int], int]


class _Web:
    """What is known about the web of the window: pieces, marks, who heard what when, and what was drawn."""

    def __init__(
        self, line: Line, events: Sequence[Event], messages: Iterable[Event], window_ns: tuple[int, int]
    ) -> None:
        self._line = line
        self._pieces = told_pieces(line, messages)
        self._begins = [piece.from_mm for piece in self._pieces]
        self._marks = told_marks(self._pieces)
        self._defects = web_parts(line.seed, line.pitch_mm, line.parts).defects
        self._readiness = readiness_of(events)
        self._programs = list(_programs(events))
        belt, eye_mm = line.belt, line.eye_mm(0)
        self.first_mm, self.last_mm = (max(0.0, belt.position_mm(at_ns) - eye_mm) for at_ns in window_ns)
        last_ns = belt.time_at(eye_mm + self.last_mm + line.gate_mm + 2 * line.pitch_mm)
        self._grid_ns = np.arange(min(window_ns[0], last_ns) - 5_000_000_000, last_ns + _GRID_NS, _GRID_NS)
        self._grid_mm = np.array([belt.position_mm(int(at_ns)) - eye_mm for at_ns in self._grid_ns])

    def covering(self, at_mm: float) -> list[ToldPiece]:
        """The verdicts on this place."""
        return self._near(at_mm - _TOLERANCE_MM, at_mm + _TOLERANCE_MM)

    def gate_ns(self, at_mm: float) -> int:
        """When this place is at the gate."""
        return self._passed_ns(at_mm + self._line.gate_mm)

    def is_doubted(self, at_mm: float) -> bool:
        """Whether the line did not count on the station, at any time from here to behind the gate."""
        until_ns = self.gate_ns(at_mm) + SILENT_NS + SCAN_NS
        return doubted(self._readiness, self._passed_ns(at_mm), until_ns)

    def stood(self, at_ns: int) -> bool:
        """Whether the line's own program did not run, and so there was no gate."""
        return self._program(at_ns) is None

    def in_time(self, told: Iterable[ToldPiece], gate_ns: int) -> list[ToldPiece]:
        """The verdicts of these that the program at the gate had heard before their pieces were there."""
        program = self._program(gate_ns)
        heard = {} if program is None else program.heard
        return [piece for piece in told if heard.get(piece.told, gate_ns) < self.gate_ns(piece.from_mm)]

    def misses(self, defect: WebDefect) -> bool:
        """Whether the defect has no mark although it was inspected, or passed the gate as good."""
        marked = any(_is_of(mark, defect) for mark in self._marks)
        if not marked and self._is_inspected(defect.from_mm, defect.to_mm):
            return True
        told = self.covering(defect.along_mm)
        in_time = self.in_time(told, self.gate_ns(defect.along_mm))
        # A piece whose verdict was not there in time is rejected by the gate itself.
        return bool(told) and len(in_time) == len(told) and not any(piece.rejects for piece in in_time)

    def wrong_mm(self) -> Iterator[float]:
        """The lengths of marks and of rejected pieces where nothing was drawn."""
        for mark in self._marks:
            if self._is_of_window(mark.from_mm) and not self._is_drawn(mark):
                yield max(1.0, mark.to_mm - mark.from_mm)
        before, behind = _BESIDE_MM
        for piece in self._pieces:
            if self._is_of_window(piece.from_mm) and piece.rejects and piece.inspected:
                shown = piece.from_mm - before - _TOLERANCE_MM, piece.to_mm + behind + _TOLERANCE_MM
                if not any(each.from_mm < shown[1] and shown[0] < each.to_mm for each in self._defects):
                    yield piece.to_mm - piece.from_mm

    def numbers(self) -> list[tuple[int, int]]:
        """Those of the verdicts on pieces that begin in the window."""
        return [piece.told for piece in self._pieces if self._is_of_window(piece.from_mm)]

    def twice_mm(self) -> int:
        """Web that one run of the station has inspected twice, and pieces with a second verdict."""
        twice, of_piece = 0.0, dict[tuple[int, int], ToldPiece]()
        end = dict[int, float]()
        for piece in self._pieces:
            if not self._is_of_window(piece.from_mm):
                continue
            run, length_mm = piece.told[0], piece.to_mm - piece.from_mm
            twice += length_mm * ((run, piece.part_seq) in of_piece)
            of_piece[run, piece.part_seq] = piece
            if piece.inspected:
                over_mm = end.get(run, piece.from_mm) - piece.from_mm
                twice += over_mm if over_mm > _TOLERANCE_MM + 1 else 0.0
                end[run] = piece.to_mm
        return round(twice)

    def _near(self, from_mm: float, to_mm: float) -> list[ToldPiece]:
        first = bisect_left(self._begins, from_mm - self._line.pitch_mm)
        last = bisect_right(self._begins, to_mm)
        return [piece for piece in self._pieces[first:last] if piece.covers(from_mm, to_mm)]

    def _is_inspected(self, from_mm: float, to_mm: float) -> bool:
        """Whether every piece here was inspected, and no web between them is without a verdict."""
        told = self._near(from_mm - _TOLERANCE_MM, to_mm + _TOLERANCE_MM)
        ends = [from_mm - _TOLERANCE_MM, *(piece.to_mm for piece in told)]
        gaps = [piece.from_mm - end for piece, end in zip(told, ends, strict=False)]
        reaches = bool(told) and max(ends) >= to_mm - _TOLERANCE_MM
        return reaches and all(piece.inspected for piece in told) and max(gaps) <= 2 * _TOLERANCE_MM

    def _is_drawn(self, mark: ToldMark) -> bool:
        return any(_is_of(mark, defect) for defect in self._defects)

    def _is_of_window(self, at_mm: float) -> bool:
        return self.first_mm <= at_mm < self.last_mm

    def _passed_ns(self, at_mm: float) -> int:
        """When this place has moved by so much beyond the photo-eye."""
        return int(np.interp(at_mm, self._grid_mm, self._grid_ns))

    def _program(self, at_ns: int) -> _Program | None:
        return next((each for each in self._programs if each.begun_ns <= at_ns <= each.ended_ns), None)


def _is_of(mark: ToldMark, defect: WebDefect) -> bool:
    """Whether the mark may be that of the defect, by the bound on its place."""
    return defect.is_near(mark.along_mm, mark.across_mm, mark.error_mm)


def _programs(events: Iterable[Event]) -> Iterator[_Program]:
    """The runs of the line's own program. One that was killed ends with the last thing that it wrote down."""
    begun_ns = last_ns = 0
    heard = dict[tuple[int, int], int]()
    for event in events:
        if event["kind"] == "boot" and "begun_ns" in event:
            if begun_ns:
                yield _Program(begun_ns, last_ns, heard)
            begun_ns, heard = event["begun_ns"], {}
        elif event["kind"] == "verdict":
            heard.setdefault((event["told"][0], event["told"][1]), event["scan_ns"])
        last_ns = max(last_ns, event.get("begun_ns", 0), event.get("at_ns", 0), event.get("scan_ns", 0))
    if begun_ns:
        yield _Program(begun_ns, 1 << 62, heard)
