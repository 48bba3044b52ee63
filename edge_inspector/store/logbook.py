"""The logbook of a station: what went wrong, who acknowledged it, and the batches. It survives a restart."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import KW_ONLY, asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, cast

from edge_inspector.errors import DeviceError, StateError
from edge_inspector.store.database import insertion, is_damaged, micros, open_database, set_aside, utc_from
from edge_inspector.store.trends import Sums

LOGBOOK_FILE = "logbook.sqlite"
_KEPT = 20_000  # rows of each table. A row has some 200 bytes
_TIMEOUT_S = 2.0

_SCHEMA = (
    """CREATE TABLE events (
        id INTEGER PRIMARY KEY AUTOINCREMENT, boot_id INTEGER NOT NULL, code INTEGER NOT NULL, subject TEXT NOT NULL,
        why TEXT NOT NULL, fault INTEGER NOT NULL, begun_us INTEGER NOT NULL, ended_us INTEGER,
        recipe_id INTEGER NOT NULL, parts INTEGER NOT NULL, rejected INTEGER NOT NULL, not_inspected INTEGER NOT NULL,
        acknowledged_by TEXT, acknowledged_us INTEGER
    );
    CREATE INDEX events_open ON events (id) WHERE ended_us IS NULL;
    CREATE INDEX events_waiting ON events (id) WHERE acknowledged_us IS NULL;
    CREATE TABLE marks (
        id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, name TEXT NOT NULL, user TEXT NOT NULL,
        utc_us INTEGER NOT NULL
    );
    CREATE TABLE alive (only INTEGER PRIMARY KEY CHECK (only = 1), utc_us INTEGER NOT NULL)""",
    """CREATE TABLE versions (
        recipe_id INTEGER NOT NULL, version INTEGER NOT NULL, utc_us INTEGER NOT NULL, user TEXT NOT NULL,
        comment TEXT NOT NULL, hash TEXT NOT NULL, changes TEXT NOT NULL, PRIMARY KEY (recipe_id, version)
    ) WITHOUT ROWID""",
    """ALTER TABLE marks ADD COLUMN last_part INTEGER;
    ALTER TABLE marks ADD COLUMN accept INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE marks ADD COLUMN reject INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE marks ADD COLUMN not_inspected INTEGER NOT NULL DEFAULT 0""",
)

MarkKind = Literal["batch", "reset"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that was wrong. `ended` is None while it holds.

    `parts`, `rejected` and `not_inspected` are how many parts were decided meanwhile, at most a few more.
    """

    id: int
    code: int
    subject: str
    why: str
    fault: bool
    begun: datetime
    ended: datetime | None
    recipe_id: int
    parts: int
    rejected: int
    not_inspected: int
    acknowledged_by: str | None
    acknowledged: datetime | None


@dataclass(frozen=True, slots=True)
class Counts:
    """How many parts were decided, rejected and not inspected."""

    parts: int = 0
    rejected: int = 0
    not_inspected: int = 0


@dataclass(frozen=True, slots=True)
class CarriedCounts:
    """What was counted since a mark before the clock was set. Later parts have numbers above `last_part`."""

    last_part: int
    sums: Sums


@dataclass(frozen=True, slots=True)
class Mark:
    """The begin of a batch, or a reset of the counters, by a person."""

    kind: MarkKind
    name: str
    user: str
    utc: datetime
    _: KW_ONLY
    carried: CarriedCounts | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeVersion:
    """What somebody saved on the page: limits and regions of a recipe, or with the number 0 the challenge settings.

    `changes` is JSON, `hash` is the fingerprint of the result.
    """

    recipe_id: int
    version: int
    utc: datetime
    user: str
    comment: str
    hash: str
    changes: str


def logbook_path(state_dir: Path) -> Path:
    """The path of a station's logbook."""
    return state_dir / LOGBOOK_FILE


class LogbookWriter:
    """Writes the logbook. One thread owns it. Every method raises DeviceError if the disk fails.

    Events of an earlier run that were still open end when that run was last seen alive.
    """

    def __init__(self, path: Path, boot_id: int) -> None:
        self._path = path
        self._boot_id = boot_id
        with self._disk():
            self._db, self.set_aside = open_database(path, "logbook", _SCHEMA, closed_is_sound=True)
        self._db.row_factory = sqlite3.Row
        with self._disk(), self._db:
            self._db.execute(
                "UPDATE events SET ended_us = max(begun_us, coalesce((SELECT utc_us FROM alive), begun_us))"
                " WHERE ended_us IS NULL AND boot_id <> ?",
                (boot_id,),
            )

    def begin(self, *, code: int, subject: str, why: str, fault: bool, utc: datetime, recipe_id: int) -> int:
        """Store that something is wrong from now on. Returns the number of the event."""
        with self._disk(), self._db:
            stored = self._db.execute(
                "INSERT INTO events (boot_id, code, subject, why, fault, begun_us, recipe_id, parts, rejected,"
                " not_inspected) VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0, 0)",
                (self._boot_id, code, subject, why, fault, micros(utc), recipe_id),
            )
        return int(stored.lastrowid or 0)

    def follow(self, event: int, why: str, counts: Counts, *, begun: datetime, ended: datetime | None) -> None:
        """Bring an event up to date. With `ended` it is over. Both dates are by the clock of now."""
        told = (why, counts.parts, counts.rejected, counts.not_inspected, micros(begun), ended and micros(ended))
        with self._disk(), self._db:
            self._db.execute(
                "UPDATE events SET why = ?, parts = ?, rejected = ?, not_inspected = ?, begun_us = ?, ended_us = ?"
                " WHERE id = ?",
                (*told, event),
            )

    def acknowledge(self, event: int | None, user: str, utc: datetime) -> int:
        """Store that a person has seen an event, or with None every event so far. Returns how many it were."""
        which = "acknowledged_us IS NULL" + ("" if event is None else " AND id = ?")
        with self._disk(), self._db:
            return self._db.execute(
                f"UPDATE events SET acknowledged_by = ?, acknowledged_us = ? WHERE {which}",  # noqa: S608 -- of constants
                (user, micros(utc), *([] if event is None else [event])),
            ).rowcount

    def mark(self, mark: Mark) -> None:
        """Store the begin of a batch, or a reset of the counters."""
        with self._disk(), self._db:
            self._db.execute(
                "INSERT INTO marks (kind, name, user, utc_us) VALUES (?, ?, ?, ?)",
                (mark.kind, mark.name, mark.user, micros(mark.utc)),
            )

    def carry(self, counted: Mapping[MarkKind, tuple[datetime, CarriedCounts]]) -> None:
        """The clock was set: store the date of each latest mark by the new clock, and what was counted since it."""
        with self._disk(), self._db:
            for kind, (utc, carried) in counted.items():
                sums = carried.sums
                self._db.execute(
                    "UPDATE marks SET utc_us = ?, last_part = ?, accept = ?, reject = ?, not_inspected = ?"
                    " WHERE id = (SELECT max(id) FROM marks WHERE kind = ?)",
                    (micros(utc), carried.last_part, sums.accept, sums.reject, sums.not_inspected, kind),
                )

    def save_version(self, version: RecipeVersion) -> bool:
        """Store a version. False if somebody else has saved one with this number meanwhile."""
        with self._disk(), self._db:
            return _insert(self._db, version)

    def tidy(self, utc: datetime) -> None:
        """Store that the station is alive, and delete the oldest rows if there are very many."""
        with self._disk(), self._db:
            self._db.execute("INSERT OR REPLACE INTO alive (only, utc_us) VALUES (1, ?)", (micros(utc),))
            for table in ("events", "marks"):
                self._db.execute(f"DELETE FROM {table} WHERE id <= (SELECT max(id) FROM {table}) - ?", (_KEPT,))  # noqa: S608 -- tables of ours

    def waiting(self, limit: int) -> tuple[list[Event], int]:
        """The newest events that wait for a person, faults first, and how many there are."""
        with self._disk():
            found = self._db.execute(
                "SELECT * FROM events WHERE acknowledged_us IS NULL ORDER BY fault DESC, id DESC LIMIT ?", (limit,)
            ).fetchall()
            count = self._db.execute("SELECT count(*) FROM events WHERE acknowledged_us IS NULL").fetchone()[0]
        return [_event(row) for row in found], int(count)

    def latest_mark(self, kind: MarkKind) -> Mark | None:
        """The last mark of this kind."""
        with self._disk():
            row = self._db.execute("SELECT * FROM marks WHERE kind = ? ORDER BY id DESC LIMIT 1", (kind,)).fetchone()
        return None if row is None else _mark(row)

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        with self._disk():
            self._db.close()

    @contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except StateError as error:
            raise DeviceError(str(error)) from error
        except (sqlite3.Error, OSError) as error:
            if isinstance(error, sqlite3.DatabaseError) and is_damaged(error):
                set_aside(self._path, "logbook", error)
            raise DeviceError(f"logbook {self._path}: {error}") from error


def add_version(path: Path, version: RecipeVersion) -> bool:
    """Store a version beside the station, which may run. False as in `save_version`. Raises DeviceError."""
    try:
        uri = f"{path.absolute().as_uri()}?mode=rw"
        with closing(sqlite3.connect(uri, uri=True, timeout=_TIMEOUT_S)) as db, db:
            return _insert(db, version)
    except (sqlite3.Error, OSError, ValueError) as error:
        raise DeviceError(f"logbook {path}: {error}") from error


class LogbookReader:
    """The logbook for reading. Any thread may ask. Every method raises DeviceError."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def events(
        self,
        *,
        limit: int,
        before_id: int | None = None,
        code: int | None = None,
        waiting: bool = False,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[Event]:
        """The newest events that match all arguments, newest first."""
        wanted: list[tuple[str, Any]] = [
            ("id < ?", before_id),
            ("code = ?", code),
            ("coalesce(ended_us, begun_us) >= ?", since and micros(since)),
            ("begun_us < ?", until and micros(until)),
        ]
        given = [(clause, value) for clause, value in wanted if value is not None]
        clauses = [clause for clause, _ in given] + (["acknowledged_us IS NULL"] if waiting else [])
        where = " AND ".join(clauses) or "1"
        query = f"SELECT * FROM events WHERE {where} ORDER BY id DESC LIMIT ?"  # noqa: S608 -- of constants
        return [_event(row) for row in self._ask(query, [*(value for _, value in given), limit])]

    def marks(self, limit: int) -> list[Mark]:
        """Batches and resets, newest first."""
        return [_mark(row) for row in self._ask("SELECT * FROM marks ORDER BY id DESC LIMIT ?", [limit])]

    def versions(self, recipe_id: int, limit: int) -> list[RecipeVersion]:
        """The saved versions of a recipe, newest first."""
        rows = self._ask("SELECT * FROM versions WHERE recipe_id = ? ORDER BY version DESC LIMIT ?", [recipe_id, limit])
        return [
            RecipeVersion(
                recipe_id=row["recipe_id"],
                version=row["version"],
                utc=utc_from(row["utc_us"]),
                user=row["user"],
                comment=row["comment"],
                hash=row["hash"],
                changes=row["changes"],
            )
            for row in rows
        ]

    def _ask(self, query: str, values: Sequence[Any]) -> list[sqlite3.Row]:
        if not self._path.exists():
            return []
        try:
            uri = f"{self._path.absolute().as_uri()}?mode=ro"
            with closing(sqlite3.connect(uri, uri=True, timeout=_TIMEOUT_S)) as db:
                db.row_factory = sqlite3.Row
                return db.execute(query, values).fetchall()
        except (sqlite3.Error, OSError, ValueError) as error:
            raise DeviceError(f"logbook {self._path}: {error}") from error


def _insert(db: sqlite3.Connection, version: RecipeVersion) -> bool:
    row = {**asdict(version), "utc_us": micros(version.utc)}
    del row["utc"]
    return db.execute(insertion("versions", row, or_ignore=True), row).rowcount > 0


def _event(row: sqlite3.Row) -> Event:
    return Event(
        id=row["id"],
        code=row["code"],
        subject=row["subject"],
        why=row["why"],
        fault=bool(row["fault"]),
        begun=utc_from(row["begun_us"]),
        ended=None if row["ended_us"] is None else utc_from(row["ended_us"]),
        recipe_id=row["recipe_id"],
        parts=row["parts"],
        rejected=row["rejected"],
        not_inspected=row["not_inspected"],
        acknowledged_by=row["acknowledged_by"],
        acknowledged=None if row["acknowledged_us"] is None else utc_from(row["acknowledged_us"]),
    )


def _mark(row: sqlite3.Row) -> Mark:
    sums = Sums(row["accept"], row["reject"], row["not_inspected"])
    carried = None if row["last_part"] is None else CarriedCounts(row["last_part"], sums)
    return Mark(cast("MarkKind", row["kind"]), row["name"], row["user"], utc_from(row["utc_us"]), carried=carried)
