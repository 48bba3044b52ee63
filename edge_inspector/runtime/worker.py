"""The worker thread. Every stage of the daemon runs in one."""

from __future__ import annotations

import logging
import threading
import time
from abc import abstractmethod
from collections.abc import Collection
from typing import Protocol

from edge_inspector.runtime.realtime import go_ahead, name_thread, stay_on

log = logging.getLogger(__name__)


class Stage(Protocol):
    """The interface of a stage. All three methods are called from the worker's thread."""

    name: str
    beat_within_s: float

    @abstractmethod
    def start(self) -> None:
        """Called once before the first step, and again after a restart."""

    @abstractmethod
    def step(self) -> None:
        """Do one bounded piece of work. It returns within `beat_within_s`, with or without work done."""

    @abstractmethod
    def stop(self, *, failed: bool) -> None:
        """Called once after the last step. After a failed step, `start` may follow. It must not raise."""


class Worker:
    """A named thread that runs one stage, shows that it is alive, and keeps its error.

    Verdicts do not depend on a worker that is not `vital`. If it fails or hangs, the station is degraded and continues.
    `fifo` above 0 is its SCHED_FIFO priority. If `cores` are given, it stays on them.
    """

    def __init__(self, stage: Stage, *, vital: bool = True, fifo: int = 0, cores: Collection[int] = ()) -> None:
        self.stage = stage
        self._fifo = fifo
        self._cores = cores
        self.vital = vital
        self.name = stage.name
        self.error: BaseException | None = None
        self.beat_ns = time.monotonic_ns()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def beating(self) -> bool:
        """Whether the stage finished its last step within the time that it promised."""
        return self.alive and time.monotonic_ns() - self.beat_ns < self.stage.beat_within_s * 1e9

    def start(self) -> None:
        """Start, or start again after a failure."""
        self.error = None
        self.beat_ns = time.monotonic_ns()
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name=self.name)
        self._thread.start()

    def stop(self) -> None:
        """Ask the stage to end after its current step."""
        self._stopping.set()

    def join(self, timeout_s: float) -> bool:
        """Whether the thread has ended within `timeout_s`."""
        if self._thread is not None:
            self._thread.join(timeout_s)
        return not self.alive

    def _run(self) -> None:
        name_thread(self.name)
        try:
            if self._fifo:
                go_ahead(self._fifo)
            if self._cores:
                stay_on(self._cores)
            self.stage.start()
            while not self._stopping.is_set():
                self.beat_ns = time.monotonic_ns()
                self.stage.step()
        except Exception as error:  # broad, because the supervisor decides what follows
            self.error = error
            log.critical("worker %s failed: %s: %s", self.name, type(error).__name__, error, exc_info=error)
        finally:
            self.stage.stop(failed=self.error is not None)
