"""`edge-inspector check`: test what works at a station, without changing anything on the line."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel

from edge_inspector.commands.arguments import add_station
from edge_inspector.commands.check_line import measure_line, measure_pictures
from edge_inspector.drivers import DriverSettings, Encoder, PlcLink, Segmenter, load_driver
from edge_inspector.errors import (
    CautionError,
    ConfigError,
    DeviceError,
    EdgeInspectorError,
    Fault,
    FrameIncompleteError,
)
from edge_inspector.forwarding.bucket import probe as probe_bucket
from edge_inspector.forwarding.postgres import probe
from edge_inspector.host_name import is_address
from edge_inspector.inspection.line_figures import Grade
from edge_inspector.inspection.mask_watch import MaskWatch, advice, invalid, out_of_reach, remarks
from edge_inspector.inspection.picture_guard import guard_path, read_guard
from edge_inspector.records import Frame, Identity, ModelInfo
from edge_inspector.runtime.machine import resident_mb
from edge_inspector.settings import exposed
from edge_inspector.station.load import Station, load_station
from edge_inspector.station.tables import WebTable
from edge_inspector.store.state_folder import try_folder
from edge_inspector.texts import without_passwords
from edge_inspector.web.server import listen

_FRAME_WAIT_S = 2.0


class CheckLine(NamedTuple):
    """One line of the table. WARN: it works, but a person should look into it."""

    kind: str
    name: str
    what: str
    grade: Grade = Grade.OK


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The station."""
    add_station(parser)


def run(given: argparse.Namespace) -> int:
    """Print a table of the tests. Returns 0 if all passed, 1 if not. Raises ConfigError for a wrong configuration."""
    rows = list(_rows(load_station(given.station)))
    width = max(len(row.name) for row in rows)
    for row in rows:
        print(without_passwords(f"{row.grade:4}  {row.kind:13}  {row.name:{width}}  {row.what}"))
    return 1 if any(row.grade is Grade.FAIL for row in rows) else 0


def _rows(station: Station) -> Iterator[CheckLine]:
    file = station.file
    yield CheckLine("configuration", file.station.name, f"recipe {station.recipe.id} {station.recipe.name}")
    yield from (CheckLine("trust", "files", what, Grade.WARN) for what in station.untrusted)
    yield _row("state", "state_dir", partial(_state, station.state_dir))
    yield _row("page", f"{file.web.host}:{file.web.port}", partial(_page, file.web))
    yield from _exposed("page", "secrets", file.web)
    if file.store is not None:
        yield _row("store", file.store.host, partial(probe, file.store))
        yield from (CheckLine("store", file.store.host, what, Grade.WARN) for what in file.store.cautions)
    if file.bucket is not None:
        yield _row("bucket", file.bucket.bucket, partial(probe_bucket, file.bucket))
        yield from (CheckLine("bucket", file.bucket.bucket, what, Grade.WARN) for what in file.bucket.cautions)
    yield from _models(station)
    if station.shadow is not None and file.shadow is not None:
        yield _row("shadow", file.shadow.model, partial(_model, station.shadow.segmenter))
    frames: dict[str, Frame] = {}  # by view
    for camera, settings in zip(file.cameras, station.camera_settings, strict=True):
        yield _row(
            "camera",
            camera.name,
            partial(_camera, station, driver=camera.driver, name=camera.name, settings=settings, frames=frames),
        )
        frames |= {view.name: frames[camera.name] for view in camera.views if camera.name in frames}
        yield from _cautions("camera", camera.name, settings)
    sizes = {name: (frame.image.shape[0], frame.image.shape[1]) for name, frame in frames.items()}
    yield from _uncompared(station, frames)
    yield from (CheckLine("picture", *finding) for finding in measure_pictures(station, sizes))
    yield from (
        CheckLine("limits", station.recipe.model, what, Grade.WARN) for what in _limits_out_of_reach(station, frames)
    )
    yield from _guards(station)
    encoder = _row("encoder", file.encoder.driver, partial(_encoder, station))
    yield encoder
    yield from _exposed("encoder", file.encoder.driver, station.encoder_settings)
    reached = encoder.grade is not Grade.FAIL
    for link, settings in zip(file.plcs, station.plc_settings, strict=True):
        found = _row("link", link.name, partial(_link, station, link.driver, settings))
        announces = station.roles.link is not None and link is file.plcs[station.roles.link]
        reached = reached and not (announces and found.grade is Grade.FAIL)
        yield found
        yield from _cautions("link", link.name, settings)
    if reached and station.encoder_settings.reads_camera is None and not station.encoder_settings.travel_error:
        yield from _line(station)


def _row(kind: str, name: str, probe: Callable[[], str]) -> CheckLine:
    try:
        return CheckLine(kind, name, probe())
    except CautionError as error:
        return CheckLine(kind, name, str(error), Grade.WARN)
    except ConfigError as error:
        return CheckLine(kind, name, "; ".join(str(fault) for fault in error.faults), Grade.FAIL)
    except EdgeInspectorError as error:
        return CheckLine(kind, name, str(error), Grade.FAIL)


def _line(station: Station) -> list[CheckLine]:
    try:
        return [CheckLine("line", *finding) for finding in measure_line(station, _identity(station))]
    except EdgeInspectorError as error:
        return [CheckLine("line", "", str(error), Grade.FAIL)]


def _guards(station: Station) -> Iterator[CheckLine]:
    """For each recipe, whether a picture without a part would be refused."""
    for number, criteria in sorted(station.recipes.items()):
        recipe, path = criteria.recipe, guard_path(station.state_dir, number)
        wanted = [camera for camera in recipe.views if recipe.picture_limits(camera).guard == "taught"]
        try:
            taught = read_guard(path).cameras if path.exists() else {}
        except ConfigError as error:
            yield CheckLine("guard", f"recipe {number}", str(error), Grade.FAIL)
            continue
        bare = [camera for camera in wanted if camera not in taught]
        if bare:
            what = (
                f"nothing guards {', '.join(bare)} against a picture without a part: edge-inspector guard STATION.toml "
                f"--recipe {number}, or Teach on the page's Health view"
            )
            yield CheckLine("guard", f"recipe {number}", what, Grade.WARN)
        else:
            yield CheckLine("guard", f"recipe {number}", f"taught for {', '.join(wanted)}" if wanted else "none wanted")


def _uncompared(station: Station, frames: Mapping[str, Frame]) -> Iterator[CheckLine]:
    """The areas that could not be compared with a picture, because their camera gave none."""
    for number, criteria in sorted(station.recipes.items()):
        for camera in criteria.recipe.regions:
            if camera not in frames:
                what = (
                    f"regions.{camera} of recipe {number} was not compared with a picture, because {camera} gave none: "
                    "trigger it while check runs"
                )
                yield CheckLine("picture", camera, what, Grade.WARN)


def _exposed(kind: str, name: str, table: BaseModel) -> Iterator[CheckLine]:
    for key, path in exposed(table):
        yield CheckLine(kind, name, f"others can read {key}: chmod o-rwx {path}", Grade.WARN)


def _cautions(kind: str, name: str, settings: DriverSettings) -> Iterator[CheckLine]:
    for caution in settings.cautions:
        yield CheckLine(kind, name, caution, Grade.WARN)
    yield from _exposed(kind, name, settings)
    host = getattr(settings, "host", None)
    if isinstance(host, str) and not is_address(host):
        what = (
            f"host {host!r} must be asked of a name server at each connection, and is lost with it: write its address"
        )
        yield CheckLine(kind, name, what, Grade.WARN)


def _state(folder: Path) -> str:
    return f"{folder}, {try_folder(folder) / 1e9:.1f} GB free"


def _page(settings: WebTable) -> str:
    with closing(listen(settings)):
        return f"{'http' if settings.certificate is None else 'https'}://{settings.host}:{settings.port}/ is free"


def _models(station: Station) -> Iterator[CheckLine]:
    """Each model, and whether those of other recipes can stay open beside the first."""
    needed: dict[str, float] = {}
    for name in station.models.infos:
        yield _row("model", name, partial(_judging_model, station, name, needed))
        info = station.models.infos[name]
        said = filter(None, (*remarks(info), advice(info), *_obliging(info)))
        yield from (CheckLine("model", name, what, Grade.WARN) for what in said)
    first, *others = station.models.infos
    if others:
        budget, together = station.file.segmenter.preload_mb, sum(needed.get(name, 0.0) for name in others)
        what = f"{', '.join(others)} need {together:.0f} MB beside {first}, segmenter.preload_mb = {budget}"
        if together <= budget:
            yield CheckLine("model", "memory", f"{what}: all stay open, and a change of the recipe has no gap")
        else:
            what += ": at a change to a model that is not open its parts are not inspected until it is (changing)"
            yield CheckLine("model", "memory", what, Grade.WARN)


def _obliging(info: ModelInfo) -> Iterator[str]:
    """Licences that oblige whoever passes the model on, or lets others use it over a network."""
    for licence in info.licences:
        if "GPL" in licence.upper():
            yield f"its licence is {licence[:200]}: find out what that obliges you to"


def _judging_model(station: Station, name: str, needed: dict[str, float]) -> str:
    before_mb = resident_mb()
    try:
        station.models.open(name)
        needed[name] = max(0.0, resident_mb() - before_mb)
    finally:
        station.models.close(name)
    info = station.models.infos[name]
    # Before the first mask, `remarks` has a complaint only if the model's own file shows that it can find nothing.
    judged = [criteria for criteria in station.recipes.values() if criteria.recipe.model == name]
    if unusable := invalid(info):
        raise ConfigError([Fault(name, unusable)])
    complaint = MaskWatch(info).complaint(judged)
    if complaint:
        raise ConfigError([Fault(name, f"no part can be found defective: {complaint}")])
    return _told(info)


def _limits_out_of_reach(station: Station, frames: Mapping[str, Frame]) -> Iterator[str]:
    file = station.file
    scales = {camera.name: (camera.mm_per_px, file.mm_per_row(camera)) for camera in file.views}
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
        return _told(segmenter.info)
    finally:
        segmenter.close()


def _told(info: ModelInfo) -> str:
    """What runs. The first word about a first stage is its label."""
    behind = f", behind {info.before.split()[0]}" if info.before else ""
    return f"{info.label}, classes {', '.join(info.classes)}{behind}"


def _camera(station: Station, *, driver: str, name: str, settings: object, frames: dict[str, Frame]) -> str:
    camera = load_driver("cameras", driver)(name, settings)
    try:
        camera.open()
        frame = camera.grab(_FRAME_WAIT_S)
    except FrameIncompleteError as error:
        return f"opens, but its first frame was damaged: {error}"
    finally:
        camera.close()
    if frame is None:
        return f"opens, but no frame came within {_FRAME_WAIT_S:g} s (not triggered?)"
    frames[name] = frame
    _place(station, frame)
    height, width = frame.image.shape[:2]
    return f"{width} x {height} px, {'grey' if frame.image.ndim == 2 else 'colour'}"


def _place(station: Station, frame: Frame) -> None:
    """Test that a picture can be assigned to its part by its timestamp. Raises DeviceError."""
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
    if sample is None:
        return "no picture has brought a count yet"
    return f"count {sample.count}, round trip {(sample.answered_ns - sample.asked_ns) / 1e6:.1f} ms"


def _link(station: Station, driver: str, settings: object) -> str:
    link: PlcLink = load_driver("plcs", driver)(settings, _identity(station))
    same = _address(settings) is not None and _address(settings) == _address(station.encoder_settings)
    return _beside_the_encoder(station, link) if same else link.probe()


def _address(settings: object) -> tuple[object, object] | None:
    host = getattr(settings, "host", None)
    return None if host is None else (host, getattr(settings, "port", None))


def _beside_the_encoder(station: Station, link: PlcLink) -> str:
    """Test the link while the encoder is connected, as in the daemon. Some PLCs accept one client only."""
    encoder: Encoder = load_driver("encoders", station.file.encoder.driver)(station.encoder_settings)
    try:
        encoder.open()
        encoder.read()
    except DeviceError:
        encoder.close()
        return link.probe()  # the encoder's own row shows a fault of the encoder
    try:
        found = link.probe()
        encoder.read()
    except DeviceError as error:
        encoder.close()
        link.probe()
        raise DeviceError(f"it works alone, but not while the encoder is connected as well: {error}") from error
    finally:
        encoder.close()
    return found


def _identity(station: Station) -> Identity:
    return Identity(
        station=station.file.station.name,
        boot_id=0,
        state_dir=station.state_dir,
        counts_per_mm=station.file.line.scale,
        defect_classes=station.models.classes,
    )
