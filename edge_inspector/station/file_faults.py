"""Faults of a station file in which not even the tables are right. What can be read in it is checked all the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_inspector.drivers import load_driver
from edge_inspector.errors import ConfigError, Fault
from edge_inspector.settings import checked
from edge_inspector.station.line_faults import view_faults
from edge_inspector.station.reader import StationReader
from edge_inspector.station.tables import SegmenterTable, StationFile


def read_tables(raw: dict[str, Any]) -> StationFile:
    """The tables of a station file. Raises ConfigError.

    If a driver's setting is outside the `settings` table, the message says where it belongs.
    """
    try:
        return checked(StationFile, raw)
    except ConfigError as error:
        raise ConfigError(_with_places(error.faults, raw)) from error


def _with_places(faults: Iterable[Fault], raw: dict[str, Any]) -> Iterator[Fault]:
    places = {where: (family, table) for family, where, table in _driver_tables(raw)}
    for fault in faults:
        where, _, key = fault.where.rpartition(".")
        if where in places and fault.what.startswith("unknown key") and key in _setting_names(*places[where]):
            what = f"belongs to the driver's settings: write settings = {{ {key} = ... }}"
            yield replace(fault, what=what)
        else:
            yield fault


def faults_below(base: Path, raw: dict[str, Any]) -> list[Fault]:
    """More faults, in drivers' settings, recipes and model, if the station file itself is wrong."""
    reader = StationReader(base)
    default = SegmenterTable().driver
    for family, where, table in _driver_tables(raw):
        driver = table.get("driver", default if family == "segmenters" else None)
        settings = table.get("settings", {})
        if isinstance(driver, str) and isinstance(settings, dict):
            reader.settings(family, where, driver, settings)
    station, names = raw.get("station"), _camera_names(raw)
    if isinstance(station, dict):
        paths = [path for path in (station.get("recipe"), *_listed(station.get("recipes"))) if isinstance(path, str)]
        read = [(Path(path), reader.recipe(path)) for path in paths]
        if names:
            readable = [(path, each) for path, each in read if each is not None]
            reader.note(view_faults(readable, names, whole=0 < len(readable) == len(read)))
    return reader.faults


def with_names(faults: Iterable[Fault], raw: dict[str, Any]) -> Iterator[Fault]:
    """The faults of cameras and links, each with the name of its camera or link if it has one."""
    for fault in faults:
        family, _, rest = fault.where.partition(".")
        at, tables = rest.partition(".")[0], _listed(raw.get(family))
        if family in ("cameras", "plcs") and at.isdecimal() and int(at) < len(tables):
            table = tables[int(at)]
            whose = table.get("name") if isinstance(table, dict) else None
            yield replace(fault, whose=whose if isinstance(whose, str) else "")
        else:
            yield fault


def _driver_tables(raw: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every table that names a driver: its family, its key path and its content."""
    tables = [("encoders", "encoder", raw.get("encoder")), ("segmenters", "segmenter", raw.get("segmenter", {}))]
    tables.append(("segmenters", "shadow", raw.get("shadow")))
    for family in ("cameras", "plcs"):
        tables += [(family, f"{family}.{at}", table) for at, table in enumerate(_listed(raw.get(family)))]
    for family, where, table in tables:
        if isinstance(table, dict):
            yield family, where, table


def _setting_names(family: str, table: dict[str, Any]) -> Iterable[str]:
    try:
        return set(load_driver(family, table["driver"]).Settings.model_fields)
    except (KeyError, ImportError):
        return set()


def _camera_names(raw: dict[str, Any]) -> list[str]:
    """The cameras' names. Empty if one of the names is itself wrong."""
    names = [table.get("name") if isinstance(table, dict) else None for table in _listed(raw.get("cameras"))]
    found = [name for name in names if isinstance(name, str)]
    return found if len(found) == len(names) else []


def _listed(found: object) -> list[Any]:
    return found if isinstance(found, list) else []
