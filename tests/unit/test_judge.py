"""From readings, views and the encoder to verdicts: each part one, in time, by what was in force at its trigger."""

import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from edge_inspector.codes import CommandName, Decision, ErrorCode, Reason, StationState
from edge_inspector.inspection.basis import Basis
from edge_inspector.inspection.control import Control
from edge_inspector.inspection.counter import Counter
from edge_inspector.inspection.decision import decide
from edge_inspector.inspection.recipe import ClassLimits, Criteria, Recipe
from edge_inspector.inspection.timeline import Motion, Timeline
from edge_inspector.inspection.web import WebGeometry
from edge_inspector.metrics import REGISTRY
from edge_inspector.plc.blocks import wrap32
from edge_inspector.records import (
    ArchiveItem,
    Command,
    Defect,
    EncoderSample,
    JudgeItem,
    ModelInfo,
    PlcInput,
    Trigger,
    Verdict,
    View,
)
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.runtime.mailbox import Mailbox
from edge_inspector.stages import judge as stage
from edge_inspector.stages.judge import Judge
from edge_inspector.watches.placing import Geometry

MS, S = 1_000_000, 1_000_000_000
BOOT = 7
COUNTS_PER_MM, SPEED_MM_S = 10, 1000
COUNTS_PER_S = COUNTS_PER_MM * SPEED_MM_S
MODEL = ModelInfo("m", "1", "", ("crack",), height=8, width=8, channels=1, stride=1, precision="int8", provider="cpu")


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
    return PlcInput(
        boot,
        1,
        enable=True,
        reset=False,
        line_running=True,
        recipe_id=recipe,
        ack_session=1,
        ack_seq=0,
        trigger_seq=newest,
        triggers=shown,
        asked_ns=asked_ns,
    )


class Rig:
    """The real judge and a belt of 1 m/s at most; camera at 0.5 m, gate at `gate_mm`, 100 ms of it reserve."""

    def __init__(
        self,
        gate_mm: int = 1500,
        counter: Counter = Counter(),  # noqa: B008 -- frozen
        seen: Callable[[], tuple[int, int] | None] = lambda: None,
        *,
        read_point: float = 0.5,
        web: WebGeometry | None = None,
    ) -> None:
        self.counter = counter
        self.recipes = {number: criteria(number) for number in (4, 5)}
        self.geometry = Geometry(
            counts_per_mm=COUNTS_PER_MM,
            speed_max=COUNTS_PER_S,
            gate=gate_mm * COUNTS_PER_MM,
            reserve=COUNTS_PER_S // 10,
            offsets={"top": 500 * COUNTS_PER_MM},
            counter=counter,
            web=web,
        )
        self.timeline = Timeline(Motion(COUNTS_PER_S, 50_000), read_point=read_point, counter=counter)
        self.conditions = Conditions()
        self.conditions.phase(StationState.READY)
        self.inbox: Mailbox[JudgeItem] = Mailbox("judge", 4096)
        self.link: Mailbox[Verdict] = Mailbox("plc", 4096)
        self.archive: Mailbox[ArchiveItem] = Mailbox("archive", 4096)
        self.control = Control(self.recipes, 4, self.conditions.reset)
        self.judge = Judge(
            boot_id=4242,
            geometry=self.geometry,
            recipes=self.recipes,
            control=self.control,
            basis=Basis(self.recipes, lambda: MODEL, {}),
            timeline=self.timeline,
            inbox=self.inbox,
            links=[self.link],
            archive=self.archive,
            conditions=self.conditions,
            backlog=lambda: 0,
            arrived=lambda _: None,
            seen=seen,
        )

    def belt(self, count: int, at_ns: int | None = None, *, boot: int = BOOT) -> None:
        now = time.monotonic_ns() if at_ns is None else at_ns
        self.timeline.add(EncoderSample(self.counter.shown(count), now, now - 200_000, now, boot_id=boot))

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
    begun_s = time.monotonic()
    verdicts = rig.step(heard(1, {1: 50_000}))
    while not verdicts:
        verdicts = rig.step()
    took_s = time.monotonic() - begun_s
    (verdict,) = verdicts
    assert (verdict.decision, verdict.rejects) == (Decision.NOT_INSPECTED, True)
    assert seconds_left(verdict) > 0.9 * 1.4 - silent_s * (silent_s < 1.4) - took_s
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
    verdicts = rig.step(heard(20, {part_seq: 36_000 + 700 * part_seq for part_seq in range(5, 21)}))
    assert [(verdict.part.part_seq, verdict.reason) for verdict in verdicts] == [
        (part_seq, Reason.TRIGGER_LOST) for part_seq in range(1, 5)
    ]
    assert rig.judge.status().error_code is ErrorCode.PLC_TRIGGERS_LOST
    assert rig.judge.status().state is StationState.FAULT
    until = time.monotonic() + 0.6
    while time.monotonic() < until:
        rig.belt(50_000)
        rig.step()
    status = rig.judge.status()
    assert (status.state, status.error_code) == (StationState.DEGRADED, ErrorCode.PARTS_NOT_INSPECTED)


def test_without_an_encoder_a_part_is_answered_while_it_is_on_its_way_however_short_that_is() -> None:
    rig = Rig(gate_mm=400)
    rig.step(heard(0, {}))
    begun = last = time.monotonic()
    longest_s = 0.0  # a busy machine does not give each step its time
    verdicts = rig.step(heard(1, {1: 10}))
    while not verdicts:
        longest_s, last = max(longest_s, time.monotonic() - last), time.monotonic()
        verdicts = rig.step()
    longest_s = max(longest_s, time.monotonic() - last)
    assert time.monotonic() - begun < 0.4 + longest_s
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
    for back in range(1000, -1, -1):
        rig.belt(50_000 - back * 10, now - back * MS)
    rig.step(heard(0, {}, asked_ns=now - 900 * MS))
    rig.step(heard(2, {1: 43_000, 2: 44_000}))
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
    rig.step(heard(0, {}, asked_ns=now - S))
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


# What the station tells of itself.


def parts(rig: Rig, first: int, count: int, **looks: Any) -> list[Verdict]:
    """So many parts one after the other, a pitch apart, each seen by its camera where it stands."""
    verdicts = []
    for part_seq in range(first, first + count):
        seen = 50_000 + 1000 * part_seq
        rig.belt(seen)
        verdicts += rig.step(heard(part_seq, {part_seq: seen - 5000}), view(seen, **looks))
    return verdicts


def told(rig: Rig) -> tuple[StationState, ErrorCode, bool]:
    status = rig.judge.status()
    return status.state, status.error_code, status.alarm


def test_rejects_in_a_row_raise_the_alarm_until_a_part_is_accepted() -> None:
    rig = Rig()
    rig.standing()
    defects = (Defect("top", "crack", area_mm2=9.0, length_mm=3.0, confidence=0.9, x_mm=1.0, y_mm=1.0),)
    assert {verdict.decision for verdict in parts(rig, 1, 4, defects=defects)} == {Decision.REJECT}
    assert told(rig) == (StationState.READY, ErrorCode.NONE, False)
    parts(rig, 5, 1, defects=defects)
    assert told(rig) == (StationState.DEGRADED, ErrorCode.MANY_REJECTS, True)
    parts(rig, 6, 1)
    assert told(rig) == (StationState.READY, ErrorCode.NONE, False)


def test_a_reset_ends_the_alarm_and_the_count_begins_anew() -> None:
    rig = Rig()
    rig.standing()
    defects = (Defect("top", "crack", area_mm2=9.0, length_mm=3.0, confidence=0.9, x_mm=1.0, y_mm=1.0),)
    parts(rig, 1, 5, defects=defects)
    rig.step(Command("page:anna", "1", CommandName.RESET, lambda _: None))
    assert told(rig) == (StationState.READY, ErrorCode.NONE, False)
    parts(rig, 6, 4, defects=defects)
    assert told(rig) == (StationState.READY, ErrorCode.NONE, False)
    parts(rig, 10, 1, defects=defects)
    assert told(rig)[2]


def test_a_line_whose_parts_are_not_inspected_is_blind_and_then_sees_again() -> None:
    rig = Rig()
    rig.standing()
    parts(rig, 1, 3, failure=Reason.LATE)
    assert told(rig) == (StationState.DEGRADED, ErrorCode.PARTS_NOT_INSPECTED, False)
    parts(rig, 4, 2, failure=Reason.LATE)
    assert told(rig) == (StationState.FAULT, ErrorCode.LINE_BLIND, False)
    (held,) = rig.conditions.reasons()
    assert held.why.startswith("5 of the last 5 parts were not inspected, 5 of them late: ")
    parts(rig, 6, 20)
    assert told(rig) == (StationState.READY, ErrorCode.NONE, False)


def test_a_station_that_is_switched_off_is_off_and_everything_before_is_forgotten() -> None:
    rig = Rig()
    rig.standing()
    parts(rig, 1, 5, failure=Reason.LATE)
    rig.step(Command("page:anna", "1", CommandName.DISABLE, lambda _: None))
    assert told(rig) == (StationState.OFF, ErrorCode.SWITCHED_OFF, False)
    (held,) = rig.conditions.reasons()
    assert held.subject == "page:anna"
    assert re.fullmatch(r"since \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ: every part is rejected", held.why)
    assert {verdict.reason for verdict in parts(rig, 6, 30)} == {Reason.DISABLED}
    assert told(rig) == (StationState.OFF, ErrorCode.SWITCHED_OFF, False)
    rig.step(Command("mqtt", "2", CommandName.ENABLE, lambda _: None))
    assert told(rig) == (StationState.READY, ErrorCode.NONE, False)
    assert parts(rig, 36, 1)[0].decision is Decision.ACCEPT


def test_the_enable_bit_of_the_plc_switches_off_and_the_message_says_what_happens_to_the_parts() -> None:
    rig = Rig()
    for number, each in rig.recipes.items():
        passing = each.recipe.model_copy(update={"on_not_inspected": "accept"})
        rig.recipes[number] = Criteria(passing, each.limits)
    rig.standing()
    rig.step(replace(heard(0, {}), enable=False))
    (held,) = rig.conditions.reasons()
    assert (held.code, held.subject) == (ErrorCode.SWITCHED_OFF, "plc")
    assert held.why.endswith(": every part passes the gate uninspected")
    rig.step(heard(0, {}))
    assert told(rig)[0] is StationState.READY


def test_what_was_off_before_the_station_was_ready_is_told_in_the_log_too(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    rig.conditions.phase(StationState.STARTING)
    rig.step(replace(heard(0, {}), enable=False))
    rig.conditions.phase(StationState.READY)
    until = time.monotonic() + 1.2
    with caplog.at_level("WARNING"):
        while time.monotonic() < until:
            rig.step()
    assert "switched_off (E606) plc: since " in caplog.text


# The line's scale.


def announced(rig: Rig, *pitches_mm: float) -> list[Verdict]:
    """Parts so far apart, the last of them at the photo-eye now; each reading tells of one."""
    count, verdicts = 50_000 - round(sum(pitches_mm) * COUNTS_PER_MM), []
    shown = {1: count}
    verdicts += rig.step(heard(1, shown))
    for part_seq, pitch_mm in enumerate(pitches_mm, start=2):
        count += round(pitch_mm * COUNTS_PER_MM)
        shown[part_seq] = count
        verdicts += rig.step(heard(part_seq, shown))
    return verdicts


def mismatches(rig: Rig) -> dict[str, str]:
    return {held.subject: held.why for held in rig.conditions.reasons() if held.code is ErrorCode.LINE_MISMATCH}


def test_parts_that_all_come_too_near_are_told_as_a_wrong_scale() -> None:
    rig = Rig()
    rig.standing()
    announced(rig, *[15.0] * 5)
    assert list(mismatches(rig)) == ["scale"]
    assert "parts come every 15 mm, min_pitch_mm is 60" in mismatches(rig)["scale"]
    assert (ErrorCode.LINE_MISMATCH, "scale") in rig.conditions.snapshot()


def test_what_the_encoder_s_thread_told_of_the_scale_is_not_taken_back_by_right_pitches() -> None:
    rig = Rig()
    rig.standing()
    rig.conditions.set(ErrorCode.LINE_MISMATCH, "scale", "the belt runs at 2400 mm/s")
    announced(rig, *[100.0] * 6)
    assert mismatches(rig) == {"scale": "the belt runs at 2400 mm/s"}


def test_a_photo_eye_that_bounces_is_told_and_counted() -> None:
    rig, before = Rig(), doubled()
    rig.standing()
    announced(rig, 4.0, 96.0, 4.0, 96.0)
    assert list(mismatches(rig)) == ["pitch"]
    assert doubled() - before == 2


def doubled() -> float:
    return REGISTRY.get_sample_value("edge_inspector_triggers_doubled_total") or 0.0


@pytest.mark.parametrize(
    "defects", [(), (Defect("top", "crack", area_mm2=9, length_mm=3, confidence=0.9, x_mm=1, y_mm=1),)]
)
@pytest.mark.parametrize("views", [1, 2])
def test_both_parts_of_a_bounce_get_one_verdict_each_and_neither_is_accepted(
    defects: tuple[Defect, ...], views: int
) -> None:
    rig = Rig()
    rig.standing(55_000)
    verdicts = rig.step(heard(1, {1: 50_000}), heard(2, {1: 50_000, 2: 50_040}))
    for _ in range(views):
        verdicts += rig.step(view(55_020, defects=defects))
    for _ in range(3):
        verdicts += rig.step()
    assert sorted(verdict.part.part_seq for verdict in verdicts) == [1, 2]
    expected = (Decision.REJECT, Reason.DEFECT) if defects else (Decision.NOT_INSPECTED, Reason.POSITION_UNKNOWN)
    assert [(verdict.decision, verdict.reason) for verdict in verdicts] == [expected, expected]
    assert all(verdict.rejects for verdict in verdicts)


@pytest.mark.parametrize(("read_point", "reason"), [(80 / 140, Reason.POSITION_UNKNOWN), (0.0, Reason.FRAME_MISSING)])
def test_parts_that_are_not_placed_well_enough_are_told_with_where_the_doubt_comes_from(
    read_point: float, reason: Reason
) -> None:
    """The PLC reads as it is asked, and its answer takes 60 ms. With another `read_point` no view finds its part."""
    rig = Rig(read_point=read_point)
    now = time.monotonic_ns()
    for back in range(40, -1, -1):  # 1 m/s
        at_ns = now - back * 80 * MS
        rig.timeline.add(EncoderSample(50_000 - back * 800, at_ns, at_ns, at_ns + 60 * MS, boot_id=BOOT))
    rig.step(heard(0, {}, asked_ns=now - 2 * S))
    shown = {part_seq: 35_000 + 700 * part_seq for part_seq in range(1, 6)}
    places = [count + 5000 for count in shown.values()]
    views = [view(at_ns=now - (50_000 - place) * S // COUNTS_PER_S) for place in places]
    verdicts = rig.step(heard(5, shown), *views)
    while len(verdicts) < 5:
        verdicts += rig.step()
    assert [verdict.reason for verdict in verdicts] == [reason] * 5
    assert list(mismatches(rig)) == ["bound"]
    assert "position_tolerance_mm is 5" in mismatches(rig)["bound"]
    assert "the doubt about the PLC's clock" in mismatches(rig)["bound"]


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


# What triggers and encoder say does not fit the station file.


def at_speed(rig: Rig, now: int, ms: int, step: int = 100) -> None:
    """A belt at 1 m/s until now, as far back as `ms`, and at 50000 by then."""
    for back in range(ms // 10, -1, -1):
        rig.belt(50_000 - back * step, now - back * 10 * MS)


@pytest.mark.parametrize("subject", ["counter", "scale"])
def test_while_the_line_is_not_as_described_no_part_is_at_a_known_place(subject: str) -> None:
    rig = Rig()
    rig.standing()
    assert rig.step(heard(1, {1: 50_000})) == []
    rig.conditions.set(ErrorCode.LINE_MISMATCH, subject, "so it is")
    (verdict,) = rig.step(
        view(55_000, defects=(Defect("top", "crack", area_mm2=9.0, length_mm=9.0, confidence=0.9, x_mm=0.0, y_mm=0.0),))
    )
    assert (verdict.decision, verdict.reason, verdict.rejects) == (
        Decision.NOT_INSPECTED,
        Reason.POSITION_UNKNOWN,
        True,
    )
    (verdict,) = rig.step(heard(2, {1: 50_000, 2: 50_010}))
    assert (verdict.part.part_seq, verdict.reason) == (2, Reason.POSITION_UNKNOWN)
    rig.conditions.clear(ErrorCode.LINE_MISMATCH, subject)
    assert rig.step(heard(3, {2: 50_010, 3: 50_020})) == []


def test_a_bound_that_cannot_be_kept_voids_no_place() -> None:
    rig = Rig()
    rig.standing()
    rig.conditions.set(ErrorCode.LINE_MISMATCH, "bound", "it is too large")
    assert rig.step(heard(1, {1: 45_000})) == []
    (verdict,) = rig.step(view(50_000))
    assert verdict.decision is Decision.ACCEPT


def test_a_belt_that_runs_backwards_is_told_and_every_part_answered_at_once() -> None:
    rig = Rig()
    at_speed(rig, time.monotonic_ns(), 400)
    rig.step(heard(0, {}))
    assert rig.step(heard(1, {1: 49_500})) == []
    verdicts: list[Verdict] = []
    for at in range(1, 8):
        assert verdicts == []
        time.sleep(0.011)
        rig.belt(50_000 - 100 * at)
        verdicts = rig.step()
    (verdict,) = verdicts
    assert verdict.reason is Reason.POSITION_UNKNOWN
    (held,) = rig.conditions.reasons()
    assert (held.code, held.subject) == (ErrorCode.LINE_MISMATCH, "direction")
    assert "write line.counts_per_mm = -10" in held.why


def test_a_part_latched_where_the_belt_was_not_has_no_place_and_is_told() -> None:
    rig = Rig()
    now = time.monotonic_ns()
    at_speed(rig, now + S, 1600)  # so that no machine is too slow
    rig.step(heard(0, {}, asked_ns=now - 100 * MS))
    (verdict,) = rig.step(heard(1, {1: 700_000}))
    rig.step()
    assert verdict.reason is Reason.POSITION_UNKNOWN
    assert not verdict.part.positioned
    assert (verdict.part.trigger_count, verdict.part.due_count) == (700_000, 715_000)
    (held,) = rig.conditions.reasons()
    assert (held.code, held.subject) == (ErrorCode.LINE_MISMATCH, "source")
    assert held.why.startswith("part 1 was latched at count 700000, but the encoder record was between ")


def test_a_part_that_the_encoder_record_never_covers_is_followed_all_the_same() -> None:
    rig = Rig()
    at_speed(rig, time.monotonic_ns(), 600)
    rig.step(heard(0, {}, asked_ns=time.monotonic_ns() - 100 * MS))
    assert rig.step(heard(1, {1: 52_000})) == []
    assert rig.judge._placing.waits_for_encoder
    time.sleep(0.11)
    rig.step()
    assert not rig.judge._placing.waits_for_encoder
    assert len(rig.judge._tracker) == 1
    assert rig.conditions.snapshot() == []


def test_a_picture_from_before_its_part_s_trigger_is_none_of_it() -> None:
    rig = Rig()
    now = time.monotonic_ns()
    at_speed(rig, now, 700, step=-100)  # from 57000 down to 50000, and the part comes at 51000
    rig.step(heard(0, {}, asked_ns=now - 200 * MS))
    assert rig.step(heard(1, {1: 51_000})) == []
    assert rig.step(*(view(at_ns=now - ms * MS) for ms in range(590, 611))) == []
    (assembly,) = rig.judge._tracker.left()
    assert assembly.views == {}
    assert assembly.part.not_before_ns == pytest.approx(now - 100 * MS, abs=25 * MS)


def test_an_encoder_record_of_another_plc_is_told() -> None:
    rig = Rig()
    rig.standing()
    for _ in range(60):
        rig.belt(50_000)
        rig.step(heard(0, {}, boot=8))
        time.sleep(0.02)
    (held,) = rig.conditions.reasons()
    assert (held.code, held.subject) == (ErrorCode.LINE_MISMATCH, "source")
    assert held.why.startswith("the encoder record has boot_id 7, the trigger ring 8: two PLCs?")


def test_a_silent_encoder_is_no_other_plc() -> None:
    rig = Rig()
    rig.standing(silent_ns=S)
    rig.step(heard(0, {}, boot=8))
    time.sleep(1.05)
    rig.step(heard(0, {}, boot=8))
    assert not rig.conditions.holds(ErrorCode.LINE_MISMATCH)


@pytest.mark.parametrize(
    ("counter", "raw", "due"),
    [
        (Counter(falling=True), -50_000, -65_000),
        (Counter(0, 19_999), 10_000, 5000),
        (Counter(0, 19_999, falling=True), 10_000, 15_000),
    ],
)
def test_a_part_goes_out_with_the_due_count_that_the_counter_will_show(counter: Counter, raw: int, due: int) -> None:
    rig = Rig(counter=counter)
    rig.standing(55_000)
    assert rig.step(heard(1, {1: counter.shown(50_000)})) == []
    (verdict,) = rig.step(view(counter.shown(55_000)))
    assert (verdict.decision, verdict.part.trigger_count, verdict.part.due_count) == (Decision.ACCEPT, raw, due)


def test_while_a_counter_wraps_where_it_should_not_no_due_count_lies_beyond() -> None:
    rig = Rig(seen=lambda: (0, 9999))
    rig.standing(9000)
    rig.conditions.set(ErrorCode.LINE_MISMATCH, "counter", "it seems to wrap at 10000")
    (verdict,) = rig.step(heard(1, {1: 9000}))
    assert (verdict.reason, verdict.part.trigger_count, verdict.part.due_count) == (
        Reason.POSITION_UNKNOWN,
        9000,
        4000,
    )


def test_a_trigger_that_the_described_counter_never_shows_has_no_place_and_is_told() -> None:
    rig = Rig(counter=Counter(0, 19_999))
    rig.standing(5000)
    (verdict,) = rig.step(heard(1, {1: 20_000}))
    assert (verdict.reason, verdict.part.positioned) == (Reason.POSITION_UNKNOWN, False)
    rig.step()
    (held,) = rig.conditions.reasons()
    assert held.why.startswith("part 1 was latched at count 20000, which a counter from 0 to 19999 never shows")


def test_a_part_whose_place_and_trigger_are_lost_has_no_counts_in_any_counter() -> None:
    rig = Rig(counter=Counter(100, 20_099))
    rig.standing(5000)
    verdicts = rig.step(heard(17, {part_seq: 5000 + part_seq for part_seq in range(2, 18)}))
    lost = [each for each in verdicts if each.reason is Reason.TRIGGER_LOST]
    assert [(each.part.trigger_count, each.part.due_count) for each in lost] == [(0, 0)]


def timed(number: int, at_ns: int, error_ns: int = 1 * MS, **more: Any) -> PlcInput:
    """The line announces a part that was at the photo-eye at this time, without a count."""
    trigger = Trigger(number, 0, answered=False, latched=False, at_ns=at_ns, error_ns=error_ns, **more)
    return replace(heard(number, {}), triggers=(trigger,))


def moving(rig: Rig, mm_s: float = 500.0, lasts_ns: int = S) -> Callable[[int], float]:
    """The belt runs evenly up to now. Returns its count at an instant."""
    now = time.monotonic_ns()

    def count_at(at_ns: int) -> float:
        return 50_000 + (at_ns - now) / S * mm_s * COUNTS_PER_MM

    for at_ns in range(now - lasts_ns, now + 1, 10 * MS):
        rig.belt(round(count_at(at_ns)), at_ns)
    rig.step(heard(0, {}))
    return count_at


def test_a_part_without_a_count_is_where_the_belt_was_at_its_time() -> None:
    rig = Rig()
    count_at, at_ns = moving(rig), time.monotonic_ns() - 400 * MS
    rig.step(timed(1, at_ns, 2 * MS, part_id="abc"))
    (open_part,) = rig.judge._tracker.open_parts()
    part = open_part.part
    assert part.positioned
    assert part.part_id == "abc"
    assert abs(part.trigger_count - count_at(at_ns)) <= part.error_counts
    assert part.error_counts >= 2 * MS / S * 500 * COUNTS_PER_MM, "what the belt ran in the time that is not known"


def test_the_doubt_about_the_part_s_place_is_in_its_verdict() -> None:
    errors = []
    for error_ns in (0, 1 * MS):
        rig = Rig()
        count_at, at_ns = moving(rig), time.monotonic_ns() - 400 * MS
        rig.step(timed(1, at_ns, error_ns))
        (verdict,) = rig.step(view(round(count_at(at_ns) + 5000)))
        assert verdict.decision is Decision.ACCEPT
        errors.append(verdict.error_mm)
    assert errors[1] - errors[0] == pytest.approx(0.5, abs=0.3), "1 ms more, at 0.5 m/s"


def test_a_part_whose_time_is_too_uncertain_is_not_inspected() -> None:
    rig = Rig()
    count_at, at_ns = moving(rig), time.monotonic_ns() - 400 * MS
    rig.step(timed(1, at_ns, 40 * MS))
    (verdict,) = rig.step(view(round(count_at(at_ns) + 5000)))
    assert (verdict.decision, verdict.reason) == (Decision.NOT_INSPECTED, Reason.POSITION_UNKNOWN)


def test_a_part_from_before_the_record_of_the_belt_has_no_place() -> None:
    rig = Rig()
    moving(rig)
    (verdict,) = rig.step(timed(1, time.monotonic_ns() - 60 * S))
    assert verdict.reason is Reason.POSITION_UNKNOWN


def test_a_part_that_the_announcer_lost_has_its_verdict_at_once() -> None:
    rig = Rig()
    moving(rig)
    (verdict,) = rig.step(timed(1, 0, part_id="x", lost=True))
    assert (verdict.reason, verdict.part.due_count, verdict.part.part_id) == (Reason.TRIGGER_LOST, 0, "x")
    assert rig.conditions.held(ErrorCode.PLC_TRIGGERS_LOST, "plc")


def unwatched(settle_ns: int | None, travel_error: float = 0.01) -> Rig:
    """A line without an encoder, of which somebody tells whether it runs."""
    rig = Rig()
    geometry = replace(rig.geometry, travel_error=travel_error, settle_ns=settle_ns)
    rig.geometry = geometry
    rig.judge = Judge(
        boot_id=4242,
        geometry=geometry,
        recipes=rig.recipes,
        control=rig.control,
        basis=Basis(rig.recipes, lambda: MODEL, {}),
        timeline=rig.timeline,
        inbox=rig.inbox,
        links=[rig.link],
        archive=rig.archive,
        conditions=rig.conditions,
        backlog=lambda: 0,
        arrived=lambda _: None,
    )
    return rig


def test_without_an_encoder_the_way_from_the_photo_eye_is_in_the_bound() -> None:
    errors = []
    for travel_error in (0.0, 0.002):
        rig = unwatched(None, travel_error)
        count_at, at_ns = moving(rig), time.monotonic_ns() - 400 * MS
        rig.step(timed(1, at_ns, 0))
        (verdict,) = rig.step(view(round(count_at(at_ns) + 5000)))
        errors.append(verdict.error_mm)
    assert errors[1] - errors[0] == pytest.approx(1.0, abs=0.3), "0.2 % of 500 mm"


def test_a_belt_that_stops_unseen_voids_all_parts_on_it() -> None:
    rig = unwatched(0)
    moving(rig)
    at_ns = time.monotonic_ns() - 50 * MS
    assert rig.step(timed(1, at_ns)) == []
    epoch = rig.timeline.epoch
    (verdict,) = rig.step(replace(timed(1, at_ns), line_running=False))
    assert (verdict.decision, verdict.reason) == (Decision.NOT_INSPECTED, Reason.POSITION_UNKNOWN)
    rig.belt(50_100)
    assert rig.timeline.epoch == epoch + 1, "no time that was told for the gate is right any more"


def test_parts_on_a_belt_that_does_not_run_evenly_yet_have_no_place() -> None:
    rig = unwatched(3600 * S)
    moving(rig)
    (verdict,) = rig.step(timed(1, time.monotonic_ns() - 50 * MS))
    assert verdict.reason is Reason.POSITION_UNKNOWN


def test_a_link_that_does_not_announce_may_choose_the_recipe_but_no_part_comes_from_it() -> None:
    rig = Rig()
    rig.standing()
    beside = replace(heard(9, {9: 45_000}, boot=99, recipe=5), announces=False)
    assert rig.step(beside) == []
    assert rig.control.recipe_id == 5
    assert len(rig.judge._tracker) == 0


def test_a_camera_that_announces_wants_nothing_of_the_station() -> None:
    rig = Rig()
    rig.standing()
    rig.step(replace(heard(0, {}), enable=False))
    rig.step(replace(heard(0, {}), requests=False, recipe_id=0))
    assert [each.by for each in rig.control.off] == ["plc"], "only the PLC that switched it off can switch it on"


def test_a_piece_of_a_web_has_its_stretch_and_a_new_roll_begins_behind_the_command() -> None:
    web = WebGeometry(piece_mm=200, rows_mm={"top": 500.0}, across_mm={"top": 0.0}, near_mm=5.0, overlap_mm=20.0)
    rig = Rig(web=web)
    rig.standing()
    (first,) = rig.step(heard(1, {1: 50_000 - 5000}), view(50_000))
    assert first.stretch is not None
    assert (first.stretch.roll, first.stretch.from_mm, first.stretch.to_mm) == ("1", 0.0, 200.0)
    answers: list[str] = []
    rig.step(Command("mqtt", "B", CommandName.NEW_ROLL, lambda result: answers.append(result.error)))
    rig.step(Command("mqtt", "a:b", CommandName.NEW_ROLL, lambda result: answers.append(result.error)))
    assert (answers[0], "at most 64" in answers[1]) == ("", True)
    (second,) = rig.step(heard(2, {1: 50_000 - 5000, 2: 50_000 - 3000}), view(52_000))
    assert second.stretch is not None
    assert second.stretch.roll == "1", "it lies before the place of the command"
    assert second.stretch.from_mm == 200.0


def test_a_new_sample_wakes_the_judge_only_if_it_can_decide_something() -> None:
    rig, nudges = Rig(), list[bool]()
    rig.inbox.nudge = lambda: nudges.append(True)  # type: ignore[method-assign]
    rig.standing()
    rig.judge.sampled()
    refused = View("top", 1, time.monotonic_ns() + S, failure=Reason.LATE)  # its place is not known yet
    rig.step(refused)
    rig.judge.sampled()
    assert nudges == []
    rig.step(replace(refused, frame_id=2, failure=Reason.NONE))
    rig.judge.sampled()
    assert nudges == [True]
