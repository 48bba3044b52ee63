"""UVC cameras (V4L2), network streams (RTSP, MJPEG over HTTP) and video files, over OpenCV."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import quote

import cv2
from pydantic import Field, model_validator

from edge_inspector.cameras.arrivals import Arrivals, Opening
from edge_inspector.cameras.border import fails_as_device
from edge_inspector.cameras.clock import Exposure
from edge_inspector.cameras.features import Step, apply
from edge_inspector.cameras.v4l2_controls import V4l2Controls, asking, opened
from edge_inspector.codes import Promise
from edge_inspector.drivers import Camera, DriverSettings, FeatureValue, FoundCamera
from edge_inspector.errors import DeviceError, FrameIncompleteError
from edge_inspector.records import CameraCounters, Frame
from edge_inspector.texts import printable

_V4L2_MANUAL_EXPOSURE: Final = 1
_V4L2_EXPOSURE_UNIT_US: Final = 100
_EXPOSURES: Final = ("exposure_time_absolute", "exposure_absolute")  # newer and older kernels
# An older timestamp is from another clock, because no driver keeps a frame that long.
_OLDEST_STAMP_NS: Final = 2_000_000_000
_SILENT_AT_LEAST_NS: Final = 500_000_000
_DAMAGED_AT_MOST: Final = 10  # in a row: more of them mean that the camera itself has failed
_BUFFERS: Final = 4  # buffers that V4L2 fills if nothing is configured
# error of a measured latency up to the kernel's timestamp: people cannot measure better
_MEASURED_ERROR_NS: Final = 2_000_000
_STREAM_ERROR_NS: Final = 50_000_000  # smallest error of a network stream
_PIXELS_MAX: Final = 1 << 28
_BACKENDS: Final = {"v4l2": cv2.CAP_V4L2, "ffmpeg": cv2.CAP_FFMPEG, "gstreamer": cv2.CAP_GSTREAMER}
_USER_ALONE: Final = re.compile(r"\w+://[^\s/:@]+@")
_CLOSE_ENOUGH: Final = 0.01
_EXACT: Final = {"fourcc", "width", "height", "buffers"}

Pixels = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, le=60)]
Milliseconds = Annotated[float, Field(ge=0, le=60_000)]


class OpenCvCamera(Camera):
    """One V4L2 device, stream or file. A setting that the camera does not accept is an error."""

    class Settings(DriverSettings):
        """A setting that is not set stays as the camera has it."""

        source: Annotated[str, Field(min_length=1, repr=False)]
        """Device path, stream URL or video file. For a device, use a path that survives a reboot."""
        password_file: Path | None = None
        """File with the password of the user in `source`. Only the service should be able to read it."""
        backend: Literal["v4l2", "ffmpeg", "gstreamer"] | None = None
        """OpenCV backend that reads the source. Not set: `v4l2` for a device, `ffmpeg` for everything else."""
        buffers: Annotated[int, Field(ge=1, le=10)] | None = None
        """Frames that the V4L2 driver may hold."""
        width: Pixels | None = None
        """Width of the picture in pixels."""
        height: Pixels | None = None
        """Height of the picture in pixels."""
        fps: Annotated[float, Field(gt=0)] | None = None
        """Pictures per second. A video file without it is read as fast as requested."""
        fourcc: Annotated[str, Field(min_length=4, max_length=4)] | None = None
        """Pixel format as four characters, as `MJPG`."""
        exposure_us: Annotated[int, Field(ge=_V4L2_EXPOSURE_UNIT_US, multiple_of=_V4L2_EXPOSURE_UNIT_US)] | None = None
        """Exposure time. Shorten it if parts are blurred by the belt's movement."""
        gain: float | None = None
        """Gain in the camera's own unit."""
        features: dict[str, bool | int] = Field(default_factory=dict)
        """More controls of a device, in this order, by the names of `v4l2-ctl --list-ctrls`: focus, white balance."""
        latency_ms: Milliseconds | None = None
        """Time from the middle of the exposure to the timestamp. Measure it with `edge-inspector focus --latency`."""
        latency_error_ms: Milliseconds | None = None
        """How wrong `latency_ms` may be: part of every position's error bound. Defaults: docs/cameras.md."""
        open_timeout_s: Seconds = 5.0
        """Longest wait until a network stream opens."""
        read_timeout_s: Seconds = 1.0
        """Time without a frame after which a network stream counts as lost. At least three frame intervals."""

        @model_validator(mode="after")
        def _told_how_late(self) -> Self:
            if "://" in self.source and self.latency_ms is None:
                raise ValueError(
                    "latency_ms is missing: pictures of a network stream come late, the station must know how late. "
                    "Point the camera at this screen and run 'edge-inspector focus URL --latency'"
                )
            return self

        @model_validator(mode="after")
        def _controls_of_a_device(self) -> Self:
            if self.features and not self.source.startswith("/dev/"):
                raise ValueError("features are for devices: set them at the camera of a network stream itself")
            return self

        @model_validator(mode="after")
        def _one_password(self) -> Self:
            if self.password_file is not None and not _USER_ALONE.match(self.source):
                raise ValueError('password_file needs the user, without a password, in source: "rtsp://USER@HOST/..."')
            return self

        @property
        def promise(self) -> Promise:
            """Its pictures have no numbers: one that is lost on the way is not noticed."""
            return Promise.UNCOUNTED

        @property
        def device(self) -> str | None:
            """The path of a V4L2 device, which only one program can read. None for streams and files."""
            return self.source if self.source.startswith("/dev/") else None

        @property
        def adjustable(self) -> Collection[str]:
            """A device changes both. Without `exposure_us` the latency of another exposure would not be known."""
            return ("exposure_us", "gain") if self.device is not None else ()

        @property
        def takes_features(self) -> bool:
            """A device has controls."""
            return self.device is not None

        @property
        def free_running_hz(self) -> float | None:
            """`fps`: none of these sources can be triggered. Without `fps` the rate is not known."""
            return self.fps

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self._settings = settings
        self._now = settings  # with the exposure and gain that were set last
        self._exposure = Exposure((settings.exposure_us or 0) * 1000)
        self._device = settings.source.startswith("/dev/")
        self._file = not self._device and "://" not in settings.source
        self._capture: Any = None
        self._frame_id = 0
        self._due_ns = 0
        self._silent_ns = _SILENT_AT_LEAST_NS
        self._heard_ns = 0
        self._interval_ns = 1e9 / 30
        self._arrivals = Arrivals(name, 0, 0, Opening(0, 0))
        self._left_out = 0
        self._damaged = 0

    @fails_as_device
    def open(self) -> None:
        """Connect, set what is configured and read it back. Frame numbers go on from an earlier open."""
        self.close()
        source = self._settings.source
        if (self._device or self._file) and not Path(source).exists():
            raise DeviceError(f"{self.name}: {source} does not exist")
        began_ns = time.monotonic_ns()
        backend = _BACKENDS[self._settings.backend or ("v4l2" if self._device else "ffmpeg")]
        if backend != cv2.CAP_FFMPEG:
            capture = cv2.VideoCapture(self._with_password(), backend)
        else:
            limits = [
                *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, int(self._settings.open_timeout_s * 1000)),
                *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, int(self._settings.read_timeout_s * 1000)),
                *(cv2.CAP_PROP_N_THREADS, 1),  # each further thread would deliver the pictures one frame later
            ]
            capture = cv2.VideoCapture(self._with_password(), cv2.CAP_FFMPEG, limits)
        if not capture.isOpened():
            raise DeviceError(f"{self.name}: {source} does not open")
        self._capture = capture
        self._due_ns = self._heard_ns = time.monotonic_ns()
        self._damaged = 0
        for what, key, value in self._wanted():
            self._set(what, key, value)
        if self._settings.features:
            self._adjust(self._settings.features)
        if capture.get(cv2.CAP_PROP_FRAME_WIDTH) * capture.get(cv2.CAP_PROP_FRAME_HEIGHT) > _PIXELS_MAX:
            self.close()
            raise DeviceError(f"{self.name}: {source} has pictures of more than {_PIXELS_MAX} pixels")
        self._interval_ns = 1e9 / (capture.get(cv2.CAP_PROP_FPS) or 30.0)
        self._silent_ns = max(_SILENT_AT_LEAST_NS, int(3 * self._interval_ns))
        slowest_ns = self._settings.read_timeout_s * 1e9 / 3
        opening = Opening(began_ns, time.monotonic_ns(), self._arrivals.pace_ns)
        self._arrivals = Arrivals(self.name, self._interval_ns, slowest_ns, opening)

    @fails_as_device
    def grab(self, timeout_s: float) -> Frame | None:
        """The next picture. A network stream waits up to `read_timeout_s`, even if `timeout_s` is shorter."""
        if self._capture is None:
            raise DeviceError(f"{self.name}: not open")
        if not self._wait(timeout_s):
            return None
        # A V4L2 frame was already taken from the driver while waiting for it.
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
        stamp_ns = self._kernel_stamp_ns(received_ns) if self._device else None
        return Frame(
            camera=self.name,
            frame_id=self._frame_id,
            captured_ns=(received_ns if stamp_ns is None else stamp_ns) - self._latency_ns(),
            exposure_ns=self._exposure.ns,
            received_ns=received_ns,
            image=image,
            captured_error_ns=self._error_ns(stamped=stamp_ns is not None) + self._adjusted_error_ns(received_ns),
        )

    @fails_as_device
    def adjust(self, settings: Settings) -> None:
        """Change exposure and gain between two pictures."""
        if self._capture is not None:
            refused = self._tried(self._light(settings))
            if refused:
                self._tried(self._light(self._now))
                raise DeviceError(f"{self.name}: {self._settings.source} refused {refused}")
        self._exposure.change((settings.exposure_us or 0) * 1000, time.monotonic_ns())
        self._now = settings

    @fails_as_device
    def set_features(self, features: Mapping[str, FeatureValue]) -> None:
        """Set controls of the device between two pictures."""
        if self._capture is None:
            raise DeviceError(f"{self.name}: not open")
        self._adjust(features)
        exposures = [value for name, value in features.items() if name in _EXPOSURES]
        if exposures:
            self._exposure.change(int(exposures[0]) * _V4L2_EXPOSURE_UNIT_US * 1000, time.monotonic_ns())

    def close(self) -> None:
        """Close the device."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def counters(self) -> CameraCounters:
        """The number of stream pictures that were dropped because their capture time was unknown."""
        return CameraCounters(frames_missed=self._left_out)

    @classmethod
    def find(cls) -> Iterator[FoundCamera]:
        """The UVC cameras on the USB buses."""
        for device in sorted(Path("/sys/class/video4linux").glob("video*")):
            # A UVC camera has a second device for its metadata: only the first gives pictures.
            if (device / "index").read_text().strip() == "0":
                path = f"/dev/{device.name}"
                name = printable((device / "name").read_text(errors="replace").strip())
                yield FoundCamera(vendor="", model=name, serial="", address=path, settings={"source": path})

    @classmethod
    def settings_for(cls, which: str) -> Settings | None:
        """A device, file or stream by its path or URL."""
        return cls.Settings(source=which, latency_ms=0) if "/" in which else None

    def _take(self, timeout_s: float) -> bool:
        """Whether the next picture arrived. Pictures that may be older than their arrival suggests are dropped."""
        deadline_ns = time.monotonic_ns() + int(timeout_s * 1e9)
        while True:
            began_ns, busy_ns = time.monotonic_ns(), time.thread_time_ns()
            if not self._capture.grab():
                break
            self._heard_ns = time.monotonic_ns()
            waited_ns = self._heard_ns - began_ns - (time.thread_time_ns() - busy_ns)
            if self._file or self._arrivals.came(self._heard_ns, waited_ns):
                return True
            self._left_out += 1
            self._frame_id += 1
            if self._heard_ns > deadline_ns:
                return False
        raise DeviceError(f"{self.name}: {self._settings.source} delivers no more pictures")

    def _latency_ns(self) -> int:
        """From the middle of the exposure to the timestamp. It was measured with the exposure of the station file."""
        return int((self._settings.latency_ms or 0.0) * 1e6) + self._longer_ns() // 2

    def _longer_ns(self) -> int:
        return self._exposure.ns - (self._settings.exposure_us or 0) * 1000

    def _adjusted_error_ns(self, now_ns: int) -> int:
        """Whether the camera stamps before or after its exposure, nobody knows: with another exposure this counts."""
        return abs(self._longer_ns()) // 2 + self._exposure.doubt_ns(now_ns)

    def _error_ns(self, *, stamped: bool) -> int:
        """The largest error of the exposure time."""
        chosen = self._settings
        told_ns = None if chosen.latency_error_ms is None else int(chosen.latency_error_ms * 1e6)
        if self._file:
            return told_ns or 0
        if not self._device:
            usual_ns = max(_STREAM_ERROR_NS, int(2 * self._arrivals.usual_ns)) if told_ns is None else told_ns
            return usual_ns + self._arrivals.late_ns
        # Without the kernel's timestamp, a frame may have waited in the driver behind all others.
        waited_ns = 0 if stamped else int((chosen.buffers or _BUFFERS) * self._interval_ns)
        if told_ns is None:
            told_ns = int(self._interval_ns) if chosen.latency_ms is None else _MEASURED_ERROR_NS
        return told_ns + waited_ns

    def _refuse_damaged(self, received_ns: int) -> None:
        """Raise the error for a picture that cannot be decoded.

        One such picture is a bad frame. Many in a row mean that the camera is lost.
        """
        self._damaged += 1
        source = self._settings.source
        if self._damaged > _DAMAGED_AT_MOST or (self._device and not Path(source).exists()):
            raise DeviceError(f"{self.name}: {source} delivers no more pictures")
        raise FrameIncompleteError(f"{source} cannot be decoded", self._frame_id, received_ns)

    def _wanted(self) -> list[tuple[str, int, float]]:
        chosen = self._settings
        # The format comes first, because it decides which sizes and rates the camera has.
        wanted = [
            ("fourcc", cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*chosen.fourcc) if chosen.fourcc else None),
            ("width", cv2.CAP_PROP_FRAME_WIDTH, chosen.width),
            ("height", cv2.CAP_PROP_FRAME_HEIGHT, chosen.height),
            ("fps", cv2.CAP_PROP_FPS, None if self._file else chosen.fps),
            *self._light(self._now),
            ("buffers", cv2.CAP_PROP_BUFFERSIZE, chosen.buffers),
        ]
        return [(what, key, value) for what, key, value in wanted if value is not None]

    @staticmethod
    def _light(chosen: Settings) -> list[tuple[str, int, float | None]]:
        exposure = chosen.exposure_us
        return [
            ("manual exposure", cv2.CAP_PROP_AUTO_EXPOSURE, exposure and _V4L2_MANUAL_EXPOSURE),
            ("exposure_us / 100", cv2.CAP_PROP_EXPOSURE, exposure and exposure // _V4L2_EXPOSURE_UNIT_US),
            ("gain", cv2.CAP_PROP_GAIN, chosen.gain),
        ]

    def _tried(self, wanted: list[tuple[str, int, float | None]]) -> str:
        """Set what can be changed while the camera runs. What it refused, or nothing."""
        for what, key, value in wanted:
            if value is None:
                continue
            self._capture.set(key, value)
            found = self._capture.get(key)
            if abs(found - value) > _CLOSE_ENOUGH * abs(value):
                return self._refused(what, value, found)
        return ""

    def _adjust(self, features: Mapping[str, FeatureValue]) -> None:
        """Set controls and read them back. A number is in the control's own unit, so it must come back as it was."""
        source = self._settings.source
        descriptor = opened(source)
        controls = V4l2Controls(asking(descriptor))
        try:
            apply(controls, [Step(name, int(value)) for name, value in features.items()])
        except (DeviceError, ValueError) as error:
            raise DeviceError(f"{self.name}: {source}: {error}. It has: {', '.join(controls.names())}") from error
        finally:
            os.close(descriptor)

    def _set(self, what: str, key: int, value: float) -> None:
        self._capture.set(key, value)
        # A size is accepted as a pair. The first half may read back as something else until the second is set.
        if what == "width" and self._settings.height is not None:
            self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, self._settings.height)
        found = self._capture.get(key)
        # The camera rounds rates, times and gains to its own steps.
        if abs(found - value) > (0 if what in _EXACT else _CLOSE_ENOUGH * abs(value)):
            self.close()
            raise DeviceError(f"{self.name}: {self._settings.source} refused {self._refused(what, value, found)}")

    def _refused(self, what: str, value: float, found: float) -> str:
        if what != "fourcc":
            return f"{what} = {value:g}: it uses {found:g}"
        asked, given = self._settings.fourcc, _letters(found)
        listed = f" 'v4l2-ctl --device {self._settings.source} --list-formats-ext' lists them" if self._device else ""
        write = f"fourcc = {given}, or " if given.startswith('"') else ""
        return (
            f'fourcc = "{asked}": it delivers {given}. Write {write}a width, height and fps that it '
            f"offers with {asked}.{listed}"
        )

    def _with_password(self) -> str:
        """The source in the form that the camera needs, with the password."""
        source, file = self._settings.source, self._settings.password_file
        if file is None:
            return source
        try:
            secret = file.read_text(encoding="utf-8-sig").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise DeviceError(f"{self.name}: password_file {file} cannot be read: {error}") from error
        user, _, rest = source.partition("@")
        return f"{user}:{quote(secret, safe='')}@{rest}"

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
            # for OpenCV, 0 means no time limit
            ready, _ = cv2.VideoCapture.waitAny([self._capture], max(1, int(timeout_s * 1e9)))
        except cv2.error as error:
            raise DeviceError(f"{self.name}: {self._settings.source}: {error}") from error
        silent_ns = time.monotonic_ns() - self._heard_ns
        if not ready and silent_ns > self._silent_ns:
            raise DeviceError(f"{self.name}: {self._settings.source} gave no frame for {silent_ns / 1e6:.0f} ms")
        return bool(ready)

    def _kernel_stamp_ns(self, received_ns: int) -> int | None:
        """When the kernel received the frame. None if its timestamp is from another clock."""
        stamp_ns = int(self._capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
        return stamp_ns if 0 <= received_ns - stamp_ns < _OLDEST_STAMP_NS else None


def _letters(code: float) -> str:
    """A fourcc as people type it."""
    letters = int(code).to_bytes(8, "little", signed=True)[:4].decode("latin-1")
    return f'"{letters}"' if letters.isascii() and letters.isprintable() else f"format {code:.0f}"
