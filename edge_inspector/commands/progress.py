"""How far a long command is, on stderr."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Final, Self, TypeVar

T = TypeVar("T")

EVERY_S: Final = 5.0


class Progress:
    """Says every five seconds how far the command is, also while a single step takes longer. Use it with `with`."""

    def __init__(self) -> None:
        self._doing, self._of, self._done = "", 0, 0
        self._begun_s = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._tell, name="progress")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def begin(self, doing: str, of: int = 0) -> None:
        """Say what begins now. `of` is how many items it has, if they are counted."""
        self._doing, self._of, self._done, self._begun_s = doing, of, 0, time.monotonic()
        print(f"{doing} ...", file=sys.stderr, flush=True)

    def counted(self, items: Iterable[T], most_s: float = float("inf")) -> Iterator[T]:
        """The same items, counted. After `most_s` seconds there is no further one, but always a first one."""
        for done, item in enumerate(items):
            self._done = done
            if done and time.monotonic() - self._begun_s >= most_s:
                return
            yield item

    def line(self) -> str:
        """How far it is now."""
        done, of, took_s = self._done, self._of, time.monotonic() - self._begun_s
        if not of:
            return f"  {self._doing}, {took_s:.0f} s"
        left = f", about {(of - done) * took_s / done:.0f} s more" if done else ""
        return f"  {done} of {of}, {took_s:.0f} s{left}"

    def _tell(self) -> None:
        while not self._over.wait(EVERY_S):
            print(self.line(), file=sys.stderr, flush=True)
