"""Decides which parts the model looks at when it has no time for all of them."""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

# limit for parts that never pass their line, if the belt stands still or its positions start over
_REMEMBERED_NS = 10_000_000_000
_SWEEP_NS = 1_000_000_000
_NEAR_NS = 1_000_000
# the learned delay to the judge rises fast and falls slowly, so it stays near the slow cases. So does a part's span
_RISES, _SINKS = 0.3, 0.03


@dataclass(slots=True)
class _Part:
    """`owed`: frames of the part that the model has not seen yet, including frames that were not captured yet.

    `rejected`: a view of it has a defect beyond the limits, so its other frames change nothing at the gate. Its first
    frame came at `since_ns`, and the latest one up to now at `latest_ns`.
    """

    decide_by: float
    since_ns: int
    owed: int
    refused: bool = False
    rejected: bool = False
    latest_ns: int = 0


class Admission:
    """Shared by the threads that queue frames, the threads that infer them, and the thread that judges parts.

    An overloaded station that always serves the most urgent frame finishes every frame slightly too late and sees no
    part whole. Therefore a part is accepted or refused as a whole, with its first frame. A part is refused if, after
    the work already accepted, its frames could not be inferred before its decision line. If nothing is queued ahead of
    it, it is always tried. Before it is refused, parts ahead of it that are rejected already make room. It is also
    refused if its frames would find the model's queue full: then frames of accepted parts would be thrown out of it.

    All views of a part have the same decision line. `tolerance` is how far their values of it may differ.
    `foreseen(now_ns, at_ns)` is the expected belt position at `at_ns`, or None if it is unknown. `views()` is the
    number of frames that a part needs. `views` is None if a part may pass without being seen whole: then each frame
    counts by itself. `queue` is how many frames can wait for the model.
    """

    def __init__(
        self,
        foreseen: Callable[[int, int], float | None],
        tolerance: float,
        workers: int,
        views: Callable[[], int] | None,
        *,
        queue: float = inf,
    ) -> None:
        self._queue = queue
        self._span_ns = inf  # from a part's first frame to its last one: not known yet
        self._foreseen = foreseen
        self._tolerance = tolerance
        self._workers = workers
        self._views = views
        self._lock = threading.Lock()
        self._frame_ns = 0.0
        self._to_judge_ns = 0.0
        self._to_peers_ns: dict[str, int] = {}
        # Both in the order of the lines, so that no question looks at all parts.
        self._lines: list[float] = []
        self._parts: list[_Part] = []
        self._owed = 0  # by all parts together
        self._swept_ns = 0

    def accepts(self, decide_by: float, now_ns: int) -> bool:
        """Whether a frame that just arrived should be inferred. The first frame of a part decides for all of it."""
        reached = self._foreseen(now_ns, now_ns)
        with self._lock:
            self._forget(now_ns, reached)
            part = self._find(decide_by, now_ns) if self._views else None
            if part is None:
                part = _Part(decide_by, now_ns, self._views() if self._views else 1)
                place = bisect_right(self._lines, decide_by)
                has_room = self._has_room(part, place, now_ns)
                self._lines.insert(place, decide_by)
                self._parts.insert(place, part)
                self._owed += part.owed
                if _late(reached, decide_by) or not has_room:
                    self._give_up(part)
            part.latest_ns = now_ns
            return not part.refused

    def still_accepts(self, decide_by: float, now_ns: int) -> bool:
        """Whether a frame that is about to be inferred is still useful. If not, the whole part is given up."""
        reached = self._foreseen(now_ns, now_ns)
        with self._lock:
            self._forget(now_ns, reached)
            part = self._find(decide_by, now_ns)
            if part is None:
                return not _late(reached, decide_by)
            if self._owed > part.owed and self._hopeless(part, 0, now_ns):
                self._give_up(part)
            return not part.refused

    def wants(self, decide_by: float, now_ns: int) -> bool:
        """Whether the result of a frame that is being inferred can still be used."""
        reached = self._foreseen(now_ns, now_ns)
        with self._lock:
            part = self._find(decide_by, now_ns)
            return not _late(reached, decide_by) and (part is None or not part.refused)

    def left_ns(self, decide_by: float, now_ns: int, most_ns: int) -> int:
        """How long the result of a frame may take if the belt goes on as it runs. At most `most_ns`."""
        if not _late(self._foreseen(now_ns, now_ns + most_ns), decide_by):
            return most_ns
        low, high = 0, most_ns
        while high - low > _NEAR_NS:
            middle = (low + high) // 2
            if _late(self._foreseen(now_ns, now_ns + middle), decide_by):
                high = middle
            else:
                low = middle
        return max(0, low - int(self._way_ns()))

    def rejected(self, decide_by: float) -> None:
        """A view of this part has a defect beyond the limits. Its other frames give way if others need the time."""
        with self._lock:
            part = self._find(decide_by)
            if part is not None:
                part.rejected = True

    def spared(self, decide_by: float) -> None:
        """An accepted frame is not worth inferring. Its part owes one frame less."""
        with self._lock:
            self._settle(decide_by)

    def refuse(self, decide_by: float) -> None:
        """This part will not be seen whole, so its other frames need not be inferred."""
        with self._lock:
            part = self._find(decide_by)
            if part is not None:
                self._give_up(part)

    def took(self, decide_by: Sequence[float], call_ns: int) -> None:
        """Frames with these decision lines were inferred in one call.

        Their parts owe fewer frames, and the duration updates the learned cost of a frame.
        """
        with self._lock:
            self._frame_ns += 0.1 * (call_ns / len(decide_by) - self._frame_ns)
            for each in decide_by:
                self._settle(each)

    def judged(self, after_ns: int) -> None:
        """A view reached the judge this long after the model had finished it."""
        with self._lock:
            more = after_ns - self._to_judge_ns
            self._to_judge_ns += (_RISES if more > 0 else _SINKS) * more

    def queued(self, link: str, ns: int) -> None:
        """The verdicts that wait for this link will take it so long. A new one waits behind them."""
        with self._lock:
            self._to_peers_ns[link] = ns

    def _has_room(self, part: _Part, place: int, now_ns: int) -> bool:
        # Nearly always the new part has the last line, and nothing is behind it.
        before = self._owed - sum(other.owed for other in self._parts[place:])
        if not before or not self._is_too_much(part, before, now_ns):
            return True
        rejected = [other for other in self._parts[:place] if other.rejected and other.owed]
        before -= sum(other.owed for other in rejected)
        if not rejected or (before and self._is_too_much(part, before, now_ns)):
            return False
        for other in rejected:
            self._give_up(other)
        return True

    def _is_too_much(self, part: _Part, before: int, now_ns: int) -> bool:
        return self._overfills(before + part.owed) or self._hopeless(part, before, now_ns)

    def _hopeless(self, part: _Part, before: int, now_ns: int) -> bool:
        calls = -(-(before + part.owed) // self._workers)
        needs_ns = int(calls * self._frame_ns + self._way_ns())
        return _late(self._foreseen(now_ns, now_ns + needs_ns), part.decide_by)

    def _way_ns(self) -> float:
        """From the end of the model's call until the verdict is with its peers."""
        return self._to_judge_ns + max(self._to_peers_ns.values(), default=0)

    def _overfills(self, owed: int) -> bool:
        """Whether so many owed frames are more than the queue will hold at a time.

        On average half of a part's frames are not captured yet, and meanwhile the model takes some of the others.
        """
        taken_meanwhile = self._workers * self._span_ns / 2 / self._frame_ns if self._frame_ns else inf
        return owed > self._queue + taken_meanwhile

    def _learn_span(self, span_ns: int) -> None:
        more = span_ns - self._span_ns
        self._span_ns = span_ns if self._span_ns == inf else self._span_ns + (_RISES if more > 0 else _SINKS) * more

    def _settle(self, decide_by: float) -> None:
        part = self._find(decide_by)
        if part is not None and part.owed:
            part.owed -= 1
            self._owed -= 1

    def _give_up(self, part: _Part) -> None:
        """Refuse the rest of the part."""
        self._owed -= part.owed
        part.refused, part.owed = True, 0

    def _find(self, decide_by: float, now_ns: int = 0) -> _Part | None:
        first = bisect_left(self._lines, decide_by - self._tolerance)
        near = self._parts[first : bisect_right(self._lines, decide_by + self._tolerance)]
        near = [part for part in near if part.since_ns >= now_ns - _REMEMBERED_NS]
        return max(near, key=lambda part: part.owed, default=None)

    def _forget(self, now_ns: int, reached: float | None) -> None:
        """Forget parts that have passed their line, because every later question about them has the answer "late"."""
        if reached is not None and self._lines and self._lines[0] <= reached:
            passed = bisect_right(self._lines, reached)
            for part in self._parts[:passed]:
                self._learn_span(part.latest_ns - part.since_ns)
            self._owed -= sum(part.owed for part in self._parts[:passed])
            del self._lines[:passed], self._parts[:passed]
        if now_ns - self._swept_ns > _SWEEP_NS:
            self._swept_ns = now_ns
            self._parts = [part for part in self._parts if part.since_ns >= now_ns - _REMEMBERED_NS]
            self._lines = [part.decide_by for part in self._parts]
            self._owed = sum(part.owed for part in self._parts)


def _late(reached: float | None, decide_by: float) -> bool:
    return reached is not None and reached >= decide_by
