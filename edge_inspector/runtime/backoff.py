"""When to try a device again: soon at first, then ever more rarely, with random jitter."""

from __future__ import annotations

import random
import time


class Backoff:
    """Waits that double from `first_s` to `longest_s`, with jitter."""

    def __init__(self, first_s: float, longest_s: float) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._wait_s = first_s
        self._next_ns = 0

    def due(self, wait_s: float) -> bool:
        """Whether to try now. It sleeps up to `wait_s` before that, so that a loop around it does not spin."""
        left_s = self.left_s
        if left_s > 0:
            time.sleep(min(left_s, wait_s))
        return time.monotonic_ns() >= self._next_ns

    @property
    def left_s(self) -> float:
        """How long to wait until the next try. For callers that wait for something else, too."""
        return max(0.0, (self._next_ns - time.monotonic_ns()) / 1e9)

    def failed(self) -> None:
        """The try failed, so the next wait is longer."""
        self._next_ns = time.monotonic_ns() + int(self._wait_s * random.uniform(0.75, 1.25) * 1e9)
        self._wait_s = min(self._longest_s, self._wait_s * 2)

    def succeeded(self) -> None:
        """The try succeeded. Start again with short waits."""
        self._wait_s = self._first_s
        self._next_ns = 0
