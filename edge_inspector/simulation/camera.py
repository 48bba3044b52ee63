"""A simulated camera with a hardware trigger. It exposes when a part of the simulated line is below it."""

from __future__ import annotations

import socket
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
from pydantic import Field

from edge_inspector.drivers import Camera, DriverSettings, FeatureValue
from edge_inspector.errors import DeviceError, FrameIncompleteError
from edge_inspector.records import Frame, Image
from edge_inspector.simulation.line import Line

_BUFFERS = 8  # a real camera's driver keeps as many frames for a slow reader


class SimulatedCamera(Camera):
    """Frame n shows part n - 1, unless there are several shots of each. The next picture is rendered in advance."""

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
        gain: Annotated[float, Field(gt=0)] = 1.0
        """Gain. The picture gets lighter with it."""
        incomplete_every: Annotated[int, Field(ge=0)] = 0
        """Deliver every n-th frame incomplete. 0 delivers all frames whole."""
        lost_from: int = -1
        """First part for which the camera is unplugged."""
        lost_until: int = -1
        """First part for which it is plugged in again."""
        unplugged_by: Path | None = None
        """The camera is unplugged while this file exists."""
        blank_from: int = -1
        """First part that is no longer in the picture."""
        dark_from: int = -1
        """First part with the lens covered."""
        frozen_from: int = -1
        """First part from which on the picture stays the same."""
        stamp_late_ms: float = 0.0
        """Delay from the exposure to its timestamp."""
        free_hz: Annotated[float, Field(ge=0, le=100)] = 0.0
        """Take so many pictures per second of what lies there, without a trigger. 0: a picture per part."""
        latch_zero: int | None = None
        """Value of the encoder's counter at the start of the belt, if the encoder is wired to the camera."""

        shots_mm: tuple[float, ...] = (0.0,)
        """Belt travel from `offset_mm` to each picture of a part. Each shows the part as the next lane sees it."""
        skip_every: Annotated[int, Field(ge=0)] = 0
        """Miss the last picture of every n-th part. 0 misses none."""
        double_every: Annotated[int, Field(ge=0)] = 0
        """Take the first picture of every n-th part twice. 0 takes none twice."""

        rows_mm: Annotated[float, Field(ge=0)] = 0.0
        """Belt travel from the first row of a picture to its last, for a line camera."""
        fired_by: Annotated[int, Field(ge=0, le=65535)] = 0
        """UDP port at which the PLC fires the camera. 0: it takes its picture exactly when the part is there."""

        @property
        def adjustable(self) -> Collection[str]:
            """Both make its picture lighter or darker."""
            return ("exposure_us", "gain")

        @property
        def takes_features(self) -> bool:
            """Exposure and gain, as features of a recipe."""
            return True

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self._settings = settings
        self._exposure_us, self._lighter = settings.exposure_us, 1.0
        self._line: Line | None = None
        self._part = self._shot = 0
        self._taken, self._once = 0, True
        self._picture: Image | None = None
        self._rendered = False
        self._captured = (-1, 0)
        self._fired: socket.socket | None = None

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
        if self._unplugged(self._part):
            raise DeviceError(f"{self.name}: unplugged (simulated)")
        self._line = line
        self._rendered = False
        if self._settings.fired_by and self._fired is None:
            self._fired = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._fired.bind(("127.0.0.1", self._settings.fired_by))

    def grab(self, timeout_s: float) -> Frame | None:
        """The picture of the next part, after its exposure and transfer."""
        line = self._opened()
        if self._cut:
            raise DeviceError(f"{self.name}: unplugged (simulated)")
        if self._settings.free_hz:
            return self._freely(line, timeout_s)
        if self._fired is not None:
            return self._on_fire(line, self._fired, timeout_s)
        if self._part >= line.parts:
            time.sleep(timeout_s)
            return None
        if not self._rendered:
            self._picture = self._render(line)
            self._rendered = True
        captured_ns = self._capture_ns(self._part)
        ready_ns = self._shown_ns(line, captured_ns) + self._exposure_us * 500
        left_s = (ready_ns - time.monotonic_ns()) / 1e9
        if left_s > timeout_s:
            time.sleep(timeout_s)
            return None
        if left_s > 0:
            time.sleep(left_s)
        return self._delivered(captured_ns)

    def _shown_ns(self, line: Line, captured_ns: int) -> int:
        """When the last row is exposed, for a picture that began at `captured_ns`."""
        if not self._settings.rows_mm or not line.started:
            return captured_ns
        return line.belt.time_at(line.eye_mm(self._part) + self._settings.offset_mm + self._settings.rows_mm)

    def _freely(self, line: Line, timeout_s: float) -> Frame | None:
        """The next picture of a camera that nobody triggers."""
        period_ns = int(1e9 / self._settings.free_hz)
        captured_ns = max(self._captured[1] + period_ns, time.monotonic_ns())
        left_s = (captured_ns - time.monotonic_ns()) / 1e9
        time.sleep(min(max(0.0, left_s), timeout_s))
        if left_s > timeout_s:
            return None
        self._captured = self._captured[0] + 1, captured_ns
        part = line.part_lying(captured_ns)
        if part != self._part or self._picture is None:
            self._part, self._picture = part, line.look.render(part, self._settings.lane)
        return self._frame(self._captured[0], captured_ns, self._picture)

    def _on_fire(self, line: Line, fired: socket.socket, timeout_s: float) -> Frame | None:
        """A picture of what was below the camera when the PLC fired it."""
        fired.settimeout(timeout_s)
        try:
            captured_ns = int(fired.recv(64))
        except TimeoutError:
            return None
        part = line.part_below(line.belt.position_mm(captured_ns), self._settings.offset_mm)
        return self._frame(part + 1, captured_ns, line.look.render(part, self._settings.lane))

    def _frame(self, number: int, captured_ns: int, picture: Image | None) -> Frame:
        if picture is None:
            raise FrameIncompleteError("the file holds no picture", number, captured_ns)
        exposure_ns = self._exposure_us * 1000
        return Frame(
            self.name,
            number,
            captured_ns=captured_ns,
            exposure_ns=exposure_ns,
            received_ns=time.monotonic_ns(),
            image=self._lit(picture),
        )

    def adjust(self, settings: Settings) -> None:
        """Take lighter or darker pictures from now on."""
        usual = self._settings
        self._exposure_us = settings.exposure_us
        self._lighter = settings.exposure_us * settings.gain / (usual.exposure_us * usual.gain)

    def set_features(self, features: Mapping[str, FeatureValue]) -> None:
        """Exposure and gain of a recipe. Raises DeviceError for any other feature."""
        if unknown := features.keys() - {"exposure_us", "gain"}:
            raise DeviceError(f"{self.name}: has no feature {', '.join(sorted(unknown))}")
        self.adjust(self._settings.model_copy(update=dict(features)))

    def _lit(self, picture: Image) -> Image:
        """As it looks with the exposure and gain that are set now."""
        return (
            picture if self._lighter == 1.0 else np.asarray(cv2.convertScaleAbs(picture, alpha=self._lighter), np.uint8)
        )

    def close(self) -> None:
        """Close the camera."""
        if self._fired is not None:
            self._fired.close()
            self._fired = None
        self._line = None

    def _delivered(self, captured_ns: int) -> Frame:
        part, picture = self._part, self._picture
        if self._unplugged(part):
            raise DeviceError(f"{self.name}: unplugged (simulated)")
        self._taken += 1
        number = part + 1 if len(self._settings.shots_mm) == 1 else self._taken
        self._advance()
        self._rendered = False
        self._skip_overwritten()
        if _each(self._settings.incomplete_every, part):
            raise FrameIncompleteError("3 packets missing (simulated)", number, captured_ns)
        exposure_ns = self._exposure_us * 1000
        if picture is None:
            raise FrameIncompleteError("the file holds no picture", number, captured_ns)
        stamped_ns = captured_ns + int(self._settings.stamp_late_ms * 1e6)
        return Frame(
            self.name,
            number,
            captured_ns=stamped_ns,
            exposure_ns=exposure_ns,
            received_ns=time.monotonic_ns(),
            image=self._lit(picture),
            encoder_count=self._latched(captured_ns),
        )

    def _advance(self) -> None:
        """Go on to the next picture of the part, or to the next part."""
        settings, last = self._settings, len(self._settings.shots_mm) - 1
        self._shot += not (_each(settings.double_every, self._part) and self._shot == 0 and self._once)
        self._once = False
        if self._shot > last or (self._shot == last > 0 and _each(settings.skip_every, self._part)):
            self._part, self._shot, self._once = self._part + 1, 0, True

    def _latched(self, captured_ns: int) -> int | None:
        zero, line = self._settings.latch_zero, self._opened()
        return None if zero is None else line.raw_count(line.belt.position_mm(captured_ns), zero)

    def _render(self, line: Line) -> Image | None:
        """The part's picture, or what is seen instead."""
        settings, part, lane = self._settings, self._part, self._settings.lane + self._shot
        if 0 <= settings.frozen_from <= part:
            part = settings.frozen_from
        picture = line.look.render(part, lane)
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
        key = part * len(self._settings.shots_mm) + self._shot
        if self._captured[0] == key:  # needed twice, and as expensive as a look at the picture
            return self._captured[1]
        started = line.started
        offset_mm = self._settings.offset_mm + self._settings.shots_mm[self._shot]
        captured_ns = line.captured_ns(part, self._settings.lane, offset_mm)
        if started:
            self._captured = key, captured_ns
        return captured_ns

    def _unplugged(self, part: int) -> bool:
        return self._cut or self._settings.lost_from <= part < self._settings.lost_until

    @property
    def _cut(self) -> bool:
        cable = self._settings.unplugged_by
        return cable is not None and cable.exists()

    def _opened(self) -> Line:
        if self._line is None:
            raise DeviceError(f"{self.name}: not open")
        return self._line


def _each(every: int, part: int) -> bool:
    """Whether the fault meets this part: each `every`-th one."""
    return every > 0 and (part + 1) % every == 0
