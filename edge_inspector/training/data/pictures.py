"""Files as arrays of eight bits: masks, and pictures as the station gives them to a model. No file is trusted."""

from pathlib import Path
from typing import Any, Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspector.errors import ConfigError, Fault

Image: TypeAlias = NDArray[np.uint8]

_LARGEST_PX: Final = 1 << 26
_PNG: Final = b"\x89PNG\r\n\x1a\n"


def read_picture(path: Path, *, grey: bool) -> Image:
    """[H, W] grey or [H, W, 3] BGR, turned as its EXIF data says. Raises ConfigError."""
    picture = read_pixels(path, cv2.IMREAD_ANYCOLOR if grey else cv2.IMREAD_COLOR)
    if grey and picture.ndim == 3:
        # Convert to grey as the daemon does. imread's own grey differs by a level.
        picture = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    return np.asarray(picture, np.uint8)


def is_grey(path: Path) -> bool:
    """Whether a picture is without colour, however it is stored. Raises ConfigError."""
    picture = read_pixels(path, cv2.IMREAD_ANYCOLOR)
    return picture.ndim == 2 or bool((picture == picture[..., :1]).all())


def read_pixels(path: Path, flags: int) -> NDArray[np.integer[Any]]:
    """The pixels of a file, read by OpenCV with its IMREAD_* `flags`. Raises ConfigError."""
    try:
        content = path.read_bytes()
        if content.startswith(_PNG):
            # The file can be a thousand times smaller than its pixels.
            _refuse_large(path, int.from_bytes(content[16:20]) * int.from_bytes(content[20:24]))
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except (OSError, cv2.error):
        pixels = None
    if pixels is None:
        raise ConfigError([Fault(str(path), "is no image that can be read")])
    _refuse_large(path, pixels.shape[0] * pixels.shape[1])
    return np.asarray(pixels)


def _refuse_large(path: Path, pixels: int) -> None:
    if pixels > _LARGEST_PX:
        raise ConfigError([Fault(str(path), f"is larger than {_LARGEST_PX} pixels")])
