"""The pictures on the disk. They have a budget, the oldest are deleted first, and the disk is never filled."""

from __future__ import annotations

import heapq
import json
import os
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import cv2

from edge_inspector.errors import DeviceError
from edge_inspector.records import Image, Picture
from edge_inspector.runtime.clock import EARLIEST
from edge_inspector.store.pictures import MASK, SIDECAR, days, files_of_day
from edge_inspector.store.presence import Presence
from edge_inspector.store.whole_file import draft_of

# This takes half the time of the library's default, and the files are a tenth smaller. The noise of a camera has
# differences to compress, but no repetition.
PNG = (
    *(cv2.IMWRITE_PNG_COMPRESSION, 1),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_SUB),
)
# A mask is mostly zero. Without differences it takes a sixth less time, and the file is a sixth smaller.
_MASK_PNG = (*PNG[:-1], cv2.IMWRITE_PNG_FILTER_NONE)
_BLOCK = 4096  # a file takes whole blocks of this size on the disk
_REMEMBERED = 3000  # files that are remembered as the next ones to delete
_FIRST_DAY = f"{EARLIEST:%Y-%m-%d}"
_NO_LIMIT = "9999-12-31"
_GIVE_WAY = 64  # most old views deleted for a new one, so that a call stays short


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """The space for pictures in bytes, and the space that must stay free on the disk, whatever else fills it."""

    budget: int
    min_free: int


class ImageArchive:
    """Pictures below `root`. One thread owns it. Every method raises DeviceError if the disk fails.

    `forgotten` counts the deleted views by reason. The code that reports them empties it.
    """

    def __init__(self, root: Path, limits: ImageLimits, kind: Literal["png", "jpeg"]) -> None:
        self._root = root
        self._limits = limits
        self._kind = kind
        self._doomed: deque[list[tuple[Path, int]]] = deque()
        self._doomed_day = ""
        self._today = _NO_LIMIT
        self.forgotten: Counter[str] = Counter()
        with self._disk():
            root.mkdir(parents=True, exist_ok=True)
            self._presence = Presence(root)
            self._days = {day: sum(_taken(size) for _, _, size in files_of_day(root, day)) for day in days(root)}

    @property
    def lost(self) -> Path | None:
        """The folder, if its path does not lead to it any more. None as long as all is well."""
        return self._presence.lost

    @property
    def size(self) -> int:
        """Bytes that all pictures take on the disk."""
        return sum(self._days.values())

    def save(self, stem: str, picture: Picture, facts: Mapping[str, Any]) -> bool:
        """Write image, mask and facts. False, and nothing is written, if there is no room.

        The image is written last. If it exists, the other files exist too.
        """
        files = {SIDECAR: json.dumps(facts, indent=1, allow_nan=False).encode() + b"\n"}
        if picture.mask is not None:
            # One plane per class, from top to bottom.
            files[MASK] = _encoded(".png", picture.mask.reshape(-1, picture.mask.shape[-1]), _MASK_PNG)
        if self._kind == "png":
            files[".png"] = _encoded(".png", picture.image, PNG)
        else:
            files[".jpg"] = _encoded(".jpg", picture.image, (cv2.IMWRITE_JPEG_QUALITY, 95))
        with self._disk():
            if not self._make_room(sum(_taken(len(content)) for content in files.values())):
                return False
            self._write(stem, files)
        return True

    def tidy(self, day: str, today: str = _NO_LIMIT) -> None:
        """Delete views of the days before `day` (as 2026-11-21) and those beyond the limits, a few at each call.

        An impossible day, from a clock that was wrong, never gets too old. If space is needed, days after `today` are
        deleted first.
        """
        self._today = today
        with self._disk():
            self._make_room(0)
            for _ in range(_GIVE_WAY):
                if not self._drop(sorted(each for each in self._days if _FIRST_DAY <= each < day), "age"):
                    return

    def oldest_day(self) -> str | None:
        """The first possible day that has pictures."""
        return min((day for day in self._days if day >= _FIRST_DAY), default=None)

    def _write(self, stem: str, files: Mapping[str, bytes]) -> None:
        day = stem.partition("/")[0]
        (self._root / stem).parent.mkdir(parents=True, exist_ok=True)
        for ending, content in files.items():
            # After a power cut a picture may be missing or damaged. The disk has no time to sync each.
            with draft_of(self._root / f"{stem}{ending}", synced=False) as draft:
                draft.write_bytes(content)
            self._days[day] = self._days.get(day, 0) + _taken(len(content))

    def _make_room(self, needed: int) -> bool:
        for _ in range(_GIVE_WAY):
            if self.size + needed <= self._limits.budget and self._free() - needed >= self._limits.min_free:
                return True
            if not self._drop(sorted(self._days, key=lambda day: (day <= self._today, day)), "room"):
                return False
        return False

    def _free(self) -> int:
        disk = os.statvfs(self._root)
        return disk.f_bavail * disk.f_frsize

    def _drop(self, days: Iterable[str], why: str) -> bool:
        """Delete the oldest view of the first of these days that has one. Whether there was one."""
        for day in days:
            if self._doomed_day != day or not self._doomed:
                self._doomed_day, self._doomed = day, self._first_views(day)
            if self._doomed:
                for path, size in self._doomed.popleft():
                    path.unlink(missing_ok=True)
                    self._days[day] = max(0, self._days[day] - _taken(size))
                self.forgotten[why] += 1
                return True
            del self._days[day]
            self._remove_folders(day)
        return False

    def _first_views(self, day: str) -> deque[list[tuple[Path, int]]]:
        # A day may have a hundred thousand files, so only the oldest are remembered.
        try:
            files = heapq.nsmallest(_REMEMBERED, files_of_day(self._root, day), key=_age)
        except FileNotFoundError:  # somebody has removed the folder
            return deque()
        views = deque([(path, size) for _, path, size in view] for _, view in groupby(files, key=_age))
        if len(files) == _REMEMBERED and len(views) > 1:
            views.pop()  # it may be incomplete
        return views

    def _remove_folders(self, day: str) -> None:
        folder = self._root / day
        with suppress(OSError):  # a file that is not ours keeps the folder
            for empty in folder.iterdir():
                with suppress(OSError):
                    empty.rmdir()
            folder.rmdir()

    @contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DeviceError(f"pictures {self._root}: {error.strerror}") from error


def _age(file: tuple[str, Path, int]) -> tuple[str, str]:
    """A key that sorts by time, independently of the camera, and keeps the files of one view together."""
    stem = file[0]
    return stem.rpartition("/")[2], stem


def _encoded(ending: str, image: Image, options: tuple[int, ...]) -> bytes:
    _, encoded = cv2.imencode(ending, image, options)
    return bytes(encoded)


def _taken(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK
