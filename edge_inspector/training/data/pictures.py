"""Files as arrays of eight bits: masks, and pictures as the station gives them to a model. No file is trusted."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.store.picture_file import content_of, decoded, in_eight_bits, is_turned

Image: TypeAlias = NDArray[np.uint8]

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_AS_DEEP: Final = cv2.IMREAD_ANYDEPTH
_SAMPLE: Final = 8
_LONG_S: Final = 60.0


def read_picture(path: Path, *, grey: bool) -> Image:
    """[H, W] grey or [H, W, 3] BGR, turned as its EXIF data says. Raises ConfigError."""
    pixels = read_pixels(path, (cv2.IMREAD_ANYCOLOR if grey else cv2.IMREAD_COLOR) | _AS_DEEP)
    with _named(path):
        picture = in_eight_bits(pixels)
    if grey and picture.ndim == 3:
        # Convert to grey as the daemon does. imread's own grey differs by a level.
        picture = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)
    return picture


def stored_bits(path: Path) -> int:
    """The bits of each value in the file. Raises ConfigError."""
    with path.open("rb") as file:
        start = file.read(25)
    if start.startswith(_PNG):
        return 16 if start[24:] == b"\x10" else 8
    if path.suffix.lower() not in {".tif", ".tiff"}:
        return 8
    return int(read_pixels(path, cv2.IMREAD_ANYCOLOR | _AS_DEEP).dtype.itemsize) * 8


def is_grey(path: Path) -> bool:
    """Whether a picture is without colour, however it is stored. Raises ConfigError."""
    picture = read_pixels(path, cv2.IMREAD_ANYCOLOR)
    return picture.ndim == 2 or bool((picture == picture[..., :1]).all())


def read_pixels(path: Path, flags: int) -> NDArray[np.integer[Any]]:
    """The pixels of a file, read by OpenCV with its IMREAD_* `flags`. Raises ConfigError."""
    with _named(path):
        return decoded(content_of(path), flags)


def turned(path: Path) -> bool:
    """Whether a picture is stored in a turned position. Raises ConfigError."""
    with _named(path):
        return is_turned(content_of(path))


def refuse_turned(path: Path) -> None:
    """Raise ConfigError if a picture is stored in a turned position: its mask could belong to either position."""
    if turned(path):
        raise ConfigError([Fault(str(path), "is turned by its EXIF, its mask is not: save it upright")])


def foretell(pictures: Sequence[Path], told: Callable[[str], None]) -> None:
    """Say how long reading these takes, if it takes long. A few of them are read to find out."""
    sample = pictures[:: max(1, len(pictures) // _SAMPLE)][:_SAMPLE]
    begun = time.monotonic()
    for path in sample:
        try:
            read_picture(path, grey=False)
        except ConfigError:
            continue  # it is named later, with its line
    takes_s = (time.monotonic() - begun) / max(1, len(sample)) * len(pictures)
    if takes_s > _LONG_S:
        told(f"reading {len(pictures)} pictures takes about {takes_s / 60:.0f} minutes")


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ConfigError([Fault(str(path), str(error))]) from error
