"""The pictures of a web that overlap, so that no defect is cut at a seam. It goes around any camera."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from edge_inspector.drivers import Camera, FeatureValue
from edge_inspector.errors import FrameIncompleteError
from edge_inspector.records import CameraCounters, Frame, Image


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """How a picture must continue the one before.

    Each row of a line camera is in one picture only. So the last `carried` rows of a picture are put before the next
    one, if that begins where this one ended, within `tolerance` counts. Rows are `row_counts` apart. A picture needs
    `least` rows of its own, and may have `most`. The pictures of an area camera overlap by themselves: `carried` is 0.
    """

    carried: int
    row_counts: float
    tolerance: float
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class _Before:
    frame_id: int
    end: float
    rows: Image


class OverlappingCamera(Camera):
    """A camera over a web. `count(captured_ns)` is where the belt was then, or None if nobody knows.

    A picture that does not show the whole piece and its seam counts as incomplete.
    """

    def __init__(self, camera: Camera, overlap: Overlap, count: Callable[[int], float | None]) -> None:
        self.name = camera.name
        self._camera = camera
        self._overlap = overlap
        self._count = count
        self._before: _Before | None = None

    def open(self) -> None:
        """Open the camera. Its first picture follows none."""
        self._before = None
        self._camera.open()

    def grab(self, timeout_s: float) -> Frame | None:
        """The next picture with the rows before it. Raises as the camera does."""
        frame = self._camera.grab(timeout_s)
        if frame is None:
            return None
        overlap, own = self._overlap, frame.image
        if not overlap.least <= own.shape[0] <= overlap.most:
            self._before = None
            raise self._incomplete(frame, f"it has {own.shape[0]} rows, a piece of the web needs {self._needed}")
        if not overlap.carried:
            return frame
        before, count = self._before, self._count(frame.captured_ns)
        self._before = None
        if count is not None:
            # A copy, because the camera uses the memory of the picture again.
            end = count + own.shape[0] * overlap.row_counts
            self._before = _Before(frame.frame_id, end, own[-overlap.carried :].copy())
        if before is None or not self._follows(frame, count, before):
            raise self._incomplete(
                frame, "it does not follow the picture before it, and a defect between the two may be cut"
            )
        return replace(frame, image=np.concatenate((before.rows, own)), figures=None)

    def close(self) -> None:
        """Close the camera."""
        self._camera.close()

    def set_features(self, features: Mapping[str, FeatureValue]) -> None:
        """Set features of the camera between two pictures."""
        self._camera.set_features(features)

    def counters(self) -> CameraCounters:
        """Those of the camera."""
        return self._camera.counters()

    @property
    def _needed(self) -> str:
        return f"{self._overlap.least} to {self._overlap.most}" if self._overlap.carried else f"{self._overlap.least}"

    def _follows(self, frame: Frame, count: float | None, before: _Before) -> bool:
        return (
            count is not None
            and frame.frame_id == before.frame_id + 1
            and frame.image.shape[1:] == before.rows.shape[1:]
            and abs(count - before.end) <= self._overlap.tolerance
        )

    def _incomplete(self, frame: Frame, why: str) -> FrameIncompleteError:
        return FrameIncompleteError(why, frame.frame_id, frame.captured_ns)
