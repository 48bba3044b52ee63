"""What comes next in a roll-out, and when it goes back: by figures alone."""

from collections.abc import Mapping
from typing import Any

import pytest

from edge_inspector.rollout.state import State, StationSeen
from edge_inspector.rollout.steps import advanced, ended, orders, succeeded
from edge_inspector.store.ledger import Bounds, RolloutStep, Trial, TrialCounts
from edge_inspector.watches.rollout import finding

HERE = StationSeen(off=False, arrived=True)


def trial(step: RolloutStep, counts: Mapping[str, int], *, bounds: Bounds | None = None, rate: float = 0.0) -> Trial:
    return Trial(
        kind="model",
        name="tile-1.2",
        digest="d",
        id="r",
        replaces="tile-1.1",
        by="rollout",
        step=step,
        bounds=bounds or Bounds(pictures=100, agreement_min=0.9, found_pictures=10, found_min=0.8, parts=50),
        counts=TrialCounts(**counts),
        rate_before=rate,
    )


@pytest.mark.parametrize(
    ("counts", "passed", "breach"),
    [
        ({"accepted": 89, "rejected": 10}, False, ""),
        ({"accepted": 90, "rejected": 10}, True, ""),
        ({"accepted": 200}, False, ""),
        ({"accepted": 200, "missed": 2, "rejected": 8}, True, ""),
        ({"accepted": 200, "missed": 3, "rejected": 7}, False, "accepts 3 of 10 pictures"),
        ({"missed": 3}, False, "accepts 3 of 3 pictures"),
        ({"more": 10}, False, ""),
        ({"more": 11}, False, "disagree on 11 of 11"),
        ({"failed": 3}, False, "failed on 3"),
    ],
)
def test_the_shadow_must_agree_and_find_what_the_present_model_finds(
    counts: dict[str, int], passed: object, breach: str
) -> None:
    found = finding(trial(RolloutStep.SHADOW, counts))
    assert found.passed is passed
    assert breach in found.breach
    assert bool(found.breach) is bool(breach)


@pytest.mark.parametrize(
    ("rate", "counts", "passed", "breach"),
    [
        (0.1, {"parts": 49}, False, ""),
        (0.1, {"parts": 50}, True, ""),
        (0.1, {"parts": 50, "not_accepted": 7}, True, ""),
        (0.1, {"parts": 50, "not_accepted": 8}, False, "8 of 50 parts were not accepted"),
        (0.1, {"parts": 8, "not_accepted": 8}, False, "8 of 8"),
        (0.0, {"parts": 2, "not_accepted": 2}, False, ""),
        (0.1, {"parts": 50, "missed": 11}, False, "disagree on 11"),
        (0.1, {"parts": 50, "more": 3}, False, "accepts 3 of 3"),
    ],
)
def test_a_model_that_judges_may_not_reject_much_more_than_the_former_one(
    rate: float, counts: dict[str, int], passed: object, breach: str
) -> None:
    """Shadow and judging model have changed places: what the shadow alone rejects, the new model has missed."""
    found = finding(trial(RolloutStep.JUDGES, counts, rate=rate))
    assert found.passed is passed
    assert breach in found.breach
    assert bool(found.breach) is bool(breach)


def test_without_a_shadow_only_the_parts_count() -> None:
    bounds = Bounds(pictures=0, parts=5, reject_rise_max=0.2)
    assert finding(trial(RolloutStep.JUDGES, {"parts": 5, "not_accepted": 1}, bounds=bounds)).passed
    assert finding(trial(RolloutStep.JUDGES, {"parts": 5, "not_accepted": 2}, bounds=bounds)).breach
    assert not finding(trial(RolloutStep.WAITS, {"parts": 5}, bounds=bounds)).passed


def state(*stations: StationSeen, **more: Any) -> State:
    return State(
        id="r", digest="d", name="tile-1.2", stations={str(at): each for at, each in enumerate(stations)}, **more
    )


def at(step: RolloutStep, **more: Any) -> StationSeen:
    return StationSeen(off=False, arrived=True, step=step, **more)


def given(found: State, first: int = 1, *, shadow: bool = True) -> dict[str, str]:
    return dict(orders(found, first=first, shadow=shadow))


def test_each_station_gets_the_package_and_looks_on() -> None:
    assert given(state(StationSeen(off=False), HERE, StationSeen())) == {"0": "package", "1": "shadow"}


def test_the_first_ones_judge_and_the_others_wait_for_them() -> None:
    passed = at(RolloutStep.SHADOW, passed=True)
    assert given(state(passed, passed, passed), first=2) == {"0": "judge", "1": "judge"}
    assert given(state(at(RolloutStep.JUDGES), passed, passed), first=1) == {}
    assert given(state(at(RolloutStep.SHADOW, passed=True, wanted=RolloutStep.JUDGES), passed), first=1) == {}
    assert given(state(at(RolloutStep.JUDGES, passed=True), passed, passed), first=1) == {"1": "judge", "2": "judge"}
    assert given(state(at(RolloutStep.JUDGES, passed=True), at(RolloutStep.JUDGES), passed), first=2) == {}


def test_a_station_that_is_off_is_not_one_of_the_first() -> None:
    assert given(state(StationSeen(), at(RolloutStep.SHADOW, passed=True)), first=1) == {"1": "judge"}


def test_without_a_shadow_the_first_ones_judge_at_once() -> None:
    assert given(state(HERE, HERE), shadow=False) == {"0": "judge"}


def test_it_is_kept_when_every_station_that_answers_has_passed() -> None:
    late = state(at(RolloutStep.JUDGES, passed=True), at(RolloutStep.JUDGES, passed=True), StationSeen())
    found = advanced(late, first=1)
    assert found.kept
    assert given(found) == {"0": "keep", "1": "keep"}
    assert not ended(found)
    assert not advanced(state(at(RolloutStep.JUDGES, passed=True), at(RolloutStep.JUDGES)), first=1).kept
    restarts = StationSeen(off=True, arrived=True, step=RolloutStep.SHADOW)
    assert not advanced(state(at(RolloutStep.JUDGES, passed=True), restarts), first=1).kept, "it will be back at once"
    gone = restarts.model_copy(update={"removed": True})
    assert advanced(state(at(RolloutStep.JUDGES, passed=True), gone), first=1).kept, "it is not in the plan any more"
    assert not advanced(state(at(RolloutStep.JUDGES, passed=True), StationSeen(), StationSeen()), first=2).kept, (
        "too few have tried it"
    )


def test_a_station_that_comes_back_later_takes_all_steps() -> None:
    done = at(RolloutStep.KEPT, passed=True)
    for seen, what in (
        (StationSeen(off=False), "package"),
        (HERE, "shadow"),
        (at(RolloutStep.SHADOW, passed=True), "judge"),
    ):
        assert given(state(done, seen, kept=True)) == {"1": what}
    assert given(state(done, at(RolloutStep.JUDGES, passed=True), kept=True)) == {"1": "keep"}
    assert succeeded(state(done, done, kept=True))
    assert ended(state(done, done, kept=True))


def test_one_that_falls_takes_all_back_until_it_is_kept() -> None:
    fallen = at(RolloutStep.JUDGES, wanted=RolloutStep.BACK, said="many rejects")
    found = advanced(
        state(at(RolloutStep.JUDGES, passed=True), fallen, at(RolloutStep.SHADOW), HERE, StationSeen()), first=1
    )
    assert (found.phase, found.why_back) == ("back", "1: many rejects")
    assert given(found) == {"0": "back", "2": "back"}
    assert not ended(found)
    late = state(at(RolloutStep.KEPT), at(RolloutStep.BACK, said="many rejects"), kept=True)
    assert advanced(late, first=1).phase == "forward", "the others have proved it"
    assert ended(late)
    assert not succeeded(late)


def test_a_station_whose_answer_was_lost_is_asked_before_all_is_over() -> None:
    lost = state(at(RolloutStep.BACK), StationSeen(off=True, ordered=True), phase="back")
    assert not ended(lost)
    assert ended(state(at(RolloutStep.BACK), StationSeen(off=False, ordered=True), phase="back"))
    assert ended(state(at(RolloutStep.BACK), StationSeen(), phase="back")), "it never got anything"


def test_a_station_that_refuses_stops_nobody_and_is_no_success() -> None:
    found = advanced(state(at(RolloutStep.JUDGES, passed=True), StationSeen(off=False, refused=True)), first=1)
    assert found.kept
    finished = state(at(RolloutStep.KEPT), StationSeen(off=False, refused=True), kept=True)
    assert ended(finished)
    assert not succeeded(finished)
