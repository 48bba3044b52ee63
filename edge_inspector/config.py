"""The station file: everything that a station is made of, checked before anything starts."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pydantic import ValidationError

from edge_inspector.drivers import DriverSettings, Segmenter, driver_names, load_driver
from edge_inspector.errors import ConfigError, Fault
from edge_inspector.inspection.recipe import ClassLimits, Criteria, Recipe, faults_of, read_recipe, read_toml
from edge_inspector.station_file import CameraTable, PlcTable, SegmenterTable, ShadowTable, StationFile, WebTable


@dataclass(frozen=True, slots=True)
class ShadowModel:
    """The second model, and by the recipe's id its limits: the recipe's for the classes that it knows, else its own."""

    segmenter: Segmenter
    recipes: dict[int, Criteria]


@dataclass(frozen=True, slots=True)
class Station:
    """A checked configuration: nothing in it can still be wrong on paper.

    `recipe` and `limits` are what the station starts with; `recipes` has these and the selectable ones by their id.
    """

    file: StationFile
    recipe: Recipe
    limits: dict[str, ClassLimits]
    recipes: dict[int, Criteria]
    segmenter: Segmenter
    state_dir: Path
    camera_settings: tuple[DriverSettings, ...]
    encoder_settings: DriverSettings
    plc_settings: tuple[DriverSettings, ...]
    shadow: ShadowModel | None = None


def load_station(path: Path) -> Station:
    """The station described in `path`. Raises ConfigError with every fault found in station, recipe and model."""
    raw = read_toml(path)
    faults: list[Fault] = []
    base = path.parent
    try:
        file = StationFile.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(faults_of(error, "") + _faults_below(base, raw)) from error
    file = file.model_copy(update={"web": _web(base, file.web, faults)})
    cameras = [_settings(base, "cameras", f"cameras.{at}", table, faults) for at, table in enumerate(file.cameras)]
    encoder = _settings(base, "encoders", "encoder", file.encoder, faults)
    plcs = [_settings(base, "plcs", f"plcs.{at}", table, faults) for at, table in enumerate(file.plcs)]
    faults += _names_twice("cameras", file.cameras) + _names_twice("plcs", file.plcs) + _devices_twice(file, cameras)
    if file.plcs[0].driver == "mqtt":
        faults.append(Fault("plcs.0.driver", "the first link must be a PLC: parts are announced by its trigger ring"))
    faults += _links_twice(file)
    recipe = _recipe(base / file.station.recipe, faults)
    model = base / file.station.models_dir / recipe.model if recipe is not None else None
    segmenter = _segmenter(base, "segmenter", file.segmenter, model, faults)
    limits: dict[str, ClassLimits] = {}
    if recipe is not None:
        faults += _line_faults(file, recipe)
        if segmenter is not None:
            limits = _limits(file, file.station.recipe, recipe, segmenter, faults)
    recipes = _recipes(base, file, recipe, limits, segmenter, faults)
    shadow = _shadow(base, file, recipes, faults)
    if faults or recipe is None or segmenter is None:
        raise ConfigError(faults)
    return Station(
        file,
        recipe,
        limits,
        recipes,
        segmenter,
        base / file.station.state_dir,
        tuple(cameras),
        encoder,
        tuple(plcs),
        shadow,
    )


def read_state_dir(path: Path) -> Path:
    """Where the station described in `path` keeps its state; `path` itself if it is that folder.

    The station's drivers and model need not be there. Raises ConfigError.
    """
    if path.is_dir():
        return path
    try:
        file = StationFile.model_validate(read_toml(path))
    except ValidationError as error:
        raise ConfigError(faults_of(error, "")) from error
    return path.parent / file.station.state_dir


def users_path(path: Path) -> Path:
    """Where the station in `path` keeps the users of its page. Raises ConfigError when its [web] table is wrong."""
    try:
        web = WebTable.model_validate(read_toml(path).get("web", {}))
    except ValidationError as error:
        raise ConfigError(faults_of(error, "web")) from error
    return path.parent / web.users


def load_cameras(path: Path) -> dict[str, tuple[str, DriverSettings]]:
    """Driver and settings of each camera of the station in `path`, by name. Raises ConfigError; needs no model."""
    faults: list[Fault] = []
    try:
        file = StationFile.model_validate(read_toml(path))
    except ValidationError as error:
        raise ConfigError(faults_of(error, "")) from error
    found = {
        table.name: (table.driver, _settings(path.parent, "cameras", f"cameras.{at}", table, faults))
        for at, table in enumerate(file.cameras)
    }
    if faults:
        raise ConfigError(faults)
    return found


def _links_twice(file: StationFile) -> list[Fault]:
    """One PLC announces the parts, and one outbox knows which broker has had what."""
    kinds = [{"modbus": "PLC", "mqtt": "broker", "s7": "PLC"}.get(link.driver) for link in file.plcs]
    return [
        Fault(f"plcs.{at}.driver", f"a second {kind}: at most one PLC and one broker")
        for at, kind in enumerate(kinds)
        if kind and kind in kinds[:at]
    ]


def _faults_below(base: Path, raw: dict[str, Any]) -> list[Fault]:
    """What else is wrong, in drivers' settings and recipe, when the station file itself is not in order."""
    faults: list[Fault] = []
    tables = [("encoders", "encoder", raw.get("encoder"))]
    for family in ("cameras", "plcs"):
        listed = raw.get(family)
        tables += [
            (family, f"{family}.{at}", table) for at, table in enumerate(listed if isinstance(listed, list) else [])
        ]
    for family, where, table in tables:
        if isinstance(table, dict) and isinstance(table.get("driver"), str):
            _settings(
                base, family, where, SimpleNamespace(driver=table["driver"], settings=table.get("settings", {})), faults
            )
    station = raw.get("station")
    if isinstance(station, dict):
        listed = station.get("recipes")
        for path in (station.get("recipe"), *(listed if isinstance(listed, list) else ())):
            if isinstance(path, str):
                _recipe(base / path, faults)
    return faults


def _settings(base: Path, family: str, where: str, table: Any, faults: list[Fault]) -> Any:
    try:
        driver = load_driver(family, table.driver)
        settings: DriverSettings = driver.Settings.model_validate(table.settings)
        # Paths in a station file are relative to the file, whoever reads them.
        paths = {key: base / value for key, value in settings if isinstance(value, Path)}
        return settings.model_copy(update=paths)
    except KeyError:
        faults.append(
            Fault(f"{where}.driver", f"unknown driver {table.driver!r}; there are: {', '.join(driver_names(family))}")
        )
    except ImportError as error:
        faults.append(
            Fault(f"{where}.driver", f"driver {table.driver!r} needs a package that is not installed: {error}")
        )
    except ValidationError as error:
        faults += [Fault(f"{where}.settings.{fault.where}".rstrip("."), fault.what) for fault in faults_of(error, "")]
    return DriverSettings()


def _web(base: Path, web: WebTable, faults: list[Fault]) -> WebTable:
    """With paths made whole. What goes over a network is encrypted, or someone has said that it need not be."""
    pair = {"certificate": web.certificate, "private_key": web.private_key}
    paths = {key: base / path for key, path in pair.items() if path is not None}
    if len(paths) == 1:
        faults.append(Fault("web.private_key", "certificate and private_key belong together: give both or none"))
    missing = [Fault(f"web.{key}", f"{path} is not a file") for key, path in paths.items() if not path.is_file()]
    faults += missing
    if len(paths) == 2 and not missing:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(paths["certificate"], paths["private_key"])
        except (ssl.SSLError, OSError) as error:
            faults.append(Fault("web.certificate", f"cannot be used with web.private_key: {error}"))
    if not _is_loopback(web.host) and not paths and not web.allow_plain:
        faults.append(
            Fault(
                "web.host",
                f"{web.host} is open to the network: give web.certificate and web.private_key, or say "
                "web.allow_plain = true where a reverse proxy or the network itself protects the page",
            )
        )
    return web.model_copy(update={**paths, "users": base / web.users})


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _names_twice(family: str, tables: Sequence[CameraTable | PlcTable]) -> list[Fault]:
    seen: set[str] = set()
    faults = []
    for at, table in enumerate(tables):
        if table.name in seen:
            faults.append(Fault(f"{family}.{at}.name", f"{table.name!r} is used twice"))
        seen.add(table.name)
    return faults


def _devices_twice(file: StationFile, settings: list[DriverSettings]) -> list[Fault]:
    holders: dict[str, str] = {}
    faults = []
    for at, (table, chosen) in enumerate(zip(file.cameras, settings, strict=True)):
        if chosen.device is None:
            continue
        if chosen.device in holders:
            faults.append(
                Fault(f"cameras.{at}.settings", f"{chosen.device} is already used by camera {holders[chosen.device]!r}")
            )
        holders[chosen.device] = table.name
    return faults


def _recipe(path: Path, faults: list[Fault]) -> Recipe | None:
    try:
        return read_recipe(path)
    except ConfigError as error:
        faults += error.faults
        return None


def _segmenter(
    base: Path, where: str, table: SegmenterTable | ShadowTable, model: Path | None, faults: list[Fault]
) -> Segmenter | None:
    settings = _settings(base, "segmenters", where, table, faults)
    if model is None or type(settings) is DriverSettings:
        return None
    try:
        driver = load_driver("segmenters", table.driver)
        segmenter: Segmenter = driver(model, settings)
    except ConfigError as error:
        faults += error.faults
        return None
    return segmenter


def _shadow(base: Path, file: StationFile, recipes: dict[int, Criteria], faults: list[Fault]) -> ShadowModel | None:
    if file.shadow is None:
        return None
    model = base / file.station.models_dir / file.shadow.model
    segmenter = _segmenter(base, "shadow", file.shadow, model, faults)
    if segmenter is None:
        return None
    suggested, known = _suggested(file, segmenter), segmenter.info.classes
    seen = {
        number: {name: limit for name, limit in criteria.recipe.classes.items() if name in known}
        for number, criteria in recipes.items()
    }
    return ShadowModel(segmenter, {each: Criteria(recipes[each].recipe, suggested | seen[each]) for each in recipes})


def _line_faults(file: StationFile, recipe: Recipe) -> list[Fault]:
    line, names = file.line, {camera.name for camera in file.cameras}
    reserve_mm = line.reserve_ms / 1000 * line.speed_max_mm_s
    faults = [
        Fault(f"{file.station.recipe}: views", f"no camera is called {view!r}; there are: {', '.join(sorted(names))}")
        for view in recipe.views
        if view not in names
    ]
    if not line.gate_mm * line.counts_per_mm < 2**31:
        faults.append(Fault("line.gate_mm", "the way to the gate is more than an encoder of 32 bits can count"))
    faults += [
        Fault(
            f"cameras.{at}.offset_mm",
            f"{camera.name!r} at {_seen_mm(camera, recipe):g} mm is not before the decision line at "
            f"{line.gate_mm - reserve_mm:g} mm (line.gate_mm less line.reserve_ms at line.speed_max_mm_s)",
        )
        for at, camera in enumerate(file.cameras)
        if _seen_mm(camera, recipe) >= line.gate_mm - reserve_mm
    ]
    faults += [
        Fault(f"cameras.{at}.name", f"{camera.name!r} is not in the recipe's views: nothing would look at its frames")
        for at, camera in enumerate(file.cameras)
        if camera.name not in recipe.views
    ]
    return faults


def _seen_mm(camera: CameraTable, recipe: Recipe) -> float:
    """Where the part is when the camera has its picture: a line-scan camera waits for the part's end."""
    return camera.offset_mm + (0.0 if camera.line_counts is None else recipe.part_length_mm)


def _recipes(
    base: Path,
    file: StationFile,
    first: Recipe | None,
    limits: dict[str, ClassLimits],
    segmenter: Segmenter | None,
    faults: list[Fault],
) -> dict[int, Criteria]:
    """Every recipe that may judge, by its id. They share cameras and model: both run on while recipes change."""
    found: dict[int, Criteria] = {}
    if first is not None:
        found[first.id] = Criteria(first, limits)
    for path in file.station.recipes:
        recipe = _recipe(base / path, faults)
        if recipe is None or first is None:
            continue
        faults += _beside(path, first, recipe)
        if recipe.id in found:
            faults.append(Fault(f"{path}: id", f"{recipe.id} is already the id of {found[recipe.id].recipe.name!r}"))
        if segmenter is not None:
            found.setdefault(recipe.id, Criteria(recipe, _limits(file, path, recipe, segmenter, faults)))
    return found


def _beside(path: Path, first: Recipe, recipe: Recipe) -> list[Fault]:
    faults = []
    if set(recipe.views) != set(first.views):
        views = ", ".join(sorted(first.views))
        faults.append(Fault(f"{path}: views", f"must be those of station.recipe, in any order: {views}"))
    if recipe.model != first.model:
        faults.append(
            Fault(f"{path}: model", f"must be that of station.recipe, {first.model!r}: another model needs a restart")
        )
    return faults


def _limits(
    file: StationFile, path: Path, recipe: Recipe, segmenter: Segmenter, faults: list[Fault]
) -> dict[str, ClassLimits]:
    """The recipe's limits, the model's own where the recipe has none for a class."""
    model = segmenter.info
    faults += [
        Fault(f"{path}: classes.{name}", f"the model knows only: {', '.join(model.classes)}")
        for name in recipe.classes
        if name not in model.classes
    ]
    limits = _suggested(file, segmenter) | recipe.classes
    faults += [
        Fault(f"{path}: classes.{name}", "is missing, and the model suggests no limits for it")
        for name in model.classes
        if name not in limits
    ]
    return limits


def _suggested(file: StationFile, segmenter: Segmenter) -> dict[str, ClassLimits]:
    scale = min(camera.mm_per_px * file.mm_per_row(camera) for camera in file.cameras)
    return {
        name: ClassLimits(min_confidence=confidence, min_area_mm2=area_px * scale)
        for name, (confidence, area_px) in segmenter.info.limits.items()
    }
