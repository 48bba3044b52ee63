"""Exposure and gain that an admin changed on the page.

They lie in the state folder, because the station file is root's. A change counts as long as the station file has the
values that it was made from. Somebody who edits the file wins.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edge_inspector.drivers import DriverSettings
from edge_inspector.errors import DeviceError, Fault
from edge_inspector.station.tables import CameraTable, StationFile
from edge_inspector.store.whole_file import read_object, replace_file

log = logging.getLogger(__name__)

_NAMES = ("exposure_us", "gain")
_FILE = "camera-adjustments.json"
_LARGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class Adjustment:
    """Exposure and gain of a camera, by the names of its settings, who chose them when, and why."""

    values: Mapping[str, float]
    who: str
    why: str
    utc: str


def limits_of(camera: CameraTable) -> dict[str, tuple[float, float]]:
    """What may be changed at this camera, and the lowest and highest value."""
    found = {name: getattr(camera, f"{name}_limits") for name in _NAMES}
    return {name: limits for name, limits in found.items() if limits is not None}


def values_of(settings: DriverSettings) -> dict[str, float]:
    """Exposure and gain, as far as these settings have them."""
    found = {name: getattr(settings, name, None) for name in _NAMES}
    return {name: value for name, value in found.items() if value is not None}


def with_values(camera: CameraTable, settings: DriverSettings, values: Any) -> DriverSettings:
    """The camera's settings with other values, within its limits. Raises ValueError, which says what is wrong."""
    limits = limits_of(camera)
    if not isinstance(values, Mapping) or not values or values.keys() - limits.keys():
        raise ValueError(f"only these can be changed: {', '.join(limits) or 'nothing'}")
    for name, value in values.items():
        low, high = limits[name]
        if type(value) not in (int, float) or not low <= value <= high:
            raise ValueError(f"{name}: must be between {low:g} and {high:g}")
    whole = {name: int(value) if float(value).is_integer() else value for name, value in values.items()}
    try:
        return type(settings).model_validate(settings.model_dump() | whole)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def adjustment_faults(file: StationFile, settings: Sequence[DriverSettings | None]) -> Iterator[Fault]:
    """Limits that this driver cannot keep, or that the station file itself does not keep."""
    for at, (camera, chosen) in enumerate(zip(file.cameras, settings, strict=True)):
        for name, (low, high) in limits_of(camera).items():
            where = f"cameras.{at}.{name}_limits"
            value = None if chosen is None else values_of(chosen).get(name)
            if low > high:
                yield Fault(where, "the first value is the lowest and must not be above the second")
            elif chosen is not None and name not in chosen.adjustable:
                yield Fault(where, f"the driver {camera.driver} cannot change it while it runs: leave it out")
            elif chosen is not None and value is None:
                yield Fault(where, f"set cameras.{at}.settings.{name} too: it is the value to begin with")
            elif value is not None and not low <= value <= high:
                yield Fault(where, f"settings.{name} is {value:g}: it must be within these limits")


def remembered(
    state_dir: Path, cameras: Sequence[CameraTable], settings: Sequence[DriverSettings]
) -> dict[str, Adjustment]:
    """What was changed at each camera and still counts."""
    kept, found = read_object(state_dir / _FILE, _LARGEST), dict[str, Adjustment]()
    for camera, chosen in zip(cameras, settings, strict=True):
        try:
            entry = kept[camera.name]
            adjustment = Adjustment(**entry["adjustment"])
            with_values(camera, chosen, adjustment.values)
        except KeyError:
            continue
        except (TypeError, ValueError) as error:
            log.warning("camera %s: its change on the page is void: %s", camera.name, error)
            continue
        if entry.get("base") == values_of(chosen):
            found[camera.name] = adjustment
        else:
            log.warning(
                "camera %s: its settings were edited after its change on the page: the file counts", camera.name
            )
    return found


def remember(state_dir: Path, camera: str, base: Mapping[str, float], adjustment: Adjustment | None) -> None:
    """Keep the change across restarts, while the station file has the values `base`. None: forget it.

    Raises DeviceError.
    """
    path = state_dir / _FILE
    kept = read_object(path, _LARGEST)
    kept.pop(camera, None)
    if adjustment is not None:
        kept[camera] = {"base": dict(base), "adjustment": asdict(adjustment)}
    try:
        replace_file(path, json.dumps(kept))
    except OSError as error:
        raise DeviceError(f"{path}: the change cannot be kept: {error.strerror}") from error
