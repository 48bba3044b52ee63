"""One thread per link: it sends verdicts and the heartbeat, and reads the PLC. No link waits for another one."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace

from edge_inspector import metrics
from edge_inspector.codes import ErrorCode, Reason
from edge_inspector.drivers import PlcLink
from edge_inspector.errors import DeviceError, StateError
from edge_inspector.inspection.gate_watch import GateWatch
from edge_inspector.records import ArchiveItem, Command, Delivery, JudgeItem, PlcInput, StationStatus, Verdict
from edge_inspector.runtime.backoff import Backoff
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.runtime.mailbox import Mailbox
from edge_inspector.watches.links import LinkConditions

log = logging.getLogger(__name__)

_WAITING_MAX = 10_000  # a quarter of an hour at 10 parts/s. The outbox of a link holds more.
_LAST_WORDS_NS = 300_000_000
_AT_LEAST = 4  # verdicts between two exchanges, however long they take
_OVERDUE_AT_ONCE = 8  # then the urgent verdicts have their turn
_LATE_TOLD_NS = 500_000_000  # long enough that the peer reads it between two exchanges
_MISSED_TOLD_NS = 5_000_000_000  # nothing else reports it, and people must be able to see it
_UNHEARD_NS = 100_000_000  # one reading that a link rejects is no loss
_ANSWERS = (ErrorCode.OTHER_WRITER, ErrorCode.PLC_NUMBERS)  # with these codes the PLC answers
_USABLE_NS = 5_000_000_000  # after this long without trouble the files of a link are usable again
_FROZEN_S = 0.5  # a PLC whose heartbeat stands still this long is in STOP


class Report:
    """Owns one link. Verdicts that the peer does not take are kept in order and offered again.

    `announces`: parts come from this link. `punctual`: the gate depends on it, so that a late verdict is a fault.
    Exchanges are `interval_s` apart, or `rest_s()` if that is longer and no part is open. Set `queued` before the start
    if somebody must know how long, in ns, the verdicts that wait here will take.
    """

    beat_within_s = 5.0

    def __init__(
        self,
        name: str,
        link: PlcLink,
        *,
        lost: ErrorCode,
        full: ErrorCode,
        verdicts: Mailbox[Verdict],
        heard: Mailbox[JudgeItem],
        status: Callable[[], StationStatus],
        submit: Callable[[Command], None],
        conditions: Conditions,
        interval_s: float,
        archive: Mailbox[ArchiveItem],
        announces: bool = True,
        punctual: bool = False,
        rest_s: Callable[[], float] = lambda: 0.0,
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
        self._rest_s = rest_s
        self.queued: Callable[[int], None] = lambda _: None
        self._each_ns = 0  # how long one verdict takes, as learned
        self._refuses = False  # the peer had no room for the last verdict that it was offered
        self._archive = archive
        self._backoff = Backoff(first_s=0.05, longest_s=0.2)  # a part may be at the gate in less than a second
        self._is_open = False
        self._next_ns = 0
        self._source = announces
        self._announces = punctual
        self._waiting: list[Verdict] = []
        self._overdue: list[Verdict] = []
        self._heartbeat = (0, 0)
        self._told: tuple[object, ...] = ()
        self._late_ns = self._missed_ns = self._unusable_ns = 0
        self._gate = GateWatch()
        self._counted: dict[str, int] = {}
        self._link_conditions = LinkConditions(link, name, conditions)
        self._heard_ns = 0

    def start(self) -> None:
        """Nothing is open yet. The first step tries."""
        self._is_open = False
        self._conditions.set(self._lost_code, self._label, "not open yet")

    def step(self) -> None:
        """Deliver waiting verdicts, and exchange data with the peer when it is time."""
        if not self._is_open and not self._open():
            self._collect(0.0)
            return
        left_s = max(0.0, (self._next_ns - time.monotonic_ns()) / 1e9)
        if self._waits:
            left_s = min(left_s, 0.002) if self._refuses else 0.0
        self._collect(left_s)
        try:
            self._deliver()
            # A peer that takes none may be gone, and nobody is to wait for it.
            self.queued(0 if self._refuses else len(self._waiting) * self._each_ns)
            if time.monotonic_ns() >= self._next_ns:
                self._exchange()
        except DeviceError as error:
            self._failed(error)

    def stop(self, *, failed: bool) -> None:  # noqa: ARG002 -- the same either way
        """Deliver the rest, then close. The last thing that the link sends is "not ready"."""
        self._collect(0.0)
        until_ns = time.monotonic_ns() + _LAST_WORDS_NS
        try:
            while self._is_open and self._waits and time.monotonic_ns() < until_ns:
                self._deliver()
                self._link.exchange(self._status())
        except DeviceError as error:
            log.warning("%s: %s", self.name, error)
        if self._waits:
            log.warning("%s: %d verdicts undelivered at the end", self.name, self._waits)
        self._link.close()
        self._is_open = False

    def _open(self) -> bool:
        if not self._backoff.due(wait_s=0.02):
            return False
        self._gate = GateWatch()  # misses from before the connection are already reported
        try:
            self._link.open()
            self._exchange()
        except DeviceError as error:
            self._failed(error)
            return False
        self._is_open = True
        self._backoff.succeeded()
        return True

    @property
    def _waits(self) -> int:
        return len(self._waiting) + len(self._overdue)

    def _collect(self, timeout_s: float) -> None:
        for verdict in self._verdicts.take(self._verdicts.capacity, timeout_s):
            # A missed part may be past the gate. After an outage, hundreds of them must not delay the other verdicts.
            (self._overdue if self._announces and verdict.part.handicap else self._waiting).append(verdict)
        for queue in (self._waiting, self._overdue):
            surplus = len(queue) - _WAITING_MAX
            if surplus > 0:
                metrics.verdicts_lost.labels(self._label).inc(surplus)
                del queue[:surplus]

    def _set_aside(self, now: int) -> None:
        """A verdict that comes too late in any case must not make those behind it late as well."""
        self._judge_punctuality(self._waiting[0], (self._waiting[0].due_ns - now) / 1e9)
        self._overdue += [verdict for verdict in self._waiting if verdict.due_ns < now]
        self._waiting = [verdict for verdict in self._waiting if verdict.due_ns >= now]

    def _deliver(self) -> None:
        now = time.monotonic_ns()
        if self._announces and self._waiting and self._waiting[0].due_ns < now:
            self._set_aside(now)
        queue = self._waiting or self._overdue
        if not queue:
            return
        begun_ns = time.monotonic_ns()
        self._judge_punctuality(queue[0], (queue[0].due_ns - begun_ns) / 1e9)
        offered = queue[: self._time_for(begun_ns)]
        if queue is self._overdue:
            offered = offered[:_OVERDUE_AT_ONCE]
        count = self._link.deliver(offered)
        delivered = queue[:count]
        del queue[:count]
        now = time.monotonic_ns()
        self._refuses = count < len(offered)
        if count:
            self._each_ns += ((now - begun_ns) // count - self._each_ns) // 4
        for verdict in delivered:
            left_s = (verdict.due_ns - now) / 1e9
            metrics.of(metrics.reserve_seconds, self._label).observe(left_s)
            if left_s < 0:
                metrics.verdicts_late.labels(self._label).inc()
            if self._archive.put(Delivery(verdict.boot_id, verdict.seq, self._label, now), wake=False) is not None:
                metrics.archive_left_out.labels("delivery").inc()
            self._judge_punctuality(verdict, left_s)
        metrics.of(metrics.verdicts_delivered, self._label).inc(count)
        metrics.of(metrics.verdicts_waiting, self._label).set(self._waits)
        if count == len(offered):
            self._conditions.clear(self._full_code, self._label)
        elif self._link.connected or self._full_code is ErrorCode.OUTBOX_FULL:
            self._conditions.set(self._full_code, self._label, f"{self._waits} verdicts have no room")

    def _time_for(self, now_ns: int) -> int:
        """How many verdicts fit before the next exchange. Parts that are announced here must be read in time."""
        if not self._source or not self._each_ns:
            return _WAITING_MAX
        return max(_AT_LEAST, (self._next_ns - now_ns) // self._each_ns)

    def _judge_punctuality(self, verdict: Verdict, left_s: float) -> None:
        # The deadline is the PLC's only: a full outbox has its own condition. A part with a handicap was practically
        # past the gate when this station learned of it.
        if self._announces and left_s < 0 and verdict.part.handicap is Reason.NONE:
            self._late_ns = time.monotonic_ns()
            why = f"the verdict on part {verdict.part.part_seq} was not there when it may have been at the gate"
            self._conditions.set(ErrorCode.VERDICT_LATE, self._label, why)

    def _exchange(self) -> None:
        begun_ns, status = time.monotonic_ns(), self._status()
        heard = self._link.exchange(status)
        now = time.monotonic_ns()
        metrics.of(metrics.link_exchange_seconds, self._label).observe((now - begun_ns) / 1e9)
        rest_ns = 0 if status.busy or self._waits else int(self._rest_s() * 1e9)
        self._next_ns = begun_ns + max(self._interval_ns, rest_ns)
        if heard is not None:
            self._announces = True
            told, self._told = self._told, _told(heard)
            # The judge looks every 50 ms or more often. Nothing in a reading that repeats the last one is urgent.
            self._heard.put(heard if self._source else replace(heard, announces=False), wake=told != self._told)
            self._tell_of_missed(self._gate.hear(heard), now)
        for command in self._link.commands():
            self._submit(command)
        self._tell_of_link()
        if now - self._unusable_ns > _USABLE_NS and ErrorCode.STATE_LOST not in self._link.troubles:
            self._conditions.clear(ErrorCode.STATE_LOST, self._label)
        if now - self._late_ns > _LATE_TOLD_NS:
            self._conditions.clear(ErrorCode.VERDICT_LATE, self._label)
        frozen = heard is not None and self._is_frozen(heard, now)
        up = self._link.connected and not frozen
        metrics.of(metrics.link_up, self._label).set(up)
        metrics.of(metrics.link_backlog, self._label).set(self._link.backlog)
        if self._link.connected:
            self._heard_ns = now
        if up or not self._link.troubles.keys().isdisjoint(_ANSWERS):
            self._conditions.clear(self._lost_code, self._label)
        elif frozen:
            self._conditions.set(self._lost_code, self._label, "the PLC answers, but its program does not run (STOP?)")
        elif heard is None and now - self._heard_ns > _UNHEARD_NS and self._lost_code not in self._link.troubles:
            self._conditions.set(self._lost_code, self._label, "not connected")

    def _tell_of_missed(self, parts: int, now: int) -> None:
        if parts:
            self._missed_ns = now
            why = f"the PLC counted parts at the gate without a verdict: {parts} since the last reading"
            self._conditions.set(ErrorCode.VERDICT_LATE, "gate", why)
        elif now - self._missed_ns > _MISSED_TOLD_NS:
            self._conditions.clear(ErrorCode.VERDICT_LATE, "gate")

    def _tell_of_link(self) -> None:
        for event, count in self._link.events.items():
            if count != self._counted.get(event):
                metrics.link_events.labels(self._label, event).inc(count - self._counted.get(event, 0))
                self._counted[event] = count
        self._link_conditions.follow()

    def _is_frozen(self, heard: PlcInput, now: int) -> bool:
        if heard.heartbeat != self._heartbeat[0]:
            self._heartbeat = (heard.heartbeat, now)
        return now - self._heartbeat[1] > _FROZEN_S * 1e9

    def _failed(self, error: DeviceError) -> None:
        if isinstance(error, StateError):  # the peer was not even contacted
            self._unusable_ns = time.monotonic_ns()
            self._conditions.set(ErrorCode.STATE_LOST, self._label, str(error))
            self._conditions.clear(self._lost_code, self._label)
        else:
            self._conditions.set(self._lost_code, self._label, str(error))
        metrics.link_failed.labels(self._label).inc()
        metrics.link_up.labels(self._label).set(0)
        self._link.close()
        self._is_open = False
        self.queued(0)
        self._backoff.failed()


def _told(heard: PlcInput) -> tuple[object, ...]:
    """What the peer says in a reading, without what counts up in each."""
    return (
        heard.run_key,
        heard.trigger_seq,
        heard.triggers,  # a slot may be readable only after the header has counted its part
        heard.enable,
        heard.reset,
        heard.challenge,
        heard.line_running,
        heard.recipe_id,
        heard.missing_verdicts,
    )
