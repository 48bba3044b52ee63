"""What the two processes say to each other: short messages on a socket that keeps their bounds.

Each begins with one byte. A picture's message is packed, because there are many. All others are JSON.
"""

from __future__ import annotations

import struct
from typing import Final

from edge_inspector.records import Frame, Image, PictureFigures

OPEN, CLOSE, ADJUST, OPENED, CLOSED, ADJUSTED, PICTURE, INCOMPLETE, SEGMENT, LOST, COUNTERS, ALIVE = (
    bytes([code]) for code in b"OCJocjPISLNA"
)
WITH_JSON: Final = {OPEN, ADJUST, ADJUSTED, INCOMPLETE, SEGMENT, LOST, COUNTERS}
LONGEST: Final = 65_536  # bytes of a message

# slot, height, width, channels (0: grey), frame_id, captured, exposure, received, has count, count, error; figures
_PICTURE: Final = struct.Struct("<IIIBqqqqBqqddddI")


def pack(slot: int, frame: Frame, figures: PictureFigures) -> bytes:
    """The message of a picture in this slot."""
    height, width, *channels = frame.image.shape
    count = frame.encoder_count
    return PICTURE + _PICTURE.pack(
        slot,
        height,
        width,
        channels[0] if channels else 0,
        frame.frame_id,
        frame.captured_ns,
        frame.exposure_ns,
        frame.received_ns,
        count is not None,
        count or 0,
        frame.captured_error_ns,
        figures.mean,
        figures.dark,
        figures.saturated,
        figures.sharpness,
        figures.fingerprint,
    )


def slot_and_shape(message: bytes) -> tuple[int, tuple[int, ...]]:
    """Where the picture is, and its shape. Raises struct.error for a message of another length."""
    slot, height, width, channels, *_ = _PICTURE.unpack(message[1:])
    return slot, (height, width, channels) if channels else (height, width)


def frame_of(message: bytes, camera: str, image: Image, first_id: int) -> Frame:
    """The frame that was packed. `first_id` is added to its number."""
    _, _, _, _, frame_id, captured, exposure, received, has_count, count, error, *seen = _PICTURE.unpack(message[1:])
    mean, dark, saturated, sharpness, fingerprint = seen
    return Frame(
        camera,
        first_id + frame_id,
        captured_ns=captured,
        exposure_ns=exposure,
        received_ns=received,
        image=image,
        encoder_count=count if has_count else None,
        captured_error_ns=error,
        figures=PictureFigures(mean=mean, dark=dark, saturated=saturated, sharpness=sharpness, fingerprint=fingerprint),
    )
