"""Challenge parts: what the station must find on them, and what follows if it does not."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from support.verdicts import BOOT, announced, defect, placed, verdict

from edge_inspector.codes import CommandName, Decision, ErrorCode, Reason, StationState
from edge_inspector.inspection.alarms import Alarms
from edge_inspector.inspection.challenge import Challenge, ChallengePart, ChallengeRules
from edge_inspector.inspection.control import Control
from edge_inspector.inspection.recipe import AlarmLimits, ClassLimits, Criteria, Recipe
from edge_inspector.records import ChallengeRun, ChallengeSeen, Change, Command, CommandResult, Verdict
from edge_inspector.runtime.clock import utc_of
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.station.challenge_faults import challenge_faults
from edge_inspector.station.tables import ChallengeTable
from edge_inspector.store.challenges import append_challenge, challenges_path, read_challenges, stored
from edge_inspector.store.sidecar import kept_because
from edge_inspector.watches.challenge import Challenging
from edge_inspector.watches.challenge_due import ChallengeDue, Schedule, due

S, BEGUN = 1_000_000_000, 1_000
GOOD = ChallengePart(recipe=3, name="master-1", expect="accept")
BAD = ChallengePart(recipe=3, name="scratch-1", expect="reject", finds=["crack"])
CRACKED = (placed(defects=[defect()]),)


def challenge(*parts: ChallengePart) -> Challenge:
    return Challenge(
        parts or (GOOD, BAD), who="page:ann", recipe_id=3, criteria="c0ffee", now_ns=BEGUN, timeout_ns=60 * S
    )


def accepted(seq: int, **changes: Any) -> Verdict:
    return verdict(seq, challenge="master-1", **changes)


def rejected(seq: int, **changes: Any) -> Verdict:
    return verdict(seq, Decision.REJECT, views=CRACKED, challenge="scratch-1", **changes)


def test_a_station_that_judges_each_part_rightly_passes() -> None:
    run = challenge()
    assert run.over(BEGUN) is None
    run.take(accepted(1))
    assert run.next is BAD
    run.take(rejected(2))
    found = run.over(3 * S)
    assert found is not None
    assert (found.passed, found.who, found.criteria, found.expected) == (True, "page:ann", "c0ffee", 2)
    assert [(each.name, each.decision, each.found, each.right) for each in found.parts] == [
        ("master-1", "ACCEPT", (), True),
        ("scratch-1", "REJECT", ("crack",), True),
    ]


@pytest.mark.parametrize(
    ("second", "why"),
    [
        (accepted(2), "scratch-1 must be reject: crack, and was accept"),
        (
            verdict(2, Decision.REJECT, views=(placed(defects=[defect(defect_class="dent")]),)),
            "scratch-1 must be reject: crack, and was reject (dent)",
        ),
        (verdict(2, Decision.NOT_INSPECTED), "scratch-1 must be reject: crack, and was not inspected (late)"),
        (rejected(2, recipe_id=4), "scratch-1 must be reject: crack, and was reject (crack)"),
    ],
)
def test_a_part_that_is_judged_wrongly_fails_it(second: Verdict, why: str) -> None:
    run = challenge()
    run.take(accepted(1))
    run.take(second)
    found = run.over(3 * S)
    assert found is not None
    assert (found.passed, found.why) == (False, why)


def test_the_result_names_every_part_and_every_mistake() -> None:
    run = challenge(GOOD, BAD, BAD)
    run.take(verdict(1, Decision.REJECT, views=CRACKED, part_seq=41))
    run.take(verdict(2, Decision.NOT_INSPECTED, part_seq=42))
    first = ChallengeSeen(
        name="master-1",
        expect="accept",
        decision="REJECT",
        reason="defect",
        found=("crack",),
        right=False,
        boot_id=BOOT,
        seq=1,
        part_seq=41,
    )
    second = replace(
        first, name="scratch-1", expect="reject: crack", decision="NOT_INSPECTED", reason="late", found=(), seq=2,
        part_seq=42,
    )  # fmt: skip
    assert run.over(90 * S, stopping=True) == ChallengeRun(
        who="page:ann",
        recipe_id=3,
        criteria="c0ffee",
        expected=3,
        begun_ns=BEGUN,
        ended_ns=90 * S,
        parts=(first, second),
        why=(
            "master-1 must be accept, and was reject (crack); scratch-1 must be reject: crack, and was not inspected "
            "(late); scratch-1 is missing: the station stopped"
        ),
    )


def test_a_part_may_have_more_defects_than_it_must() -> None:
    run = challenge(BAD)
    dent, crack = defect(defect_class="dent"), defect()
    run.take(verdict(1, Decision.REJECT, views=(placed(defects=[dent, crack, crack]),)))
    found = run.over(3 * S)
    assert found is not None
    assert (found.passed, found.parts[0].found) == (True, ("crack", "dent"))


def test_a_good_part_that_is_rejected_fails_it() -> None:
    run = challenge(GOOD)
    run.take(verdict(1, Decision.REJECT, views=CRACKED))
    found = run.over(3 * S)
    assert found is not None
    assert found.why == "master-1 must be accept, and was reject (crack)"


def test_a_part_that_never_comes_is_named_after_the_timeout() -> None:
    run = challenge()
    run.take(accepted(1, decided_ns=30 * S))
    assert run.over(30 * S + 60 * S - 1) is None
    found = run.over(30 * S + 60 * S)
    assert found is not None
    assert found.why == "scratch-1 is missing: it did not come within 60 s"


def test_only_parts_that_were_announced_after_the_begin_belong_to_it() -> None:
    run = challenge(GOOD)
    assert not run.owns(announced(1, announced_ns=BEGUN))
    assert run.owns(announced(2, announced_ns=BEGUN + 1))
    run.take(accepted(2))
    assert run.next is GOOD
    assert not run.owns(announced(3, announced_ns=BEGUN + 2)), "all have come"


def test_what_a_good_part_must_have_is_a_mistake() -> None:
    with pytest.raises(ValidationError, match="finds belongs to a part that must be rejected"):
        ChallengePart(recipe=3, name="a", expect="accept", finds=["crack"])


# The judge's part.


class Line:
    def __init__(self, *, blocks: bool = False) -> None:
        self.conditions = Conditions()
        self.conditions.phase(StationState.READY)
        self.kept: list[ChallengeRun] = []
        rules = ChallengeRules(parts={3: (GOOD, BAD)}, timeout_ns=60 * S, blocks=blocks)
        self.challenging = Challenging(rules, self.conditions, self.kept.append)

    def begin(self, recipe_id: int = 3, now_ns: int = BEGUN) -> str:
        return self.challenging.begin(who="mqtt", recipe_id=recipe_id, criteria="c0ffee", now_ns=now_ns)

    def go(self, second: Verdict) -> None:
        assert self.begin() == ""
        self.challenging.count(accepted(1))
        self.challenging.count(second)


def test_a_challenge_names_each_part_keeps_its_result_and_clears_the_failure_of_the_one_before() -> None:
    line = Line()
    assert line.begin() == ""
    assert line.challenging.name_of(announced(1)) == "master-1"
    line.challenging.count(accepted(1))
    running = line.challenging.running
    assert running is not None
    assert (running.recipe_id, [each.name for each in running.seen]) == (3, ["master-1"])
    line.challenging.count(accepted(2))
    assert line.challenging.running is None
    assert line.conditions.held(ErrorCode.CHALLENGE_FAILED, "recipe 3")
    assert line.conditions.state is StationState.DEGRADED
    line.go(rejected(4))
    assert [run.passed for run in line.kept] == [False, True]
    assert line.conditions.state is StationState.READY
    assert line.challenging.last[3].passed


def test_a_second_one_must_wait_and_a_recipe_without_parts_cannot_begin() -> None:
    line = Line()
    assert "recipe 9 has no challenge parts" in line.begin(recipe_id=9)
    assert line.begin() == ""
    assert line.begin() == "a challenge runs already, and waits for master-1"
    line.challenging.settle(BEGUN + 60 * S)
    assert line.kept[0].why == "master-1 is missing: it did not come within 60 s"
    assert line.begin(now_ns=61 * S) == ""
    line.challenging.settle(62 * S, stopping=True)
    assert line.kept[1].why == "master-1 is missing: the station stopped"


def test_a_station_that_blocks_inspects_nothing_but_challenge_parts_until_it_passes() -> None:
    line = Line(blocks=True)
    part, other = announced(1, recipe_id=3), announced(1, recipe_id=4)
    assert not line.challenging.blocks(part)
    line.conditions.set(ErrorCode.CHALLENGE_DUE, "recipe 3", "the shift began")
    assert line.challenging.blocks(part)
    assert not line.challenging.blocks(other), "another recipe"
    line.begin()
    assert not line.challenging.blocks(part), "it is a challenge part"
    assert line.challenging.blocks(announced(1, recipe_id=3, announced_ns=1)), "it was there before"
    line.challenging.count(accepted(1))
    line.challenging.count(accepted(2))
    line.conditions.clear(ErrorCode.CHALLENGE_DUE, "recipe 3")
    assert line.challenging.blocks(part), "it failed"
    line.go(rejected(4))
    assert not line.challenging.blocks(part)


def test_a_station_that_warns_goes_on() -> None:
    line = Line()
    line.go(accepted(2))
    assert not line.challenging.blocks(announced(1, recipe_id=3))


def test_blocked_parts_raise_no_alarm_about_blindness() -> None:
    alarms = Alarms()
    for _ in range(50):
        alarms.take(Decision.NOT_INSPECTED, Reason.CHALLENGE, AlarmLimits())
    assert alarms.held == {}


def criteria(number: int, **changes: Any) -> Criteria:
    recipe = Recipe.model_validate(
        {
            "id": number,
            "name": "r",
            "model": "m-1",
            "views": ["top"],
            "part_length_mm": 50,
            "min_pitch_mm": 60,
            "position_tolerance_mm": 5,
        }
        | changes
    )
    return Criteria(recipe, {"crack": ClassLimits(min_area_mm2=1)})


def test_the_command_is_done_once_and_stands_in_the_audit_trail() -> None:
    changes: list[Change] = []
    answers: list[CommandResult] = []
    control = Control({3: criteria(3)}, 3, lambda: None, changed=changes.append)
    for refusal in ("", "a challenge runs already", ""):
        for number in "12":
            command = Command("mqtt", refusal or "a", CommandName.CHALLENGE, answers.append)
            control.take(command, int(number), challenge=lambda told=refusal: told)
    assert [each.error for each in answers] == ["", ""] + ["a challenge runs already"] * 2 + ["", ""]
    assert changes == [Change("mqtt", "challenge", "recipe 3", after="begun")]
    control.take(Command("mqtt", "z", CommandName.CHALLENGE, answers.append), 1)
    assert answers[-1].error == "this station has no challenge parts"


# When one is due.

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
SHIFTS = Schedule(shifts=["06:00", "14:00", "22:00"], each_shift=True)
HOURS = Schedule(shifts=["06:00"], every_h=4)


def past(hours: float, **changes: Any) -> Any:
    run = challenge().over(0, stopping=True)
    assert run is not None
    kept = {"why": "", "criteria": "c0ffee"} | changes
    whole = ChallengeRun(
        who="mqtt", recipe_id=3, expected=2, begun_ns=0, ended_ns=0, parts=run.parts, **kept
    )  # fmt: skip
    return stored(whole, NOW - timedelta(hours=hours))


@pytest.mark.parametrize(
    ("schedule", "last", "why"),
    [
        (SHIFTS, past(1), None),
        (SHIFTS, past(30), "the last one was passed at"),
        (SHIFTS, None, "no challenge was passed yet"),
        (SHIFTS, past(1, criteria="f00d"), "recipe, limits or model are others"),
        (SHIFTS, past(-1), "the clock was set back"),
        (SHIFTS, past(1, why="master-1 is missing"), "the last challenge failed: master-1 is missing"),
        (HOURS, past(3.9), None),
        (HOURS, past(4), "the last one was passed at 2026-11-30T08:00Z"),
        (Schedule(shifts=["06:00"]), None, None),
        (Schedule(shifts=["06:00"]), past(999), None),
        (Schedule(shifts=["06:00"]), past(1, why="wrong"), "the last challenge failed: wrong"),
    ],
)
def test_when_a_challenge_is_due(schedule: Schedule, last: Any, why: str | None) -> None:
    found = due(NOW, schedule, last, "c0ffee")
    assert (found is None) if why is None else (found is not None and why in found.why)


class Office:
    """The watch, with what it asks."""

    def __init__(self, schedule: Schedule, last: Any = None) -> None:
        self.conditions = Conditions()
        self.conditions.phase(StationState.READY)
        self.ran: dict[int, ChallengeRun] = {}
        self.watch = ChallengeDue(
            schedule,
            last={} if last is None else {3: last},
            ran=lambda: self.ran,
            runs=lambda: None,
            challenged=lambda recipe_id: recipe_id == 3,
            criteria=lambda _: "c0ffee",
            conditions=self.conditions,
        )

    def due(self) -> bool:
        return self.conditions.held(ErrorCode.CHALLENGE_DUE, "recipe 3")


def test_what_is_due_by_the_clock_has_time_of_grace_and_anything_else_has_none() -> None:
    now_ns = 10_000 * S
    last = past(0)
    last = type(last)(utc_of(now_ns) - timedelta(hours=4, minutes=10), last.who, last.recipe_id, last.criteria,
                      expected=2, parts=(), why="")  # fmt: skip
    office = Office(HOURS, last)
    office.watch.look(3, now_ns)
    assert office.watch.now is not None
    assert not office.due(), "ten minutes late, and it has fifteen"
    office.watch.look(3, now_ns + 6 * 60 * S)
    assert office.due()
    at_once = Office(HOURS)
    at_once.watch.look(3, now_ns)
    assert at_once.due(), "never passed"


def test_passing_clears_it_and_the_judge_alone_tells_of_a_failure_of_now() -> None:
    office, now_ns = Office(SHIFTS), 10_000 * S
    office.watch.look(3, now_ns)
    assert office.due()
    run = past(0)
    office.ran[3] = ChallengeRun(
        who="mqtt", recipe_id=3, criteria="c0ffee", expected=2, begun_ns=0, ended_ns=now_ns, parts=run.parts, why=""
    )
    office.watch.look(3, now_ns)
    assert not office.due()
    assert office.watch.last(3) is not None
    office.conditions.set(ErrorCode.CHALLENGE_FAILED, "recipe 3")
    office.ran[3] = ChallengeRun(
        who="mqtt", recipe_id=3, criteria="c0ffee", expected=2, begun_ns=0, ended_ns=now_ns, parts=(), why="wrong"
    )
    office.watch.look(3, now_ns)
    assert not office.due()


def test_a_recipe_that_is_left_keeps_it_until_its_parts_have_left_the_belt() -> None:
    office, now_ns = Office(SHIFTS), 10_000 * S
    office.watch.look(3, now_ns)
    office.watch.look(4, now_ns)
    assert office.watch.now is None, "recipe 4 has no parts"
    assert office.due()
    office.watch.look(4, now_ns + 61 * S)
    assert not office.due()
    office.watch.look(3, now_ns + 62 * S)
    assert office.due()


# What is kept.


def test_challenges_are_kept_and_damaged_lines_are_left_out(tmp_path: Path) -> None:
    run = challenge()
    run.take(accepted(1))
    run.take(accepted(2))
    found = run.over(3 * S)
    assert found is not None
    first, second = stored(found, NOW), past(1)
    append_challenge(tmp_path, first)
    with challenges_path(tmp_path).open("ab") as file:
        file.write(b'{"utc": 1}\n[]\n{"parts": [[]]}\nnot JSON\n' + b"[" * 100_000 + b"\n\xff\n")
    append_challenge(tmp_path, second)
    with challenges_path(tmp_path).open("ab") as file:
        file.write(b'{"utc": "2026-11-30T12:00:00Z", "who"')
    assert list(read_challenges(tmp_path)) == [first, second]
    assert not first.passed
    assert second.passed
    assert challenges_path(tmp_path).stat().st_mode & 0o007 == 0


def test_pictures_of_challenge_parts_are_kept() -> None:
    assert kept_because(accepted(1), accepted_one_in=0) == "challenge"


# The station file.


@pytest.mark.parametrize(
    ("table", "recipe", "where", "what"),
    [
        ({"parts": [{"recipe": 9, "name": "a", "expect": "reject"}]}, {}, "challenge.parts.0.recipe", "no recipe 9"),
        (
            {"parts": [{"recipe": 3, "name": "a", "expect": "reject", "finds": ["dent"]}]},
            {},
            "challenge.parts.0.finds",
            "does not know 'dent'. It knows: crack",
        ),
        (
            {"parts": [{"recipe": 3, "name": "a", "expect": "reject"}] * 2},
            {},
            "challenge.parts.1.name",
            "another part 'a'",
        ),
        ({"each_shift": True}, {}, "challenge.parts", "no part that must be rejected"),
        (
            {"every_h": 4, "parts": [{"recipe": 3, "name": "a", "expect": "accept"}]},
            {},
            "challenge.parts",
            "no part that must be rejected",
        ),
        (
            {"on_failure": "block", "parts": [{"recipe": 3, "name": "a", "expect": "reject"}]},
            {"on_not_inspected": "accept"},
            "challenge.on_failure",
            "blocks nothing",
        ),
    ],
)
def test_a_table_that_cannot_be_meant_is_a_fault(
    table: dict[str, Any], recipe: dict[str, Any], where: str, what: str
) -> None:
    (fault,) = challenge_faults(ChallengeTable.model_validate(table), {3: criteria(3, **recipe)})
    assert fault.where == where
    assert what in fault.what


def test_a_whole_table_is_no_fault() -> None:
    table = ChallengeTable(parts=[GOOD, BAD], each_shift=True, on_failure="block")
    assert list(challenge_faults(table, {3: criteria(3)})) == []
