"""GigE Vision besides the frames: a sign of life, and the camera's clock on request.

The sign of life has its own socket. Aravis would report a lost camera only after five seconds, and block for two and a
half on any request in the meantime.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import time
from typing import Final

from edge_inspector.cameras.aravis import Device
from edge_inspector.errors import DeviceError

_PORT: Final = 3956
_READ_REGISTER, _ANSWER = 0x0080, 0x0081
_PRIVILEGE: Final = 0x0A00
_CONTROLLED: Final = 0x3
_TICKS_HIGH, _TICKS_LOW = 0x093C, 0x0940
_TIMESTAMP_CONTROL, _LATCHED_HIGH, _LATCHED_LOW = 0x0944, 0x0948, 0x094C
_LATCH: Final = 2
_SLOWEST_NS: Final = 2_000_000
_JITTER_NS: Final = 200_000
_SLOWER_NS: Final = 20_000  # after each round trip that took too long, this much more is allowed
_ASK_EVERY_NS: Final = 100_000_000
# Requests, not milliseconds: a machine that paused for a while has not lost its cameras. With the wait before the first
# request and after the last, a loss is known within half a second.
_PATIENCE: Final = 3


class Probe:
    """Asks the camera which program controls it, and reads the answer when it arrives. No request while frames come."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._unanswered = 0
        self._last_ns = 0
        self._controlled = True
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.settimeout(0)
        try:
            self._socket.connect((address, _PORT))
        except OSError as error:
            self._socket.close()
            raise DeviceError(f"{address}: {error}") from error

    def wait(self, timeout_s: float) -> None:
        """Return when the camera answers. Raises DeviceError if it does not answer in time."""
        deadline = time.monotonic_ns() + int(timeout_s * 1e9)
        self._ask(time.monotonic_ns())
        while self._unanswered:
            time.sleep(0.002)
            self._hear()
            if time.monotonic_ns() > deadline:
                raise DeviceError(f"no camera answers at {self._address}")
        self._controlled = True  # before this it need not have been controlled

    def alive(self, now_ns: int) -> None:
        """A frame arrived."""
        self._unanswered = 0
        self._last_ns = now_ns

    def answers(self, within_s: float) -> bool:
        """Send a request now. Whether the answer arrives within this time."""
        self._hear()
        self._ask(time.monotonic_ns())
        select.select([self._socket], [], [], within_s)
        self._hear()
        return not self._unanswered

    def silence(self, now_ns: int) -> str:
        """How the camera was lost. Empty if it was not. Call it while no frame arrives."""
        # Read waiting answers first. If this program was held up, the camera may have answered long ago.
        self._hear()
        if not self._controlled:
            return f"the camera at {self._address} was restarted, or taken by another program"
        if now_ns - self._last_ns < _ASK_EVERY_NS:
            return ""
        if self._unanswered >= _PATIENCE:
            return f"the camera at {self._address} does not answer"
        self._ask(now_ns)
        return ""

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _ask(self, now_ns: int) -> None:
        self._last_ns = now_ns
        self._unanswered += 1
        # A full socket or a network that is down counts as no answer.
        with contextlib.suppress(OSError):
            self._socket.send(struct.pack(">BBHHHI", 0x42, 0x01, _READ_REGISTER, 4, 1, _PRIVILEGE))

    def _hear(self) -> None:
        while True:
            try:
                answer = self._socket.recv(64)
            except OSError:  # nothing there, or refused
                return
            if len(answer) >= 12 and struct.unpack(">HH", answer[:4]) == (0, _ANSWER):
                self._unanswered = 0
                self._controlled = bool(struct.unpack(">I", answer[8:12])[0] & _CONTROLLED)


class TimestampLatch:
    """Reads the camera's clock over its control channel, which is far more exact than a frame's arrival."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self.ticks_per_s = device.word(_TICKS_HIGH) << 32 | device.word(_TICKS_LOW)
        self._best_ns = _SLOWEST_NS

    def read(self) -> tuple[int, int, int] | None:
        """The same instant in ns on the camera's clock and on the host's, and its error bound.

        None if a round trip was too slow.
        """
        if not self.ticks_per_s:
            return None
        asked_ns = time.monotonic_ns()
        self._device.set_word(_TIMESTAMP_CONTROL, _LATCH)
        answered_ns = time.monotonic_ns()
        ticks = self._device.word(_LATCHED_HIGH) << 32 | self._device.word(_LATCHED_LOW)
        round_trip_ns = answered_ns - asked_ns
        if not ticks or round_trip_ns > self._best_ns + _JITTER_NS:
            # A network may become slower permanently.
            self._best_ns = min(_SLOWEST_NS, self._best_ns + _SLOWER_NS)
            return None
        self._best_ns = min(self._best_ns, round_trip_ns)
        return self.to_ns(ticks), (asked_ns + answered_ns) // 2, round_trip_ns // 2

    def to_ns(self, ticks: int) -> int:
        """A timestamp in ns. Aravis does this for a frame's own timestamp, but not for a chunk's."""
        return ticks * 1_000_000_000 // (self.ticks_per_s or 1_000_000_000)
