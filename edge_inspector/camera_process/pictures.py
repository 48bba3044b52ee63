"""Memory for pictures that two processes share. It has no name, so it is gone as soon as both have ended.

The camera's process makes segments of a few slots, one picture each, and sends their file descriptors. The first page
of a segment has one byte for each slot, its state:

| state | who sets it | meaning |
|---|---|---|
| FREE | the station | nobody refers to the picture any more |
| SENT | the camera's process | the picture is on its way |
| HELD | the station | the picture was received |
"""

from __future__ import annotations

import mmap
import os
import sys
from typing import Final

import numpy as np

from edge_inspector.records import Image

FREE, SENT, HELD = range(3)
SLOTS: Final = 16  # of one segment
_HEAD: Final = mmap.PAGESIZE
_ALIGN: Final = 64
_SEGMENTS_MAX: Final = 32
_UNREAD_MAX: Final = 16  # a camera's driver keeps about as many pictures for a slow reader
_UNHELD: Final = 2  # references: one of the list, and one of the call that counts them


class SharedSlots:
    """One piece of shared memory, mapped into this process. Its file descriptor may be closed afterwards."""

    def __init__(self, descriptor: int, slot_bytes: int) -> None:
        self.slot_bytes = slot_bytes
        room = mmap.mmap(descriptor, _size(slot_bytes))
        self.states = np.frombuffer(room, np.uint8, SLOTS)
        stride = _stride(slot_bytes)
        self.slots = [np.frombuffer(room, np.uint8, slot_bytes, _HEAD + at * stride) for at in range(SLOTS)]


class Sender:
    """The side of the camera's process."""

    def __init__(self) -> None:
        self._segments: list[SharedSlots] = []

    def slot(self, size: int) -> tuple[int, Image] | None:
        """A free slot, or None if more room is needed. Raises BufferError if the station does not keep up."""
        if self._segments and self._segments[0].slot_bytes != size:
            self._segments.clear()  # the station still has those that it needs
        if sum(int((segment.states == SENT).sum()) for segment in self._segments) >= _UNREAD_MAX:
            raise BufferError("the station does not take the pictures")
        for number, segment in enumerate(self._segments):
            free = np.flatnonzero(segment.states == FREE)
            if free.size:
                return number * SLOTS + int(free[0]), segment.slots[free[0]]
        if len(self._segments) >= _SEGMENTS_MAX:
            raise BufferError("the station keeps all pictures")
        return None

    def grow(self, size: int) -> tuple[int, int]:
        """Make another segment. Returns its number and its file descriptor, which the caller closes."""
        descriptor = os.memfd_create("edge-inspector pictures", os.MFD_CLOEXEC)
        os.ftruncate(descriptor, _size(size))
        self._segments.append(SharedSlots(descriptor, size))
        return len(self._segments) - 1, descriptor

    def sent(self, slot: int) -> None:
        """The slot belongs to the station until it says FREE."""
        self._segments[slot // SLOTS].states[slot % SLOTS] = SENT


class Receiver:
    """The station's side."""

    def __init__(self) -> None:
        self._segments: list[SharedSlots] = []

    def add(self, number: int, descriptor: int, size: int) -> None:
        """Map a new segment. The first one of another size takes the place of all earlier ones.

        Pictures that are still in use keep their memory. Raises ValueError if the file is smaller than that.
        """
        if os.fstat(descriptor).st_size < _size(size):
            raise ValueError("the shared memory is smaller than its pictures")
        if number == 0:
            self._segments.clear()
        if number != len(self._segments) or number >= _SEGMENTS_MAX:
            raise ValueError("a segment of shared memory is missing")
        self._segments.append(SharedSlots(descriptor, size))

    def picture(self, slot: int, shape: tuple[int, ...]) -> Image:
        """The picture in this slot. It belongs to everyone who refers to it. Raises ValueError if there is none."""
        if not 0 <= slot < len(self._segments) * SLOTS:
            raise ValueError(f"there is no slot {slot}")
        segment = self._segments[slot // SLOTS]
        segment.states[slot % SLOTS] = HELD
        return segment.slots[slot % SLOTS].reshape(shape)

    def release(self) -> None:
        """Give back the slots to whose pictures nobody refers any more."""
        for segment in self._segments:
            held = np.flatnonzero(segment.states == HELD)
            for at in held.tolist():
                if sys.getrefcount(segment.slots[at]) <= _UNHELD:
                    segment.states[at] = FREE


def _stride(slot_bytes: int) -> int:
    return -(-slot_bytes // _ALIGN) * _ALIGN


def _size(slot_bytes: int) -> int:
    return _HEAD + SLOTS * _stride(slot_bytes)
