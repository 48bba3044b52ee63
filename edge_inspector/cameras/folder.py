"""A folder of pictures as a camera, for replay, for tests and to try out a recipe."""

from __future__ import annotations

import csv
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import cv2
from pydantic import Field

from edge_inspector.cameras.border import fails_as_device
from edge_inspector.drivers import Camera, DriverSettings
from edge_inspector.errors import DeviceError, FrameIncompleteError
from edge_inspector.records import Frame, Image
from edge_inspector.store.picture_file import FRAME_PX, content_of, decoded

_SUFFIXES: Final = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
INDEX_NAME: Final = "index.csv"


class Item(NamedTuple):
    """One picture of a folder, with its mask and class if they are known."""

    image: Path
    mask: Path | None
    defect_class: str


class FolderCamera(Camera):
    """Delivers the pictures in the order of the index or of their names, each at its due time."""

    class Settings(DriverSettings):
        """Where the pictures are and how fast they are played."""

        path: Path
        """Folder with the pictures. An `index.csv` in it selects and orders them, otherwise their names do."""
        interval_ms: Annotated[float, Field(ge=0)] = 100.0
        """Time from one picture to the next. 0 delivers each picture as soon as it is requested."""
        repeat: bool = False
        """Start again after the last picture."""
        grey: bool = False
        """Read the pictures as grey ones."""

        @property
        def free_running_hz(self) -> float | None:
            """The rate of `interval_ms`. None if each picture comes as soon as it is requested."""
            return 1000 / self.interval_ms if self.interval_ms else None

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self._settings = settings
        self._flags = cv2.IMREAD_GRAYSCALE if settings.grey else cv2.IMREAD_COLOR
        self._frame_id = 0
        self._due_ns = 0
        self._items: Iterator[Item] | None = None
        # The next picture, decoded while there is time until it is due. No image if the file is damaged.
        self._next: tuple[Item, Image | None] | None = None

    @fails_as_device
    def open(self) -> None:
        """List the folder and read its first picture. Frame numbers go on from an earlier open."""
        items = load_index(self._settings.path)
        self._items = itertools.cycle(items) if self._settings.repeat else iter(items)
        self._next = self._read_ahead()
        self._due_ns = time.monotonic_ns()

    @fails_as_device
    def grab(self, timeout_s: float) -> Frame | None:
        """The next picture when it is due. None after the last one."""
        if self._items is None:
            raise DeviceError(f"{self.name}: not open")
        deadline_ns = time.monotonic_ns() + int(timeout_s * 1e9)
        if self._next is None:
            self._next = self._read_ahead()
        if self._settings.interval_ms == 0:
            self._due_ns = time.monotonic_ns()
        if self._next is None or self._due_ns > deadline_ns:
            _sleep_until(deadline_ns)
            return None
        _sleep_until(self._due_ns)
        (item, image), self._next = self._next, None
        return self._frame(item, image)

    def close(self) -> None:
        """Forget the list and the picture that was read ahead."""
        self._items = None
        self._next = None

    def _read_ahead(self) -> tuple[Item, Image | None] | None:
        item = next(self._items, None) if self._items is not None else None
        return None if item is None else (item, _unfolded(item.image, self._flags))

    def _frame(self, item: Item, image: Image | None) -> Frame:
        captured_ns = self._due_ns
        self._due_ns += int(self._settings.interval_ms * 1e6)
        self._frame_id += 1
        if image is None:
            message = f"{self.name}: {item.image} is missing or no picture that can be read"
            raise FrameIncompleteError(message, self._frame_id, captured_ns)
        return Frame(
            camera=self.name,
            frame_id=self._frame_id,
            captured_ns=captured_ns,
            exposure_ns=0,
            received_ns=time.monotonic_ns(),
            image=image,
        )


def load_index(path: Path) -> list[Item]:
    """The pictures that `path`/index.csv lists (columns image, mask, class), or all pictures in the order of names.

    The index may have other columns. Raises DeviceError if the folder is missing or has no pictures.
    """
    if not path.is_dir():
        raise DeviceError(f"{path}: there is no such folder")
    index = path / INDEX_NAME
    if index.exists():
        items = _read_index(index)
    else:
        items = [Item(file, None, "") for file in sorted(path.iterdir()) if file.suffix.lower() in _SUFFIXES]
    if not items:
        raise DeviceError(f"{path}: there is no picture in it")
    return items


def _read_index(index: Path) -> list[Item]:
    if not index.is_file():
        raise DeviceError(f"{index}: is not a file that can be read to its end")
    try:
        with index.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DeviceError(f"{index}: cannot be read: {error}") from error
    items = []
    for number, row in enumerate(rows, start=2):
        if not row.get("image"):
            raise DeviceError(f"{index}, line {number}: there is no image")
        for name in (row["image"], row.get("mask") or ""):
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise DeviceError(f"{index}, line {number}: {name} is not in this folder")
        mask = index.parent / row["mask"] if row.get("mask") else None
        items.append(Item(index.parent / row["image"], mask, row.get("class") or ""))
    return items


def _unfolded(picture: Path, flags: int) -> Image | None:
    """The decoded picture.

    None if it is missing, damaged or far too large, or if it is not a file: reading a pipe would never end.
    """
    try:
        return decoded(content_of(picture), flags, FRAME_PX) if picture.is_file() else None
    except (ValueError, OSError):
        return None


def _sleep_until(instant_ns: int) -> None:
    time.sleep(max(0, instant_ns - time.monotonic_ns()) / 1e9)
