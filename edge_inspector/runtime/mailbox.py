"""Bounded hand-over between threads. Every item is either delivered or handed back."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable
from itertools import count
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

T = TypeVar("T")


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
        self._heap: list[tuple[Any, int, T]] = []
        self._lock = threading.Lock()
        self._waiting = 0
        self._tokens: SimpleQueue[None] = SimpleQueue()

    def __len__(self) -> int:
        return len(self._heap)

    def put(self, item: T, *, wake: bool = True) -> T | None:
        """Hand `item` over. Returns the item that found no room, which may be `item` itself, or None.

        Without `wake` a reader that waits gets it with the next item, or at the end of its wait. Waking a thread costs
        more than most items do.
        """
        key, evicted = self._key(item) if self._key else 0, None
        with self._lock:
            heap, arrival = self._heap, next(self._arrivals)
            entry = (key if self._key else arrival, arrival, item)
            if len(heap) >= self.capacity:
                if self._key is None:
                    return item
                worst = max(heap, key=_rank)
                if _rank(entry) >= _rank(worst):
                    return item
                heap.remove(worst)
                heapq.heapify(heap)
                evicted = worst[2]
            heapq.heappush(heap, entry)
            if wake and self._waiting:
                self._waiting -= 1
                self._tokens.put(None)
        return evicted

    def get(self, timeout_s: float) -> T | None:
        """The first item. None if none arrived within `timeout_s`."""
        items = self.take(1, timeout_s)
        return items[0] if items else None

    def take(self, limit: int, timeout_s: float) -> list[T]:
        """Up to `limit` items in order, waiting at most `timeout_s` for the first one."""
        until = 0.0
        while True:
            with self._lock:
                heap = self._heap
                if heap:
                    return [heapq.heappop(heap)[2] for _ in range(min(limit, len(heap)))]
                if timeout_s <= 0:
                    return []
                self._waiting += 1
            now = time.monotonic()
            until = until or now + timeout_s
            try:
                self._tokens.get(timeout=max(0.0, until - now))
            except Empty:
                self._give_up()
            timeout_s = until - time.monotonic()

    def _give_up(self) -> None:
        """This reader waits no longer. If its token came meanwhile, it takes it along."""
        with self._lock:
            if self._waiting:
                self._waiting -= 1
            else:
                self._tokens.get_nowait()


def _rank(entry: tuple[Any, int, Any]) -> tuple[Any, int]:
    return entry[0], entry[1]
