"""Decides which parts the model looks at when it has no time for all of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# limit for parts that never pass their line, if the belt stands still or its positions start over
_REMEMBERED_NS = 10_000_000_000
# the learned delay to the judge rises fast and falls slowly, so it stays near the slow cases
_RISES, _SINKS = 0.3, 0.03


@dataclass(slots=True)
class _Part:
    """`owed`: frames of the part that the model has not seen yet, including frames that were not captured yet."""

    decide_by: float
    since_ns: int
    owed: int
    refused: bool = False

    def give_up(self) -> None:
        """Refuse the rest of the part."""
        self.refused, self.owed = True, 0


class Admission:
    """Shared by the threads that queue frames, the threads that infer them, and the thread that judges parts.

    An overloaded station that always serves the most urgent frame finishes every frame slightly too late and sees no
    part whole. Therefore a part is accepted or refused as a whole, with its first frame. A part is refused if, after
    the work already accepted, its frames could not be inferred before its decision line. If nothing is queued ahead of
    it, it is always tried.

    All views of a part have the same decision line. `tolerance` is how far their values of it may differ.
    `foreseen(now_ns, at_ns)` is the expected belt position at `at_ns`, or None if it is unknown. `views()` is the
    number of frames that a part needs. `views` is None if a part may pass without being seen whole: then each frame
    counts by itself.
    """

    def __init__(
        self,
        foreseen: Callable[[int, int], float | None],
        tolerance: float,
        workers: int,
        views: Callable[[], int] | None,
    ) -> None:
        self._foreseen = foreseen
        self._tolerance = tolerance
        self._workers = workers
        self._views = views
        self._lock = threading.Lock()
        self._frame_ns = 0.0
        self._to_judge_ns = 0.0
        self._parts: list[_Part] = []

    def accepts(self, decide_by: float, now_ns: int) -> bool:
        """Whether a frame that just arrived should be inferred. The first frame of a part decides for all of it."""
        with self._lock:
            reached = self._forget(now_ns)
            part = self._find(decide_by) if self._views else None
            if part is None:
                part = _Part(decide_by, now_ns, self._views() if self._views else 1)
                before = sum(other.owed for other in self._parts if other.decide_by <= decide_by)
                if _late(reached, decide_by) or (before and self._hopeless(part, before, now_ns)):
                    part.give_up()
                self._parts.append(part)
            return not part.refused

    def still_accepts(self, decide_by: float, now_ns: int) -> bool:
        """Whether a frame that is about to be inferred is still useful. If not, the whole part is given up."""
        with self._lock:
            reached = self._forget(now_ns)
            part = self._find(decide_by)
            if part is None:
                return not _late(reached, decide_by)
            others = any(other.owed for other in self._parts if other is not part)
            if others and self._hopeless(part, 0, now_ns):
                part.give_up()
            return not part.refused

    def spared(self, decide_by: float) -> None:
        """An accepted frame is not worth inferring. Its part owes one frame less."""
        with self._lock:
            self._settle(decide_by)

    def refuse(self, decide_by: float) -> None:
        """This part will not be seen whole, so its other frames need not be inferred."""
        with self._lock:
            part = self._find(decide_by)
            if part is not None:
                part.give_up()

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

    def _hopeless(self, part: _Part, before: int, now_ns: int) -> bool:
        calls = -(-(before + part.owed) // self._workers)
        return _late(self._foreseen(now_ns, now_ns + int(calls * self._frame_ns + self._to_judge_ns)), part.decide_by)

    def _settle(self, decide_by: float) -> None:
        part = self._find(decide_by)
        if part is not None:
            part.owed = max(0, part.owed - 1)

    def _find(self, decide_by: float) -> _Part | None:
        near = (part for part in self._parts if abs(part.decide_by - decide_by) <= self._tolerance)
        return max(near, key=lambda part: part.owed, default=None)

    def _forget(self, now_ns: int) -> float | None:
        """Forget parts that have passed their line, because every later question about them has the answer "late"."""
        reached, oldest = self._foreseen(now_ns, now_ns), now_ns - _REMEMBERED_NS
        self._parts = [part for part in self._parts if part.since_ns >= oldest and not _late(reached, part.decide_by)]
        return reached


def _late(reached: float | None, decide_by: float) -> bool:
    return reached is not None and reached >= decide_by
