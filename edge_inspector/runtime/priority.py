"""Which threads go first when there are not cores enough."""

from __future__ import annotations

import os
import threading

_BEHIND = 10
# Not SCHED_IDLE: such a thread may never run again while it holds the interpreter's lock, and all others wait for it.
_LAST = 19


def go_behind() -> None:
    """Put the calling thread behind those that keep a deadline. Any user may, on Linux; there is no way back."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _BEHIND)


def go_last() -> None:
    """Put the calling thread behind all others of this process."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LAST)
