"""Watches the workers. It restarts failed ones, reports failures, and gives up after too many."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence

from edge_inspector.runtime.worker import Worker

log = logging.getLogger(__name__)


class Supervisor:
    """Restarts failed workers, at most `limit` times per worker in `window_s`.

    It calls `on_fault(name, faulty)` for every worker that fails for good or hangs, and for one that is alive again.
    """

    def __init__(
        self,
        workers: Sequence[Worker],
        *,
        on_fault: Callable[[str, bool], None],
        on_restart: Callable[[str], None],
        limit: int = 3,
        window_s: float = 60.0,
    ) -> None:
        self.workers = list(workers)
        self._on_fault = on_fault
        self._on_restart = on_restart
        self._limit = limit
        self._window_ns = int(window_s * 1e9)
        self._restarts: dict[str, deque[int]] = {worker.name: deque() for worker in workers}
        self._faulty: set[str] = set()

    @property
    def healthy(self) -> bool:
        """Whether every vital worker is alive."""
        return all(worker.beating for worker in self.workers if worker.vital)

    def start(self) -> None:
        """Start all workers, in order."""
        for worker in self.workers:
            worker.start()

    def watch(self) -> None:
        """Check every worker once. Call it a few times a second."""
        for worker in self.workers:
            if not worker.alive:
                self._revive(worker)
            self._report(worker)

    def forgive(self) -> None:
        """Try again what was given up. Every worker may fail as often as at the start."""
        for recent in self._restarts.values():
            recent.clear()

    def stop(self, workers: Sequence[Worker], deadline_ns: int) -> list[str]:
        """Stop these workers together. Returns the names of those that did not end by the deadline."""
        for worker in workers:
            worker.stop()
        return [
            worker.name for worker in workers if not worker.join(max(0.0, (deadline_ns - time.monotonic_ns()) / 1e9))
        ]

    def _revive(self, worker: Worker) -> None:
        recent = self._restarts[worker.name]
        now = time.monotonic_ns()
        while recent and now - recent[0] > self._window_ns:
            recent.popleft()
        if len(recent) < self._limit:
            recent.append(now)
            log.warning("restarting worker %s (%d of %d in a minute)", worker.name, len(recent), self._limit)
            self._on_restart(worker.name)
            worker.start()

    def _report(self, worker: Worker) -> None:
        faulty = not worker.beating
        if faulty != (worker.name in self._faulty):
            (self._faulty.add if faulty else self._faulty.discard)(worker.name)
            self._on_fault(worker.name, faulty)
            log.log(
                logging.CRITICAL if faulty else logging.INFO,
                "worker %s %s",
                worker.name,
                ("has failed" if not worker.alive else "hangs") if faulty else "runs again",
            )
