"""Verdicts over MQTT. They are committed to the outbox first, then published in order until the broker has them."""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from edge_inspector.codes import ErrorCode
from edge_inspector.errors import DeviceError, StateError
from edge_inspector.mqtt.commands import CommandInbox
from edge_inspector.mqtt.messages import (
    as_late,
    birth_message,
    command_result_message,
    offline_message,
    shortened,
    state_message,
    verdict_payload,
)
from edge_inspector.mqtt.probe import BrokerProbe
from edge_inspector.mqtt.session import ANSWER_ROW, MqttSession, Will
from edge_inspector.mqtt.settings import MqttSettings
from edge_inspector.mqtt.sparkplug import SparkplugNode
from edge_inspector.mqtt.triggers import TriggerInbox
from edge_inspector.mqtt.words import often_words, who
from edge_inspector.records import Command, Identity, PlcInput, StationStatus, Verdict
from edge_inspector.runtime.clock import utc_of
from edge_inspector.store.outbox import Outbox, OutboxRow

_log = logging.getLogger(__name__)

_STATE_ROW = 0  # the state is not in the outbox, because only the newest one counts
_CATCH_UP_S = 0.05  # how long one exchange may follow acknowledgements while a backlog waits
_FLUSH_S = 0.4
_RETRY_S = (0.5, 2.0)
_GUARD_NS = 500_000_000  # interval of the check whether the outbox's file is still there
_RETURN_NS = 5_000_000_000  # interval of the tries to write to a disk that was full
_CALM_NS = 30_000_000_000  # after this time a lost file is no trouble any more
_BRIEF_NS = 10_000_000_000  # a broker ends a session much later, unless it has a reason
_OFTEN = 3
_REST_NS = 10_000_000_000  # for a topic that the broker refuses: each try can cost the connection


class MqttLink:
    """One broker, owned by one thread. While the broker is down, messages wait in the outbox.

    `events` counts what happened on the link:

    - `reject_expired`: a reject was too old to be sent.
    - `reject_unheard`: a reject had no subscriber.
    - `verdict_shortened`, `message_too_large`: effects of the broker's size limit.
    - `outbox_set_aside`: a file or row of the outbox was damaged.
    - `trigger_repeated`, `trigger_late`, `trigger_refused`: announcements that were no new part, or no announcement.
    """

    Settings = MqttSettings

    def __init__(self, settings: MqttSettings, identity: Identity) -> None:
        self.connected = False
        self.events: Counter[str] = Counter()
        self.troubles: dict[ErrorCode, str] = {}
        self._settings = settings
        self._identity = identity
        self._outbox: Outbox | None = None
        self._session: MqttSession | None = None
        self._commands = CommandInbox(self._topic("command/result"))
        self._triggers = TriggerInbox(
            identity.parts_per_s,
            int(settings.trigger_delay_ms * 1e6),
            self.events,
            line_topic=self._topic("line"),
            numbered=settings.numbered,
            announces=settings.triggers,
            clock_ns=None if settings.trigger_clock_ms is None else int(settings.trigger_clock_ms * 1e6),
        )
        self._opened_ns = 0
        self._recipe_id = 0
        self._cursors = {True: 0, False: 0}  # per lane of the outbox: the last row that this session has published
        self._said: tuple[object, ...] = ()
        self._said_ns = 0
        self._is_born = False  # in this session
        self._retry_s = _RETRY_S[0]
        self._retry_ns = 0
        self._refused_bytes = sys.maxsize  # of a verdict that was too large for this broker
        self._rests_until_ns: dict[str, int] = {}  # by topic
        self._was_heard = False
        self._is_unheard = False
        self._is_stuck = False  # the last session was ended for lack of acknowledgements, and none has come since
        self._last_trouble = ""
        self._brief = 0  # sessions in a row that ended soon after they had begun
        self._guarded_ns = self._returned_ns = 0
        self._lost_ns = 0
        sparkplug = bool(settings.sparkplug_group)
        self._sparkplug = SparkplugNode(settings, self._client_id(), identity) if sparkplug else None

    def open(self) -> None:
        """Open the outbox. The first exchange begins to connect. Raises DeviceError on disk errors."""
        self._opened_ns = time.monotonic_ns()
        path = self._identity.state_dir / f"{self._settings.outbox}.sqlite"
        self._outbox = Outbox(path, self._settings.outbox_max_rows)
        if self._outbox.set_aside:
            self.events["outbox_set_aside"] += 1
            self._lost_ns = time.monotonic_ns()
            self.troubles[ErrorCode.STATE_LOST] = (
                f"{path} was damaged. It is kept as .damaged, and a new one was started. Messages in it were not sent"
            )

    def probe(self) -> str:
        """Connect as the station does, but under another name. Publish only below `check`. Raises DeviceError."""
        return BrokerProbe(self._settings, self._client_id(), self._topic).look()

    def look(self) -> PlcInput | None:
        """Always None: a broker announces no parts."""
        return None

    def exchange(self, status: StationStatus) -> PlcInput | None:
        """Publish the state on change and every 10 s, and the messages that wait.

        Returns what the line announces here, and None if it does not. Raises DeviceError if the broker refuses this
        station, its files cannot be read, or paho's thread has died.
        """
        outbox = self._opened()
        self._recipe_id = status.recipe_id
        if self._sparkplug is not None:
            self._sparkplug.step(status)
        self._guard(outbox)
        self._follow(outbox)
        session = self._session
        if session is None:
            return None
        deadline = time.monotonic() + _CATCH_UP_S
        waiting = self._pump(outbox, session, status)
        while waiting and session.wait(max(0.0, deadline - time.monotonic())) and session.connected:
            waiting = self._pump(outbox, session)
        return self._line(session)

    def _line(self, session: MqttSession) -> PlcInput | None:
        """What the line has said up to now, on `trigger` and `line`."""
        if not (self._settings.triggers or self._settings.line):
            return None
        inbox = self._triggers
        if session.overran:
            session.overran = False
            inbox.overran()
        inbox.take(session.announced())
        trouble = self._line_trouble(session, inbox)
        if trouble:
            self.troubles[ErrorCode.PLC_LOST] = trouble
        else:
            self.troubles.pop(ErrorCode.PLC_LOST, None)
        if session.forbidden.intersection(self._line_topics()):
            return None
        return inbox.reading() if self.connected else None

    def _line_trouble(self, session: MqttSession, inbox: TriggerInbox) -> str:
        forbidden = session.forbidden.intersection(self._line_topics())
        if forbidden:
            return f"the broker does not let {who(self._settings)} read {', '.join(sorted(forbidden))}"
        silent_ns = time.monotonic_ns() - (inbox.line_ns or self._opened_ns)
        if self._settings.line and silent_ns > self._settings.line_silent_s * 1e9:
            inbox.line_silent()
            return f"nobody speaks on {self._topic('line')}: is the gateway dead?"
        return ""

    def commands(self) -> Sequence[Command]:
        """Commands received on `command`, if `commands = true`. Invalid ones are answered and left out."""
        return () if self._session is None else self._commands.check(self._session.requests(), self._recipe_id)

    def incidents(self) -> Sequence[tuple[ErrorCode, str]]:
        """What was wrong with announcements. A problem with the broker itself ends when the broker works again."""
        told, self._triggers.incidents = self._triggers.incidents, []
        return told

    def deliver(self, verdicts: Sequence[Verdict]) -> int:
        """How many of `verdicts` are now safe in the outbox. Fewer if it is full. Raises DeviceError on disk errors."""
        outbox = self._opened()
        rows: list[OutboxRow] = []
        taken = 0
        room = outbox.room
        for verdict in verdicts:
            more = self._rows(verdict)
            if len(rows) + len(more) > room:
                break
            rows += more
            taken += 1
        outbox.append(rows)
        if self._session is not None:
            self._pump(outbox, self._session)
        return taken

    def close(self) -> None:
        """Publish `offline`, give the outbox a moment, and close."""
        outbox, session = self._outbox, self._session
        self._outbox, self._session, self.connected = None, None, False
        try:
            if outbox is not None and session is not None:
                try:
                    self._flush(outbox, session)
                finally:
                    self._end_session(outbox, session)
        except DeviceError as error:
            _log.warning("%s", error)
        finally:
            if self._sparkplug is not None:
                self._sparkplug.close()
            if outbox is not None:
                outbox.close()

    @property
    def backlog(self) -> int:
        """Messages that the broker does not have yet."""
        return 0 if self._outbox is None else len(self._outbox)

    def _client_id(self) -> str:
        return self._settings.client_id or f"edge-inspector-{self._identity.station}"

    def _line_topics(self) -> list[str]:
        kinds = {"trigger": self._settings.triggers, "line": self._settings.line}
        return [self._topic(kind) for kind, wanted in kinds.items() if wanted]

    def _topic(self, kind: str) -> str:
        return self._settings.topic_of(self._identity.station, kind)

    def _rows(self, verdict: Verdict) -> list[OutboxRow]:
        late = verdict.late or time.monotonic_ns() >= verdict.due_ns
        gate = self._identity.gate_time(verdict) if self._settings.gate_time else None
        utc = utc_of(verdict.decided_ns)
        payload = verdict_payload(verdict, self._identity.station, utc, late=late, gate=gate)
        told = OutboxRow(
            self._topic("verdict"), payload, expires_ns=verdict.due_ns, boot_id=verdict.boot_id, seq=verdict.seq
        )
        fires = verdict.rejects and not late
        return [replace(told, topic=self._topic("reject"), perishable=True), told] if fires else [told]

    def _opened(self) -> Outbox:
        if self._outbox is None:
            raise DeviceError(f"MQTT link to {self._settings.host}:{self._settings.port} is not open")
        return self._outbox

    def _guard(self, outbox: Outbox) -> None:
        """Detect that the outbox's file was removed. Continue in a new file with the undelivered messages."""
        now = time.monotonic_ns()
        if now - self._guarded_ns < _GUARD_NS:
            return
        self._guarded_ns = now
        if outbox.off_disk:
            self._return_to_disk(outbox, now)
            return
        lost = outbox.lost
        if lost is None:
            if now - self._lost_ns > _CALM_NS:
                self.troubles.pop(ErrorCode.STATE_LOST, None)
            return
        self._lost_ns = now
        why = f"{lost} was removed or replaced while the station ran"
        session = self._session
        try:
            if session is not None:
                outbox.delete(session.acknowledged())
            outbox.renew()
        except StateError as error:
            self.troubles[ErrorCode.STATE_LOST] = f"{why}. It cannot be created again: {error}"
            return
        self.troubles[ErrorCode.STATE_LOST] = f"{why}. It was created again, with {len(outbox)} messages that wait"
        self._renumbered()

    def _renumbered(self) -> None:
        """End the session: it knows the messages by their old numbers."""
        session, self._session, self.connected = self._session, None, False
        if session is not None:
            session.close()

    def _return_to_disk(self, outbox: Outbox, now: int) -> None:
        """The disk was full or failed, and messages wait in memory. Try from time to time whether it can be used."""
        if now - self._returned_ns >= _RETURN_NS:
            self._returned_ns = now
            session = self._session
            try:
                if session is not None:
                    outbox.delete(session.acknowledged())
                ids_stay = outbox.return_to_disk()
            except StateError:
                pass
            else:
                self.troubles.pop(ErrorCode.STATE_LOST, None)
                if not ids_stay:
                    self._renumbered()
                return
        self.troubles[ErrorCode.STATE_LOST] = (
            f"the outbox cannot use the disk: {outbox.off_disk}. Messages are sent from memory, and those that the "
            "broker does not have are lost if the station stops"
        )

    def _follow(self, outbox: Outbox) -> None:
        """Detect a gained or lost connection. Begin the next session when its time has come."""
        session = self._session
        if session is not None and (session.over or session.is_stuck):
            if session.is_stuck:
                self._is_stuck, session.trouble = True, "acknowledges nothing"
            self._session, self.connected = None, False
            brief = (
                session.connected_ns and not session.is_stuck and time.monotonic_ns() - session.connected_ns < _BRIEF_NS
            )
            self._brief = self._brief + 1 if brief else 0
            self._end_session(outbox, session)
            self._tell(session)
        if self._session is None and time.monotonic_ns() >= self._retry_ns:
            self._begin_session()
        elif session is not None and self._is_up(session) and not self.connected:
            _log.info("MQTT broker %s connected, %d messages wait", session.address, len(outbox))
            self._retry_s, self._last_trouble = _RETRY_S[0], ""
            self.troubles.pop(ErrorCode.BROKER_LOST, None)
        self.connected = self._session is not None and self._is_up(self._session)

    def _is_up(self, session: MqttSession) -> bool:
        return session.connected and not self._is_stuck

    def _begin_session(self) -> None:
        self._retry_ns = time.monotonic_ns() + int(self._retry_s * 1e9)  # the earliest time for the next session
        self._retry_s = min(self._retry_s * 2, _RETRY_S[1])
        will = Will(self._topic("state"), offline_message(self._identity).model_dump_json().encode())
        commands = self._topic("command") if self._settings.commands else ""
        self._session = MqttSession(self._settings, self._client_id(), will, commands, line_topics=self._line_topics())
        self._cursors = {True: 0, False: 0}
        self._said, self._is_born = (), False

    def _end_session(self, outbox: Outbox, session: MqttSession) -> None:
        """Close the session and use its last events: a broker may close right after a refusal."""
        session.close()
        outbox.delete(session.acknowledged())
        # A broker need not announce its size limit. After any other end it may be another broker, or have another
        # configuration.
        self._refused_bytes = session.too_large or sys.maxsize
        if session.too_large:
            _log.warning(
                "MQTT broker %s refuses messages of %d bytes: sending smaller ones", session.address, session.too_large
            )

    def _tell(self, session: MqttSession) -> None:
        self._raise_refusal(session)
        if session.trouble and self._brief >= _OFTEN:
            session.trouble += f", {often_words(self._client_id())}"
        if session.trouble:
            self.troubles[ErrorCode.BROKER_LOST] = f"MQTT broker {session.address} {session.trouble}"
        if session.error is not None or not session.trouble:
            raise DeviceError(f"MQTT broker {session.address}: client thread died: {session.error}") from session.error
        if session.trouble != self._last_trouble:
            self._last_trouble = session.trouble
            _log.warning("MQTT broker %s %s. Verdicts stay in the outbox", session.address, session.trouble)
        if session.refused:
            raise DeviceError(f"MQTT broker {session.address} {session.trouble}")

    def _raise_refusal(self, session: MqttSession) -> None:
        refusal, session.refusal = session.refusal, None
        if refusal is None:
            return
        if not refusal.too_large:
            self._rests_until_ns[refusal.topic] = time.monotonic_ns() + _REST_NS
        raise DeviceError(f"MQTT broker {session.address} refused {refusal}")

    def _rests(self, topic: str) -> bool:
        return time.monotonic_ns() < self._rests_until_ns.get(topic, 0)

    def _pump(self, outbox: Outbox, session: MqttSession, status: StationStatus | None = None) -> bool:
        """Remove acknowledged messages and publish what fits, rejects before history. Whether more is to be done."""
        taken = session.acknowledged()
        self._is_stuck &= not taken
        outbox.taken(taken)
        self._raise_refusal(session)
        self._notice_subscribers(session)
        if status is not None:
            self._announce(session)
            self._say(session, status)
        self._reply(session)
        room = session.room  # read once: if a connection came up between the lanes, history would overtake a reject
        for lane, topic in ((True, self._topic("reject")), (False, self._topic("verdict"))):
            if self._rests(topic):
                continue
            rows = outbox.after(self._cursors[lane], room, perishable=lane)
            were_all = len(rows) < room
            for row in rows:
                if not self._send(outbox, session, row, topic):
                    return False
                self._cursors[lane] = row.id
                room -= 1
            if were_all:
                self._cursors[lane] = outbox.newest[lane]
        # What is sent needs no wait here: its acknowledgement is read at the next exchange.
        left = any(outbox.newest[lane] > cursor for lane, cursor in self._cursors.items())
        return session.connected and session.unacknowledged > 0 and left

    def _send(self, outbox: Outbox, session: MqttSession, row: OutboxRow, topic: str) -> bool:
        """Publish one row on `topic`, which uses the present prefix and station name, not those of the row."""
        left_ns = row.expires_ns - time.monotonic_ns() if row.boot_id == self._identity.boot_id else 0
        if row.perishable and left_ns <= 0:
            return self._leave_out(outbox, row, "reject_expired")
        longest = min(session.payload_max(topic), self._refused_bytes - 1)
        try:
            told = row.payload if left_ns > 0 else as_late(row.payload)
            # Halving fits after a few tries. A message that cannot be made small enough is dropped only after a
            # refusal.
            payload = shortened(told, min(longest, self._refused_bytes // 2)) or shortened(told, longest)
        except (ValueError, TypeError, KeyError) as error:  # SQLite has no checksum: a damaged page can look valid
            _log.error("outbox: verdict %d of run %d is damaged, left out: %s", row.seq, row.boot_id, error)
            return self._leave_out(outbox, row, "outbox_set_aside")
        if payload is None:
            self.troubles[ErrorCode.MESSAGE_TOO_LARGE] = f"a verdict does not fit in {longest} bytes"
            return self._leave_out(outbox, row, "message_too_large")
        expiry_s = -(-left_ns // 1_000_000_000) if row.perishable else 0
        if not session.publish(topic, payload, row.id, expiry_s=expiry_s, watched=row.perishable):
            return False
        self.troubles.pop(ErrorCode.MESSAGE_TOO_LARGE, None)
        self.events["verdict_shortened"] += payload is not told
        return True

    def _leave_out(self, outbox: Outbox, row: OutboxRow, event: str) -> bool:
        self.events[event] += 1
        outbox.delete([row.id])
        return True

    def _notice_subscribers(self, session: MqttSession) -> None:
        heard, session.heard = session.heard, None
        if heard is not None:
            self.events["reject_unheard"] += not heard
            self._was_heard |= heard
            # If a station's rejects never had a subscriber, its gate is elsewhere. If the subscriber is lost, it has no
            # gate.
            self._is_unheard = self._was_heard and not heard
        refused = [topic for topic in self._rests_until_ns if self._rests(topic)]
        if refused:
            self.troubles[ErrorCode.NO_SUBSCRIBER] = f"the broker refuses messages on {', '.join(refused)}"
        elif self._is_unheard:
            self.troubles[ErrorCode.NO_SUBSCRIBER] = f"no client subscribes to {self._topic('reject')} any more"
        else:
            self.troubles.pop(ErrorCode.NO_SUBSCRIBER, None)

    def _announce(self, session: MqttSession) -> None:
        """Publish the birth, once in each session. The last will is on `state`, because a session has one only."""
        topic = self._topic("birth")
        if self._settings.birth and not self._is_born and session.room and not self._rests(topic):
            payload = (
                birth_message(self._settings, self._identity, utc_of(time.monotonic_ns())).model_dump_json().encode()
            )
            self._is_born = session.publish(topic, payload, _STATE_ROW, retain=True)

    def _say(self, session: MqttSession, status: StationStatus) -> None:
        now = time.monotonic_ns()
        topic = self._topic("state")
        key = (status.state, status.error_code, status.recipe_id, status.alarm, self._identity.rollout())
        is_due = key != self._said or now - self._said_ns >= self._settings.state_every_s * 1e9
        if is_due and session.room and not self._rests(topic):
            payload = state_message(status, self._identity, utc_of(now)).model_dump_json().encode()
            if session.publish(topic, payload, _STATE_ROW, retain=self._settings.retain):
                self._said, self._said_ns = key, now

    def _reply(self, session: MqttSession) -> None:
        for answer in self._commands.answers(session.room):
            utc = utc_of(time.monotonic_ns())
            payload = command_result_message(answer.id, answer.result, self._identity, utc).model_dump_json().encode()
            if len(payload) + len(answer.correlation or b"") > session.payload_max(answer.topic):
                _log.warning("MQTT broker %s: correlation data too long to be answered", session.address)
                continue
            session.publish(answer.topic, payload, ANSWER_ROW, correlation=answer.correlation)

    def _flush(self, outbox: Outbox, session: MqttSession) -> None:
        if not session.connected:
            return
        deadline = time.monotonic() + _FLUSH_S
        payload = offline_message(self._identity, utc_of(time.monotonic_ns())).model_dump_json().encode()
        session.publish(self._topic("state"), payload, _STATE_ROW, retain=self._settings.retain)
        self._pump(outbox, session)
        while session.unacknowledged and session.wait(max(0.0, deadline - time.monotonic())):
            self._pump(outbox, session)
