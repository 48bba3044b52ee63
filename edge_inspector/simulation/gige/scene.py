"""The scene of one simulated camera: which part is under the lens when, and the encoder's count."""

from __future__ import annotations

from typing import Final

import numpy as np

from edge_inspector.records import Image
from edge_inspector.simulation.line import Line
from edge_inspector.simulation.tiles import MM_PER_PX

_LOOKED_THROUGH: Final = 400
_MM_PER_ROW: Final = {True: 0.2, False: MM_PER_PX}  # of pictures from a folder, and of rendered ones


class SimulatedScene:
    """One lane of the line, seen at `offset_mm` after the photo-eye. The sensor is as large as the largest picture."""

    def __init__(self, line: Line, lane: int, offset_mm: float, boot: int) -> None:
        self._line = line
        self._lane = lane
        self._offset_mm = offset_mm
        self.boot = boot  # counts up with the PLC, because the encoder's counter restarts with it
        # Rendered parts all have one size. Pictures from a folder can differ, so all are checked.
        parts = range(min(line.parts, _LOOKED_THROUGH) if line.frames else 1)
        seen = [picture.shape for picture in (line.look.render(part, lane) for part in parts) if picture is not None]
        self.height = _up_to(2, max((shape[0] for shape in seen), default=256))
        self.width = _up_to(4, max((shape[1] for shape in seen), default=256))

    def next_part(self, after_ns: int, every: int = 1) -> int | None:
        """The first part that comes under the lens after this time. Only every `every`th part is considered.

        None after the last part, and before the belt starts.
        """
        if not self._line.started:
            return None
        moved_mm = self._line.belt.position_mm(after_ns) - self._offset_mm
        # Parts lie at most 4 % off the pitch, so the search starts a little before.
        guess = max(0, int((moved_mm - self._line.eye_mm(0)) / self._line.pitch_mm) - 2)
        return next(
            (
                part
                for part in range(guess, self._line.parts)
                if part % every == 0 and self._line.eye_mm(part) > moved_mm
            ),
            None,
        )

    def passes_ns(self, part: int) -> int:
        """The time when the part is at its place under the lens. For a line camera, when its first row is."""
        return self._line.belt.time_at(self._line.eye_mm(part) + self._offset_mm)

    def moved_on_ns(self, since_ns: int, counts: int) -> int:
        """The time when the belt will have moved by this many counts."""
        belt = self._line.belt
        return belt.time_at(belt.position_mm(since_ns) + counts / self._line.counts_per_mm)

    def count(self, at_ns: int) -> int:
        """The 32-bit encoder counter, signed as in the PLC."""
        return self._line.raw_count(self._line.belt.position_mm(at_ns), self._line.counter_zero(self.boot))

    def picture(self, part: int) -> Image | None:
        """The part, cut to the sensor's size. A smaller picture stays small, and its frame's leader gives its size."""
        found = self._line.look.render(part % self._line.parts, self._lane)
        return None if found is None else found[: self.height, : self.width]

    def scan(self, part: int, rows: int, counts: int) -> Image | None:
        """The part as a line camera with a row every `counts` counts sees it. Beyond the part, its last row repeats."""
        found = self._line.look.render(part % self._line.parts, self._lane)
        if found is None:
            return None
        along_mm = (np.arange(rows) + 0.5) * counts / self._line.counts_per_mm
        at = (along_mm / _MM_PER_ROW[bool(self._line.frames)]).astype(int)
        return found[np.minimum(at, found.shape[0] - 1), : self.width]


def _up_to(step: int, size: int) -> int:
    return -(-size // step) * step
