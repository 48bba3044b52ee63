"""How a PLC fires a camera by count. It does what deploy/plc/EI_CameraFire.scl does."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edge_inspector.plc.blocks import wrap32

_PARTS = 32
OUTPUTS = 8  # camera_fire[1..8] of the simulated PLC


@dataclass(slots=True)
class _Approaching:
    """A part on its way to the camera: the count of its next picture, and how many are left."""

    due: int
    left: int


class CameraFire:
    """Takes edges at the photo-eye, and says in each scan whether the camera must fire.

    `counts` is the way from the photo-eye to the first of the `pictures`, and `between` the way from one to the next.
    Both are negative for a counter that falls.
    """

    def __init__(self, counts: int, pictures: int = 1, between: int = 0) -> None:
        self._counts = counts
        self._pictures = pictures
        self._between = between
        self._waiting: deque[_Approaching] = deque()
        self.missed = 0

    def photo_eye(self, count: int) -> None:
        """A leading edge, latched at `count`."""
        if len(self._waiting) == _PARTS:
            self.missed += 1
        else:
            self._waiting.append(_Approaching(wrap32(count + self._counts), self._pictures))

    def scan(self, count: int) -> int | None:
        """The count at which a picture was due, if it must be taken now."""
        if not self._waiting:
            return None
        part = self._waiting[0]
        past = wrap32(count - part.due) if self._counts >= 0 else wrap32(part.due - count)
        if past < 0:
            return None
        due, part.left = part.due, part.left - 1
        part.due = wrap32(part.due + self._between)
        if not part.left:
            self._waiting.popleft()
        return due

    @property
    def next_count(self) -> int | None:
        """The nearest count ahead at which the camera must fire, for a hardware compare."""
        return self._waiting[0].due if self._waiting else None


class CameraOutputs:
    """The outputs camera_fire[1..8]: an instance of the block for each camera, and all take the same photo-eye.

    `counts` is the way from the photo-eye to each camera's picture. More than eight are refused with ValueError.
    """

    def __init__(self, counts: Sequence[int]) -> None:
        if len(counts) > OUTPUTS:
            raise ValueError(f"{len(counts)} cameras: the PLC has {OUTPUTS} outputs")
        self._outputs = [CameraFire(each) for each in counts]

    def photo_eye(self, count: int) -> None:
        """A leading edge, latched at `count`."""
        for output in self._outputs:
            output.photo_eye(count)

    def scan(self, count: int) -> Iterator[tuple[int, int]]:
        """The outputs that are on in this scan, from 0, and the count at which each was due."""
        for number, output in enumerate(self._outputs):
            if (due := output.scan(count)) is not None:
                yield number, due
