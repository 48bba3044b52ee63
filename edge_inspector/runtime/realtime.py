"""Priorities and cores of threads on a machine with too few cores, and memory that is never swapped out.

| threads | ordinary | with `realtime.fifo_priority` |
|---|---|---|
| track | nice 0 | SCHED_FIFO, priority + 3: a late timestamp is a wrong position on the belt |
| report | nice 0 | SCHED_FIFO, priority + 2: verdicts and heartbeat |
| judge | nice 0 | SCHED_FIFO, priority + 1 |
| acquire | nice 0 | SCHED_FIFO, priority |
| measure | nice 0 | nice 0: a delay holds up one part, not the line |
| segment, page | nice 10 | nice 10: work that may wait |
| archive, shadow | nice 19 | nice 19: work that may never be done. Packing pictures costs more than the model |
"""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edge_inspector.errors import ConfigError, Fault

_BEHIND = 10
# SCHED_IDLE is not used. Such a thread may never run again while it holds the interpreter's lock, and all others wait
# for it.
_LAST = 19
_AHEAD = {"track": 3, "report": 2, "judge": 1, "acquire": 0}
# From sys/mman.h: lock present memory and future memory, but only once it is touched.
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4


def fifo_of(kind: str, base: int) -> int:
    """The SCHED_FIFO priority of this kind of thread. 0 if `base` is 0, which means an ordinary thread."""
    return base + _AHEAD[kind] if base else 0


def go_ahead(priority: int) -> None:
    """Put the calling thread before all ordinary ones."""
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))


def go_behind() -> None:
    """Put the calling thread behind those with a deadline. On Linux any user may do this, but not undo it.

    A station that was started at an even lower priority stays there, because only root may raise a priority.
    """
    thread = threading.get_native_id()
    os.setpriority(os.PRIO_PROCESS, thread, max(_BEHIND, os.getpriority(os.PRIO_PROCESS, thread)))


def go_last() -> None:
    """Put the calling thread behind all others of this process."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LAST)


def stay_on(cores: Collection[int]) -> None:
    """Keep the calling thread, and the threads that it starts, on these cores."""
    os.sched_setaffinity(0, cores)


@contextmanager
def opening_on(model_cores: Collection[int]) -> Iterator[None]:
    """Threads started within run on `model_cores`. Earlier and later threads run on all other cores.

    Without `model_cores` nothing changes. Raises ConfigError.
    """
    if not model_cores:
        yield
        return
    allowed = os.sched_getaffinity(0)
    others = allowed - set(model_cores)
    with suppress(OSError):  # none of these cores exists: this is checked below
        stay_on(model_cores)
    if not others or os.sched_getaffinity(0) != set(model_cores):
        stay_on(allowed)
        there = ", ".join(map(str, sorted(allowed)))
        raise ConfigError(
            [
                Fault(
                    "realtime.model_cores",
                    f"this process may use {there}: name some of them, and leave one for the rest",
                )
            ]
        )
    for thread in _threads() - {threading.get_native_id()}:  # threads of libraries, from their import
        with suppress(ProcessLookupError):
            os.sched_setaffinity(thread, others)
    try:
        yield
    finally:
        stay_on(others)


def _threads() -> set[int]:
    return {int(task.name) for task in Path("/proc/self/task").iterdir()}


def go_idle(memory_bytes: int) -> None:
    """Let this whole process run only while nobody else needs a core, with at most so much memory of its own.

    If the machine runs out of memory, it is ended first. Not for the daemon.
    """
    for thread in _threads():
        with suppress(ProcessLookupError):
            os.sched_setscheduler(thread, os.SCHED_IDLE, os.sched_param(0))
            os.setpriority(os.PRIO_PROCESS, thread, 19)
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def settle(*, freeze: bool) -> None:
    """Collect the garbage of the start. With `freeze`, exclude all present objects from later collections.

    Collections cause jitter.
    """
    gc.collect()
    if freeze:
        gc.freeze()


def name_thread(name: str) -> None:
    """Show the calling thread's name in `top -H`, `ps -L` and profilers. The kernel keeps its first 15 letters."""
    with suppress(OSError):
        Path("/proc/thread-self/comm").write_text(name[:15], encoding="ascii", errors="replace")


def claim(fifo_priority: int, *, lock_memory: bool) -> None:
    """Lock the memory if requested, and check that `go_ahead` will be permitted. Raises ConfigError."""
    if fifo_priority:
        before = os.sched_getscheduler(0), os.sched_getparam(0)
        try:
            go_ahead(fifo_priority + max(_AHEAD.values()))
        except PermissionError as error:
            raise ConfigError(
                [Fault("realtime.fifo_priority", "not permitted: set LimitRTPRIO= in the unit, or ulimit -r")]
            ) from error
        os.sched_setscheduler(0, *before)
    if lock_memory:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT):
            why = os.strerror(ctypes.get_errno())
            raise ConfigError(
                [Fault("realtime.lock_memory", f"{why}: set LimitMEMLOCK=infinity in the unit, or ulimit -l")]
            )
