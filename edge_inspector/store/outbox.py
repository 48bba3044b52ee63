"""Messages that must reach a broker, stored on disk until the broker has them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from edge_inspector.errors import StateError
from edge_inspector.store.database import open_database
from edge_inspector.store.presence import Presence

# AUTOINCREMENT: an id is never used again, so a reader's position stays valid after deletions.
_MIGRATIONS = (
    """CREATE TABLE outbox (
        id INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, payload BLOB NOT NULL, expires_ns INTEGER NOT NULL,
        perishable INTEGER NOT NULL, boot_id INTEGER NOT NULL, seq INTEGER NOT NULL, UNIQUE (boot_id, seq, topic)
    );
    CREATE INDEX outbox_lane ON outbox (perishable, id)""",
)


_APPEND = (
    "INSERT OR IGNORE INTO outbox (topic, payload, expires_ns, boot_id, seq, perishable) VALUES (?, ?, ?, ?, ?, ?)"
)
_MAX_BYTES = 256_000_000  # read and checked in 2 s if a disk reads 150 MB/s


@dataclass(frozen=True, slots=True)
class Row:
    """One message, identified by (boot_id, seq, topic). `id` is its place in the outbox, assigned on append.

    `expires_ns` is monotonic and only valid within the run of the daemon called `boot_id`. A perishable message is
    worthless after its expiry and does not wait for the others.
    """

    topic: str
    payload: bytes
    _: KW_ONLY
    expires_ns: int
    boot_id: int
    seq: int
    perishable: bool = False
    id: int = 0


class Outbox:
    """At most `max_rows` messages and about `max_bytes`, in order of arrival. Raises StateError if the disk fails.

    An appended message survives kill -9. A power cut can cost the last commits (WAL, synchronous=NORMAL: 12 us per
    commit instead of 4 ms). `set_aside` says that a damaged file was found, renamed and replaced by an empty one.
    """

    def __init__(self, path: Path, max_rows: int, max_bytes: int = _MAX_BYTES) -> None:
        self.max_rows = max_rows
        self.max_bytes = max_bytes
        self._path = path
        with self._disk():
            _warm(path)
            self._db, self.set_aside = open_database(path, "outbox", _MIGRATIONS)
            self._count = self._counted()
        self._presence = Presence.of_database(path)

    def __len__(self) -> int:
        return self._count

    @property
    def room(self) -> int:
        """How many more rows fit. 0 if `max_bytes` are reached."""
        with self._disk():
            page_bytes, pages, free = (
                int(self._db.execute(f"PRAGMA {name}").fetchone()[0])
                for name in ("page_size", "page_count", "freelist_count")
            )
        return 0 if page_bytes * (pages - free) >= self.max_bytes else max(0, self.max_rows - self._count)

    def append(self, rows: Sequence[Row]) -> bool:
        """Store all of `rows` in one commit. If they do not fit, it stores none and returns False.

        A row that is already stored is not stored again.
        """
        if len(rows) > self.room:
            return False
        with self._disk(), self._db:
            before = self._db.total_changes
            self._db.executemany(
                _APPEND,
                [(row.topic, row.payload, row.expires_ns, row.boot_id, row.seq, row.perishable) for row in rows],
            )
            added = self._db.total_changes - before
        self._count += added
        return True

    def after(self, cursor: int, limit: int, *, perishable: bool = False) -> list[Row]:
        """The first `limit` rows of this lane with an id above `cursor`, in order."""
        with self._disk():
            found = self._db.execute(
                "SELECT topic, payload, expires_ns, boot_id, seq, id FROM outbox"
                " WHERE perishable = ? AND id > ? ORDER BY id LIMIT ?",
                (perishable, cursor, limit),
            ).fetchall()
        return [
            Row(topic, payload, expires_ns=expires_ns, boot_id=boot_id, seq=seq, perishable=perishable, id=row_id)
            for topic, payload, expires_ns, boot_id, seq, row_id in found
        ]

    def delete(self, ids: Iterable[int]) -> None:
        """Delete these rows, because the broker has them or nobody needs them any more."""
        with self._disk(), self._db:
            before = self._db.total_changes
            self._db.executemany("DELETE FROM outbox WHERE id = ?", [(row_id,) for row_id in ids])
            removed = self._db.total_changes - before
        self._count -= removed

    @property
    def lost(self) -> Path | None:
        """An open file that its path does not lead to any more. None as long as all is well."""
        return self._presence.lost

    def renew(self) -> None:
        """Open the file that is at the path now, and add all rows that it lacks. The ids change.

        A removed file can be read as long as it is open. If this fails, the former file stays in use.
        """
        with self._disk():
            is_removed = self._presence.lost == self._path
            if is_removed:
                self._presence.part_with(self._path)
            else:
                self._db.close()  # writes its log into the file, which is still there
            fresh, _ = open_database(self._path, "outbox", _MIGRATIONS)
            if is_removed:
                self._move_into(fresh)
            self._db, self._presence = fresh, Presence.of_database(self._path)
            self._count = self._counted()

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        with self._disk():
            self._presence.part_with(self._path)
            self._db.close()

    def _move_into(self, fresh: sqlite3.Connection) -> None:
        try:
            with fresh:
                fresh.executemany(
                    _APPEND,
                    self._db.execute(
                        "SELECT topic, payload, expires_ns, boot_id, seq, perishable FROM outbox ORDER BY id"
                    ),
                )
        except sqlite3.Error:
            fresh.close()
            raise
        self._db.close()

    def _counted(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM outbox").fetchone()[0])

    @contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StateError(f"outbox {self._path}: {error}") from error


def _warm(path: Path) -> None:
    """Read the file into memory sequentially.

    The check on opening reads it in random order, which is ten times slower if the file is not cached.
    """
    if path.is_file():
        with path.open("rb", buffering=0) as file:
            while file.read(1 << 20):
                pass
