"""SQLite files that survive kill -9, damage and new versions. All modules open their database here."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from edge_inspector.errors import StateError

_log = logging.getLogger(__name__)

_KEPT_ASIDE = 9  # damaged files. If there are more, the last one is replaced
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def open_database(
    path: Path, what: str, migrations: Sequence[str], *, closed_is_sound: bool = False
) -> tuple[sqlite3.Connection, bool]:
    """The database in `path` with the newest schema, and whether a damaged file was set aside for it.

    Migration i converts a file from schema i to i + 1. A released migration never changes. The file uses WAL with
    synchronous=NORMAL: a commit survives kill -9. A power cut can cost the last commits (12 us per commit instead of 4
    ms). Every page is checked, which takes 20 s per GB. With `closed_is_sound` this happens only after a crash. Raises
    StateError for a file of a newer version or of another program, and sqlite3.Error and OSError for errors of the
    disk.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.is_file():
        kind = "folder" if path.is_dir() else "pipe or device"
        raise StateError(f"{what} {path} is a {kind}, not a file: move it away, as `mv {path} {path}.old`")
    check = not closed_is_sound or Path(f"{path}-wal").exists()
    try:
        return _connect(path, what, migrations, check=check), False
    except sqlite3.DatabaseError as error:
        if not is_damaged(error):
            raise
        set_aside(path, what, error)
    return _connect(path, what, migrations, check=False), True


def micros(utc: datetime) -> int:
    """A date as microseconds since 1970, as it is stored."""
    return (utc - _EPOCH) // timedelta(microseconds=1)


def utc_from(stored: int) -> datetime:
    """The date that `micros` converted."""
    return _EPOCH + timedelta(microseconds=stored)


def insertion(table: str, columns: Iterable[str], *, or_ignore: bool = False) -> str:
    """The statement that inserts one row, whose values are given by the names of their columns."""
    names = list(columns)
    values = ", ".join(f":{name}" for name in names)
    return f"INSERT{' OR IGNORE' * or_ignore} INTO {table} ({', '.join(names)}) VALUES ({values})"


def _connect(path: Path, what: str, migrations: Sequence[str], *, check: bool) -> sqlite3.Connection:
    # not bound to one thread, because another thread may have to close it after a worker died
    db = sqlite3.connect(path, timeout=1.0, check_same_thread=False)
    try:
        if not path.stat().st_size:
            db.execute("PRAGMA auto_vacuum=INCREMENTAL")  # so that freed pages can be returned in small steps
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute("PRAGMA cache_size=-512")  # in KiB. The usual 2 MB would fill over an hour and look like a leak
        db.execute("PRAGMA journal_size_limit=16777216")  # a log that has grown is cut again
        health = str(db.execute("PRAGMA quick_check(1)").fetchone()[0]) if check else "ok"
        if health != "ok":
            raise sqlite3.DatabaseError(health)  # noqa: TRY301 -- the connection must be closed here
        _migrate(db, path, what, migrations)
        db.execute("PRAGMA foreign_keys=ON")
    except BaseException:
        db.close()
        raise
    return db


def _migrate(db: sqlite3.Connection, path: Path, what: str, migrations: Sequence[str]) -> None:
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version > len(migrations):
        raise StateError(
            f"{what} {path} has schema {version}, this version knows {len(migrations)}: update it, or move it away"
        )
    if not version and db.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone():
        raise StateError(
            f"{what} {path} has tables that this program did not make: move it away, as `mv {path} {path}.old`"
        )
    for number, script in enumerate(migrations[version:], version + 1):
        db.executescript(f"BEGIN; {script}; PRAGMA user_version = {number}; COMMIT;")


def set_aside(path: Path, what: str, error: sqlite3.DatabaseError) -> None:
    """Rename a damaged file and log an error. The next opening of `path` starts with an empty file."""
    names = [f"{path.name}.damaged", *(f"{path.name}.damaged-{number}" for number in range(2, _KEPT_ASIDE + 1))]
    aside = path.with_name(next((name for name in names if not path.with_name(name).exists()), names[-1]))
    if not path.exists():
        return  # an earlier call has already done it
    for suffix in ("", "-wal", "-shm"):
        source = Path(f"{path}{suffix}")
        if source.exists():
            source.replace(f"{aside}{suffix}")
    _log.error("%s %s is damaged (%s). It is kept as %s, and a new one was started", what, path, error, aside.name)


def is_damaged(error: sqlite3.DatabaseError) -> bool:
    """Whether the file is damaged. If not, the disk or the query is to blame."""
    # an error reported by quick_check has no code. The low byte is the primary code
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    return code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
