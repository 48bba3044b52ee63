"""Locks by which several processes and machines share a run's folder: each step is taken by one of them.

The operating system holds a lock for its process, and gives it back when the process ends in any way. So no old locks
have to be cleared away. A folder on a network needs a file system with POSIX locks, as NFS 4 and CephFS have them.
"""

import errno
import fcntl
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from edge_inspector.errors import ConfigError, Fault

_TAKEN = {errno.EACCES, errno.EAGAIN}


@contextmanager
def claimed(lock: Path) -> Iterator[bool]:
    """Take a lock for the block if no other process has it. Gives whether it was taken. Raises ConfigError."""
    with lock.open("a+b") as file:
        taken = _lock(file, lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if taken:
            _sign(file)
        yield taken


@contextmanager
def waited(lock: Path) -> Iterator[None]:
    """Take a lock for the block, and wait for it as long as another process has it. Raises ConfigError."""
    with lock.open("a+b") as file:
        _lock(file, lock, fcntl.LOCK_EX)
        _sign(file)
        yield


def holder(lock: Path) -> str:
    """Who took a lock last, as `host, process 12`."""
    return lock.read_text(encoding="utf-8", errors="replace") if lock.exists() else ""


def _lock(file: IO[bytes], lock: Path, how: int) -> bool:
    try:
        fcntl.lockf(file, how)
    except OSError as error:
        if error.errno in _TAKEN:
            return False
        what = f"its file system has no locks ({error}): mount it with locks, or use another folder for --out"
        raise ConfigError([Fault(str(lock.parent), what)]) from error
    return True


def _sign(file: IO[bytes]) -> None:
    file.truncate(0)
    file.write(f"{platform.node()}, process {os.getpid()}".encode())
    file.flush()
