"""Regions that people drew on pictures of parts. Nothing here is deleted by the station.

`labels/DAY/CAMERA/VIEW.png` is the picture itself, so that it outlives the archive's. `VIEW-drawn1.png` has for each
pixel the number of its class, or 0. `VIEW-drawn1.json` says what the numbers mean, and who drew it. It is written last:
with it the version exists. A later drawing is another version, and the earlier ones stay.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from edge_inspector.errors import DeviceError
from edge_inspector.records import Image
from edge_inspector.runtime.clock import iso
from edge_inspector.store.pictures import IMAGES
from edge_inspector.store.whole_file import draft_of, replace_file

CLASSES_MAX: Final = 32
_SCHEMA: Final = 1
_OPEN: Final = "open"  # pictures on which somebody may be drawing now
_OPEN_MAX: Final = 256
_LARGEST_PX: Final = 1 << 28
_FACTS: Final = re.compile(r"(.+)-drawn(\d{1,6})\.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnOn:
    """Which view of which part was drawn on. `stem` names it as in the archive. `decision` is the station's."""

    stem: str
    part_id: int
    part_seq: int
    camera: str
    utc: datetime
    decision: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """One version of a drawing. `width` and `height` are the picture's, in pixels. `utc` is when it was stored."""

    on: DrawnOn
    version: int
    classes: tuple[str, ...]
    width: int
    height: int
    by: str
    utc: datetime
    image: Path
    mask: Path

    def pixels(self) -> Image:
        """For each pixel the number of its class, from 1, or 0 (H, W). Raises DeviceError for a damaged file."""
        try:
            read = cv2.imdecode(np.frombuffer(self.mask.read_bytes(), np.uint8), cv2.IMREAD_GRAYSCALE)
        except (OSError, cv2.error) as error:
            raise _damaged(self.mask) from error
        if read is None or read.shape != (self.height, self.width) or int(read.max(initial=0)) > len(self.classes):
            raise _damaged(self.mask)
        return np.asarray(read, np.uint8)

    def planes(self) -> dict[str, Image]:
        """For each class that was drawn: 255 where it is, else 0 (H, W). Raises DeviceError."""
        pixels = self.pixels()
        planes = {name: np.asarray(np.where(pixels == at, 255, 0), np.uint8) for at, name in enumerate(self.classes, 1)}
        return {name: plane for name, plane in planes.items() if plane.any()}


class Drawings:
    """The drawings below `state_dir`. Writing belongs to one thread. Every method raises DeviceError."""

    def __init__(self, state_dir: Path, min_free: int = 0) -> None:
        self._root = state_dir / "labels"
        self._min_free = min_free

    def newest(self, stem: str) -> Drawing | None:
        """The last version for this view. None if nobody has drawn on it."""
        found = None
        for version in count(1):
            facts = self._path(stem, version, ".json")
            if not facts.is_file():
                return found
            found = _read(facts, stem, version)
        return found

    def picture(self, stem: str) -> Path | None:
        """The picture that was drawn on, or on which somebody is drawing. None if there is none."""
        places = [self._root / f"{stem}{ending}" for ending in IMAGES]
        places += [self._open(stem, ending) for ending in IMAGES]
        return next((place for place in places if place.is_file()), None)

    def hold(self, stem: str, source: Path | bytes) -> None:
        """Keep this picture while somebody draws on it. The archive may delete its own meanwhile."""
        with self._disk():
            place = self._open(stem, ".png" if isinstance(source, bytes) else source.suffix)
            place.parent.mkdir(parents=True, exist_ok=True)
            if self.picture(stem) is None:
                self._room(len(source) if isinstance(source, bytes) else source.stat().st_size)
                with draft_of(place, synced=False) as draft:
                    draft.write_bytes(source if isinstance(source, bytes) else source.read_bytes())
            held = sorted((self._root / _OPEN).iterdir(), key=lambda path: path.stat().st_mtime_ns)
            for old in held[: max(0, len(held) - _OPEN_MAX)]:
                old.unlink(missing_ok=True)

    def store(
        self, on: DrawnOn, pixels: Image, classes: Sequence[str], *, by: str, utc: datetime, begun_from: int
    ) -> Drawing | None:
        """Store a drawing on a picture that is held. None if version `begun_from` is not the last one any more."""
        before = self.newest(on.stem)
        version = (before.version if before else 0) + 1
        if begun_from != version - 1:
            return None
        held = self.picture(on.stem)
        if held is None:
            raise DeviceError(f"{on.stem}: the picture is gone, so nobody could learn from the drawing")
        encoded = cv2.imencode(".png", pixels)[1].tobytes()
        with self._disk():
            self._room(len(encoded) + held.stat().st_size)
            kept = self._root / f"{on.stem}{held.suffix}"
            kept.parent.mkdir(parents=True, exist_ok=True)
            if kept != held:
                replace_file(kept, held.read_bytes())
            mask = self._path(on.stem, version, ".png")
            replace_file(mask, encoded)
            drawn = Drawing(
                on=on,
                version=version,
                classes=tuple(classes),
                width=pixels.shape[1],
                height=pixels.shape[0],
                by=by,
                utc=utc,
                image=kept,
                mask=mask,
            )
            replace_file(self._path(on.stem, version, ".json"), json.dumps(_facts(drawn), indent=1) + "\n")
            self._open(on.stem, held.suffix).unlink(missing_ok=True)
        return drawn

    def all(self) -> Iterator[Drawing]:
        """The last version for each view, in the order of time."""
        with self._disk():
            stems = {
                f"{path.parent.relative_to(self._root).as_posix()}/{name[1]}"
                for path in self._root.glob("*/*/*.json")
                if (name := _FACTS.fullmatch(path.name))
            }
        for stem in sorted(stems, key=lambda stem: (stem[:10], stem.rpartition("/")[2])):
            drawn = self.newest(stem)
            if drawn is not None:
                yield drawn

    def _path(self, stem: str, version: int, ending: str) -> Path:
        return self._root / f"{stem}-drawn{version}{ending}"

    def _open(self, stem: str, ending: str) -> Path:
        return self._root / _OPEN / f"{stem.replace('/', '_')}{ending}"

    def _room(self, needed: int) -> None:
        disk = os.statvfs(self._root)
        if disk.f_bavail * disk.f_frsize - needed < self._min_free:
            raise DeviceError(f"{self._root}: the disk is full. Make room, then store the drawing again")

    @contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DeviceError(f"drawings {self._root}: {error.strerror or error}") from error


def drawn_from(runs: Any, size: tuple[int, int], classes: int) -> Image:
    """The drawing (H, W) from its runs, which are `value, length, value, length ...` row by row. `size` is H, W.

    Raises ValueError for anything else, before it takes memory.
    """
    if not isinstance(runs, list) or len(runs) % 2 or not all(type(value) is int for value in runs):
        raise ValueError("pairs of whole numbers are needed")
    values, lengths = runs[::2], runs[1::2]
    height, width = size
    if any(not 0 <= value <= classes for value in values):
        raise ValueError(f"a class from 0 to {classes} is needed")
    if any(length < 1 for length in lengths) or sum(lengths) != height * width or height * width > _LARGEST_PX:
        raise ValueError(f"{height * width} pixels are needed")
    return np.repeat(np.array(values, np.uint8), lengths).reshape(height, width)


def runs_of(pixels: Image) -> list[int]:
    """The opposite of `drawn_from`."""
    flat = pixels.reshape(-1)
    begins = np.flatnonzero(np.diff(flat, prepend=flat[:1] ^ 1))
    lengths = np.diff(begins, append=flat.size)
    return [int(value) for pair in zip(flat[begins], lengths, strict=True) for value in pair]


def _facts(drawn: Drawing) -> dict[str, Any]:
    on = {**asdict(drawn.on), "utc": iso(drawn.on.utc, "microseconds")}
    return {
        "schema_version": _SCHEMA,
        "version": drawn.version,
        "classes": list(drawn.classes),
        "width": drawn.width,
        "height": drawn.height,
        "by": drawn.by,
        "utc": iso(drawn.utc, "microseconds"),
        "on": on,
    }


def _read(path: Path, stem: str, version: int) -> Drawing:
    try:
        facts = json.loads(path.read_bytes())
        on = DrawnOn(**{**facts["on"], "utc": datetime.fromisoformat(facts["on"]["utc"]), "stem": stem})
        drawn = Drawing(
            on=on,
            version=version,
            classes=tuple(facts["classes"]),
            width=facts["width"],
            height=facts["height"],
            by=facts["by"],
            utc=datetime.fromisoformat(facts["utc"]),
            image=_image(path, stem),
            mask=path.with_suffix(".png"),
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(path) from error
    sound = all(isinstance(name, str) for name in (*drawn.classes, drawn.by, on.camera, on.decision))
    numbers = all(type(value) is int for value in (drawn.width, drawn.height, on.part_id, on.part_seq))
    if not (sound and numbers and on.utc.tzinfo and drawn.utc.tzinfo):
        raise _damaged(path)
    return drawn


def _image(facts: Path, stem: str) -> Path:
    places = [facts.with_name(f"{stem.rpartition('/')[2]}{ending}") for ending in IMAGES]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise FileNotFoundError(places[0])
    return found


def _damaged(path: Path) -> DeviceError:
    return DeviceError(f"{path}: this drawing or its picture is damaged: restore it, or move its files away")
