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


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The workers by what they do; they are started in this order's reverse and stopped in this order.

    Any thread may `submit` a command, have something kept by the archive (`keep`) and ask for the `status`.
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
        """All of them, in the order of starting: whoever receives is there before whoever sends."""
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
    station: Station, boot_id: int, conditions: Conditions, first_recipe: int, lock: StateLock | None = None
) -> Pipeline:
    """Everything connected, nothing started. The segmenter must be open. `first_recipe` judges at first.

    `lock` is that of the state folder; the archive sees to it that it lasts.
    """
    file, segmenter = station.file, station.segmenter
    geometry = line_geometry(station)
    timeline = line_timeline(station)
    jobs: Mailbox[Job] = Mailbox("jobs", file.segmenter.queue_frames, key=lambda job: job.decide_by)
    masks: Mailbox[Segmented] = Mailbox("masks", 64)
    inbox: Mailbox[JudgeItem] = Mailbox("judge", 4096)
    kept: Mailbox[ArchiveItem] = Mailbox("archive", 4096)
    album = Album(file.archive.album_mb * 2**20)
    verdicts: list[Mailbox[Verdict]] = [Mailbox(link.name, 4096) for link in file.plcs]

    encoder = load_driver("encoders", file.encoder.driver)(station.encoder_settings)
    speed = SpeedWatch(geometry.counts_per_mm, file.line.speed_max_mm_s, geometry.counter.span)
    counter = CounterWatch(geometry.counter.lowest, geometry.counter.highest, geometry.gate + geometry.reserve)
    track = Track(encoder, timeline, conditions, file.encoder.interval_ms / 1000, speed, counter)

    recipes = [criteria.recipe for criteria in station.recipes.values()]
    control = Control(station.recipes, first_recipe, conditions.reset)
    whole_parts = all(recipe.on_not_inspected == "reject" for recipe in recipes)
    admission = Admission(
        timeline.foreseen,
        min(recipe.position_tolerance_mm for recipe in recipes) * geometry.counts_per_mm,
        segmenter.workers,
        (lambda: max(len(each.recipe.views) for each in control.in_use)) if whole_parts else None,
    )
    guards = PictureGuards(station.state_dir, station.recipes, album, conditions)
    openings = Openings(station.state_dir, [camera.name for camera in file.cameras])
    acquire = []
    for table, settings in zip(file.cameras, station.camera_settings, strict=True):
        camera = load_driver("cameras", table.driver)(table.name, settings)
        to_line = geometry.gate - geometry.reserve - geometry.offsets[table.name]
        limits = partial(control.picture_limits, table.name)
        guard = partial(_guard_of, guards, control, table.name)
        acquire.append(
            Acquire(
                camera, to_line, timeline.estimate, admission, limits, guard, jobs, inbox, conditions, album, openings
            )
        )

    scales = {camera.name: camera.mm_per_px for camera in file.cameras}
    along = {camera.name: file.mm_per_row(camera) for camera in file.cameras}
    look = Look(lambda: control.in_use, segmenter.info, scales, along)
    measure = Measure(MaskAlarm(look, segmenter.info, conditions), masks, inbox, album)
    segment = [
        Segment(number, segmenter, admission, jobs, masks, measure.measure, inbox, conditions, album)
        for number in range(segmenter.workers)
    ]
    judge = Judge(
        boot_id,
        geometry,
        station.recipes,
        control,
        station.basis(),
        timeline,
        inbox,
        verdicts,
        kept,
        conditions,
        backlog=lambda: len(jobs),
        arrived=admission.judged,
        seen=lambda: counter.seen,
    )

    identity = Identity(
        file.station.name,
        boot_id,
        station.state_dir,
        geometry.counts_per_mm,
        tuple(segmenter.info.classes),
        file.line.speed_max_mm_s / min(recipe.min_pitch_mm for recipe in recipes),
    )
    report = []
    for link, settings, mailbox in zip(file.plcs, station.plc_settings, verdicts, strict=True):
        driver: PlcLink = load_driver("plcs", link.driver)(settings, identity)
        lost, full = _CODES.get(settings.peer_kind, (ErrorCode.PLC_LOST, ErrorCode.PLC_RING_FULL))
        report.append(
            Report(
                link.name,
                driver,
                lost,
                full,
                mailbox,
                inbox,
                judge.status,
                judge.submit,
                conditions,
                link.interval_ms / 1000,
                kept,
            )
        )

    facts = StationFacts(file.station.name, tuple(segmenter.info.classes), segmenter.info.stride, scales)
    drift = DriftWatch(station.state_dir, file.drift, conditions)
    archive = Archive(station.state_dir, file.archive, facts, kept, album, drift, guards, conditions, lock)

    shadow = []
    if station.shadow is not None:
        second = station.shadow.segmenter
        criteria = station.shadow.recipes
        other = Look(lambda: [criteria[each.recipe.id] for each in control.in_use], second.info, scales, along)
        cameras = [camera.name for camera in file.cameras]
        shadow.append(
            Shadow(second, look, other, cameras, lambda: len(jobs) > 0 or any(s.busy for s in segment), album, kept)
        )

    fifo = file.realtime.fifo_priority
    return Pipeline(
        acquire=[Worker(stage, fifo=fifo_of("acquire", fifo)) for stage in acquire],
        segment=[Worker(stage, cores=file.realtime.model_cores) for stage in segment],
        measure=[Worker(measure)],
        judge=[Worker(judge, fifo=fifo_of("judge", fifo))],
        # What only tells others may hang with its disk or broker: the PLC has its verdicts all the same.
        report=[
            Worker(stage, vital=settings.peer_kind is not PeerKind.BROKER, fifo=fifo_of("report", fifo))
            for stage, settings in zip(report, station.plc_settings, strict=True)
        ],
        track=[Worker(track, fifo=fifo_of("track", fifo))],
        archive=[Worker(archive, vital=False)],
        shadow=[Worker(stage, vital=False) for stage in shadow],
        notes=[Worker(Notes(openings), vital=False)],
        timeline=timeline,
        album=album,
        submit=judge.submit,
        status=judge.status,
        scene=judge.scene,
        keep=kept.put,
        drift=lambda: drift.state,
        guards=guards,
    )


def _guard_of(guards: PictureGuards, control: Control, camera: str) -> CameraGuard | None:
    return guards.of(control.recipe_id, camera)


def line_geometry(station: Station) -> Geometry:
    """The station file's millimetres as encoder counts."""
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
    """Where the belt was, with what the station file says of encoder and motion."""
    encoder, geometry = station.file.encoder, line_geometry(station)
    return Timeline(
        Motion(geometry.speed_max, station.file.line.acceleration_max_mm_s2 * geometry.counts_per_mm),
        stale_ns=int(encoder.stale_ms * 1e6),
        drift=encoder.drift_ppm * 1e-6,
        publish_ns=encoder.publish_delay_us * 1000,
        read_point=encoder.read_point,
        counter=geometry.counter,
    )
