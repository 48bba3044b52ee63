"""What a replay judges by: the recipes, limits and model of the record, or others."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_inspector import __version__
from edge_inspector.drivers import Segmenter, load_driver
from edge_inspector.errors import ConfigError, Fault
from edge_inspector.inspection.recipe import ClassLimits, Criteria, read_recipe
from edge_inspector.records import ModelInfo
from edge_inspector.runtime.machine import machine_words
from edge_inspector.settings import Table, checked
from edge_inspector.shifts.head import ShiftHead
from edge_inspector.station.table_faults import class_faults
from edge_inspector.toml_file import read_toml

_MAY_DIFFER = "so masks may be rounded otherwise: sizes in their last digits, and parts close to a limit, may differ"


class LimitsFile(Table):
    """Limits to try, as in a recipe."""

    classes: dict[str, ClassLimits]
    """Limits of each defect class. They replace those of all recipes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instead:
    """What the replay shall judge by. Nothing of it is the record's own."""

    model: Path | None = None
    recipes: Sequence[Path] = ()
    limits: Path | None = None

    @property
    def differs(self) -> bool:
        """Whether verdicts may differ from those of the record."""
        return bool(self.model or self.recipes or self.limits)


def open_segmenter(head: ShiftHead, model: Path | None, models_dir: Path | None = None) -> Segmenter:
    """The segmenter of the shift, with its model or that in the folder `model`.

    The shift's own model is looked for in `models_dir`, or where it was. Raises ConfigError.
    """
    folder = model or (models_dir or Path(head.models_dir)) / next(iter(head.recipes.values())).recipe.model
    try:
        driver = load_driver("segmenters", head.driver)
        settings = checked(driver.Settings, json.loads(head.settings), "segmenter.settings")
    except (KeyError, ImportError, ValueError, RecursionError) as error:
        what = f"the segmenter {head.driver!r} of the record cannot be used here: {error}"
        raise ConfigError([Fault("segmenter", what)]) from error
    segmenter: Segmenter = driver(folder, settings)
    segmenter.open()
    return segmenter


def doubts(head: ShiftHead, model: ModelInfo) -> list[str]:
    """Why masks may differ from those of the record although nothing else was asked for."""
    told = (
        ("the version", head.version, __version__),
        ("the model's file", head.model.sha256, model.sha256),
        ("the runtime", f"{head.model.runtime} on {head.model.provider}", f"{model.runtime} on {model.provider}"),
        ("the machine", head.machine, machine_words()),
    )
    found = [f"{what} is another one: {then} then, {now} now" for what, then, now in told if then != now]
    return [*found, _MAY_DIFFER] if found else []


def criteria_of(head: ShiftHead, model: ModelInfo, instead: Instead) -> dict[int, Criteria]:
    """The recipes that judge now, with their limits. Raises ConfigError."""
    found, faults = dict(head.recipes), list[Fault]()
    for path in instead.recipes:
        recipe = read_recipe(path)
        before = found.get(recipe.id)
        if before is None:
            there = ", ".join(map(str, sorted(found)))
            faults.append(Fault(f"{path}: id", f"{recipe.id} is no recipe of the record. There are: {there}"))
        elif set(recipe.views) - head.geometry.offsets.keys():
            faults.append(Fault(f"{path}: views", f"the cameras of the record are: {', '.join(head.geometry.offsets)}"))
        else:
            found[recipe.id] = Criteria(recipe, {**_of_model(before), **recipe.classes})
    if instead.model is not None:
        own = _suggested(head, model)
        found = {number: Criteria(each.recipe, own | each.recipe.classes) for number, each in found.items()}
    if instead.limits is not None:
        other = checked(LimitsFile, read_toml(instead.limits), str(instead.limits)).classes
        found = {number: Criteria(each.recipe, {**each.limits, **other}) for number, each in found.items()}
    for criteria in found.values():
        faults += class_faults(Path(f"recipe {criteria.recipe.id}"), criteria.recipe, model, dict(criteria.limits))
    if faults:
        raise ConfigError(faults)
    return found


def _of_model(criteria: Criteria) -> Mapping[str, ClassLimits]:
    """The limits that do not come from the recipe itself."""
    return {name: limit for name, limit in criteria.limits.items() if name not in criteria.recipe.classes}


def _suggested(head: ShiftHead, model: ModelInfo) -> dict[str, ClassLimits]:
    scale = min(across * along for across, along in head.scales.values())
    return {
        name: ClassLimits(min_confidence=confidence, min_area_mm2=area_px * scale)
        for name, (confidence, area_px) in model.limits.items()
    }
