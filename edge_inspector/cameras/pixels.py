"""Pixel formats as cameras send them, and the way from each to grey or BGR."""

from __future__ import annotations

from typing import Final, Literal

import cv2
import numpy as np

from edge_inspector.records import Image

PixelFormat = Literal[
    "Mono8",
    "Mono12",
    "Mono12Packed",
    "BayerRG8",
    "BayerGR8",
    "BayerGB8",
    "BayerBG8",
    "RGB8",
    "BGR8",
    "YUV422_8",
    "YUV422_8_UYVY",
]

# The numbers of the GenICam Pixel Format Naming Convention. OpenCV's short Bayer names mean other patterns.
_MONO8: Final = 0x01080001
_MONO12: Final = 0x01100005
_MONO12_PACKED: Final = 0x010C0006
_BGR8: Final = 0x02180015
_CONVERTED: Final = {
    0x01080008: (1, cv2.COLOR_BayerGRBG2BGR),
    0x01080009: (1, cv2.COLOR_BayerRGGB2BGR),
    0x0108000A: (1, cv2.COLOR_BayerGBRG2BGR),
    0x0108000B: (1, cv2.COLOR_BayerBGGR2BGR),
    0x02180014: (3, cv2.COLOR_RGB2BGR),
    0x02100032: (2, cv2.COLOR_YUV2BGR_YUY2),
    0x0210001F: (2, cv2.COLOR_YUV2BGR_UYVY),
}


def is_view(pixel_format: int) -> bool:
    """Whether the picture needs no conversion, so that it can stay in the memory into which it was received."""
    return pixel_format in {_MONO8, _BGR8}


def picture(memory: Image, pixel_format: int, height: int, width: int) -> Image | None:
    """The pixels at the start of `memory` as grey or BGR; None for a format that is not known here.

    A view of `memory` where `is_view`, else an image of its own.
    """
    count = height * width
    if pixel_format == _MONO8:
        return memory[:count].reshape(height, width)
    if pixel_format == _BGR8:
        return memory[: 3 * count].reshape(height, width, 3)
    if pixel_format == _MONO12:
        # Little-endian: the upper eight of twelve bits lie across both bytes.
        return (memory[: 2 * count].view("<u2") >> 4).astype(np.uint8).reshape(height, width)
    if pixel_format == _MONO12_PACKED:
        # Two pixels in three bytes, and the middle one holds both lower halves.
        grey = np.empty(count, np.uint8)
        grey[0::2], grey[1::2] = memory[: 3 * count // 2 : 3], memory[2 : 3 * count // 2 : 3]
        return grey.reshape(height, width)
    if pixel_format not in _CONVERTED:
        return None
    planes, conversion = _CONVERTED[pixel_format]
    shape = (height, width, planes) if planes > 1 else (height, width)
    return np.asarray(cv2.cvtColor(memory[: planes * count].reshape(shape), conversion), np.uint8)
