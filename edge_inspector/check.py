"""`edge-inspector check`: what of a station works, found out without touching the line."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from edge_inspector.config import Station, load_station
from edge_inspector.drivers import Segmenter, load_driver
from edge_inspector.errors import ConfigError, DeviceError, EdgeInspectorError, FrameIncompleteError
from edge_inspector.records import Frame, Identity

_FRAME_WAIT_S = 2.0


def check_station(path: Path) -> int:
    """Print a table of what works. 0: all of it, 1: not all. Raises ConfigError for faults on paper."""
    station = load_station(path)
    file = station.file
    rows = [("configuration", file.station.name, f"recipe {station.recipe.id} {station.recipe.name}", True)]
    rows.append(_row("model", station.recipe.model, partial(_model, station.segmenter)))
    if station.shadow is not None and file.shadow is not None:
        rows.append(_row("shadow", file.shadow.model, partial(_model, station.shadow.segmenter)))
    for camera, settings in zip(file.cameras, station.camera_settings, strict=True):
        rows.append(_row("camera", camera.name, partial(_camera, station, camera.driver, camera.name, settings)))
    rows.append(_row("encoder", file.encoder.driver, partial(_encoder, station)))
    for link, settings in zip(file.plcs, station.plc_settings, strict=True):
        rows.append(_row("link", link.name, partial(_link, station, link.driver, settings)))
    width = max(len(name) for _, name, _, _ in rows)
    for kind, name, what, works in rows:
        print(f"{'ok  ' if works else 'FAIL'}  {kind:13}  {name:{width}}  {what}")
    return 0 if all(works for *_, works in rows) else 1


def _row(kind: str, name: str, probe: Callable[[], str]) -> tuple[str, str, str, bool]:
    try:
        return kind, name, probe(), True
    except ConfigError as error:
        return kind, name, "; ".join(str(fault) for fault in error.faults), False
    except EdgeInspectorError as error:
        return kind, name, str(error), False


def _model(segmenter: Segmenter) -> str:
    try:
        segmenter.open()
        return f"{segmenter.info.label}, classes {', '.join(segmenter.info.classes)}"
    finally:
        segmenter.close()


def _camera(station: Station, driver: str, name: str, settings: object) -> str:
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
    _place(station, frame)
    height, width = frame.image.shape[:2]
    return f"{width} x {height} px, {'grey' if frame.image.ndim == 2 else 'colour'}"


def _place(station: Station, frame: Frame) -> None:
    """Raises DeviceError where nobody could tell which part a picture shows."""
    speed, error_ms = station.file.line.speed_max_mm_s, frame.captured_error_ns / 1e6
    tolerance = min(each.recipe.position_tolerance_mm for each in station.recipes.values())
    if frame.encoder_count is None and error_ms / 1000 * speed > tolerance:
        raise DeviceError(
            f"{frame.camera}: its pictures were taken up to {error_ms:.0f} ms earlier or later than is known, and a "
            f"part moves {error_ms / 1000 * speed:.0f} mm in that time at line.speed_max_mm_s: more than the recipe's "
            f"position_tolerance_mm = {tolerance:g}, so that no part is inspected (position_unknown). Measure how late "
            "they are, and type the camera's latency_ms and latency_error_ms (docs/cameras.md)"
        )


def _encoder(station: Station) -> str:
    encoder = load_driver("encoders", station.file.encoder.driver)(station.encoder_settings)
    try:
        encoder.open()
        sample = encoder.read()
    finally:
        encoder.close()
    return f"count {sample.count}, round trip {(sample.answered_ns - sample.asked_ns) / 1e6:.1f} ms"


def _link(station: Station, driver: str, settings: object) -> str:
    identity = Identity(
        station.file.station.name, 0, station.state_dir, station.file.line.counts_per_mm, station.segmenter.info.classes
    )
    found: str = load_driver("plcs", driver)(settings, identity).probe()
    return found
