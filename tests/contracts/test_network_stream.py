"""A network camera by OpenCV: frames over HTTP, and a server that hangs, dies and comes back."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise

import cv2
import numpy as np
import pytest

from edge_inspector.cameras.opencv import OpenCvCamera
from edge_inspector.errors import DeviceError
from edge_inspector.records import Frame

READ_TIMEOUT_S = 0.5
SLACK_S = 0.7
BOUNDARY = b"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n"


class Server:
    """Motion JPEG, 50 pictures a second, each with its number as its level."""

    def __init__(self) -> None:
        self.hangs = threading.Event()
        self.ends = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=picture")
                self.end_headers()
                outer.stream(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class's name
                pass

        self._handler = Handler
        self._port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/stream.mjpg"

    def start(self) -> None:
        self.ends.clear()
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), self._handler)
        self._server.daemon_threads = False
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def stop(self) -> None:
        self.ends.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def stream(self, to: BaseHTTPRequestHandler) -> None:
        number = 0
        while not self.ends.wait(0.02):
            if self.hangs.is_set():
                continue
            number = (number + 1) % 20
            _, jpeg = cv2.imencode(".jpg", np.full((48, 64, 3), 10 * number, np.uint8))
            try:
                to.wfile.write(BOUNDARY % (len(jpeg), jpeg.tobytes()))
            except OSError:
                return


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def camera(server: Server) -> Iterator[OpenCvCamera]:
    camera = OpenCvCamera("cam", OpenCvCamera.Settings(source=server.url, read_timeout_s=READ_TIMEOUT_S))
    camera.open()
    yield camera
    camera.close()


def take(camera: OpenCvCamera, count: int) -> list[Frame]:
    frames = [camera.grab(0.2) for _ in range(count)]
    return [frame for frame in frames if frame is not None]


def seconds_until_lost(camera: OpenCvCamera) -> float:
    began = time.monotonic()
    with pytest.raises(DeviceError, match="gives no more pictures"):
        take(camera, 1000)
    return time.monotonic() - began


def test_frames_come_in_order_and_are_stamped_when_they_came(camera: OpenCvCamera) -> None:
    frames = take(camera, 30)
    assert len(frames) == 30
    levels = [round(float(frame.image.mean()) / 10) for frame in frames]
    assert all((after - before) % 20 == 1 for before, after in pairwise(levels))
    arrivals = np.diff([frame.captured_ns for frame in frames[10:]]) / 1e9
    assert np.median(arrivals) == pytest.approx(0.02, abs=0.015)


def test_a_server_that_hangs_is_lost_within_the_read_timeout(camera: OpenCvCamera, server: Server) -> None:
    take(camera, 3)
    server.hangs.set()
    assert seconds_until_lost(camera) < READ_TIMEOUT_S + SLACK_S


def test_a_server_that_died_is_lost_refused_and_back_at_once(camera: OpenCvCamera, server: Server) -> None:
    before = take(camera, 3)
    server.stop()
    assert seconds_until_lost(camera) < READ_TIMEOUT_S + SLACK_S
    camera.close()
    with pytest.raises(DeviceError, match="does not open"):
        camera.open()
    server.start()
    began = time.monotonic()
    camera.open()
    after = take(camera, 1)
    assert time.monotonic() - began < 1.0 + SLACK_S
    assert after[0].frame_id > before[-1].frame_id
