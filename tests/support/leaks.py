"""What a test must not leave behind: a thread, a child process, an open file, a limit on its own process."""

from __future__ import annotations

import gc
import os
import resource
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PATIENCE_S = 20.0


@contextmanager
def nothing_left() -> Iterator[None]:
    """At the end, all threads, processes and files that were not there at the beginning must be gone."""
    before = _held()
    yield
    deadline = time.monotonic() + _PATIENCE_S
    while left := _held() - before:
        gc.collect()  # an object in a circle holds its file until it is collected
        left &= _held()
        if not left:
            break
        assert time.monotonic() < deadline, f"left behind: {', '.join(sorted(what for what, _ in left))}"
        time.sleep(0.01)


def _held() -> set[tuple[str, object]]:
    return {*_threads(), *_processes(), *_files(), *_limits()}


def _limits() -> Iterator[tuple[str, object]]:
    """Of this process. In one with too little memory a thread may never start, and whoever starts it waits for ever."""
    scheduling, memory = os.sched_getscheduler(0), resource.getrlimit(resource.RLIMIT_DATA)
    yield f"scheduling class {scheduling}", scheduling
    yield f"limit of memory {memory[0]}", memory


def _threads() -> Iterator[tuple[str, object]]:
    """Not those that never end: the log's, for which nobody must wait, and those of openvino_telemetry."""
    for thread in threading.enumerate():
        telemetry = "openvino_telemetry" in sys.modules and thread.name.startswith("ThreadPoolExecutor-")
        if not telemetry and not (thread.daemon and thread.name == "log"):
            yield f"thread {thread.name}", thread


def _processes() -> Iterator[tuple[str, object]]:
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # the thread has ended
            for pid in (task / "children").read_text().split():
                command = _command(pid)
                if "multiprocessing.resource_tracker" not in command:  # Python's own, until the end
                    yield f"process {pid} ({command})", pid


def _command(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()[:200] or "ended, not waited for"
    except OSError:
        return "ended"


def _files() -> Iterator[tuple[str, object]]:
    """Files and devices.

    Not sockets and pipes: Python warns of its own, and libraries keep some until the end. So does matplotlib its fonts.
    """
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the descriptor of the listing itself
            target = descriptor.readlink()
            if target.is_absolute() and not target.is_relative_to(sys.prefix):
                yield f"file {target}", (descriptor.name, target)
