"""READ THIS FIRST: the stages and mailboxes of the daemon, in the order in which data flows.

camera x N -> acquire -> [jobs] -> segment x M -> [masks] -> measure -> [judge] -> judge -> [link] -> report -> links
encoder    -> track   -> timeline: where the belt was
PLC        -> report  -> [judge]: triggers
judge, report -> [archive] -> archive: results, and the pictures that measure, segment and acquire put into the album
album -> shadow -> [archive]: what a second model would have said, in spare time
recipes in use -> changeover: loads the model of a recipe whose model is not open
acquire    -> notes: which camera is being opened, in case the opening crashes the program
page       -> [logbook] -> logbook: what went wrong, what people did, and the counts of the shift
judge, album -> [tape] -> record: everything that decides, for a replay. Only if the station file asks for it
shadow, results -> rollout: watches a model that came over the network. Only if the station file accepts any
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

from edge_inspector import metrics
from edge_inspector.camera_process.camera import CameraProcess
from edge_inspector.codes import ErrorCode
from edge_inspector.drivers import DriverSettings, Encoder, PeerKind, PlcLink, load_driver
from edge_inspector.errors import DeviceError
from edge_inspector.inspection.admission import Admission
from edge_inspector.inspection.basis import Basis
from edge_inspector.inspection.challenge import ChallengeRules
from edge_inspector.inspection.control import Control
from edge_inspector.inspection.counter_watch import CounterWatch
from edge_inspector.inspection.decision import beyond_limits
from edge_inspector.inspection.picture_guard import CameraGuard
from edge_inspector.inspection.recipe import PictureLimits
from edge_inspector.inspection.scale_watch import SpeedWatch
from edge_inspector.inspection.timeline import Timeline
from edge_inspector.inspection.view import Look
from edge_inspector.plc.blocks import TRIGGER_SLOTS
from edge_inspector.records import (
    ArchiveItem,
    Change,
    Command,
    Identity,
    Job,
    JudgeItem,
    Scene,
    Segmented,
    StationStatus,
    Verdict,
    View,
)
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.runtime.mailbox import Mailbox
from edge_inspector.runtime.realtime import fifo_of
from edge_inspector.runtime.worker import Worker
from edge_inspector.shifts.files import shifts_path
from edge_inspector.shifts.head import head_of
from edge_inspector.shifts.switch import RecordSwitch
from edge_inspector.shifts.tape import FollowedTimeline, JudgesTimeline, Tape, TapedAlbum, TapedJudge
from edge_inspector.stages.acquire import Acquire
from edge_inspector.stages.archive import Archive
from edge_inspector.stages.changeover import Changeover
from edge_inspector.stages.judge import Judge
from edge_inspector.stages.logbook import Errand, Logbook, Noted
from edge_inspector.stages.measure import Measure
from edge_inspector.stages.notes import Notes
from edge_inspector.stages.record import Recording
from edge_inspector.stages.report import Report
from edge_inspector.stages.rollout import Rollout
from edge_inspector.stages.segment import Segment
from edge_inspector.stages.shadow import Shadow
from edge_inspector.stages.track import Track
from edge_inspector.station.adjustments import with_values
from edge_inspector.station.load import Station
from edge_inspector.station.tables import CameraTable
from edge_inspector.store.album import Album
from edge_inspector.store.challenges import StoredChallenge, read_challenges
from edge_inspector.store.lock import StateLock
from edge_inspector.store.openings import Openings
from edge_inspector.store.results_file import results_path
from edge_inspector.store.sidecar import MaskForm, StationFacts
from edge_inspector.watches.adjusting import AdjustableCamera, CameraOrder
from edge_inspector.watches.announcing import FrameParts
from edge_inspector.watches.challenge import subject_of
from edge_inspector.watches.challenge_due import ChallengeDue, Schedule
from edge_inspector.watches.drift import DriftState, DriftWatch
from edge_inspector.watches.masks import MaskAlarm
from edge_inspector.watches.pictures import PictureGuards
from edge_inspector.watches.pieces import WebPieces
from edge_inspector.watches.placing import Geometry, gate_time
from edge_inspector.watches.rollout_desk import RolloutDesk
from edge_inspector.watches.rollout_told import RolloutTeller
from edge_inspector.watches.rolls import RollByBit, RollTeller
from edge_inspector.watches.setup import CameraSetup
from edge_inspector.watches.shadow import ShadowTally
from edge_inspector.watches.users import UsersWatch
from edge_inspector.wiring.line import last_views, line_geometry, line_timing, scales_of, shots_of
from edge_inspector.wiring.roll import overlapping, web_pieces

log = logging.getLogger(__name__)

_CODES: dict[PeerKind | None, tuple[ErrorCode, ErrorCode]] = {
    PeerKind.BROKER: (ErrorCode.BROKER_LOST, ErrorCode.OUTBOX_FULL)
}


# Between two exchanges with the PLC while the belt stands: a third of the heartbeat that the PLC expects.
_REST_S = 0.06


def _stay() -> None:
    """Nobody need know."""


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
    changeover: list[Worker]
    logbook: list[Worker]
    record: list[Worker]
    rollout: list[Worker]
    timeline: Timeline
    album: Album
    submit: Callable[[Command], None]
    status: Callable[[], StationStatus]
    scene: Callable[[], Scene]
    keep: Callable[[ArchiveItem], object]
    write: Callable[[Errand], Errand | None]
    noted: Callable[[], Noted]
    drift: Callable[[], DriftState | None]
    guards: PictureGuards
    cameras: Mapping[str, AdjustableCamera]
    challenges: ChallengeDue
    recorder: RecordSwitch
    desk: RolloutDesk

    @property
    def workers(self) -> list[Worker]:
        """All workers in the order in which they start: a receiver starts before its sender."""
        return [
            *self.archive,
            *self.shadow,
            *self.notes,
            *self.changeover,
            *self.logbook,
            *self.record,
            *self.rollout,
            *self.track,
            *self.report,
            *self.judge,
            *self.measure,
            *self.segment,
            *self.acquire,
        ]


def build(
    station: Station,
    *,
    boot_id: int,
    conditions: Conditions,
    first_recipe: int,
    lock: StateLock | None = None,
    leave: Callable[[], None] = _stay,
) -> Pipeline:
    """Build and connect all workers without starting them.

    The models that are always open must be open. `first_recipe` judges at the start. `lock` is the lock of the state
    folder. The archive renews it when needed. `leave` ends the daemon at a stop, for a roll-out.
    """
    shared = _share(station, conditions, first_recipe, boot_id)
    openings = Openings(station.state_dir, [camera.name for camera in station.file.cameras])
    drift = DriftWatch(station.state_dir, station.file.drift, conditions)
    counter = _watch_counter(shared.geometry)
    look = _look(shared)
    encoder = load_driver("encoders", station.file.encoder.driver)(station.encoder_settings)
    _mark_vital(station, conditions)

    cameras = _cameras(station, conditions)
    measure = _measure(shared, look)
    segment = _segment(shared, measure)
    tape = _tape(shared, counter)
    judge = _judge(shared, boot_id, counter, tape)
    track = _track(shared, _with_rolls(shared, encoder), counter, judge)
    acquire = _acquire(shared, openings, encoder, judge, cameras=cameras)
    desk = RolloutDesk(station)
    report = _report(shared, _identity(shared, boot_id, desk), judge, track)
    archive = _archive(shared, drift, lock)
    shadow = _shadow(shared, look, segment)
    challenges = _challenges(shared, judge)
    logbook = _logbook(shared, boot_id, judge, challenges.look)

    realtime = station.file.realtime
    fifo = realtime.fifo_priority
    return Pipeline(
        acquire=[Worker(stage, fifo=fifo_of("acquire", fifo)) for stage in acquire],
        segment=[Worker(stage, cores=realtime.model_cores) for stage in segment],
        measure=[Worker(measure)],
        judge=[Worker(TapedJudge(judge, tape) if tape else judge, fifo=fifo_of("judge", fifo))],
        # These workers only report to others and may hang on a disk or broker. The PLC gets its verdicts all the same.
        report=[
            Worker(stage, vital=link.name in station.roles.vital, fifo=fifo_of("report", fifo))
            for stage, link in zip(report, station.file.plcs, strict=True)
        ],
        track=[Worker(track, fifo=fifo_of("track", fifo))],
        archive=[Worker(archive, vital=False)],
        shadow=[Worker(stage, vital=False) for stage in shadow],
        notes=[Worker(Notes(openings), vital=False)],
        changeover=[Worker(stage, vital=False) for stage in _changeover(shared)],
        logbook=[Worker(logbook, vital=False)],
        record=[Worker(each, vital=False) for each in _record(shared, boot_id, first_recipe, tape)],
        rollout=[Worker(each, vital=False) for each in _rollout(shared, desk, judge, shadow, leave=leave)],
        timeline=shared.timeline,
        album=shared.album,
        submit=judge.submit,
        status=judge.status,
        scene=judge.scene,
        keep=shared.archived.put,
        write=shared.errands.put,
        noted=lambda: logbook.now,
        drift=lambda: drift.state,
        guards=shared.guards,
        cameras={camera.name: camera for camera in cameras},
        challenges=challenges,
        recorder=shared.recorder,
        desk=desk,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shared:
    """What several stages use: first the mailboxes between them, named by who reads them."""

    jobs: Mailbox[Job]
    masks: Mailbox[Segmented]
    judged: Mailbox[JudgeItem]
    links: list[Mailbox[Verdict]]
    archived: Mailbox[ArchiveItem]
    errands: Mailbox[Errand]
    station: Station
    conditions: Conditions
    geometry: Geometry
    timeline: Timeline
    control: Control
    admission: Admission
    guards: PictureGuards
    album: Album
    parts: FrameParts | WebPieces | None
    recorder: RecordSwitch


def _share(station: Station, conditions: Conditions, first_recipe: int, boot_id: int) -> _Shared:
    file, geometry, record = station.file, line_geometry(station), station.file.record
    recorder = RecordSwitch(station.state_dir, budget_mb=record.budget_mb, at_start=record.at_start)
    taped = recorder.wanted
    timeline = line_timing(station).timeline(FollowedTimeline if taped else Timeline)
    album = _album(station)
    archived = Mailbox[ArchiveItem]("archive", 4096)
    judged = Mailbox[JudgeItem]("judge", 4096)
    parts = FrameParts(boot_id, judged.put, on_call=file.parts.on_call)
    pieces = web_pieces(station, geometry, boot_id=boot_id, tell=judged.put, timeline=timeline, conditions=conditions)
    control = Control(
        station.recipes,
        first_recipe,
        conditions.reset,
        changed=partial(_write_down, archived),
        call=parts.call,
        challenge=challenge_rules(station),
    )
    return _Shared(
        jobs=Mailbox("jobs", file.segmenter.queue_frames, key=lambda job: job.decide_by),
        masks=Mailbox("masks", 64),
        judged=judged,
        links=[Mailbox(link.name, 4096) for link in file.plcs],
        archived=archived,
        errands=Mailbox("logbook", 256),
        station=station,
        conditions=conditions,
        geometry=geometry,
        timeline=timeline,
        control=control,
        admission=_admission(station, timeline, control),
        guards=PictureGuards(station.state_dir, station.recipes, album, conditions),
        album=album,
        parts=pieces or (None if station.roles.camera is None else parts),
        recorder=recorder,
    )


def _album(station: Station) -> Album:
    file = station.file
    room = file.archive.album_mb * 2**20
    # A shadow model may object to a picture long after the verdict.
    released = (room, room) if file.shadow is not None else (room // 4, room // 16)
    return (TapedAlbum if file.record.budget_mb > 0 else Album)(room, *released)


def _write_down(archived: Mailbox[ArchiveItem], change: Change) -> None:
    if archived.put(change) is not None:
        metrics.archive_left_out.labels("change").inc()


def _admission(station: Station, timeline: Timeline, control: Control) -> Admission:
    recipes = [criteria.recipe for criteria in station.recipes.values()]
    whole_parts = all(recipe.on_not_inspected == "reject" for recipe in recipes)
    return Admission(
        timeline.foreseen,
        min(recipe.position_tolerance_mm for recipe in recipes) * station.file.line.scale,
        station.segmenter.workers,
        (lambda: max(len(each.recipe.views) for each in control.in_use)) if whole_parts else None,
        queue=station.file.segmenter.queue_frames,
    )


def _watch_counter(geometry: Geometry) -> CounterWatch:
    return CounterWatch(geometry.counter.lowest, geometry.counter.highest, geometry.gate + geometry.reserve)


def _mark_vital(station: Station, conditions: Conditions) -> None:
    """Without an announcing camera, or a link on which the gate depends, promise 1 is broken."""
    if station.roles.camera is not None:
        for code in (ErrorCode.CAMERA_LOST, ErrorCode.CAMERA_LEFT_OUT):
            conditions.is_vital(code, station.file.cameras[station.roles.camera].name)
    for link, settings in zip(station.file.plcs, station.plc_settings, strict=True):
        if link.name in station.roles.vital:
            for code in (*_codes_of(settings), ErrorCode.NO_SUBSCRIBER):
                conditions.is_vital(code, link.name)


def _with_rolls(shared: _Shared, encoder: Encoder) -> Encoder:
    tells = shared.station.encoder_settings.tells_rolls
    return RollByBit(cast("RollTeller", encoder), shared.judged.put) if tells else encoder


def _track(shared: _Shared, encoder: Encoder, counter: CounterWatch, judge: Judge) -> Track:
    file, geometry = shared.station.file, shared.geometry
    pieces = shared.parts.moved if isinstance(shared.parts, WebPieces) else _stay
    return Track(
        encoder,
        shared.timeline,
        conditions=shared.conditions,
        interval_s=file.encoder.interval_ms / 1000,
        speed=SpeedWatch(geometry.counts_per_mm, file.line.speed_max_mm_s, geometry.counter.span),
        counter=counter,
        moved=partial(_moved, pieces, judge.sampled),
    )


def _moved(*told: Callable[[], None]) -> None:
    """There is a new sample of the encoder."""
    for each in told:
        each()


def _cameras(station: Station, conditions: Conditions) -> list[AdjustableCamera]:
    apart, found = station.file.realtime.camera_processes, list[AdjustableCamera]()
    for table, settings in zip(station.file.cameras, station.camera_settings, strict=True):
        camera = (
            CameraProcess(table.name, table.driver, settings)
            if apart
            else load_driver("cameras", table.driver)(table.name, settings)
        )
        before = station.adjustments.get(table.name)  # the restart
        first = None if before is None else CameraOrder(with_values(table, settings, before.values), before, _ignore)
        found.append(AdjustableCamera(camera, conditions, first))
    return found


def _ignore(error: DeviceError | None) -> None:
    if error is not None:
        log.warning("%s", error)


def _acquire(
    shared: _Shared, openings: Openings, encoder: Encoder, judge: Judge, *, cameras: Sequence[AdjustableCamera]
) -> list[Acquire]:
    station, geometry = shared.station, shared.geometry
    setups = {camera.name: _setup(shared, judge, camera) for camera in station.file.cameras}
    announcer = station.roles.camera if station.file.roll is None else 0
    stages = [
        Acquire(
            overlapping(station, camera, device, shared.timeline),
            to_line={
                view.name: geometry.gate - geometry.reserve - geometry.offsets[view.name] for view in camera.views
            },
            estimate=shared.timeline.estimate,
            admission=shared.admission,
            limits=partial(_limits_of, shared.control, setups[camera.name]),
            guard=partial(_guard_of, shared.guards, shared.control, setups[camera.name]),
            jobs=shared.jobs,
            views=shared.judged,
            conditions=shared.conditions,
            album=shared.album,
            openings=openings,
            parts=shared.parts if at == announcer else None,
            counts=getattr(encoder, "see", None) if station.encoder_settings.reads_camera == camera.name else None,
            shots=shots_of(station, geometry, camera.name),
        )
        for at, (camera, device) in enumerate(zip(station.file.cameras, cameras, strict=True))
    ]
    for stage, setup in zip(stages, setups.values(), strict=True):
        stage.setup = setup
    return stages


def _look(shared: _Shared) -> Look:
    models = shared.station.models
    infos = models.infos if len(models) > 1 else {}
    return Look(lambda: shared.control.in_use, shared.station.segmenter.info, *scales_of(shared.station), infos)


def _measure(shared: _Shared, look: Look) -> Measure:
    return Measure(
        MaskAlarm(look, shared.conditions),
        shared.masks,
        shared.judged,
        shared.album,
        rejects=partial(_rejects, shared.control),
        rejected=shared.admission.rejected,
        completes=partial(_completes, shared.control, last_views(shared.station)),
    )


def _completes(control: Control, last: Mapping[int, Collection[str]], view: str) -> bool:
    """Whether this view is the last of a part by any recipe in use."""
    return any(view in last[each.recipe.id] for each in control.in_use)


def _rejects(control: Control, view: View) -> bool:
    """Whether each recipe in use rejects a part with this view."""
    return all(beyond_limits(view.by(each.recipe.id).defects, each.limits) for each in control.in_use)


def _segment(shared: _Shared, measure: Measure) -> list[Segment]:
    segmenter, models = shared.station.segmenter, shared.station.models
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
            models=models if len(models) > 1 else None,
            wanted=partial(_wanted, shared.control),
        )
        for number in range(segmenter.workers)
    ]


def _wanted(control: Control, view: str) -> set[str]:
    """The models of the recipes in use that name this view. Of all recipes in use, if none names it."""
    recipes = [criteria.recipe for criteria in control.in_use]
    return {recipe.model for recipe in recipes if view in recipe.views} or {recipe.model for recipe in recipes}


def _changeover(shared: _Shared) -> list[Changeover]:
    models, control = shared.station.models, shared.control
    if len(models) == 1 or len(models) == len(models.kept):
        return []
    return [Changeover(models, lambda: control.in_use, shared.conditions)]


def _judge(shared: _Shared, boot_id: int, counter: CounterWatch, tape: Tape | None) -> Judge:
    judge = partial(
        Judge,
        boot_id=boot_id,
        geometry=shared.geometry,
        recipes=shared.station.recipes,
        control=shared.control,
        links=shared.links,
        arrived=shared.admission.judged,
    )
    if tape is not None:
        return judge(
            basis=Basis(shared.station.recipes, tape.model, shared.station.scales),
            timeline=tape.timeline,
            inbox=tape.inbox,
            archive=tape.archive,
            conditions=tape.conditions,
            backlog=tape.waiting,
            seen=tape.seen,
            clock=tape.clock,
        )
    return judge(
        basis=shared.station.basis(),
        timeline=shared.timeline,
        inbox=shared.judged,
        archive=shared.archived,
        conditions=shared.conditions,
        backlog=lambda: len(shared.jobs),
        seen=lambda: counter.seen,
    )


def _tape(shared: _Shared, counter: CounterWatch) -> Tape | None:
    """What takes down the shift, if the station file asks for it."""
    if not isinstance(shared.timeline, FollowedTimeline) or not isinstance(shared.album, TapedAlbum):
        return None
    tape = Tape(
        line_timing(shared.station).timeline(partial(JudgesTimeline, shared.timeline.void)),
        inbox=shared.judged,
        archive=shared.archived,
        conditions=shared.conditions,
        waiting=lambda: len(shared.jobs) > 0,
        seen=lambda: counter.seen,
        model=lambda: shared.station.segmenter.info,
    )
    shared.timeline.follow = tape.follow
    shared.album.tape = shared.recorder.tape = tape
    return tape


def _record(shared: _Shared, boot_id: int, first_recipe: int, tape: Tape | None) -> list[Recording]:
    station = shared.station
    if tape is None:
        return []
    stage = Recording(
        tape,
        shifts_path(station.state_dir),
        budget=station.file.record.budget_mb * 2**20,
        min_free=station.file.archive.min_free_mb * 2**20,
        head=lambda: head_of(
            station,
            line_geometry(station),
            line_timing(station),
            boot_id=boot_id,
            first_recipe=first_recipe,
            challenge=challenge_rules(station),
        ),
        conditions=shared.conditions,
    )
    return [stage]


def _report(shared: _Shared, identity: Identity, judge: Judge, track: Track) -> list[Report]:
    station, stages = shared.station, []
    # A belt that starts may announce parts at once. Between two exchanges half of a PLC's ring may fill.
    rest_s = min(_REST_S, TRIGGER_SLOTS / 2 / identity.parts_per_s)
    resting = station.roles.link if station.roles.one_plc else None
    for at, (link, settings) in enumerate(zip(station.file.plcs, station.plc_settings, strict=True)):
        driver: PlcLink = load_driver("plcs", link.driver)(settings, identity)
        lost, full = _codes_of(settings)
        stages.append(
            Report(
                link.name,
                driver,
                lost=lost,
                full=full,
                verdicts=shared.links[at],
                heard=shared.judged,
                status=judge.status,
                submit=judge.submit,
                conditions=shared.conditions,
                interval_s=link.interval_ms / 1000,
                archive=shared.archived,
                announces=at == station.roles.link,
                punctual=link.name in station.roles.vital,
                rest_s=partial(_rest_s, track, rest_s if at == resting else 0.0),
            )
        )
        if link.name in station.roles.vital:
            stages[-1].queued = partial(shared.admission.queued, link.name)
    return stages


def _rest_s(track: Track, rest_s: float) -> float:
    """How far apart exchanges may be now."""
    return rest_s if track.stands else 0.0


def _codes_of(settings: DriverSettings) -> tuple[ErrorCode, ErrorCode]:
    """What it is called if a link is lost, and if it has no room."""
    return _CODES.get(settings.peer_kind, (ErrorCode.PLC_LOST, ErrorCode.PLC_RING_FULL))


def _identity(shared: _Shared, boot_id: int, desk: RolloutDesk) -> Identity:
    station, line = shared.station, shared.station.file.line
    return Identity(
        station=station.file.station.name,
        boot_id=boot_id,
        state_dir=station.state_dir,
        counts_per_mm=line.scale,
        defect_classes=station.models.classes,
        parts_per_s=line.speed_max_mm_s / min(each.recipe.min_pitch_mm for each in station.recipes.values()),
        promise=station.roles.promise,
        gate_time=partial(gate_time, shared.timeline, shared.geometry),
        rollout=lambda: desk.told,
    )


def _archive(shared: _Shared, drift: DriftWatch, lock: StateLock | None) -> Archive:
    station, models = shared.station, shared.station.models.infos
    scales, _ = scales_of(station)
    forms = {
        number: MaskForm(each.recipe.model, models[each.recipe.model].classes, models[each.recipe.model].stride)
        for number, each in station.recipes.items()
    }
    return Archive(
        station.state_dir,
        settings=station.file.archive,
        facts=StationFacts(station.file.station.name, forms, scales),
        inbox=shared.archived,
        album=shared.album,
        drift=drift,
        guards=shared.guards,
        conditions=shared.conditions,
        lock=lock,
        busy=lambda: len(shared.jobs) > station.segmenter.workers * station.segmenter.max_batch,
        forward_within_s=station.file.forward_within_s,
        edited=UsersWatch(station.state_dir, station.file.web.users).look,
    )


def _shadow(shared: _Shared, look: Look, segment: list[Segment]) -> list[Shadow]:
    station, control = shared.station, shared.control
    if station.shadow is None:
        return []
    second, criteria = station.shadow.segmenter, station.shadow.recipes
    stage = Shadow(
        second,
        first=look,
        second=Look(lambda: [criteria[each.recipe.id] for each in control.in_use], second.info, *scales_of(station)),
        cameras=[view.name for view in station.file.views],
        busy=lambda: len(shared.jobs) > 0 or any(stage.busy for stage in segment),
        album=shared.album,
        archive=shared.archived,
    )
    return [stage]


def _rollout(
    shared: _Shared, desk: RolloutDesk, judge: Judge, shadow: Sequence[Shadow], *, leave: Callable[[], None]
) -> list[Rollout]:
    station = shared.station
    if not station.file.rollout.accept:
        return []
    called = shared.parts if isinstance(shared.parts, FrameParts) else None
    stage = Rollout(
        desk,
        results=results_path(station.state_dir),
        quiet_s=station.file.rollout.quiet_s,
        tally=shadow[0].tally if shadow else ShadowTally(),
        status=judge.status,
        scene=judge.scene,
        challenged=lambda: judge.challenge is not None,
        hold=called.hold if called is not None else lambda: False,
        release=called.release if called is not None else _stay,
        keep=partial(_write_down, shared.archived),
        leave=leave,
        teller=RolloutTeller(desk, shared.conditions, stop_within_s=station.file.rollout.stop_within_h * 3600),
    )
    return [stage]


def challenge_rules(station: Station) -> ChallengeRules:
    """What the station is challenged with, from its file."""
    table = station.file.challenge
    return ChallengeRules(
        parts={
            number: found
            for number in station.recipes
            if (found := tuple(part for part in table.parts if part.recipe == number))
        },
        timeout_ns=int(table.timeout_s * 1e9),
        blocks=table.on_failure == "block",
        by_plc=table.plc_bit,
    )


def _challenges(shared: _Shared, judge: Judge) -> ChallengeDue:
    station, table, rules = shared.station, shared.station.file.challenge, challenge_rules(shared.station)
    for recipe_id in rules.parts if rules.blocks else ():
        for code in (ErrorCode.CHALLENGE_DUE, ErrorCode.CHALLENGE_FAILED):
            shared.conditions.is_vital(code, subject_of(recipe_id))
    watch = ChallengeDue(
        Schedule(
            shifts=station.file.station.shifts,
            each_shift=table.each_shift,
            every_h=table.every_h,
            grace_min=table.grace_min,
        ),
        last=_latest_challenges(shared) if rules.parts else {},
        ran=lambda: judge.challenged,
        runs=lambda: judge.challenge,
        challenged=lambda recipe_id: recipe_id in rules.parts,
        criteria=station.basis().fingerprint,
        conditions=shared.conditions,
    )
    watch.look(shared.control.recipe_id)  # before the first part
    return watch


def _latest_challenges(shared: _Shared) -> dict[int, StoredChallenge]:
    """The latest challenge of each recipe. If nobody can know, none was passed."""
    try:
        return {each.recipe_id: each for each in read_challenges(shared.station.state_dir)}
    except DeviceError as error:
        shared.conditions.set(ErrorCode.STATE_LOST, "challenges", str(error), until_reset=True)
        return {}


def _logbook(shared: _Shared, boot_id: int, judge: Judge, look: Callable[[int], None]) -> Logbook:
    station = shared.station
    return Logbook(
        station.state_dir,
        boot_id=boot_id,
        shifts=station.file.station.shifts,
        inbox=shared.errands,
        status=judge.status,
        conditions=shared.conditions,
        look=look,
        keep=partial(_write_down, shared.archived),
    )


def _setup(shared: _Shared, judge: Judge, camera: CameraTable) -> CameraSetup | None:
    recipes, control = shared.station.recipes, shared.control
    if not any(camera.name in criteria.recipe.features for criteria in recipes.values()):
        return None
    return CameraSetup(
        camera.name,
        [view.name for view in camera.views],
        recipes,
        in_force=lambda: control.recipe_id,
        scene=judge.scene,
    )


def _limits_of(control: Control, setup: CameraSetup | None, view: str) -> PictureLimits:
    return control.picture_limits(view, 0 if setup is None else setup.recipe_id)


def _guard_of(guards: PictureGuards, control: Control, setup: CameraSetup | None, view: str) -> CameraGuard | None:
    return guards.of(control.recipe_id if setup is None else setup.recipe_id, view)
