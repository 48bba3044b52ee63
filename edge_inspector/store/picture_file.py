"""Picture files from outside. What they claim to be is checked before they take memory.

A small file can unfold into gigabytes. So its size in pixels is read from its header first, and only files of known
kinds are unfolded: PNG, JPEG, BMP, TIFF and WebP.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspector.records import Image

LARGEST_PX: Final = 1 << 26
FRAME_PX: Final = 1 << 28
"""Of what a station's own camera may have made. Line-scan cameras make long pictures."""
_LARGEST_FILE: Final = 512 << 20
_LEVELS_MIN: Final = 64
"""A picture that is read in fewer grey levels than this has lost what it showed."""
_MARKERS_MOST: Final = 10_000
_ALONE: Final = frozenset({0x00, 0x01, *range(0xD0, 0xD9)})
"""Markers of JPEG that no length follows."""
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BEGINS: Final = frozenset({0xD9, 0xDA})
"""Markers of JPEG after which no size can come."""
_CMYK: Final = 4
_SEPARATED: Final = 5


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of itself: sides in pixels, as they are stored."""

    height: int
    width: int
    cmyk: bool = False


def content_of(path: Path) -> bytes:
    """The bytes of a file. Raises ValueError, which says what is wrong with it."""
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ValueError(f"is larger than {_LARGEST_FILE >> 20} MB")
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error


def header_of(content: bytes) -> Header | None:
    """The header of a picture of a known kind. None for anything else."""
    kinds = {b"\x89PNG\r\n\x1a\n": _png, b"\xff\xd8\xff": _jpeg, b"BM": _bmp, b"II*\0": _tiff, b"MM\0*": _tiff}
    read = next((read for start, read in kinds.items() if content.startswith(start)), None)
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        read = _webp
    try:
        return None if read is None else read(content)
    except (struct.error, IndexError):  # it ends too early
        return None


def decoded(content: bytes, flags: int, most_px: int = LARGEST_PX) -> NDArray[Any]:
    """The pixels, read by OpenCV with its IMREAD_* `flags`. Raises ValueError, which says what is wrong."""
    header = header_of(content)
    if header is None or header.height < 1 or header.width < 1:
        raise ValueError("is not an image that can be read")
    if header.height * header.width > most_px:
        raise ValueError(f"is larger than {most_px} pixels")
    if header.cmyk:
        raise ValueError("has the colours of a printer (CMYK), and no camera has: save it as RGB or grey")
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise ValueError("is not an image that can be read")
    if pixels.shape[0] * pixels.shape[1] > most_px:  # it has two headers
        raise ValueError(f"is larger than {most_px} pixels")
    return np.asarray(pixels)


def camera_picture(content: bytes, most_px: int = LARGEST_PX) -> Image:
    """The picture as a camera would give it, [H, W] grey or [H, W, 3] BGR, turned as its EXIF data says.

    Raises ValueError, which says what is wrong.
    """
    return in_eight_bits(decoded(content, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH, most_px))


def in_eight_bits(pixels: NDArray[Any]) -> Image:
    """The same picture in 8 bits. Raises ValueError if its values would fall into a few levels."""
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype != np.uint16:
        raise ValueError(f"holds values of type {pixels.dtype}: save it with 8 bits a value")
    levels = int(pixels.max()) // 256 + 1
    if levels < _LEVELS_MIN:
        raise ValueError(
            f"has {int(pixels.max()).bit_length()} bits in 16, at most {pixels.max()}: only {levels} grey levels would "
            "be left in 8 bits. Save it with 8 bits, scaled as the station's camera does"
        )
    return np.asarray(pixels // 256, np.uint8)


def is_turned(content: bytes) -> bool:
    """Whether viewers show the picture turned from how it is stored. Raises ValueError if it cannot be read."""
    may_say_so = content[:2] in {b"II", b"MM"} or any(word in content for word in (b"Exif", b"eXIf", b"EXIF"))
    if not may_say_so:
        return False
    stored = decoded(content, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION)
    return not np.array_equal(stored, decoded(content, cv2.IMREAD_GRAYSCALE))


def _png(content: bytes) -> Header:
    width, height = struct.unpack_from(">II", content, 16)
    return Header(height, width)


def _jpeg(content: bytes) -> Header | None:
    at = 2
    for _ in range(_MARKERS_MOST):
        at = content.find(b"\xff", at)
        marker = content[at + 1] if at >= 0 else 0xD9
        if marker in _BEGINS:
            return None
        if marker in _FRAMES:
            height, width, planes = struct.unpack_from(">HHB", content, at + 5)
            return Header(height, width, planes == _CMYK)
        if marker == 0xFF:
            at += 1
        elif marker in _ALONE:
            at += 2
        else:
            at += 2 + struct.unpack_from(">H", content, at + 2)[0]
    return None


def _bmp(content: bytes) -> Header:
    (size,) = struct.unpack_from("<I", content, 14)
    width, height = struct.unpack_from("<HH" if size == 12 else "<ii", content, 18)
    return Header(abs(height), abs(width))


def _tiff(content: bytes) -> Header:
    order = "<" if content.startswith(b"II") else ">"
    (first,) = struct.unpack_from(f"{order}I", content, 4)
    (count,) = struct.unpack_from(f"{order}H", content, first)
    found = {256: 0, 257: 0, 262: 0}
    for at in range(first + 2, first + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from(f"{order}HH", content, at)
        if tag in found:
            (value,) = struct.unpack_from(f"{order}{'H' if kind == 3 else 'I'}", content, at + 8)
            found[tag] = max(found[tag], value)
    return Header(found[257], found[256], found[262] == _SEPARATED)


def _webp(content: bytes) -> Header | None:
    kind = content[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(content[at : at + 3], "little") + 1 for at in (24, 27))
        return Header(height, width)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", content, 26)
        return Header(height & 0x3FFF, width & 0x3FFF)
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", content, 21)
        return Header((bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1)
    return None
