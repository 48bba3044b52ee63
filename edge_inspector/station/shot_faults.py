"""Faults of cameras that take several pictures of each part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from edge_inspector.drivers import DriverSettings
from edge_inspector.errors import Fault
from edge_inspector.inspection.recipe import Recipe
from edge_inspector.station.tables import StationFile


def shot_faults(file: StationFile, settings: Sequence[DriverSettings | None]) -> Iterator[Fault]:
    """What is wrong with the pictures of a camera, whatever the product is."""
    names = [camera.name for camera in file.cameras]
    for at, (camera, chosen) in enumerate(zip(file.cameras, settings, strict=True)):
        shots = camera.shots_mm
        if shots is None:
            continue
        where = f"cameras.{at}.shots_mm"
        if any(after < before for before, after in pairwise(shots)):
            yield Fault(where, "must be in the order in which the pictures are taken: no value below the one before it")
        for view in camera.views:
            if view.name in names:
                yield Fault(where, f"its picture {view.name!r} is also the name of a camera: give that another name")
        if file.parts.announced_by == camera.name:
            yield Fault(where, "a camera that announces the parts takes one picture of each: let another one announce")
        if chosen is not None and chosen.free_running_hz is not None:
            yield Fault(
                f"cameras.{at}.settings",
                "a camera that takes several pictures of a part must be triggered for each of them, and this one runs "
                "freely: set its trigger (docs/how-to/trigger.md)",
            )


def shot_recipe_faults(file: StationFile, path: Path, recipe: Recipe) -> Iterator[Fault]:
    """Whether the pictures of one part can be taken for those of the next one."""
    for camera in file.cameras:
        if camera.shots_mm is None or not {view.name for view in camera.views} & set(recipe.views):
            continue
        way_mm, tolerance_mm = max(camera.shots_mm) - min(camera.shots_mm), recipe.position_tolerance_mm
        if way_mm + 2 * tolerance_mm >= recipe.min_pitch_mm:
            yield Fault(
                f"{path}: min_pitch_mm",
                f"camera {camera.name!r} takes the pictures of a part over {way_mm:g} mm, and position_tolerance_mm is "
                f"{tolerance_mm:g}: with a part every {recipe.min_pitch_mm:g} mm they could be pictures of the next "
                f"part. It must be more than {way_mm + 2 * tolerance_mm:g}",
            )
