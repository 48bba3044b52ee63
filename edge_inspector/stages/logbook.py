"""The logbook's thread: it stores what went wrong and what people did, and counts the parts of shift and batch.

Everything that the page writes passes through its mailbox. No verdict waits for it.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from edge_inspector.codes import ErrorCode
from edge_inspector.errors import DeviceError
from edge_inspector.records import Change, StationStatus
from edge_inspector.runtime.backoff import Backoff
from edge_inspector.runtime.clock import iso, moment, utc_of
from edge_inspector.runtime.conditions import ConditionChange, Conditions
from edge_inspector.runtime.mailbox import Mailbox
from edge_inspector.runtime.realtime import go_last
from edge_inspector.store.logbook import CarriedCounts, Counts, Event, LogbookWriter, Mark, MarkKind, logbook_path
from edge_inspector.store.results_file import results_path
from edge_inspector.store.trends import Sums, Trends
from edge_inspector.watches.shifts import shift_start
from edge_inspector.watches.tally import Span, Tally

log = logging.getLogger(__name__)

_STEP_S = 0.1
_COUNT_NS = 500_000_000
_ALIVE_NS = 5_000_000_000
_QUERY_S = 5.0
_SHOWN = 8
_SET = timedelta(milliseconds=250)
_MARKS: tuple[MarkKind, ...] = ("batch", "reset")
_CHANGES_MAX = 2048  # that wait while the disk takes none


@dataclass(frozen=True, slots=True)
class Errand:
    """Something to write for a person. `done` is called once, in the logbook's thread, with the result or the error."""

    do: Callable[[LogbookWriter], object]
    done: Callable[[object], None]


@dataclass(frozen=True, slots=True)
class Noted:
    """What the page shows of the logbook: events that wait for a person, how many there are, and the counts."""

    waiting: tuple[Event, ...] = ()
    waiting_count: int = 0
    shift: Span | None = None
    batch: Span | None = None
    _: KW_ONLY
    reset: Span | None = None


@dataclass(slots=True)
class _Running:
    """An event that is not over, or not stored yet. `before` are the station's totals when it began.

    `begun` is its date by the clock of now.
    """

    change: ConditionChange
    before: Counts
    begun: datetime
    id: int = 0
    why: str = ""
    _: KW_ONLY
    told: Counts | None = None


class Logbook:
    """Owns the logbook in `state_dir`. `now` is what the page shows. Any thread may read it.

    `look` is called often with the recipe in force, because this thread knows the date and waits for nobody. `keep` is
    told when somebody has set the clock.
    """

    name = "logbook"
    beat_within_s = 60.0  # a throttled disk may take this long

    def __init__(
        self,
        state_dir: Path,
        *,
        boot_id: int,
        shifts: Sequence[str],
        inbox: Mailbox[Errand],
        status: Callable[[], StationStatus],
        conditions: Conditions,
        look: Callable[[int], None] = lambda _: None,
        keep: Callable[[Change], object] = lambda _: None,
    ) -> None:
        self.now = Noted()
        self._state_dir = state_dir
        self._boot_id = boot_id
        self._shifts = shifts
        self._inbox = inbox
        self._status = status
        self._conditions = conditions
        self._look = look
        self._keep = keep
        self._clock = moment()
        self._unmoved = timedelta()
        self._trends = Trends(results_path(state_dir)).within(_QUERY_S)
        self._file: LogbookWriter | None = None
        self._backoff = Backoff(first_s=0.2, longest_s=5.0)
        self._changes: deque[tuple[ConditionChange, Counts]] = deque(maxlen=_CHANGES_MAX)
        self._running: dict[tuple[ErrorCode, str], _Running] = {}
        self._totals = Counts()
        self._tallies: dict[str, Tally] = {}
        self._counted_ns = self._alive_ns = 0
        self._stale = True

    def start(self) -> None:
        """Nothing is open yet. The first step tries."""
        go_last()

    def step(self) -> None:
        """Store what has begun and ended, then do a few errands, then count."""
        errands = self._inbox.take(16, _STEP_S)
        self._look(self._status().recipe_id)
        self._hear()
        if self._backoff.due(wait_s=0.0):
            self._write(errands)
        else:
            for errand in errands:
                errand.done(DeviceError("the logbook cannot be written now; see Health"))

    def stop(self, *, failed: bool) -> None:
        """Store what ended last. After a failure the file is opened again."""
        if not failed:
            self._hear()
            self._write(self._inbox.take(self._inbox.capacity, 0.0))
        self._close()

    def _hear(self) -> None:
        """Take what has changed. The totals of the step before count for what began, those of now for what ended."""
        before, self._totals = self._totals, _totals(self._status())
        for change in self._conditions.take_changes():
            self._changes.append((change, before if change.begins else self._totals))

    def _write(self, errands: Sequence[Errand]) -> None:
        try:
            file = self._open()
            self._follow_clock(file)
            self._store(file)
            for errand in errands:
                self._run(file, errand)
            errands = ()
            self._follow(file)
            self._show(file)
        except DeviceError as error:
            for errand in errands:
                errand.done(error)
            self._backoff.failed()
            self._close()
            self._conditions.set(ErrorCode.ARCHIVE_INCOMPLETE, "logbook", str(error))
        else:
            self._backoff.succeeded()
            self._conditions.clear(ErrorCode.ARCHIVE_INCOMPLETE, "logbook")

    def _open(self) -> LogbookWriter:
        if self._file is None:
            self._file = LogbookWriter(logbook_path(self._state_dir), self._boot_id)
            self._stale = True
            for each in self._running.values():
                each.id = 0  # it may be another file
        return self._file

    def _run(self, file: LogbookWriter, errand: Errand) -> None:
        try:
            done: object = errand.do(file)
        except DeviceError as error:
            done = error
        self._stale = True
        self._counted_ns = 0
        errand.done(done)

    def _store(self, file: LogbookWriter) -> None:
        while self._changes:
            change, totals = self._changes[0]
            key = change.code, change.subject
            if change.begins:
                self._running[key] = _Running(change, totals, self._clock.utc_at(change.at_ns), why=change.why)
                self._begin(file, self._running[key])
            elif (running := self._running.pop(key, None)) is not None:
                if not running.id:
                    self._begin(file, running)
                lasted = timedelta(microseconds=(change.at_ns - running.change.at_ns) // 1000)
                counts, begun = _since(running.before, totals), running.begun
                file.follow(running.id, change.why, counts, begun=begun, ended=begun + lasted)
            self._changes.popleft()
            self._stale = True

    def _begin(self, file: LogbookWriter, running: _Running) -> None:
        change = running.change
        running.id = file.begin(
            code=change.code,
            subject=change.subject,
            why=running.why,
            fault=self._conditions.is_fault(change.code, change.subject),
            utc=running.begun,
            recipe_id=self._status().recipe_id,
        )

    def _follow(self, file: LogbookWriter) -> None:
        """Every few seconds: bring open events up to date, and say that the station is alive."""
        now = time.monotonic_ns()
        if now - self._alive_ns < _ALIVE_NS and self._alive_ns:
            return
        self._alive_ns = now
        whys = {(held.code, held.subject): held.why for held in self._conditions.reasons()}
        for key, running in self._running.items():
            if not running.id:
                self._begin(file, running)
            running.why = whys.get(key, running.why)
            counts = _since(running.before, self._totals)
            if (counts, running.why) != (running.told, running.change.why):
                file.follow(running.id, running.why, counts, begun=running.begun, ended=None)
                running.told = counts
                self._stale = True
        file.tidy(utc_of(now))

    def _follow_clock(self, file: LogbookWriter) -> None:
        """If somebody has set the clock: what is open gets the date of the new clock, and no count begins anew."""
        now = moment()
        step, again = now.utc - self._clock.utc_at(now.monotonic_ns), moment()
        waited = abs(again.utc - now.utc_at(again.monotonic_ns)) >= _SET  # this thread, between two readings
        if abs(step) >= _SET and not waited:
            before, self._clock = iso(now.utc - step, "seconds"), now
            self._unmoved += step
            self._alive_ns = 0
            for running in self._running.values():
                running.begun += step
                running.told = None
            log.warning("the clock was set from %s to %s", before, iso(now.utc, "seconds"))
            self._keep(Change("station", "clock", before=before, after=iso(now.utc, "seconds")))
        if self._unmoved:
            file.carry({kind: (mark.utc + self._unmoved, counted) for kind, mark, counted in self._counted(file)})
            self._unmoved, self._counted_ns = timedelta(), 0

    def _counted(self, file: LogbookWriter) -> Iterator[tuple[MarkKind, Mark, CarriedCounts]]:
        for kind in _MARKS:
            mark, tally = file.latest_mark(kind), self._tallies.get(kind)
            if mark is not None and tally is not None and tally.since == mark.utc and tally.counted is not None:
                yield kind, mark, tally.counted

    def _show(self, file: LogbookWriter) -> None:
        if self._stale:
            waiting, count = file.waiting(_SHOWN)
            self.now = replace(self.now, waiting=tuple(waiting), waiting_count=count)
            self._stale = False
        now = time.monotonic_ns()
        if now - self._counted_ns >= _COUNT_NS:
            self._counted_ns = now
            begun = shift_start(utc_of(now), self._shifts)
            self.now = replace(
                self.now,
                shift=Span(begun, self._count("shift", begun, None)),
                batch=self._marked(file, "batch"),
                reset=self._marked(file, "reset"),
            )

    def _marked(self, file: LogbookWriter, kind: MarkKind) -> Span | None:
        mark: Mark | None = file.latest_mark(kind)
        if mark is None:
            return None
        return Span(mark.utc, self._count(kind, mark.utc, mark.carried), mark.name, mark.user)

    def _count(self, what: str, since: datetime, carried: CarriedCounts | None) -> Sums | None:
        tally = self._tallies.get(what)
        if tally is None or tally.since != since:
            tally = self._tallies[what] = Tally(since, carried)
        return tally.look(self._trends)

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except DeviceError as error:
                log.warning("%s", error)


def _totals(status: StationStatus) -> Counts:
    return Counts(status.parts, status.rejected, status.not_inspected)


def _since(before: Counts, now: Counts) -> Counts:
    return Counts(now.parts - before.parts, now.rejected - before.rejected, now.not_inspected - before.not_inspected)
