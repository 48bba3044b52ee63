"""Pictures that people bring from elsewhere, for a model to learn from. They lie in `labels/`, with their drawings.

`labels/DAY/_upload/TIME.png` is the picture, and `TIME-small.jpg` is for lists. A picture's number is the microsecond
at which it was stored. Of the file that was sent only the pixels stay: neither its name nor what else was in it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np

from edge_inspector.errors import DeviceError
from edge_inspector.store.drawings import Drawings, DrawnOn
from edge_inspector.store.whole_file import replace_file

UPLOADED: Final = "_upload"
"""Stands for the camera. No camera can be called so."""
PICTURES_MOST: Final = 5000
BYTES_MOST: Final = 16 << 30
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_PICTURE: Final = re.compile(r"(\d{6}\.\d{6}Z)\.png")


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploaded:
    """A stored picture. `said` is whether somebody has said what it shows."""

    number: int
    said: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """A picture to store: as PNG and as a small JPEG. `size` is its height and width in pixels."""

    picture: bytes
    small: bytes
    size: tuple[int, int]


class Uploads:
    """The pictures below `state_dir`. Writing belongs to one thread. Every method raises DeviceError."""

    def __init__(self, state_dir: Path, min_free: int = 0) -> None:
        self._root = state_dir / "labels"
        self._min_free = min_free
        self._drawings = Drawings(state_dir, min_free)

    def all(self) -> Iterator[Uploaded]:
        """All of them, the newest first."""
        with self._disk():
            for folder in sorted(self._root.glob(f"*/{UPLOADED}"), reverse=True):
                names = {path.name for path in folder.iterdir()}
                for name in sorted(names, reverse=True):
                    stem = _PICTURE.fullmatch(name)
                    number = _number(folder.parent.name, stem[1]) if stem else None
                    if stem and number is not None:
                        yield Uploaded(number=number, said=f"{stem[1]}-drawn1.json" in names)

    def on(self, number: int) -> DrawnOn | None:
        """What a drawing says of the picture with this number. None if there is no such picture."""
        utc = _utc(number)
        if utc is None or not self.picture(number).is_file():
            return None
        return DrawnOn(
            stem=_stem(utc), part_id=-number, part_seq=0, camera=UPLOADED, utc=utc, decision=""
        )  # no part of the station has a number below zero

    def picture(self, number: int) -> Path:
        """Where the picture with this number is, if there is one."""
        return self._path(number, ".png")

    def small(self, number: int) -> Path:
        """Where its small copy is."""
        return self._path(number, "-small.jpg")

    def add(self, encoded: Encoded, utc: datetime, *, good_by: str = "") -> int:
        """Store a picture and return its number. If `good_by` names a person, it is good. All of this, or nothing."""
        self._refuse_full(len(encoded.picture) + len(encoded.small))
        number = (utc - _EPOCH) // _MICROSECOND
        with self._disk():
            while self.picture(number).exists():
                number += 1
            self.picture(number).parent.mkdir(parents=True, exist_ok=True)
            try:
                replace_file(self.small(number), encoded.small)
                replace_file(self.picture(number), encoded.picture)
                on = self.on(number)
                if good_by and on is not None:
                    nothing = np.zeros(encoded.size, np.uint8)
                    self._drawings.store(on, nothing, [], by=good_by, utc=utc, begun_from=0)
            except (OSError, DeviceError):
                with suppress(OSError):
                    self._remove(number)
                raise
        return number

    def discard(self, number: int) -> bool:
        """Delete a picture and what was drawn on it. False if there is none."""
        with self._disk():
            if not self.picture(number).is_file():
                return False
            self._remove(number)
        return True

    def _remove(self, number: int) -> None:
        """The picture goes first: without it the other files are nothing."""
        picture = self.picture(number)
        picture.unlink(missing_ok=True)
        for other in picture.parent.glob(f"{picture.stem}-*"):
            other.unlink(missing_ok=True)

    def _refuse_full(self, needed: int) -> None:
        with self._disk():
            files = [path for folder in self._root.glob(f"*/{UPLOADED}") for path in folder.iterdir()]
            taken = sum(path.stat().st_size for path in files)
            disk = os.statvfs(next(each for each in (self._root, *self._root.parents) if each.exists()))
        pictures = sum(_PICTURE.fullmatch(path.name) is not None for path in files)
        if pictures >= PICTURES_MOST or taken + needed > BYTES_MOST:
            what = f"there are {pictures} uploaded pictures of {taken >> 20} MB: remove some that are not needed"
            raise DeviceError(what)
        if disk.f_bavail * disk.f_frsize - needed < self._min_free:
            raise DeviceError(f"{self._root}: the disk is full. Make room, then send the picture again")

    def _path(self, number: int, ending: str) -> Path:
        utc = _utc(number)
        return self._root / (f"{_stem(utc)}{ending}" if utc is not None else f"none/{UPLOADED}/none{ending}")

    @contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DeviceError(f"uploaded pictures {self._root}: {error.strerror or error}") from error


def _stem(utc: datetime) -> str:
    return f"{utc:%Y-%m-%d}/{UPLOADED}/{utc:%H%M%S.%f}Z"


def _utc(number: int) -> datetime | None:
    """None for a number that no picture can have."""
    try:
        return _EPOCH + timedelta(microseconds=number)
    except OverflowError:
        return None


def _number(day: str, time: str) -> int | None:
    try:
        utc = datetime.strptime(f"{day} {time}", "%Y-%m-%d %H%M%S.%fZ").replace(tzinfo=UTC)
    except ValueError:
        return None
    return (utc - _EPOCH) // _MICROSECOND
