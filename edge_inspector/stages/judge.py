"""The judge's thread: it assigns views to parts and gives each part its verdict. No other thread decides."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from edge_inspector import metrics
from edge_inspector.codes import Decision, ErrorCode, Reason, StationState
from edge_inspector.inspection.basis import Basis
from edge_inspector.inspection.control import Control
from edge_inspector.inspection.counter import as_told
from edge_inspector.inspection.decision import decide
from edge_inspector.inspection.recipe import Criteria
from edge_inspector.inspection.timeline import Timeline
from edge_inspector.inspection.tracking import Assembly, PartTracker
from edge_inspector.inspection.triggers import TriggerIntake
from edge_inspector.inspection.web import Rolls
from edge_inspector.records import (
    ArchiveItem,
    ChallengeRun,
    Command,
    CommandResult,
    JudgeItem,
    OpenPart,
    Part,
    PlcInput,
    Scene,
    StationStatus,
    Trigger,
    Verdict,
    View,
)
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.runtime.mailbox import Mailbox
from edge_inspector.watches.alarms import Telling
from edge_inspector.watches.challenge import ChallengeRunning, Challenging
from edge_inspector.watches.line import Watching
from edge_inspector.watches.placing import Announced, Geometry, Placing
from edge_inspector.watches.scale import Scaling

log = logging.getLogger(__name__)

_RECENTLY_S = 3.0  # if a view never arrived, a fault from this shortly before is named as the cause
_LOST_TOLD_NS = 500_000_000  # long enough that the PLC reads it between two exchanges
_HANGS_NS = 300_000_000  # together with one exchange this is still within one heartbeat
_SHOW_NS = 50_000_000  # a person who watches the belt notices no shorter delay
_RECENT = 256
# A verdict on a part that was not inspected and has this long until the gate may wait for a link's next exchange. Links
# exchange every 200 ms or more often.
_UNHURRIED_NS = 400_000_000


_LABELS = {decision: decision.name.lower() for decision in Decision}


class Judge:
    """Owns the parts between photo-eye and verdict. `backlog()` is how many frames wait for the model.

    It calls `arrived(ns)` with the time that a view took from the model to the judge. `seen()` are the lowest and
    highest value of the encoder's counter if they differ from the station file. Every time that decides something is
    read from `clock()`.
    """

    name = "judge"
    beat_within_s = 2.0

    def __init__(
        self,
        *,
        boot_id: int,
        geometry: Geometry,
        recipes: Mapping[int, Criteria],
        control: Control,
        basis: Basis,
        timeline: Timeline,
        inbox: Mailbox[JudgeItem],
        links: Sequence[Mailbox[Verdict]],
        archive: Mailbox[ArchiveItem],
        conditions: Conditions,
        backlog: Callable[[], int],
        arrived: Callable[[int], None],
        seen: Callable[[], tuple[int, int] | None] = lambda: None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._boot_id = boot_id
        self._geometry = geometry
        self._recipes = recipes
        self._control = control
        self._basis = basis
        self._timeline = timeline
        self._inbox = inbox
        self._links = links
        self._archive = archive
        self._conditions = conditions
        self._backlog = backlog
        self._arrived = arrived
        self._seen = seen
        self._clock = clock
        tolerances = {each: recipes[each].recipe.position_tolerance_mm * geometry.counts_per_mm for each in recipes}
        longest = max(each.recipe.part_length_mm for each in recipes.values()) * geometry.counts_per_mm
        pitch = min(each.recipe.min_pitch_mm for each in recipes.values()) * geometry.counts_per_mm
        self._watching = watching = Watching(geometry, timeline, conditions, pitch)
        self._placing = Placing(
            geometry,
            timeline,
            conditions,
            tolerance=min(tolerances.values()),
            longest=longest,
            direction=watching.direction,
            source=watching.source,
        )
        self._tracker = PartTracker(
            geometry.offsets,
            tolerances,
            geometry.reserve,
            geometry.gate,
            travel_error=geometry.travel_error,
            shots=geometry.shots.values(),
            expected={number: each.recipe.views for number, each in recipes.items()},
        )
        self._cameras = {view: camera for camera, views in geometry.shots.items() for view in views}
        self._scaling = Scaling(
            counts_per_mm=geometry.counts_per_mm,
            values=geometry.counter.span,
            recipes=recipes,
            timeline=timeline,
            conditions=conditions,
        )
        self._intake = TriggerIntake()
        self._telling = Telling(conditions)
        self._challenging = Challenging(control.challenge, conditions, self._keep_challenge)
        self._rolls = None if geometry.web is None else Rolls(geometry.web, geometry.counts_per_mm)
        if self._rolls is not None:
            control.new_roll = partial(self._begin_roll, self._rolls)
        self._plc: PlcInput | None = None
        self._unseen_ns = self._lost_ns = self._settled_ns = 0
        self._totals = dict.fromkeys(Decision, 0)
        self._seq = 0
        self._shown: tuple[OpenPart, ...] = ()
        self._show_next_ns = 0
        self._recent: deque[Verdict] = deque(maxlen=_RECENT)

    def start(self) -> None:
        """Continue. Parts survive a restart of the thread."""
        self._settled_ns = self._clock()

    def step(self) -> None:
        """Take the new items, find their positions, and decide the parts that are due."""
        for item in self._inbox.take(64, timeout_s=self._patience_s):
            self._receive(item)
        self._settle()

    def stop(self, *, failed: bool) -> None:
        """Decide all parts that are left, so that each has a verdict. After a failure the parts wait instead."""
        if failed:
            return
        for item in self._inbox.take(self._inbox.capacity, timeout_s=0.0):
            self._receive(item)
        self._settle(last=True)
        for assembly in self._tracker.left():
            self._pronounce(assembly, absent=lambda _: Reason.STOPPING)
        self._challenging.settle(self._clock(), stopping=True)
        self._control.stop()

    def submit(self, command: Command) -> None:
        """Hand over a command from any thread. The answer comes through its `reply`."""
        kept = replace(command, reply=partial(_answer, command))
        if self._inbox.put(kept) is not None:
            kept.reply(CommandResult("the station is too busy: try again", self._control.recipe_id))

    def status(self) -> StationStatus:
        """The state of the station that the links report. Any thread may ask.

        If the judge hangs, this is a fault at once. The supervisor notices it later, and until then the links would
        report that all is well.
        """
        state, error_code = self._conditions.state, self._conditions.error_code
        if state in (StationState.READY, StationState.DEGRADED, StationState.OFF) and self._hangs:
            state, error_code = StationState.FAULT, ErrorCode.WORKER_FAILED
        return StationStatus(
            state,
            error_code,
            self._control.recipe_id,
            parts=self._seq,
            rejected=self._totals[Decision.REJECT],
            not_inspected=self._totals[Decision.NOT_INSPECTED],
            busy=len(self._tracker) > 0,
            enabled=self._control.enabled,
            alarm=self._conditions.holds(ErrorCode.MANY_REJECTS),
        )

    def sampled(self) -> None:
        """The encoder has a new sample. If it can give a position that decides something, the judge looks at once."""
        if self._placing.waits_for_encoder:
            self._inbox.nudge()

    def scene(self) -> Scene:
        """The parts on the belt and the last verdicts, as they were a moment ago. Any thread may ask."""
        return Scene(self._shown, tuple(self._recent.copy()))

    @property
    def challenged(self) -> Mapping[int, ChallengeRun]:
        """The latest challenge of each recipe in this run. Any thread may ask."""
        return self._challenging.last

    @property
    def challenge(self) -> ChallengeRunning | None:
        """The challenge that runs now. Any thread may ask."""
        return self._challenging.running

    @property
    def _patience_s(self) -> float:
        """How long to wait for an item. With nothing on the belt, only items and samples can make it busy."""
        return 0.01 if len(self._tracker) or self._placing.waits_for_encoder else 0.05

    @property
    def _hangs(self) -> bool:
        return bool(self._settled_ns) and time.monotonic_ns() - self._settled_ns > _HANGS_NS

    def _begin_roll(self, rolls: Rolls, name: str) -> str:
        return rolls.change(name, self._timeline.newest, self._timeline.epoch)

    def _receive(self, item: JudgeItem) -> None:
        if isinstance(item, View):  # nearly all of them are
            if item.failure is Reason.NONE:
                self._arrived(time.monotonic_ns() - item.begun_ns - item.inference_ns)
            self._placing.see(item)
        elif isinstance(item, PlcInput):
            self._hear(item)
        else:
            now = self._clock()
            self._control.take(item, now, challenge=partial(self._begin_challenge, item.source, now))

    def _hear(self, heard: PlcInput) -> None:
        now = self._clock()
        self._watching.hear(heard, now)
        if heard.announces:
            self._announce(heard, now)
        challenge = partial(self._begin_challenge, "plc", now)
        self._control.hear(heard, whole=not self._intake.behind, challenge=challenge)
        if self._control.mismatch:
            self._conditions.set(
                ErrorCode.RECIPE_MISMATCH,
                "plc",
                f"the PLC expects recipe {heard.recipe_id}; there are: {', '.join(map(str, sorted(self._recipes)))}",
            )
        else:
            self._conditions.clear(ErrorCode.RECIPE_MISMATCH, "plc")

    def _announce(self, heard: PlcInput, now: int) -> None:
        self._plc = heard
        for trigger, handicap in self._intake.take(heard):
            metrics.parts_triggered.inc()
            if handicap is Reason.TRIGGER_LOST:
                self._tell_of_lost(trigger, now)
            unseen_ns = self._unseen_ns if handicap is Reason.NONE else 0
            if unseen_ns and trigger.at_ns is not None:
                unseen_ns = max(unseen_ns, trigger.at_ns - trigger.error_ns)
            recipe_id = self._control.recipe_id
            self._scaling.announced(heard.boot_id, trigger, handicap, recipe_id)
            self._placing.announce(
                Announced(
                    announced_ns=now,
                    unseen_ns=unseen_ns,
                    plc_boot_id=heard.boot_id,
                    trigger=trigger,
                    handicap=handicap,
                    recipe_id=recipe_id,
                    run=heard.run,
                )
            )
        if not self._intake.behind:
            self._unseen_ns = heard.asked_ns

    def _tell_of_lost(self, trigger: Trigger, now: int) -> None:
        self._lost_ns = now
        why = (
            f"part {trigger.part_seq} was there, and its announcement or its picture was lost or came too late"
            if trigger.lost
            else f"the PLC announced part {trigger.part_seq} and more than its ring holds before it could be read"
        )
        self._conditions.set(ErrorCode.PLC_TRIGGERS_LOST, "plc", why)

    def _settle(self, *, last: bool = False) -> None:
        now = self._settled_ns = self._clock()
        if self._lost_ns and now - self._lost_ns > _LOST_TOLD_NS:
            self._lost_ns = 0
            self._conditions.clear(ErrorCode.PLC_TRIGGERS_LOST, "plc")
        self._placing.settle(now, self._tracker, last=last)
        plc = self._plc
        self._tracker.void(self._timeline.epoch, plc.boot_id if plc else None, plc.run if plc else 0)
        if not self._watching.trusts(now, running=plc is not None and bool(plc.line_running)):
            self._tracker.distrust()
        ripe = self._tracker.ripe(self._timeline.furthest(now))
        for assembly in ripe.assemblies:
            self._pronounce(assembly, self._absent)
        if ripe.strays:
            metrics.frames_unmatched.inc(ripe.strays)
        metrics.parts_open.set(len(self._tracker))
        self._control.settle(now, self._tracker.recipes | self._placing.recipes)
        self._challenging.settle(now)
        self._telling.settle(self._control.off, self._recipes[self._control.recipe_id].recipe)
        if now >= self._show_next_ns:
            self._show_next_ns = now + _SHOW_NS
            self._shown = self._tracker.open_parts()

    def _absent(self, view: str) -> Reason:
        camera = self._cameras.get(view, view)
        for within_s in (0.0, _RECENTLY_S):
            if self._conditions.held(ErrorCode.CAMERA_LOST, camera, within_s):
                return Reason.CAMERA_LOST
            if self._conditions.held(ErrorCode.ENCODER_LOST, "encoder", within_s):
                return Reason.POSITION_UNKNOWN
            if self._conditions.held(ErrorCode.COUNT_MISMATCH, view, within_s):
                return Reason.POSITION_UNKNOWN
            if self._backlog():
                return Reason.LATE
        return Reason.FRAME_MISSING

    def _barred(self, part: Part) -> Reason:
        if self._control.off:
            return Reason.DISABLED
        if self._conditions.held(ErrorCode.RECIPE_MISMATCH, "plc"):
            return Reason.WRONG_RECIPE
        return Reason.CHALLENGE if self._challenging.blocks(part) else Reason.NONE

    def _begin_challenge(self, who: str, now: int) -> str:
        recipe_id = self._control.recipe_id
        refusal = self._challenging.begin(
            who=who, recipe_id=recipe_id, criteria=self._basis.fingerprint(recipe_id), now_ns=now
        )
        if refusal:
            log.warning("the challenge that %s asked for does not begin: %s", who, refusal)
        return refusal

    def _keep_challenge(self, run: ChallengeRun) -> None:
        log.info("challenge of recipe %d by %s: %s", run.recipe_id, run.who, run.why or "passed")
        metrics.challenges.labels("passed" if run.passed else "failed").inc()
        if self._archive.put(run) is not None:
            metrics.archive_left_out.labels("challenge").inc()

    def _pronounce(self, assembly: Assembly, absent: Callable[[str], Reason]) -> None:
        verdict = self._verdict(assembly, absent)
        # Everything that may fail is done by now. A part that failed above is still followed. A delivered one is not.
        self._tracker.leave(assembly.part)
        self._seq = verdict.seq
        self._totals[verdict.decision] += 1
        told = as_told(verdict, self._geometry.counter.within(self._seen()))
        hurry = verdict.decision is not Decision.NOT_INSPECTED or verdict.due_ns - verdict.decided_ns < _UNHURRIED_NS
        for link in self._links:
            if link.put(told, wake=hurry) is not None:
                metrics.verdicts_lost.labels(link.name).inc()
        if self._archive.put(told, wake=False) is not None:
            metrics.archive_left_out.labels("verdict").inc()
        self._recent.append(verdict)
        _count(verdict)
        if verdict.challenge:
            self._challenging.count(verdict)
        else:
            self._telling.count(verdict, self._recipes[verdict.recipe_id].recipe.alarm)
        self._scaling.judged(verdict)

    def _verdict(self, assembly: Assembly, absent: Callable[[str], Reason]) -> Verdict:
        criteria = self._recipes[assembly.part.recipe_id]
        recipe, scale = criteria.recipe, self._geometry.counts_per_mm
        judged = decide(
            assembly, recipe, criteria.limits, counts_per_mm=scale, absent=absent, barred=self._barred(assembly.part)
        )
        now = self._clock()
        views = tuple(assembly.views.values())
        return Verdict(
            boot_id=self._boot_id,
            seq=self._seq + 1,
            part=assembly.part,
            decision=judged.decision,
            reason=judged.reason,
            rejects=judged.rejects,
            grade=judged.grade,
            defects=tuple(defect for placed in views for defect in placed.view.defects),
            views=views,
            error_mm=judged.error_mm,
            recipe_id=recipe.id,
            recipe_hash=recipe.fingerprint,
            model=self._basis.model_of(recipe.id).label,
            decided_ns=now,
            due_ns=self._placing.due_ns(assembly.part, now),
            review=any(placed.view.doubtful for placed in views),
            missing_views=judged.missing_views,
            criteria=self._basis.fingerprint(recipe.id),
            challenge=self._challenging.name_of(assembly.part),
            stretch=None if self._rolls is None else self._rolls.stretch(assembly.part, views),
        )


def _answer(command: Command, result: CommandResult) -> None:
    metrics.commands.labels(command.name.value, "refused" if result.error else "done").inc()
    what = f"{command.name} {command.recipe_id or ''}".strip()
    log.info("command %s from %s: %s", what, command.source, result.error or "done")
    command.reply(result)


def _count(verdict: Verdict) -> None:
    metrics.of(metrics.parts_processed, _LABELS[verdict.decision]).inc()
    if verdict.decision is Decision.REJECT:
        metrics.parts_defective.inc()
    if verdict.decision is Decision.NOT_INSPECTED:
        metrics.of(metrics.parts_not_inspected, verdict.reason.label).inc()
    for defect in verdict.defects:
        metrics.defects_found.labels(defect.defect_class).inc()
    if verdict.views:
        metrics.capture_to_decision_seconds.observe(verdict.latency_ns / 1e9)
