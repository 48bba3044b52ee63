"""The page's view of the station, and the few things that it may ask of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge_inspector.config import Station
from edge_inspector.encoders.timeline import Timeline
from edge_inspector.inspection.recipe import Recipe
from edge_inspector.records import Command, ModelInfo, Scene, StationStatus
from edge_inspector.runtime.album import Album
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.stages.drift import DriftState
from edge_inspector.stages.guard import PictureGuards
from edge_inspector.stages.placing import Geometry
from edge_inspector.store.results import Results


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """The data of the station. Every method may be called from any thread."""

    station: Station
    boot_id: int
    model: ModelInfo
    geometry: Geometry
    conditions: Conditions
    timeline: Timeline
    album: Album
    results: Results
    scene: Callable[[], Scene]
    status: Callable[[], StationStatus]
    submit: Callable[[Command], None]
    health: Callable[[], tuple[bool, dict[str, Any]]]
    drift: Callable[[], DriftState | None]
    guards: PictureGuards

    @property
    def recipe(self) -> Recipe:
        """The recipe in force."""
        return self.station.recipes[self.status().recipe_id].recipe

    @property
    def criteria(self) -> str:
        """The fingerprint of everything that decides verdicts now."""
        basis = self.station.basis()
        return basis.fingerprint(self.status().recipe_id)

    def thresholds(self, recipe_id: int = 0) -> tuple[int, ...]:
        """Per class of the model: the mask value from which a pixel counts, by this recipe or by the one in force.

        256, which no pixel reaches, for a class that is not judged.
        """
        criteria = self.station.recipes.get(recipe_id) or self.station.recipes[self.status().recipe_id]
        return tuple(
            max(1, round(criteria.limits[name].min_confidence * 255)) if name in criteria.limits else 256
            for name in self.model.classes
        )
