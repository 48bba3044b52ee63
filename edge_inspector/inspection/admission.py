"""Which frames are worth the model's time, when there is not enough of it for all."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

_REMEMBERED_NS = 10_000_000_000  # a part is past the gate long before


class Admission:
    """Shared by the threads that queue frames and those that infer them.

    Serving whatever is due first, and nothing else, lets an overloaded station finish a little of every part and the
    whole of none. So a frame that the queue ahead of it would make late is refused at once, and with it the other
    views of its part, where a part that was not seen whole is rejected anyway (`whole_parts`).

    All views of a part are to be decided by the same belt position; `tolerance` is how far these may differ.
    `estimate(at_ns)` is the likely belt position, None while there is none.
    """

    def __init__(
        self, estimate: Callable[[int], float | None], tolerance: float, workers: int, *, whole_parts: bool
    ) -> None:
        self._estimate = estimate
        self._tolerance = tolerance
        self._workers = workers
        self._whole_parts = whole_parts
        self._lock = threading.Lock()
        self._frame_ns = 0.0
        self._refused: deque[tuple[int, float]] = deque()

    def worth(self, decide_by: float, ahead: int, now_ns: int) -> bool:
        """Whether a frame with so many ahead of it can still be inferred before its part must be decided."""
        with self._lock:
            if self._is_refused(decide_by, now_ns):
                return False
            wait_ns = int((ahead // self._workers + 1) * self._frame_ns)
        reached = self._estimate(now_ns + wait_ns)
        if reached is None or reached < decide_by:
            return True
        if ahead == 0:
            with self._lock:
                # One slow call must not condemn every later frame: what is never tried is never measured again.
                self._frame_ns *= 0.8
        self.refuse(decide_by, now_ns)
        return False

    def refuse(self, decide_by: float, now_ns: int) -> None:
        """This part will not be seen whole: its other frames need not be looked at."""
        if self._whole_parts:
            with self._lock:
                self._refused.append((now_ns, decide_by))

    def took(self, frames: int, call_ns: int) -> None:
        """Learn what a frame costs from a call of the model."""
        with self._lock:
            self._frame_ns += 0.1 * (call_ns / frames - self._frame_ns)

    def _is_refused(self, decide_by: float, now_ns: int) -> bool:
        while self._refused and self._refused[0][0] < now_ns - _REMEMBERED_NS:
            self._refused.popleft()
        return any(abs(refused - decide_by) <= self._tolerance for _, refused in self._refused)
