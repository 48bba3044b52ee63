"""`edge-inspector check`: what of a station works, found out without touching the line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from edge_inspector.config import Station, load_station
from edge_inspector.drivers import Segmenter, load_driver
from edge_inspector.errors import ConfigError, EdgeInspectorError, Fault, FrameIncompleteError
from edge_inspector.inspection.mask_watch import MaskWatch, out_of_reach, remarks
from edge_inspector.records import Frame, Identity

_FRAME_WAIT_S = 2.0


def check_station(path: Path) -> int:
    """Print a table of what works. 0: all of it, 1: not all. Raises ConfigError for faults on paper."""
    station = load_station(path)
    file = station.file
    rows = [("configuration", file.station.name, f"recipe {station.recipe.id} {station.recipe.name}", True)]
    rows.append(_row("model", station.recipe.model, partial(_judging_model, station)))
    if station.shadow is not None and file.shadow is not None:
        rows.append(_row("shadow", file.shadow.model, partial(_model, station.shadow.segmenter)))
    frames: dict[str, Frame] = {}
    for camera, settings in zip(file.cameras, station.camera_settings, strict=True):
        rows.append(_row("camera", camera.name, partial(_camera, camera.driver, camera.name, settings, frames)))
    rows.append(_row("encoder", file.encoder.driver, partial(_encoder, station)))
    for link, settings in zip(file.plcs, station.plc_settings, strict=True):
        rows.append(_row("link", link.name, partial(_link, station, link.driver, settings)))
    width = max(len(name) for _, name, _, _ in rows)
    for kind, name, what, works in rows:
        print(f"{'ok  ' if works else 'FAIL'}  {kind:13}  {name:{width}}  {what}")
    for what in [*remarks(station.segmenter.info), *_limits_out_of_reach(station, frames)]:
        print(f"WARN  {'model':13}  {station.recipe.model:{width}}  {what}")
    return 0 if all(works for *_, works in rows) else 1


def _row(kind: str, name: str, probe: Callable[[], str]) -> tuple[str, str, str, bool]:
    try:
        return kind, name, probe(), True
    except ConfigError as error:
        return kind, name, "; ".join(str(fault) for fault in error.faults), False
    except EdgeInspectorError as error:
        return kind, name, str(error), False


def _judging_model(station: Station) -> str:
    found = _model(station.segmenter)
    # Before the first mask only a net complains of which its own file shows that it can find nothing.
    complaint = MaskWatch(station.segmenter.info).complaint(station.recipes.values())
    if complaint:
        raise ConfigError([Fault(station.recipe.model, f"no part can be found defective: {complaint}")])
    return found


def _limits_out_of_reach(station: Station, frames: Mapping[str, Frame]) -> Iterator[str]:
    file = station.file
    scales = {camera.name: (camera.mm_per_px, file.mm_per_row(camera)) for camera in file.cameras}
    for number, criteria in station.recipes.items():
        for name, limit in criteria.limits.items():
            if limit.min_confidence == 1.0:
                yield f"recipe {number}: min_confidence 1.0 of {name} leaves nothing but the value 255 to be a defect"
        for camera, frame in frames.items():
            height, width = frame.image.shape[:2]
            across, along = scales[camera]
            for name in out_of_reach(criteria, camera, width * across, height * along):
                yield f"recipe {number}: min_area_mm2 of {name} is more than all of {camera}'s picture: never a defect"


def _model(segmenter: Segmenter) -> str:
    try:
        segmenter.open()
        return f"{segmenter.info.label}, classes {', '.join(segmenter.info.classes)}"
    finally:
        segmenter.close()


def _camera(driver: str, name: str, settings: object, frames: dict[str, Frame]) -> str:
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
    frames[name] = frame
    height, width = frame.image.shape[:2]
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
    identity = Identity(
        station.file.station.name, 0, station.state_dir, station.file.line.counts_per_mm, station.segmenter.info.classes
    )
    found: str = load_driver("plcs", driver)(settings, identity).probe()
    return found
