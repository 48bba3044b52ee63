"""Allows one writer in a state folder, with the kernel's lock on a file in it.

The lock ends with the process, in whatever way the process ends.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edge_inspector.errors import EdgeInspectorError
from edge_inspector.store.presence import Presence

_log = logging.getLogger(__name__)

DAEMON = "daemon.lock"
FORWARD = "forward.lock"
COMMANDS = "commands.lock"  # for commands that write while a daemon runs: one of them at a time

_ADVICE = {
    DAEMON: "stop it, or give this station a state_dir of its own",
    FORWARD: "results are being sent already. Stop `edge-inspector forward`, or leave it to it",
    COMMANDS: "try again when it has ended",
}

_PATIENCE_S = 5.0  # a predecessor that is stopping has ended by then
_LOOK_S = 0.1
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
_OPEN = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class StateLock:
    """The lock on `name` in `state_dir`. If locking is impossible, the station goes on, because it must judge parts."""

    def __init__(self, state_dir: Path, name: str = DAEMON) -> None:
        self._path = state_dir / name
        self._file: int | None = None
        self._presence: Presence | None = None
        self._cannot = False  # this file system has no locks

    def take(self, stop: threading.Event | None = None, patience_s: float = _PATIENCE_S) -> None:
        """Wait until nobody else holds the lock.

        Raises EdgeInspectorError, which names the holder, if the wait takes too long. `stop` ends the wait with the
        same error. If the file cannot be locked, this is only logged.
        """
        until_s = time.monotonic() + patience_s
        stop = stop or threading.Event()
        try:
            while holder := self._try():
                if time.monotonic() >= until_s or stop.wait(_LOOK_S):
                    raise EdgeInspectorError(f"{self._others(holder)}: {_ADVICE[self._path.name]}")
        except OSError as error:
            _log.warning("%s. Nothing keeps a second daemon away from this folder", self._refusal(error))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock, as with `take`, until the end of the block."""
        self.take()
        try:
            yield
        finally:
            self.release()

    def release(self) -> None:
        """Release the lock. Safe to call twice."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def renew(self) -> str:
        """Lock again if the file was removed, or if it could not be locked before.

        Returns a text about the problem, or "".
        """
        if self._cannot or (self._file is not None and self._presence is not None and not self._presence.lost):
            return ""
        former, self._file = self._file, None
        why = f"{self._path} was removed or replaced while the station ran" if former is not None else ""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            holder = self._try()
        except OSError as error:
            holder, refusal = "", self._refusal(error)
            why = f"{why}; {refusal}" if why else refusal
        if holder:
            why = f"{self._others(holder)} too: stop one of them"
        if self._file is None:
            self._file = former  # the next call tries again
        elif former is not None:
            os.close(former)
        return "" if self._cannot else why

    def _try(self) -> str:
        """Try to lock. Returns the other holder, or "" if this process has the lock now. Raises OSError."""
        file = os.open(self._path, _OPEN, 0o640)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = _holder(file)
            os.close(file)
            if isinstance(error, BlockingIOError):
                return holder
            raise
        self._file, self._presence = file, Presence(self._path)
        with suppress(OSError):  # on a full disk the file does not name its holder
            os.ftruncate(file, 0)
            os.pwrite(file, f"pid {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        return ""

    def _others(self, holder: str) -> str:
        return f"{self._path}: another edge-inspector ({holder}) works in this folder"

    def _refusal(self, error: OSError) -> str:
        self._cannot = error.errno in _NO_LOCKS
        what = "this file system has no locks" if self._cannot else error.strerror
        return f"{self._path} cannot be locked: {what}"


def _holder(file: int) -> str:
    try:
        said = os.pread(file, 200, 0).decode(errors="replace").strip()
    except OSError:
        said = ""
    return said if said and said.isprintable() else "its pid is not known"
