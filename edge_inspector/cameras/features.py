"""Setting GenICam features one after the other, and making sure that the camera took them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edge_inspector.cameras.aravis import Device, Value
from edge_inspector.errors import DeviceError

# Cameras keep times and gains in steps of their own.
_CLOSE_ENOUGH = 0.02


@dataclass(frozen=True, slots=True)
class Step:
    """One feature and its value. Several `names` are what different makes call it; the first that exists is set."""

    names: str | tuple[str, ...]
    value: Value
    optional: bool = False


def apply(device: Device, steps: Iterable[Step]) -> None:
    """Set all of them in order. Raises DeviceError at the first that the camera does not have or did not take."""
    for step in steps:
        names = (step.names,) if isinstance(step.names, str) else step.names
        feature = next((name for name in names if device.has(name)), None)
        if feature is None and step.optional:
            continue
        if feature is None:
            raise DeviceError(f"{names[0]} = {_shown(step.value)} was refused: the camera has no such feature")
        _set(device, feature, step.value)


def _set(device: Device, feature: str, value: Value) -> None:
    try:
        if not device.write(feature, value):
            return
    except DeviceError as error:
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
