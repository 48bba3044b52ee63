"""The page's view of the station, and the few things that it may ask of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_inspector.inspection.recipe import Criteria, Recipe
from edge_inspector.inspection.timeline import Timeline
from edge_inspector.records import ArchiveItem, Command, Image, ModelInfo, Picture, Scene, StationStatus
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.shifts.switch import RecordSwitch
from edge_inspector.stages.logbook import Errand, Noted
from edge_inspector.station.load import Station
from edge_inspector.store.album import Album
from edge_inspector.store.logbook import LogbookReader
from edge_inspector.store.results import Results
from edge_inspector.store.trends import Trends
from edge_inspector.watches.adjusting import AdjustableCamera
from edge_inspector.watches.challenge_due import ChallengeDue
from edge_inspector.watches.drift import DriftState
from edge_inspector.watches.pictures import PictureGuards
from edge_inspector.watches.placing import Geometry
from edge_inspector.watches.rollout_desk import RolloutDesk


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """The data of the station. Every method may be called from any thread."""

    station: Station
    boot_id: int
    geometry: Geometry
    conditions: Conditions
    timeline: Timeline
    album: Album
    results: Results
    scene: Callable[[], Scene]
    status: Callable[[], StationStatus]
    submit: Callable[[Command], None]
    keep: Callable[[ArchiveItem], object]
    write: Callable[[Errand], Errand | None]
    noted: Callable[[], Noted]
    logbook: LogbookReader
    trends: Trends
    health: Callable[[], tuple[bool, dict[str, Any]]]
    drift: Callable[[], DriftState | None]
    guards: PictureGuards
    cameras: Mapping[str, AdjustableCamera]
    challenges: ChallengeDue
    recorder: RecordSwitch
    rollout: RolloutDesk | None = None

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
        """Per class of the station: the mask value from which a pixel counts, by this recipe or by the one in force.

        256, which no pixel reaches, for a class that is not judged.
        """
        criteria = self._criteria_of(recipe_id)
        return tuple(
            max(1, round(criteria.limits[name].min_confidence * 255)) if name in criteria.limits else 256
            for name in self.classes
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of all models, in the order of their numbers."""
        return self.station.models.classes

    def model_of(self, recipe_id: int = 0) -> ModelInfo:
        """The model that looks for this recipe, or for the one in force."""
        return self.station.models.infos[self._criteria_of(recipe_id).recipe.model]

    def in_order(self, mask: Image | None, recipe_id: int = 0) -> Image | None:
        """The mask of this recipe's model with a plane for each class of the station, for people."""
        own = self.model_of(recipe_id).classes
        if mask is None or own == self.classes:
            return mask
        planes = np.zeros((len(self.classes), *mask.shape[1:]), np.uint8)
        for name, plane in zip(own, mask, strict=True):
            planes[self.classes.index(name)] = plane
        return planes

    def shown(self, picture: Picture, recipe_id: int = 0) -> Image | None:
        """The mask of a picture for people, by this recipe's model or by that of the one in force."""
        return self.in_order(picture.by(self._criteria_of(recipe_id).recipe.model), recipe_id)

    def recipe_of(self, recipe_id: int) -> Recipe:
        """This recipe, or the one in force if the station does not have it."""
        return self._criteria_of(recipe_id).recipe

    def _criteria_of(self, recipe_id: int) -> Criteria:
        return self.station.recipes.get(recipe_id) or self.station.recipes[self.status().recipe_id]

    def view_mm(self, camera: str) -> tuple[float, float] | None:
        """Width and height of what the camera sees, from its newest picture. None before there is one."""
        picture, file = self.album.latest(camera), self.station.file
        table = next(each for each in file.views if each.name == camera)
        if picture is None:
            return None
        height, width = picture.image.shape[:2]
        return width * table.mm_per_px, height * file.mm_per_row(table)
