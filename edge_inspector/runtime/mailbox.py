"""Bounded hand-over between threads. Every item is either delivered or handed back."""

from __future__ import annotations

import heapq
import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import count
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

T = TypeVar("T")
_ITEM, _NUDGE = False, True  # tokens: something has come, or the reader shall look at something else


class Mailbox(Generic[T]):
    """Items in order of `key`, smallest first. Without a key they are in order of arrival.

    A full mailbox returns the item with the largest key to the sender, which must answer for it.

    The lock is held for a few operations and never while a thread waits. A reader that waits is woken by a token in
    `_tokens`. `threading.Condition` would do the same, with a lock for each wait and far more time in the interpreter.
    """

    def __init__(self, name: str, capacity: int, key: Callable[[T], Any] | None = None) -> None:
        self.name = name
        self.capacity = capacity
        self._key = key
        self._arrivals = count()
        self._heap: list[tuple[Any, int, T]] = []  # with a key
        self._queue: deque[T] = deque()  # without one
        self._lock = threading.Lock()
        self._waiting = 0
        self._tokens: SimpleQueue[bool] = SimpleQueue()

    def __len__(self) -> int:
        return len(self._queue) if self._key is None else len(self._heap)

    def put(self, item: T, *, wake: bool = True) -> T | None:
        """Hand `item` over. Returns the item that found no room, which may be `item` itself, or None.

        Without `wake` a reader that waits gets it with the next item, or at the end of its wait. Waking a thread costs
        more than most items do.
        """
        evicted = None
        with self._lock:
            if self._key is None:
                if len(self._queue) >= self.capacity:
                    return item
                self._queue.append(item)
            else:
                evicted = self._push(item, self._key(item))
                if evicted is item:
                    return item
            if wake and self._waiting:
                self._waiting -= 1
                self._tokens.put(_ITEM)
        return evicted

    def nudge(self) -> None:
        """Let a reader that waits return at once, with nothing if nothing has come."""
        if self._waiting:
            with self._lock:
                if self._waiting:
                    self._waiting -= 1
                    self._tokens.put(_NUDGE)

    def get(self, timeout_s: float) -> T | None:
        """The first item. None if none arrived within `timeout_s`."""
        items = self.take(1, timeout_s)
        return items[0] if items else None

    def take(self, limit: int, timeout_s: float) -> list[T]:
        """Up to `limit` items in order, waiting at most `timeout_s` for the first one."""
        until = 0.0
        while True:
            with self._lock:
                queue, heap = self._queue, self._heap
                if queue:
                    return [queue.popleft() for _ in range(min(limit, len(queue)))]
                if heap:
                    return [heapq.heappop(heap)[2] for _ in range(min(limit, len(heap)))]
                if timeout_s <= 0:
                    return []
                self._waiting += 1
            now = time.monotonic()
            until = until or now + timeout_s
            try:
                nudged = self._tokens.get(timeout=max(0.0, until - now))
            except Empty:
                nudged = False
                self._give_up()
            timeout_s = 0.0 if nudged else until - time.monotonic()

    def _push(self, item: T, key: Any) -> T | None:
        """The item that found no room in the heap, which may be `item` itself."""
        heap, arrival = self._heap, next(self._arrivals)
        entry, evicted = (key, arrival, item), None
        if len(heap) >= self.capacity:
            worst = max(heap, key=_rank)
            if _rank(entry) >= _rank(worst):
                return item
            heap.remove(worst)
            heapq.heapify(heap)
            evicted = worst[2]
        heapq.heappush(heap, entry)
        return evicted

    def _give_up(self) -> None:
        """This reader waits no longer. If its token came meanwhile, it takes it along."""
        with self._lock:
            if self._waiting:
                self._waiting -= 1
            else:
                self._tokens.get_nowait()


def _rank(entry: tuple[Any, int, Any]) -> tuple[Any, int]:
    return entry[0], entry[1]
