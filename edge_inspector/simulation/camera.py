"""A simulated camera with a hardware trigger. It exposes when a part of the simulated line is below it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from edge_inspector.drivers import Camera, DriverSettings
from edge_inspector.errors import DeviceError, FrameIncompleteError
from edge_inspector.records import Frame, Image
from edge_inspector.simulation.line import Line

_BUFFERS = 8  # a real camera's driver keeps as many frames for a slow reader


class SimulatedCamera(Camera):
    """Frame n shows part n - 1. The next picture is rendered before its part arrives."""

    class Settings(DriverSettings):
        """The simulated line and the faults to simulate. Parts are numbered from 0, and -1 means never."""

        line: Path
        """File that describes the simulated line."""
        lane: Annotated[int, Field(ge=0)] = 0
        """Which of the cameras side by side this is, from 0."""
        offset_mm: Annotated[float, Field(ge=0)]
        """Belt travel from the photo-eye to the camera, as in the camera's own table."""
        exposure_us: Annotated[int, Field(ge=1)] = 200
        """Exposure time."""
        incomplete_every: Annotated[int, Field(ge=0)] = 0
        """Deliver every n-th frame incomplete. 0 delivers all frames whole."""
        lost_from: int = -1
        """First part for which the camera is unplugged."""
        lost_until: int = -1
        """First part for which it is plugged in again."""
        blank_from: int = -1
        """First part that is no longer in the picture."""
        dark_from: int = -1
        """First part with the lens covered."""
        frozen_from: int = -1
        """First part from which on the picture stays the same."""
        stamp_late_ms: float = 0.0
        """Delay from the exposure to its timestamp."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self._settings = settings
        self._line: Line | None = None
        self._part = 0
        self._picture: Image | None = None
        self._rendered = False
        self._captured = (-1, 0)

    def open(self) -> None:
        """Continue with the next part that has not passed. Raises DeviceError if the line file cannot be read."""
        try:
            line = Line.read(self._settings.line)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DeviceError(f"{self.name}: line file {self._settings.line}: {error}") from error
        for part in range(max(1, line.distinct)):  # what is slow the first time is slow here, and not under a part
            line.look.render(part, self._settings.lane)
        moved_mm = line.belt.position_mm(time.monotonic_ns()) - self._settings.offset_mm
        while self._part < line.parts and line.eye_mm(self._part) < moved_mm:
            self._part += 1
        if self._settings.lost_from <= self._part < self._settings.lost_until:
            raise DeviceError(f"{self.name}: unplugged (simulated)")
        self._line = line
        self._rendered = False

    def grab(self, timeout_s: float) -> Frame | None:
        """The picture of the next part, after its exposure and transfer."""
        line = self._opened()
        if self._part >= line.parts:
            time.sleep(timeout_s)
            return None
        if not self._rendered:
            self._picture = self._render(line)
            self._rendered = True
        captured_ns = self._capture_ns(self._part)
        ready_ns = captured_ns + self._settings.exposure_us * 500
        left_s = (ready_ns - time.monotonic_ns()) / 1e9
        if left_s > timeout_s:
            time.sleep(timeout_s)
            return None
        if left_s > 0:
            time.sleep(left_s)
        return self._delivered(captured_ns)

    def close(self) -> None:
        """Close the camera."""
        self._line = None

    def _delivered(self, captured_ns: int) -> Frame:
        part, picture = self._part, self._picture
        if self._settings.lost_from <= part < self._settings.lost_until:
            raise DeviceError(f"{self.name}: unplugged (simulated)")
        self._part += 1
        self._rendered = False
        self._skip_overwritten()
        every = self._settings.incomplete_every
        if every and self._part % every == 0:
            raise FrameIncompleteError("3 packets missing (simulated)", self._part, captured_ns)
        exposure_ns = self._settings.exposure_us * 1000
        if picture is None:
            raise FrameIncompleteError("the file holds no picture", self._part, captured_ns)
        stamped_ns = captured_ns + int(self._settings.stamp_late_ms * 1e6)
        return Frame(
            self.name,
            part + 1,
            captured_ns=stamped_ns,
            exposure_ns=exposure_ns,
            received_ns=time.monotonic_ns(),
            image=picture,
        )

    def _render(self, line: Line) -> Image | None:
        """The part's picture, or what is seen instead."""
        settings, part = self._settings, self._part
        if 0 <= settings.frozen_from <= part:
            part = settings.frozen_from
        picture = line.look.render(part, settings.lane)
        if picture is not None and 0 <= settings.blank_from <= part:
            noise = np.random.default_rng(part).integers(0, 3, picture.shape, np.uint8)
            picture = np.asarray(noise + np.uint8(120), np.uint8)
        if picture is not None and 0 <= settings.dark_from <= part:
            picture = np.asarray(picture // 32, np.uint8)
        return picture

    def _skip_overwritten(self) -> None:
        line, now = self._opened(), time.monotonic_ns()
        if self._capture_ns(self._part) > now:
            return
        while self._part + _BUFFERS < line.parts and self._capture_ns(self._part + _BUFFERS) < now:
            self._part += 1

    def _capture_ns(self, part: int) -> int:
        line = self._opened()
        if self._captured[0] == part:  # needed twice, and as expensive as a look at the picture
            return self._captured[1]
        started = line.started
        captured_ns = line.belt.time_at(line.eye_mm(part) + self._settings.offset_mm)
        if started:
            self._captured = part, captured_ns
        return captured_ns

    def _opened(self) -> Line:
        if self._line is None:
            raise DeviceError(f"{self.name}: not open")
        return self._line
