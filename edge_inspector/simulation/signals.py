"""How the demo speaks to the process of a simulated PLC or gateway."""

from __future__ import annotations

import signal
import sys
import threading


def told_by_signals() -> tuple[threading.Event, threading.Event]:
    """Whether to stop (SIGTERM), and whether no more parts come (SIGUSR1). Ctrl-C is the demo's own."""
    stop, no_more_parts = threading.Event(), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, lambda *_: no_more_parts.set())
    sys.setswitchinterval(0.0005)  # a scan must not wait for the server's thread
    return stop, no_more_parts
