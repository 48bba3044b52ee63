"""The station file: the whole configuration of a station, checked before anything starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from edge_inspector.drivers import DriverSettings, Segmenter
from edge_inspector.errors import ConfigError, Fault
from edge_inspector.inspection.basis import Basis
from edge_inspector.inspection.recipe import ClassLimits, Criteria, Recipe
from edge_inspector.records import ModelInfo
from edge_inspector.segmenters.models import Models
from edge_inspector.settings import Table, checked
from edge_inspector.station.adjustments import Adjustment, adjustment_faults, remembered
from edge_inspector.station.challenge_faults import challenge_faults
from edge_inspector.station.delivered import Delivered, delivered_to, with_ledger
from edge_inspector.station.edits import edited, edited_challenge, waiting_version
from edge_inspector.station.file_faults import faults_below, read_tables, with_names
from edge_inspector.station.line_faults import grade_faults, line_faults, recipe_faults
from edge_inspector.station.reader import StationReader
from edge_inspector.station.roles import Roles, role_faults, roles_of, travel_faults
from edge_inspector.station.roll_faults import roll_faults, roll_recipe_faults
from edge_inspector.station.setup_faults import setup_faults
from edge_inspector.station.shot_faults import shot_faults, shot_recipe_faults
from edge_inspector.station.table_faults import (
    beside_faults,
    class_faults,
    devices_twice,
    link_faults,
    names_twice,
    rollout_faults,
    several_models_faults,
    web_faults,
)
from edge_inspector.station.tables import CameraTable, ChallengeTable, StationFile, WebTable
from edge_inspector.store.ledger import Ledger
from edge_inspector.store.signatures import objection
from edge_inspector.toml_file import read_toml

PathTable = TypeVar("PathTable", bound=Table)


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

    `recipe` and `limits` are in force at the start. `recipes` has this recipe and all selectable ones, by id. The
    segmenter of `recipe` is not open. It describes the model, whose limits the recipes need. `models` has it, and those
    of recipes with another model. `untrusted` says which recipes and models have no good signature, if the station runs
    all the same. `adjustments` are values of cameras that were changed on the page, and `camera_settings` are without
    them. `written` and `written_challenge` are recipes and challenge settings as their files have them. `path` is the
    station file, and `delivered` what roll-outs have brought.
    """

    file: StationFile
    recipe: Recipe
    limits: dict[str, ClassLimits]
    recipes: dict[int, Criteria]
    segmenter: Segmenter
    models: Models
    state_dir: Path
    models_dir: Path
    camera_settings: tuple[DriverSettings, ...]
    encoder_settings: DriverSettings
    plc_settings: tuple[DriverSettings, ...]
    roles: Roles
    shadow: ShadowModel | None = None
    untrusted: tuple[str, ...] = ()
    written: Mapping[int, Recipe] = field(default_factory=dict)
    written_challenge: ChallengeTable = field(default_factory=ChallengeTable)
    adjustments: Mapping[str, Adjustment] = field(default_factory=dict)
    path: Path = Path()
    delivered: Delivered = field(default_factory=lambda: Delivered(Path(), Ledger()))

    def basis(self) -> Basis:
        """The basis of this station's verdicts: recipes, limits and model."""
        several = len(self.models) > 1
        return Basis(
            self.recipes, lambda: self.segmenter.info, self.scales, (lambda: self.models.infos) if several else dict
        )

    def camera_of(self, name: str) -> tuple[CameraTable, DriverSettings]:
        """The table and the settings of the camera that has this name or takes this view."""
        for camera, settings in zip(self.file.cameras, self.camera_settings, strict=True):
            if name == camera.name or name in [view.name for view in camera.views]:
                return camera, settings
        raise KeyError(name)

    @property
    def scales(self) -> dict[str, tuple[float, float]]:
        """Of each camera: millimetres per pixel across the belt and along it."""
        return {camera.name: (camera.mm_per_px, self.file.mm_per_row(camera)) for camera in self.file.views}


def load_station(path: Path, instead: Mapping[str, Any] | None = None, ledger: Ledger | None = None) -> Station:
    """The station described in `path`. `instead` replaces whole tables of the file, or removes those that are None.

    `ledger` is what roll-outs would bring, instead of what they have brought. Raises ConfigError with every fault found
    in the station file, the recipes and the model.
    """
    raw = {**read_toml(path), **(instead or {})}
    raw = {name: table for name, table in raw.items() if table is not None}
    try:
        return _station(path, raw, ledger)
    except ConfigError as error:
        raise ConfigError(with_names(error.faults, raw)) from error.__cause__


def _station(station_file: Path, raw: dict[str, Any], ledger: Ledger | None) -> Station:
    base = station_file.parent
    try:
        file = read_tables(raw)
    except ConfigError as error:
        raise ConfigError([*error.faults, *faults_below(base, raw)]) from error
    store, bucket = file.store and with_paths(base, file.store), file.bucket and with_paths(base, file.bucket)
    file = file.model_copy(update={"web": with_paths(base, file.web), "store": store, "bucket": bucket})
    reader = StationReader(base)
    cameras = [
        reader.settings("cameras", f"cameras.{at}", table.driver, table.settings)
        for at, table in enumerate(file.cameras)
    ]
    encoder = reader.settings("encoders", "encoder", file.encoder.driver, file.encoder.settings)
    plcs = [reader.settings("plcs", f"plcs.{at}", table.driver, table.settings) for at, table in enumerate(file.plcs)]
    _note_tables(reader, file, cameras=cameras, encoder=encoder, plcs=plcs)
    sealed, state_dir = bool(file.trust.keys) and file.trust.policy == "refuse", base / file.station.state_dir
    delivered = delivered_to(state_dir, file) if ledger is None else with_ledger(state_dir, ledger)
    names = (file.station.recipe, *file.station.recipes)
    read = [(path, reader.recipe(delivered.recipe_file(base / path))) for path in names]
    written = {each.id: each for _, each in reversed(read) if each is not None}
    unsigned = _unsigned_versions(state_dir, read, sealed=sealed) if file.trust.keys else ()
    if not sealed:
        read = [(path, each and edited(state_dir, each)) for path, each in read]
    read = [(path, each and delivered.with_model(each)) for path, each in read]
    recipe = read[0][1]
    if recipe is not None:
        file = file.model_copy(update={"shadow": delivered.shadow_table(file, recipe.model)})
    runtime = reader.settings("segmenters", "segmenter", file.segmenter.driver, file.segmenter.settings)
    segmenters, recipes = dict[str, Segmenter](), dict[int, Criteria]()
    named = [(path, each) for path, each in read if each is not None]
    reader.note(grade_faults(plcs, named) if len(named) == len(read) else ())
    if runtime is not None:
        segmenters = _segmenters(reader, file, runtime, [each for _, each in named], delivered=delivered)
    segmenter = segmenters.get(recipe.model) if recipe is not None else None
    if recipe is not None:
        models = {name: each.info for name, each in segmenters.items()}
        recipes = _recipes(reader, file, cameras=cameras, named=named, models=models)
        reader.note(travel_faults(file, encoder, recipe))
        reader.note(challenge_faults(file.challenge, recipes))
    challenge = file.challenge if sealed else edited_challenge(state_dir, file.challenge, recipes)
    shadow = _shadow(reader, file, recipes, delivered)
    with_files = [name for name, each in segmenters.items() if each.info.sha256]
    untrusted = tuple(_untrusted(base, file, with_files, delivered))
    if sealed:
        reader.note(untrusted)
    if reader.faults or recipe is None or segmenter is None or encoder is None:
        raise ConfigError(reader.faults)
    seeing, links = [each for each in cameras if each is not None], [each for each in plcs if each is not None]
    return Station(
        file=file.model_copy(update={"challenge": challenge}),
        recipe=recipe,
        limits=dict(recipes[recipe.id].limits),
        recipes=recipes,
        written=written,
        written_challenge=file.challenge,
        segmenter=segmenter,
        models=Models(segmenters),
        state_dir=base / file.station.state_dir,
        models_dir=base / file.station.models_dir,
        camera_settings=tuple(seeing),
        adjustments=remembered(state_dir, file.cameras, seeing),
        encoder_settings=encoder,
        plc_settings=tuple(links),
        roles=roles_of(file, seeing, encoder, links),
        shadow=shadow,
        untrusted=(*map(str, untrusted), *unsigned),
        path=station_file,
        delivered=delivered,
    )


def _note_tables(
    reader: StationReader,
    file: StationFile,
    *,
    cameras: Sequence[DriverSettings | None],
    encoder: DriverSettings | None,
    plcs: Sequence[DriverSettings | None],
) -> None:
    """The faults that show when tables are compared."""
    reader.note(web_faults(file.web))
    reader.note(rollout_faults(file))
    reader.note(names_twice("cameras", file.cameras))
    reader.note(names_twice("plcs", file.plcs))
    reader.note(devices_twice(file, cameras))
    reader.note(shot_faults(file, cameras))
    reader.note(adjustment_faults(file, cameras))
    reader.note(roll_faults(file, encoder))
    reader.note(link_faults(file, plcs))
    reader.note(role_faults(file, cameras, encoder, plcs))


def _unsigned_versions(state_dir: Path, read: Sequence[tuple[Path, Recipe | None]], *, sealed: bool) -> tuple[str, ...]:
    """What to say of the versions that were saved on the page, which nobody can have signed."""
    judges = "so the file's version judges. Put it into the file and sign that" if sealed else "and judges all the same"
    return tuple(
        f"{path}: the version saved on the page is not signed, {judges}"
        for path, recipe in read
        if recipe is not None and waiting_version(state_dir, recipe.id)
    )


def _untrusted(base: Path, file: StationFile, with_files: Sequence[str], delivered: Delivered) -> Iterator[Fault]:
    """The recipes and models that nobody has signed whom the station trusts. `with_files` are models with files."""
    if not file.trust.keys:
        return
    models = [*with_files, *([file.shadow.model] if file.shadow is not None else [])]
    recipes = [base / path for path in (file.station.recipe, *file.station.recipes)]
    signed = [delivered.recipe_file(path) for path in recipes]
    signed += [path] if (path := delivered.shadow_recipe(recipes)) is not None else []
    signed += [delivered.model_dir(base / file.station.models_dir, name) for name in models]
    for path in signed:
        why = objection(path, file.trust.keys) if path.exists() else ""  # what is missing is a fault of its own
        if why:
            yield Fault(str(path), f"{why}. Sign it with `edge-inspector sign`, or look who changed it")


def with_paths(base: Path, table: PathTable) -> PathTable:
    """The table with absolute paths."""
    paths = {key: base / value for key, value in table if isinstance(value, Path)}
    return table.model_copy(update=paths)


def _segmenters(
    reader: StationReader,
    file: StationFile,
    runtime: DriverSettings,
    recipes: Sequence[Recipe],
    *,
    delivered: Delivered,
) -> dict[str, Segmenter]:
    """The segmenter of each model that a recipe names, by that name, in their order."""
    reader.note(several_models_faults(file, list(dict.fromkeys(recipe.model for recipe in recipes))))
    found: dict[str, Segmenter | None] = {}
    for recipe in recipes:
        if recipe.model not in found:
            found[recipe.model] = reader.segmenter(
                "segmenter",
                file.segmenter.driver,
                settings=runtime,
                model=delivered.model_dir(reader.base / file.station.models_dir, recipe.model),
                sha256=recipe.model_sha256,
            )
    return {name: each for name, each in found.items() if each is not None}


def _recipes(
    reader: StationReader,
    file: StationFile,
    *,
    cameras: Sequence[DriverSettings | None],
    named: Sequence[tuple[Path, Recipe]],
    models: Mapping[str, ModelInfo],
) -> dict[int, Criteria]:
    """Every recipe that may judge, by id. `models` are those without a fault, by name."""
    reader.note(line_faults(file, named))
    reader.note(setup_faults(file, cameras, named))
    found: dict[int, Criteria] = {}
    for at, (path, recipe) in enumerate(named):
        reader.note(beside_faults(path, recipe, (each for _, each in named[:at])))
        reader.note(recipe_faults(file, cameras, path, recipe))
        reader.note(shot_recipe_faults(file, path, recipe))
        reader.note(roll_recipe_faults(file, path, recipe))
        if recipe.id in found:
            what = f"{recipe.id} is already the id of {found[recipe.id].recipe.name!r}"
            reader.note([Fault(f"{path}: id", what)])
        model = models.get(recipe.model)
        # For a class that the recipe does not name, the model's limits apply.
        limits = (suggested_limits(file, model) if model is not None else {}) | recipe.classes
        if model is not None:
            reader.note(class_faults(path, recipe, model, limits))
        found.setdefault(recipe.id, Criteria(recipe, limits))
    return found


def _shadow(
    reader: StationReader, file: StationFile, recipes: Mapping[int, Criteria], delivered: Delivered
) -> ShadowModel | None:
    if file.shadow is None:
        return None
    settings = reader.settings("segmenters", "shadow", file.shadow.driver, file.shadow.settings)
    if settings is None:
        return None
    model = delivered.model_dir(reader.base / file.station.models_dir, file.shadow.model)
    segmenter = reader.segmenter("shadow", file.shadow.driver, settings=settings, model=model)
    if segmenter is None:
        return None
    suggested, known = suggested_limits(file, segmenter.info), segmenter.info.classes
    own = {number: each.recipe for number, each in recipes.items()} | _on_trial(reader, file, delivered)
    seen = {
        number: {name: limit for name, limit in recipe.classes.items() if name in known}
        for number, recipe in own.items()
    }
    return ShadowModel(segmenter, {each: Criteria(own[each], suggested | seen[each]) for each in recipes})


def _on_trial(reader: StationReader, file: StationFile, delivered: Delivered) -> dict[int, Recipe]:
    """The recipe whose limits the shadow applies, by its id, while a recipe is on trial."""
    names = (file.station.recipe, *file.station.recipes)
    path = delivered.shadow_recipe([reader.base / name for name in names])
    recipe = None if path is None else reader.recipe(path)
    return {} if recipe is None else {recipe.id: recipe}


def suggested_limits(file: StationFile, model: ModelInfo) -> dict[str, ClassLimits]:
    """The limits that the model suggests, for classes that a recipe does not name."""
    scale = min(camera.mm_per_px * file.mm_per_row(camera) for camera in file.cameras)
    return {
        name: ClassLimits(min_confidence=confidence, min_area_mm2=area_px * scale)
        for name, (confidence, area_px) in model.limits.items()
    }


def read_state_dir(path: Path) -> Path:
    """The state folder of the station described in `path`, or `path` itself if it is that folder.

    The station's drivers and model may be missing. Raises ConfigError.
    """
    return path if path.is_dir() else path.parent / _read_file(path).station.state_dir


def read_places(path: Path) -> tuple[StationFile, Path, WebTable]:
    """The station file in `path`, its state folder and the settings of its page, both with absolute paths.

    This does not check the drivers' settings, the recipes and the model. Raises ConfigError.
    """
    file = _read_file(path)
    return file, path.parent / file.station.state_dir, with_paths(path.parent, file.web)


def _read_file(path: Path) -> StationFile:
    raw = read_toml(path)
    try:
        return read_tables(raw)
    except ConfigError as error:
        raise ConfigError(with_names(error.faults, raw)) from error


def users_path(path: Path) -> Path:
    """The file with the users of the page of the station in `path`. Raises ConfigError for a wrong [web] table."""
    return path.parent / checked(WebTable, read_toml(path).get("web", {}), "web").users


def load_cameras(path: Path) -> dict[str, tuple[str, DriverSettings]]:
    """Driver and settings of each camera of the station in `path`, by name. No model is needed. Raises ConfigError."""
    reader = StationReader(path.parent)
    tables = _read_file(path).cameras
    settings = [
        reader.settings("cameras", f"cameras.{at}", table.driver, table.settings) for at, table in enumerate(tables)
    ]
    if reader.faults:
        raise ConfigError(with_names(reader.faults, read_toml(path)))
    return {
        table.name: (table.driver, chosen) for table, chosen in zip(tables, settings, strict=True) if chosen is not None
    }
