"""What the plant's database does not have yet, from the station's results and logbook. Both are only read."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from edge_inspector.codes import Decision, ErrorCode, Reason
from edge_inspector.store.database import utc_from
from edge_inspector.store.logbook import Event, LogbookReader
from edge_inspector.store.results_file import open_results

Row = tuple[Any, ...]
COLUMNS: Final[Mapping[str, str]] = {
    "parts": "boot_id, seq, part_seq, utc, decision, reason, grade, late, review, recipe_id, recipe_hash, criteria,"
    " model, latency_ms, error_mm",
    "views": "boot_id, seq, camera, failure, doubtful, picture",
    "defects": "boot_id, seq, number, camera, defect_class, area_mm2, length_mm, confidence, x_mm, y_mm",
    "labels": "boot_id, seq, camera, utc, label, defect_class, person",
    "events": "begun, code, subject, name, why, fault, ended, recipe_id, parts, rejected, not_inspected,"
    " acknowledged_by, acknowledged",
}
"""The columns of the rows of each table. Who takes them adds the station."""

_EVENTS: Final = 20_000  # the logbook keeps no more
_NOT_A_CHARACTER: Final = "\ufffd"
# PostgreSQL can keep other dates, but no program that reads them can.
_DAY_US: Final = 86_400_000_000
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


class RowMark(NamedTuple):
    """A row of the results: its id, and the time in it. Another row with this id has another time."""

    id: int = 0
    us: int = 0


class Reached(NamedTuple):
    """How far a database has the results: the last part, and the last label."""

    part: RowMark = RowMark()
    label: RowMark = RowMark()


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What follows on the position `before`. A database that has it is at `after`. The rows are without the station.

    `waiting` parts follow. `more` says that the next batch has something, too. `lost` parts were deleted here before
    anybody read them. `parts_anew` and `labels_anew`: the row of the mark is not here any more, so the rows begin with
    the first ones of the file. Some may be known already.
    """

    before: Reached
    after: Reached
    parts: Sequence[Row]
    views: Sequence[Row]
    defects: Sequence[Row]
    labels: Sequence[Row]
    waiting: int
    more: bool
    lost: int
    parts_anew: bool = False
    labels_anew: bool = False


def read_batch(
    results: Path, before: Reached, most: int, picture_suffix: str = ".png", *, by_day: bool = False
) -> Batch:
    """The next `most` parts and labels, as they were at one instant. `by_day`: of one day (UTC). Raises DeviceError."""
    with open_results(results) as db, closing(db.cursor()) as rows:
        db.text_factory = _text
        rows.execute("BEGIN")  # one state of the file for all queries
        begin, lost = _begin(db, before.part)
        parts = rows.execute("SELECT * FROM parts WHERE id > ? ORDER BY id LIMIT ?", (begin, most)).fetchall()
        parts = _of_first_day(parts) if by_day else parts
        end = parts[-1]["id"] if parts else begin
        views, defects = (_of_parts(db, table, begin, end) for table in ("views", "defects"))
        first_label = _label_begin(db, before.label)
        found = _labels(db, first_label, most)
        labels = _of_first_day(found) if by_day else found
        newest = db.execute("SELECT max(id) FROM parts").fetchone()[0] or end
        return Batch(
            before=before,
            after=Reached(_mark(parts, before.part), _mark(labels, before.label)),
            parts=[_part(row) for row in parts],
            views=[_view(row, picture_suffix) for row in views],
            defects=_numbered(defects),
            labels=[_label(row) for row in labels],
            waiting=newest - end,
            more=newest > end or len(found) == most or len(labels) < len(found),
            lost=lost,
            parts_anew=begin != before.part.id,
            labels_anew=first_label != before.label.id,
        )


def read_events(logbook: Path) -> list[Row]:
    """All events of the logbook, as they are now. Raises DeviceError."""
    return [_event(event) for event in reversed(LogbookReader(logbook).events(limit=_EVENTS))]


def plain(text: str) -> str:
    """The text without NUL, which PostgreSQL cannot keep."""
    return text.replace("\0", _NOT_A_CHARACTER)


def _begin(db: sqlite3.Connection, mark: RowMark) -> tuple[int, int]:
    """After which id to read, and how many parts are gone that nobody read.

    The file may be another one than that of the mark. Then all of it is read. The database knows what it has already.
    """
    found = _us_of(db, "parts", mark.id)
    if found == mark.us:
        return mark.id, 0
    oldest = db.execute("SELECT min(id) FROM parts").fetchone()[0]
    (last_given,) = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'parts'").fetchone() or (0,)
    same_file = found is None and mark.id and last_given >= mark.id
    if not same_file or oldest is None or oldest < mark.id:
        return 0, 0
    return mark.id, oldest - mark.id - 1


def _us_of(db: sqlite3.Connection, table: Literal["parts", "labels"], row_id: int) -> int | None:
    found = db.execute(f"SELECT utc_us FROM {table} WHERE id = ?", (row_id,)).fetchone()  # noqa: S608 -- of constants
    return None if found is None else int(found[0])


def _of_parts(db: sqlite3.Connection, table: str, begin: int, end: int) -> list[sqlite3.Row]:
    """The rows of the table that belong to the parts, in an order that stays the same."""
    order = "rowid" if table == "defects" else "camera"
    return db.execute(
        f"SELECT boot_id, seq, {table}.* FROM {table} JOIN parts ON parts.id = part_id"  # noqa: S608 -- of constants
        f" WHERE part_id > ? AND part_id <= ? ORDER BY part_id, {table}.{order}",
        (begin, end),
    ).fetchall()


def _of_first_day(rows: list[sqlite3.Row]) -> list[sqlite3.Row]:
    """The rows up to the first one of another day. The clock may have been set back in between."""
    days = [row["utc_us"] // _DAY_US for row in rows]
    return rows[: next((at for at, day in enumerate(days) if day != days[0]), len(rows))]


def _label_begin(db: sqlite3.Connection, mark: RowMark) -> int:
    """After which id. The results use the id of a deleted label again, so a mark that is gone means all of them."""
    return mark.id if _us_of(db, "labels", mark.id) == mark.us else 0


def _labels(db: sqlite3.Connection, begin: int, most: int) -> list[sqlite3.Row]:
    return db.execute(
        "SELECT boot_id, seq, labels.* FROM labels JOIN parts ON parts.id = part_id"
        " WHERE labels.id > ? ORDER BY labels.id LIMIT ?",
        (begin, most),
    ).fetchall()


def _mark(rows: Sequence[sqlite3.Row], before: RowMark) -> RowMark:
    return RowMark(rows[-1]["id"], rows[-1]["utc_us"]) if rows else before


# The values of these rows are those of `COLUMNS`, in that order.
def _part(row: sqlite3.Row) -> Row:
    return (
        row["boot_id"],
        row["seq"],
        row["part_seq"],
        _date(row["utc_us"]),
        _name(Decision, row["decision"]),
        _name(Reason, row["reason"]).lower(),
        row["grade"],
        bool(row["late"]),
        bool(row["review"]),
        row["recipe_id"],
        row["recipe_hash"],
        row["criteria"],
        row["model"],
        row["latency_ns"] / 1e6,
        _finite(row["error_mm"]),
    )


def _view(row: sqlite3.Row, suffix: str) -> Row:
    picture = f"{row['picture']}{suffix}" if row["picture"] else ""
    failure = _name(Reason, row["failure"]).lower()
    return (row["boot_id"], row["seq"], row["camera"], failure, bool(row["doubtful"]), picture)


def _numbered(rows: Iterable[sqlite3.Row]) -> list[Row]:
    """The defects with a number in their part each, because nothing else tells two of them apart for certain."""
    found, part_id, number = [], None, 0
    for row in rows:
        number = number + 1 if row["part_id"] == part_id else 1
        part_id = row["part_id"]
        figures = [_finite(row[name]) for name in ("area_mm2", "length_mm", "confidence", "x_mm", "y_mm")]
        found.append((row["boot_id"], row["seq"], number, row["camera"], row["defect_class"], *figures))
    return found


def _label(row: sqlite3.Row) -> Row:
    said = (row["label"], row["defect_class"], row["user"])
    return (row["boot_id"], row["seq"], row["camera"], _date(row["utc_us"]), *said)


def _event(event: Event) -> Row:
    return (
        event.begun,
        event.code,
        plain(event.subject),
        _name(ErrorCode, event.code).lower(),
        plain(event.why),
        event.fault,
        event.ended,
        event.recipe_id,
        event.parts,
        event.rejected,
        event.not_inspected,
        None if event.acknowledged_by is None else plain(event.acknowledged_by),
        event.acknowledged,
    )


def _text(stored: bytes) -> str:
    return plain(stored.decode(errors="replace"))


def _date(us: int) -> datetime:
    try:
        return max(_FIRST, utc_from(us))
    except OverflowError:
        return _LAST if us > 0 else _FIRST


def _finite(value: float | None) -> float | None:
    """The number, or None for one that would spoil every average."""
    return value if value is not None and math.isfinite(value) else None


def _name(kind: type[IntEnum], value: int) -> str:
    return kind(value).name if value in list(kind) else str(value)
