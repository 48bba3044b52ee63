"""A camera in a process of its own, beyond what tests/contracts/test_cameras.py asks of every camera."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_inspector.camera_process import camera as station_side
from edge_inspector.camera_process import words
from edge_inspector.camera_process.__main__ import CameraEnd
from edge_inspector.camera_process.camera import CameraProcess
from edge_inspector.camera_process.pictures import SLOTS, Receiver, Sender
from edge_inspector.cameras.folder import FolderCamera
from edge_inspector.errors import DeviceError, FrameIncompleteError
from edge_inspector.inspection.picture import picture_figures
from edge_inspector.records import Frame

PICTURES = 8
SHAPE = (48, 64)


def settings(folder: Path, interval_ms: float = 0.0) -> FolderCamera.Settings:
    generator = np.random.default_rng(3)
    for index in range(PICTURES):
        picture = generator.integers(20 * index, 20 * index + 20, SHAPE, dtype=np.uint8)
        cv2.imwrite(str(folder / f"{index}.png"), picture)
    return FolderCamera.Settings(path=folder, interval_ms=interval_ms, repeat=True)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[CameraProcess]:
    camera = CameraProcess("cam", "folder", settings(tmp_path, 2.0))
    yield camera
    camera.close()
    camera.close()


def next_frame(camera: CameraProcess) -> Frame:
    for _ in range(100):
        if (frame := camera.grab(0.2)) is not None:
            return frame
    raise AssertionError("no frame came")


def until_lost(camera: CameraProcess) -> DeviceError:
    with pytest.raises(DeviceError) as raised:  # noqa: PT012 -- frames that were on their way come first
        for _ in range(1000):
            camera.grab(0.1)
    return raised.value


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def await_true(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_killed_process_is_a_lost_camera_and_the_next_open_starts_another(made: CameraProcess) -> None:
    made.open()
    held, first = next_frame(made), made.pid
    assert first is not None
    pixels = held.image.copy()
    os.kill(first, signal.SIGKILL)
    assert str(until_lost(made)) == "cam: its process ended with code -9"
    made.close()
    made.open()
    after = next_frame(made)
    assert made.pid != first
    assert after.frame_id > held.frame_id
    np.testing.assert_array_equal(held.image, pixels, "a picture that is kept outlives the process that made it")


def test_a_process_that_hangs_is_a_lost_camera_and_is_ended(
    made: CameraProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.open()
    next_frame(made)
    hung = made.pid
    assert hung is not None
    monkeypatch.setattr(station_side, "_SILENT_S", 0.5)
    monkeypatch.setattr(made, "_heard_ns", time.monotonic_ns())  # not the grace of the opening
    os.kill(hung, signal.SIGSTOP)
    assert str(until_lost(made)) == "cam: its process hangs"
    assert not is_there(hung)


def test_a_camera_that_is_lost_keeps_its_process(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    for file in tmp_path.glob("*.png"):
        file.unlink()
    camera = CameraProcess("cam", "folder", chosen)
    pids = set()
    for _ in range(2):
        with pytest.raises(DeviceError, match="there is no"):
            camera.open()
        camera.close()
        pids.add(camera.pid)
    assert len(pids) == 1
    (pid,) = pids
    assert pid is not None
    settings(tmp_path)
    camera.open()
    assert camera.pid == pid
    assert next_frame(camera).frame_id == 1
    camera.close()
    assert not is_there(pid)


STATION = """
import sys, time
from pathlib import Path
from edge_inspector.camera_process.camera import CameraProcess
from edge_inspector.cameras.folder import FolderCamera
camera = CameraProcess("cam", "folder", FolderCamera.Settings(path=Path(sys.argv[1]), interval_ms=2, repeat=True))
camera.open()
frames = []
while len(frames) < 5:
    frame = camera.grab(0.2)
    if frame is not None:
        frames.append(frame)
print(camera.pid, flush=True)
time.sleep(600)
"""


def test_a_killed_station_leaves_no_process_and_no_memory(tmp_path: Path) -> None:
    settings(tmp_path)
    command = [sys.executable, "-c", STATION, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as station:
        assert station.stdout is not None
        pid = int(station.stdout.readline())
        maps = Path(f"/proc/{pid}/maps").read_text()
        station.kill()
    assert "edge-inspector pictures (deleted)" in maps, "memory without a name goes with its last process"
    await_true(lambda: not is_there(pid))


def test_frames_are_those_of_the_camera_with_their_figures(made: CameraProcess, tmp_path: Path) -> None:
    made.open()
    known = [cv2.imread(str(tmp_path / f"{index}.png"), cv2.IMREAD_COLOR) for index in range(PICTURES)]
    frames = [next_frame(made) for _ in range(5)]
    for frame in frames:
        np.testing.assert_array_equal(frame.image, known[(frame.frame_id - 1) % PICTURES])
        assert frame.figures == picture_figures(frame.image)


def test_pictures_in_use_are_not_written_over_and_others_are(made: CameraProcess) -> None:
    made.open()
    held = [next_frame(made) for _ in range(2 * SLOTS + 3)]
    pixels = [frame.image.copy() for frame in held]
    for _ in range(2 * SLOTS):
        next_frame(made)
    for frame, copy in zip(held, pixels, strict=True):
        np.testing.assert_array_equal(frame.image, copy)
    room = len(made._pictures._segments)
    held.clear()
    del frame
    for _ in range(4 * SLOTS):
        next_frame(made)
    assert len(made._pictures._segments) == room


def test_a_station_that_does_not_read_gets_the_oldest_and_a_count_of_the_others(made: CameraProcess) -> None:
    made.open()
    first = next_frame(made)
    time.sleep(0.5)  # at 2 ms a picture, far more than may be on their way
    ids = [next_frame(made).frame_id for _ in range(SLOTS)]
    assert ids == list(range(first.frame_id + 1, first.frame_id + 1 + SLOTS))
    await_true(lambda: next_frame(made) is not None and made.counters().underruns > 0)


def test_a_damaged_picture_is_incomplete_and_the_next_one_comes(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    (tmp_path / "1.png").write_bytes(b"no picture")
    camera = CameraProcess("cam", "folder", chosen)
    camera.open()
    first = next_frame(camera)
    with pytest.raises(FrameIncompleteError, match=r"1\.png is missing or no picture") as raised:
        next_frame(camera)
    assert (first.frame_id, raised.value.frame_id, next_frame(camera).frame_id) == (1, 2, 3)
    camera.close()


def test_what_cannot_be_is_refused() -> None:
    sender, receiver = Sender(), Receiver()
    number, descriptor = sender.grow(100)
    with pytest.raises(ValueError, match="smaller than its pictures"):
        receiver.add(number, descriptor, 10_000_000)
    with pytest.raises(ValueError, match="is missing"):
        receiver.add(1, descriptor, 100)
    receiver.add(number, descriptor, 100)
    os.close(descriptor)
    for slot in (-1, SLOTS):
        with pytest.raises(ValueError, match="there is no slot"):
            receiver.picture(slot, (10, 10))
    with pytest.raises(ValueError, match="cannot reshape"):
        receiver.picture(0, (11, 10))


class Lit(FolderCamera):
    """A camera that takes other settings."""

    taken: FolderCamera.Settings | None = None

    def adjust(self, settings: FolderCamera.Settings) -> None:
        self.taken = settings


def test_other_settings_reach_the_camera_and_what_it_says_meanwhile_is_kept(tmp_path: Path) -> None:
    usual = settings(tmp_path)
    other = usual.model_copy(update={"interval_ms": 7.0})
    camera, (ours, theirs) = (
        CameraProcess("cam", "folder", usual),
        socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET),
    )
    with ours, theirs:
        end = CameraEnd(theirs)
        end._camera, end._settings = seen, _ = Lit("cam", usual), FolderCamera.Settings
        camera._line, camera._open = ours, True

        def obey() -> None:
            order = theirs.recv(words.LONGEST)
            end._say(words.INCOMPLETE, frame_id=3, captured_ns=4, why="packets missing")
            end._obey(order)

        thread = threading.Thread(target=obey)
        thread.start()
        camera.adjust(other)
        thread.join()
        assert seen.taken == other
        with pytest.raises(FrameIncompleteError, match="packets missing"):
            camera.grab(0.1)
        assert camera._order["adjusted"]["interval_ms"] == 7.0, "the next process gets them too"
        camera._line = None


def test_a_camera_that_refuses_other_settings_goes_on(made: CameraProcess, tmp_path: Path) -> None:
    made.open()
    next_frame(made)
    with pytest.raises(DeviceError, match="cam: its driver cannot change this while it runs"):
        made.adjust(FolderCamera.Settings(path=tmp_path, interval_ms=2.0, repeat=True))
    next_frame(made)
