"""The line's lengths, times and scales, from the station file."""

from __future__ import annotations

from edge_inspector.inspection.shots import Shots
from edge_inspector.inspection.timeline import Motion, Timeline
from edge_inspector.shifts.head import Timing
from edge_inspector.station.load import Station
from edge_inspector.watches.placing import Geometry
from edge_inspector.wiring.roll import web_geometry

_NEAR_S = 0.01  # the judge looks this often by itself while a part is on the belt


def line_geometry(station: Station) -> Geometry:
    """The line's lengths from the station file, converted from millimetres to encoder counts."""
    line = station.file.line
    scale = line.scale
    return Geometry(
        counts_per_mm=scale,
        speed_max=line.speed_max_mm_s * scale,
        gate=round(line.gate_mm * scale),
        reserve=round(line.reserve_ms / 1000 * line.speed_max_mm_s * scale),
        offsets={view.name: round(view.offset_mm * scale) for view in station.file.views},
        shots={
            camera.name: tuple(view.name for view in camera.views) for camera in station.file.cameras if camera.shots_mm
        },
        counter=station.file.counter,
        travel_error=station.encoder_settings.travel_error,
        one_plc=station.roles.one_plc,
        settle_ns=_settle_ns(station),
        web=web_geometry(station),
    )


def last_views(station: Station) -> dict[int, frozenset[str]]:
    """By recipe: the views of a part that may be the last to come.

    A view that comes only a little before the last one may be slower in the model.
    """
    geometry = line_geometry(station)
    offsets, near = geometry.offsets, geometry.speed_max * _NEAR_S
    found = {}
    for number, criteria in station.recipes.items():
        last = max(offsets[view] for view in criteria.recipe.views)
        found[number] = frozenset(view for view in criteria.recipe.views if offsets[view] >= last - near)
    return found


def line_timeline(station: Station) -> Timeline:
    """The timeline of belt positions, with the encoder and motion settings of the station file."""
    return line_timing(station).timeline()


def line_timing(station: Station) -> Timing:
    """The encoder and motion settings of the station file, as a timeline needs them."""
    encoder, geometry = station.file.encoder, line_geometry(station)
    return Timing(
        motion=Motion(geometry.speed_max, station.file.line.acceleration_max_mm_s2 * geometry.counts_per_mm),
        stale_ns=int(encoder.stale_ms * 1e6),
        drift=encoder.drift_ppm * 1e-6,
        publish_ns=encoder.publish_delay_us * 1000,
        read_point=encoder.read_point,
        counter=geometry.counter,
    )


def scales_of(station: Station) -> tuple[dict[str, float], dict[str, float]]:
    """Of each camera: millimetres per pixel, and per row."""
    cameras = station.file.views
    across = {camera.name: camera.mm_per_px for camera in cameras}
    return across, {camera.name: station.file.mm_per_row(camera) for camera in cameras}


def shots_of(station: Station, geometry: Geometry, camera: str) -> Shots | None:
    """The pictures that a camera takes of each part. None if it takes one."""
    names = geometry.shots.get(camera, ())
    if not names:
        return None
    recipes = [criteria.recipe for criteria in station.recipes.values()]
    return Shots(
        names,
        [geometry.offsets[name] for name in names],
        apart=2 * max(recipe.position_tolerance_mm for recipe in recipes) * geometry.counts_per_mm,
        pitch=min(recipe.min_pitch_mm for recipe in recipes) * geometry.counts_per_mm,
    )


def _settle_ns(station: Station) -> int | None:
    settle_s = station.roles.settle_s
    return None if settle_s is None else int(settle_s * 1e9)
