"""A camera's own frame numbers as ones that never wrap or start anew."""

from __future__ import annotations


class FrameIds:
    """Goes on over reopenings of the camera; `missed` counts the gaps since `begin`."""

    def __init__(self) -> None:
        self.missed = 0
        self._last = 0
        self._device_id: int | None = None
        self._unnumbered = 0

    def begin(self) -> None:
        """The camera was opened: what its first number follows is not known."""
        self.missed = self._unnumbered = 0
        self._device_id = None

    def next(self, device_id: int) -> int:
        """The number of the frame that the camera numbered so; 0 for one whose number was lost."""
        gap = max(0, frames_between(self._device_id, device_id) - self._unnumbered)
        # One that came without its number leaves a gap in the numbers, but was not missed.
        self._unnumbered = 0 if device_id else self._unnumbered + 1
        self.missed += gap
        self._device_id = device_id or self._device_id
        self._last += 1 + gap
        return self._last


def frames_between(before: int | None, after: int) -> int:
    """How many numbers lie between two frames' numbers, of 16 bits (where 0 is left out) or of 64.

    0 where it cannot be told: at the first frame, and for a damaged one whose number (0, or an old one) was lost.
    """
    if before is None or after in (0, before):
        return 0
    if after > before:
        return after - before - 1
    lost = (after - before) % 0xFFFF - 1 if before <= 0xFFFF else 0
    # A step back by less than half the numbers is no wrap: the camera began to count anew.
    return lost if lost < 0x8000 else 0
