"""Asks all stations again and again: many at once, each for a short time only."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ALL_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from edge_inspector.fleet.answers import Health, PartCounts, ahead_s, figures_of, health_of
from edge_inspector.fleet.fetch import HEALTH_BYTES, METRICS_BYTES, Asker, FetchError
from edge_inspector.fleet.problems import SeenProblem
from edge_inspector.fleet.roster import Known, Polled, Roster
from edge_inspector.fleet.tables import PollTable
from edge_inspector.runtime.clock import utc_of

log = logging.getLogger(__name__)

_STEP_S = 0.25

_Key = tuple[str, str]
_Change = Callable[[Polled], Polled]


@dataclass(frozen=True, slots=True)
class Visit:
    """What one visit gave. `figures` are None if they were not asked for, or could not be read."""

    health: Health
    ahead_s: float | None
    figures: PartCounts | None


class Poll:
    """The thread `poll`. A station that still owes an answer is not asked again before it has given or missed it."""

    name = "poll"
    beat_within_s = 30.0

    def __init__(self, roster: Roster, settings: PollTable, asker: Asker) -> None:
        self.rounds = 0
        self._roster = roster
        self._settings = settings
        self._asker = asker
        self._pool: ThreadPoolExecutor | None = None
        self._asked: dict[_Key, Future[Visit]] = {}
        self._due_ns = 0
        self._figures_ns: dict[_Key, int] = {}

    def start(self) -> None:
        """Begin with the first round at once."""
        self._pool = ThreadPoolExecutor(self._settings.at_once, thread_name_prefix="ask")
        self._due_ns = 0

    def step(self) -> None:
        """Begin a round if it is time, and take the answers that have come."""
        now = time.monotonic_ns()
        if now >= self._due_ns:
            self._due_ns = now + int(self._settings.every_s * 1e9)
            self._begin(now)
        if not self._asked:
            time.sleep(min(_STEP_S, max(0.0, (self._due_ns - now) / 1e9)))
            return
        wait(self._asked.values(), _STEP_S, ALL_COMPLETED)
        self._take()

    def stop(self, *, failed: bool) -> None:  # noqa: ARG002 -- the same either way
        """Ask nobody any more. Who is being asked has `timeout_s` left."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool, self._asked = None, {}

    def _begin(self, now: int) -> None:
        if self._pool is None:
            return
        known = {each.key: each for each in self._roster.stations() if each.address and not each.scraped}
        self._figures_ns = {key: due for key, due in self._figures_ns.items() if key in known}
        for key in known.keys() - self._asked.keys():
            self._asked[key] = self._pool.submit(self._visit, known[key], figures=self._wants_figures(key, now))
        self.rounds += not self._asked

    def _wants_figures(self, key: _Key, now: int) -> bool:
        if now < self._figures_ns.get(key, 0):
            return False
        self._figures_ns[key] = now + int(self._settings.figures_every_s * 1e9)
        return True

    def _visit(self, known: Known, *, figures: bool) -> Visit:
        """Ask one station, in a thread of the pool. Raises FetchError."""
        asked = utc_of(time.monotonic_ns())
        health = health_of(self._asker.get(known.address, "/healthz", most=HEALTH_BYTES, token=known.token))
        ahead = ahead_s(health.utc, asked, utc_of(time.monotonic_ns()))
        return Visit(health, ahead, self._figures(known) if figures else None)

    def _figures(self, known: Known) -> PartCounts | None:
        """The parts. A station whose state is known is not lost because its metrics cannot be read."""
        try:
            return figures_of(self._asker.get(known.address, "/metrics", most=METRICS_BYTES, token=known.token))
        except FetchError as error:
            log.info("%s/metrics: %s", known.address, error)
            return None

    def _take(self) -> None:
        for key, future in _ended(self._asked).items():
            del self._asked[key]
            self._note(key, future)
        self.rounds += not self._asked

    def _note(self, key: _Key, future: Future[Visit]) -> None:
        now = time.monotonic_ns()
        try:
            found = future.result()
        except FetchError as error:
            self._roster.note(key, _failed(error.trouble))
            return
        self._roster.note(key, lambda before: before.good(found.health, found.ahead_s, now))
        figures = found.figures
        if figures is not None:
            self._roster.note(key, lambda before: before.counted(figures, now))


def _failed(trouble: SeenProblem) -> _Change:
    return lambda before: before.bad(trouble)


def _ended(asked: Mapping[_Key, Future[Visit]]) -> dict[_Key, Future[Visit]]:
    return {key: future for key, future in asked.items() if future.done()}
