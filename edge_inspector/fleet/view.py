"""Who needs help, and why: from what is known of the stations to the rows of the page. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from edge_inspector.codes import StationState
from edge_inspector.fleet.answers import Health, PartCounts, ToldReason, ToldRollout
from edge_inspector.fleet.problems import REMARKS, Problem, SeenProblem
from edge_inspector.fleet.roster import Sighting

LOST: Final = "lost"
UNKNOWN: Final = "unknown"
"""Nobody has had the time to ask yet."""

# A fault comes first: parts may pass the gate that nobody has judged. Without a station the PLC rejects all of them.
_ORDER: Final = (
    StationState.FAULT.value,
    LOST,
    StationState.OFF.value,
    StationState.DEGRADED.value,
    StationState.STOPPING.value,
    StationState.STARTING.value,
    UNKNOWN,
    StationState.READY.value,
)
_NO_HELP: Final = (UNKNOWN, StationState.READY.value)
_STRANGE: Final = _ORDER.index(StationState.DEGRADED.value)  # a state that only a newer station knows
_CLOCK_S: Final = 5.0
_MUTE_S: Final = 180.0  # three times the longest `state_every_s`
_TRIES: Final = 2  # one answer may be lost on its way
_OFFLINE: Final = "offline"
_ENDED: Final = ("kept", "back")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One station on the page.

    `name` is the one to show, `own` the one that the station gives itself. `since_s` is the age of the last answer of a
    lost one, or else that of its oldest reason. `rollout` is the one that is under way there.
    """

    key: str
    name: str
    own: str
    site: str
    place: str
    page: str
    state: str
    since_s: float | None
    version: str
    reasons: tuple[ToldReason, ...]
    troubles: tuple[SeenProblem, ...]
    recent: tuple[PartCounts, float] | None
    rollout: ToldRollout | None = None

    @property
    def needs_help(self) -> bool:
        """Whether somebody should come and look."""
        return self.state not in _NO_HELP or any(each.problem not in REMARKS for each in self.troubles)

    @property
    def rank(self) -> tuple[int, bool, bool, float, str, str]:
        """Sorts by urgency, then those first that have waited longest."""
        place = _ORDER.index(self.state) if self.state in _ORDER else _STRANGE
        return place, not self.needs_help, not self.reasons, -(self.since_s or 0.0), _in_order(self.name), self.key


def _in_order(name: str) -> str:
    """A text to sort by, in which line-9 comes before line-10."""
    return re.sub(r"\d+", lambda digits: digits[0].zfill(12), name.casefold())


def rows_of(sightings: Sequence[Sighting], now_ns: int) -> list[Row]:
    """All stations, the one that needs help most first."""
    single = _without_doubles(sightings)
    rows = [_row(each, now_ns) for each in single]
    names = Counter(row.own for row in rows)
    return sorted((_with_namesakes(row, rows) if names[row.own] > 1 else row for row in rows), key=lambda row: row.rank)


def _without_doubles(sightings: Sequence[Sighting]) -> list[Sighting]:
    """One run of one station is shown once, even if it is known by two addresses. The fleet file's comes first.

    Both must be in the same state. So nobody who pretends to be a station can hide it when it needs help.
    """
    seen: set[tuple[str, int, str]] = set()
    found = []
    for each in sightings:
        health, known = each.reading.health, each.known
        run = (health.station, health.boot_id, health.state) if health is not None else (known.name, known.boot_id, "")
        if run[1] and run in seen:
            continue
        seen.add(run)
        found.append(each)
    return found


def _row(seen: Sighting, now_ns: int) -> Row:
    known, health = seen.known, seen.reading.health
    state, since_s = _state(seen, now_ns)
    own = _own_name(seen)
    reasons = _reasons(seen, state)
    return Row(
        key="|".join(known.key),
        name=known.name or own or known.address,
        own=own or known.name or known.address,
        site=known.site,
        place=known.place,
        page=known.address,
        state=state,
        since_s=since_s if since_s is not None else max((each.since_s for each in reasons), default=None),
        version=(health.version if health is not None else "") or known.version,
        reasons=reasons,
        troubles=tuple(_troubles(seen, own, now_ns)),
        recent=seen.reading.recent,
        rollout=_under_way(health),
    )


def _under_way(health: Health | None) -> ToldRollout | None:
    """What has ended needs no place. A station tells as its reason that something went back by itself."""
    told = None if health is None else health.rollout
    return told if told is not None and told.step not in _ENDED else None


def _own_name(seen: Sighting) -> str:
    health, figures = seen.reading.health, seen.reading.figures
    return (health.station if health is not None else "") or (figures[-1][1].station if figures else "")


def _state(seen: Sighting, now_ns: int) -> tuple[str, float | None]:
    """The state, and for how long if that is how long nothing was heard."""
    reading, heard = seen.reading, seen.heard
    if reading.health is not None and reading.failed < _TRIES:
        return reading.health.state, None
    is_fresh = heard is not None and (now_ns - heard.at_ns) / 1e9 <= _MUTE_S
    if heard is not None and is_fresh and heard.told.state != _OFFLINE:
        return heard.told.state, None
    asked = bool(seen.known.address or seen.known.scraped)
    if not asked and heard is None:
        return UNKNOWN, None  # its first message on `state` is on its way
    if asked and reading.health is None and not reading.failed:
        return UNKNOWN, None  # nobody has asked yet
    last_ns = max(reading.good_ns, 0 if heard is None else heard.at_ns)
    return LOST, (now_ns - last_ns) / 1e9 if last_ns else None


def _reasons(seen: Sighting, state: str) -> tuple[ToldReason, ...]:
    """The reasons of the page, or the one code that a message on `state` has. That has no words."""
    health = seen.reading.health
    if health is not None and health.reasons is not None and health.state == state:
        return health.reasons
    if seen.heard is None or state in (LOST, StationState.READY) or seen.heard.told.error == "none":
        return ()
    return (ToldReason(code=seen.heard.told.error),)


def _troubles(seen: Sighting, own: str, now_ns: int) -> Iterator[SeenProblem]:
    reading, heard, known = seen.reading, seen.heard, seen.known
    if reading.trouble is not None:
        yield reading.trouble
    if heard is not None and heard.told.state == _OFFLINE:
        if reading.health is None or reading.failed:
            yield SeenProblem(Problem.OFFLINE)
    elif heard is not None and (now_ns - heard.at_ns) / 1e9 > _MUTE_S:
        yield SeenProblem(Problem.MUTE)
    if reading.health is not None and not reading.failed and reading.health.reasons is None:
        yield SeenProblem(Problem.HIDDEN)
    yield from _clock(reading.ahead_s if reading.ahead_s is not None else heard.ahead_s if heard else None)
    if known.topic and own and own != known.name:
        yield SeenProblem(Problem.OTHER_NAME, own)


def _clock(ahead_s: float | None) -> Iterator[SeenProblem]:
    if ahead_s is not None and abs(ahead_s) > _CLOCK_S:
        yield SeenProblem(Problem.CLOCK_AHEAD if ahead_s > 0 else Problem.CLOCK_BEHIND, str(round(abs(ahead_s))))


def _with_namesakes(row: Row, rows: Sequence[Row]) -> Row:
    """The row, and where the others are that have the same name."""
    others = [each.page or each.key.partition("|")[0] for each in rows if each.own == row.own and each is not row]
    return replace(row, troubles=(*row.troubles, SeenProblem(Problem.NAME_TWICE, ", ".join(others[:3]))))
