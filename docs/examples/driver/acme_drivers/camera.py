"""The Acme camera. It sends a header and the pixels of each picture over TCP."""

import socket
import struct
import time
from collections.abc import Iterator
from typing import Annotated

import numpy as np
from pydantic import Field

from edge_inspector.drivers import Camera, DriverSettings, FoundCamera
from edge_inspector.errors import DeviceError, FrameIncompleteError
from edge_inspector.records import CameraCounters, Frame
from edge_inspector.wording import in_words

# Frame number, width, height, microseconds since the middle of the exposure, missing rows.
HEADER = struct.Struct(">IHHIH")
LONGEST_TRANSFER_NS = 2_000_000


class AcmeCamera(Camera):
    """One channel of the camera. An input of the camera triggers each picture."""

    class Settings(DriverSettings):
        """The camera's address and channel."""

        host: str
        """Name or address of the camera."""
        port: Annotated[int, Field(ge=1, le=65535)] = 4101
        """TCP port of the camera."""
        channel: Annotated[
            str, Field(pattern="^[A-D]$", json_schema_extra=in_words("one of the letters A, B, C and D"))
        ] = "A"
        """Channel to read. The camera has four."""
        exposure_us: Annotated[int, Field(ge=1)] = 200
        """Exposure time that is set in the camera."""
        connect_timeout_s: Annotated[float, Field(gt=0, le=10)] = 1.0
        """Longest wait for the connection. Raise it for a slow network."""

        @property
        def device(self) -> str:
            """The channel. Only one program can read it."""
            return f"{self.host}:{self.port} channel {self.channel}"

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self._settings = settings
        self._socket: socket.socket | None = None
        self._received = b""
        self._received_ns = 0
        self._frame_id = 0
        self._device_number = 0
        self._frames_missed = 0

    def open(self) -> None:
        """Connect and choose the channel."""
        self.close()
        settings = self._settings
        try:
            self._socket = socket.create_connection((settings.host, settings.port), settings.connect_timeout_s)
            self._socket.sendall(settings.channel.encode())
        except OSError as error:
            self.close()
            raise DeviceError(f"{self.name}: {settings.device}: {error}") from error
        self._received = b""
        self._device_number = self._frames_missed = 0

    def grab(self, timeout_s: float) -> Frame | None:
        """The next picture, or None after `timeout_s`. Half a picture waits for the next call."""
        until = time.monotonic() + timeout_s
        while (frame := self._next_frame()) is None:
            left_s = until - time.monotonic()
            if left_s <= 0:
                return None
            self._receive(left_s)
        return frame

    def close(self) -> None:
        """Disconnect."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def counters(self) -> CameraCounters:
        """The gaps in the camera's own frame numbers."""
        return CameraCounters(frames_missed=self._frames_missed)

    @classmethod
    def find(cls) -> Iterator[FoundCamera]:
        """A camera on this machine, if one answers. A real driver would broadcast a request."""
        try:
            socket.create_connection(("127.0.0.1", 4101), 0.2).close()
        except OSError:
            return
        yield FoundCamera(
            vendor="Acme", model="TCP camera", serial="1", address="127.0.0.1", settings={"host": "127.0.0.1"}
        )

    def _receive(self, timeout_s: float) -> None:
        if self._socket is None:
            raise DeviceError(f"{self.name}: not open")
        self._socket.settimeout(timeout_s)
        try:
            received = self._socket.recv(1 << 20)
        except TimeoutError:
            return
        except OSError as error:
            raise DeviceError(f"{self.name}: {error}") from error
        if not received:
            raise DeviceError(f"{self.name}: the camera closed the connection")
        self._received += received
        self._received_ns = time.monotonic_ns()

    def _next_frame(self) -> Frame | None:
        if len(self._received) < HEADER.size:
            return None
        number, width, height, age_us, missing_rows = HEADER.unpack_from(self._received)
        end = HEADER.size + width * height
        if len(self._received) < end:
            return None
        pixels, self._received = self._received[HEADER.size : end], self._received[end:]
        # The age is as of sending. The transfer took between nothing and its longest time.
        captured_ns = self._received_ns - age_us * 1000 - LONGEST_TRANSFER_NS // 2
        missed = max(0, number - self._device_number - 1) if self._device_number else 0
        self._frames_missed += missed
        self._frame_id += 1 + missed  # goes on when the camera is opened again, or counts from 1 again
        self._device_number = number
        if missing_rows:
            raise FrameIncompleteError(f"{missing_rows} rows are missing", self._frame_id, captured_ns)
        return Frame(
            camera=self.name,
            frame_id=self._frame_id,
            captured_ns=captured_ns,
            exposure_ns=self._settings.exposure_us * 1000,
            received_ns=self._received_ns,
            image=np.frombuffer(pixels, np.uint8).reshape(height, width),
            captured_error_ns=LONGEST_TRANSFER_NS // 2,
        )
