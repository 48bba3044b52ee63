"""UVC cameras (V4L2), network streams (RTSP, MJPEG over HTTP) and video files, by OpenCV."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import cv2
from pydantic import Field

from edge_inspector.drivers import Camera, DriverSettings
from edge_inspector.errors import DeviceError, FrameIncompleteError
from edge_inspector.records import CameraCounters, Frame

log = logging.getLogger(__name__)

_V4L2_MANUAL_EXPOSURE: Final = 1
_V4L2_EXPOSURE_UNIT_US: Final = 100
# An older stamp is not this clock's: no driver keeps a frame that long.
_OLDEST_STAMP_NS: Final = 2_000_000_000
_SILENT_AT_LEAST_NS: Final = 500_000_000
# What came so long after the one before, three times more than usual, was stopped on its way, and more behind it.
_STOPPED_NS: Final = 200_000_000
_SINGLY: Final = 2  # so many in a row: one alone may come late because this machine was busy
_BEHIND_AT_MOST_NS: Final = 1_500_000_000  # a stream that is still in bursts by then always is
_DAMAGED_AT_MOST: Final = 10  # in a row: after that it is not the pictures but the camera
_BACKENDS: Final = {"v4l2": cv2.CAP_V4L2, "ffmpeg": cv2.CAP_FFMPEG, "gstreamer": cv2.CAP_GSTREAMER}

Pixels = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, le=60)]


class OpenCvCamera(Camera):
    """One V4L2 device, stream or file. What the camera does not accept as set is an error, not a surprise."""

    class Settings(DriverSettings):
        """What is absent stays as the camera has it.

        `backend` is v4l2 for a device and ffmpeg for the rest, if not said otherwise. `buffers`: how many frames V4L2
        may hold. `read_timeout_s` is how soon the loss of a network stream is known: at least three of its frames.
        `latency_ms` lies between the middle of the exposure and the stamp: the kernel's for V4L2, else the arrival.
        A file comes as fast as asked unless `fps` paces it.
        """

        source: Annotated[str, Field(min_length=1)]
        backend: Literal["v4l2", "ffmpeg", "gstreamer"] | None = None
        buffers: Annotated[int, Field(ge=1, le=10)] | None = None
        width: Pixels | None = None
        height: Pixels | None = None
        fps: Annotated[float, Field(gt=0)] | None = None
        fourcc: Annotated[str, Field(min_length=4, max_length=4)] | None = None
        exposure_us: Annotated[int, Field(ge=_V4L2_EXPOSURE_UNIT_US, multiple_of=_V4L2_EXPOSURE_UNIT_US)] | None = None
        gain: float | None = None
        latency_ms: Annotated[float, Field(ge=0)] = 0.0
        open_timeout_s: Seconds = 5.0
        read_timeout_s: Seconds = 1.0

        @property
        def device(self) -> str | None:
            """A V4L2 device has room for one reader; streams and files have room for more."""
            return self.source if self.source.startswith("/dev/") else None

        @property
        def free_running_hz(self) -> float | None:
            """None of these can be triggered; without `fps` a device or stream has a rate of its own."""
            return self.fps

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self._settings = settings
        self._device = settings.source.startswith("/dev/")
        self._file = not self._device and "://" not in settings.source
        self._capture: Any = None
        self._frame_id = 0
        self._due_ns = 0
        self._silent_ns = _SILENT_AT_LEAST_NS
        self._heard_ns = 0
        self._interval_ns = self._usual_ns = 0.0
        self._behind_since_ns: int | None = None
        self._singly = 0
        self._left_out = 0
        self._damaged = 0

    def open(self) -> None:
        """Connect, set what is configured and read it back. Frame numbers go on from an earlier open."""
        self.close()
        source = self._settings.source
        if (self._device or self._file) and not Path(source).exists():
            raise DeviceError(f"{self.name}: {source} does not exist")
        backend = _BACKENDS[self._settings.backend or ("v4l2" if self._device else "ffmpeg")]
        if backend != cv2.CAP_FFMPEG:
            capture = cv2.VideoCapture(source, backend)
        else:
            limits = [
                *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, int(self._settings.open_timeout_s * 1000)),
                *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, int(self._settings.read_timeout_s * 1000)),
                *(cv2.CAP_PROP_N_THREADS, 1),  # every thread more gives the pictures a frame later
            ]
            capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG, limits)
        if not capture.isOpened():
            raise DeviceError(f"{self.name}: {source} does not open")
        self._capture = capture
        self._due_ns = self._heard_ns = time.monotonic_ns()
        self._damaged = 0
        for what, key, value in self._wanted():
            self._set(what, key, value)
        self._interval_ns = 1e9 / (capture.get(cv2.CAP_PROP_FPS) or 30.0)
        self._silent_ns = max(_SILENT_AT_LEAST_NS, int(3 * self._interval_ns))
        # Until the stream has shown its rate, it may be as slow as its settings allow.
        self._usual_ns = self._settings.read_timeout_s * 1e9 / 3
        # Opening looks into a stream: its first pictures are as old as that took.
        self._heard_ns = self._behind_since_ns = time.monotonic_ns()
        self._singly = 0
        self._in_bursts = False

    def grab(self, timeout_s: float) -> Frame | None:
        """The next picture. A network stream waits up to `read_timeout_s` whatever `timeout_s` says."""
        if self._capture is None:
            raise DeviceError(f"{self.name}: not open")
        if not self._wait(timeout_s):
            return None
        # A V4L2 frame was taken from the driver while waiting for it.
        if self._device:
            self._heard_ns = time.monotonic_ns()
        elif not self._take(timeout_s):
            return None
        received_ns = self._heard_ns
        image: Any
        good, image = self._capture.retrieve()
        self._frame_id += 1
        if not good:
            self._refuse_damaged(received_ns)
        self._damaged = 0
        return Frame(
            camera=self.name,
            frame_id=self._frame_id,
            captured_ns=self._stamp_ns(received_ns) - int(self._settings.latency_ms * 1e6),
            exposure_ns=(self._settings.exposure_us or 0) * 1000,
            received_ns=received_ns,
            image=image,
        )

    def close(self) -> None:
        """Let go of the device."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def counters(self) -> CameraCounters:
        """A stream's pictures that were left out, as nobody could tell when they were taken."""
        return CameraCounters(frames_missed=self._left_out)

    def _take(self, timeout_s: float) -> bool:
        """Whether the next picture came, beside those that are older than their arrival tells: they are left out."""
        deadline_ns = time.monotonic_ns() + int(timeout_s * 1e9)
        while self._capture.grab():
            received_ns = time.monotonic_ns()
            apart_ns, self._heard_ns = received_ns - self._heard_ns, received_ns
            if self._file or not self._is_behind(apart_ns, received_ns):
                return True
            self._left_out += 1
            self._frame_id += 1
            if received_ns > deadline_ns:
                return False
        raise DeviceError(f"{self.name}: {self._settings.source} gives no more pictures")

    def _is_behind(self, apart_ns: int, received_ns: int) -> bool:
        """Whether a stream catches up, after it was opened or stopped: until pictures come one by one again."""
        if self._in_bursts:
            return False
        if self._behind_since_ns is None:
            if apart_ns > max(_STOPPED_NS, 3 * self._usual_ns):
                self._behind_since_ns, self._singly = received_ns, 0
        else:
            self._singly = self._singly + 1 if apart_ns > min(self._interval_ns, self._usual_ns) / 2 else 0
            if self._singly == _SINGLY:
                self._behind_since_ns = None
                log.info("%s: pictures that came late and were left out: %d so far", self.name, self._left_out)
            elif received_ns - self._behind_since_ns > _BEHIND_AT_MOST_NS:
                self._behind_since_ns, self._in_bursts = None, True
                log.warning("%s: the stream comes in bursts: nobody can tell how old its pictures are", self.name)
        if self._behind_since_ns is None:
            self._usual_ns += (apart_ns - self._usual_ns) / 8
        return self._behind_since_ns is not None

    def _refuse_damaged(self, received_ns: int) -> None:
        """A picture that cannot be decoded is one bad picture, until there are too many of them."""
        self._damaged += 1
        source = self._settings.source
        if self._damaged > _DAMAGED_AT_MOST or (self._device and not Path(source).exists()):
            raise DeviceError(f"{self.name}: {source} gives no more pictures")
        raise FrameIncompleteError(f"{source} cannot be decoded", self._frame_id, received_ns)

    def _wanted(self) -> list[tuple[str, int, float]]:
        chosen = self._settings
        exposure = chosen.exposure_us
        # The format comes first: it decides which sizes and rates the camera has.
        wanted = [
            ("fourcc", cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*chosen.fourcc) if chosen.fourcc else None),
            ("width", cv2.CAP_PROP_FRAME_WIDTH, chosen.width),
            ("height", cv2.CAP_PROP_FRAME_HEIGHT, chosen.height),
            ("fps", cv2.CAP_PROP_FPS, None if self._file else chosen.fps),
            ("manual exposure", cv2.CAP_PROP_AUTO_EXPOSURE, exposure and _V4L2_MANUAL_EXPOSURE),
            ("exposure_us / 100", cv2.CAP_PROP_EXPOSURE, exposure and exposure // _V4L2_EXPOSURE_UNIT_US),
            ("gain", cv2.CAP_PROP_GAIN, chosen.gain),
            ("buffers", cv2.CAP_PROP_BUFFERSIZE, chosen.buffers),
        ]
        return [(what, key, value) for what, key, value in wanted if value is not None]

    def _set(self, what: str, key: int, value: float) -> None:
        self._capture.set(key, value)
        # A size is accepted as a pair: the first half alone may come back as something else until the second is set.
        if what == "width" and self._settings.height is not None:
            self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, self._settings.height)
        found = self._capture.get(key)
        if abs(found - value) > 0.01 * abs(value):
            self.close()
            raise DeviceError(f"{self.name}: {self._settings.source} refused {what} = {value:g}: it has {found:g}")

    def _wait(self, timeout_s: float) -> bool:
        if self._device:
            return self._wait_for_device(timeout_s)
        if self._file and self._settings.fps is not None:
            now_ns = time.monotonic_ns()
            time.sleep(min(timeout_s, max(0, self._due_ns - now_ns) / 1e9))
            if self._due_ns > time.monotonic_ns():
                return False
            self._due_ns += int(1e9 / self._settings.fps)
        return True

    def _wait_for_device(self, timeout_s: float) -> bool:
        try:
            # OpenCV takes 0 for "for ever".
            ready, _ = cv2.VideoCapture.waitAny([self._capture], max(1, int(timeout_s * 1e9)))
        except cv2.error as error:
            raise DeviceError(f"{self.name}: {self._settings.source}: {error}") from error
        silent_ns = time.monotonic_ns() - self._heard_ns
        if not ready and silent_ns > self._silent_ns:
            raise DeviceError(f"{self.name}: {self._settings.source} gave no frame for {silent_ns / 1e6:.0f} ms")
        return bool(ready)

    def _stamp_ns(self, received_ns: int) -> int:
        """When the picture arrived: by the kernel's word where it speaks of the same clock, never after now."""
        if self._device:
            stamp_ns = int(self._capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
            if 0 <= received_ns - stamp_ns < _OLDEST_STAMP_NS:
                return stamp_ns
        return received_ns
