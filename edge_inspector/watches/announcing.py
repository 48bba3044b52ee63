"""A camera that announces the parts: each of its pictures is one part."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace

from edge_inspector.plc.blocks import TRIGGER_SLOTS as RING
from edge_inspector.records import Frame, PlcInput, Trigger

_CALL_NS = 1_500_000_000  # a free-running camera takes a picture long before
_TELL_NS = 100_000_000


class FrameParts:
    """Turns the pictures of one camera into announcements. One thread calls all methods except `call`.

    `tell` takes each reading. `boot_id` is this run of the daemon. With `on_call`, only the first picture that is taken
    after a call is a part. A call for which no picture comes is a part without one.
    """

    def __init__(self, boot_id: int, tell: Callable[[PlcInput], object], *, on_call: bool = False) -> None:
        self._boot_id = boot_id
        self._tell = tell
        self._on_call = on_call
        self._calls: deque[tuple[int, str]] = deque(maxlen=RING)
        self._lock = threading.Lock()
        self._part_seq = 0
        self._last_id: int | None = None
        self._triggers: deque[Trigger] = deque(maxlen=RING)
        self._told_ns = 0
        self._held = False

    def hold(self) -> bool:
        """Refuse calls from now on, because the station is about to end. Whether one waits for its picture."""
        with self._lock:
            self._held = True
            return bool(self._calls)

    def release(self) -> None:
        """Take calls again."""
        with self._lock:
            self._held = False

    def call(self, part_id: str) -> str:
        """The next picture is the part with this name. Returns why not, or "". Any thread may call."""
        if not self._on_call:
            return "this station's parts are not called: write on_call = true in [parts]"
        with self._lock:
            if self._held:
                return "the station restarts in a moment: call again when it is back"
            if len(self._calls) == RING:
                return "too many calls wait for a picture"
            self._calls.append((time.monotonic_ns(), part_id))
        return ""

    def opened(self) -> None:
        """The camera was opened: the number of its next picture shows no gap."""
        self._last_id = None
        self._publish()

    def tick(self) -> None:
        """Time passes, with a picture or without. It keeps the judge's view of this camera fresh."""
        now = time.monotonic_ns()
        with self._lock:
            gone = [part_id for at_ns, part_id in self._calls if now - at_ns > _CALL_NS]
            for _ in gone:
                self._calls.popleft()
        for part_id in gone:
            self._part_seq += 1
            self._triggers.append(Trigger(self._part_seq, 0, answered=False, lost=True, part_id=part_id))
        if gone or now - self._told_ns > _TELL_NS:
            self._publish()

    def seen(self, frame: Frame) -> bool:
        """Whether the picture is a part. It is announced then, before anybody judges it."""
        part_id = self._called(frame.captured_ns + frame.captured_error_ns)
        if part_id is None:
            return False
        latched = frame.encoder_count is not None
        self._announce(
            frame.frame_id,
            Trigger(
                0,
                frame.encoder_count or 0,
                answered=False,
                latched=latched,
                at_ns=frame.captured_ns,
                error_ns=frame.captured_error_ns,
                part_id=part_id,
            ),
        )
        return True

    def damaged(self, frame_id: int, captured_ns: int) -> None:
        """A picture came that must not be used: it was a part all the same."""
        part_id = self._called(captured_ns)
        if part_id is None:
            return
        trigger = Trigger(0, 0, answered=False, latched=False, at_ns=captured_ns, error_ns=0, part_id=part_id)
        self._announce(frame_id, trigger)

    def _called(self, captured_ns: int) -> str | None:
        """The name of the part that this picture shows. None if nobody has called for it."""
        if not self._on_call:
            return ""
        with self._lock:
            if self._calls and self._calls[0][0] <= captured_ns:
                return self._calls.popleft()[1]
        return None

    def _announce(self, frame_id: int, trigger: Trigger) -> None:
        """Announce the part, and before it those whose pictures were lost on the way."""
        missed = 0 if self._on_call or self._last_id is None else max(0, frame_id - self._last_id - 1)
        self._last_id = frame_id
        for _ in range(min(missed, RING)):
            self._part_seq += 1
            self._triggers.append(Trigger(self._part_seq, 0, answered=False, lost=True))
        self._part_seq += 1
        self._triggers.append(replace(trigger, part_seq=self._part_seq))
        self._publish()

    def _publish(self) -> None:
        self._told_ns = time.monotonic_ns()
        self._tell(own_reading(self._boot_id, self._part_seq, self._triggers, asked_ns=time.monotonic_ns()))


def own_reading(boot_id: int, part_seq: int, triggers: Iterable[Trigger], *, asked_ns: int = 0) -> PlcInput:
    """What a PLC would show of parts that the station announces itself."""
    return PlcInput(
        boot_id=boot_id,
        heartbeat=0,
        enable=True,
        reset=False,
        line_running=None,
        recipe_id=0,
        ack_session=0,
        ack_seq=0,
        trigger_seq=part_seq,
        triggers=tuple(triggers),
        asked_ns=asked_ns,
        requests=False,
    )
