"""Runs several variants in turns, so that other load on the machine affects all of them alike."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Figures = dict[str, Any]

_WITHOUT_FIGURES = {"refused", "failed"}
# Counts of events that must not happen at all: a median would hide the one round with such an event.
_WORST = {"late", "unaccounted", "position_bound_broken"}


def in_turns(ways: Mapping[str, Callable[[], Figures]], rounds: int) -> dict[str, Figures]:
    """The rounds of each variant, see `over`. Each variant runs once per round."""
    found: dict[str, list[Figures]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            found[name].append(way())
    return {name: over(each) for name, each in found.items()}


def over(rounds: Sequence[Figures]) -> Figures:
    """The medians of all rounds, and under `rounds` the rounds themselves.

    For events that must not happen, the worst round counts. If a variant was refused or failed in a round, only the
    reason is returned: figures of the good rounds would hide it.
    """
    without = next((found for found in rounds if found.keys() & _WITHOUT_FIGURES), None)
    return without or {**_median(rounds), "rounds": list(rounds)}


def _median(rounds: Sequence[Figures]) -> Figures:
    names = dict.fromkeys(name for found in rounds for name in found)
    return {name: _of_all(name, [found[name] for found in rounds if name in found]) for name in names}


def _of_all(name: str, values: Sequence[Any]) -> Any:
    if isinstance(values[0], dict):
        return _median(values)
    if any(value is None or math.isnan(value) for value in values):
        return None  # if one round has no figure, the others cannot replace it
    return max(values) if name in _WORST else statistics.median(values)
