"""Which parts are worth the model's time, when there is not enough of it for all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_REMEMBERED_NS = 10_000_000_000  # if the belt stands still or its positions begin anew
_RISES, _SINKS = 0.3, 0.03  # what is learned of the way to the judge is nearer to the slow ones


@dataclass(slots=True)
class _Part:
    """`owed` is how many of its frames the model has yet to see, those that the cameras have yet to take included."""

    decide_by: float
    since_ns: int
    owed: int
    refused: bool = False

    def give_up(self) -> None:
        """Nothing of it is worth looking at any more."""
        self.refused, self.owed = True, 0


class Admission:
    """Shared by the threads that queue frames, those that infer them, and the one that judges them.

    Serving whatever is due first, and nothing else, lets an overloaded station finish each frame a moment too late, and
    a little of every part. So a part is taken on as a whole, with its first frame, or refused as a whole: when it could
    not be seen before it must be decided, after all that was taken on before it. With nothing before it, it is tried.

    All views of a part are to be decided by the same belt position; `tolerance` is how far these may differ.
    `foreseen(now_ns, at_ns)` is the belt position that will be believed at `at_ns`, None while there is none. `views()`
    is how many frames a part needs; None where a part not seen whole may pass, so that each frame counts by itself.
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
        """Whether this frame, just come, shall be inferred: the first of a part decides for all."""
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
        """Whether this frame, about to be inferred, can still be of use; the part is given up when it is not."""
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
        """An accepted frame is not worth inferring: less is owed."""
        with self._lock:
            self._settle(decide_by)

    def refuse(self, decide_by: float) -> None:
        """This part will not be seen whole: its other frames need not be looked at."""
        with self._lock:
            part = self._find(decide_by)
            if part is not None:
                part.give_up()

    def took(self, decide_by: Sequence[float], call_ns: int) -> None:
        """Frames with these lines were inferred in one call: less is owed, and what a frame costs is learned."""
        with self._lock:
            self._frame_ns += 0.1 * (call_ns / len(decide_by) - self._frame_ns)
            for each in decide_by:
                self._settle(each)

    def judged(self, after_ns: int) -> None:
        """A view reached the judge so long after the model was done with it."""
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
        """Nobody asks any more for what the belt has carried past its line, or only to hear that it is late."""
        reached, oldest = self._foreseen(now_ns, now_ns), now_ns - _REMEMBERED_NS
        self._parts = [part for part in self._parts if part.since_ns >= oldest and not _late(reached, part.decide_by)]
        return reached


def _late(reached: float | None, decide_by: float) -> bool:
    return reached is not None and reached >= decide_by
