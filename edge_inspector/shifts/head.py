"""The first page of a shift's record: the station, its criteria and its model, as they were at the start."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from edge_inspector import __version__
from edge_inspector.inspection.challenge import NO_CHALLENGE, ChallengeRules
from edge_inspector.inspection.counter import Counter
from edge_inspector.inspection.recipe import ClassLimits, Criteria, Recipe
from edge_inspector.inspection.timeline import Motion, Timeline
from edge_inspector.records import ModelInfo
from edge_inspector.runtime.clock import iso, moment
from edge_inspector.runtime.machine import machine_words
from edge_inspector.station.load import Station
from edge_inspector.watches.placing import Geometry

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """What a timeline needs to know, as in the station file."""

    motion: Motion
    stale_ns: int
    drift: float
    publish_ns: int
    read_point: float
    counter: Counter

    def timeline(self, kind: Callable[..., Timeline] = Timeline) -> Timeline:
        """An empty timeline."""
        return kind(
            self.motion,
            stale_ns=self.stale_ns,
            drift=self.drift,
            publish_ns=self.publish_ns,
            read_point=self.read_point,
            counter=self.counter,
        )


@dataclass(frozen=True, slots=True)
class RecipeInForce:
    """One recipe, and the limits in force for each class."""

    recipe: Recipe
    limits: Mapping[str, ClassLimits]

    @property
    def criteria(self) -> Criteria:
        """The same, as the judge takes it."""
        return Criteria(self.recipe, self.limits)


@dataclass(frozen=True, kw_only=True)
class ShiftHead:
    """`version` is that of the program. `scales` are each camera's millimetres per pixel, across and along the belt.

    `driver` and `settings` are the segmenter's, `models_dir` the folder in which its model was. `machine` is what
    masks may depend on: processor, operating system, Python.
    """

    format: int
    version: str
    station: str
    began: str
    boot_id: int
    first_recipe: int
    geometry: Geometry
    timing: Timing
    judged: tuple[RecipeInForce, ...]
    model: ModelInfo
    scales: Mapping[str, tuple[float, float]]
    driver: str
    settings: str
    models_dir: str
    machine: str
    challenge: ChallengeRules = NO_CHALLENGE

    @cached_property
    def recipes(self) -> dict[int, Criteria]:
        """The criteria of each recipe, by its id."""
        return {each.recipe.id: each.criteria for each in self.judged}


def head_of(
    station: Station,
    geometry: Geometry,
    timing: Timing,
    *,
    boot_id: int,
    first_recipe: int,
    challenge: ChallengeRules = NO_CHALLENGE,
) -> ShiftHead:
    """The first page for a station that starts now. Its segmenter must be open."""
    file = station.file
    return ShiftHead(
        format=FORMAT,
        version=__version__,
        station=file.station.name,
        began=iso(moment().utc),
        boot_id=boot_id,
        first_recipe=first_recipe,
        geometry=geometry,
        timing=timing,
        judged=tuple(RecipeInForce(each.recipe, each.limits) for each in station.recipes.values()),
        model=station.segmenter.info,
        scales=station.scales,
        driver=file.segmenter.driver,
        settings=json.dumps(file.segmenter.settings),
        models_dir=str(station.models_dir.resolve()),
        machine=machine_words(),
        challenge=challenge,
    )
