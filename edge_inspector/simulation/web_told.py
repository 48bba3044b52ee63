"""What a station has told about a web, laid along the web that was drawn: in millimetres from its first piece."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from edge_inspector.codes import Decision, Reason
from edge_inspector.simulation.line import Line

MarkKey = tuple[int, int]  # the run of the station, and the mark's number in it


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldMark:
    """A mark as it was told last, and where it lies."""

    key: MarkKey
    from_mm: float
    to_mm: float
    along_mm: float
    across_mm: float
    error_mm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldPiece:
    """One verdict on a stretch of web. `told` is its number: the run of the station, and its sequence in it.

    `inspected`: all cameras have seen it. A piece is rejected for what one camera has seen, even if another was away.
    """

    told: tuple[int, int]
    part_seq: int
    from_mm: float
    to_mm: float
    inspected: bool
    rejects: bool
    marks: tuple[ToldMark, ...]

    def covers(self, from_mm: float, to_mm: float) -> bool:
        """Whether any of this web lies in the piece."""
        return self.from_mm <= to_mm and from_mm < self.to_mm


def told_pieces(line: Line, bodies: Iterable[dict[str, Any]]) -> list[ToldPiece]:
    """Each verdict once, in the order of their places. It does not matter where a run of the station began to count."""
    by_number = {(body["boot_id"], body["seq"]): body for body in bodies if body["reason"] != Reason.TRIGGER_LOST.label}
    return sorted((_piece(line, body) for body in by_number.values()), key=lambda each: (each.from_mm, each.told))


def told_marks(pieces: Iterable[ToldPiece]) -> list[ToldMark]:
    """Each mark as it was told last: it may have grown."""
    in_order = sorted(pieces, key=lambda each: each.told)
    return list({mark.key: mark for piece in in_order for mark in piece.marks}.values())


def web_mm(line: Line, count: int) -> float:
    """The place on the web that a count of a piece means, whichever run has told it."""
    counter, zero = line.counter, line.counter.read(line.counter_zero(1))
    return (counter.near(count, zero) - zero) / line.counts_per_mm - line.eye_mm(0)


def _piece(line: Line, body: dict[str, Any]) -> ToldPiece:
    stretch, from_mm = body["stretch"], web_mm(line, body["trigger_count"])
    start_mm = from_mm - stretch["from_m"] * 1000
    return ToldPiece(
        told=(body["boot_id"], body["seq"]),
        part_seq=body["part_seq"],
        from_mm=from_mm,
        to_mm=from_mm + (stretch["to_m"] - stretch["from_m"]) * 1000,
        inspected=body["decision"] != Decision.NOT_INSPECTED.name and not body["missing_views"],
        rejects=body["rejects"],
        marks=tuple(
            ToldMark(
                key=(body["boot_id"], mark["number"]),
                from_mm=start_mm + mark["from_m"] * 1000,
                to_mm=start_mm + mark["to_m"] * 1000,
                along_mm=start_mm + mark["along_m"] * 1000,
                across_mm=mark["across_mm"],
                error_mm=mark["error_mm"],
            )
            for mark in stretch["marks"]
        ),
    )
