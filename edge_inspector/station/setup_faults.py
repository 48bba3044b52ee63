"""Faults of the camera features that recipes set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from edge_inspector.drivers import DriverSettings
from edge_inspector.errors import Fault
from edge_inspector.inspection.recipe import Recipe
from edge_inspector.station.tables import StationFile
from edge_inspector.wording import did_you_mean


def setup_faults(
    file: StationFile, cameras: Sequence[DriverSettings | None], named: Sequence[tuple[Path, Recipe]]
) -> Iterator[Fault]:
    """Whether each camera can be given the features, and whether each recipe sets what another one has changed."""
    names = [camera.name for camera in file.cameras]
    for path, recipe in named:
        for name in recipe.features.keys() - set(names):
            what = f"no camera is called {name!r}. There are: {', '.join(names)}"
            yield Fault(f"{path}: features.{name}", what + did_you_mean(name, names))
    for camera, settings in zip(file.cameras, cameras, strict=True):
        views = {view.name for view in camera.views}
        using = [
            (path, recipe) for path, recipe in named if views & set(recipe.views) or camera.name in recipe.features
        ]
        wanted = {feature for _, recipe in using for feature in recipe.features.get(camera.name, {})}
        for path, recipe in using:
            where, own = f"{path}: features.{camera.name}", recipe.features.get(camera.name, {})
            if missing := wanted - own.keys():
                what = (
                    f"{', '.join(sorted(missing))} missing: another recipe sets it, so this one must say its value, too"
                )
                yield Fault(where, what)
            elif own and settings is not None and not settings.takes_features:
                yield Fault(where, f"driver {camera.driver!r} cannot set features while the camera runs")
            elif own and (camera.exposure_us_limits or camera.gain_limits):
                limits = "exposure_us_limits" if camera.exposure_us_limits else "gain_limits"
                what = f"{camera.name} has {limits}, so people change it on the page. Take away one of the two"
                yield Fault(where, what)
            elif own and file.realtime.camera_processes:
                yield Fault(where, "cannot be set in a camera process: write realtime.camera_processes = false")
