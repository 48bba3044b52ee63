"""Sets GenICam features one after the other, and checks that the camera accepted them."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from edge_inspector.errors import DeviceError

log = logging.getLogger(__name__)

Value = bool | int | float | str

_TEMPERATURE: Final = ("DeviceTemperature", "TemperatureAbs")
_TEMPERATURE_EVERY_NS: Final = 10_000_000_000  # it changes slowly
# Cameras round times and gains to their own steps.
_CLOSE_ENOUGH = 0.02


class Features(Protocol):
    """A camera's features by name. Every method may raise DeviceError."""

    def has(self, feature: str) -> bool:
        """Whether the camera offers the feature now."""

    def read(self, feature: str) -> Value:
        """The value of a feature in its own type."""

    def write(self, feature: str, value: Value) -> bool:
        """Set a feature, or execute it if it is a command. False for a command, because it cannot be read back."""


@dataclass(frozen=True, slots=True)
class Step:
    """One feature and its value. Different makers use different `names`, and the first existing one is set."""

    names: str | tuple[str, ...]
    value: Value
    optional: bool = False


def apply(device: Features, steps: Iterable[Step]) -> None:
    """Set all of them in order. Raises DeviceError at the first one that the camera lacks or does not accept."""
    for step in steps:
        names = (step.names,) if isinstance(step.names, str) else step.names
        feature = first_of(device, names)
        if feature is None and step.optional:
            continue
        if feature is None:
            raise DeviceError(f"{names[0]} = {_shown(step.value)} was refused: the camera has no such feature")
        _set(device, feature, step.value)


def first_of(device: Features, names: Iterable[str]) -> str | None:
    """The first of the names that the camera offers."""
    return next((name for name in names if device.has(name)), None)


class Thermometer:
    """A camera's temperature, read now and then. `celsius` is None if the camera does not report it."""

    def __init__(self, device: Features) -> None:
        self.celsius: float | None = None
        self._device = device
        self._feature = first_of(device, _TEMPERATURE)
        self._looked_ns = -_TEMPERATURE_EVERY_NS

    def look(self, now_ns: int) -> None:
        """Read the temperature if it is time.

        Call it right after a frame, because a dead camera would block any request for seconds.
        """
        if self._feature is None or now_ns - self._looked_ns < _TEMPERATURE_EVERY_NS:
            return
        self._looked_ns = now_ns
        try:
            self.celsius = float(self._device.read(self._feature))
        except DeviceError as error:
            log.info("the camera's temperature cannot be read: %s", error)
            self._feature = None


def _set(device: Features, feature: str, value: Value) -> None:
    try:
        if not device.write(feature, value):
            return
    except DeviceError as error:
        # A value that cannot be changed may already be right.
        with contextlib.suppress(DeviceError):
            if _same(value, device.read(feature)):
                return
        raise DeviceError(f"{feature} = {_shown(value)} was refused: {error}") from error
    found = device.read(feature)
    if not _same(value, found):
        raise DeviceError(f"{feature} = {_shown(value)} was refused: the camera has {_shown(found)}")


def _same(wanted: Value, found: Value) -> bool:
    if isinstance(found, float) and not isinstance(wanted, str):
        return abs(found - wanted) <= _CLOSE_ENOUGH * abs(wanted) + 1e-6
    return wanted == found


def _shown(value: Value) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
