"""Reads what a station file names: drivers' settings, recipes, models. It keeps every fault."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from edge_inspector.driver_table import OTHER_WORDS
from edge_inspector.drivers import DriverSettings, Segmenter, driver_names, load_driver
from edge_inspector.errors import ConfigError, Fault
from edge_inspector.inspection.recipe import Recipe, read_recipe
from edge_inspector.settings import below, checked
from edge_inspector.wording import did_you_mean


class StationReader:
    """Each method returns None for what has a fault. `faults` has all of them. Paths are relative to `base`."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.faults: list[Fault] = []

    def note(self, faults: Iterable[Fault]) -> None:
        """Keep these faults. One that is known already is not kept twice."""
        self.faults += [fault for fault in dict.fromkeys(faults) if fault not in self.faults]

    def settings(self, family: str, where: str, driver: str, table: object) -> DriverSettings | None:
        """The settings of a driver, with absolute paths."""
        try:
            found: DriverSettings = checked(load_driver(family, driver).Settings, table)
        except KeyError:
            there_are = f"unknown driver {driver!r}. There are: {', '.join(driver_names(family))}"
            self.note([Fault(f"{where}.driver", there_are + _driver_hint(family, driver))])
        except ImportError as error:
            what = f"driver {driver!r} needs a package that is not installed: {error}"
            self.note([Fault(f"{where}.driver", what)])
        except ConfigError as error:
            self.note(below(f"{where}.settings", error.faults))
        else:
            return found.model_copy(update={key: self.base / value for key, value in found if isinstance(value, Path)})
        return None

    def recipe(self, path: Path | str) -> Recipe | None:
        """The recipe in `path`."""
        try:
            return read_recipe(self.base / path)
        except ConfigError as error:
            self.note(error.faults)
            return None

    def segmenter(
        self, where: str, driver: str, *, settings: DriverSettings, model: Path, sha256: str | None = None
    ) -> Segmenter | None:
        """The driver of the model in the folder `model`, not opened: it only knows the model's description."""
        demanded = {} if sha256 is None else {"model_sha256": sha256}
        if demanded.keys() - type(settings).model_fields.keys():
            self.note([Fault(f"{where}.driver", f"{driver!r} cannot check the recipe's model_sha256")])
            return None
        try:
            segmenter: Segmenter = load_driver("segmenters", driver)(model, settings.model_copy(update=demanded))
        except ConfigError as error:
            late = not any(model.parent.glob("*"))  # missing or empty: the disk is not mounted yet
            self.note(replace(fault, may_come=late) for fault in error.faults)
            return None
        self.note(_another_name(model, segmenter))
        return segmenter


def _driver_hint(family: str, name: str) -> str:
    hint = OTHER_WORDS.get(family, {}).get(name.lower().replace("_", "-"))
    return f". {hint}" if hint else did_you_mean(name, driver_names(family))


def _another_name(model: Path, segmenter: Segmenter) -> Iterator[Fault]:
    """The model's own name must be the name of its folder. Otherwise verdicts would be recorded under a wrong name."""
    info = segmenter.info
    told = f"{info.name}-{info.version}"
    # A driver without a model folder has no file, and no name to compare.
    if info.sha256 and model.name != told:
        yield Fault(
            str(model / "manifest.toml"), f"names {told}. Rename the folder to that, or put {model.name} into it"
        )
