"""One thread per link: verdicts out, heartbeat out, what the PLC says in. No link waits for another."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from edge_inspector import metrics
from edge_inspector.drivers import PlcLink
from edge_inspector.errors import DeviceError
from edge_inspector.records import (
    ArchiveItem,
    Command,
    Delivery,
    ErrorCode,
    JudgeItem,
    PlcInput,
    Reason,
    StationStatus,
    Verdict,
)
from edge_inspector.runtime.backoff import Backoff
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.runtime.mailbox import Mailbox

log = logging.getLogger(__name__)

_WAITING_MAX = 10_000  # at 10 parts/s a quarter of an hour; the outbox of a link keeps more
_LAST_WORDS_NS = 300_000_000
_LATE_TOLD_NS = 500_000_000  # so long that the peer reads it between two exchanges
_FROZEN_S = 0.5  # a PLC whose heartbeat stands still this long is in STOP


class Report:
    """Owns one link. Verdicts that the peer does not take are kept, in order, and offered again."""

    beat_within_s = 5.0

    def __init__(
        self,
        name: str,
        link: PlcLink,
        lost: ErrorCode,
        full: ErrorCode,
        verdicts: Mailbox[Verdict],
        heard: Mailbox[JudgeItem],
        status: Callable[[], StationStatus],
        submit: Callable[[Command], None],
        conditions: Conditions,
        interval_s: float,
        archive: Mailbox[ArchiveItem],
    ) -> None:
        self.name = f"report-{name}"
        self._label = name
        self._link = link
        self._lost_code = lost
        self._full_code = full
        self._verdicts = verdicts
        self._heard = heard
        self._status = status
        self._submit = submit
        self._conditions = conditions
        self._interval_ns = int(interval_s * 1e9)
        self._archive = archive
        self._backoff = Backoff(first_s=0.05, longest_s=0.2)  # a part may be at the gate in less than a second
        self._is_open = False
        self._next_ns = 0
        self._waiting: list[Verdict] = []
        self._heartbeat = (0, 0)
        self._late_ns = 0
        self._counted: dict[str, int] = {}
        self._troubled: set[ErrorCode] = set()

    def start(self) -> None:
        """Not open yet: the first step tries."""
        self._is_open = False
        self._conditions.set(self._lost_code, self._label, "not open yet")

    def step(self) -> None:
        """Deliver what waits; exchange when it is time."""
        if not self._is_open and not self._open():
            self._collect(0.0)
            return
        left_s = max(0.0, (self._next_ns - time.monotonic_ns()) / 1e9)
        self._collect(min(left_s, 0.002) if self._waiting else left_s)
        try:
            self._deliver()
            if time.monotonic_ns() >= self._next_ns:
                self._exchange()
        except DeviceError as error:
            self._failed(error)

    def stop(self, *, failed: bool) -> None:  # noqa: ARG002 -- the same either way
        """Deliver the rest, then let go: the link says "not ready" last."""
        self._collect(0.0)
        until_ns = time.monotonic_ns() + _LAST_WORDS_NS
        try:
            while self._is_open and self._waiting and time.monotonic_ns() < until_ns:
                self._deliver()
                self._link.exchange(self._status())
        except DeviceError as error:
            log.warning("%s: %s", self.name, error)
        if self._waiting:
            log.warning("%s: %d verdicts undelivered at the end", self.name, len(self._waiting))
        self._link.close()
        self._is_open = False

    def _open(self) -> bool:
        if not self._backoff.due(wait_s=0.02):
            return False
        try:
            self._link.open()
            self._exchange()
        except DeviceError as error:
            self._failed(error)
            return False
        self._is_open = True
        self._backoff.succeeded()
        return True

    def _collect(self, timeout_s: float) -> None:
        self._waiting += self._verdicts.take(64, timeout_s)
        surplus = len(self._waiting) - _WAITING_MAX
        if surplus > 0:
            metrics.verdicts_lost.labels(self._label).inc(surplus)
            del self._waiting[:surplus]

    def _deliver(self) -> None:
        if not self._waiting:
            return
        self._judge_punctuality(self._waiting[0], (self._waiting[0].due_ns - time.monotonic_ns()) / 1e9)
        count = self._link.deliver(self._waiting)
        now = time.monotonic_ns()
        for verdict in self._waiting[:count]:
            left_s = (verdict.due_ns - now) / 1e9
            metrics.reserve_seconds.labels(self._label).observe(left_s)
            if left_s < 0:
                metrics.verdicts_late.labels(self._label).inc()
            if self._archive.put(Delivery(verdict.boot_id, verdict.seq, self._label, now)) is not None:
                metrics.archive_left_out.labels("delivery").inc()
            self._judge_punctuality(verdict, left_s)
        metrics.verdicts_delivered.labels(self._label).inc(count)
        del self._waiting[:count]
        metrics.verdicts_waiting.labels(self._label).set(len(self._waiting))
        if not self._waiting:
            self._conditions.clear(self._full_code, self._label)
        elif self._link.connected or self._full_code is ErrorCode.OUTBOX_FULL:
            self._conditions.set(self._full_code, self._label, f"{len(self._waiting)} verdicts find no room")

    def _judge_punctuality(self, verdict: Verdict, left_s: float) -> None:
        # A part with a handicap was as good as past the gate when this station first heard of it.
        if left_s < 0 and verdict.part.handicap is Reason.NONE:
            self._late_ns = time.monotonic_ns()
            why = f"the verdict on part {verdict.part.part_seq} was not there when it may have been at the gate"
            self._conditions.set(ErrorCode.VERDICT_LATE, self._label, why)

    def _exchange(self) -> None:
        begun_ns = time.monotonic_ns()
        heard = self._link.exchange(self._status())
        now = time.monotonic_ns()
        metrics.link_exchange_seconds.labels(self._label).observe((now - begun_ns) / 1e9)
        self._next_ns = begun_ns + self._interval_ns
        if heard is not None:
            self._heard.put(heard)
        for command in self._link.commands():
            self._submit(command)
        self._tell_of_link()
        if now - self._late_ns > _LATE_TOLD_NS:
            self._conditions.clear(ErrorCode.VERDICT_LATE, self._label)
        frozen = heard is not None and self._is_frozen(heard, now)
        up = self._link.connected and not frozen
        metrics.link_up.labels(self._label).set(up)
        metrics.link_backlog.labels(self._label).set(self._link.backlog)
        if up:
            self._conditions.clear(self._lost_code, self._label)
        elif frozen:
            self._conditions.set(self._lost_code, self._label, "the PLC answers, but its program does not run (STOP?)")
        elif heard is None and not self._link.connected:
            self._conditions.set(self._lost_code, self._label, "not connected")

    def _tell_of_link(self) -> None:
        for event, count in self._link.events.items():
            metrics.link_events.labels(self._label, event).inc(count - self._counted.get(event, 0))
            self._counted[event] = count
        for code in self._troubled - self._link.troubles.keys():
            self._conditions.clear(code, self._label)
        for code, why in self._link.troubles.items():
            self._conditions.set(code, self._label, why)
        self._troubled = set(self._link.troubles)

    def _is_frozen(self, heard: PlcInput, now: int) -> bool:
        if heard.heartbeat != self._heartbeat[0]:
            self._heartbeat = (heard.heartbeat, now)
        return now - self._heartbeat[1] > _FROZEN_S * 1e9

    def _failed(self, error: DeviceError) -> None:
        self._conditions.set(self._lost_code, self._label, str(error))
        metrics.link_failed.labels(self._label).inc()
        metrics.link_up.labels(self._label).set(0)
        self._link.close()
        self._is_open = False
        self._backoff.failed()
