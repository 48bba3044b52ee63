"""The border of a driver: every failure inside it is a failure of the camera, and not of the program."""

from __future__ import annotations

import ctypes
import logging
import struct
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, Final, ParamSpec, TypeVar

import cv2

from edge_inspector.drivers import Camera
from edge_inspector.errors import DeviceError

log = logging.getLogger(__name__)

# Libraries and conversions raise these for senseless values from a camera.
_FAILURES: Final = (
    ArithmeticError,
    AttributeError,
    BufferError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    ctypes.ArgumentError,
    cv2.error,
    struct.error,
)

Owner = TypeVar("Owner", bound=Camera)
Given = ParamSpec("Given")
Result = TypeVar("Result")


def fails_as_device(
    method: Callable[Concatenate[Owner, Given], Result],
) -> Callable[Concatenate[Owner, Given], Result]:
    """The driver's method, which now raises DeviceError for errors that values from outside may cause."""

    @wraps(method)
    def guarded(camera: Owner, /, *given: Given.args, **named: Given.kwargs) -> Result:
        try:
            return method(camera, *given, **named)
        except _FAILURES as error:
            log.debug("%s", camera.name, exc_info=error)
            raise DeviceError(f"{camera.name}: {type(error).__name__}: {error}") from error

    return guarded
