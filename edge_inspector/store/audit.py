"""Who changed what, when and why: one line for each change, in a file that nobody can edit without being noticed.

Each line holds the SHA-256 of the line before it. The number and the hash of the last line are kept in a second file.
So a line that was edited, removed, added or moved breaks the chain. Somebody who may write both files can still make a
new chain. Against that, send the log, which has the hash of each line, to another machine.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import KW_ONLY, asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from edge_inspector.errors import DeviceError
from edge_inspector.records import Change
from edge_inspector.runtime.clock import iso
from edge_inspector.store.whole_file import replace_file

log = logging.getLogger(__name__)

_FIRST: Final = "0" * 64  # what stands for the hash of the line before the first
_OPEN: Final = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
_MODE: Final = 0o640
_LINE_MAX: Final = 1 << 17  # six values of the longest characters, escaped
_TEXT_MAX: Final = 1000  # characters of one value
_DOUBT: Final = "audit"  # what a line says that the writer itself added, because it could not see the end of the file
_TAIL: Final = 1 << 18  # what is read for the newest lines
_WAITING_MAX: Final = 256
_KEYS: Final = ("seq", "utc", "who", "what", "subject", "before", "after", "why", "previous")


@dataclass(frozen=True, slots=True)
class Head:
    """The last line: its number, its hash, and where the file ends after it."""

    seq: int = 0
    hash: str = _FIRST
    size: int = 0


@dataclass(frozen=True, slots=True)
class Audited:
    """One line of the file. `hash` is its own, `previous` that of the line before it."""

    seq: int
    utc: str
    change: Change
    previous: str
    _: KW_ONLY
    hash: str


def audit_path(state_dir: Path) -> Path:
    """Where the changes of a station are written down."""
    return state_dir / "audit.jsonl"


def append(state_dir: Path, change: Change, utc: datetime) -> Audited:
    """Write one change down, also if another process writes at the same time. Raises DeviceError."""
    path = audit_path(state_dir)
    try:
        with _locked(path) as file:
            head = _head(path) or _restored(path, file, utc)
            return _add(path, file, _line(_settled(file, head), change, utc))
    except OSError as error:
        raise DeviceError(f"{path}: a change by {change.who} cannot be written down: {error.strerror}") from error


def read(state_dir: Path) -> Iterator[Audited]:
    """Every line that can be read, oldest first. Raises DeviceError."""
    for line in _lines(audit_path(state_dir)):
        try:
            yield _parsed(line)
        except ValueError:
            continue


def latest(state_dir: Path, limit: int) -> list[Audited]:
    """The newest lines, newest first. Of very long lines it may be fewer. Raises DeviceError."""
    path = audit_path(state_dir)
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL))
            lines = file.read(_TAIL).splitlines(keepends=True)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DeviceError(f"{path}: cannot be read: {error.strerror}") from error
    found = []
    for line in lines:
        with suppress(ValueError):
            found.append(_parsed(line))
    return found[-limit:][::-1]


def verify(state_dir: Path) -> list[str]:
    """What is wrong with the file, empty if nothing. Raises DeviceError if it cannot be read."""
    path = audit_path(state_dir)
    faults, before, end = [], Head(), 0
    for number, line in enumerate(_lines(path), start=1):
        end += len(line)
        try:
            entry = _parsed(line)
        except ValueError as error:
            faults.append(f"line {number}: {error}")
            before = Head(before.seq + 1, _hash(line), end)
            continue
        if entry.previous != before.hash:
            faults.append(f"line {number}: it does not follow the line before it")
        if entry.seq != before.seq + 1:
            faults.append(f"line {number}: it has number {entry.seq}, but {before.seq + 1} is next")
        if entry.change.what == _DOUBT:
            faults.append(f"line {number}: {entry.change.why}")
        before = Head(entry.seq, entry.hash, end)
    return faults + _end_faults(path, before)


def _end_faults(path: Path, last: Head) -> list[str]:
    try:
        head = _head(path)
    except OSError as error:
        raise DeviceError(f"{_head_path(path)}: cannot be read: {error.strerror}") from error
    if head is None:
        return [f"{_head_path(path)} is missing or damaged: lines may be missing at the end"] if last.seq else []
    if head.seq > last.seq:
        return [f"{head.seq - last.seq} lines are missing at the end: the last one had number {head.seq}"]
    if (head.seq, head.hash) == (last.seq, last.hash):
        return []
    # A power cut between the two files leaves one line that the second file does not know yet.
    if head.seq == last.seq - 1:
        return [] if _hash_of_line(path, head.seq) == head.hash else ["the last line but one is not the one written"]
    return [f"the last line is not the one that {_head_path(path).name} knows"]


def _hash_of_line(path: Path, number: int) -> str:
    if not number:
        return _FIRST
    return next((_hash(line) for at, line in enumerate(_lines(path), start=1) if at == number), "")


def _line(head: Head, change: Change, utc: datetime) -> bytes:
    values = {name: str(value)[:_TEXT_MAX] for name, value in asdict(change).items()}
    content = {"seq": head.seq + 1, "utc": iso(utc), **values, "previous": head.hash}
    return json.dumps(content, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"


def _parsed(line: bytes) -> Audited:
    """Raises ValueError, which says what is wrong with the line."""
    if not line.endswith(b"\n"):
        raise ValueError("it is cut off" if len(line) < _LINE_MAX else "it is too long")
    try:
        found: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError("it is not JSON") from error
    if not isinstance(found, dict) or tuple(found) != _KEYS or type(found["seq"]) is not int:
        raise ValueError("it has other keys or types than it must have")
    texts = [found[key] for key in _KEYS[1:]]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("it has other keys or types than it must have")
    change = Change(**{key: found[key] for key in _KEYS[2:-1]})
    return Audited(found["seq"], found["utc"], change, found["previous"], hash=_hash(line))


def _hash(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while line := file.readline(_LINE_MAX):
                yield line
    except FileNotFoundError:
        return
    except OSError as error:
        raise DeviceError(f"{path}: cannot be read: {error.strerror}") from error


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    file = os.open(path, _OPEN, _MODE)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        _hand_over(file, path.parent.stat())
        yield file
    finally:
        os.close(file)  # ends the lock, too


def _add(path: Path, file: int, line: bytes) -> Audited:
    start = os.fstat(file).st_size
    if os.write(file, line) != len(line):
        os.ftruncate(file, start)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(file)
    added = _parsed(line)
    replace_file(_head_path(path), json.dumps(asdict(Head(added.seq, added.hash, start + len(line)))))
    _hand_over(_head_path(path), os.fstat(file))
    return added


def _hand_over(file: int | Path, like: os.stat_result) -> None:
    """A command of root began the file, and the service must write on. Under the unit's filter root may not."""
    if not os.geteuid():
        with suppress(PermissionError):
            os.chown(file, like.st_uid, like.st_gid)


def _settled(file: int, head: Head) -> Head:
    """The last line in the file, after what a power cut left was taken in or cut off."""
    for line in os.pread(file, _LINE_MAX, head.size).splitlines(keepends=True):
        if not line.endswith(b"\n"):
            os.ftruncate(file, head.size)
            break
        head = Head(head.seq + 1, _hash(line), head.size + len(line))
    return head


def _restored(path: Path, file: int, utc: datetime) -> Head:
    """The last line, found without the second file. If there are lines already, one more says that it was missing."""
    head = Head()
    for line in _lines(path):
        head = Head(head.seq + 1, _hash(line), head.size + len(line))
    if not head.seq:
        return head
    why = f"{_head_path(path).name} was missing or damaged, so lines may be missing before this one"
    added = _add(path, file, _line(head, Change("station", _DOUBT, _head_path(path).name, why=why), utc))
    return Head(added.seq, added.hash, os.fstat(file).st_size)


def _head_path(path: Path) -> Path:
    return path.with_name("audit.head")


def _head(path: Path) -> Head | None:
    """None if there is none yet, or if it is damaged. Raises OSError if it cannot be read."""
    try:
        found = json.loads(_head_path(path).read_bytes())
        head = Head(found["seq"], found["hash"], found["size"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    sound = type(head.seq) is int and type(head.size) is int and isinstance(head.hash, str)
    return head if sound and head.seq >= 0 and head.size >= 0 else None


class AuditTrail:
    """Changes that wait for the disk. One thread owns it."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._waiting: deque[Change] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, change: Change) -> bool:
        """Take a change. Whether there was room for it."""
        if len(self._waiting) >= _WAITING_MAX:
            return False
        self._waiting.append(change)
        return True

    def write(self, utc: datetime) -> None:
        """Write what waits. What cannot be written waits on. Raises DeviceError."""
        while self._waiting:
            entry = append(self._state_dir, self._waiting[0], utc)
            self._waiting.popleft()
            change = entry.change
            log.info("audit %d %s: %s %s %s", entry.seq, entry.hash, change.who, change.what, change.subject)
