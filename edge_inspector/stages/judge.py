"""The judge's thread: views to parts, parts to verdicts. It alone decides."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from edge_inspector import metrics
from edge_inspector.encoders.timeline import Timeline
from edge_inspector.errors import PositionPendingError, PositionUnknownError
from edge_inspector.inspection.control import Control
from edge_inspector.inspection.decision import decide
from edge_inspector.inspection.recipe import Criteria
from edge_inspector.inspection.tracking import Assembly, PartTracker
from edge_inspector.inspection.triggers import TriggerIntake
from edge_inspector.records import (
    ArchiveItem,
    Command,
    CommandResult,
    Decision,
    ErrorCode,
    JudgeItem,
    ModelInfo,
    OpenPart,
    Part,
    PlacedView,
    PlcInput,
    Position,
    Reason,
    Scene,
    StationStatus,
    Trigger,
    Verdict,
    View,
)
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.runtime.mailbox import Mailbox
from edge_inspector.s7.blocks import wrap32

log = logging.getLogger(__name__)

_RECENTLY_S = 3.0  # a view that never came is blamed on what was wrong this shortly before
_POSITION_PATIENCE_NS = 500_000_000  # how long a trigger waits for the encoder's first sample
_SHOW_NS = 50_000_000  # as often as somebody who watches the belt would notice
_RECENT = 256


@dataclass(frozen=True, slots=True)
class Geometry:
    """The line in encoder counts, from the photo-eye."""

    counts_per_mm: float
    speed_max: float
    gate: int
    reserve: int
    offsets: Mapping[str, int]


class Judge:
    """Owns the parts between photo-eye and verdict. `backlog()` is how many frames wait for the model.

    `arrived(ns)` is told how long a view took from the model to here.
    """

    name = "judge"
    beat_within_s = 2.0

    def __init__(
        self,
        boot_id: int,
        geometry: Geometry,
        recipes: Mapping[int, Criteria],
        control: Control,
        model: ModelInfo,
        timeline: Timeline,
        inbox: Mailbox[JudgeItem],
        links: Sequence[Mailbox[Verdict]],
        archive: Mailbox[ArchiveItem],
        conditions: Conditions,
        backlog: Callable[[], int],
        arrived: Callable[[int], None],
    ) -> None:
        self._boot_id = boot_id
        self._geometry = geometry
        self._recipes = recipes
        self._control = control
        self._model = model
        self._timeline = timeline
        self._inbox = inbox
        self._links = links
        self._archive = archive
        self._conditions = conditions
        self._backlog = backlog
        self._arrived = arrived
        tolerances = {each: recipes[each].recipe.position_tolerance_mm * geometry.counts_per_mm for each in recipes}
        # A view this well placed finds its part: it need not wait to be exact.
        self._close_enough = min(tolerances.values()) / 2
        self._tracker = PartTracker(
            geometry.offsets,
            tolerances,
            geometry.reserve,
            geometry.gate,
        )
        self._intake = TriggerIntake()
        self._unplaced: list[View] = []
        self._waiting: list[tuple[int, int, Trigger, Reason, int]] = []
        self._plc: PlcInput | None = None
        self._totals = dict.fromkeys(Decision, 0)
        self._seq = 0
        self._shown: tuple[OpenPart, ...] = ()
        self._show_next_ns = 0
        self._recent: deque[Verdict] = deque(maxlen=_RECENT)

    def start(self) -> None:
        """Nothing: parts survive a restart of the thread."""

    def step(self) -> None:
        """Take what came, place it, decide what is ripe."""
        for item in self._inbox.take(64, timeout_s=0.002 if self._unplaced else 0.01):
            self._receive(item)
        self._settle()

    def stop(self, *, failed: bool) -> None:
        """Decide everything that is left: nothing leaves without a verdict. After a failure the parts wait."""
        if failed:
            return
        for item in self._inbox.take(self._inbox.capacity, timeout_s=0.0):
            self._receive(item)
        self._settle()
        for assembly in self._tracker.drain():
            self._pronounce(assembly, absent=lambda _: Reason.STOPPING)
        self._control.stop()

    def submit(self, command: Command) -> None:
        """Hand a command over; it is answered through its `reply`. Any thread may."""
        kept = replace(command, reply=partial(_answer, command))
        if self._inbox.put(kept) is not None:
            kept.reply(CommandResult("the station is too busy: try again", self._control.recipe_id))

    def status(self) -> StationStatus:
        """What the links say of the station. Any thread may ask."""
        return StationStatus(
            self._conditions.state,
            self._conditions.error_code,
            self._control.recipe_id,
            self._seq,
            self._totals[Decision.REJECT],
            self._totals[Decision.NOT_INSPECTED],
            len(self._tracker) > 0,
            self._control.enabled,
        )

    def scene(self) -> Scene:
        """The parts on the belt and the last verdicts, a moment ago. Any thread may ask."""
        return Scene(self._shown, tuple(self._recent.copy()))

    def _receive(self, item: JudgeItem) -> None:
        if isinstance(item, PlcInput):
            self._hear(item)
        elif isinstance(item, Command):
            self._control.take(item, time.monotonic_ns())
        else:
            if item.failure is Reason.NONE:
                self._arrived(time.monotonic_ns() - item.begun_ns - item.inference_ns)
            self._unplaced.append(item)

    def _hear(self, heard: PlcInput) -> None:
        now = time.monotonic_ns()
        self._plc = heard
        for trigger, handicap in self._intake.take(heard):
            metrics.parts_triggered.inc()
            self._waiting.append((now, heard.boot_id, trigger, handicap, self._control.recipe_id))
        self._control.hear(heard)
        if self._control.mismatch:
            self._conditions.set(
                ErrorCode.RECIPE_MISMATCH,
                "plc",
                f"the PLC expects recipe {heard.recipe_id}; there are: {', '.join(map(str, sorted(self._recipes)))}",
            )
        else:
            self._conditions.clear(ErrorCode.RECIPE_MISMATCH, "plc")

    def _settle(self) -> None:
        now = time.monotonic_ns()
        self._waiting = [waiting for waiting in self._waiting if not self._admit(now, *waiting)]
        self._unplaced = [view for view in self._unplaced if not self._place(now, view)]
        self._tracker.void(self._timeline.epoch, self._plc.boot_id if self._plc else None)
        ripe = self._tracker.ripe(self._timeline.furthest(now))
        for assembly in ripe.assemblies:
            self._pronounce(assembly, self._absent)
        if ripe.strays:
            metrics.frames_unmatched.inc(len(ripe.strays))
        metrics.parts_open.set(len(self._tracker))
        self._control.settle(now, self._tracker.recipes.union(waiting[-1] for waiting in self._waiting))
        if now >= self._show_next_ns:
            self._show_next_ns = now + _SHOW_NS
            self._shown = self._tracker.open_parts()

    def _admit(
        self, now: int, since: int, plc_boot_id: int, trigger: Trigger, handicap: Reason, recipe_id: int
    ) -> bool:
        """Whether the trigger became a part; otherwise the encoder has yet to speak of this PLC run."""
        known = handicap is not Reason.TRIGGER_LOST and self._timeline.boot_id == plc_boot_id
        if not known and handicap is not Reason.TRIGGER_LOST and now - since < _POSITION_PATIENCE_NS:
            return False
        count = self._timeline.unwrap(trigger.count) if known else trigger.count
        due = count + self._geometry.gate if handicap is not Reason.TRIGGER_LOST else 0
        self._tracker.add_part(
            Part(
                trigger.part_seq,
                plc_boot_id,
                self._timeline.epoch,
                count,
                due,
                positioned=known,
                handicap=handicap,
                announced_ns=since,
                recipe_id=recipe_id,
            )
        )
        return True

    def _place(self, now: int, view: View) -> bool:
        """Whether the view was dealt with; otherwise the encoder's next sample decides."""
        try:
            if view.encoder_count is not None:
                position = Position(self._timeline.unwrap(wrap32(view.encoder_count)), 1.0, self._timeline.epoch)
            else:
                position = self._timeline.count_at(view.captured_ns, now, self._close_enough)
        except PositionPendingError:
            return False
        except PositionUnknownError:
            metrics.frames_evicted.labels(view.camera, Reason.POSITION_UNKNOWN.label).inc()
            return True
        metrics.position_error_mm.observe(position.error_counts / self._geometry.counts_per_mm)
        self._tracker.add_view(PlacedView(view, position))
        return True

    def _absent(self, camera: str) -> Reason:
        for within_s in (0.0, _RECENTLY_S):
            if self._conditions.held(ErrorCode.CAMERA_LOST, camera, within_s):
                return Reason.CAMERA_LOST
            if self._conditions.held(ErrorCode.ENCODER_LOST, "encoder", within_s):
                return Reason.POSITION_UNKNOWN
            if self._backlog():
                return Reason.LATE
        return Reason.FRAME_MISSING

    def _barred(self) -> Reason:
        if not self._control.enabled or (self._plc is not None and not self._plc.enable):
            return Reason.DISABLED
        return Reason.WRONG_RECIPE if self._conditions.held(ErrorCode.RECIPE_MISMATCH, "plc") else Reason.NONE

    def _pronounce(self, assembly: Assembly, absent: Callable[[str], Reason]) -> None:
        criteria = self._recipes[assembly.part.recipe_id]
        recipe, scale = criteria.recipe, self._geometry.counts_per_mm
        judged = decide(assembly, recipe, criteria.limits, scale, absent, self._barred())
        self._seq += 1
        self._totals[judged.decision] += 1
        now = time.monotonic_ns()
        views = tuple(assembly.views.values())
        verdict = Verdict(
            boot_id=self._boot_id,
            seq=self._seq,
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
            model=self._model.label,
            decided_ns=now,
            due_ns=now + self._way_left_ns(assembly.part, now),
            review=any(placed.view.doubtful for placed in views),
            missing_views=judged.missing_views,
        )
        for link in self._links:
            if link.put(verdict) is not None:
                metrics.verdicts_lost.labels(link.name).inc()
        if self._archive.put(verdict) is not None:
            metrics.archive_left_out.labels("verdict").inc()
        self._recent.append(verdict)
        _count(verdict)

    def _way_left_ns(self, part: Part, now: int) -> int:
        furthest = self._timeline.furthest(now)
        left = part.due_count - furthest if part.positioned and furthest is not None else self._geometry.reserve
        return int(max(0, left) / self._geometry.speed_max * 1e9)


def _answer(command: Command, result: CommandResult) -> None:
    metrics.commands.labels(command.name.value, "refused" if result.error else "done").inc()
    what = f"{command.name} {command.recipe_id or ''}".strip()
    log.info("command %s from %s: %s", what, command.source, result.error or "done")
    command.reply(result)


def _count(verdict: Verdict) -> None:
    metrics.parts_processed.labels(verdict.decision.name.lower()).inc()
    if verdict.decision is Decision.REJECT:
        metrics.parts_defective.inc()
    if verdict.decision is Decision.NOT_INSPECTED:
        metrics.parts_not_inspected.labels(verdict.reason.label).inc()
    for defect in verdict.defects:
        metrics.defects_found.labels(defect.defect_class).inc()
    if verdict.views:
        metrics.capture_to_decision_seconds.observe(verdict.latency_ns / 1e9)
