"""The controls of a V4L2 device by the names that `v4l2-ctl --list-ctrls` shows."""

from __future__ import annotations

import fcntl
import os
import re
import struct
from collections.abc import Callable
from typing import Final

from edge_inspector.cameras.features import Features, Value
from edge_inspector.errors import DeviceError

# linux/videodev2.h: number, type, name, minimum, maximum, step, default, flags.
_QUERY: Final = struct.Struct("=II32siiiiI8x")
_CONTROL: Final = struct.Struct("=Ii")
_VIDIOC_G_CTRL: Final = 0xC008561B
_VIDIOC_S_CTRL: Final = 0xC008561C
_VIDIOC_QUERYCTRL: Final = 0xC0445624
_NEXT: Final = 0x80000000
_DISABLED: Final = 0x0001
_WITH_A_NUMBER: Final = {1, 2, 3, 9}  # integer, boolean, menu, menu of integers
_MOST: Final = 1024

Ask = Callable[[int, bytes], bytes]


class V4l2Controls(Features):
    """The controls of one device. `ask(request, data)` sends an ioctl and raises OSError."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._numbers = _listed(ask)

    def has(self, feature: str) -> bool:
        """Whether the device has this control."""
        return feature in self._numbers

    def read(self, feature: str) -> Value:
        """The value of a control. Raises DeviceError."""
        try:
            return int(_CONTROL.unpack(self._ask(_VIDIOC_G_CTRL, _CONTROL.pack(self._numbers[feature], 0)))[1])
        except OSError as error:
            raise DeviceError(f"{feature} cannot be read: {error.strerror}") from error

    def write(self, feature: str, value: Value) -> bool:
        """Set a control. Raises DeviceError."""
        try:
            self._ask(_VIDIOC_S_CTRL, _CONTROL.pack(self._numbers[feature], int(value)))
        except (OSError, ValueError, struct.error) as error:
            raise DeviceError(str(getattr(error, "strerror", None) or error)) from error
        return True

    def names(self) -> list[str]:
        """All controls of the device."""
        return sorted(self._numbers)


def asking(descriptor: int) -> Ask:
    """How to ask the device that is open as this descriptor."""

    def ask(request: int, data: bytes) -> bytes:
        room = bytearray(data)
        fcntl.ioctl(descriptor, request, room)
        return bytes(room)

    return ask


def opened(path: str) -> int:
    """A descriptor for the controls of a device. Others may have it open, too. Raises DeviceError."""
    try:
        return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise DeviceError(f"the controls of {path} cannot be opened: {error.strerror}") from error


def _listed(ask: Ask) -> dict[str, int]:
    """The numbers of the controls by their names. A driver that lists none has none."""
    found: dict[str, int] = {}
    number = 0
    for _ in range(_MOST):
        try:
            told = _QUERY.unpack(ask(_VIDIOC_QUERYCTRL, _QUERY.pack(number | _NEXT, 0, b"", 0, 0, 0, 0, 0)))
        except OSError:  # there is no next one
            break
        number, kind, name, flags = told[0], told[1], told[2], told[7]
        if kind in _WITH_A_NUMBER and not flags & _DISABLED:
            found[_plain(name)] = number
    return found


def _plain(name: bytes) -> str:
    words = re.sub(r"[^a-z0-9]+", "_", name.partition(b"\0")[0].decode("ascii", "replace").lower())
    return words.strip("_")
