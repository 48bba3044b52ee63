"""Turns a camera's own frame numbers into numbers that never wrap or start over."""

from __future__ import annotations


class FrameIds:
    """Numbers continue when the camera is reopened. `missed` counts the gaps since `begin`."""

    def __init__(self) -> None:
        self.missed = 0
        self._last = 0
        self._device_id: int | None = None
        self._unnumbered = 0

    def begin(self) -> None:
        """The camera was opened. The first number after that proves no gap."""
        self.missed = self._unnumbered = 0
        self._device_id = None

    def next(self, device_id: int) -> int:
        """The number of the frame that has the camera's number `device_id`, which is 0 if it was lost."""
        gap = max(0, frames_between(self._device_id, device_id) - self._unnumbered)
        # A frame without its number leaves a gap in the numbers, but was not missed.
        self._unnumbered = 0 if device_id else self._unnumbered + 1
        self.missed += gap
        self._device_id = device_id or self._device_id
        self._last += 1 + gap
        return self._last


def frames_between(before: int | None, after: int) -> int:
    """How many numbers lie between the numbers of two frames.

    The numbers have 16 bits (without 0) or 64. The result is 0 if it is unknown. This is so at the first frame, and for
    a damaged frame whose number was lost (0, or an old one).
    """
    if before is None or after in (0, before):
        return 0
    if after > before:
        return after - before - 1
    lost = (after - before) % 0xFFFF - 1 if before <= 0xFFFF else 0
    # A step back by less than half the numbers is no wrap. The camera has started to count again.
    return lost if lost < 0x8000 else 0
