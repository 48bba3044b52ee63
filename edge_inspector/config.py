"""The station file: the whole configuration of a station, checked before anything starts."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pydantic import ValidationError

from edge_inspector.driver_table import OTHER_WORDS
from edge_inspector.drivers import DriverSettings, PeerKind, Segmenter, driver_names, load_driver
from edge_inspector.errors import ConfigError, Fault
from edge_inspector.host_name import is_loopback
from edge_inspector.inspection.basis import Basis
from edge_inspector.inspection.recipe import ClassLimits, Criteria, Recipe, read_recipe
from edge_inspector.line_faults import line_faults, recipe_faults, view_faults
from edge_inspector.station_file import CameraTable, PlcTable, SegmenterTable, ShadowTable, StationFile, WebTable
from edge_inspector.toml_file import read_toml
from edge_inspector.wording import did_you_mean, faults_of


@dataclass(frozen=True, slots=True)
class ShadowModel:
    """The second model, and its limits by recipe id.

    For a class that the recipe names, the recipe's limits apply. For any other class the model's own apply.
    """

    segmenter: Segmenter
    recipes: dict[int, Criteria]


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """A checked configuration: no fault is left that can be found without the hardware.

    `recipe` and `limits` are in force at the start. `recipes` has this recipe and all selectable ones, by id.
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

    def basis(self) -> Basis:
        """The basis of this station's verdicts: recipes, limits and model."""
        scales = {camera.name: (camera.mm_per_px, self.file.mm_per_row(camera)) for camera in self.file.cameras}
        return Basis(self.recipes, lambda: self.segmenter.info, scales)


def load_station(path: Path) -> Station:
    """The station described in `path`.

    Raises ConfigError with every fault found in the station file, the recipes and the model.
    """
    raw = read_toml(path)
    try:
        return _station(path.parent, raw)
    except ConfigError as error:
        raise ConfigError(_with_names(error.faults, raw)) from error.__cause__


def _station(base: Path, raw: dict[str, Any]) -> Station:
    faults: list[Fault] = []
    try:
        file = StationFile.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(_faults_of_file(error, raw) + _faults_below(base, raw)) from error
    file = file.model_copy(update={"web": _web(base, file.web, faults)})
    cameras = [
        _settings(base, family="cameras", where=f"cameras.{at}", table=table, faults=faults)
        for at, table in enumerate(file.cameras)
    ]
    encoder = _settings(base, family="encoders", where="encoder", table=file.encoder, faults=faults)
    plcs = [
        _settings(base, family="plcs", where=f"plcs.{at}", table=table, faults=faults)
        for at, table in enumerate(file.plcs)
    ]
    faults += _names_twice("cameras", file.cameras) + _names_twice("plcs", file.plcs) + _devices_twice(file, cameras)
    if _peer_kind(file.plcs[0]) is PeerKind.BROKER:
        faults.append(
            Fault(
                "plcs.0.driver",
                "the first link must be a PLC: parts are announced by its trigger ring; "
                "write its [[plcs]] table before the broker's",
            )
        )
    faults += _links_twice(file)
    recipe = _recipe(base / file.station.recipe, faults)
    model = base / file.station.models_dir / recipe.model if recipe is not None else None
    sha256 = recipe.model_sha256 if recipe is not None else None
    segmenter = _segmenter(base, "segmenter", file.segmenter, model=model, faults=faults, sha256=sha256)
    limits: dict[str, ClassLimits] = {}
    if recipe is not None:
        faults += line_faults(file, recipe) + recipe_faults(file, cameras, file.station.recipe, recipe)
        if segmenter is not None:
            limits = _limits(file, file.station.recipe, recipe, segmenter=segmenter, faults=faults)
    recipes = _recipes(base, file, cameras=cameras, first=recipe, limits=limits, segmenter=segmenter, faults=faults)
    shadow = _shadow(base, file, recipes, faults)
    if faults or recipe is None or segmenter is None:
        raise ConfigError(faults)
    return Station(
        file=file,
        recipe=recipe,
        limits=limits,
        recipes=recipes,
        segmenter=segmenter,
        state_dir=base / file.station.state_dir,
        camera_settings=tuple(cameras),
        encoder_settings=encoder,
        plc_settings=tuple(plcs),
        shadow=shadow,
    )


def read_state_dir(path: Path) -> Path:
    """The state folder of the station described in `path`, or `path` itself if it is that folder.

    The station's drivers and model may be missing. Raises ConfigError.
    """
    if path.is_dir():
        return path
    return path.parent / _read_file(read_toml(path)).station.state_dir


def read_places(path: Path) -> tuple[StationFile, Path, WebTable]:
    """The station file in `path`, its state folder and the settings of its page, both with absolute paths.

    This does not check the drivers' settings, the recipes and the model. Raises ConfigError.
    """
    file = _read_file(read_toml(path))
    return file, path.parent / file.station.state_dir, _web(path.parent, file.web, [])


def _read_file(raw: dict[str, Any]) -> StationFile:
    try:
        return StationFile.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(_with_names(_faults_of_file(error, raw), raw)) from error


def users_path(path: Path) -> Path:
    """The file with the users of the page of the station in `path`. Raises ConfigError for a wrong [web] table."""
    try:
        web = WebTable.model_validate(read_toml(path).get("web", {}))
    except ValidationError as error:
        raise ConfigError(faults_of(error, "web", WebTable)) from error
    return path.parent / web.users


def load_cameras(path: Path) -> dict[str, tuple[str, DriverSettings]]:
    """Driver and settings of each camera of the station in `path`, by name. No model is needed. Raises ConfigError."""
    faults: list[Fault] = []
    raw = read_toml(path)
    found = {
        table.name: (
            table.driver,
            _settings(path.parent, family="cameras", where=f"cameras.{at}", table=table, faults=faults),
        )
        for at, table in enumerate(_read_file(raw).cameras)
    }
    if faults:
        raise ConfigError(_with_names(faults, raw))
    return found


def _links_twice(file: StationFile) -> list[Fault]:
    """Only one PLC may announce parts, and one outbox can track the deliveries to one broker only."""
    kinds = [_peer_kind(link) for link in file.plcs]
    return [
        Fault(f"plcs.{at}.driver", f"a second {kind}: at most one PLC and one broker")
        for at, kind in enumerate(kinds)
        if kind and kind in kinds[:at]
    ]


def _peer_kind(link: PlcTable) -> PeerKind | None:
    try:
        kind: PeerKind | None = load_driver("plcs", link.driver).Settings.peer_kind
    except (KeyError, ImportError):
        return None
    return kind


def _with_names(faults: Iterable[Fault], raw: dict[str, Any]) -> list[Fault]:
    """The faults of cameras and links, each with the name of its camera or link if it has one."""
    named = []
    for fault in faults:
        family, _, rest = fault.where.partition(".")
        at, listed = rest.partition(".")[0], raw.get(family)
        if family in ("cameras", "plcs") and at.isdecimal() and isinstance(listed, list) and int(at) < len(listed):
            table = listed[int(at)]
            whose = table.get("name") if isinstance(table, dict) else None
            named.append(replace(fault, whose=whose if isinstance(whose, str) else ""))
        else:
            named.append(fault)
    return named


def _faults_of_file(error: ValidationError, raw: dict[str, Any]) -> list[Fault]:
    """The faults of the station file's own keys.

    If a driver's setting is outside the `settings` table, the message says where it belongs.
    """
    faults = faults_of(error, "", StationFile)
    places = {where: (family, table) for family, where, table in _driver_tables(raw)}
    for at, fault in enumerate(faults):
        where, _, key = fault.where.rpartition(".")
        if where in places and fault.what.startswith("unknown key") and key in _setting_names(*places[where]):
            faults[at] = replace(fault, what=f"belongs to the driver's settings: write settings = {{ {key} = ... }}")
    return faults


def _driver_tables(raw: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Every table that names a driver: its family, its key path and its content."""
    tables = [("encoders", "encoder", raw.get("encoder")), ("segmenters", "segmenter", raw.get("segmenter", {}))]
    tables.append(("segmenters", "shadow", raw.get("shadow")))
    for family in ("cameras", "plcs"):
        listed = raw.get(family)
        tables += [
            (family, f"{family}.{at}", table) for at, table in enumerate(listed if isinstance(listed, list) else [])
        ]
    return [(family, where, table) for family, where, table in tables if isinstance(table, dict)]


def _setting_names(family: str, table: dict[str, Any]) -> Iterable[str]:
    try:
        return set(load_driver(family, table["driver"]).Settings.model_fields)
    except (KeyError, ImportError):
        return set()


def _faults_below(base: Path, raw: dict[str, Any]) -> list[Fault]:
    """More faults, in drivers' settings, recipes and model, if the station file itself is wrong."""
    faults: list[Fault] = []
    default = SegmenterTable().driver
    for family, where, table in _driver_tables(raw):
        driver = table.get("driver", default if family == "segmenters" else None)
        settings = table.get("settings", {})
        if isinstance(driver, str) and isinstance(settings, dict):
            _settings(
                base, family=family, where=where, table=SimpleNamespace(driver=driver, settings=settings), faults=faults
            )
    station = raw.get("station")
    if isinstance(station, dict):
        listed = station.get("recipes")
        for path in (station.get("recipe"), *(listed if isinstance(listed, list) else ())):
            if isinstance(path, str):
                _recipe_below(base, path, raw, faults)
    return faults


def _recipe_below(base: Path, path: str, raw: dict[str, Any], faults: list[Fault]) -> None:
    recipe = _recipe(base / path, faults)
    names = _camera_names(raw)
    if recipe is not None and names and path == raw["station"].get("recipe"):
        faults += view_faults(Path(path), recipe, names)


def _camera_names(raw: dict[str, Any]) -> list[str]:
    """The cameras' names. Empty if one of the names is itself wrong."""
    listed = raw.get("cameras")
    tables = listed if isinstance(listed, list) else []
    names = [table.get("name") if isinstance(table, dict) else None for table in tables]
    return [name for name in names if isinstance(name, str)] if all(isinstance(name, str) for name in names) else []


def _settings(base: Path, *, family: str, where: str, table: Any, faults: list[Fault]) -> Any:
    try:
        driver = load_driver(family, table.driver)
        settings: DriverSettings = driver.Settings.model_validate(table.settings)
        # Paths in a station file are relative to the file, for every setting that has a path.
        paths = {key: base / value for key, value in settings if isinstance(value, Path)}
        return settings.model_copy(update=paths)
    except KeyError:
        there_are = f"unknown driver {table.driver!r}; there are: {', '.join(driver_names(family))}"
        faults.append(Fault(f"{where}.driver", there_are + _driver_hint(family, table.driver)))
    except ImportError as error:
        faults.append(
            Fault(f"{where}.driver", f"driver {table.driver!r} needs a package that is not installed: {error}")
        )
    except ValidationError as error:
        faults += [
            Fault(".".join(filter(None, [where, "settings", fault.where])), fault.what)
            for fault in faults_of(error, "", driver.Settings)
        ]
    return DriverSettings()


def _driver_hint(family: str, name: str) -> str:
    hint = OTHER_WORDS.get(family, {}).get(name.lower().replace("_", "-"))
    if hint:
        return f"; {hint}"
    return did_you_mean(name, driver_names(family))


def _web(base: Path, web: WebTable, faults: list[Fault]) -> WebTable:
    """The page's settings with absolute paths.

    Traffic over a network must be encrypted, unless the settings explicitly allow plain traffic.
    """
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
    if not is_loopback(web.host) and not paths and not web.allow_plain:
        faults.append(
            Fault(
                "web.host",
                f"{web.host} is open to the network: give web.certificate and web.private_key, or say "
                "web.allow_plain = true where a reverse proxy or the network itself protects the page",
            )
        )
    return web.model_copy(update={**paths, "users": base / web.users})


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
    base: Path,
    where: str,
    table: SegmenterTable | ShadowTable,
    *,
    model: Path | None,
    faults: list[Fault],
    sha256: str | None = None,
) -> Segmenter | None:
    settings = _settings(base, family="segmenters", where=where, table=table, faults=faults)
    if model is None or type(settings) is DriverSettings:
        return None
    if sha256 is not None and "model_sha256" not in type(settings).model_fields:
        faults.append(Fault(f"{where}.driver", f"{table.driver!r} cannot check the recipe's model_sha256"))
        return None
    try:
        driver = load_driver("segmenters", table.driver)
        demanded = {"model_sha256": sha256} if sha256 is not None else {}
        segmenter: Segmenter = driver(model, settings.model_copy(update=demanded))
    except ConfigError as error:
        late = not any(model.parent.glob("*"))  # missing or empty: the disk is not mounted yet
        faults += [replace(fault, may_come=late) for fault in error.faults]
        return None
    faults += _another_name(model, segmenter)
    return segmenter


def _another_name(model: Path, segmenter: Segmenter) -> list[Fault]:
    """The model's own name must be the name of its folder. Otherwise verdicts would be recorded under a wrong name."""
    info = segmenter.info
    told = f"{info.name}-{info.version}"
    # A driver without a model folder has no file, and no name to compare.
    if not info.sha256 or model.name == told:
        return []
    return [Fault(str(model / "manifest.toml"), f"says {told}: the folder must be called so, or hold {model.name}")]


def _shadow(base: Path, file: StationFile, recipes: dict[int, Criteria], faults: list[Fault]) -> ShadowModel | None:
    if file.shadow is None:
        return None
    model = base / file.station.models_dir / file.shadow.model
    segmenter = _segmenter(base, "shadow", file.shadow, model=model, faults=faults)
    if segmenter is None:
        return None
    suggested, known = _suggested(file, segmenter), segmenter.info.classes
    seen = {
        number: {name: limit for name, limit in criteria.recipe.classes.items() if name in known}
        for number, criteria in recipes.items()
    }
    return ShadowModel(segmenter, {each: Criteria(recipes[each].recipe, suggested | seen[each]) for each in recipes})


def _recipes(
    base: Path,
    file: StationFile,
    *,
    cameras: Sequence[DriverSettings],
    first: Recipe | None,
    limits: dict[str, ClassLimits],
    segmenter: Segmenter | None,
    faults: list[Fault],
) -> dict[int, Criteria]:
    """Every recipe that may judge, by id.

    All of them must have the same cameras and model, because both keep running while recipes change.
    """
    found: dict[int, Criteria] = {}
    if first is not None:
        found[first.id] = Criteria(first, limits)
    for path in file.station.recipes:
        recipe = _recipe(base / path, faults)
        if recipe is None or first is None:
            continue
        faults += _beside(path, first, recipe)
        faults += [fault for fault in recipe_faults(file, cameras, path, recipe) if fault not in faults]
        if recipe.id in found:
            faults.append(Fault(f"{path}: id", f"{recipe.id} is already the id of {found[recipe.id].recipe.name!r}"))
        if segmenter is not None:
            found.setdefault(
                recipe.id, Criteria(recipe, _limits(file, path, recipe, segmenter=segmenter, faults=faults))
            )
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
    if recipe.model_sha256 not in (None, first.model_sha256):
        faults.append(Fault(f"{path}: model_sha256", "must be that of station.recipe: one file judges for all"))
    return faults


def _limits(
    file: StationFile, path: Path, recipe: Recipe, *, segmenter: Segmenter, faults: list[Fault]
) -> dict[str, ClassLimits]:
    """The limits by class: the recipe's own if it has some for the class, otherwise the model's."""
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
