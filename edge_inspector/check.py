"""`edge-inspector check`: what of a station works, found out without touching the line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from edge_inspector.config import Station, load_station
from edge_inspector.drivers import DriverSettings, Segmenter, load_driver
from edge_inspector.errors import CautionError, ConfigError, EdgeInspectorError, FrameIncompleteError
from edge_inspector.host_name import is_address
from edge_inspector.records import Identity
from edge_inspector.station_file import WebTable
from edge_inspector.store.state_folder import try_folder
from edge_inspector.texts import without_passwords
from edge_inspector.web.server import listen

_FRAME_WAIT_S = 2.0


class Row(NamedTuple):
    """One line of the table. WARN: it works, and a person should look into it."""

    kind: str
    name: str
    what: str
    outcome: Literal["ok", "WARN", "FAIL"] = "ok"


def check_station(path: Path) -> int:
    """Print a table of what works. 0: all of it, 1: not all. Raises ConfigError for faults on paper."""
    rows = list(_rows(load_station(path)))
    width = max(len(row.name) for row in rows)
    for row in rows:
        print(without_passwords(f"{row.outcome:4}  {row.kind:13}  {row.name:{width}}  {row.what}"))
    return 1 if any(row.outcome == "FAIL" for row in rows) else 0


def _rows(station: Station) -> Iterator[Row]:
    file = station.file
    yield Row("configuration", file.station.name, f"recipe {station.recipe.id} {station.recipe.name}")
    yield _row("state", "state_dir", partial(_state, station.state_dir))
    yield _row("page", f"{file.web.host}:{file.web.port}", partial(_page, file.web))
    yield _row("model", station.recipe.model, partial(_model, station.segmenter))
    if station.shadow is not None and file.shadow is not None:
        yield _row("shadow", file.shadow.model, partial(_model, station.shadow.segmenter))
    for camera, settings in zip(file.cameras, station.camera_settings, strict=True):
        yield _row("camera", camera.name, partial(_camera, camera.driver, camera.name, settings))
        yield from _cautions("camera", camera.name, settings)
    yield _row("encoder", file.encoder.driver, partial(_encoder, station))
    for link, settings in zip(file.plcs, station.plc_settings, strict=True):
        yield _row("link", link.name, partial(_link, station, link.driver, settings))
        yield from _cautions("link", link.name, settings)


def _row(kind: str, name: str, probe: Callable[[], str]) -> Row:
    try:
        return Row(kind, name, probe())
    except CautionError as error:
        return Row(kind, name, str(error), "WARN")
    except ConfigError as error:
        return Row(kind, name, "; ".join(str(fault) for fault in error.faults), "FAIL")
    except EdgeInspectorError as error:
        return Row(kind, name, str(error), "FAIL")


def _cautions(kind: str, name: str, settings: DriverSettings) -> Iterator[Row]:
    for caution in settings.cautions:
        yield Row(kind, name, caution, "WARN")
    host = getattr(settings, "host", None)
    if isinstance(host, str) and not is_address(host):
        what = (
            f"host {host!r} must be asked of a name server at each connection, and is lost with it: write its address"
        )
        yield Row(kind, name, what, "WARN")


def _state(folder: Path) -> str:
    return f"{folder}, {try_folder(folder) / 1e9:.1f} GB free"


def _page(settings: WebTable) -> str:
    with closing(listen(settings)):
        return f"{'http' if settings.certificate is None else 'https'}://{settings.host}:{settings.port}/ is free"


def _model(segmenter: Segmenter) -> str:
    try:
        segmenter.open()
        return f"{segmenter.info.label}, classes {', '.join(segmenter.info.classes)}"
    finally:
        segmenter.close()


def _camera(driver: str, name: str, settings: object) -> str:
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
