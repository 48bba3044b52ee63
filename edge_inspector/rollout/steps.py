"""What comes next in a roll-out, from what the stations have said. Pure: no clock, no network, no file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from edge_inspector.rollout.state import State, StationSeen
from edge_inspector.store.ledger import RolloutStep

What = Literal["package", "shadow", "judge", "keep", "back"]

_UNDER_WAY = {RolloutStep.WAITS, RolloutStep.SHADOW, RolloutStep.JUDGES}


def advanced(state: State, *, first: int) -> State:
    """The state after the stations were heard: whether it goes back everywhere, and whether it is kept."""
    if state.phase == "forward" and not state.kept:
        fallen = [
            (at, seen) for at, seen in state.stations.items() if seen.step is RolloutStep.BACK or _goes_back(seen)
        ]
        if fallen:
            at, seen = fallen[0]
            return state.model_copy(update={"phase": "back", "why_back": f"{at}: {seen.said}"})
        here = [seen for seen in _asked(state) if seen.step is not None or not (seen.off or seen.refused)]
        if len(here) >= min(first, len(_asked(state))) and all(_has_passed(seen) for seen in here):
            return state.model_copy(update={"kept": True})
    return state


def orders(state: State, *, first: int, shadow: bool) -> Iterator[tuple[str, What]]:
    """What each station that answers shall do now. `shadow` is whether it looks on before it judges."""
    judging = sum(_judges(seen) for seen in state.stations.values())
    passed = sum(_has_passed(seen) for seen in state.stations.values())
    for address, seen in state.stations.items():
        if seen.off or seen.refused:
            continue
        if state.phase == "back":
            if seen.step in _UNDER_WAY and not _goes_back(seen):
                yield address, "back"
            continue
        may_judge = passed >= min(first, len(state.stations)) or judging < first
        what = _next(seen, may_judge=may_judge, shadow=shadow, kept=state.kept)
        judging += what == "judge"
        if what is not None:
            yield address, what


def _next(seen: StationSeen, *, may_judge: bool, shadow: bool, kept: bool) -> What | None:
    if seen.step is None:
        if not seen.arrived:
            return "package"
        if shadow:
            return "shadow"
        return "judge" if may_judge else None
    if seen.step is RolloutStep.SHADOW and seen.passed and seen.wanted is None:
        return "judge" if may_judge else None
    if seen.step is RolloutStep.JUDGES and seen.passed and seen.wanted is None and kept:
        return "keep"
    return None


def ended(state: State) -> bool:
    """Whether nothing is left to do: kept by all, or by nobody any more."""
    if state.phase == "back":
        return not any(seen.step in _UNDER_WAY or _may_have_it(seen) for seen in state.stations.values())
    return all(seen.refused or seen.step in {RolloutStep.KEPT, RolloutStep.BACK} for seen in _asked(state))


def succeeded(state: State) -> bool:
    """Whether every station keeps it."""
    return state.phase == "forward" and all(seen.step is RolloutStep.KEPT for seen in _asked(state))


def _asked(state: State) -> list[StationSeen]:
    """The stations of the plan, as it is now."""
    return [seen for seen in state.stations.values() if not seen.removed]


def _judges(seen: StationSeen) -> bool:
    return seen.step in {RolloutStep.JUDGES, RolloutStep.KEPT} or seen.wanted is RolloutStep.JUDGES


def _has_passed(seen: StationSeen) -> bool:
    return seen.step is RolloutStep.KEPT or (seen.step is RolloutStep.JUDGES and seen.passed)


def _goes_back(seen: StationSeen) -> bool:
    return seen.wanted is RolloutStep.BACK


def _may_have_it(seen: StationSeen) -> bool:
    """It was sent an order, and has not said since then whether it got it."""
    return seen.ordered and seen.off and seen.step is None
