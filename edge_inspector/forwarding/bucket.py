"""Results as Parquet files in a bucket: one file of each table for each batch, and each part once.

`parts/source=ID/day=DAY/EPOCH-BEGIN.parquet`, and the same for `views`, `defects` and `labels`. ID is the identity of
the station, DAY that of its parts. BEGIN is the number of the row before the first one, which is the position. So a
batch that is sent again has the same names, and takes the place of what a kill has left. `stations/ID.json` has the
position and is written last, if it is still as it was read. EPOCH counts how often the results were begun anew.
"""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import to_json

from edge_inspector.errors import DeviceError
from edge_inspector.forwarding.bucket_settings import BucketTable
from edge_inspector.forwarding.objects import ObjectChangedError, Objects
from edge_inspector.forwarding.parquet import NAMES, libraries, packed, unpacked
from edge_inspector.forwarding.reading import COLUMNS, Batch, Reached, Row, RowMark
from edge_inspector.forwarding.sender import SendingStation
from edge_inspector.runtime.clock import iso, moment

_LAYOUT: Final = 1
_ALIVE_NS: Final = 60_000_000_000
_KEYS: Final = {"parts": 2, "views": 3, "defects": 3, "labels": 7}  # so many first columns name a row
_TAKE_OVER: Final = "`edge-inspector forward STATION.toml --take-over`"

_Count = Annotated[int, Field(ge=0)]


class _Note(BaseModel):
    """A note in the bucket. Others may write there, too. What a newer version says in addition is not read."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class FileMark(_Note):
    """How far the rows of one kind are there. `comparing`: they were begun anew, and some may be there already."""

    epoch: _Count = 0
    id: _Count = 0
    us: int = 0
    comparing: bool = False

    def begun(self, *, anew: bool) -> FileMark:
        """The mark before the next rows."""
        return FileMark(epoch=self.epoch + 1, comparing=True) if anew else self

    def moved(self, after: RowMark, *, more: bool) -> FileMark:
        """The mark behind these rows."""
        return FileMark(epoch=self.epoch, id=after.id, us=after.us, comparing=self.comparing and more)

    @property
    def name(self) -> str:
        """The name of the file with the rows behind it."""
        return f"{self.epoch:04d}-{self.id:012d}"


class StationNote(_Note):
    """The note about one station."""

    layout: Literal[1] = _LAYOUT
    station: str
    identity: str
    parts: FileMark = FileMark()
    labels: FileMark = FileMark()
    lost: _Count = 0


class _Claim(_Note):
    """Who has a name."""

    station: str
    identity: str


_AnyNote = TypeVar("_AnyNote", bound=_Note)


class BucketStore:
    """A session in which one station writes. Leave it after an error, and open a new one.

    `clock_ahead_s` is how far this machine's clock is ahead of the store's. Raises ConfigError if a library is missing.
    """

    def __init__(self, settings: BucketTable, sender: SendingStation, *, take_over: bool = False) -> None:
        libraries()
        self._settings, self._sender = settings, sender
        self._objects = Objects(settings)
        self._source = f"source={sender.identity}"
        self._note = f"stations/{sender.identity}.json"
        self._claim = f"names/{hashlib.sha256(sender.name.encode()).hexdigest()[:32]}.json"
        self._events: dict[str, dict[Row, Row]] = {}
        self._alive_ns = 0
        self.clock_ahead_s = 0.0
        self._at, self._tag = self._sign_in(take_over=take_over)

    def position(self) -> Reached:
        """Up to where the bucket has this station's results."""
        parts, labels = self._at.parts, self._at.labels
        return Reached(RowMark(parts.id, parts.us), RowMark(labels.id, labels.us))

    def add(self, batch: Batch) -> None:
        """Write the rows of one day, then the position. A part that is in `parts` has its views and defects."""
        parts, labels = self._at.parts, self._at.labels
        if batch.after.label != batch.before.label:
            begun = labels.begun(anew=batch.labels_anew)
            self._write("labels", batch.labels, begun, _day(batch.labels))
            labels = begun.moved(batch.after.label, more=batch.more)
        if batch.after.part != batch.before.part:
            begun, day = parts.begun(anew=batch.parts_anew), _day(batch.parts)
            for table in ("defects", "views", "parts"):
                self._write(table, getattr(batch, table), begun, day)
            parts = begun.moved(batch.after.part, more=batch.more)
        moved = {"parts": parts, "labels": labels, "lost": self._at.lost + batch.lost}
        self._move(self._at.model_copy(update=moved))

    def tell_events(self, events: Sequence[Row]) -> None:
        """Bring the files of the months of these events up to date."""
        months: dict[str, dict[Row, Row]] = defaultdict(dict)
        for event in events:
            months[f"{event[0]:%Y-%m}"][event[:3]] = event
        for month, changed in months.items():
            path = f"events/{self._source}/month={month}/events.parquet"
            if month not in self._events:
                self._events[month] = self._known_events(path)
            known = self._events[month]
            if any(known.get(key) != event for key, event in changed.items()):
                rows = known | changed
                self._objects.put(path, packed("events", [(self._sender.name, *row) for row in rows.values()]))
                self._events[month] = rows

    def tell_alive(self, waiting: int) -> None:
        """Write down once a minute that the station sends, and how many parts it still has to send."""
        now = moment()
        if self._alive_ns and now.monotonic_ns - self._alive_ns < _ALIVE_NS:
            return
        path = f"alive/{self._sender.identity}.json"
        told = {"station": self._sender.name, "identity": self._sender.identity, "seen": iso(now.utc)}
        self._objects.put(path, to_json(told | {"waiting": waiting, "lost": self._at.lost}))
        self.clock_ahead_s = (now.utc - self._objects.written(path)).total_seconds()
        self._alive_ns = time.monotonic_ns()

    def close(self) -> None:
        """Nothing stays open. Each request is one of its own."""

    def _write(self, table: str, rows: Sequence[Row], begun: FileMark, day: str) -> None:
        """One file, also if it has no row: it must take the place of one that a kill has left."""
        if begun.comparing:
            there = self._there(table, begun, day)
            rows = [row for row in rows if row[: _KEYS[table]] not in there]
        content = packed(table, [self._whole(table, row) for row in rows])
        self._objects.put(f"{table}/{self._source}/day={day}/{begun.name}.parquet", content)

    def _there(self, table: str, begun: FileMark, day: str) -> set[Row]:
        """The rows of a day that are in files that the position has passed. The same row always has the same day."""
        found: set[Row] = set()
        names = NAMES[table][1 : 1 + _KEYS[table]]
        for path in self._objects.below(f"{table}/{self._source}/day={day}"):
            stored = self._objects.get(path) if path.rpartition("/")[2] < f"{begun.name}.parquet" else None
            if stored is not None:
                found.update(unpacked(stored.content, names, f"{self._settings.place}: {path}"))
        return found

    def _whole(self, table: str, row: Row) -> Row:
        """The row with the station's name, and what is asked of every part or view."""
        sender, more = self._sender, tuple[Any, ...]()
        if table == "parts":
            recipe = row[_at("parts", "recipe_id")]
            more = ((sender.products or {}).get(recipe, str(recipe)),)
        elif table == "views":
            picture = row[_at("views", "picture")]
            more = (f"{sender.pictures_url}{picture}" if picture and sender.pictures_url else "",)
        return (sender.name, *row, *more)

    def _known_events(self, path: str) -> dict[Row, Row]:
        stored = self._objects.get(path)
        if stored is None:
            return {}
        rows = unpacked(stored.content, NAMES["events"][1:], f"{self._settings.place}: {path}")
        return {row[:3]: row for row in rows}

    def _move(self, to: StationNote) -> None:
        try:
            self._tag = self._objects.replace(self._note, to.model_dump_json().encode(), self._tag)
        except ObjectChangedError as error:
            raise DeviceError(
                f"{self._settings.place}: this station's position was moved meanwhile. If this comes again, another"
                " station runs with a copy of this state folder: remove station-id there, and change its station.name"
            ) from error
        self._at = to

    def _sign_in(self, *, take_over: bool) -> tuple[StationNote, str | None]:
        """The position with its tag. The note is there before the first file, so that each file has a mark."""
        self._claim_name(take_over=take_over)
        stored = self._objects.get(self._note)
        if stored is None:
            fresh = StationNote(
                station=self._sender.name,
                identity=self._sender.identity,
                parts=self._after_a_lost_note("parts"),
                labels=self._after_a_lost_note("labels"),
            )
            return fresh, self._objects.create(self._note, fresh.model_dump_json().encode())
        found = self._read(StationNote, stored.content, self._note)
        if found.station == self._sender.name:
            return found, stored.tag
        if not take_over:
            raise DeviceError(
                f"{self._settings.place}: this state folder has sent as {found.station!r} before. If the station was"
                f" renamed, type {_TAKE_OVER}. If the folder is a copy of that station's, empty it"
            )
        renamed = found.model_copy(update={"station": self._sender.name})
        return renamed, self._objects.replace(self._note, renamed.model_dump_json().encode(), stored.tag)

    def _claim_name(self, *, take_over: bool) -> None:
        """Raises DeviceError if another state folder has this name."""
        own = _Claim(station=self._sender.name, identity=self._sender.identity)
        stored = self._objects.get(self._claim)
        if stored is None:
            self._objects.create(self._claim, own.model_dump_json().encode())
            return
        if self._read(_Claim, stored.content, self._claim).identity == own.identity:
            return
        if not take_over:
            raise DeviceError(
                f"{self._settings.place}: another station is called {own.station!r}: change station.name here, or, if"
                f" this machine replaces that one, type {_TAKE_OVER}"
            )
        self._objects.replace(self._claim, own.model_dump_json().encode(), stored.tag)

    def _after_a_lost_note(self, kind: str) -> FileMark:
        """Where to begin if somebody removed the note but not the files: all rows are compared with those there."""
        names = [path.rpartition("/")[2] for path in self._objects.below(f"{kind}/{self._source}")]
        epochs = [int(name[:4]) for name in names if name[:4].isdecimal()]
        return FileMark(epoch=max(epochs) + 1, comparing=True) if epochs else FileMark()

    def _read(self, kind: type[_AnyNote], content: bytes, path: str) -> _AnyNote:
        try:
            return kind.model_validate_json(content)
        except ValidationError as error:
            raise DeviceError(
                f"{self._settings.place}: {path} is damaged, or a newer version has written it: update this station, or"
                " remove that object. Results wait here"
            ) from error


def probe(settings: BucketTable) -> str:
    """What is there, for people. It changes nothing. Raises DeviceError or ConfigError if results cannot go there."""
    require(settings)
    stations = sum(1 for _ in Objects(settings).below("stations"))
    return f"{settings.place}: " + (f"{stations} stations write there" if stations else "no station writes there yet")


def require(settings: BucketTable) -> None:
    """Raises ConfigError for what does not become right by itself: no library, no key, no authority."""
    libraries()
    Objects(settings)


def _at(table: str, name: str) -> int:
    return [each.strip() for each in COLUMNS[table].split(",")].index(name)


def _day(rows: Sequence[Row]) -> str:
    return f"{rows[0][3]:%Y-%m-%d}"
