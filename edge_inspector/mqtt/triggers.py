"""Parts that are announced over MQTT: messages on `trigger` and `line`, checked before anything acts on them."""

from __future__ import annotations

import secrets
import time
import zlib
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable
from dataclasses import replace

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from edge_inspector.codes import ErrorCode
from edge_inspector.mqtt.commands import Request, faults_in
from edge_inspector.mqtt.messages import LineMessage, TriggerMessage
from edge_inspector.plc.blocks import TRIGGER_SLOTS
from edge_inspector.records import PlcInput, Trigger
from edge_inspector.runtime.clock import utc_of

_LONGEST = 2048  # bytes. The longest valid message has about 300
_REMEMBERED = 1024  # announcements of which a repetition is known as one
_OLDEST_NS = 4_000_000_000  # the record of the belt's position is not much longer
_HASTE = 2.0  # the belt may be faster, and parts closer, than configured


class TriggerInbox:
    """Messages in, one reading out. It looks like the reading of a PLC, so that nobody else need know the difference.

    `parts_per_s` is the most that belt speed and pitch allow. `delay_ns` is the longest way of a message from the
    photo-eye to this station. `numbered`: each message has a `seq`. `clock_ns`: parts are placed by `utc`, which is
    right to so many ns. If the line does not `announce` parts, it only says whether it runs, on `line_topic`. `events`
    counts as the link's do.
    """

    def __init__(
        self,
        parts_per_s: float,
        delay_ns: int,
        events: Counter[str],
        *,
        line_topic: str,
        numbered: bool,
        announces: bool = True,
        clock_ns: int | None = None,
    ) -> None:
        self.incidents: list[tuple[ErrorCode, str]] = []
        self._parts_per_s = parts_per_s
        self._delay_ns = delay_ns
        self._clock_ns = clock_ns
        self._line_topic = line_topic
        self._numbered = numbered
        self._events = events
        self._boot_id = 1 if numbered else secrets.randbelow(2**32 - 1) + 1
        self._run = 0
        self._last: int | None = None if numbered and announces else 0
        self._last_ns = 0
        self._first = 0
        self._is_known = False
        self._triggers: deque[Trigger] = deque(maxlen=TRIGGER_SLOTS)
        self._by_seq: OrderedDict[int, TriggerMessage] = OrderedDict()
        self._by_id: OrderedDict[str, TriggerMessage] = OrderedDict()
        self._running: bool | None = None
        self._heartbeat = 0
        self.line_ns = 0
        """When the line was last heard of on `line`. 0: never."""

    def take(self, requests: Iterable[Request]) -> None:
        """Take messages in the order in which they came."""
        for request in requests:
            message = self._read(request)
            if isinstance(message, LineMessage):
                self._running, self.line_ns = message.running, request.received_ns
            elif message is not None:
                self._announce(message, request.received_ns)

    def overran(self) -> None:
        """Messages came faster than they were read, and some were left out."""
        self._events["trigger_refused"] += 1
        self._tell("announcements came faster than this station reads them, and some were left out")

    def line_silent(self) -> None:
        """Nobody says any more whether the belt runs."""
        self._running = None if self._running is None else False

    def reading(self) -> PlcInput | None:
        """What the line says now. None before the first message, because nobody knows where its numbers begin."""
        self._heartbeat += 1
        if self._last is None:
            return None
        if self._is_known:
            return self._said(self._last)
        self._is_known = True
        return replace(self._said(self._first), triggers=())

    def _said(self, newest: int) -> PlcInput:
        return PlcInput(
            boot_id=self._boot_id,
            heartbeat=self._heartbeat,
            enable=True,
            reset=False,
            line_running=self._running,
            recipe_id=0,
            ack_session=0,
            ack_seq=0,
            trigger_seq=newest,
            triggers=tuple(self._triggers),
            asked_ns=time.monotonic_ns(),
            run=self._run,
            known_from=self._first,
            requests=False,
        )

    def _read(self, request: Request) -> TriggerMessage | LineMessage | None:
        kind: type[BaseModel] = LineMessage if request.topic == self._line_topic else TriggerMessage
        fault = ""
        if kind is TriggerMessage and request.retained:
            fault = "it is retained, and would be a part again at each connection: publish it without retain"
        elif len(request.payload) > _LONGEST:
            fault = f"longer than {_LONGEST} bytes"
        else:
            try:
                message = kind.model_validate(from_json(request.payload, allow_inf_nan=False), strict=True)
            except ValidationError as error:
                fault = "; ".join(faults_in(error))[:200]
            except ValueError as error:
                fault = f"not JSON: {error}"[:200]
            else:
                fault = self._misfit(message)
                if not fault and isinstance(message, TriggerMessage | LineMessage):
                    return message
        self._events["trigger_refused"] += 1
        self._tell(f"a message on {request.topic} is no announcement, and a part may have passed: {fault}")
        return None

    def _misfit(self, message: BaseModel) -> str:
        if not isinstance(message, TriggerMessage) or (message.seq is not None) is self._numbered:
            return ""
        if self._numbered:
            return "seq is missing: number the parts, or write numbered = false in the link's settings"
        return "it has a seq: write numbered = true in the link's settings"

    def _announce(self, message: TriggerMessage, received_ns: int) -> None:
        self._begin_run(message)
        if self._is_repeated(message, received_ns):
            self._events["trigger_repeated"] += 1
            return
        seq = self._number(message, received_ns)
        twin = self._by_id.get(message.part_id) if message.part_id else None
        at_ns, error_ns = self._when(message, received_ns)
        lost = error_ns < 0
        if lost:
            self._events["trigger_late"] += 1
        if twin is not None:
            lost = True
            self._tell(f"part id {message.part_id!r} came twice: the second part is not inspected. Is it another part?")
        self._triggers.append(
            Trigger(
                seq,
                message.count or 0,
                answered=False,
                latched=message.count is not None,
                at_ns=at_ns,
                error_ns=max(0, error_ns),
                part_id=message.part_id,
                lost=lost,
            )
        )
        self._remember(message, seq)
        self._last, self._last_ns = seq, received_ns

    def _begin_run(self, message: TriggerMessage) -> None:
        """A sender that says that it has started anew begins a new numbering, which is no fault."""
        boot_id = (zlib.crc32(message.run.encode()) or 1) if message.run else 1
        if message.seq is not None and boot_id != self._boot_id:
            self._boot_id = boot_id
            self._forget(message.seq - 1)

    def _forget(self, first: int) -> None:
        self._last, self._first, self._is_known = first, first, False
        self._triggers.clear()
        self._by_seq.clear()

    def _is_repeated(self, message: TriggerMessage, received_ns: int) -> bool:
        """Whether this is the same announcement again, as QoS 1 allows."""
        if message.seq is not None:
            return self._by_seq.get(message.seq) == message
        if not message.part_id:
            return False
        same = self._by_id.get(message.part_id) == message
        return same and (message.count is not None or received_ns - self._last_ns < self._delay_ns)

    def _number(self, message: TriggerMessage, received_ns: int) -> int:
        """The number of a part that is new. Parts whose message was lost are announced before it."""
        if message.seq is None:
            return (self._last or 0) + 1
        if self._last is None:
            self._forget(message.seq - 1)
        last = self._last or 0
        most = TRIGGER_SLOTS + int(_HASTE * self._parts_per_s * max(0, received_ns - self._last_ns) / 1e9)
        if message.seq <= last or (self._last_ns and message.seq - last > most):
            self._tell(
                f"seq went from {last} to {message.seq}, while belt speed and pitch allow {most} parts: all parts from "
                "before count as past. A sender that begins anew must say so with another run"
            )
            self._run += 1
            self._forget(message.seq - 1)
            return message.seq
        for seq in range(max(last + 1, message.seq - TRIGGER_SLOTS), message.seq):
            self._triggers.append(Trigger(seq, 0, answered=False, lost=True))
        return message.seq

    def _when(self, message: TriggerMessage, received_ns: int) -> tuple[int, int]:
        """When the part was at the photo-eye, and to how many ns. Below 0 if nobody knows, and no count tells."""
        half = self._delay_ns // 2
        arrived = received_ns - half, half
        if message.utc is None:
            return arrived if self._clock_ns is None or message.count is not None else (received_ns, -1)
        age_ns = int((utc_of(received_ns) - message.utc).total_seconds() * 1e9)
        if self._clock_ns is not None and -self._clock_ns <= age_ns <= _OLDEST_NS:
            return received_ns - age_ns, self._clock_ns
        if self._clock_ns is None and -self._delay_ns <= age_ns <= self._delay_ns:
            return arrived
        return arrived if message.count is not None else (received_ns, -1)

    def _remember(self, message: TriggerMessage, seq: int) -> None:
        self._by_seq[seq] = message
        if message.part_id:
            self._by_id[message.part_id] = message
        while len(self._by_seq) > _REMEMBERED:
            self._by_seq.popitem(last=False)
        while len(self._by_id) > _REMEMBERED:
            self._by_id.popitem(last=False)

    def _tell(self, what: str) -> None:
        self.incidents.append((ErrorCode.PLC_NUMBERS, what))
