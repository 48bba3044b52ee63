"""Encodes a picture as a camera with this pixel format does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np

from edge_inspector.records import Image


def _mono(picture: Image) -> Image:
    return picture if picture.ndim == 2 else np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)


def _colour(picture: Image) -> Image:
    return picture if picture.ndim == 3 else np.asarray(cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR), np.uint8)


def _converted(conversion: int) -> Callable[[Image], Image]:
    return lambda picture: np.asarray(cv2.cvtColor(_colour(picture), conversion), np.uint8)


def _bayer_rg(picture: Image) -> Image:
    """The Bayer pattern red, green / green, blue."""
    if picture.ndim == 2:
        return picture
    mosaic = picture[:, :, 1].copy()
    mosaic[0::2, 0::2] = picture[0::2, 0::2, 2]
    mosaic[1::2, 1::2] = picture[1::2, 1::2, 0]
    return mosaic


def _twelve(picture: Image) -> Image:
    return (_mono(picture).astype("<u2") << 4).view(np.uint8)


def _twelve_packed(picture: Image) -> Image:
    """Two pixels in three bytes. The lower bits of both (here 0) are in the middle byte."""
    pairs = _mono(picture).reshape(-1, 2)
    return np.insert(pairs, 1, 0, axis=1)


MONO8: Final = 0x01080001
# Names and numbers of the GenICam Pixel Format Naming Convention. Bits 16 to 23 are the bits per pixel.
FORMATS: Final[dict[str, tuple[int, Callable[[Image], Image]]]] = {
    "Mono8": (MONO8, _mono),
    "Mono12": (0x01100005, _twelve),
    "Mono12Packed": (0x010C0006, _twelve_packed),
    "BayerRG8": (0x01080009, _bayer_rg),
    "RGB8": (0x02180014, _converted(cv2.COLOR_BGR2RGB)),
    "BGR8": (0x02180015, _colour),
    "YUV422_8": (0x02100032, _converted(cv2.COLOR_BGR2YUV_YUY2)),
    "YUV422_8_UYVY": (0x0210001F, _converted(cv2.COLOR_BGR2YUV_UYVY)),
}
_BY_NUMBER: Final = dict(FORMATS.values())


def encoded(picture: Image, pixel_format: int) -> bytes:
    """The picture's bytes in this format."""
    return np.ascontiguousarray(_BY_NUMBER[pixel_format](picture)).tobytes()


def size_of(width: int, height: int, pixel_format: int) -> int:
    """The size of a picture in this format, in bytes."""
    return width * height * (pixel_format >> 16 & 0xFF) // 8


def binned(picture: Image, across: int, along: int) -> Image:
    """The picture with `across` x `along` pixels averaged into one."""
    height, width = picture.shape[:2]
    size = (width // across, height // along)
    return picture if across == along == 1 else np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
