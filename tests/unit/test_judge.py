"""From readings, views and the encoder to verdicts: each part one, in time, by what was in force at its trigger."""

import time
from typing import Any

import pytest

from edge_inspector.encoders.timeline import Motion, Timeline
from edge_inspector.inspection.control import Control
from edge_inspector.inspection.decision import decide
from edge_inspector.inspection.recipe import ClassLimits, Criteria, Recipe
from edge_inspector.records import (
    ArchiveItem,
    Decision,
    EncoderSample,
    ErrorCode,
    JudgeItem,
    ModelInfo,
    PlcInput,
    Reason,
    StationState,
    Trigger,
    Verdict,
    View,
)
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.runtime.mailbox import Mailbox
from edge_inspector.s7.blocks import wrap32
from edge_inspector.stages import judge as stage
from edge_inspector.stages.judge import Judge
from edge_inspector.stages.placing import Geometry

MS, S = 1_000_000, 1_000_000_000
BOOT = 7
COUNTS_PER_MM, SPEED_MM_S = 10, 1000
COUNTS_PER_S = COUNTS_PER_MM * SPEED_MM_S
MODEL = ModelInfo("m", "1", "", ("crack",), 8, 8, 1, 1, "int8", "cpu")


def criteria(number: int) -> Criteria:
    recipe = Recipe.model_validate(
        {
            "id": number,
            "name": f"r{number}",
            "model": "m-1",
            "views": ["top"],
            "part_length_mm": 50,
            "min_pitch_mm": 60,
            "position_tolerance_mm": 5,
        }
    )
    return Criteria(recipe, {"crack": ClassLimits(min_area_mm2=1)})


def heard(newest: int, triggers: dict[int, int], *, boot: int = BOOT, recipe: int = 0, asked_ns: int = 0) -> PlcInput:
    shown = tuple(Trigger(part_seq, wrap32(count), answered=False) for part_seq, count in triggers.items())
    asked_ns = asked_ns or time.monotonic_ns()
    return PlcInput(boot, 1, True, False, True, recipe, 1, 0, newest, shown, asked_ns)  # noqa: FBT003


class Rig:
    """The real judge and a belt of 1 m/s at most; camera at 0.5 m, gate at `gate_mm`, 100 ms of it reserve."""

    def __init__(self, gate_mm: int = 1500) -> None:
        self.recipes = {number: criteria(number) for number in (4, 5)}
        self.geometry = Geometry(
            COUNTS_PER_MM, COUNTS_PER_S, gate_mm * COUNTS_PER_MM, COUNTS_PER_S // 10, {"top": 500 * COUNTS_PER_MM}
        )
        self.timeline = Timeline(Motion(COUNTS_PER_S, 50_000))
        self.conditions = Conditions()
        self.conditions.phase(StationState.READY)
        self.inbox: Mailbox[JudgeItem] = Mailbox("judge", 4096)
        self.link: Mailbox[Verdict] = Mailbox("plc", 4096)
        self.archive: Mailbox[ArchiveItem] = Mailbox("archive", 4096)
        self.control = Control(self.recipes, 4, self.conditions.reset)
        self.judge = Judge(
            4242,
            self.geometry,
            self.recipes,
            self.control,
            MODEL,
            self.timeline,
            self.inbox,
            [self.link],
            self.archive,
            self.conditions,
            backlog=lambda: 0,
            arrived=lambda _: None,
        )

    def belt(self, count: int, at_ns: int | None = None, *, boot: int = BOOT) -> None:
        now = time.monotonic_ns() if at_ns is None else at_ns
        self.timeline.add(EncoderSample(wrap32(count), now, now - 200_000, now, boot))

    def standing(self, count: int = 50_000, *, silent_ns: int = 0) -> None:
        """The belt has stood at `count`; its last sample is that old. The PLC has announced nothing yet."""
        now = time.monotonic_ns() - silent_ns
        for back in range(20, -1, -1):
            self.belt(count, now - back * 10 * MS)
        self.step(heard(0, {}))

    def step(self, *items: JudgeItem) -> list[Verdict]:
        for item in items:
            self.inbox.put(item)
        self.judge.step()
        return self.verdicts()

    def verdicts(self) -> list[Verdict]:
        return self.link.take(10_000, 0.0)


def view(count: int | None = None, at_ns: int | None = None, **changes: Any) -> View:
    return View("top", 1, time.monotonic_ns() if at_ns is None else at_ns, encoder_count=count, **changes)


def seconds_left(verdict: Verdict) -> float:
    return (verdict.due_ns - verdict.decided_ns) / S


def test_a_part_with_its_view_is_decided_at_once() -> None:
    rig = Rig()
    rig.standing()
    assert rig.step(heard(1, {1: 45_000})) == []
    (verdict,) = rig.step(view(50_000))
    assert (verdict.decision, verdict.part.part_seq, verdict.seq) == (Decision.ACCEPT, 1, 1)
    assert seconds_left(verdict) == pytest.approx(1.4, abs=0.05), "not there a moment ago: 1.4 m at 1 m/s"


# When the part can be at the gate.


@pytest.mark.parametrize("silent_s", [1.0, 3.0, 10.0])
def test_a_part_announced_while_the_encoder_is_silent_cannot_be_at_the_gate_before_it_could_have_come_from_the_eye(
    silent_s: float,
) -> None:
    rig = Rig()
    rig.standing(silent_ns=int(silent_s * S))
    rig.conditions.set(ErrorCode.ENCODER_LOST, "encoder", "cut")
    verdicts = rig.step(heard(1, {1: 50_000}))
    while not verdicts:
        verdicts = rig.step()
    (verdict,) = verdicts
    assert (verdict.decision, verdict.rejects) == (Decision.NOT_INSPECTED, True)
    assert seconds_left(verdict) > 0.9 * 1.4 - silent_s * (silent_s < 1.4)
    assert verdict.due_ns >= verdict.part.unseen_ns + int(1.4 * S) > verdict.decided_ns


@pytest.mark.parametrize("jump", [-2_000_000, 2_000_000])
def test_what_is_left_to_the_gate_is_never_taken_from_counts_of_two_epochs(jump: int) -> None:
    rig = Rig()
    rig.standing(3_000_000)
    assert rig.step(heard(1, {1: 3_000_000})) == []
    rig.belt(3_000_000 + jump)
    (verdict,) = rig.step()
    assert verdict.reason is Reason.POSITION_UNKNOWN
    assert 1.2 < seconds_left(verdict) < 1.5


def test_a_part_that_the_ring_has_lost_is_a_fault_for_half_a_second() -> None:
    rig = Rig()
    rig.standing()
    verdicts = rig.step(heard(20, {part_seq: 50_000 + part_seq for part_seq in range(5, 21)}))
    assert [(verdict.part.part_seq, verdict.reason) for verdict in verdicts] == [
        (part_seq, Reason.TRIGGER_LOST) for part_seq in range(1, 5)
    ]
    assert rig.judge.status().error_code is ErrorCode.PLC_TRIGGERS_LOST
    assert rig.judge.status().state is StationState.FAULT
    until = time.monotonic() + 0.6
    while time.monotonic() < until:
        rig.belt(50_000)
        rig.step()
    assert rig.judge.status().state is StationState.READY


def test_without_an_encoder_a_part_is_answered_while_it_is_on_its_way_however_short_that_is() -> None:
    rig = Rig(gate_mm=400)
    rig.step(heard(0, {}))
    begun = time.monotonic()
    verdicts = rig.step(heard(1, {1: 10}))
    while not verdicts:
        verdicts = rig.step()
    assert time.monotonic() - begun < 0.4
    assert verdicts[0].reason is Reason.POSITION_UNKNOWN


# Which recipe.


def test_a_part_whose_slot_was_torn_when_the_recipe_changed_is_judged_by_the_recipe_of_its_trigger() -> None:
    rig = Rig()
    rig.standing()
    rig.step(heard(0, {}, recipe=4))
    rig.step(heard(1, {}, recipe=5))
    rig.step(heard(1, {1: 50_000}, recipe=5))
    assert rig.control.recipe_id == 5
    rig.step(heard(2, {1: 50_000, 2: 50_700}, recipe=5))
    assert [part.part.recipe_id for part in _open(rig)] == [4, 5]


def _open(rig: Rig) -> list[Any]:
    time.sleep(0.06)
    rig.step()
    return list(rig.judge.scene().parts)


# A camera whose instants are not known well.


@pytest.mark.parametrize(("error_ms", "decision"), [(0, Decision.ACCEPT), (2, Decision.ACCEPT), (6, None)])
def test_a_picture_whose_instant_is_not_known_closely_enough_accepts_no_part(
    error_ms: int, decision: Decision | None
) -> None:
    """5 mm of tolerance are 5 ms on a belt of 1 m/s; a count that came with the picture needs no instant."""
    rig = Rig()
    now = time.monotonic_ns()
    for back in range(400, -1, -1):
        rig.belt(50_000 - back * 10, now - back * MS)
    rig.step(heard(0, {}))
    rig.step(heard(2, {1: 44_000, 2: 43_000}))
    (verdict,) = rig.step(view(None, now - 100 * MS, captured_error_ns=error_ms * MS))
    if decision is None:
        assert (verdict.decision, verdict.reason) == (Decision.NOT_INSPECTED, Reason.POSITION_UNKNOWN)
    else:
        assert verdict.decision is decision
    assert verdict.error_mm >= error_ms
    (latched,) = rig.step(view(48_000, now - 200 * MS, captured_error_ns=error_ms * MS))
    assert latched.decision is Decision.ACCEPT


# A camera that counts by itself.


@pytest.mark.parametrize("late_ms", [0, 40, 200])
def test_a_stamp_that_is_late_by_its_transfer_is_no_doubt_about_the_count(late_ms: int) -> None:
    rig = Rig()
    now = time.monotonic_ns()
    for back in range(40, -1, -1):  # 1 m/s
        rig.belt(50_000 - back * 100, now - back * 10 * MS)
    rig.step(heard(0, {}))
    rig.step(heard(1, {1: 44_000}))
    (verdict,) = rig.step(view(49_000, now - 100 * MS + min(late_ms, 100) * MS))
    assert verdict.decision is Decision.ACCEPT
    assert rig.conditions.snapshot() == []


@pytest.mark.parametrize("away_mm", [-3000, -500, 500, 1200])
def test_a_view_whose_own_count_is_not_where_the_plc_s_is_belongs_to_no_part(away_mm: int) -> None:
    rig = Rig()
    rig.standing()
    rig.step(heard(1, {1: 45_000 + away_mm * COUNTS_PER_MM}))
    assert rig.step(view(50_000 + away_mm * COUNTS_PER_MM)) == []
    assert rig.conditions.snapshot() == [(ErrorCode.COUNT_MISMATCH, "top")]
    assert rig.judge.status().state is StationState.DEGRADED
    rig.step(heard(2, {1: 45_000 + away_mm * COUNTS_PER_MM, 2: 45_000}))
    (verdict,) = rig.step(view(50_010))
    assert (verdict.part.part_seq, verdict.decision) == (2, Decision.ACCEPT)
    assert rig.conditions.snapshot() == []


# Nothing is lost.


def test_a_judge_that_hangs_is_a_fault_before_its_heartbeat_is_over() -> None:
    rig = Rig()
    rig.standing()
    assert rig.judge.status().state is StationState.READY
    time.sleep(0.35)
    status = rig.judge.status()
    assert (status.state, status.error_code) == (StationState.FAULT, ErrorCode.WORKER_FAILED)
    rig.step()
    assert rig.judge.status().state is StationState.READY


def test_a_failure_while_one_part_is_decided_loses_none(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    rig.standing()
    failures = [MemoryError(), MemoryError()]

    def broken(*given: Any, **named: Any) -> Any:
        if failures:
            raise failures.pop()
        return decide(*given, **named)

    monkeypatch.setattr(stage, "decide", broken)
    past = {part_seq: 50_000 - 20_000 - 700 * part_seq for part_seq in range(1, 6)}
    rig.inbox.put(heard(5, past))
    for _ in range(2):
        with pytest.raises(MemoryError):
            rig.judge.step()
        rig.judge.stop(failed=True)
        rig.judge.start()
    verdicts = rig.step()
    assert [(verdict.part.part_seq, verdict.seq) for verdict in verdicts] == [(each, each) for each in range(1, 6)]
    assert rig.judge.status().parts == 5


def test_at_the_end_parts_that_still_wait_for_the_encoder_are_answered_too() -> None:
    rig = Rig()
    rig.step(heard(0, {}))
    assert rig.step(heard(3, {1: 10, 2: 700, 3: 1400})) == []
    rig.judge.stop(failed=False)
    assert [verdict.part.part_seq for verdict in rig.verdicts()] == [1, 2, 3]
