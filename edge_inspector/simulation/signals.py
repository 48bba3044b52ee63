"""How the demo speaks to the process of a simulated PLC or gateway, and when it may be ended itself."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


def told_by_signals() -> tuple[threading.Event, threading.Event]:
    """Whether to stop (SIGTERM), and whether no more parts come (SIGUSR1). Ctrl-C is the demo's own."""
    stop, no_more_parts = threading.Event(), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, lambda *_: no_more_parts.set())
    sys.setswitchinterval(0.0005)  # a scan must not wait for the server's thread
    return stop, no_more_parts


@contextmanager
def endings_wait() -> Iterator[None]:
    """Ctrl-C and SIGTERM wait until the block has ended.

    If they came between the start of a process and the line that notes it, nobody would end that process.
    """
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's own
        yield
        return
    came: list[int] = []
    before = {
        each: signal.signal(each, lambda number, _: came.append(number)) for each in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    for number in came:
        signal.raise_signal(number)
