"""The model's threads and the one that measures masks: who waits for whom, and what becomes of a frame."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from support.verdicts import defect, frame

from edge_inspector.codes import Reason
from edge_inspector.drivers import Due, Segmenter
from edge_inspector.errors import InferenceError
from edge_inspector.inspection.admission import Admission
from edge_inspector.records import Frame, Image, Job, JudgeItem, ModelInfo, Segmented, View, ViewFigures
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.runtime.mailbox import Mailbox
from edge_inspector.stages.measure import Measure
from edge_inspector.stages.segment import Segment
from edge_inspector.store.album import Album

FIGURES = ViewFigures(100.0, 5.0)
SHAPE = (1, 20, 30)
MARKED = 7  # has a defect within the limits


class Model(Segmenter):
    """Gives empty masks, or fails."""

    info = ModelInfo(
        "m", "1", "", ("crack",), height=40, width=60, channels=3, stride=2, precision="int8", provider="cpu"
    )
    max_batch = 2
    workers = 1

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.opened = 0
        self.error: Exception | None = None
        self.asked_while_busy: Callable[[Due], bool] = lambda _: True

    def open(self) -> None:
        self.opened += 1

    def segment(self, images: Sequence[Image]) -> list[Image]:
        self.calls.append(len(images))
        if self.error:
            raise self.error
        return [np.zeros(SHAPE, np.uint8) for _ in images]

    def segment_due(self, images: Sequence[Image], due: Due) -> list[Image] | None:
        return self.segment(images) if self.asked_while_busy(due) else None

    def close(self) -> None:
        """Nothing."""


class Room:
    """A model's thread and the one that measures, stepped by the test."""

    def __init__(self) -> None:
        self.model, self.conditions, self.album = Model(), Conditions(), Album(2**20)
        self.jobs: Mailbox[Job] = Mailbox("jobs", 8, key=lambda job: job.decide_by)
        self.masks: Mailbox[Segmented] = Mailbox("masks", 2)
        self.views: Mailbox[JudgeItem] = Mailbox("judge", 8)
        self.reached = 0.0
        self.admission = Admission(lambda _now_ns, _at_ns: self.reached, 0.0, 1, None)
        self.defective, self.rejected = set[int](), list[float]()
        self.measure = Measure(
            self.look,
            self.masks,
            self.views,
            self.album,
            rejects=lambda view: view.frame_id in self.defective,
            rejected=self.rejected.append,
        )
        self.segment = Segment(
            0,
            self.model,
            admission=self.admission,
            jobs=self.jobs,
            masks=self.masks,
            measure=self.measure.measure,
            views=self.views,
            conditions=self.conditions,
            album=self.album,
        )

    def look(self, taken: Frame, mask: Image, *, begun_ns: int, inference_ns: int, figures: ViewFigures) -> View:
        assert mask.shape == SHAPE
        return View(
            taken.camera,
            taken.frame_id,
            taken.captured_ns,
            begun_ns=begun_ns,
            inference_ns=inference_ns,
            figures=figures,
            defects=(defect(),) if taken.frame_id in {*self.defective, MARKED} else (),
        )

    def offer(self, *numbers: int) -> None:
        for number in numbers:
            self.jobs.put(Job(frame(frame_id=number), 1000.0 - number, FIGURES))

    def seen(self) -> list[View]:
        return [view for view in self.views.take(8, 0.0) if isinstance(view, View)]


@pytest.fixture
def room() -> Room:
    return Room()


def test_frames_go_through_the_model_earliest_due_first_and_are_measured_one_by_one(room: Room) -> None:
    room.offer(1, 2, 3)
    room.segment.step()
    assert room.model.calls == [2]
    assert room.seen() == [], "not measured yet"
    room.measure.step()
    assert [view.frame_id for view in room.seen()] == [3]
    room.measure.step()
    room.segment.step()
    room.measure.step()
    assert [view.frame_id for view in room.seen()] == [2, 1]


def test_a_model_on_a_server_is_told_how_long_its_mask_may_take(room: Room) -> None:
    """The belt comes one count nearer each millisecond. Of a batch the part counts that has the most time."""
    room.admission._foreseen = lambda now_ns, at_ns: 900.0 + (at_ns - now_ns) / 1e6
    told: list[float] = []
    room.model.asked_while_busy = lambda due: bool(told.append(due.left_s(0.5)) or True)
    room.offer(1, 50)
    room.segment.step()
    assert told == [pytest.approx(0.099, abs=0.002)]
    room.offer(50)
    room.segment.step()
    assert told[1:] == [pytest.approx(0.05, abs=0.002)]


def test_a_view_has_what_acquire_saw_and_its_picture_is_in_the_album(room: Room) -> None:
    room.offer(4)
    room.segment.step()
    room.measure.step()
    (view,) = room.seen()
    assert (view.failure, view.figures, view.captured_ns) == (Reason.NONE, FIGURES, 2_000_000_000)
    assert view.begun_ns > 0
    assert view.inference_ns > 0
    kept = room.album.get("cam1", 4)
    assert kept is not None
    assert kept.mask is not None


def test_a_mask_is_measured_at_once_while_no_frame_waits_and_no_mask_either(room: Room) -> None:
    room.offer(1)
    room.segment.step()
    assert [view.frame_id for view in room.seen()] == [1]
    room.offer(2, 3, 4)
    room.segment.step()
    room.measure.step()
    assert (len(room.jobs), len(room.masks)) == (1, 1)
    assert [view.frame_id for view in room.seen()] == [4]
    room.segment.step()
    assert (len(room.jobs), len(room.masks)) == (0, 2), "earlier masks go first"
    assert room.seen() == []


def test_only_the_view_that_can_complete_a_part_wakes_the_judge(room: Room) -> None:
    woken: list[bool] = []
    put = room.views.put

    def noted(item: JudgeItem, *, wake: bool = True) -> JudgeItem | None:
        woken.append(wake)
        return put(item, wake=wake)

    room.views.put = noted  # type: ignore[method-assign]
    measure = Measure(
        room.look,
        room.masks,
        room.views,
        room.album,
        rejects=lambda _: False,
        rejected=room.rejected.append,
        completes=lambda camera: camera == "last",
    )
    for number, camera in enumerate(("first", "last"), 1):
        job = Job(replace(frame(frame_id=number), camera=camera), 1.0, FIGURES)
        measure.measure(Segmented(job, np.zeros(SHAPE, np.uint8), 1, 1))
    assert woken == [False, True]
    assert [view.camera for view in room.seen()] == ["first", "last"]


def test_masks_that_find_no_room_are_measured_by_the_model_s_own_thread(room: Room) -> None:
    room.offer(1, 2, 3, 4)
    room.segment.step()
    assert room.seen() == []
    room.segment.step()
    assert [view.frame_id for view in room.seen()] == [2, 1]
    room.measure.stop(failed=True)
    assert room.seen() == [], "they wait for the next start"
    room.measure.stop(failed=False)
    assert [view.frame_id for view in room.seen()] == [4, 3]


def test_what_can_no_longer_make_the_gate_is_answered_without_the_model(room: Room) -> None:
    room.reached = 5000.0
    room.offer(4)
    room.segment.step()
    (view,) = room.seen()
    assert (view.failure, view.figures) == (Reason.LATE, FIGURES)
    assert room.model.calls == []


def test_a_frame_that_is_not_wanted_any_more_while_it_is_inferred_is_late(room: Room) -> None:
    def belt_moves_on(due: Due) -> bool:
        assert due.by == 996.0
        assert due.wanted()
        room.reached = 1000.0
        return due.wanted()

    room.model.asked_while_busy = belt_moves_on
    room.offer(4)
    room.segment.step()
    assert [view.failure for view in room.seen()] == [Reason.LATE]
    assert room.model.calls == []
    room.segment.step()
    assert room.conditions.snapshot() == [], "the model did not fail"


def test_a_view_that_rejects_its_part_is_told_to_admission(room: Room) -> None:
    room.defective = {2}
    room.offer(1, 2, MARKED)
    for _ in range(2):
        room.segment.step()
    for _ in range(3):
        room.measure.step()
    assert room.rejected == [998.0]


def test_a_failed_call_answers_its_frames_and_the_third_in_a_row_builds_the_session_anew(room: Room) -> None:
    room.model.error = InferenceError("out of memory")
    for number in (1, 2):
        room.offer(number)
        room.segment.step()
    assert [view.failure for view in room.seen()] == [Reason.INFERENCE_FAILED] * 2
    room.offer(3)
    with pytest.raises(InferenceError):
        room.segment.step()
    assert [view.failure for view in room.seen()] == [Reason.INFERENCE_FAILED]
    room.segment.start()
    assert room.model.opened == 1
    room.model.error = None
    room.offer(4)
    room.segment.step()
    room.measure.step()
    assert [view.failure for view in room.seen()] == [Reason.NONE]
    room.segment.start()
    assert room.model.opened == 1, "it runs"


def test_at_the_end_what_was_never_inferred_is_answered(room: Room) -> None:
    room.offer(1, 2)
    room.segment.stop(failed=True)
    assert room.seen() == []
    room.segment.stop(failed=False)
    assert {view.failure for view in room.seen()} == {Reason.STOPPING}
