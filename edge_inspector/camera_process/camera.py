"""The station's end of a camera process. It is a camera driver like any other."""

from __future__ import annotations

import json
import logging
import os
import socket
import struct
import subprocess
import sys
import time
from collections import deque
from contextlib import suppress
from typing import Any, Final

from edge_inspector.camera_process import words
from edge_inspector.camera_process.pictures import Receiver
from edge_inspector.drivers import Camera, DriverSettings
from edge_inspector.errors import DeviceError, FrameIncompleteError
from edge_inspector.records import CameraCounters, Frame

log = logging.getLogger(__name__)

_OPENS_WITHIN_S: Final = 14.0  # the slowest driver takes this long to open a camera that does not answer
_SILENT_S: Final = 5.0  # between two signs of life. A driver needs up to 2.5 s to find that its camera is gone
_CLOSES_WITHIN_S: Final = 1.0


class CameraProcess(Camera):
    """The camera `name` of this driver in a process of its own.

    The process lives until `close`, and after a loss until the camera is open again or closed for good. If it dies or
    hangs, the camera is lost, and `open` starts another one. Frame numbers go on.
    """

    def __init__(self, name: str, driver: str, settings: DriverSettings) -> None:
        self.name = name
        self._order = {"driver": driver, "name": name, "settings": _told(settings), "adjusted": None}
        self._process: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None
        self._pictures = Receiver()
        self._waiting: deque[bytes] = deque()  # messages that came while an answer was awaited
        self._open = False
        self._keeps_process = False
        self._heard_ns = 0
        self._first_id = self._last_id = 0
        self._counters = CameraCounters()

    def open(self) -> None:
        """Start the process if there is none, and let it open the camera."""
        if self._open:
            self.close()
        self._keeps_process = False
        line = self._line or self._started()
        try:
            line.send(words.OPEN + json.dumps(self._order).encode())
            self._await(line, words.OPENED, _OPENS_WITHIN_S)
        except OSError as error:
            raise self._gone() from error
        self._open = True

    def grab(self, timeout_s: float) -> Frame | None:
        """The next frame that the process has sent."""
        line = self._line
        if not self._open or line is None:
            raise DeviceError(f"{self.name}: not open")
        self._pictures.release()
        until_ns = time.monotonic_ns() + int(timeout_s * 1e9)
        while (left_ns := until_ns - time.monotonic_ns()) > 0:
            message = self._waiting.popleft() if self._waiting else self._hear(line, left_ns / 1e9)
            if message[:1] == words.PICTURE:
                return self._frame(message)
            if message[:1] == words.INCOMPLETE:
                told = json.loads(message[1:])
                raise FrameIncompleteError(told["why"], self._numbered(told["frame_id"]), told["captured_ns"])
        return None

    def close(self) -> None:
        """Let the process close the camera and end. After a loss the first call leaves it alive for the next `open`."""
        self._open = False
        if self._keeps_process:
            self._keeps_process = False
            return
        if self._line is not None:
            with suppress(OSError, DeviceError):
                self._line.send(words.CLOSE)
                self._await(self._line, words.CLOSED, _CLOSES_WITHIN_S)
        self._end()

    def adjust(self, settings: Any) -> None:
        """Let the process change exposure and gain. Pictures that come meanwhile are kept."""
        line, order = self._line, _told(settings)
        if self._open and line is not None:
            try:
                line.send(words.ADJUST + json.dumps({"settings": order}).encode())
            except OSError as error:
                raise self._gone() from error
            self._refused(line)
        self._order["adjusted"] = order

    def _refused(self, line: socket.socket) -> None:
        """Raise the process's answer if it says that the camera refused."""
        until_ns = time.monotonic_ns() + int(_SILENT_S * 1e9)
        while time.monotonic_ns() < until_ns:
            message = self._hear(line, 0.2)
            if message[:1] == words.ADJUSTED:
                why = str(json.loads(message[1:])["why"])
                if why:
                    raise DeviceError(why)
                return
            if message[:1] in (words.PICTURE, words.INCOMPLETE):
                self._waiting.append(message)
        raise self._gone()

    def counters(self) -> CameraCounters:
        """The statistics that the process sent last."""
        return self._counters

    @property
    def pid(self) -> int | None:
        """The process. None if there is none."""
        return None if self._process is None else self._process.pid

    def _started(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, "-m", __package__, str(theirs.fileno())]
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)  # noqa: S603 -- our own words
        self._line, self._first_id = ours, self._last_id
        self._waiting.clear()
        return ours

    def _await(self, line: socket.socket, word: bytes, within_s: float) -> None:
        """Pass over all messages until this one comes."""
        until_ns = time.monotonic_ns() + int(within_s * 1e9)
        self._heard_ns = time.monotonic_ns() + int(within_s * 1e9)  # an opening may be silent for longer
        while self._hear(line, max(0.0, (until_ns - time.monotonic_ns()) / 1e9))[:1] != word:
            if time.monotonic_ns() >= until_ns:
                raise self._gone()

    def _hear(self, line: socket.socket, timeout_s: float) -> bytes:
        """The next message, empty if none came. Raises DeviceError if the camera is lost or its process is gone."""
        line.settimeout(max(0.001, timeout_s))
        try:
            message, descriptors, _, _ = socket.recv_fds(line, words.LONGEST, 1)
        except TimeoutError:
            if time.monotonic_ns() - self._heard_ns > _SILENT_S * 1e9:
                raise self._gone() from None
            return b""
        except OSError as error:
            raise self._gone() from error
        try:
            return self._understood(message, descriptors)
        except (ValueError, KeyError, TypeError, struct.error) as error:
            raise self._gone(f"its process said something wrong: {error}") from error
        finally:
            for each in descriptors:
                os.close(each)

    def _understood(self, message: bytes, descriptors: list[int]) -> bytes:
        if not message:
            raise self._gone()
        self._heard_ns = max(self._heard_ns, time.monotonic_ns())
        told: dict[str, Any] = json.loads(message[1:]) if message[:1] in words.WITH_JSON else {}
        if message[:1] == words.LOST:
            self._open, self._keeps_process = False, True
            raise DeviceError(str(told["why"]))
        if message[:1] == words.SEGMENT:
            (descriptor,) = descriptors
            self._pictures.add(told["number"], descriptor, told["bytes"])
        elif message[:1] == words.COUNTERS:
            self._counters = CameraCounters(**told)
        return message

    def _frame(self, message: bytes) -> Frame:
        try:
            slot, shape = words.slot_and_shape(message)
            frame = words.frame_of(message, self.name, self._pictures.picture(slot, shape), self._first_id)
        except (ValueError, struct.error) as error:
            raise self._gone(f"its process said something wrong: {error}") from error
        self._last_id = frame.frame_id
        return frame

    def _numbered(self, frame_id: int) -> int:
        self._last_id = self._first_id + frame_id
        return self._last_id

    def _gone(self, why: str = "") -> DeviceError:
        """End the process, and say what became of it."""
        if not why:
            code = None if self._process is None else self._waited(self._process, 0.2)
            why = "its process hangs" if code is None else f"its process ended with code {code}"
        self._open = False
        self._end()
        return DeviceError(f"{self.name}: {why}")

    def _end(self) -> None:
        """End the process and wait for it. Pictures that are still in use keep their memory."""
        line, self._line = self._line, None
        process, self._process = self._process, None
        self._pictures = Receiver()
        if line is not None:
            line.close()
        if process is not None and self._waited(process, 0.2) is None:
            process.kill()
            process.wait()

    @staticmethod
    def _waited(process: subprocess.Popen[bytes], seconds: float) -> int | None:
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None


def _told(settings: DriverSettings) -> dict[str, Any]:
    return settings.model_dump(mode="json", exclude_unset=True)
