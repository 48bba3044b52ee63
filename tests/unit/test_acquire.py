"""What the acquiring thread makes of frames, by a folder of pictures as the camera."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_inspector import metrics
from edge_inspector.cameras.folder import FolderCamera
from edge_inspector.codes import ErrorCode, Reason
from edge_inspector.errors import DeviceError
from edge_inspector.inspection.admission import Admission
from edge_inspector.inspection.picture_guard import CameraGuard, learn, signature
from edge_inspector.inspection.recipe import PictureLimits
from edge_inspector.records import CameraCounters, Image, Job, JudgeItem, View
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.runtime.mailbox import Mailbox
from edge_inspector.stages.acquire import Acquire
from edge_inspector.store.album import Album
from edge_inspector.store.openings import Openings

GOOD, OTHER = (np.random.default_rng(seed).integers(50, 200, (40, 40, 3), dtype=np.uint8) for seed in (1, 2))
BLACK = np.zeros((40, 40, 3), np.uint8)


class Counting(FolderCamera):
    """A folder with statistics such as a network camera has."""

    now = CameraCounters()

    def counters(self) -> CameraCounters:
        return self.now


class Station:
    def __init__(self, folder: Path, pictures: list[Image], reached: float = 0.0) -> None:
        for index, picture in enumerate(pictures):
            cv2.imwrite(str(folder / f"{index}.png"), picture)
        self.name = f"cam-{folder.name}"[:32]
        self.camera = Counting(self.name, FolderCamera.Settings(path=folder, interval_ms=0))
        self.jobs: Mailbox[Job] = Mailbox("jobs", 8)
        self.views: Mailbox[JudgeItem] = Mailbox("judge", 8)
        self.conditions = Conditions()
        self.guard: CameraGuard | None = None
        admission = Admission(lambda _now_ns, _at_ns: reached, 10.0, 1, lambda: 1)
        self.stage = Acquire(
            self.camera,
            to_line={self.name: 1000},
            estimate=lambda _: 0.0,
            admission=admission,
            limits=lambda _: PictureLimits(),
            guard=lambda _: self.guard,
            jobs=self.jobs,
            views=self.views,
            conditions=self.conditions,
            album=Album(2**20),
            openings=Openings(folder, [self.name]),
        )
        self.stage.start()

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.stage.step()

    def metric(self, name: str, **labels: str) -> float | None:
        return metrics.REGISTRY.get_sample_value(f"edge_inspector_{name}", {"camera": self.name} | labels)


@pytest.fixture
def station(tmp_path: Path) -> Callable[..., Station]:
    return lambda *pictures, reached=0.0: Station(tmp_path, list(pictures), reached)


def test_a_picture_that_is_not_like_the_taught_ones_is_answered_with_what_is_unlike(
    station: Callable[..., Station],
) -> None:
    grey = np.full(GOOD.shape, 120, np.uint8)
    made = station(GOOD, grey, OTHER)
    made.guard = learn([signature(each) for each in (GOOD, OTHER)] * 10)
    made.run(3)
    assert len(made.jobs) == 1
    (view,) = made.views.take(8, 0.0)
    assert isinstance(view, View)
    assert view.failure is Reason.BAD_IMAGE
    (told,) = [each for each in made.conditions.reasons() if each.code is ErrorCode.BAD_PICTURES]
    assert told.why.startswith("unlike: its sharpness is ")
    assert made.metric("pictures_bad_total", fault="unlike") == 1
    made.run(1)
    assert not made.conditions.held(ErrorCode.BAD_PICTURES, made.name)


def test_a_bad_picture_is_answered_and_never_inferred(station: Callable[..., Station]) -> None:
    made = station(GOOD, BLACK, OTHER, OTHER)
    made.run(3)
    assert made.conditions.held(ErrorCode.BAD_PICTURES, made.name)
    made.run(1)
    assert not made.conditions.held(ErrorCode.BAD_PICTURES, made.name)
    made.run(1)
    answers = made.views.take(8, 0)
    assert [(view.frame_id, view.failure) for view in answers if isinstance(view, View)] == [
        (2, Reason.BAD_IMAGE),
        (4, Reason.BAD_IMAGE),
    ]
    assert [job.frame.frame_id for job in made.jobs.take(8, 0)] == [1, 3]
    assert made.metric("pictures_bad_total", fault="dark") == 1
    assert made.metric("pictures_bad_total", fault="frozen") == 1
    assert made.metric("frames_evicted_total", reason="bad_image") == 2
    assert made.metric("picture_sharpness") == pytest.approx(50, abs=25)


def test_a_frame_that_comes_too_late_is_not_even_looked_at(station: Callable[..., Station]) -> None:
    made = station(BLACK, reached=1000.0)
    made.run(2)
    (answer,) = made.views.take(8, 0)
    assert isinstance(answer, View)
    assert (answer.failure, answer.figures) == (Reason.LATE, None)
    assert not made.conditions.held(ErrorCode.BAD_PICTURES, made.name)
    assert made.metric("pictures_bad_total", fault="dark") is None


def test_the_device_s_statistics_become_metrics_that_never_fall(station: Callable[..., Station]) -> None:
    made = station(GOOD)
    made.run(1)
    made.camera.now = CameraCounters(frames_missed=2, underruns=3, packets_missing=4, packets_resent=5)
    made.stage.stop(failed=False)
    assert made.metric("camera_temperature_celsius") is None
    # Opened again: the device counts from zero.
    made.camera.now = CameraCounters(frames_missed=1, packets_resent=5, temperature_c=41.5)
    made.stage._published_ns = 0
    made.run(1)
    made.camera.now = replace(made.camera.now, packets_resent=9)
    made.stage.stop(failed=True)
    assert made.metric("frames_missed_total") == 3
    assert made.metric("camera_underruns_total") == 3
    assert made.metric("camera_packets_missing_total") == 4
    assert made.metric("camera_packets_resent_total") == 9
    assert made.metric("camera_temperature_celsius") == 41.5


def test_statistics_are_not_asked_for_with_every_frame(station: Callable[..., Station]) -> None:
    made = station(GOOD, OTHER)
    made.run(2)
    made.camera.now = CameraCounters(frames_missed=7)
    made.stage._published_ns = time.monotonic_ns()
    made.run(1)
    assert made.metric("frames_missed_total") == 0


def test_a_camera_that_ended_the_daemon_too_often_is_not_opened_until_reset(tmp_path: Path) -> None:
    for _ in range(3):  # lives that ended while it was being opened
        openings = Openings(tmp_path, [f"cam-{tmp_path.name}"[:32]])
        openings.begin(f"cam-{tmp_path.name}"[:32])
        openings.write(0)
    made = Station(tmp_path, [GOOD, OTHER])
    made.run(3)
    assert made.conditions.held(ErrorCode.CAMERA_LEFT_OUT, made.name)
    assert made.conditions.held(ErrorCode.CAMERA_LOST, made.name), "its parts are camera_lost"
    assert made.views.take(8, 0) == made.jobs.take(8, 0) == []
    made.conditions.reset()
    deadline = time.monotonic() + 10
    while not (jobs := made.jobs.take(8, 0)) and time.monotonic() < deadline:
        made.run(1)
    assert jobs
    assert made.conditions.snapshot() == []
    assert Openings(tmp_path, [made.name]).left_out(made.name), "not yet written that it works"
    while made.stage._openings.waiting:
        made.stage._openings.write(0)
    assert not Openings(tmp_path, [made.name]).left_out(made.name)


class Product:
    """The setup of a camera, as the test wants it."""

    def __init__(self) -> None:
        self.wanted: dict[str, float] = {"ExposureTime": 100.0}
        self.now: dict[str, float] | None = None

    @property
    def fits(self) -> frozenset[int]:
        return frozenset({int(self.now["ExposureTime"])}) if self.now else frozenset()


def test_the_camera_is_adjusted_between_two_pictures_and_each_picture_says_whom_it_fits(
    station: Callable[..., Station], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, product, told = station(GOOD, OTHER, GOOD, OTHER), Product(), list[object]()
    made.stage.setup = product  # type: ignore[assignment]
    monkeypatch.setattr(made.camera, "set_features", lambda features: told.append(dict(features)), raising=False)
    monkeypatch.setattr("edge_inspector.stages.acquire._SETTLES_NS", 0)
    made.run(3)
    product.wanted = {"ExposureTime": 300.0}
    made.run(1)
    assert told == [{"ExposureTime": 100.0}, {"ExposureTime": 300.0}]
    assert [job.frame.fits for job in made.jobs.take(8, 0)] == [{100}, {100}, {300}]
    monkeypatch.setattr("edge_inspector.stages.acquire._SETTLES_NS", 60_000_000_000)
    made.run(1)
    assert [job.frame.fits for job in made.jobs.take(8, 0)] == [frozenset()], "it may have been exposed before"


def test_a_camera_that_refuses_a_feature_is_lost_and_told_again_when_it_is_back(
    station: Callable[..., Station], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(_features: object) -> None:
        raise DeviceError("ExposureTime = 300 was refused: out of range")

    made, product, told = station(GOOD, OTHER), Product(), list[object]()
    made.stage.setup = product  # type: ignore[assignment]
    monkeypatch.setattr(made.camera, "set_features", refuses, raising=False)
    made.run(2)
    assert made.conditions.held(ErrorCode.CAMERA_LOST, made.name)
    assert not made.jobs.take(8, 0)
    monkeypatch.setattr(made.camera, "set_features", told.append)
    time.sleep(0.2)  # its backoff
    made.run(4)
    assert told == [{"ExposureTime": 100.0}]
    assert not made.conditions.held(ErrorCode.CAMERA_LOST, made.name)
