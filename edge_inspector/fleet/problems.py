"""What can be wrong with a station that the station itself cannot say. The page has a text for each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Problem(StrEnum):
    """The value is the key of the text on the page, after `problem.`."""

    SILENT = "silent"
    SLOW = "slow"
    HUGE = "huge"
    RUBBISH = "rubbish"
    REFUSED = "refused"
    UNTRUSTED = "untrusted"
    OFFLINE = "offline"
    MUTE = "mute"
    HIDDEN = "hidden"
    CLOCK_AHEAD = "clock_ahead"
    CLOCK_BEHIND = "clock_behind"
    NAME_TWICE = "name_twice"
    OTHER_NAME = "other_name"


REMARKS: Final = frozenset({Problem.HIDDEN})
"""Nobody need come because of these."""


@dataclass(frozen=True, slots=True)
class SeenProblem:
    """One problem of one station, with the words that its text leaves open."""

    problem: Problem
    detail: str = ""
