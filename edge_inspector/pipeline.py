"""READ THIS FIRST: the stages and mailboxes of the daemon, in the order in which data flows.

camera x N -> acquire -> [jobs] -> segment x M -> [masks] -> measure -> [judge] -> judge -> [link] -> report -> links
encoder    -> track   -> timeline: where the belt was
PLC        -> report  -> [judge]: triggers
judge, report -> [archive] -> archive: results, and the pictures that measure, segment and acquire put into the album
album -> shadow -> [archive]: what a second model would have said, in spare time
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from edge_inspector.config import Station
from edge_inspector.drivers import PeerKind, PlcLink, load_driver
from edge_inspector.encoders.timeline import Motion, Timeline
from edge_inspector.inspection.admission import Admission
from edge_inspector.inspection.control import Control
from edge_inspector.inspection.counter_watch import CounterWatch
from edge_inspector.inspection.picture_guard import CameraGuard
from edge_inspector.inspection.scale_watch import SpeedWatch
from edge_inspector.inspection.view import Look
from edge_inspector.records import (
    ArchiveItem,
    Command,
    ErrorCode,
    Identity,
    Job,
    JudgeItem,
    Scene,
    Segmented,
    StationStatus,
    Verdict,
)
from edge_inspector.runtime.album import Album
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.runtime.mailbox import Mailbox
from edge_inspector.runtime.realtime import fifo_of
from edge_inspector.runtime.worker import Worker
from edge_inspector.stages.acquire import Acquire
from edge_inspector.stages.archive import Archive
from edge_inspector.stages.drift import DriftState, DriftWatch
from edge_inspector.stages.guard import PictureGuards
from edge_inspector.stages.judge import Judge
from edge_inspector.stages.mask_alarm import MaskAlarm
from edge_inspector.stages.measure import Measure
from edge_inspector.stages.notes import Notes
from edge_inspector.stages.placing import Geometry
from edge_inspector.stages.report import Report
from edge_inspector.stages.segment import Segment
from edge_inspector.stages.shadow import Shadow
from edge_inspector.stages.track import Track
from edge_inspector.store.lock import StateLock
from edge_inspector.store.openings import Openings
from edge_inspector.store.sidecar import StationFacts

_CODES: dict[PeerKind | None, tuple[ErrorCode, ErrorCode]] = {
    PeerKind.BROKER: (ErrorCode.BROKER_LOST, ErrorCode.OUTBOX_FULL)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """The workers by their task. They start in the reverse of this order and stop in this order.

    Any thread may `submit` a command, give the archive an item to `keep`, and ask for the `status`.
    """

    acquire: list[Worker]
    segment: list[Worker]
    measure: list[Worker]
    judge: list[Worker]
    report: list[Worker]
    track: list[Worker]
    archive: list[Worker]
    shadow: list[Worker]
    notes: list[Worker]
    timeline: Timeline
    album: Album
    submit: Callable[[Command], None]
    status: Callable[[], StationStatus]
    scene: Callable[[], Scene]
    keep: Callable[[ArchiveItem], object]
    drift: Callable[[], DriftState | None]
    guards: PictureGuards

    @property
    def workers(self) -> list[Worker]:
        """All workers in the order in which they start: a receiver starts before its sender."""
        return [
            *self.archive,
            *self.shadow,
            *self.notes,
            *self.track,
            *self.report,
            *self.judge,
            *self.measure,
            *self.segment,
            *self.acquire,
        ]


def build(
    station: Station, *, boot_id: int, conditions: Conditions, first_recipe: int, lock: StateLock | None = None
) -> Pipeline:
    """Build and connect all workers without starting them.

    The segmenter must be open. `first_recipe` judges at the start. `lock` is the lock of the state folder. The archive
    renews it when needed.
    """
    shared = _share(station, conditions, first_recipe)
    openings = Openings(station.state_dir, [camera.name for camera in station.file.cameras])
    drift = DriftWatch(station.state_dir, station.file.drift, conditions)
    counter = _watch_counter(shared.geometry)
    look = _look(shared)

    acquire = _acquire(shared, openings)
    measure = Measure(MaskAlarm(look, station.segmenter.info, conditions), shared.masks, shared.judged, shared.album)
    segment = _segment(shared, measure)
    track = _track(shared, counter)
    judge = _judge(shared, boot_id, counter)
    report = _report(shared, boot_id, judge)
    archive = _archive(shared, drift, lock)
    shadow = _shadow(shared, look, segment)

    realtime = station.file.realtime
    fifo = realtime.fifo_priority
    return Pipeline(
        acquire=[Worker(stage, fifo=fifo_of("acquire", fifo)) for stage in acquire],
        segment=[Worker(stage, cores=realtime.model_cores) for stage in segment],
        measure=[Worker(measure)],
        judge=[Worker(judge, fifo=fifo_of("judge", fifo))],
        # These workers only report to others and may hang on a disk or broker. The PLC gets its verdicts all the same.
        report=[
            Worker(stage, vital=settings.peer_kind is not PeerKind.BROKER, fifo=fifo_of("report", fifo))
            for stage, settings in zip(report, station.plc_settings, strict=True)
        ],
        track=[Worker(track, fifo=fifo_of("track", fifo))],
        archive=[Worker(archive, vital=False)],
        shadow=[Worker(stage, vital=False) for stage in shadow],
        notes=[Worker(Notes(openings), vital=False)],
        timeline=shared.timeline,
        album=shared.album,
        submit=judge.submit,
        status=judge.status,
        scene=judge.scene,
        keep=shared.archived.put,
        drift=lambda: drift.state,
        guards=shared.guards,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shared:
    """What several stages use: first the mailboxes between them, named by who reads them."""

    jobs: Mailbox[Job]
    masks: Mailbox[Segmented]
    judged: Mailbox[JudgeItem]
    links: list[Mailbox[Verdict]]
    archived: Mailbox[ArchiveItem]
    station: Station
    conditions: Conditions
    geometry: Geometry
    timeline: Timeline
    control: Control
    admission: Admission
    guards: PictureGuards
    album: Album


def _share(station: Station, conditions: Conditions, first_recipe: int) -> _Shared:
    file, geometry, timeline = station.file, line_geometry(station), line_timeline(station)
    album = Album(file.archive.album_mb * 2**20)
    control = Control(station.recipes, first_recipe, conditions.reset)
    return _Shared(
        jobs=Mailbox("jobs", file.segmenter.queue_frames, key=lambda job: job.decide_by),
        masks=Mailbox("masks", 64),
        judged=Mailbox("judge", 4096),
        links=[Mailbox(link.name, 4096) for link in file.plcs],
        archived=Mailbox("archive", 4096),
        station=station,
        conditions=conditions,
        geometry=geometry,
        timeline=timeline,
        control=control,
        admission=_admission(station, timeline, control),
        guards=PictureGuards(station.state_dir, station.recipes, album, conditions),
        album=album,
    )


def _admission(station: Station, timeline: Timeline, control: Control) -> Admission:
    recipes = [criteria.recipe for criteria in station.recipes.values()]
    whole_parts = all(recipe.on_not_inspected == "reject" for recipe in recipes)
    return Admission(
        timeline.foreseen,
        min(recipe.position_tolerance_mm for recipe in recipes) * station.file.line.scale,
        station.segmenter.workers,
        (lambda: max(len(each.recipe.views) for each in control.in_use)) if whole_parts else None,
    )


def _watch_counter(geometry: Geometry) -> CounterWatch:
    return CounterWatch(geometry.counter.lowest, geometry.counter.highest, geometry.gate + geometry.reserve)


def _track(shared: _Shared, counter: CounterWatch) -> Track:
    file, geometry = shared.station.file, shared.geometry
    return Track(
        load_driver("encoders", file.encoder.driver)(shared.station.encoder_settings),
        shared.timeline,
        conditions=shared.conditions,
        interval_s=file.encoder.interval_ms / 1000,
        speed=SpeedWatch(geometry.counts_per_mm, file.line.speed_max_mm_s, geometry.counter.span),
        counter=counter,
    )


def _acquire(shared: _Shared, openings: Openings) -> list[Acquire]:
    station, geometry = shared.station, shared.geometry
    return [
        Acquire(
            load_driver("cameras", camera.driver)(camera.name, settings),
            to_line=geometry.gate - geometry.reserve - geometry.offsets[camera.name],
            estimate=shared.timeline.estimate,
            admission=shared.admission,
            limits=partial(shared.control.picture_limits, camera.name),
            guard=partial(_guard_of, shared.guards, shared.control, camera.name),
            jobs=shared.jobs,
            views=shared.judged,
            conditions=shared.conditions,
            album=shared.album,
            openings=openings,
        )
        for camera, settings in zip(station.file.cameras, station.camera_settings, strict=True)
    ]


def _look(shared: _Shared) -> Look:
    return Look(lambda: shared.control.in_use, shared.station.segmenter.info, *_scales(shared.station))


def _segment(shared: _Shared, measure: Measure) -> list[Segment]:
    segmenter = shared.station.segmenter
    return [
        Segment(
            number,
            segmenter,
            admission=shared.admission,
            jobs=shared.jobs,
            masks=shared.masks,
            measure=measure.measure,
            views=shared.judged,
            conditions=shared.conditions,
            album=shared.album,
        )
        for number in range(segmenter.workers)
    ]


def _judge(shared: _Shared, boot_id: int, counter: CounterWatch) -> Judge:
    return Judge(
        boot_id=boot_id,
        geometry=shared.geometry,
        recipes=shared.station.recipes,
        control=shared.control,
        basis=shared.station.basis(),
        timeline=shared.timeline,
        inbox=shared.judged,
        links=shared.links,
        archive=shared.archived,
        conditions=shared.conditions,
        backlog=lambda: len(shared.jobs),
        arrived=shared.admission.judged,
        seen=lambda: counter.seen,
    )


def _report(shared: _Shared, boot_id: int, judge: Judge) -> list[Report]:
    station, identity, stages = shared.station, _identity(shared.station, boot_id), []
    for link, settings, verdicts in zip(station.file.plcs, station.plc_settings, shared.links, strict=True):
        driver: PlcLink = load_driver("plcs", link.driver)(settings, identity)
        lost, full = _CODES.get(settings.peer_kind, (ErrorCode.PLC_LOST, ErrorCode.PLC_RING_FULL))
        stages.append(
            Report(
                link.name,
                driver,
                lost=lost,
                full=full,
                verdicts=verdicts,
                heard=shared.judged,
                status=judge.status,
                submit=judge.submit,
                conditions=shared.conditions,
                interval_s=link.interval_ms / 1000,
                archive=shared.archived,
            )
        )
    return stages


def _identity(station: Station, boot_id: int) -> Identity:
    line = station.file.line
    return Identity(
        station=station.file.station.name,
        boot_id=boot_id,
        state_dir=station.state_dir,
        counts_per_mm=line.scale,
        defect_classes=tuple(station.segmenter.info.classes),
        parts_per_s=line.speed_max_mm_s / min(each.recipe.min_pitch_mm for each in station.recipes.values()),
    )


def _archive(shared: _Shared, drift: DriftWatch, lock: StateLock | None) -> Archive:
    station, model = shared.station, shared.station.segmenter.info
    scales, _ = _scales(station)
    return Archive(
        station.state_dir,
        settings=station.file.archive,
        facts=StationFacts(station.file.station.name, tuple(model.classes), model.stride, scales),
        inbox=shared.archived,
        album=shared.album,
        drift=drift,
        guards=shared.guards,
        conditions=shared.conditions,
        lock=lock,
    )


def _shadow(shared: _Shared, look: Look, segment: list[Segment]) -> list[Shadow]:
    station, control = shared.station, shared.control
    if station.shadow is None:
        return []
    second, criteria = station.shadow.segmenter, station.shadow.recipes
    stage = Shadow(
        second,
        first=look,
        second=Look(lambda: [criteria[each.recipe.id] for each in control.in_use], second.info, *_scales(station)),
        cameras=[camera.name for camera in station.file.cameras],
        busy=lambda: len(shared.jobs) > 0 or any(stage.busy for stage in segment),
        album=shared.album,
        archive=shared.archived,
    )
    return [stage]


def _scales(station: Station) -> tuple[dict[str, float], dict[str, float]]:
    """Of each camera: millimetres per pixel, and per row."""
    cameras = station.file.cameras
    across = {camera.name: camera.mm_per_px for camera in cameras}
    return across, {camera.name: station.file.mm_per_row(camera) for camera in cameras}


def _guard_of(guards: PictureGuards, control: Control, camera: str) -> CameraGuard | None:
    return guards.of(control.recipe_id, camera)


def line_geometry(station: Station) -> Geometry:
    """The line's lengths from the station file, converted from millimetres to encoder counts."""
    line = station.file.line
    scale = line.scale
    return Geometry(
        counts_per_mm=scale,
        speed_max=line.speed_max_mm_s * scale,
        gate=round(line.gate_mm * scale),
        reserve=round(line.reserve_ms / 1000 * line.speed_max_mm_s * scale),
        offsets={camera.name: round(camera.offset_mm * scale) for camera in station.file.cameras},
        counter=station.file.counter,
    )


def line_timeline(station: Station) -> Timeline:
    """The timeline of belt positions, with the encoder and motion settings of the station file."""
    encoder, geometry = station.file.encoder, line_geometry(station)
    return Timeline(
        Motion(geometry.speed_max, station.file.line.acceleration_max_mm_s2 * geometry.counts_per_mm),
        stale_ns=int(encoder.stale_ms * 1e6),
        drift=encoder.drift_ppm * 1e-6,
        publish_ns=encoder.publish_delay_us * 1000,
        read_point=encoder.read_point,
        counter=geometry.counter,
    )
