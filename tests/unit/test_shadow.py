"""The shadow model: spare time only, and what becomes of its disagreements."""

import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from support.archive_bench import Bench
from support.verdicts import frame, placed, verdict

from edge_inspector import metrics
from edge_inspector.errors import InferenceError
from edge_inspector.inspection.recipe import ClassLimits, Criteria, Recipe
from edge_inspector.inspection.view import Look
from edge_inspector.records import ArchiveItem, Disagreement, Frame
from edge_inspector.runtime.mailbox import Mailbox
from edge_inspector.runtime.worker import Worker
from edge_inspector.simulation.segmenter import SimulatedSegmenter
from edge_inspector.stages.shadow import Shadow
from edge_inspector.store.album import Album

LIMITS = {"defect": ClassLimits(min_area_mm2=1.0)}
RECIPE = Recipe(
    id=3,
    name="plank",
    model="simulated",
    views=["cam1", "cam2"],
    part_length_mm=100,
    min_pitch_mm=200,
    position_tolerance_mm=5,
)


class Room:
    """A shadow with its album, its mailbox, and a switch that says whether the first model is busy."""

    def __init__(self, fail_every: int = 0) -> None:
        self.album = Album(2**22)
        self.archive: Mailbox[ArchiveItem] = Mailbox("archive", 100)
        self.busy = False
        segmenter = SimulatedSegmenter(Path(), SimulatedSegmenter.Settings(fail_every=fail_every))
        segmenter.open()
        scales = {"cam1": 1.0, "cam2": 1.0}
        look = Look(lambda: [Criteria(RECIPE, LIMITS)], segmenter.info, scales, scales)
        self.shadow = Shadow(
            segmenter,
            first=look,
            second=look,
            cameras=["cam1", "cam2"],
            busy=lambda: self.busy,
            album=self.album,
            archive=self.archive,
        )

    def seen(self, camera: str, number: int, *, spotted: bool, rejected: bool) -> None:
        """A picture with or without a spot, as the first model saw it."""
        taken = frame(camera, number, size=(128, 128))
        taken.image[:] = 100
        if spotted:
            taken.image[50:60, 50:60] = 255
        mask = np.zeros((1, 64, 64), np.uint8)
        mask[0, 25:30, 25:30] = 255 * rejected
        self.album.put(taken, mask)


def looked_at(opinion: str) -> float:
    return metrics.shadow_views.labels(opinion)._value.get()


@pytest.mark.parametrize(
    ("spotted", "rejected", "opinion"),
    [(False, False, "agrees"), (True, True, "agrees"), (True, False, "rejects"), (False, True, "accepts")],
)
def test_what_it_says_of_a_picture(*, spotted: bool, rejected: bool, opinion: str) -> None:
    room = Room()
    before = looked_at(opinion)
    room.seen("cam1", 7, spotted=spotted, rejected=rejected)
    room.shadow.step()
    assert looked_at(opinion) == before + 1
    said = room.archive.get(0.0)
    if opinion == "agrees":
        assert said is None
    else:
        assert isinstance(said, Disagreement)
        assert (said.camera, said.frame_id, said.opinion, said.classes) == ("cam1", 7, opinion, ("defect",))
        assert bool(said.defects) == spotted
        assert said.mask.shape == (1, 64, 64)


def test_it_rests_while_the_first_model_works_and_sees_each_picture_once() -> None:
    room = Room()
    before = looked_at("rejects")
    room.busy = True
    room.seen("cam1", 1, spotted=True, rejected=False)
    for _ in range(3):
        room.shadow.step()
    assert looked_at("rejects") == before
    room.busy = False
    for _ in range(3):
        room.shadow.step()
    assert looked_at("rejects") == before + 1


def test_it_takes_the_cameras_in_turn_and_the_newest_of_each() -> None:
    room = Room()
    for number in range(1, 4):
        for camera in ("cam1", "cam2"):
            room.seen(camera, number, spotted=True, rejected=False)
    for _ in range(4):
        room.shadow.step()
    said = [item for item in room.archive.take(9, 0.0) if isinstance(item, Disagreement)]
    assert sorted((each.camera, each.frame_id) for each in said) == [("cam1", 3), ("cam2", 3)]


def test_a_picture_that_the_first_model_never_saw_is_not_looked_at() -> None:
    room = Room()
    taken: Frame = frame("cam1", 1, size=(64, 64))
    room.album.put(taken, None)
    before = metrics.shadow_seconds._sum.get()
    room.shadow.step()
    assert metrics.shadow_seconds._sum.get() == before


def test_a_slow_archive_gets_no_more_masks() -> None:
    room = Room()
    for seq in range(33):
        room.archive.put(verdict(seq))
    before = metrics.archive_left_out.labels("disagreement")._value.get()
    room.seen("cam1", 1, spotted=True, rejected=False)
    room.shadow.step()
    assert len(room.archive) == 33
    assert metrics.archive_left_out.labels("disagreement")._value.get() == before + 1


def test_a_model_that_keeps_failing_gives_up_and_one_that_recovers_does_not() -> None:
    room = Room(fail_every=2)
    for number in range(1, 9):
        room.seen("cam1", number, spotted=False, rejected=False)
        room.shadow.step()
    room = Room(fail_every=1)
    for number in range(1, 3):
        room.seen("cam1", number, spotted=False, rejected=False)
        room.shadow.step()
    room.seen("cam1", 3, spotted=False, rejected=False)
    with pytest.raises(InferenceError):
        room.shadow.step()


def test_its_thread_is_behind_all_others() -> None:
    room = Room()
    worker = Worker(room.shadow, vital=False)
    worker.start()
    try:
        room.seen("cam1", 1, spotted=True, rejected=False)
        assert room.archive.get(5.0) is not None
        (thread,) = [each for each in threading.enumerate() if each.name == "shadow"]
        assert thread.native_id is not None
        assert os.getpriority(os.PRIO_PROCESS, thread.native_id) == 19
    finally:
        worker.stop()
        assert worker.join(5)


def test_a_disagreement_is_archived_with_its_picture_and_finds_its_part(tmp_path: Path) -> None:
    bench = Bench(tmp_path, accepted_one_in=0)
    bench.seen(1)
    mask = np.full((1, 20, 30), 50, np.uint8)
    bench.inbox.put(verdict(1, views=(placed(frame_id=1),)))
    for frame_id in (1, 99):
        bench.inbox.put(
            Disagreement(
                "cam1",
                frame_id,
                2_000_000_000,
                opinion="rejects",
                model="m-2/fp32/cpu",
                classes=("crack",),
                defects=(),
                mask=mask,
            )
        )
    bench.archive.step()
    unknown, found = bench.results.objections(10)
    assert (unknown.frame_id, unknown.part_id, unknown.picture) == (99, None, None)
    assert (found.frame_id, found.part_id, found.opinion, found.model) == (1, 1, "rejects", "m-2/fp32/cpu")
    assert found.picture is not None
    assert found.picture.sidecar is not None
    assert found.picture.image.name.endswith("Z-shadow-frame1.png")
    facts = json.loads(found.picture.sidecar.read_text())
    assert (facts["kept_because"], facts["opinion"], facts["classes"]) == ("shadow", "rejects", ["crack"])
    bench.archive.stop(failed=False)


def test_masks_do_not_pile_up_behind_a_dead_disk(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    (tmp_path / "results.sqlite").mkdir()
    mask = np.zeros((1, 20, 30), np.uint8)
    for frame_id in range(100):
        bench.inbox.put(
            Disagreement(
                "cam1", frame_id, 2_000_000_000, opinion="rejects", model="m", classes=("crack",), defects=(), mask=mask
            )
        )
    bench.archive.step()
    bench.archive.step()
    assert len(bench.archive._held.objections) == 32
    bench.archive.stop(failed=True)
