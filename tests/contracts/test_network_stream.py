"""A network camera by OpenCV: frames over HTTP, and a server that hangs, dies and comes back."""

import base64
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_inspector.cameras.opencv import OpenCvCamera
from edge_inspector.errors import DeviceError
from edge_inspector.records import Frame

READ_TIMEOUT_S = 0.5
SLACK_S = 0.7
STOPPED_S, AT_ONCE_S = 0.35, 0.15
BOUNDARY = b"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n"


class Server:
    """Motion JPEG, 50 pictures a second, each with its number as its level.

    While it `stops`, pictures are taken but sent later, all at once.
    """

    def __init__(self) -> None:
        self.hangs = threading.Event()
        self.stops = threading.Event()
        self.ends = threading.Event()
        self.secret = False
        self.asked_by = ""
        self.taken_ns: dict[int, int] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked_by = self.headers.get("Authorization", "")
                if outer.secret and not outer.asked_by:
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="camera"')
                    self.end_headers()
                    return
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
        number, kept = 0, b""
        while not self.ends.wait(0.02):
            if self.hangs.is_set():
                continue
            number = (number + 1) % 20
            self.taken_ns[number] = time.monotonic_ns()
            _, jpeg = cv2.imencode(".jpg", np.full((48, 64, 3), 10 * number, np.uint8))
            kept += BOUNDARY % (len(jpeg), jpeg.tobytes())
            if self.stops.is_set():
                continue
            try:
                to.wfile.write(kept)
            except OSError:
                return
            kept = b""

    @contextmanager
    def stopped(self, seconds: float) -> Iterator[None]:
        """For so long from now on."""
        self.stops.set()
        again = threading.Timer(seconds, self.stops.clear)
        again.start()
        yield
        again.join()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def camera(server: Server) -> Iterator[OpenCvCamera]:
    camera = OpenCvCamera("cam", OpenCvCamera.Settings(source=server.url, latency_ms=0, read_timeout_s=READ_TIMEOUT_S))
    camera.open()
    yield camera
    camera.close()


def take(camera: OpenCvCamera, count: int) -> list[Frame]:
    frames = [camera.grab(0.2) for _ in range(count)]
    return [frame for frame in frames if frame is not None]


def number(frame: Frame) -> int:
    return round(float(frame.image.mean()) / 10)


def seconds_until_lost(camera: OpenCvCamera) -> float:
    began = time.monotonic()
    with pytest.raises(DeviceError, match="delivers no more pictures"):
        take(camera, 1000)
    return time.monotonic() - began


def test_frames_come_in_order_and_are_stamped_when_they_came(camera: OpenCvCamera) -> None:
    frames = take(camera, 40)[:30]
    assert len(frames) == 30
    # A picture that was left out has its number all the same.
    assert all(
        (number(after) - number(before) - after.frame_id + before.frame_id) % 20 == 0
        for before, after in pairwise(frames)
    )
    arrivals = np.diff([frame.captured_ns for frame in frames[10:]]) / 1e9
    assert np.median(arrivals) == pytest.approx(0.02, abs=0.015)


def ages_s(camera: OpenCvCamera, server: Server, count: int) -> list[float]:
    """How old each picture was when it was captured, by its stamp. Right for 0.4 s, then the numbers come again."""
    came = (frame for _ in range(count) for frame in take(camera, 1))
    return [(frame.captured_ns - server.taken_ns[number(frame)]) / 1e9 for frame in came]


def test_pictures_that_waited_on_their_way_are_left_out(camera: OpenCvCamera, server: Server) -> None:
    take(camera, 60)
    before = camera.counters().frames_missed
    with server.stopped(STOPPED_S):
        ages = ages_s(camera, server, 30)
    assert len(ages) > 20
    assert max(ages) < AT_ONCE_S
    assert camera.counters().frames_missed - before > 10


def test_what_a_stream_held_when_it_was_opened_is_left_out(camera: OpenCvCamera, server: Server) -> None:
    with server.stopped(STOPPED_S):
        camera.open()
        assert max(ages_s(camera, server, 10)) < AT_ONCE_S


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


@pytest.mark.parametrize(("gap_ms", "together"), [(250, 8), (210, 7), (500, 15), (1000, 30)])
def test_a_stream_that_always_comes_in_bursts_is_taken_as_it_is(
    gap_ms: int, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ns = 0

    class Bursts:
        """So many pictures at once after each pause, of a stream of about 30 a second."""

        taken = 0

        def grab(self) -> bool:
            nonlocal now_ns
            self.taken += 1
            now_ns += gap_ms * 1_000_000 if self.taken % together == 0 else 500_000
            return True

        def get(self, _key: int) -> float:
            return 30.0

        def isOpened(self) -> bool:  # noqa: N802 -- OpenCV's name
            return True

        def retrieve(self) -> tuple[bool, Any]:
            return True, np.zeros((2, 2, 3), np.uint8)

        def release(self) -> None: ...

    monkeypatch.setattr("edge_inspector.cameras.opencv.time.monotonic_ns", lambda: now_ns)
    monkeypatch.setattr("edge_inspector.cameras.opencv.cv2.VideoCapture", lambda *_: Bursts())
    camera = OpenCvCamera("cam", OpenCvCamera.Settings(source="rtsp://nowhere/x", latency_ms=0))
    camera.open()
    grabbed = [camera.grab(0.1) for _ in range(600)]
    assert camera.counters().frames_missed < 60, "what came while it might still have caught up"
    assert all(frame is not None for frame in grabbed[-500:])


@pytest.mark.parametrize("before", ["", "\ufeff"], ids=["plain", "from Notepad"])
def test_the_password_comes_from_its_file(server: Server, tmp_path: Path, before: str) -> None:
    server.secret = True
    (tmp_path / "password").write_text(f"{before}p@ss:w/rd %41\r\n", encoding="utf-8")
    source = server.url.replace("://", "://admin@")
    settings = OpenCvCamera.Settings(source=source, latency_ms=0, password_file=tmp_path / "password")
    with closing(OpenCvCamera("cam", settings)) as camera:
        camera.open()
        assert base64.b64decode(server.asked_by.removeprefix("Basic ")) == b"admin:p@ss:w/rd %41"
    (tmp_path / "password").unlink()
    with pytest.raises(DeviceError, match=r"password_file .* cannot be read"):
        camera.open()


def test_what_a_stream_says_never_has_its_password(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    source = server.url.replace("://", "://admin:S3cret@")
    camera = OpenCvCamera("cam", OpenCvCamera.Settings(source=source, latency_ms=0, read_timeout_s=READ_TIMEOUT_S))
    with closing(camera):
        camera.open()
        server.hangs.set()
        with pytest.raises(DeviceError) as lost:
            take(camera, 1000)
    server.stop()
    with pytest.raises(DeviceError) as refused:
        camera.open()
    server.start()
    assert "S3cret" not in str(lost.value) + str(refused.value)
    assert "***@127.0.0.1" in str(refused.value)
    assert "S3cret" not in "".join(capfd.readouterr()), "nor what OpenCV and FFmpeg print themselves"


def test_a_pause_is_in_the_bound_of_what_came_after_it(camera: OpenCvCamera) -> None:
    assert take(camera, 10)
    camera._arrivals.usual_ns = 30e6
    camera._arrivals.late_ns = 0
    assert camera._error_ns(stamped=False) == 60_000_000, "two frames"
    camera._arrivals.late_ns = 130_000_000
    assert camera._error_ns(stamped=False) == 190_000_000
    camera._settings = camera._settings.model_copy(update={"latency_error_ms": 20.0})
    assert camera._error_ns(stamped=False) == 150_000_000
