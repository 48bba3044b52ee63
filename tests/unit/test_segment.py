"""The model's threads: who may call it when, and what becomes of a frame."""

import threading
import time
from collections.abc import Iterator, Sequence
from threading import Semaphore

import numpy as np
import pytest
from verdicts import frame

from edge_inspector.errors import InferenceError
from edge_inspector.inspection.admission import Admission
from edge_inspector.records import Frame, Image, Job, JudgeItem, ModelInfo, Reason, View, ViewFigures
from edge_inspector.runtime.album import Album
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.runtime.mailbox import Mailbox
from edge_inspector.runtime.worker import Worker
from edge_inspector.stages.segment import Segment

FIGURES = ViewFigures(100.0, 5.0)


class Model:
    """Stays in a call until it is let go; knows how many were in it at once."""

    info = ModelInfo("m", "1", "", ("crack",), 40, 60, 3, 2, "int8", "cpu")
    max_batch = 1
    workers = 1

    def __init__(self) -> None:
        self.inside = self.most = self.calls = 0
        self.free = Semaphore(0)
        self.error: Exception | None = None
        self._lock = threading.Lock()

    def open(self) -> None:
        """Nothing."""

    def segment(self, images: Sequence[Image]) -> list[Image]:
        with self._lock:
            self.inside += 1
            self.calls += 1
            self.most = max(self.most, self.inside)
        self.free.acquire(timeout=10)
        with self._lock:
            self.inside -= 1
        if self.error:
            raise self.error
        return [np.zeros((1, 20, 30), np.uint8) for _ in images]

    def close(self) -> None:
        """Nothing."""


class Room:
    """Two segment threads around one slot; `looking` holds whoever measures a mask."""

    def __init__(self) -> None:
        self.model = Model()
        self.jobs: Mailbox[Job] = Mailbox("jobs", 8, key=lambda job: job.decide_by)
        self.views: Mailbox[JudgeItem] = Mailbox("judge", 8)
        self.album = Album(2**20)
        self.conditions = Conditions()
        self.looking = threading.Event()
        self.looking.set()
        self.reached = 0.0
        admission, slots = Admission(lambda _: self.reached, 0.0, 1, whole_parts=False), Semaphore(1)
        self.stages = [
            Segment(number, self.model, admission, slots, self.look, self.jobs, self.views, self.conditions, self.album)
            for number in range(2)
        ]
        self.workers = [Worker(stage) for stage in self.stages]

    def look(self, taken: Frame, mask: Image, begun_ns: int, inference_ns: int, figures: ViewFigures) -> View:
        assert mask.shape == (1, 20, 30)
        self.looking.wait(10)
        return View(
            taken.camera,
            taken.frame_id,
            taken.captured_ns,
            begun_ns=begun_ns,
            inference_ns=inference_ns,
            figures=figures,
        )

    def offer(self, *numbers: int) -> None:
        for number in numbers:
            self.jobs.put(Job(frame(frame_id=number), 1000.0 - number, FIGURES))

    def seen(self, count: int) -> list[View]:
        until, found = time.monotonic() + 10, []
        while len(found) < count and time.monotonic() < until:
            found += self.views.take(8, 0.05)
        return [view for view in found if isinstance(view, View)]


@pytest.fixture
def room() -> Iterator[Room]:
    made = Room()
    yield made
    made.looking.set()
    for worker in made.workers:
        worker.stop()
    for _ in range(100):
        made.model.free.release()
    assert all(worker.join(10) for worker in made.workers)


def wait_until(done: object) -> None:
    until = time.monotonic() + 10
    while not done():  # type: ignore[operator]
        assert time.monotonic() < until
        time.sleep(0.002)


def test_the_model_goes_on_while_a_mask_is_measured_and_never_has_more_calls_than_slots(room: Room) -> None:
    room.looking.clear()
    for worker in room.workers:
        worker.start()
    room.offer(1, 2, 3)
    room.model.free.release()
    wait_until(lambda: room.model.calls == 2)
    assert room.model.most == 1, "the second call began after the first, though that one is still being measured"
    room.looking.set()
    room.model.free.release()
    room.model.free.release()
    assert [view.frame_id for view in room.seen(3)] == [3, 2, 1], "earliest due first"
    assert room.model.most == 1


def test_a_view_has_what_acquire_saw_and_its_picture_is_in_the_album(room: Room) -> None:
    room.offer(4)
    room.model.free.release()
    room.stages[0].step()
    (view,) = room.seen(1)
    assert (view.failure, view.figures, view.captured_ns) == (Reason.NONE, FIGURES, 2_000_000_000)
    kept = room.album.get("cam1", 4)
    assert kept is not None
    assert kept.mask is not None


def test_what_can_no_longer_make_the_gate_is_answered_without_the_model(room: Room) -> None:
    room.reached = 5000.0
    room.offer(4)
    room.stages[0].step()
    (view,) = room.seen(1)
    assert (view.failure, view.figures) == (Reason.LATE, FIGURES)
    assert room.model.calls == 0
    room.stages[1].step()  # the slot is free again
    assert room.model.calls == 0


def test_a_failed_call_answers_its_frame_gives_the_slot_back_and_fails_the_thread_at_the_third(room: Room) -> None:
    room.model.error = InferenceError("out of memory")
    for number in (1, 2):
        room.offer(number)
        room.model.free.release()
        room.stages[0].step()
    assert [view.failure for view in room.seen(2)] == [Reason.INFERENCE_FAILED] * 2
    room.offer(3)
    room.model.free.release()
    with pytest.raises(InferenceError):
        room.stages[0].step()
    room.model.error = None
    room.offer(4)
    room.model.free.release()
    room.stages[1].step()
    assert [view.failure for view in room.seen(2)] == [Reason.INFERENCE_FAILED, Reason.NONE]


def test_at_the_end_what_was_never_inferred_is_answered(room: Room) -> None:
    room.offer(1, 2)
    room.stages[0].stop(failed=True)
    assert room.seen(0) == []
    room.stages[0].stop(failed=False)
    assert {view.failure for view in room.seen(2)} == {Reason.STOPPING}
