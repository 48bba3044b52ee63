"""Bounded hand-over between threads. Every item is either delivered or handed back."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable
from itertools import count
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Items in order of `key`, smallest first. Without a key they are in order of arrival.

    A full mailbox returns the item with the largest key to the sender, which must answer for it.
    """

    def __init__(self, name: str, capacity: int, key: Callable[[T], Any] | None = None) -> None:
        self.name = name
        self.capacity = capacity
        self._key = key
        self._arrivals = count()
        self._heap: list[tuple[Any, int, T]] = []
        self._ready = threading.Condition()

    def __len__(self) -> int:
        return len(self._heap)

    def put(self, item: T) -> T | None:
        """Hand `item` over. Returns the item that found no room, which may be `item` itself, or None."""
        with self._ready:
            arrival = next(self._arrivals)
            entry = (self._key(item) if self._key else arrival, arrival, item)
            evicted = None
            if len(self._heap) >= self.capacity:
                if self._key is None:
                    return item
                worst = max(self._heap, key=_rank)
                if _rank(entry) >= _rank(worst):
                    return item
                self._heap.remove(worst)
                heapq.heapify(self._heap)
                evicted = worst[2]
            heapq.heappush(self._heap, entry)
            self._ready.notify()
            return evicted

    def get(self, timeout_s: float) -> T | None:
        """The first item. None if none arrived within `timeout_s`."""
        items = self.take(1, timeout_s)
        return items[0] if items else None

    def take(self, limit: int, timeout_s: float) -> list[T]:
        """Up to `limit` items in order, waiting at most `timeout_s` for the first one."""
        until = time.monotonic() + timeout_s
        with self._ready:
            while not self._heap:
                left = until - time.monotonic()
                if left <= 0 or not self._ready.wait(left):
                    break
            return [heapq.heappop(self._heap)[2] for _ in range(min(limit, len(self._heap)))]


def _rank(entry: tuple[Any, int, Any]) -> tuple[Any, int]:
    return entry[0], entry[1]
