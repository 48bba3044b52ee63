"""Spreads the windows of large frames over all of the model's cores. The frame that is due first is finished first."""

from __future__ import annotations

import threading
from bisect import insort
from collections import deque
from collections.abc import Callable, Sequence

from edge_inspector.drivers import Due
from edge_inspector.runtime.realtime import go_behind, name_thread

Work = Callable[[], None]
_IDLE_S = 0.5  # a thread without work for this long ends, so that a command that forgets to close the model ends, too
_LAST_WINDOW_S = 1.0  # a runtime that hangs must not keep the daemon from ending


class _SpreadCall:
    """The work of one call. `left` parts of it are not done yet."""

    def __init__(self, parts: Sequence[Work], due: Due) -> None:
        self.due = due
        self.waiting = deque(parts)
        self.left = len(parts)
        self.error: Exception | None = None
        self.left_out = False

    def do(self, work: Work) -> None:
        """Do one part of it, if the result is still wanted."""
        if not self.left_out and self.due.wanted():
            work()
        else:
            self.left_out = True

    def end(self) -> None:
        """What was not begun yet is not worth anything any more."""
        self.left -= len(self.waiting)
        self.waiting.clear()


class Spread:
    """Runs at most `workers` parts of work at the same time, in the threads that call it and in threads of its own.

    Those of its own only help where a core would have nothing to do, so there is one fewer than `workers`.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._calls: list[_SpreadCall] = []
        self._workers = 1
        self._busy = 0
        self._helpers: list[threading.Thread] = []
        self._is_over = False

    def run(self, parts: Sequence[Work], workers: int, due: Due) -> bool:
        """Do all `parts`, which must be independent. Raises the first exception of any of them.

        False if some were left out, because they were not wanted any more.
        """
        call = _SpreadCall(parts, due)
        with self._changed:
            self._is_over, self._workers = False, workers
            insort(self._calls, call, key=_by)
            self._start_helpers(min(workers, len(parts)) - 1)
            self._changed.notify_all()
        while self._do_one(call):
            pass
        if call.error is not None:
            raise call.error
        return not call.left_out

    def close(self) -> None:
        """End the threads. The next `run` starts them again."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
            helpers, self._helpers = self._helpers, []
        for helper in helpers:
            helper.join(_LAST_WINDOW_S)

    def _start_helpers(self, count: int) -> None:
        while len(self._helpers) < count:
            helper = threading.Thread(target=self._help, name=f"window-{len(self._helpers)}")
            self._helpers.append(helper)
            helper.start()

    def _help(self) -> None:
        name_thread(threading.current_thread().name)
        go_behind()
        while self._do_one(None):
            pass

    def _do_one(self, own: _SpreadCall | None) -> bool:
        """Do the next part of anybody's work. False if there is nothing more to do for this thread."""
        taken = self._next(own)
        if taken is None:
            return False
        call, work = taken
        error = None
        try:
            call.do(work)
        except Exception as caught:  # noqa: BLE001 -- the thread that called `run` raises it again
            error = caught
        with self._changed:
            self._busy -= 1
            call.left -= 1
            call.error = call.error or error
            if call.error is not None or call.left_out:
                call.end()
            if not call.left:
                self._calls.remove(call)
                self._changed.notify_all()
        return True

    def _next(self, own: _SpreadCall | None) -> tuple[_SpreadCall, Work] | None:
        idle = False
        with self._changed:
            while not (self._is_over if own is None else not own.left):
                found = next((call for call in self._calls if call.waiting), None)
                if found is not None and self._busy < self._workers:
                    self._busy += 1
                    return found, found.waiting.popleft()
                if idle and own is None and found is None:
                    break
                idle = not self._changed.wait(_IDLE_S)
            # A thread that has done a part takes the next one itself. Only one that leaves makes room for another.
            if any(call.waiting for call in self._calls):
                self._changed.notify_all()
            if own is None and (me := threading.current_thread()) in self._helpers:
                self._helpers.remove(me)
            return None


def _by(call: _SpreadCall) -> float:
    return call.due.by
