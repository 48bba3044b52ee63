"""Recording: the judge decides as without it, and never waits for the disk."""

import itertools
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_inspector.codes import CommandName, Decision, ErrorCode, Reason, StationState
from edge_inspector.errors import DeviceError
from edge_inspector.inspection.basis import Basis
from edge_inspector.inspection.challenge import ChallengePart, ChallengeRules
from edge_inspector.inspection.control import Control
from edge_inspector.inspection.counter import Counter
from edge_inspector.inspection.recipe import ClassLimits, Criteria, Recipe
from edge_inspector.inspection.timeline import Motion
from edge_inspector.records import (
    ArchiveItem,
    ChallengeRun,
    Command,
    Defect,
    EncoderSample,
    Frame,
    JudgeItem,
    ModelInfo,
    PlcInput,
    Trigger,
    Verdict,
    View,
)
from edge_inspector.replay.comparing import Comparison, text_of
from edge_inspector.replay.judging import Rejudging
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.runtime.mailbox import Mailbox
from edge_inspector.shifts import files
from edge_inspector.shifts import tape as taping
from edge_inspector.shifts.coding import as_json, from_json
from edge_inspector.shifts.files import Shift, ShiftWriter, room_for
from edge_inspector.shifts.head import FORMAT, RecipeInForce, ShiftHead, Timing
from edge_inspector.shifts.tape import FollowedTimeline, StillConditions, Tape, TapedAlbum, TapedJudge
from edge_inspector.stages import record as recording
from edge_inspector.stages.judge import Judge
from edge_inspector.stages.record import Recording
from edge_inspector.watches.placing import Geometry

MS, BOOT = 1_000_000, 7
MODEL = ModelInfo("m", "1", "", ("crack",), height=8, width=8, channels=1, stride=1, precision="int8", provider="cpu")
RECIPES = {
    number: Criteria(
        Recipe(
            id=number,
            name=f"r{number}",
            model="m-1",
            views=["top"],
            part_length_mm=50,
            min_pitch_mm=60,
            position_tolerance_mm=5,
        ),
        {"crack": ClassLimits(min_area_mm2=1)},
    )
    for number in (4, 5)
}
GEOMETRY = Geometry(counts_per_mm=10, speed_max=10_000, gate=15_000, reserve=1000, offsets={"top": 5000})
TIMING = Timing(
    motion=Motion(10_000, 50_000), stale_ns=250 * MS, drift=1e-4, publish_ns=0, read_point=0.5, counter=Counter()
)
RULES = ChallengeRules(
    parts={
        4: (
            ChallengePart(recipe=4, name="good", expect="accept"),
            ChallengePart(recipe=4, name="bad", expect="reject", finds=["crack"]),
        )
    },
    timeout_ns=60_000 * MS,
    blocks=True,
    by_plc=True,
)
HEAD = ShiftHead(
    format=FORMAT,
    version="0",
    station="s",
    began="2026-11-30T12:00:00.000Z",
    boot_id=42,
    first_recipe=4,
    geometry=GEOMETRY,
    timing=TIMING,
    judged=tuple(RecipeInForce(each.recipe, each.limits) for each in RECIPES.values()),
    model=MODEL,
    scales={"top": (1.0, 1.0)},
    driver="simulated",
    settings="{}",
    models_dir="models",
    machine="m",
    challenge=RULES,
)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time goes on by 20 us whenever somebody reads it, so a busy machine changes no verdict."""
    begun, read = time.monotonic_ns(), itertools.count()
    monkeypatch.setattr(time, "monotonic_ns", lambda: begun + 20_000 * next(read))


class Rig:
    """The real judge on a tape, with a belt that stands."""

    def __init__(self) -> None:
        self.conditions = Conditions()
        self.conditions.phase(StationState.READY)
        self.inbox: Mailbox[JudgeItem] = Mailbox("judge", 4096)
        self.link: Mailbox[Verdict] = Mailbox("plc", 4096)
        self.archive: Mailbox[ArchiveItem] = Mailbox("archive", 4096)
        self.timeline = TIMING.timeline(FollowedTimeline)
        self.waiting, self.model = False, MODEL
        self.tape = tape = Tape(
            TIMING.timeline(),
            inbox=self.inbox,
            archive=self.archive,
            conditions=self.conditions,
            waiting=lambda: self.waiting,
            seen=lambda: None,
            model=lambda: self.model,
        )
        assert isinstance(self.timeline, FollowedTimeline)
        self.timeline.follow = tape.follow
        judge = Judge(
            boot_id=42,
            geometry=GEOMETRY,
            recipes=RECIPES,
            control=Control(RECIPES, 4, self.conditions.reset, challenge=RULES),
            basis=Basis(RECIPES, tape.model, HEAD.scales),
            timeline=tape.timeline,
            inbox=tape.inbox,
            links=[self.link],
            archive=tape.archive,
            conditions=tape.conditions,
            backlog=tape.waiting,
            arrived=lambda _: None,
            seen=tape.seen,
            clock=tape.clock,
        )
        self.judge = TapedJudge(judge, tape)
        self.judge.start()
        now = time.monotonic_ns()
        for back in range(20, -1, -1):
            self.belt(now - back * 10 * MS)
        self.step(heard(0, {}))

    def belt(self, now: int) -> None:
        self.timeline.add(EncoderSample(50_000, now, now - 200_000, now, boot_id=BOOT))

    def step(self, *items: JudgeItem) -> list[Verdict]:
        for item in items:
            self.inbox.put(item)
        self.belt(time.monotonic_ns())
        self.judge.step()
        return self.link.take(100, 0.0)

    def again(self) -> Comparison:
        found = Comparison()
        found.take(Rejudging(HEAD).run(self.tape.steps))
        return found


def heard(newest: int, triggers: dict[int, int], recipe: int = 0) -> PlcInput:
    shown = tuple(Trigger(part_seq, count, answered=False) for part_seq, count in triggers.items())
    return PlcInput(
        BOOT,
        1,
        enable=True,
        reset=False,
        line_running=True,
        recipe_id=recipe,
        ack_session=1,
        ack_seq=0,
        trigger_seq=newest,
        triggers=shown,
        asked_ns=time.monotonic_ns(),
    )


def view(count: int = 50_000, **changes: object) -> View:
    return View("top", 1, time.monotonic_ns(), encoder_count=count, **changes)  # type: ignore[arg-type]


CRACK = Defect("top", "crack", area_mm2=9.0, length_mm=9.0, confidence=0.9, x_mm=1.0, y_mm=1.0)


def test_a_recorded_judge_decides_and_a_replay_decides_the_same() -> None:
    rig = Rig()
    rig.step(heard(1, {1: 45_000}))
    (first,) = rig.step(view())
    (second,) = [*rig.step(heard(2, {2: 45_300})), *rig.step(view(50_300, defects=(CRACK,), recipe_id=4))]
    assert (first.decision, second.decision) == (Decision.ACCEPT, Decision.REJECT)
    rig.step(heard(3, {3: 45_600}))
    rig.judge.stop(failed=False)
    found = rig.again()
    assert len(found.pairs) == 3
    assert found.unequal == []


def test_a_clock_set_back_in_the_middle_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rig, real = Rig(), time.time_ns
    rig.step(heard(1, {1: 45_000}))
    rig.step(view())
    monkeypatch.setattr(time, "time_ns", lambda: real() - 3600 * 10**9)
    rig.step(heard(2, {2: 45_300}))
    (second,) = rig.step(view(50_300))
    assert second.decision is Decision.ACCEPT
    found = rig.again()
    assert (len(found.pairs), found.unequal) == (2, [])


def test_commands_and_the_plcs_choice_are_part_of_the_record() -> None:
    rig = Rig()
    rig.step(heard(1, {1: 45_000}, recipe=5))
    rig.step(Command("page:eve", "1", CommandName.DISABLE, lambda _: None))
    (verdict,) = rig.step(view())
    assert (verdict.recipe_id, verdict.decision) == (4, Decision.NOT_INSPECTED)
    assert rig.again().unequal == []


def test_a_blocked_line_a_challenge_and_what_came_of_it_are_part_of_the_record() -> None:
    rig = Rig()
    rig.conditions.set(ErrorCode.CHALLENGE_DUE, "recipe 4", "the shift began")
    rig.step(heard(1, {1: 44_000}))
    (blocked,) = rig.step(view(49_000))
    assert (blocked.decision, blocked.reason, blocked.rejects) == (Decision.NOT_INSPECTED, Reason.CHALLENGE, True)
    rig.step(Command("page:eve", "1", CommandName.CHALLENGE, lambda _: None))
    rig.step(heard(3, {2: 45_000, 3: 46_000}))
    (good,) = rig.step(view())
    (bad,) = rig.step(view(51_000, defects=(CRACK,), recipe_id=4))
    assert [(each.decision.name, each.challenge) for each in (good, bad)] == [("ACCEPT", "good"), ("REJECT", "bad")]
    (run,) = [item for item in rig.archive.take(99, 0.0) if isinstance(item, ChallengeRun)]
    assert (run.passed, run.who, [part.part_seq for part in run.parts]) == (True, "page:eve", [2, 3])
    rig.conditions.clear(ErrorCode.CHALLENGE_DUE, "recipe 4")
    rig.step(heard(4, {4: 46_700}))
    (after,) = rig.step(view(51_700))
    assert (after.decision, after.challenge) == (Decision.ACCEPT, "")
    assert rig.again().unequal == []


def test_a_challenge_that_the_plc_began_is_part_of_the_record(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    rig.step(replace(heard(1, {1: 45_000}), challenge=True))
    (product,) = rig.step(view())
    rig.step(replace(heard(2, {2: 45_300}), challenge=True))
    (good,) = rig.step(view(50_300))
    assert (product.challenge, good.challenge) == ("", "good"), "only what is announced after the bit"
    rig.step(heard(2, {2: 45_300}))
    rig.step(replace(heard(2, {2: 45_300}), challenge=True))
    assert "the challenge that plc asked for does not begin: a challenge runs already, and waits for bad" in caplog.text
    assert rig.again().unequal == []


def test_the_first_page_keeps_the_challenge_parts() -> None:
    assert from_json(ShiftHead, json.loads(json.dumps(as_json(HEAD)))) == HEAD


@pytest.mark.parametrize("lost", ["camera", "camera a moment ago", "model", "encoder"])
def test_what_other_threads_told_is_part_of_the_record(lost: str) -> None:
    rig = Rig()
    rig.step(heard(1, {1: 45_000}))
    if lost.startswith("camera"):
        rig.conditions.set(ErrorCode.CAMERA_LOST, "top", "pulled")
    if lost == "camera a moment ago":
        rig.conditions.clear(ErrorCode.CAMERA_LOST, "top")
    if lost == "encoder":
        rig.conditions.set(ErrorCode.LINE_MISMATCH, "counter", "wraps elsewhere")
    rig.waiting = lost == "model"
    rig.step()
    rig.judge.stop(failed=False)
    (pair,) = rig.again().pairs.values()
    assert pair.equal
    expected = {"model": "stopping", "encoder": "position_unknown"}.get(lost, "stopping")
    assert pair.some.reason.label == expected


def test_a_model_that_was_started_anew_is_part_of_the_record() -> None:
    rig = Rig()
    rig.model = replace(MODEL, version="2", precision="fp32")
    rig.step(heard(1, {1: 45_000}))
    (verdict,) = rig.step(view())
    assert verdict.model == "m-2/fp32/cpu"
    assert rig.again().unequal == []


def test_a_step_sees_the_world_as_it_was_when_it_began() -> None:
    rig = Rig()
    assert not rig.tape.conditions.held(ErrorCode.CAMERA_LOST, "top")
    rig.conditions.set(ErrorCode.CAMERA_LOST, "top", "pulled")
    assert not rig.tape.conditions.held(ErrorCode.CAMERA_LOST, "top")
    before = rig.tape.timeline.newest
    now = time.monotonic_ns()
    rig.timeline.add(EncoderSample(50_007, now, now - 200_000, now, boot_id=BOOT))
    assert rig.tape.timeline.newest == before
    rig.step()
    assert rig.tape.conditions.held(ErrorCode.CAMERA_LOST, "top")


def test_what_the_judge_finds_is_told_to_the_station() -> None:
    rig = Rig()
    rig.tape.conditions.set(ErrorCode.RECIPE_MISMATCH, "plc", "why")
    assert rig.conditions.held(ErrorCode.RECIPE_MISMATCH, "plc")
    assert rig.tape.conditions.held(ErrorCode.RECIPE_MISMATCH, "plc")
    assert (rig.tape.conditions.state, rig.tape.conditions.error_code) == (
        StationState.DEGRADED,
        ErrorCode.RECIPE_MISMATCH,
    )
    rig.tape.conditions.clear(ErrorCode.RECIPE_MISMATCH, "plc")
    assert not rig.conditions.held(ErrorCode.RECIPE_MISMATCH, "plc")


def test_a_condition_of_the_judge_is_remembered_for_a_moment() -> None:
    now = 5_000_000_000
    still = StillConditions(None, dict, lambda: now)
    still.set(ErrorCode.COUNT_MISMATCH, "top", "why")
    still.clear(ErrorCode.COUNT_MISMATCH, "top")
    assert still.held(ErrorCode.COUNT_MISMATCH, "top", within_s=1.0)
    now += 2_000_000_000
    assert not still.held(ErrorCode.COUNT_MISMATCH, "top", within_s=1.0)
    still.clear(ErrorCode.RECIPE_MISMATCH, "plc")
    assert not still.held(ErrorCode.RECIPE_MISMATCH, "plc", within_s=9.0)


def frame(at_ns: int = 5, camera: str = "top") -> Frame:
    return Frame(
        camera=camera,
        frame_id=1,
        captured_ns=at_ns,
        exposure_ns=0,
        received_ns=0,
        image=np.arange(12, dtype=np.uint8).reshape(3, 4),
    )


def test_a_replay_ends_at_a_step_that_failed() -> None:
    rig = Rig()
    rig.judge.stop(failed=True)
    rig.step(heard(1, {1: 45_000}))
    judging = Rejudging(HEAD)
    assert list(judging.run(rig.tape.steps)) == []
    assert judging.failed


def test_a_writer_that_is_too_slow_ends_the_record_and_not_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taping, "_STEPS_MAX", 5)
    rig = Rig()
    for _ in range(10):
        rig.step()
    assert len(rig.tape.steps) == 5
    assert "too slow" in rig.tape.why
    rig.step(heard(1, {1: 45_000}))
    assert len(rig.step(view())) == 1


def test_pictures_that_find_no_room_are_left_out_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taping, "_PICTURES_MAX_BYTES", 30)
    rig = Rig()
    album = TapedAlbum(1000)
    album.tape = rig.tape
    for at_ns in range(4):
        album.put(frame(at_ns), None)
    assert [each.captured_ns for each in rig.tape.pictures] == [0, 1]
    assert rig.tape.left_out == 2


def record(
    rig: Rig, root: Path, budget: int = 1 << 30, head: Callable[[], ShiftHead] = lambda: HEAD, min_free: int = 0
) -> Recording:
    return Recording(rig.tape, root, budget=budget, min_free=min_free, head=head, conditions=rig.conditions)


def test_what_was_recorded_is_read_again(tmp_path: Path) -> None:
    rig = Rig()
    stage = record(rig, tmp_path)
    stage.step()
    rig.tape.picture(frame())
    rig.step(heard(1, {1: 45_000}))
    rig.step(view(captured_error_ns=3))
    rig.judge.stop(failed=False)
    steps = list(rig.tape.steps)
    stage.stop(failed=False)
    (folder,) = tmp_path.iterdir()
    shift = Shift(folder)
    assert list(shift.steps())[-len(steps) :] == steps
    assert shift.remarks == []
    image = shift.picture("top", 5)
    assert image is not None
    assert np.array_equal(image, frame().image)
    found = Comparison()
    found.take(Rejudging(shift.head).run(shift.steps()))
    (pair,) = found.pairs.values()
    assert text_of(pair.then) == text_of(pair.now)


def test_a_killed_daemon_leaves_a_record_that_can_be_read(tmp_path: Path) -> None:
    rig = Rig()
    writer = ShiftWriter(tmp_path / "shift", HEAD)
    for step in rig.tape.steps:
        writer.step(step)
    writer.flush()
    shift = Shift(tmp_path / "shift")
    assert list(shift.steps()) == list(rig.tape.steps)
    writer.close()
    assert "cut off" in shift.remarks[0]


def test_a_record_that_fills_its_budget_ends_and_the_station_says_so(tmp_path: Path) -> None:
    rig = Rig()
    stage = record(rig, tmp_path, budget=5000)
    stage.step()
    for at_ns in range(3):
        rig.tape.picture(frame(at_ns))
    stage.step()
    (held,) = [each for each in rig.conditions.reasons() if each.code is ErrorCode.RECORD_ENDED]
    assert "record.budget_mb is used up" in held.why
    assert rig.conditions.state is StationState.READY, "the PLC need not know"
    rig.step()
    assert not rig.tape.steps
    (folder,) = tmp_path.iterdir()
    shift = Shift(folder)
    list(shift.steps())
    assert "the record ends early: record.budget_mb is used up" in shift.remarks[0]
    stage.stop(failed=False)


def test_a_disk_that_fails_ends_the_record_and_the_station_says_so(tmp_path: Path) -> None:
    rig = Rig()
    (tmp_path / "file").write_text("in the way")
    record(rig, tmp_path / "file").step()
    assert rig.conditions.held(ErrorCode.RECORD_ENDED, "shift")
    rig.step(heard(1, {1: 45_000}))
    assert len(rig.step(view())) == 1


def test_the_oldest_records_make_room(tmp_path: Path) -> None:
    for name in ("2026-01-01", "2026-01-02", "2026-01-03"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "steps").write_bytes(b"x" * 4096)
    assert room_for(tmp_path, 9000)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["2026-01-02", "2026-01-03"]
    writer = ShiftWriter(tmp_path / "2026-01-04", HEAD)
    writer.size = 6000
    assert room_for(tmp_path, 9000, writer)
    assert [each.name for each in tmp_path.iterdir()] == ["2026-01-04"]
    assert not room_for(tmp_path, 5000, writer)
    assert (tmp_path / "2026-01-04").exists()
    writer.close()


def test_a_record_leaves_the_disk_the_room_that_the_archive_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "2026-01-01").mkdir()
    monkeypatch.setattr(recording, "_TIDY_NS", -1)
    free = [2000]
    for module in (files, recording):
        monkeypatch.setattr(module, "free_on", lambda _: free[0])
    rig = Rig()
    stage = record(rig, tmp_path, min_free=1000)
    stage.step()
    assert not rig.conditions.held(ErrorCode.RECORD_ENDED, "shift")
    free[0] = 999
    stage.step()
    (held,) = [each for each in rig.conditions.reasons() if each.code is ErrorCode.RECORD_ENDED]
    assert "less than archive.min_free_mb free" in held.why
    (folder,) = tmp_path.iterdir()
    assert folder.name != "2026-01-01", "the older record went first"


def test_a_finished_record_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("2026-01-01", "2026-01-02"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "steps").write_bytes(b"x" * 4096)
    measured: list[str] = []
    size_of = files._size_of
    monkeypatch.setattr(files, "_size_of", lambda folder: measured.append(folder.name) or size_of(folder))
    monkeypatch.setattr(recording, "_TIDY_NS", -1)
    rig = Rig()
    stage = record(rig, tmp_path, budget=12_000)
    for _ in range(3):
        stage.step()
    stage.stop(failed=False)
    assert sorted(measured) == ["2026-01-01", "2026-01-02"]
    assert (tmp_path / "2026-01-02").exists()


def test_a_picture_that_cannot_be_written_is_an_error_of_the_disk(tmp_path: Path) -> None:
    writer = ShiftWriter(tmp_path / "shift", HEAD)
    (tmp_path / "shift" / "pictures").write_text("in the way")
    with pytest.raises(DeviceError, match="cannot be written"):
        writer.picture(frame())
    writer.close()
