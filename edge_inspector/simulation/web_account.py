"""What became of a simulated web, laid along the web itself (decision 0076).

A station that began anew numbers its pieces anew, and they begin elsewhere.
So no verdict is matched by its number here.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from edge_inspector.codes import Decision
from edge_inspector.simulation.line import Line
from edge_inspector.simulation.readiness import SILENT_NS, doubted, readiness_of
from edge_inspector.simulation.web import web_parts
from edge_inspector.simulation.web_told import ToldPiece, told_pieces

Event = dict[str, Any]

_STEP_MM = 10
_ANY_MM = 0.5  # a picture that shows less of a defect shows nothing of it: a row is a millimetre
_TOLERANCE_MM = 10.0  # a piece begins so much before or behind its place: the recipe's position_tolerance_mm


def web_account(line: Line, ledger: Sequence[Event], verdicts: Sequence[Event]) -> Event:
    """The figures of a report that count parts on other lines. docs/demo.md explains them."""
    bodies = {(body["boot_id"], body["seq"]): body for body in verdicts}
    pieces = told_pieces(line, bodies.values())
    tally = Counter(body["decision"] for body in bodies.values())
    missing = _Missing(line, ledger, pieces)
    heard = _heard(ledger)
    unheard = _Missing(line, ledger, [piece for piece in pieces if piece.told in heard])
    web = web_parts(line.seed, line.pitch_mm, line.parts)
    shown = {piece.told: web.shows(piece.from_mm) for piece in pieces}
    touched = {piece.told: web.shows(piece.from_mm, _ANY_MM) for piece in pieces}
    decisions = {piece.told: bodies[piece.told]["decision"] for piece in pieces}
    return {
        "verdicts": len(bodies),
        "accept": tally[Decision.ACCEPT.name],
        "reject": tally[Decision.REJECT.name],
        "not_inspected": tally[Decision.NOT_INSPECTED.name],
        "not_inspected_reasons": dict(
            Counter(body["reason"] for body in bodies.values() if body["decision"] == Decision.NOT_INSPECTED.name)
        ),
        "unaccounted": missing.pieces,
        "unaccounted_mqtt": missing.pieces,
        "unaccounted_plc": unheard.pieces,
        "duplicates": _twice(bodies.values()),
        "late": sum(_is_late(line, piece, heard) for piece in pieces),
        "truth_defective": sum(shown.values()),
        "escapes": sum(shown[told] and decisions[told] == Decision.ACCEPT.name for told in decisions),
        "false_rejects": sum(not touched[told] and decisions[told] == Decision.REJECT.name for told in decisions),
        "rejected_for_edges": sum(
            touched[told] and not shown[told] and decisions[told] == Decision.REJECT.name for told in decisions
        ),
        "web_lost_mm": missing.lost_mm,
        "web_passed_alone_mm": missing.alone_mm,
    }


class _Missing:
    """The web that passed the photo-eye and has no verdict.

    `lost_mm`: the line counted on the station. `alone_mm`: it did not, and rejected this web by itself. `pieces`: how
    many of the line's own pieces have some that is lost.
    """

    def __init__(self, line: Line, ledger: Sequence[Event], pieces: Sequence[ToldPiece]) -> None:
        self._line = line
        self._readiness = readiness_of(ledger)
        self._pieces = pieces
        self._begins = [piece.from_mm for piece in pieces]
        self._longest_mm = max((piece.to_mm - piece.from_mm for piece in pieces), default=0.0)
        self.lost_mm = self.alone_mm = self.pieces = 0
        for part in sorted({event["part"] for event in ledger if event["kind"] == "trigger"}):
            self._look_at(part)

    def _look_at(self, part: int) -> None:
        begin, end = (round(at * self._line.pitch_mm) for at in (part, part + 1))
        alone = [self._is_alone(float(at)) for at in range(begin, end, _STEP_MM) if not self._is_told(float(at))]
        self.alone_mm += _STEP_MM * sum(alone)
        self.lost_mm += _STEP_MM * (len(alone) - sum(alone))
        self.pieces += not all(alone)

    def _is_told(self, at_mm: float) -> bool:
        first = bisect_left(self._begins, at_mm - _TOLERANCE_MM - self._longest_mm)
        last = bisect_right(self._begins, at_mm + _TOLERANCE_MM)
        return any(each.covers(at_mm - _TOLERANCE_MM, at_mm + _TOLERANCE_MM) for each in self._pieces[first:last])

    def _is_alone(self, at_mm: float) -> bool:
        line = self._line
        eye_ns, gate_ns = (line.belt.time_at(line.eye_mm(0) + at_mm + way_mm) for way_mm in (0.0, line.gate_mm))
        return doubted(self._readiness, eye_ns, gate_ns + SILENT_NS)


def _heard(ledger: Iterable[Event]) -> dict[tuple[int, int], int]:
    """When the line heard each verdict first."""
    heard: dict[tuple[int, int], int] = {}
    for event in ledger:
        if event["kind"] == "verdict":
            heard.setdefault((event["told"][0], event["told"][1]), event["scan_ns"])
    return heard


def _is_late(line: Line, piece: ToldPiece, heard: dict[tuple[int, int], int]) -> bool:
    """Whether the line heard of a piece when its beginning was at the gate."""
    if piece.told not in heard:
        return False
    return heard[piece.told] >= line.belt.time_at(line.eye_mm(0) + piece.from_mm + line.gate_mm)


def _twice(bodies: Iterable[Event]) -> int:
    """Pieces with a second verdict. Runs of the station that overlap may both tell of the same web."""
    told = Counter((body["boot_id"], body["part_seq"]) for body in bodies)
    return sum(count - 1 for count in told.values())
