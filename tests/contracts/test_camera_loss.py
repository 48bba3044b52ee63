"""A camera that is lost in any way is known to be lost, and back in use within a second of being back."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from edge_inspector.cameras.genicam import GenicamCamera
from edge_inspector.codes import ErrorCode
from edge_inspector.inspection.admission import Admission
from edge_inspector.inspection.recipe import PictureLimits
from edge_inspector.records import Frame, Job, JudgeItem
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.runtime.mailbox import Mailbox
from edge_inspector.stages.acquire import Acquire
from edge_inspector.store.album import Album
from edge_inspector.store.openings import Openings

KNOWN_WITHIN_S, BACK_WITHIN_S = 0.5, 1.0
SLACK_S = 0.5  # a busy machine


class Acquiring:
    """The stage around a camera, in a thread as in the daemon."""

    def __init__(self, name: str, address: str) -> None:
        settings = GenicamCamera.Settings(
            address=address,
            packet_socket=False,
            packet_size=576,
            exposure_us=150.0,
            trigger_source="Line0",
            chunk_encoder="EncoderValue",
        )
        self._name = name
        self._jobs: Mailbox[Job] = Mailbox("jobs", 4096)
        views: Mailbox[JudgeItem] = Mailbox("judge", 4096)
        self._conditions = Conditions()
        admission = Admission(lambda _now_ns, _at_ns: 0.0, 10.0, 1, lambda: 1)
        self._stage = Acquire(
            GenicamCamera(name, settings),
            to_line={name: 100_000},
            estimate=lambda _: 0.0,
            admission=admission,
            limits=lambda _: PictureLimits(),
            guard=lambda _: None,
            jobs=self._jobs,
            views=views,
            conditions=self._conditions,
            album=Album(2**20),
            openings=Openings(Path("nowhere"), [name]),
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        stop = threading.Event()

        def run() -> None:
            self._stage.start()
            while not stop.is_set():
                self._stage.step()
            self._stage.stop(failed=False)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    @property
    def lost(self) -> bool:
        return self._conditions.held(ErrorCode.CAMERA_LOST, self._name)

    def frames(self) -> list[Frame]:
        return [job.frame for job in self._jobs.take(4096, 0)]


def seconds_until(happens: Callable[[], Any], within_s: float) -> float:
    began = time.monotonic()
    while not happens():
        assert time.monotonic() - began < within_s
        time.sleep(0.002)
    return time.monotonic() - began


FAULTS: dict[str, tuple[Callable[[Any], None], Callable[[Any], None], float]] = {
    "hung": (
        lambda camera: camera.process.send_signal(signal.SIGSTOP),
        lambda camera: camera.process.send_signal(signal.SIGCONT),
        1.5,
    ),
    "network dropped": (
        lambda camera: camera.process.send_signal(signal.SIGUSR2),
        lambda camera: camera.process.send_signal(signal.SIGUSR2),
        0.7,
    ),
    # Longer than the camera's heartbeat: it has let go of its controller in the meantime.
    "network dropped for long": (
        lambda camera: camera.process.send_signal(signal.SIGUSR2),
        lambda camera: camera.process.send_signal(signal.SIGUSR2),
        4.0,
    ),
    "power cycled": (lambda camera: camera.kill(), lambda camera: camera.start(), 0.5),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_lost_and_back_with_its_settings_while_others_go_on(start_gige: Any, gige: Any, fault: str) -> None:
    down, up, gone_s = FAULTS[fault]
    victim = start_gige()
    watched, bystander = Acquiring("victim", victim.address), Acquiring("bystander", gige.address)
    with watched.running(), bystander.running():
        seconds_until(watched.frames, 5)
        seconds_until(bystander.frames, 5)

        down(victim)
        began = time.monotonic()
        assert seconds_until(lambda: watched.lost, 3) < KNOWN_WITHIN_S + SLACK_S
        time.sleep(max(0.0, gone_s - (time.monotonic() - began)))
        watched.frames()
        up(victim)
        after: list[Frame] = []
        took = seconds_until(lambda: not watched.lost and after.extend(watched.frames()) is None and after, 10)
        assert took < BACK_WITHIN_S + SLACK_S
        assert after[0].exposure_ns == 150_000
        assert after[0].encoder_count is not None
        assert not bystander.lost
    gaps_ns = [later.captured_ns - one.captured_ns for one, later in pairwise(bystander.frames())]
    assert max(gaps_ns) < 500_000_000
