"""Whether the station must be challenged now. The logbook's thread asks, because the answer depends on the date."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from edge_inspector.codes import ErrorCode
from edge_inspector.records import ChallengeRun
from edge_inspector.runtime.clock import iso, utc_of
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.store.challenges import StoredChallenge, stored
from edge_inspector.watches.challenge import ChallengeRunning, subject_of
from edge_inspector.watches.shifts import shift_start

_AHEAD = timedelta(minutes=1)  # more than this after now means that the clock was set back
_LEAVE_NS = 60_000_000_000  # parts of the recipe before may still be on the belt


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When a challenge is due. `each_shift` with the times of `shifts`, and `every_h` hours (0: not by hours)."""

    shifts: Sequence[str]
    each_shift: bool = False
    every_h: float = 0.0
    grace_min: float = 15.0

    @property
    def asks(self) -> bool:
        """Whether any challenge is due by itself."""
        return self.each_shift or self.every_h > 0


@dataclass(frozen=True, slots=True)
class Demand:
    """Why a challenge is due, and since when. Whoever may wait has until `since` plus the time of grace."""

    why: str
    since: datetime | None = None


def due(now: datetime, schedule: Schedule, last: StoredChallenge | None, criteria: str) -> Demand | None:
    """Why the recipe with these criteria must be challenged, or None."""
    if last is None:
        return Demand("no challenge was passed yet") if schedule.asks else None
    if not last.passed:
        return Demand(f"the last challenge failed: {last.why}")
    if not schedule.asks:
        return None
    if last.criteria != criteria:
        return Demand("recipe, limits or model are others than at the last challenge")
    if last.utc > now + _AHEAD:
        return Demand(
            f"the last challenge has a date in the future ({iso(last.utc, 'minutes')}): the clock was set back"
        )
    return _by_date(now, schedule, last.utc)


def _by_date(now: datetime, schedule: Schedule, last: datetime) -> Demand | None:
    dates = []
    if schedule.each_shift:
        dates.append(shift_start(now, schedule.shifts))
    if schedule.every_h > 0:
        dates.append(last + timedelta(hours=schedule.every_h))
    passed = [date for date in dates if last < date <= now]
    return Demand(f"the last one was passed at {iso(last, 'minutes')}", min(passed)) if passed else None


class ChallengeDue:
    """Sets and clears CHALLENGE_DUE for the recipe in force. One thread owns it. Any thread may read `now`.

    `last` are the latest challenges by recipe, as they are on the disk. `ran()` are those of this run of the daemon,
    and `running()` is the one that runs now.
    `criteria(recipe)` is the fingerprint that a challenge must have been passed with.
    """

    def __init__(
        self,
        schedule: Schedule,
        *,
        last: Mapping[int, StoredChallenge],
        ran: Callable[[], Mapping[int, ChallengeRun]],
        runs: Callable[[], ChallengeRunning | None],
        challenged: Callable[[int], bool],
        criteria: Callable[[int], str],
        conditions: Conditions,
    ) -> None:
        self.now: Demand | None = None
        self._schedule = schedule
        self._last = dict(last)
        self.running = runs
        self._ran = ran
        self._challenged = challenged
        self._criteria = criteria
        self._conditions = conditions
        self._left: dict[int, int] = {}
        self._recipe_id = 0

    def last(self, recipe_id: int) -> StoredChallenge | None:
        """The latest challenge of this recipe. Any thread may ask."""
        run = self._ran().get(recipe_id)
        return self._last.get(recipe_id) if run is None else stored(run, utc_of(run.ended_ns))

    def look(self, recipe_id: int, now_ns: int | None = None) -> None:
        """Set or clear the condition. `recipe_id` is the recipe in force."""
        now_ns = time.monotonic_ns() if now_ns is None else now_ns
        self._change_to(recipe_id, now_ns)
        now = utc_of(now_ns)
        asked = self._challenged(recipe_id)
        self.now = due(now, self._schedule, self.last(recipe_id), self._criteria(recipe_id)) if asked else None
        told = self.now
        if told is not None and told.since is not None:
            grace = timedelta(minutes=self._schedule.grace_min)
            told = told if now >= told.since + grace else None
        if told is None:
            self._conditions.clear(ErrorCode.CHALLENGE_DUE, subject_of(recipe_id))
        elif not self._failed_now(recipe_id):  # the judge itself tells what failed in this run
            self._conditions.set(ErrorCode.CHALLENGE_DUE, subject_of(recipe_id), told.why)

    def _failed_now(self, recipe_id: int) -> bool:
        return self._conditions.held(ErrorCode.CHALLENGE_FAILED, subject_of(recipe_id))

    def _change_to(self, recipe_id: int, now_ns: int) -> None:
        """A recipe that is no longer in force keeps its condition until its parts have left the belt."""
        if self._recipe_id not in (0, recipe_id):
            self._left[self._recipe_id] = now_ns
        self._left.pop(recipe_id, None)
        self._recipe_id = recipe_id
        for left, since_ns in list(self._left.items()):
            if now_ns - since_ns > _LEAVE_NS:
                del self._left[left]
                for code in (ErrorCode.CHALLENGE_DUE, ErrorCode.CHALLENGE_FAILED):
                    self._conditions.clear(code, subject_of(left))
