"""Sends what the plant's store does not have yet: one batch at each step, and again after every trouble."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from edge_inspector.errors import ConfigError, DeviceError
from edge_inspector.forwarding.reading import Batch, Reached, Row, read_batch, read_events
from edge_inspector.forwarding.sender import SmallerBatchError
from edge_inspector.runtime.backoff import Backoff
from edge_inspector.runtime.clock import moment
from edge_inspector.store.forwarded import write_forwarded
from edge_inspector.store.logbook import logbook_path
from edge_inspector.store.results_file import results_path

_log = logging.getLogger(__name__)

_EVENTS_NS: Final = 60_000_000_000  # the whole logbook is read then
_UTC: Final = 3  # the column of the time in rows of parts and labels
_CLOCK_S: Final = 60.0  # a clock that is further off puts parts into the wrong shift


class Database(Protocol):
    """What a forwarder needs of the open database, or of a bucket. Every method raises DeviceError."""

    clock_ahead_s: float

    def position(self) -> Reached:
        """Up to where it has the results."""

    def add(self, batch: Batch) -> None:
        """Add a batch as a whole, or nothing of it."""

    def tell_events(self, events: Sequence[Row]) -> None:
        """Add or change these events."""

    def tell_alive(self, waiting: int) -> None:
        """Write down that the station sends."""

    def close(self) -> None:
        """Close it. Safe to call twice."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What a step did: how many parts it sent, and how many wait. `more` says that the next step has something to send.

    `trouble` says why it could not, or is empty.
    """

    parts: int = 0
    waiting: int = 0
    more: bool = False
    trouble: str = ""


class Forwarder:
    """Sends the results in `state_dir`. `connect` opens the database. One thread owns it.

    Nothing is remembered here. The database has the position, and moves it in the transaction that adds the rows. So a
    kill or a lost network at any moment sends no part twice and leaves none out.

    A batch that is not full waits up to `hold_s` for more. With `by_day`, a batch has parts of one day (UTC) only.
    """

    def __init__(
        self,
        state_dir: Path,
        connect: Callable[[], Database],
        *,
        batch_parts: int,
        picture_suffix: str = ".png",
        hold_s: float = 0.0,
        by_day: bool = False,
    ) -> None:
        self._state_dir = state_dir
        self._connect = connect
        self._most = self._batch_parts = batch_parts
        self._suffix = picture_suffix
        self._hold_s, self._by_day = hold_s, by_day
        self._held_since: tuple[Reached, int] | None = None
        self._database: Database | None = None
        self._told: dict[Row, Row] = {}  # the events as the database has them, by what names them
        self._events_ns = 0
        self._clock_told = False
        self.backoff = Backoff(first_s=1.0, longest_s=60.0)

    def step(self) -> Sent:
        """Send one batch. The caller waits for `backoff` after trouble."""
        try:
            done = self._send()
        except (DeviceError, ConfigError) as error:  # a file with a password may be gone for a moment
            return self._failed(error)
        self.backoff.succeeded()
        self._batch_parts = min(self._most, self._batch_parts * 2)
        return done

    def close(self) -> None:
        """Close the connection. Safe to call twice."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _send(self) -> Sent:
        database = self._opened()
        results, before = results_path(self._state_dir), database.position()
        batch = read_batch(results, before, self._batch_parts, self._suffix, by_day=self._by_day)
        waiting = batch.waiting
        if self._holds(batch):
            waiting += len(batch.parts)
        elif batch.after != batch.before:
            database.add(batch)
            self._remember(batch)
        if not batch.more:
            if time.monotonic_ns() >= self._events_ns:
                self._tell_events(database)
                self._events_ns = time.monotonic_ns() + _EVENTS_NS
            database.tell_alive(waiting)
            self._watch_clock(database)
        return Sent(len(batch.parts) + batch.waiting - waiting, waiting, batch.more)

    def _holds(self, batch: Batch) -> bool:
        """Whether the rows wait for more. Neither a clock that is set nor a new start makes them wait for longer."""
        oldest = next(iter((*batch.parts[:1], *batch.labels[:1])), None)
        if not self._hold_s or oldest is None or batch.more or len(batch.parts) >= self._batch_parts:
            self._held_since = None
            return False
        now = moment()
        if self._held_since is None or self._held_since[0] != batch.before:
            self._held_since = (batch.before, now.monotonic_ns)
        held_s = (now.monotonic_ns - self._held_since[1]) / 1e9
        age_s: float = (now.utc - oldest[_UTC]).total_seconds()
        return max(held_s, age_s) < self._hold_s

    def _opened(self) -> Database:
        if self._database is None:
            self._database = self._connect()
            self._told, self._events_ns = {}, 0
            self._watch_clock(self._database)
        return self._database

    def _watch_clock(self, database: Database) -> None:
        """Say it once if the station's clock is wrong."""
        ahead_s = database.clock_ahead_s
        if abs(ahead_s) > _CLOCK_S and not self._clock_told:
            way = "ahead of" if ahead_s > 0 else "behind"
            _log.warning("the clock of this station is %.0f s %s the store's: check `timedatectl`", abs(ahead_s), way)
        self._clock_told = abs(ahead_s) > _CLOCK_S

    def _remember(self, batch: Batch) -> None:
        if batch.lost:
            _log.error("%d parts were deleted here before the store had them (archive.keep_mb, keep_days)", batch.lost)
        with suppress(OSError):  # the database has the position. A full disk is told by the daemon
            write_forwarded(self._state_dir, batch.after.part.id)

    def _tell_events(self, database: Database) -> None:
        """Send the events that are new or have changed since this connection was opened."""
        changed = [event for event in read_events(logbook_path(self._state_dir)) if self._told.get(event[:3]) != event]
        for begin in range(0, len(changed), self._batch_parts):
            part = changed[begin : begin + self._batch_parts]
            database.tell_events(part)
            self._told |= {event[:3]: event for event in part}

    def _failed(self, error: DeviceError | ConfigError) -> Sent:
        if isinstance(error, SmallerBatchError):
            self._batch_parts = max(1, self._batch_parts // 2)
        self.close()
        self.backoff.failed()
        return Sent(trouble=str(error))
