"""Which stations are known, and the latest that each has said. Several threads write here, and the page reads."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from edge_inspector.fleet.answers import Health, PartCounts, ToldBirth, ToldState
from edge_inspector.fleet.problems import SeenProblem

MOST_ANNOUNCED: Final = 1000
"""Births that are kept. Whoever may publish could invent any number of stations."""

_FIGURES_S = 600.0  # the time over which parts are counted
_READINGS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A station that this machine has been told of.

    `topic` is that of its birth. `scraped` is its instance in Prometheus. If both are empty, the fleet file lists it.
    """

    address: str
    name: str = ""
    site: str = ""
    place: str = ""
    token: str = field(default="", repr=False)
    topic: str = ""
    scraped: str = ""
    boot_id: int = 0
    version: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """What the station is told apart by, even from another one of the same name."""
        return self.topic or self.scraped, self.address


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """The latest message on `state`. A retained one is as old as it says. `ahead_s` is None for those, too."""

    told: ToldState
    at_ns: int
    ahead_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Polled:
    """What asking a station has given. `failed` counts the tries since the last good answer, which was at `good_ns`."""

    health: Health | None = None
    good_ns: int = 0
    ahead_s: float | None = None
    failed: int = 0
    trouble: SeenProblem | None = None
    figures: deque[tuple[int, PartCounts]] = field(default_factory=lambda: deque(maxlen=_READINGS))

    def good(self, health: Health, ahead_s: float | None, now_ns: int) -> Polled:
        """After a good answer."""
        return replace(self, health=health, ahead_s=ahead_s, good_ns=now_ns, failed=0, trouble=None)

    def bad(self, trouble: SeenProblem) -> Polled:
        """After a try that gave nothing."""
        return replace(self, failed=self.failed + 1, trouble=trouble)

    def counted(self, figures: PartCounts, now_ns: int) -> Polled:
        """After a reading of the parts."""
        kept = deque((each for each in self.figures if now_ns - each[0] <= _FIGURES_S * 1e9), _READINGS)
        kept.append((now_ns, figures))
        return replace(self, figures=kept)

    @property
    def recent(self) -> tuple[PartCounts, float] | None:
        """The parts of the last minutes, and how many seconds these are. None before there are two readings."""
        if len(self.figures) < 2:
            return None
        (first_ns, first), (last_ns, last) = self.figures[0], self.figures[-1]
        return last.since(first), (last_ns - first_ns) / 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A station with all that is known of it."""

    known: Known
    reading: Polled
    heard: Heard | None


class Roster:
    """The stations of the fleet file, those that have announced themselves, and those that a Prometheus watches.

    Two births on one topic with different pages are two stations with one name, as long as both answer. If the earlier
    one does not, the station has moved, and only the newer one stays.
    """

    def __init__(self, listed: Iterable[Known], token: str = "") -> None:
        self._lock = threading.Lock()
        self._listed = {each.key: each for each in listed}
        self._announced: dict[tuple[str, str], Known] = {}
        self._scraped: dict[tuple[str, str], Known] = {}
        self._newest: dict[str, tuple[str, str]] = {}
        self._heard: dict[str, Heard] = {}
        self._readings: dict[tuple[str, str], Polled] = {}
        self._token = token
        self.full = False
        self.broker_trouble = ""
        self.prometheus_trouble = ""

    def born(self, topic: str, birth: ToldBirth) -> None:
        """A station has announced itself. The token goes only where it cannot be read on the way."""
        known = Known(
            address=birth.page,
            name=birth.station,
            site=birth.site,
            place=birth.place,
            token=self._token if birth.page.startswith("https://") else "",
            topic=topic,
            boot_id=birth.boot_id,
            version=birth.version,
        )
        with self._lock:
            self.full = len(self._announced) >= MOST_ANNOUNCED and known.key not in self._announced
            if not self.full:
                self._announced[known.key] = known
                self._newest[topic] = known.key

    def gone(self, topic: str) -> None:
        """Somebody has removed a birth from the broker."""
        with self._lock:
            for key in [key for key in self._announced if key[0] == topic]:
                self._forget(key)
            self._newest.pop(topic, None)
            self._heard.pop(topic, None)

    def scrapes(self, stations: Iterable[Known]) -> None:
        """Prometheus watches these, and no others any more."""
        with self._lock:
            before, self._scraped = self._scraped, {each.key: each for each in stations}
            for key in before.keys() - self._scraped.keys():
                self._readings.pop(key, None)

    def hears(self, topic: str, heard: Heard) -> None:
        """A station has told its state over MQTT. One that nobody has announced is not kept."""
        with self._lock:
            if topic in self._newest or len(self._heard) < MOST_ANNOUNCED:
                self._heard[topic] = heard

    def note(self, key: tuple[str, str], change: Callable[[Polled], Polled]) -> None:
        """Bring the reading of a station up to date."""
        with self._lock:
            if not any(key in each for each in (self._listed, self._announced, self._scraped)):
                return  # it was removed meanwhile
            reading = change(self._readings.get(key, Polled()))
            self._readings[key] = reading
            if reading.failed > 1 and self._newest.get(key[0], key) != key:
                self._forget(key)

    def stations(self) -> list[Known]:
        """All that are known. A station that is listed and has announced itself from the same page is one."""
        with self._lock:
            return self._all()

    def sightings(self) -> list[Sighting]:
        """All that are known, with what they have said."""
        with self._lock:
            topics = {each.address: each.topic for each in self._announced.values() if each.address}
            return [self._sighting(each, topics) for each in self._all()]

    def _sighting(self, known: Known, topics: Mapping[str, str]) -> Sighting:
        topic = known.topic or topics.get(known.address, "")
        heard = self._heard.get(topic) if self._newest.get(topic, ("", ""))[1] == known.address else None
        if self.broker_trouble and known.address:
            heard = None  # what was heard before says nothing now, and the station can be asked
        return Sighting(known=known, reading=self._readings.get(known.key, Polled()), heard=heard)

    def _all(self) -> list[Known]:
        births = {each.address: each for each in self._announced.values() if each.address}
        listed = {each.address for each in self._listed.values()}
        own = [_joined(each, births.get(each.address)) for each in self._listed.values()]
        announced = [each for each in self._announced.values() if each.address not in listed]
        asked = listed | births.keys()
        return [*own, *announced, *(each for each in self._scraped.values() if each.address not in asked)]

    def _forget(self, key: tuple[str, str]) -> None:
        self._announced.pop(key, None)
        self._readings.pop(key, None)


def _joined(listed: Known, birth: Known | None) -> Known:
    """The words of the fleet file, and those of the station where the file has none."""
    if birth is None:
        return listed
    return replace(
        listed,
        name=listed.name or birth.name,
        site=listed.site or birth.site,
        place=listed.place or birth.place,
        version=birth.version,
    )


def heard_of(told: ToldState, *, retained: bool, received_ns: int, now_utc: datetime) -> Heard:
    """A message on `state` with its age. A retained one came from the broker, and may be of last week."""
    if told.utc is None or not retained:
        ahead = None if told.utc is None else (told.utc - now_utc).total_seconds()
        return Heard(told=told, at_ns=received_ns, ahead_s=ahead)
    age_s = max(0.0, (now_utc - told.utc).total_seconds())
    return Heard(told=told, at_ns=received_ns - int(age_s * 1e9))


def age_s(at_ns: int) -> float:
    """Seconds since an instant of the monotonic clock."""
    return (time.monotonic_ns() - at_ns) / 1e9
