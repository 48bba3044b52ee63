"""What passes under one simulated lens, when, and what the encoder counts meanwhile."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from edge_inspector.records import Image
from edge_inspector.simulation.line import Line

_LOOKED_THROUGH: Final = 400


class Scene:
    """One lane of the line, seen at `offset_mm` behind the photo-eye. The sensor is as large as the largest picture."""

    def __init__(self, line: Line, lane: int, offset_mm: float, boot: int) -> None:
        self._line = line
        self._lane = lane
        self._offset_mm = offset_mm
        self.boot = boot  # counts up with the PLC: the encoder's counter is zeroed with it
        # Rendered parts are all of one size; pictures from a folder are looked through.
        parts = range(min(line.parts, _LOOKED_THROUGH) if line.frames else 1)
        seen = [picture.shape for picture in (line.look.render(part, lane) for part in parts) if picture is not None]
        self.height = _up_to(2, max((shape[0] for shape in seen), default=256))
        self.width = _up_to(4, max((shape[1] for shape in seen), default=256))

    def next_part(self, after_ns: int) -> int | None:
        """The first part that comes under the lens after this instant; None after the last one."""
        moved_mm = self._line.belt.position_mm(after_ns) - self._offset_mm
        # Parts lie at most 4 % off the pitch, so that the search can start a little before.
        guess = max(0, int((moved_mm - self._line.eye_mm(0)) / self._line.pitch_mm) - 2)
        return next((part for part in range(guess, self._line.parts) if self._line.eye_mm(part) > moved_mm), None)

    def passes_ns(self, part: int) -> int:
        """When the part is at its place under the lens."""
        return self._line.belt.time_at(self._line.eye_mm(part) + self._offset_mm)

    def count(self, at_ns: int) -> int:
        """The 32-bit encoder counter, signed as the PLC's."""
        return self._line.raw_count(self._line.belt.position_mm(at_ns), self._line.counter_zero(self.boot))

    def picture(self, part: int) -> Image | None:
        """The part, cut to the sensor's size; a smaller picture stays small, as its frame's leader can tell."""
        found = self._line.look.render(part % self._line.parts, self._lane)
        return None if found is None else found[: self.height, : self.width]


def mono(picture: Image) -> Image:
    """As Mono8."""
    return picture if picture.ndim == 2 else np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)


def bayer_rg(picture: Image) -> Image:
    """As BayerRG8: red, green / green, blue."""
    if picture.ndim == 2:
        return picture
    mosaic = picture[:, :, 1].copy()
    mosaic[0::2, 0::2] = picture[0::2, 0::2, 2]
    mosaic[1::2, 1::2] = picture[1::2, 1::2, 0]
    return mosaic


def _up_to(step: int, size: int) -> int:
    return -(-size // step) * step
