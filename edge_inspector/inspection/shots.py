"""Several pictures of one part by one camera: which of them a picture is."""

from __future__ import annotations

from collections.abc import Sequence


class Shots:
    """Names the pictures of a camera that is triggered several times for each part. One thread calls it.

    `names` are the views in the order of the pictures, and `offsets` the counts from the photo-eye to each. Pictures
    that are more than `apart` counts from each other are told apart by the belt's position, others by their order. The
    next part is at least `pitch` counts behind.

    A wrong name is harmless: the judge compares each picture's position with that of its name, and accepts a part only
    if it has every name once.
    """

    def __init__(self, names: Sequence[str], offsets: Sequence[int], *, apart: float, pitch: float) -> None:
        self._names = names
        self._ways = [offset - offsets[0] for offset in offsets]
        self._apart = apart
        # Half of the gap between the last picture of a part and the first of the next one.
        self._gap = (pitch - self._ways[-1]) / 2
        self._first: float | None = None
        self._next = 0

    def name(self, count: float | None) -> str:
        """The view that a picture is, which was taken at this count. None: the position of the belt is not known."""
        if count is None:
            self._first = None
            return self._names[0]
        if self._first is None or not -self._gap <= count - self._first <= self._ways[-1] + self._gap:
            self._first, self._next = count, 0
        at = self._next
        while at + 1 < len(self._names) and self._is_beyond(at, count - self._first):
            at += 1
        self._next = at + 1
        return self._names[min(at, len(self._names) - 1)]

    def _is_beyond(self, at: int, along: float) -> bool:
        """Whether a picture this far behind the first one is nearer to the place of the next shot."""
        here, there = self._ways[at], self._ways[at + 1]
        return there - here > self._apart and along > (here + there) / 2
