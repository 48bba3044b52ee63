"""Messages that must reach a broker, stored on disk until the broker has them."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path

from edge_inspector.errors import StateError
from edge_inspector.store.database import open_database
from edge_inspector.store.presence import Presence

_log = logging.getLogger(__name__)

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
_CHECKED_EVERY = 1_000_000  # bytes of new messages: the size of the file is asked for this often
_MAX_BYTES = 256_000_000  # read and checked in 2 s if a disk reads 150 MB/s
_RECENT = 64  # new messages that need not be read from the file. While the broker answers, far fewer wait
_TAKEN_MAX, _TAKEN_NS = 64, 100_000_000  # messages that the broker has, and how long they stay in the file at most


@dataclass(frozen=True, slots=True)
class OutboxRow:
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
    """At most `max_rows` messages and about `max_bytes`, in order of arrival. Raises StateError for a damaged file.

    If the disk is full or fails, messages wait in memory. `off_disk` then says why, and is empty otherwise.

    An appended message on the disk survives kill -9. A power cut can cost the last commits (WAL, synchronous=NORMAL:
    12 us per commit instead of 4 ms). `newest` is an id that no row of a lane (perishable or not) is above. `set_aside`
    says that a damaged file was found, renamed and replaced by an empty one.
    """

    newest: dict[bool, int]

    def __init__(self, path: Path, max_rows: int, max_bytes: int = _MAX_BYTES) -> None:
        self.max_rows = max_rows
        self.max_bytes = max_bytes
        self.off_disk = ""
        self.set_aside = False
        self._path = path
        self._taken: list[int] = []
        self._taken_ns = 0
        with self._disk():
            try:
                _warm(path)
                self._db, self.set_aside = open_database(path, "outbox", _MIGRATIONS)
            except (sqlite3.OperationalError, OSError) as error:
                self._db, self.off_disk = _in_memory(), str(error)
            self._is_copy = not self.off_disk  # messages in memory began as a copy of the file
            self._look()
        self._presence = Presence.of_database(path)

    def __len__(self) -> int:
        return self._count - len(self._taken)

    @property
    def room(self) -> int:
        """How many more rows fit. 0 if `max_bytes` are reached."""
        if self._unchecked >= min(_CHECKED_EVERY, self.max_bytes // 16) or self._is_large:
            self._check()
        return 0 if self._is_large else max(0, self.max_rows - len(self))

    def append(self, rows: Sequence[OutboxRow]) -> bool:
        """Store all of `rows` in one commit. If they do not fit, it stores none and returns False.

        A row that is already stored is not stored again.
        """
        if len(rows) > self.room:
            return False
        if not rows:
            return True
        stored = [replace(row, id=row_id) for row, row_id in zip(rows, self._write((), rows), strict=True) if row_id]
        self._count += len(stored)
        self._unchecked += sum(len(row.payload) for row in rows)
        for row in stored:
            self.newest[row.perishable] = row.id
            self._recent[row.id] = row
        while len(self._recent) > _RECENT:
            self._recent_after = next(iter(self._recent))
            del self._recent[self._recent_after]
        return True

    def after(self, cursor: int, limit: int, *, perishable: bool = False) -> list[OutboxRow]:
        """The first `limit` rows of this lane with an id above `cursor`, in order."""
        if cursor >= self.newest[perishable]:
            return []
        if cursor >= self._recent_after:
            found = [row for row in self._recent.values() if row.id > cursor and row.perishable == perishable]
            return found[:limit]
        self._remove(())
        with self._disk():
            read = self._db.execute(
                "SELECT topic, payload, expires_ns, boot_id, seq, id FROM outbox"
                " WHERE perishable = ? AND id > ? ORDER BY id LIMIT ?",
                (perishable, cursor, limit),
            ).fetchall()
        return [
            OutboxRow(topic, payload, expires_ns=expires_ns, boot_id=boot_id, seq=seq, perishable=perishable, id=row_id)
            for topic, payload, expires_ns, boot_id, seq, row_id in read
        ]

    def delete(self, ids: Iterable[int]) -> None:
        """Delete these rows, because nobody needs them any more."""
        self._remove(ids)

    def taken(self, ids: Iterable[int]) -> None:
        """The broker has these rows. They leave the file with the next messages that come, or a moment later.

        One commit for both takes half of the time. If the station is killed meanwhile, it sends them again.
        """
        now = time.monotonic_ns()
        if not self._taken:
            self._taken_ns = now
        for row_id in ids:
            if row_id > 0:
                self._taken.append(row_id)
                self._recent.pop(row_id, None)
        if len(self._taken) >= _TAKEN_MAX or now - self._taken_ns > _TAKEN_NS:
            self._remove(())

    @property
    def lost(self) -> Path | None:
        """An open file that its path does not lead to any more. None as long as all is well."""
        return None if self.off_disk else self._presence.lost

    def return_to_disk(self) -> bool:
        """Write the messages in memory to the file. Returns whether their ids stay.

        They do if the file was in use before: it then keeps nothing else. A file that could not be opened until now may
        hold messages of an earlier run. They come first, and the ids change. If the disk still fails, this raises
        StateError, and the messages stay in memory.
        """
        ids_stay = self._is_copy
        self._remove(())
        with self._disk():
            file, _ = open_database(self._path, "outbox", _MIGRATIONS)
            if ids_stay:
                self._copy_into(file)
            else:
                self._move_into(file)
            self._db, self._presence = file, Presence.of_database(self._path)
            self.off_disk, self._is_copy = "", True
            if ids_stay:
                self._check()
            else:
                self._look()
        return ids_stay

    def renew(self) -> None:
        """Open the file that is at the path now, and add all rows that it lacks. The ids change.

        A removed file can be read as long as it is open. If this fails, the former file stays in use.
        """
        self._remove(())
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
            self._look()

    def close(self) -> None:
        """Close the file. Safe to call twice. Messages that are in memory are written first, if the disk allows it."""
        with suppress(StateError):  # then these are sent again
            self._remove(())
        if self.off_disk and len(self):
            with suppress(StateError):
                self.return_to_disk()
        if self.off_disk and len(self):
            _log.warning("outbox %s: %d messages were only in memory and are lost", self._path, len(self))
            self._count = 0
        with self._disk():
            self._presence.part_with(self._path)
            self._db.close()

    def _remove(self, ids: Iterable[int]) -> None:
        doomed = [*self._taken, *ids]
        if doomed:
            self._write(doomed, ())

    def _write(self, doomed: Sequence[int], rows: Sequence[OutboxRow]) -> list[int]:
        """Delete the rows `doomed` and add `rows` in one transaction, in memory if the disk fails.

        Returns the ids of the added ones, 0 for a row that was there.
        """
        doomed = doomed or self._taken
        with self._disk():
            try:
                removed, ids = _commit(self._db, doomed, rows)
            except sqlite3.OperationalError as error:  # the disk is full or fails, or another program holds the lock
                if self.off_disk:
                    raise
                self._leave_disk(error)
                removed, ids = _commit(self._db, doomed, rows)
        self._count -= removed
        self._taken = []
        for row_id in doomed:
            self._recent.pop(row_id, None)
        return ids

    def _leave_disk(self, error: sqlite3.Error) -> None:
        memory = sqlite3.connect(":memory:", check_same_thread=False)
        try:
            self._db.backup(memory)  # a full disk can be read
        except sqlite3.Error:
            memory.close()
            raise
        file, self._db, self.off_disk = self._db, memory, str(error)
        with suppress(sqlite3.Error):
            file.close()

    def _copy_into(self, file: sqlite3.Connection) -> None:
        try:
            self._db.backup(file)
        except sqlite3.Error:
            file.close()
            raise
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

    def _look(self) -> None:
        """Read what the rows and the file are like. Later they are followed without reading."""
        self._count = int(self._db.execute("SELECT count(*) FROM outbox").fetchone()[0])
        last = int(self._db.execute("SELECT coalesce(max(id), 0) FROM outbox").fetchone()[0])
        self.newest = {True: last, False: last}
        self._recent: dict[int, OutboxRow] = {}  # all rows above `_recent_after` that are there
        self._recent_after = last
        self._check()

    def _check(self) -> None:
        with self._disk():
            page_bytes, pages, free = (
                int(self._db.execute(f"PRAGMA {name}").fetchone()[0])
                for name in ("page_size", "page_count", "freelist_count")
            )
        self._is_large = page_bytes * (pages - free) >= self.max_bytes
        self._unchecked = 0

    @contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StateError(f"outbox {self._path}: {error}") from error


def _commit(db: sqlite3.Connection, doomed: Sequence[int], rows: Sequence[OutboxRow]) -> tuple[int, list[int]]:
    """How many of `doomed` are deleted, and the ids of `rows`: 0 for a row that was there."""
    with db:
        removed = db.executemany("DELETE FROM outbox WHERE id = ?", [(row_id,) for row_id in doomed]).rowcount
        added = [
            db.execute(_APPEND, (row.topic, row.payload, row.expires_ns, row.boot_id, row.seq, row.perishable))
            for row in rows
        ]
        return max(0, removed), [(cursor.lastrowid or 0) if cursor.rowcount > 0 else 0 for cursor in added]


def _in_memory() -> sqlite3.Connection:
    memory = sqlite3.connect(":memory:", check_same_thread=False)
    for script in _MIGRATIONS:
        memory.executescript(script)
    memory.execute(f"PRAGMA user_version = {len(_MIGRATIONS)}")
    return memory


def _warm(path: Path) -> None:
    """Read the file into memory sequentially.

    The check on opening reads it in random order, which is ten times slower if the file is not cached.
    """
    if path.is_file():
        with path.open("rb", buffering=0) as file:
            while file.read(1 << 20):
                pass
