"""Writes the results. One thread owns it and makes a few commits a second."""

from __future__ import annotations

import json
import math
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from edge_inspector.errors import DeviceError
from edge_inspector.records import Delivery, Disagreement, PlacedView, Verdict, finite
from edge_inspector.runtime.clock import EARLIEST
from edge_inspector.store.database import insertion, is_damaged, micros, open_database, set_aside, utc_from
from edge_inspector.store.presence import Presence
from edge_inspector.store.results_file import MIGRATIONS
from edge_inspector.store.retention import AHEAD, SETTLED, Stamps
from edge_inspector.store.rows import BY_PLC, defect_row

_LARGEST = 2**63 - 1  # a camera may number its frames beyond the range of SQLite
_ALWAYS = 2**62
_FORGET = 500  # parts per call
_GIVE_BACK = 256  # pages of the file per call


@dataclass(frozen=True, slots=True)
class StoredVerdict:
    """One verdict to store: when it was decided, why its pictures are kept, and their stems by camera."""

    verdict: Verdict
    utc: datetime
    why: str
    stems: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class StoredObjection:
    """One disagreement of the shadow model to store, and the stem of its picture."""

    said: Disagreement
    utc: datetime
    stem: str


class ResultsWriter:
    """Stores verdicts and deliveries in `path`. Every method raises DeviceError if the disk fails.

    If it is `broken` after an error, close it and open a new one. If the file was found to be damaged, it has been set
    aside by then. If the disk is full, it has not been set aside, because that would take the results away from the
    readers. `set_aside` says that a damaged file was found and replaced by an empty one at the opening. `forgotten`
    counts the deleted parts by reason. The code that reports them empties it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.broken = False
        self.forgotten: Counter[str] = Counter()
        self._undated = {"parts": 0, "disagreements": 0}  # no row up to these ids has a believable date
        with self._disk():
            self._db, self.set_aside = open_database(path, "results", MIGRATIONS, closed_is_sound=True)
        self._presence = Presence.of_database(path)

    @property
    def lost(self) -> Path | None:
        """An open file that its path does not lead to any more. None as long as all is well."""
        return self._presence.lost

    def stamps(self, now: datetime) -> Stamps:
        """The dates in the results."""
        earliest, settled, ahead = micros(EARLIEST), micros(now - SETTLED), micros(now + AHEAD)
        with self._disk():
            return Stamps(
                self._date("SELECT min(utc_us) FROM parts WHERE utc_us >= ?", earliest),
                self._date("SELECT max(utc_us) FROM parts WHERE utc_us BETWEEN ? AND ?", earliest, settled),
                self._date("SELECT min(utc_us) FROM parts WHERE utc_us >= ?", max(earliest, ahead)),
            )

    def add(
        self,
        entries: Sequence[StoredVerdict],
        deliveries: Sequence[Delivery],
        objections: Sequence[StoredObjection] = (),
    ) -> None:
        """Store all of them in one commit. Items that are already stored are not stored again.

        A delivery is dropped if its verdict is not stored.
        """
        with self._disk(), self._db:
            new = [(part_id, entry) for entry in entries if (part_id := self._add(entry))]
            for table, rows_of in (
                ("views", _view_rows),
                ("defects", _defect_rows),
                ("labels", _label_rows),
            ):  # in one call for all parts
                rows = []
                for part_id, entry in new:
                    for row in rows_of(entry):
                        row["part_id"] = part_id
                        rows.append(row)
                self._insert(table, rows)
            self._db.executemany(
                "INSERT OR IGNORE INTO deliveries (part_id, link, delivered_ns)"
                " SELECT id, ?, ? FROM parts WHERE boot_id = ? AND seq = ?",
                [(each.link, each.delivered_ns, each.boot_id, each.seq) for each in deliveries],
            )
            self._insert("disagreements", [_objection_row(each) for each in objections])

    def tidy(self, before_utc: datetime | None, budget: int, now: datetime | None = None) -> None:
        """Delete items older than `before_utc` and the oldest items beyond `budget` bytes, a few at each call.

        If `before_utc` is None, nothing is deleted by age. No item is deleted before one that was stored earlier. The
        steps are small, so that no reader and no commit waits for long.
        """
        with self._disk(), self._db:
            if before_utc is not None:
                span = micros(before_utc), micros(now) if now is not None else _ALWAYS
                self.forgotten["age"] += self._forget("parts", self._old("parts", *span), _FORGET)
                self._forget("disagreements", self._old("disagreements", *span), _FORGET)
            if self.size > budget:
                self._make_room()
        with self._disk():
            # Each freed page is a row without columns. `execute` would stop after the first.
            self._db.executescript(f"PRAGMA incremental_vacuum({_GIVE_BACK})")

    @property
    def first_part(self) -> int:
        """The number of the oldest part. If all are gone, the one that the next part will have."""
        oldest = "SELECT min(id) FROM parts"
        following = "SELECT seq + 1 FROM sqlite_sequence WHERE name = 'parts'"
        return self._ask(f"SELECT coalesce(({oldest}), ({following}), 1)")

    def waiting_since(self, part_id: int) -> datetime | None:
        """When the oldest of the parts after this number was decided. None if there is none."""
        with self._disk():
            return self._date("SELECT utc_us FROM parts WHERE id > ? ORDER BY id LIMIT 1", part_id)

    @property
    def size(self) -> int:
        """Bytes in use. The file returns its unused bytes little by little."""
        pages, free, page = (self._ask(f"PRAGMA {name}") for name in ("page_count", "freelist_count", "page_size"))
        return (pages - free) * page

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        with self._disk():
            self._presence.part_with(self._path)
            self._db.close()

    def _ask(self, query: str) -> int:
        with self._disk():
            return int(self._db.execute(query).fetchone()[0])

    def _date(self, query: str, *values: int) -> datetime | None:
        found = self._db.execute(query, values).fetchone()
        return None if found is None or found[0] is None else utc_from(found[0])

    def _old(self, table: str, before: int, until: int) -> int:
        """The id up to which everything is too old, in the order of storage. 0 for nothing.

        A row with an impossible date, from a clock that was wrong, counts as old as the rows around it.
        """
        dated = self._db.execute(
            # The + makes SQLite search by id instead of using the index of dates.
            f"SELECT id, utc_us FROM {table} WHERE id > ? AND +utc_us BETWEEN ? AND ? ORDER BY id LIMIT ?",  # noqa: S608 -- a table of ours
            (self._undated[table], micros(EARLIEST), until, _FORGET),
        )
        first = old = 0
        with closing(dated):
            for row_id, utc in dated:  # one by one: nearly always the first is young enough
                first = first or row_id
                if utc >= before:
                    break
                old = row_id
        if not first:
            newest = self._db.execute(f"SELECT max(id) FROM {table}").fetchone()[0] or 0  # noqa: S608 -- as above
        self._undated[table] = first - 1 if first else newest
        return old

    def _forget(self, table: str, up_to: int, most: int) -> int:
        """Delete those of the first `most` rows with an id up to `up_to`. Returns how many were deleted."""
        doomed = f"id IN (SELECT id FROM {table} WHERE id <= ? ORDER BY id LIMIT ?)"  # noqa: S608 -- a table of ours
        return self._db.execute(f"DELETE FROM {table} WHERE {doomed}", (up_to, most)).rowcount  # noqa: S608 -- as above

    def _make_room(self) -> None:
        """Delete the same share of parts and of disagreements, in the order of storage, whatever their dates are."""
        parts, disagreements = (
            int(self._db.execute(f"SELECT coalesce(max(id) - min(id) + 1, 0) FROM {table}").fetchone()[0])  # noqa: S608 -- tables of ours
            for table in ("parts", "disagreements")
        )
        self.forgotten["room"] += self._forget("parts", _ALWAYS, _FORGET)
        share = math.ceil(disagreements * _FORGET / max(parts, _FORGET))
        self._forget("disagreements", _ALWAYS, min(share, _FORGET))

    def _add(self, entry: StoredVerdict) -> int:
        """The id of the new part. 0 if it is stored already."""
        row = _part_row(entry)
        inserted = self._db.execute(insertion("parts", row, or_ignore=True), row)
        return int(inserted.lastrowid or 0) if inserted.rowcount else 0

    def _insert(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        if rows:
            self._db.executemany(insertion(table, rows[0]), rows)

    @contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            self.broken = getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_FULL
            if isinstance(error, sqlite3.DatabaseError) and is_damaged(error):
                set_aside(self._path, "results", error)
            raise DeviceError(f"results {self._path}: {error}") from error


# The keys of these rows are the columns of the tables (store/results_file.py).
def _part_row(entry: StoredVerdict) -> dict[str, Any]:
    verdict, part = entry.verdict, entry.verdict.part
    return {
        "boot_id": verdict.boot_id,
        "seq": verdict.seq,
        "utc_us": micros(entry.utc),
        "part_seq": part.part_seq,
        "plc_boot_id": part.plc_boot_id,
        "decision": int(verdict.decision),
        "reason": int(verdict.reason),
        "rejects": verdict.rejects,
        "grade": verdict.grade,
        "review": verdict.review,
        "late": verdict.late,
        "recipe_id": verdict.recipe_id,
        "recipe_hash": verdict.recipe_hash,
        "criteria": verdict.criteria,
        "model": verdict.model,
        "latency_ns": verdict.latency_ns,
        "announced_ns": part.announced_ns,
        "decided_ns": verdict.decided_ns,
        "due_ns": verdict.due_ns,
        "trigger_count": part.trigger_count,
        "due_count": part.due_count,
        "positioned": part.positioned,
        "epoch": part.epoch,
        "error_mm": finite(verdict.error_mm),
        "missing_views": json.dumps(verdict.missing_views),
    }


def _view_rows(entry: StoredVerdict) -> list[dict[str, Any]]:
    return [_view_row(placed, entry) for placed in entry.verdict.views]


def _defect_rows(entry: StoredVerdict) -> list[dict[str, Any]]:
    return [defect_row(defect) for defect in entry.verdict.defects]


def _label_rows(entry: StoredVerdict) -> list[dict[str, Any]]:
    """The mark that the PLC gave the part, if any. A person may still say otherwise: the newest label counts."""
    if not entry.verdict.part.called:
        return []
    said = {"camera": "", "label": entry.verdict.part.called, "defect_class": "", "user": BY_PLC}
    return [{**said, "utc_us": micros(entry.utc)}]


def _view_row(placed: PlacedView, entry: StoredVerdict) -> dict[str, Any]:
    view, figures = placed.view, placed.view.figures
    return {
        "camera": view.camera,
        "frame_id": min(view.frame_id, _LARGEST),
        "captured_ns": view.captured_ns,
        "exposure_ns": view.exposure_ns,
        "received_ns": view.received_ns,
        "begun_ns": view.begun_ns,
        "inference_ns": view.inference_ns,
        "encoder_count": finite(placed.position.count),
        "error_counts": finite(placed.position.error_counts),
        "brightness": figures and figures.brightness,
        "sharpness": figures and figures.sharpness,
        "confidence": figures and figures.confidence,
        "failure": int(view.failure),  # SQLite takes plain numbers in half of the time
        "doubtful": view.doubtful,
        "picture": entry.stems.get(view.camera, ""),
    }


def _objection_row(each: StoredObjection) -> dict[str, Any]:
    said = each.said
    return {
        "utc_us": micros(each.utc),
        "camera": said.camera,
        "frame_id": min(said.frame_id, _LARGEST),
        "captured_ns": said.captured_ns,
        "opinion": said.opinion,
        "model": said.model,
        "classes": json.dumps(sorted({defect.defect_class for defect in said.defects})),
        "picture": each.stem,
    }
