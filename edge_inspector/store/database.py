"""SQLite files that survive kill -9, damage and new versions: opened the same way by all who keep one."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from edge_inspector.errors import StateError

_log = logging.getLogger(__name__)

_KEPT_ASIDE = 9  # damaged files; of more than these the last one is the latest
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def open_database(
    path: Path, what: str, migrations: Sequence[str], *, closed_is_sound: bool = False
) -> tuple[sqlite3.Connection, bool]:
    """The database in `path`, brought to the newest schema, and whether a damaged file was set aside for it.

    Migration i brings a file from schema i to i + 1; migrations never change once released. WAL with
    synchronous=NORMAL: what was committed survives kill -9, a power cut can cost the last commits (12 us per commit
    instead of 4 ms). Every page is looked at, 20 s for each GB; with `closed_is_sound` only after a crash. Raises
    StateError for a file of a newer version and for what is not ours, sqlite3.Error and OSError as the disk does.
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
    """The date that `micros` stored."""
    return _EPOCH + timedelta(microseconds=stored)


def _connect(path: Path, what: str, migrations: Sequence[str], *, check: bool) -> sqlite3.Connection:
    # not bound to one thread: whoever cleans up after a dead worker may close it
    db = sqlite3.connect(path, timeout=1.0, check_same_thread=False)
    try:
        if not path.stat().st_size:
            db.execute("PRAGMA auto_vacuum=INCREMENTAL")  # so that freed pages can be given back in small steps
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute("PRAGMA cache_size=-512")  # KiB; the usual 2 MB fill over an hour, and look like a leak until then
        db.execute("PRAGMA journal_size_limit=16777216")  # a log that once grew is cut again
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
    """Keep a damaged file under another name, loudly: whoever opens `path` next begins an empty one."""
    names = [f"{path.name}.damaged", *(f"{path.name}.damaged-{number}" for number in range(2, _KEPT_ASIDE + 1))]
    aside = path.with_name(next((name for name in names if not path.with_name(name).exists()), names[-1]))
    if not path.exists():
        return  # by an earlier call already
    for suffix in ("", "-wal", "-shm"):
        source = Path(f"{path}{suffix}")
        if source.exists():
            source.replace(f"{aside}{suffix}")
    _log.error("%s %s is damaged (%s): kept as %s, started empty", what, path, error, aside.name)


def is_damaged(error: sqlite3.DatabaseError) -> bool:
    """Whether the file is to blame, and not the disk or the query."""
    # an error that quick_check only reported has no code; the low byte is the primary one
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    return code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
