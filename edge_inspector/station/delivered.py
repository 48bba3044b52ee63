"""The station's files with what roll-outs have brought: other models, other recipes, and the shadow of a trial."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edge_inspector.inspection.recipe import Recipe
from edge_inspector.station.tables import ShadowTable, StationFile
from edge_inspector.store.ledger import Ledger, RolloutStep, Trial, model_place, read_ledger, recipe_place


@dataclass(frozen=True, slots=True)
class Delivered:
    """What counts instead of the files of the station.

    `looks_on` is a trial that is the shadow, `judges` one that judges. While it judges, what it has replaced
    looks on.
    """

    state_dir: Path
    ledger: Ledger
    looks_on: Trial | None = None
    judges: Trial | None = None

    def model(self, name: str) -> str:
        """The model that judges where a file names this one."""
        found = self.ledger.model(name)
        trial = self.judges
        return trial.name if trial is not None and trial.kind == "model" and trial.replaces == found else found

    def with_model(self, recipe: Recipe) -> Recipe:
        """The recipe with the model that judges. Limits and regions stay as they are."""
        name = self.model(recipe.model)
        if name == recipe.model:
            return recipe
        return Recipe.model_validate(recipe.model_dump(exclude_unset=True) | {"model": name})

    def model_dir(self, models_dir: Path, name: str) -> Path:
        """The folder of a model: where roll-outs put it, or else in `models_dir`."""
        if not self._is_ours(name):
            return models_dir / name
        return model_place(self.state_dir, name)

    def recipe_file(self, path: Path) -> Path:
        """The file that counts for the recipe in `path`. Somebody who edits that file wins."""
        trial = self.judges
        if (
            trial is not None
            and trial.kind == "recipe"
            and trial.replaces == path.name
            and trial.base == file_hash(path)
        ):
            return recipe_place(self.state_dir, trial.digest, path.name)
        return self._recipe_in_force(path)

    def _recipe_in_force(self, path: Path) -> Path:
        kept = self.ledger.recipes.get(path.name)
        if kept is None or kept.base != file_hash(path):
            return path
        return recipe_place(self.state_dir, kept.digest, path.name)

    def shadow_recipe(self, paths: Iterable[Path]) -> Path | None:
        """The recipe whose limits the shadow applies in a trial of a recipe: the new one, or the one before it."""
        trial = self.looks_on or self.judges
        if trial is None or trial.kind != "recipe" or not trial.bounds.pictures:
            return None
        path = next((each for each in paths if each.name == trial.replaces), None)
        if path is None:
            return None
        return recipe_place(self.state_dir, trial.digest, path.name) if self.looks_on else self._recipe_in_force(path)

    def shadow_table(self, file: StationFile, judging: str) -> ShadowTable | None:
        """The shadow model of the trial, or else that of the station file. `judging` is the model that judges."""
        trial = self.looks_on or self.judges
        if trial is None or not trial.bounds.pictures:
            return file.shadow
        model = judging
        if trial.kind == "model":
            model = trial.name if self.looks_on else trial.replaces
        return ShadowTable(model=model, driver=file.segmenter.driver, settings=file.segmenter.settings)

    def _is_ours(self, name: str) -> bool:
        trial = self.ledger.trial
        return name in self.ledger.models.values() or (trial is not None and name == trial.name)


def delivered_to(state_dir: Path, file: StationFile) -> Delivered:
    """What roll-outs have brought to this station. Nothing while the station file does not accept any."""
    if not file.rollout.accept or not file.trust.keys:
        return Delivered(state_dir, Ledger())
    return with_ledger(state_dir, read_ledger(state_dir))


def with_ledger(state_dir: Path, ledger: Ledger) -> Delivered:
    """What this ledger makes of the files."""
    trial = ledger.trial
    step = None if trial is None else trial.step
    return Delivered(
        state_dir,
        ledger,
        looks_on=trial if step is RolloutStep.SHADOW else None,
        judges=trial if step is RolloutStep.JUDGES else None,
    )


def file_hash(path: Path) -> str:
    """The SHA-256 of a recipe's file. Empty if it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
