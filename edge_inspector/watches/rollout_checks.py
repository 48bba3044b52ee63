"""Whether a package that has arrived can take the place of something by which this station judges."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from edge_inspector.errors import ConfigError, DeviceError
from edge_inspector.inspection.recipe import Recipe, read_recipe
from edge_inspector.records import ModelInfo
from edge_inspector.segmenters.manifest import Manifest, read_manifest
from edge_inspector.station.delivered import file_hash
from edge_inspector.station.load import Station
from edge_inspector.store.ledger import Arrived, Ledger, model_place, numbers_of, recipe_place


class RolloutRefusedError(DeviceError):
    """The station does not take it. The message says why."""


class Checks:
    """What this station knows of its own models and recipes. Every method raises RolloutRefusedError."""

    def __init__(self, station: Station) -> None:
        self._station = station
        self._state_dir = station.state_dir

    def refuse_old(self, arrived: Arrived, ledger: Ledger) -> None:
        """It must be a newer version of something by which this station judges."""
        replaced, version = self.replaced_by(arrived), self.version_of(arrived)
        newest = max(ledger.newest.get(self.product_of(arrived), ()), self._present_version(arrived, replaced))
        if not version or version <= newest:
            shown, known = (".".join(map(str, each)) or "none" for each in (version, newest))
            hint = "revision" if arrived.kind == "recipe" else "version"
            raise RolloutRefusedError(f"{arrived.name}: its {hint} is {shown}, and must be higher than {known}")

    def replaced_by(self, arrived: Arrived) -> str:
        """The model, or the file of the recipe, whose place it takes."""
        return self._model_before(arrived) if arrived.kind == "model" else self._recipe_before(arrived)

    def _model_before(self, arrived: Arrived) -> str:
        new = self._manifest(arrived)
        if arrived.name != f"{new.name}-{new.version}":
            raise RolloutRefusedError(f"{arrived.name}: its manifest says {new.name}-{new.version}")
        found = {name: info for name, info in self._infos().items() if info.name == new.name}
        if len(found) != 1:
            judging = ", ".join(sorted(self._infos()))
            raise RolloutRefusedError(
                f"{arrived.name}: one model of the name {new.name} must judge here, and there is {judging}"
            )
        ((replaced, info),) = found.items()
        if info.classes != new.classes:
            told = f"{', '.join(new.classes)} instead of {', '.join(info.classes)}"
            raise RolloutRefusedError(
                f"{arrived.name} has other classes, so their numbers in the PLC would change: {told}"
            )
        for number, criteria in self._station.recipes.items():
            if criteria.recipe.model == replaced and criteria.recipe.model_sha256 is not None:
                raise RolloutRefusedError(
                    f"recipe {number} names the model_sha256 of its model. Remove it, or change both by hand"
                )
        return replaced

    def _recipe_before(self, arrived: Arrived) -> str:
        new = self._recipe(arrived)
        own = [path for path in self._recipe_files() if path.name == arrived.name]
        if len(own) != 1:
            raise RolloutRefusedError(f"{arrived.name}: this station has no recipe file of that name, or several")
        present = self._present_recipe(arrived.name)
        if present is None or present.id != new.id:
            raise RolloutRefusedError(
                f"{arrived.name}: its id is {new.id}, that of the recipe here is {present and present.id}"
            )
        return arrived.name

    def _present_recipe(self, name: str) -> Recipe | None:
        for path in self._recipe_files():
            if path.name == name:
                with suppress(ConfigError):
                    return read_recipe(self._station.delivered.recipe_file(path))
        return None

    def _recipe_files(self) -> list[Path]:
        names = self._station.file.station
        return [self._station.path.parent / each for each in (names.recipe, *names.recipes)]

    def base_of(self, arrived: Arrived) -> str:
        """The SHA-256 of the recipe file whose place it takes. Empty for a model."""
        return next((file_hash(each) for each in self._recipe_files() if each.name == arrived.name), "")

    def _infos(self) -> dict[str, ModelInfo]:
        return {name: info for name, info in self._station.models.infos.items() if info.sha256}

    def product_of(self, arrived: Arrived) -> str:
        """What its versions are counted by."""
        return arrived.name if arrived.kind == "recipe" else self._manifest(arrived).name

    def version_of(self, arrived: Arrived) -> tuple[int, ...]:
        """Its version, to compare."""
        if arrived.kind == "recipe":
            return (self._recipe(arrived).revision,)
        return numbers_of(self._manifest(arrived).version)

    def _present_version(self, arrived: Arrived, replaced: str) -> tuple[int, ...]:
        if arrived.kind == "recipe":
            present = self._present_recipe(replaced)
            return (0 if present is None else present.revision,)
        return numbers_of(self._infos()[replaced].version)

    def _manifest(self, arrived: Arrived) -> Manifest:
        try:
            return read_manifest(model_place(self._state_dir, arrived.name))
        except ConfigError as error:
            raise RolloutRefusedError(
                "; ".join(f"{arrived.name}: {fault.what}" for fault in error.faults)[:500]
            ) from error

    def _recipe(self, arrived: Arrived) -> Recipe:
        try:
            return read_recipe(recipe_place(self._state_dir, arrived.digest, arrived.name))
        except ConfigError as error:
            raise RolloutRefusedError(
                "; ".join(f"{arrived.name}: {fault.what}" for fault in error.faults)[:500]
            ) from error
