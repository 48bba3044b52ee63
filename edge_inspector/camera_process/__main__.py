"""The camera's process: `python -m edge_inspector.camera_process FD`. The station starts it and tells it the camera.

It ends when the station closes the socket, and so also when the station dies.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import cv2

from edge_inspector.camera_process import words
from edge_inspector.camera_process.pictures import Sender
from edge_inspector.drivers import Camera, DriverSettings, load_driver
from edge_inspector.errors import DeviceError, FrameIncompleteError
from edge_inspector.inspection.picture import picture_figures
from edge_inspector.records import Frame
from edge_inspector.runtime.logs import set_up_logging
from edge_inspector.runtime.realtime import name_thread

log = logging.getLogger(__name__)

_PATIENCE_S = 0.2
_COUNTERS_EVERY_NS = 1_000_000_000


class CameraEnd:
    """Runs one camera and sends what it gives."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._orders: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._camera: Camera | None = None
        self._settings = DriverSettings  # of its driver
        self._open = False
        self._pictures = Sender()
        self._underruns = 0
        self._counted_ns = 0

    def listen(self) -> None:
        """Take orders until the station has gone. Then end the process, even if its camera hangs."""
        while message := self._heard():
            self._orders.put(message)
        os._exit(0)

    def run(self) -> None:
        """Follow orders, and grab while the camera is open."""
        while True:
            try:
                self._obey(self._orders.get(block=not self._open))
            except queue.Empty:
                self._grab()

    def _heard(self) -> bytes:
        try:
            return self._line.recv(words.LONGEST)
        except OSError:
            return b""

    def _obey(self, order: bytes) -> None:
        if order[:1] == words.CLOSE:
            self._close()
            self._say(words.CLOSED)
            return
        told = json.loads(order[1:])
        if order[:1] == words.ADJUST:
            self._say(words.ADJUSTED, why=self._adjust(told["settings"]))
            return
        try:
            if self._camera is None:
                driver = load_driver("cameras", told["driver"])
                settings = driver.Settings.model_validate_json(json.dumps(told["settings"]))
                self._camera = driver(told["name"], settings)
                self._settings = driver.Settings
                name_thread(f"camera-{told['name']}")
            if told["adjusted"] is not None:
                self._camera.adjust(self._settings.model_validate_json(json.dumps(told["adjusted"])))
            self._camera.open()
        except DeviceError as error:
            self._lose(error)
            return
        self._open = True
        self._say(words.OPENED)

    def _adjust(self, settings: dict[str, Any]) -> str:
        """Why the camera did not take other settings, or nothing."""
        try:
            self._opened().adjust(self._settings.model_validate_json(json.dumps(settings)))
        except DeviceError as error:
            return str(error)[:2000]
        return ""

    def _grab(self) -> None:
        camera = self._opened()
        try:
            frame = camera.grab(_PATIENCE_S)
        except FrameIncompleteError as error:
            self._say(words.INCOMPLETE, frame_id=error.frame_id, captured_ns=error.captured_ns, why=str(error))
        except DeviceError as error:
            self._lose(error)
            return
        else:
            if frame is None:
                self._say(words.ALIVE)
            else:
                self._send(frame)
        if time.monotonic_ns() - self._counted_ns > _COUNTERS_EVERY_NS:
            self._count(camera)

    def _send(self, frame: Frame) -> None:
        image = frame.image
        try:
            found = self._pictures.slot(image.nbytes)
            if found is None:
                self._grow(image.nbytes)
                found = self._pictures.slot(image.nbytes)
        except BufferError:
            found = None
        if found is None:
            self._underruns += 1
            return
        slot, room = found
        room.reshape(image.shape)[...] = image
        self._pictures.sent(slot)
        self._line.send(words.pack(slot, frame, picture_figures(image)))

    def _grow(self, size: int) -> None:
        number, descriptor = self._pictures.grow(size)
        told = words.SEGMENT + json.dumps({"number": number, "bytes": size}).encode()
        try:
            socket.send_fds(self._line, [told], [descriptor])
        finally:
            os.close(descriptor)

    def _count(self, camera: Camera) -> None:
        self._counted_ns = time.monotonic_ns()
        found = asdict(camera.counters())
        found["underruns"] += self._underruns
        self._say(words.COUNTERS, **found)

    def _lose(self, error: DeviceError) -> None:
        self._close()
        self._say(words.LOST, why=str(error)[:2000])

    def _close(self) -> None:
        if self._camera is not None:
            self._count(self._camera)
            self._camera.close()
        self._open = False

    def _opened(self) -> Camera:
        if self._camera is None:
            raise RuntimeError("no camera was opened")
        return self._camera

    def _say(self, word: bytes, **told: Any) -> None:
        self._line.send(word + (json.dumps(told).encode() if told else b""))


def main() -> None:
    """Serve the station at the other end of this descriptor."""
    for each in (signal.SIGINT, signal.SIGTERM):  # sent to the whole group: the station says when the camera stops
        signal.signal(each, signal.SIG_IGN)
    set_up_logging()
    cv2.setNumThreads(1)  # as in the station
    with socket.socket(fileno=int(sys.argv[1])) as line:
        end = CameraEnd(line)
        threading.Thread(target=end.listen, name="listen").start()
        with suppress(OSError):  # the station has gone
            try:
                end.run()
            finally:
                line.shutdown(socket.SHUT_RDWR)  # for the listening thread, which then ends the process


if __name__ == "__main__":
    main()
