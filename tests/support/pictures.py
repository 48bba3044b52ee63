"""Picture files that no camera makes, for tests of everything that reads pictures."""

from __future__ import annotations

import base64
import struct
from typing import Any

import cv2
import numpy as np

ENDINGS = (".png", ".jpg", ".bmp", ".tiff", ".webp")
CMYK = base64.b64decode(
    "/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwAoHB4jHhkoIyEjLSsoMDxkQTw3Nzx7WF1JZJGAmZaPgIyKoLTmw6Cq2q2KjMj/y9ru9f///5vB////+v/"
    "m/f/4/8AAFAgACAAQBEMRAE0RAFkRAEsRAP/EABYAAQEBAAAAAAAAAAAAAAAAAAAEBf/EABQQAQAAAAAAAAAAAAAAAAAAAAD/2gAOBEMATQBZAE"
    "sAAD8A2UCBsgD/2Q=="
)
"""Eight rows of sixteen pixels, as a program for printing stores them."""


def encoded(ending: str, *, channels: int = 3, kind: Any = np.uint8) -> bytes:
    picture = np.zeros((7, 13, channels), kind)
    picture[:3] = np.iinfo(kind).max
    return cv2.imencode(ending, picture)[1].tobytes()


def turned(content: bytes, orientation: int) -> bytes:
    """A JPEG as a telephone stores it: EXIF says how it is to be shown."""
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0" + bytes([orientation]) + bytes(6)
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + content[2:]


def bomb(ending: str) -> bytes:
    """A few bytes that claim to be 60000 x 60000 pixels."""
    content, side = bytearray(encoded(ending)), 60_000
    if ending == ".png":
        content[16:24] = struct.pack(">II", side, side)
    elif ending == ".jpg":
        at = content.index(b"\xff\xc0")
        content[at + 5 : at + 9] = struct.pack(">HH", side, side)
    elif ending == ".bmp":
        content[18:26] = struct.pack("<ii", side, -side)
    elif ending == ".tiff":
        for tag in (256, 257):
            at = content.index(struct.pack("<HH", tag, 3))
            content[at + 8 : at + 10] = struct.pack("<H", side)
    else:
        content = bytearray(b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0") + (side - 1).to_bytes(3, "little") * 2
    return bytes(content)
