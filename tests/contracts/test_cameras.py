"""What every camera driver must do, and what the folder and OpenCV ones do beyond."""

import os
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from edge_inspector.camera_process.camera import CameraProcess
from edge_inspector.cameras.folder import FolderCamera, load_index
from edge_inspector.cameras.genicam import GenicamCamera
from edge_inspector.cameras.opencv import OpenCvCamera
from edge_inspector.drivers import Camera
from edge_inspector.errors import DeviceError, FrameIncompleteError
from edge_inspector.records import CameraCounters, Frame, Image
from edge_inspector.simulation.camera import SimulatedCamera
from edge_inspector.simulation.line import Line

HEIGHT, WIDTH, PICTURES = 48, 64, 12
INTERVAL_S = 0.02
AREA = (0, 0, WIDTH, HEIGHT)


def picture(index: int) -> Image:
    """Flat, so that lossy video keeps it: its level is its number."""
    return np.full((HEIGHT, WIDTH, 3), 20 * index, np.uint8)


def write_folder(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for index in range(PICTURES):
        cv2.imwrite(str(folder / f"{index:02}.png"), picture(index))
    return folder


def write_video(file: Path) -> Path:
    fourcc = cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(file), cv2.CAP_FFMPEG, fourcc, 25.0, (WIDTH, HEIGHT))
    assert writer.isOpened()
    for index in range(PICTURES):
        writer.write(picture(index))
    writer.release()
    return file


def folder(work: Path) -> Camera:
    path = write_folder(work / "pictures")
    return FolderCamera("cam", FolderCamera.Settings(path=path, interval_ms=INTERVAL_S * 1000, repeat=True))


def opencv(work: Path) -> Camera:
    file = write_video(work / "film.avi")
    return OpenCvCamera("cam", OpenCvCamera.Settings(source=str(file), fps=1 / INTERVAL_S, latency_ms=3))


def simulated(work: Path) -> Camera:
    line = Line(
        seed=1,
        start_ns=time.monotonic_ns() - 1_000_000_000,
        speed_mm_s=100.0 / INTERVAL_S,
        pitch_mm=100.0,
        part_length_mm=50.0,
        parts=5000,
        lanes=1,
        gate_mm=900.0,
        counts_per_mm=10.0,
    )
    line.write(work / "line.json")
    return SimulatedCamera("cam", SimulatedCamera.Settings(line=work / "line.json", offset_mm=300.0))


def basler(work: Path) -> Camera:  # noqa: ARG001 -- a device, not a file
    pytest.importorskip("pypylon")
    from edge_inspector.cameras.basler import BaslerCamera  # noqa: PLC0415 -- after what it needs

    settings = BaslerCamera.Settings(serial="0815-0000", frame_rate=1 / INTERVAL_S, exposure_us=100.0, roi=AREA)
    return BaslerCamera("cam", settings)


def gentl(work: Path) -> Camera:  # noqa: ARG001 -- a device, not a file
    genicam = pytest.importorskip("genicam")
    pytest.importorskip("harvesters")
    from edge_inspector.cameras.gentl import GentlCamera  # noqa: PLC0415

    producer = Path(genicam.__file__).parent / "viky.cti"
    return GentlCamera("cam", GentlCamera.Settings(producer=producer, serial="0", frame_rate=1 / INTERVAL_S))


# A factory makes a closed camera that gives at least ten pictures, one every INTERVAL_S.
CAMERAS: list[Callable[[Path], Camera]] = [folder, opencv, simulated, basler, gentl]


def genicam(address: str) -> Camera:
    return GenicamCamera("cam", GenicamCamera.Settings(address=address, trigger_source="Line0", packet_socket=False))


def apart(driver: str, camera: Any) -> CameraProcess:
    """The same camera in a process of its own."""
    return CameraProcess(camera.name, driver, camera._settings)


@pytest.fixture(
    params=[(make, own) for own in (False, True) for make in (*CAMERAS, genicam)],
    ids=lambda way: way[0].__name__ + (" in its own process" if way[1] else ""),
)
def camera(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Camera]:
    make, own_process = request.param
    if make is genicam:
        made: Camera = genicam(request.getfixturevalue("start_gige")().address)
    else:
        made = make(tmp_path)
    if own_process:
        made = apart(make.__name__, made)
    yield made
    made.close()
    made.close()  # after a loss the first one leaves the process alive


def frames(camera: Camera, count: int) -> list[Frame]:
    taken: list[Frame] = []
    deadline = time.monotonic() + 5
    while len(taken) < count and time.monotonic() < deadline:
        frame = camera.grab(0.5)
        if frame is not None:
            taken.append(frame)
    assert len(taken) == count
    return taken


def test_grab_before_open(camera: Camera) -> None:
    with pytest.raises(DeviceError, match="not open"):
        camera.grab(0.01)


def test_frames_are_pictures_with_their_origin(camera: Camera) -> None:
    camera.open()
    for frame in frames(camera, 3):
        assert frame.camera == "cam"
        assert frame.image.dtype == np.uint8
        assert frame.image.ndim in (2, 3)
        assert frame.image.flags.c_contiguous


def test_frame_ids_rise(camera: Camera) -> None:
    camera.open()
    ids = [frame.frame_id for frame in frames(camera, 10)]
    assert all(after > before for before, after in pairwise(ids))


def test_captured_then_received_then_now(camera: Camera) -> None:
    camera.open()
    captured = []
    for _ in range(5):
        (frame,) = frames(camera, 1)
        assert frame.captured_ns <= frame.received_ns <= time.monotonic_ns()
        captured.append(frame.captured_ns)
    assert all(after > before for before, after in pairwise(captured))


def test_frames_do_not_share_memory(camera: Camera) -> None:
    camera.open()
    first, second = frames(camera, 2)
    assert not np.shares_memory(first.image, second.image)


def test_grab_keeps_its_timeout(camera: Camera) -> None:
    camera.open()
    frames(camera, 1)
    nothing = 0
    for _ in range(8):
        started = time.monotonic()
        nothing += camera.grab(INTERVAL_S / 10) is None
        assert time.monotonic() - started < INTERVAL_S * 10
    assert nothing


def test_close_twice_and_without_open(camera: Camera) -> None:
    camera.close()
    camera.open()
    camera.close()
    camera.close()
    with pytest.raises(DeviceError, match="not open"):
        camera.grab(0.01)


def test_statistics_at_any_time(camera: Camera) -> None:
    assert isinstance(camera.counters(), CameraCounters)
    camera.open()
    frames(camera, 1)
    during = camera.counters()
    camera.close()
    after = camera.counters()
    assert after.packets_resent >= during.packets_resent
    assert during.frames_missed == during.packets_missing == 0


def test_opens_again(camera: Camera) -> None:
    camera.open()
    before = frames(camera, 2)
    camera.close()
    camera.open()
    after = frames(camera, 2)
    assert after[0].frame_id > before[-1].frame_id
    assert after[0].captured_ns > before[-1].captured_ns


def folder_camera(path: Path, **settings: Any) -> FolderCamera:
    camera = FolderCamera("cam", FolderCamera.Settings(path=path, **{"interval_ms": 0} | settings))
    camera.open()
    return camera


def test_folder_by_name_then_silence(tmp_path: Path) -> None:
    camera = folder_camera(write_folder(tmp_path))
    assert [int(frame.image[0, 0, 0]) for frame in frames(camera, PICTURES)] == [20 * n for n in range(PICTURES)]
    started = time.monotonic()
    assert camera.grab(0.02) is None
    assert time.monotonic() - started >= 0.02


def test_folder_repeats_and_is_grey(tmp_path: Path) -> None:
    camera = folder_camera(write_folder(tmp_path), repeat=True, grey=True)
    taken = frames(camera, 2 * PICTURES)
    assert taken[0].image.shape == (HEIGHT, WIDTH)
    np.testing.assert_array_equal(taken[0].image, taken[PICTURES].image)


def test_folder_keeps_the_schedule(tmp_path: Path) -> None:
    camera = folder_camera(write_folder(tmp_path), interval_ms=5)
    captured = [frame.captured_ns for frame in frames(camera, 5)]
    assert set(np.diff(captured)) == {5_000_000}


def test_folder_goes_on_after_a_damaged_picture(tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "01.png").write_bytes(b"no picture")
    camera = folder_camera(tmp_path)
    (first,) = frames(camera, 1)
    with pytest.raises(FrameIncompleteError, match=r"01\.png is missing or no picture") as raised:
        camera.grab(1)
    (third,) = frames(camera, 1)

    assert (first.frame_id, raised.value.frame_id, third.frame_id) == (1, 2, 3)
    assert first.captured_ns <= raised.value.captured_ns <= third.captured_ns
    assert third.image[0, 0, 0] == 40


@pytest.mark.parametrize("make", [lambda path: path / "nowhere", lambda path: path])
def test_folder_without_pictures(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    with pytest.raises(DeviceError, match="there is no"):
        folder_camera(make(tmp_path))


def test_index(tmp_path: Path) -> None:
    write_folder(tmp_path)
    text = "image,mask,class,split\n03.png,masks/03.png,crack,test\n01.png,,good,test\n"
    (tmp_path / "index.csv").write_text(text, encoding="utf-8")

    assert load_index(tmp_path) == [
        (tmp_path / "03.png", tmp_path / "masks/03.png", "crack"),
        (tmp_path / "01.png", None, "good"),
    ]
    assert [int(frame.image[0, 0, 0]) for frame in frames(folder_camera(tmp_path), 2)] == [60, 20]


def test_index_without_images(tmp_path: Path) -> None:
    (tmp_path / "index.csv").write_text("file\n03.png\n", encoding="utf-8")
    with pytest.raises(DeviceError, match=r"index\.csv, line 2: there is no image"):
        load_index(tmp_path)


def opencv_camera(source: Path, **settings: Any) -> OpenCvCamera:
    camera = OpenCvCamera("cam", OpenCvCamera.Settings(source=str(source), **settings))
    camera.open()
    return camera


def test_opencv_pictures_in_order_then_error(tmp_path: Path) -> None:
    camera = opencv_camera(write_video(tmp_path / "film.avi"), width=WIDTH, height=HEIGHT)
    levels = [int(frame.image[0, 0, 0]) for frame in frames(camera, PICTURES)]
    assert np.abs(np.subtract(levels, [20 * index for index in range(PICTURES)])).max() <= 3
    with pytest.raises(DeviceError, match="delivers no more pictures"):
        camera.grab(1)
    camera.close()


def test_opencv_stamp_is_the_arrival_less_the_latency(tmp_path: Path) -> None:
    camera = opencv_camera(write_video(tmp_path / "film.avi"), latency_ms=7)
    (frame,) = frames(camera, 1)
    assert frame.received_ns - frame.captured_ns == 7_000_000
    assert frame.captured_error_ns == 0, "a file is as old as anybody wants"
    camera.close()


@pytest.mark.parametrize(
    ("settings", "refused"),
    [
        ({"width": 99}, "width = 99: it uses 64"),
        ({"width": 64, "height": 47}, "height = 47: it uses 48"),
        ({"width": 64, "height": 99}, "height = 99: it uses 48"),
        ({"exposure_us": 500}, "refused manual exposure"),
        ({"gain": 12.0}, "refused gain = 12"),
        ({"fourcc": "YUYV"}, 'refused fourcc = "YUYV": it delivers "MJPG". Write fourcc = "MJPG", or'),
        ({"buffers": 3}, "refused buffers = 3"),
        ({"backend": "gstreamer"}, "does not open"),
    ],
)
def test_opencv_says_what_the_camera_refused(tmp_path: Path, settings: dict[str, Any], refused: str) -> None:
    with pytest.raises(DeviceError, match=refused):
        opencv_camera(write_video(tmp_path / "film.avi"), **settings)


@pytest.mark.parametrize(
    ("asked", "given", "said"),
    [
        ("MJPG", float(cv2.VideoWriter.fourcc(*"YUYV")), 'delivers "YUYV". Write fourcc = "YUYV", or'),
        ("Y16 ", float(cv2.VideoWriter.fourcc(*"Y10 ")), 'delivers "Y10 ". Write fourcc = "Y10 ", or'),
        ("MJPG", 0.0, "delivers format 0. Write a width"),
        ("MJPG", -1.0, "delivers format -1. Write a width"),
    ],
)
def test_opencv_says_formats_in_letters(monkeypatch: pytest.MonkeyPatch, asked: str, given: float, said: str) -> None:
    class Device:
        def isOpened(self) -> bool:  # noqa: N802 -- OpenCV's name
            return True

        def set(self, _key: int, _value: float) -> bool:
            return True

        def get(self, _key: int) -> float:
            return given

        def release(self) -> None: ...

    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: Device())
    camera = OpenCvCamera("cam", OpenCvCamera.Settings(source="/dev/null", fourcc=asked))
    with pytest.raises(DeviceError) as raised:
        camera.open()
    assert f'refused fourcc = "{asked}": it {said}' in str(raised.value)
    assert "v4l2-ctl --device /dev/null --list-formats-ext" in str(raised.value)


def test_opencv_missing_or_damaged_source(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="does not exist"):
        opencv_camera(tmp_path / "nowhere.avi")
    with pytest.raises(DeviceError, match="does not exist"):
        opencv_camera(Path("/dev/v4l/by-path/nowhere"))
    (tmp_path / "film.avi").write_bytes(b"no film")
    with pytest.raises(DeviceError, match="does not open"):
        opencv_camera(tmp_path / "film.avi")


class Usb:
    """The part of a V4L2 capture that frames come from, as OpenCV has it."""

    ready = True
    good = True

    def get(self, _key: int) -> float:
        return 30.0

    def retrieve(self) -> tuple[bool, Image | None]:
        return self.good, picture(1) if self.good else None

    def release(self) -> None:
        pass


@pytest.fixture
def usb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[OpenCvCamera, Usb]:
    """A camera whose device is there, as far as OpenCV can tell."""
    fake = Usb()

    class Captures:
        @staticmethod
        def waitAny(_streams: list[Any], timeout_ns: int) -> tuple[bool, list[int]]:  # noqa: N802 -- OpenCV's
            time.sleep(0 if fake.ready else timeout_ns / 1e9)
            return fake.ready, [0]

    monkeypatch.setattr(cv2, "VideoCapture", Captures)
    camera = OpenCvCamera("cam", OpenCvCamera.Settings(source=str(tmp_path)))
    camera._device = True
    camera._capture = fake
    camera._heard_ns = time.monotonic_ns()
    return camera, fake


def test_a_usb_camera_that_hangs_is_lost(usb: tuple[OpenCvCamera, Usb]) -> None:
    camera, fake = usb
    assert camera.grab(0.1) is not None
    fake.ready = False
    assert camera.grab(0.1) is None
    began = time.monotonic()
    with pytest.raises(DeviceError, match=r"gave no frame for \d+ ms"):
        frames(camera, 100)
    assert time.monotonic() - began < 1.5


def test_a_usb_picture_that_cannot_be_decoded_is_incomplete_and_many_are_a_loss(usb: tuple[OpenCvCamera, Usb]) -> None:
    camera, fake = usb
    fake.good = False
    with pytest.raises(FrameIncompleteError, match="cannot be decoded") as raised:
        camera.grab(0.1)
    assert raised.value.frame_id == 1
    fake.good = True
    frame = camera.grab(0.1)
    assert frame is not None
    assert frame.frame_id == 2
    fake.good = False
    for _ in range(10):
        with pytest.raises(FrameIncompleteError):
            camera.grab(0.1)
    with pytest.raises(DeviceError, match="delivers no more pictures"):
        camera.grab(0.1)


def test_a_usb_camera_that_was_unplugged_is_lost(usb: tuple[OpenCvCamera, Usb]) -> None:
    camera, fake = usb
    fake.good = False
    camera._settings = OpenCvCamera.Settings(source="/dev/v4l/by-path/unplugged")
    with pytest.raises(DeviceError, match="delivers no more pictures"):
        camera.grab(0.1)


class KernelStamped:
    """The part of a V4L2 capture that the stamp comes from."""

    def __init__(self, stamp_ns: int) -> None:
        self._stamp_ns = stamp_ns

    def get(self, _key: int) -> float:
        return self._stamp_ns / 1e6


@pytest.mark.parametrize(
    ("age_ns", "used"), [(4_000_000, True), (0, True), (-1_000_000, False), (3_000_000_000, False)]
)
def test_opencv_uses_the_kernel_stamp_only_when_it_can_be_true(age_ns: int, used: bool) -> None:  # noqa: FBT001
    camera = OpenCvCamera("cam", OpenCvCamera.Settings(source="/dev/video0"))
    received_ns = 10_000_000_000
    camera._capture = KernelStamped(received_ns - age_ns)
    assert camera._kernel_stamp_ns(received_ns) == (received_ns - age_ns if used else None)


FRAME_NS = 1_000_000_000 // 30


@pytest.mark.parametrize(
    ("settings", "stamped", "error_ns"),
    [
        ({}, True, FRAME_NS),
        ({"latency_ms": 4}, True, 2_000_000),
        ({"latency_ms": 4, "latency_error_ms": 1}, True, 1_000_000),
        ({"latency_error_ms": 0}, True, 0),
        ({"latency_ms": 4}, False, 2_000_000 + 4 * FRAME_NS),
        ({"latency_ms": 4, "buffers": 2}, False, 2_000_000 + 2 * FRAME_NS),
    ],
)
def test_what_is_not_known_of_a_device_s_latency_is_in_the_bound(
    settings: dict[str, float],
    stamped: bool,  # noqa: FBT001
    error_ns: int,
) -> None:
    camera = OpenCvCamera("cam", OpenCvCamera.Settings(source="/dev/video0", **settings))
    assert camera._error_ns(stamped=stamped) == pytest.approx(error_ns, abs=10)


def test_a_network_stream_without_a_latency_is_refused_with_what_to_do() -> None:
    with pytest.raises(ValidationError, match=r"latency_ms is missing: .*edge-inspector focus URL --latency"):
        OpenCvCamera.Settings(source="rtsp://10.0.0.5/1")
    OpenCvCamera.Settings(source="rtsp://10.0.0.5/1", latency_ms=200)


@pytest.mark.parametrize("source", ["rtsp://10.0.0.5/1", "rtsp://a:b@10.0.0.5/1", "/dev/video0"])
def test_a_password_file_needs_its_user(source: str) -> None:
    with pytest.raises(ValidationError, match="password_file needs the user"):
        OpenCvCamera.Settings(source=source, latency_ms=1, password_file=Path("password"))


def test_settings_do_not_show_their_source() -> None:
    assert "S3cret" not in repr(OpenCvCamera.Settings(source="rtsp://a:S3cret@10.0.0.5/1", latency_ms=1))


def test_a_camera_whose_values_make_no_sense_has_failed_as_cameras_do(usb: tuple[OpenCvCamera, Usb]) -> None:
    camera, fake = usb
    for error in (ValueError("x"), MemoryError("x"), TypeError("x"), cv2.error("x"), OverflowError("x")):
        fake.retrieve = Mock(side_effect=error)  # type: ignore[method-assign]
        with pytest.raises(DeviceError, match=f"^cam: {type(error).__name__}: x"):
            camera.grab(0.1)


def bomb(side: int) -> bytes:
    """A PNG of so many pixels a side, all of them black."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return len(content).to_bytes(4, "big") + kind + content + check.to_bytes(4, "big")

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(side + 1)) for _ in range(side)) + packer.flush()
    header = side.to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_folder_takes_no_pipe_and_no_picture_that_unfolds_to_too_much(tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "01.png").unlink()
    os.mkfifo(tmp_path / "01.png")
    (tmp_path / "02.png").write_bytes(bomb(12_000))
    # OpenCV has its limit from when it was loaded, which in this process may have been before.
    program = (
        "import sys; from edge_inspector.cameras.folder import FolderCamera as F\n"
        "from edge_inspector.errors import FrameIncompleteError\n"
        "camera = F('cam', F.Settings(path=sys.argv[1], interval_ms=0)); camera.open()\n"
        "for _ in range(4):\n"
        "    try: print(camera.grab(1).image.shape)\n"
        "    except FrameIncompleteError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    shape = f"({HEIGHT}, {WIDTH}, 3)"
    lines = done.stdout.splitlines()
    assert (lines[0], lines[3]) == (shape, shape)
    assert "01.png is missing or no picture" in lines[1]
    assert "02.png is missing or no picture" in lines[2]


def test_an_index_is_a_file_and_stays_in_its_folder(tmp_path: Path) -> None:
    write_folder(tmp_path)
    for row in ("/etc/passwd,", "../00.png,", "a/../../00.png,", "00.png,/etc/passwd", "00.png,../00.png"):
        (tmp_path / "index.csv").write_text(f"image,mask\n{row}\n")
        with pytest.raises(DeviceError, match=r"line 2: .* is not in this folder"):
            load_index(tmp_path)
    (tmp_path / "index.csv").unlink()
    os.mkfifo(tmp_path / "index.csv")
    with pytest.raises(DeviceError, match="is not a file"):
        load_index(tmp_path)


class AdjustableUsb:
    """A V4L2 device that takes any exposure, and gain up to 50."""

    def __init__(self) -> None:
        self.values: dict[int, float] = {}

    def set(self, key: int, value: float) -> None:
        self.values[key] = min(value, 50.0) if key == cv2.CAP_PROP_GAIN else value

    def get(self, key: int) -> float:
        return self.values.get(key, 0.0)


def test_another_exposure_of_a_usb_camera_moves_its_middle_and_widens_the_bound() -> None:
    usual = OpenCvCamera.Settings(source="/dev/video0", exposure_us=10_000, gain=10, latency_ms=20)
    camera, device = OpenCvCamera("cam", usual), AdjustableUsb()
    camera._capture = device
    longer = usual.model_copy(update={"exposure_us": 14_000, "gain": 20})
    camera.adjust(longer)
    assert (device.values[cv2.CAP_PROP_EXPOSURE], device.values[cv2.CAP_PROP_GAIN]) == (140, 20)
    assert camera._latency_ns() == 22_000_000
    assert camera._adjusted_error_ns(time.monotonic_ns() + 2_000_000_000) == 2_000_000
    with pytest.raises(DeviceError, match="cam: /dev/video0 refused gain = 60: it uses 50"):
        camera.adjust(longer.model_copy(update={"exposure_us": 1000, "gain": 60}))
    assert (device.values[cv2.CAP_PROP_EXPOSURE], device.values[cv2.CAP_PROP_GAIN]) == (140, 20)
    assert camera._latency_ns() == 22_000_000
    camera._capture = None


def test_opencv_changes_exposure_of_devices_only() -> None:
    assert OpenCvCamera.Settings(source="/dev/video0").adjustable
    assert not OpenCvCamera.Settings(source="film.avi").adjustable
