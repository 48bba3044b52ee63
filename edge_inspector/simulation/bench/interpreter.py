"""For how long another process holds its interpreter's lock, read from its memory. It is not slowed down by it.

The lock lies in the interpreter's own record `_PyRuntime`, beside the switch interval. In this process a switch
interval that occurs nowhere else shows where. The other process must run the same program file.
"""

from __future__ import annotations

import ctypes
import os
import random
import sys
import threading
import time
from pathlib import Path
from typing import Final

_SIZE: Final = 1 << 20  # of `_PyRuntime`, at most
_MARK_US: Final = 4_321  # an interval that nobody sets
_AFTER_INTERVAL: Final = 16  # bytes from the interval to `locked`: the interval itself and a pointer
_PAUSE_S: Final = 0.001


class LockWatch:
    """Looks at one process about a thousand times a second, and only while `held` runs."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._at: int | None = None

    def held(self, seconds: float, stop: threading.Event) -> float | None:
        """The share of looks at which the lock was held. It takes this long. None if it cannot be seen."""
        if self._at is None:
            self._at = _lock_of(self._pid)
        until, looks, locked = time.monotonic() + seconds, 0, 0
        try:
            memory = os.open(f"/proc/{self._pid}/mem", os.O_RDONLY) if self._at is not None else -1
        except OSError:
            memory = -1
        try:
            while time.monotonic() < until and not stop.is_set():
                time.sleep(_PAUSE_S * random.uniform(0.5, 1.5) if memory >= 0 else seconds)
                if memory >= 0 and self._at is not None:
                    looks += 1
                    locked += int.from_bytes(os.pread(memory, 4, self._at), sys.byteorder) == 1
        except OSError:
            return None  # the process has ended
        finally:
            if memory >= 0:
                os.close(memory)
        return locked / looks if looks else None


def _lock_of(pid: int) -> int | None:
    """The address of the lock's state in this process. None if it is not found."""
    try:
        runtime = ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, "_PyRuntime"))
        file, base = _file_at(os.getpid(), runtime)
        offset, their_base = _offset(runtime), _base_of(pid, file)
    except (OSError, ValueError):
        return None
    return None if offset is None or their_base is None else their_base + (runtime - base) + offset


def _offset(runtime: int) -> int | None:
    """From `_PyRuntime` to the lock's state, found by setting the interval beside it."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(_MARK_US / 1e6)
    try:
        with Path("/proc/self/mem").open("rb", buffering=0) as memory:
            memory.seek(runtime)
            found = memory.read(_SIZE)
    finally:
        sys.setswitchinterval(before)
    at = found.find(_MARK_US.to_bytes(8, sys.byteorder))
    if at < 0 or found.find(_MARK_US.to_bytes(8, sys.byteorder), at + 8) >= 0:
        return None
    return at + _AFTER_INTERVAL


def _file_at(pid: int, address: int) -> tuple[str, int]:
    """The program file that is mapped at this address, and where its first page is."""
    for low, high, file in _maps(pid):
        if low <= address < high:
            return file, min(first for first, _, name in _maps(pid) if name == file)
    raise ValueError("nothing is mapped there")


def _base_of(pid: int, file: str) -> int | None:
    return min((low for low, _, name in _maps(pid) if name == file), default=None)


def _maps(pid: int) -> list[tuple[int, int, str]]:
    found, last = [], ""
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        fields = line.split(maxsplit=5)
        low, _, high = fields[0].partition("-")
        # Data that is zero at first has no file of its own and follows that of its file.
        last = fields[5] if len(fields) == 6 and fields[5].startswith("/") else last if len(fields) < 6 else ""
        found.append((int(low, 16), int(high, 16), last))
    return found
