"""The pieces of a web and the pictures that overlap, from the station file."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from edge_inspector.cameras.overlapping import Overlap, OverlappingCamera
from edge_inspector.drivers import Camera
from edge_inspector.inspection.timeline import Timeline
from edge_inspector.inspection.web import WebGeometry
from edge_inspector.records import PlcInput
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.station.load import Station
from edge_inspector.station.tables import CameraTable, StationFile
from edge_inspector.watches.pieces import Pieces, WebPieces, likely_count
from edge_inspector.watches.placing import Geometry

_MOST_ROWS = 1 << 20


def overlapping(station: Station, table: CameraTable, camera: Camera, timeline: Timeline) -> Camera:
    """The camera, or what makes the pictures of a web from its pictures."""
    overlap = _overlap(station, table)
    return camera if overlap is None else OverlappingCamera(camera, overlap, partial(likely_count, timeline))


def web_geometry(station: Station) -> WebGeometry | None:
    """The lengths of a web's pieces. None for a line with parts."""
    file = station.file
    if file.roll is None:
        return None
    return WebGeometry(
        piece_mm=file.roll.piece_mm,
        rows_mm={each.name: each.offset_mm + _carried(file, each) * file.mm_per_row(each) for each in file.cameras},
        across_mm={each.name: each.across_mm for each in file.cameras},
        near_mm=_widest_mm(station),
        overlap_mm=file.roll.overlap_mm,
    )


def web_pieces(
    station: Station,
    geometry: Geometry,
    *,
    boot_id: int,
    tell: Callable[[PlcInput], object],
    timeline: Timeline,
    conditions: Conditions,
) -> WebPieces | None:
    """What announces the pieces of a web. None for a line with parts."""
    roll, scale = station.file.roll, geometry.counts_per_mm
    if roll is None:
        return None
    tolerances = [each.recipe.position_tolerance_mm for each in station.recipes.values()]
    length, first = round(roll.piece_mm * scale), station.file.cameras[0]
    shown = {
        each.name: geometry.offsets[each.name] + (length if each.line_counts else 0) for each in station.file.cameras
    }
    pieces = Pieces(
        length,
        tolerance=min(tolerances) * scale,
        camera=geometry.offsets[first.name],
        shown=shown[first.name],
        patience=min(length, geometry.gate - geometry.reserve - max(shown.values())) / 2,
        back=min(roll.overlap_mm, roll.piece_mm / 2) * scale,
    )
    return WebPieces(
        boot_id,
        tell,
        pieces=pieces,
        timeline=timeline,
        counter=geometry.counter,
        conditions=conditions,
        counts_per_mm=scale,
    )


def _overlap(station: Station, camera: CameraTable) -> Overlap | None:
    """How the pictures of a web must overlap."""
    file = station.file
    if file.roll is None:
        return None
    row_mm, tolerance_mm, carried = file.mm_per_row(camera), _widest_mm(station), _carried(file, camera)
    least_mm = file.roll.piece_mm - tolerance_mm
    if not carried:  # its pictures may begin up to the tolerance before or behind their pieces, and so may the pieces
        least_mm = file.roll.piece_mm + file.roll.overlap_mm + 3 * tolerance_mm
    return Overlap(
        carried=carried,
        row_counts=row_mm * file.line.scale,
        tolerance=tolerance_mm * file.line.scale,
        least=math.ceil(least_mm / row_mm),
        most=int((file.roll.piece_mm + tolerance_mm) / row_mm) if carried else _MOST_ROWS,
    )


def _carried(file: StationFile, camera: CameraTable) -> int:
    """Rows of a line camera's picture that are put before its next one."""
    if file.roll is None or camera.line_counts is None:
        return 0
    return math.ceil(file.roll.overlap_mm / file.mm_per_row(camera))


def _widest_mm(station: Station) -> float:
    """The largest tolerance of any recipe."""
    return max(each.recipe.position_tolerance_mm for each in station.recipes.values())
