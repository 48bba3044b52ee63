"""`edge-inspector check`: what of a station works, found out without touching the line."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from edge_inspector.config import Station, load_station
from edge_inspector.drivers import Segmenter, load_driver
from edge_inspector.errors import ConfigError, EdgeInspectorError, FrameIncompleteError
from edge_inspector.inspection.line_figures import Grade
from edge_inspector.line_check import measure_line, measure_pictures
from edge_inspector.records import Identity

_FRAME_WAIT_S = 2.0

Row = tuple[str, str, str, Grade]
"""What kind of thing, its name, what was found, and whether that is right."""


def check_station(path: Path) -> int:
    """Print a table of what works. 0: all of it, 1: not all. Raises ConfigError for faults on paper."""
    station = load_station(path)
    file = station.file
    rows: list[Row] = [
        ("configuration", file.station.name, f"recipe {station.recipe.id} {station.recipe.name}", Grade.OK)
    ]
    sizes: dict[str, tuple[int, int]] = {}
    rows.append(_row("model", station.recipe.model, partial(_model, station.segmenter)))
    if station.shadow is not None and file.shadow is not None:
        rows.append(_row("shadow", file.shadow.model, partial(_model, station.shadow.segmenter)))
    for camera, settings in zip(file.cameras, station.camera_settings, strict=True):
        rows.append(_row("camera", camera.name, partial(_camera, camera.driver, camera.name, settings, sizes)))
    rows += [("picture", *finding) for finding in measure_pictures(station, sizes)]
    rows.append(_row("encoder", file.encoder.driver, partial(_encoder, station)))
    reached = rows[-1][3] is Grade.OK
    for link, settings in zip(file.plcs, station.plc_settings, strict=True):
        rows.append(_row("link", link.name, partial(_link, station, link.driver, settings)))
        reached = reached and (link is not file.plcs[0] or rows[-1][3] is Grade.OK)
    if reached:
        rows += _line(station)
    width = max(len(name) for _, name, _, _ in rows)
    for kind, name, what, grade in rows:
        print(f"{grade:4}  {kind:13}  {name:{width}}  {what}")
    return 1 if any(grade is Grade.FAIL for *_, grade in rows) else 0


def _row(kind: str, name: str, probe: Callable[[], str]) -> Row:
    try:
        return kind, name, probe(), Grade.OK
    except ConfigError as error:
        return kind, name, "; ".join(str(fault) for fault in error.faults), Grade.FAIL
    except EdgeInspectorError as error:
        return kind, name, str(error), Grade.FAIL


def _line(station: Station) -> list[Row]:
    try:
        return [("line", *finding) for finding in measure_line(station, _identity(station))]
    except EdgeInspectorError as error:
        return [("line", "", str(error), Grade.FAIL)]


def _model(segmenter: Segmenter) -> str:
    try:
        segmenter.open()
        return f"{segmenter.info.label}, classes {', '.join(segmenter.info.classes)}"
    finally:
        segmenter.close()


def _camera(driver: str, name: str, settings: object, sizes: dict[str, tuple[int, int]]) -> str:
    camera = load_driver("cameras", driver)(name, settings)
    try:
        camera.open()
        frame = camera.grab(_FRAME_WAIT_S)
    except FrameIncompleteError as error:
        return f"opens; its first frame was damaged: {error}"
    finally:
        camera.close()
    if frame is None:
        return f"opens; no frame within {_FRAME_WAIT_S:g} s (not triggered?)"
    height, width = sizes[name] = frame.image.shape[0], frame.image.shape[1]
    return f"{width} x {height} px, {'grey' if frame.image.ndim == 2 else 'colour'}"


def _encoder(station: Station) -> str:
    encoder = load_driver("encoders", station.file.encoder.driver)(station.encoder_settings)
    try:
        encoder.open()
        sample = encoder.read()
    finally:
        encoder.close()
    return f"count {sample.count}, round trip {(sample.answered_ns - sample.asked_ns) / 1e6:.1f} ms"


def _link(station: Station, driver: str, settings: object) -> str:
    found: str = load_driver("plcs", driver)(settings, _identity(station)).probe()
    return found


def _identity(station: Station) -> Identity:
    scale = station.file.line.counts_per_mm
    return Identity(station.file.station.name, 0, station.state_dir, scale, station.segmenter.info.classes)
