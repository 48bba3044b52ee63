"""A continuous web: the encoder announces a virtual piece every so many millimetres."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass

from edge_inspector.codes import ErrorCode
from edge_inspector.errors import PositionPendingError, PositionUnknownError
from edge_inspector.inspection.counter import Counter
from edge_inspector.inspection.timeline import Timeline
from edge_inspector.plc.blocks import TRIGGER_SLOTS as RING
from edge_inspector.records import Frame, PlcInput, Trigger
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.watches.announcing import own_reading

_TELL_NS = 100_000_000
_UNSURE = 3  # times the tolerance: a picture so near may be that of the piece


@dataclass(frozen=True, slots=True)
class Pieces:
    """Pieces in counts. Their pictures may begin up to `tolerance` before or behind them.

    `camera` is the way from where positions are measured to the first row of the pictures that set the pace, `shown`
    that to where such a picture is complete. From there the station waits for a picture for `patience`. A web that goes
    back by more than `back` runs backwards.
    """

    length: int
    _: KW_ONLY
    tolerance: float
    camera: int
    shown: int
    patience: float
    back: float


class WebPieces:
    """Announces the pieces of a web. Each piece begins where the one before ends, and there is one verdict for each.

    A picture that is taken within the tolerance of a piece's place says where the piece begins, so that pieces and
    pictures stay in step. Without a picture the piece begins at its place all the same. Web that has passed before is
    never announced again.

    `tell` takes each reading. The thread of the camera that sets the pace and the encoder's thread may call.
    """

    def __init__(
        self,
        boot_id: int,
        tell: Callable[[PlcInput], object],
        *,
        pieces: Pieces,
        timeline: Timeline,
        counter: Counter,
        conditions: Conditions,
        counts_per_mm: float,
    ) -> None:
        self._boot_id = boot_id
        self._tell = tell
        self._pieces = pieces
        self._timeline = timeline
        self._counter = counter
        self._conditions = conditions
        self._counts_per_mm = counts_per_mm
        self._lock = threading.Lock()
        self._part_seq = 0
        self._triggers: deque[Trigger] = deque(maxlen=RING)
        self._told_ns = 0
        self._epoch = 0
        self._begun = self._furthest = 0
        self._next: float | None = None
        self._unseen = False

    def call(self, part_id: str) -> str:
        """Nobody can call for a piece of web."""
        del part_id
        return "this station's parts are not called: they are pieces of a web"

    def opened(self) -> None:
        """The camera was opened."""
        self.tick()

    def tick(self) -> None:
        """Time passes. It keeps the judge's view of this source fresh."""
        with self._lock:
            if time.monotonic_ns() - self._told_ns > _TELL_NS:
                self._publish()

    def seen(self, frame: Frame) -> bool:
        """Whether the picture is that of a piece. The piece is announced then, before anybody judges it."""
        return self._picture(frame.captured_ns)

    def damaged(self, frame_id: int, captured_ns: int) -> None:
        """A picture came that must not be used. Its piece is announced all the same."""
        del frame_id
        self._picture(captured_ns)

    def moved(self) -> None:
        """The encoder has a new count."""
        with self._lock:
            count = self._follow()
            if count is None:
                return
            pieces = self._pieces
            if self._next is None:
                first = self._begun - pieces.camera
                if count > first + pieces.length + pieces.shown + pieces.patience:
                    self._announce(first, seen=False)
            while self._next is not None and count > self._next + pieces.shown + pieces.tolerance + pieces.patience:
                self._announce(self._next, seen=False)

    def _picture(self, captured_ns: int) -> bool:
        count = likely_count(self._timeline, captured_ns)
        if count is None:
            return True  # it is answered as one whose position is not known
        with self._lock:
            newest = self._follow()
            if newest is None or newest < self._furthest - self._pieces.back:
                return False  # it shows web that has passed before
            if count > self._furthest + self._pieces.length:
                return False  # it says that it is of the future
            return self._meets(count - self._pieces.camera)

    def _meets(self, at: float) -> bool:
        """Whether a picture that begins here is that of a piece."""
        pieces = self._pieces
        if self._next is None:
            self._announce(at, seen=True)
            return True
        last = self._next - pieces.length
        if self._unseen and abs(at - last) <= _UNSURE * pieces.tolerance:
            self._unseen = False  # it came later than the station waits, and the piece is announced already
            return True
        while at > self._next + pieces.tolerance:
            self._announce(self._next, seen=False)
        # The pictures have another pace since one was missing: the pieces follow.
        anew = self._unseen and at > self._next - pieces.length + 2 * pieces.tolerance
        if at < self._next - pieces.tolerance and not anew:
            # The place is only likely. Let the judge compare it with that of the piece, once it is known better.
            return at >= self._next - _UNSURE * pieces.tolerance
        self._announce(at, seen=True)
        return True

    def _announce(self, at: float, *, seen: bool) -> None:
        self._part_seq += 1
        self._triggers.append(Trigger(self._part_seq, self._counter.shown(round(at)), answered=False))
        self._next, self._unseen = at + self._pieces.length, not seen
        self._publish()

    def _follow(self) -> int | None:
        """The newest count. A new epoch begins with new pieces."""
        count, epoch = self._timeline.newest, self._timeline.epoch
        if count is None:
            return None
        if epoch != self._epoch:
            self._epoch, self._next, self._begun, self._furthest = epoch, None, count, count
        self._furthest = max(self._furthest, count)
        behind = self._furthest - count
        if behind > self._pieces.back:
            why = f"it is {behind / self._counts_per_mm:.0f} mm behind where it was"
            self._conditions.set(ErrorCode.WEB_BACKWARDS, "encoder", why)
        else:
            self._conditions.clear(ErrorCode.WEB_BACKWARDS, "encoder")
        return count

    def _publish(self) -> None:
        self._told_ns = time.monotonic_ns()
        # It has no time: pieces are announced at the camera, long after they passed where positions are measured.
        self._tell(own_reading(self._boot_id, self._part_seq, self._triggers))


def likely_count(timeline: Timeline, at_ns: int) -> float | None:
    """Where the belt was, or is likely to have been. None if nobody knows."""
    with suppress(PositionPendingError, PositionUnknownError):
        return timeline.count_at(at_ns, time.monotonic_ns()).count
    return timeline.estimate(at_ns)
