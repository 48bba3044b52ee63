"""Where triggers and views lie on the belt, and when a part can be at the gate: what the judge knows of places."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from edge_inspector import metrics
from edge_inspector.encoders.counter import Counter
from edge_inspector.encoders.timeline import Latched, Timeline
from edge_inspector.errors import PositionPendingError, PositionUnknownError
from edge_inspector.inspection.line_watch import DirectionWatch, SourceWatch
from edge_inspector.inspection.tracking import PartTracker
from edge_inspector.records import ErrorCode, Part, PlacedView, Position, Reason, Trigger, View
from edge_inspector.runtime.conditions import Conditions

_PATIENCE_NS = 500_000_000  # how long a trigger waits for the encoder's first sample, at most
_SAMPLE_NS = 100_000_000  # how long it waits for the encoder sample that covers it
_SCAN_NS = 250_000_000  # a part may have passed the photo-eye one scan before a reading could show it, no PLC is slower
_STAMP_LATE_S = 0.25  # what no transfer takes longer than, where a camera's clock is known by its arrivals alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """The line in encoder counts, from the photo-eye."""

    counts_per_mm: float
    speed_max: float
    gate: int
    reserve: int
    offsets: Mapping[str, int]
    counter: Counter = Counter()  # noqa: RUF009 -- frozen


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """A trigger that waits for its place; the fields are those of its part."""

    announced_ns: int
    unseen_ns: int
    plc_boot_id: int
    trigger: Trigger
    handicap: Reason
    recipe_id: int
    run: int = 0


class Placing:
    """Triggers and views wait here until the encoder can tell their place, or will not in time. One thread owns it.

    `tolerance` is the least of any recipe, in counts: with half of it as a bound a view finds its part and need not
    wait to be exact. `longest` part, in counts. The watches hear where parts were latched.
    """

    def __init__(
        self,
        geometry: Geometry,
        timeline: Timeline,
        conditions: Conditions,
        *,
        tolerance: float,
        longest: float,
        direction: DirectionWatch,
        source: SourceWatch,
    ) -> None:
        self._geometry = geometry
        self._timeline = timeline
        self._conditions = conditions
        self._tolerance = tolerance
        self._direction = direction
        self._source = source
        # A line-scan frame may be stamped when its last row has come.
        self._stamp_counts = 2 * longest + _STAMP_LATE_S * geometry.speed_max
        self._way_ns = int((geometry.gate - geometry.reserve) / geometry.speed_max * 1e9)
        self._patience_ns = min(_PATIENCE_NS, self._way_ns)
        self._triggers: list[Announced] = []
        self._views: list[View] = []

    @property
    def waits_for_encoder(self) -> bool:
        """Whether a view or a trigger will be placed by the next sample."""
        return bool(self._views or self._triggers)

    @property
    def recipes(self) -> set[int]:
        """The recipes of the triggers that wait."""
        return {each.recipe_id for each in self._triggers}

    def announce(self, announced: Announced) -> None:
        """A part passed the photo-eye."""
        self._triggers.append(announced)

    def see(self, view: View) -> None:
        """A camera saw something."""
        self._views.append(view)

    def settle(self, now: int, tracker: PartTracker, *, last: bool = False) -> None:
        """Hand over what has a place now, and the parts that will not get one in time; all of them the `last` time.

        What fails is tried again, and what was handed over before it is not followed twice. A view whose place will
        never be known is dropped, and counted.
        """
        self._triggers = [each for each in self._triggers if not self._follow(each, now, tracker, last=last)]
        self._views = [view for view in self._views if not self._place(view, now, tracker)]

    def due_ns(self, part: Part, now: int) -> int:
        """The earliest time at which the part can be at the gate: the later of what belt and announcement allow."""
        furthest = self._timeline.furthest(now)
        known: list[int] = []
        if part.positioned and part.epoch == self._timeline.epoch and furthest is not None:
            known.append(now + int(max(0, part.due_count - furthest) / self._geometry.speed_max * 1e9))
        if part.unseen_ns:
            # Up to one scan of the PLC before it was shown; the reserve has room for one.
            known.append(part.unseen_ns + self._way_ns)
        return max(known, default=now + int(self._geometry.reserve / self._geometry.speed_max * 1e9))

    def _follow(self, announced: Announced, now: int, tracker: PartTracker, *, last: bool) -> bool:
        """Whether the trigger became a part; otherwise the encoder has yet to speak of its place."""
        try:
            tracker.add_part(self._part(announced, math.inf if last else now - announced.announced_ns))
        except PositionPendingError:
            return False
        return True

    def _part(self, announced: Announced, waited_ns: float) -> Part:
        """The part at its place, or without one. Raises PositionPendingError while it is worth waiting."""
        trigger, counter = announced.trigger, self._geometry.counter
        count, lost = counter.read(trigger.count), announced.handicap is Reason.TRIGGER_LOST
        nowhere = Part(
            part_seq=trigger.part_seq,
            plc_boot_id=announced.plc_boot_id,
            epoch=self._timeline.epoch,
            trigger_count=count,
            due_count=0 if lost else count + self._geometry.gate,
            positioned=False,
            handicap=announced.handicap,
            announced_ns=announced.announced_ns,
            unseen_ns=announced.unseen_ns,
            recipe_id=announced.recipe_id,
            run=announced.run,
        )
        if lost:
            return nowhere
        if not counter.can_show(trigger.count):
            self._source.never(trigger.part_seq, trigger.count, counter.lowest, counter.highest)
            return nowhere
        latched = self._latched(trigger, announced.plc_boot_id)
        if latched is None:
            if waited_ns < self._patience_ns:
                raise PositionPendingError
            return nowhere
        try:
            not_before_ns = self._not_before(announced, latched.count)
        except PositionPendingError:
            if waited_ns < min(_SAMPLE_NS, self._patience_ns):
                raise
            not_before_ns = _earliest(announced)
        if not_before_ns is None:
            return nowhere
        self._direction.trigger(trigger.part_seq, latched.count, latched.epoch)
        return replace(
            nowhere,
            epoch=latched.epoch,
            trigger_count=latched.count,
            due_count=latched.count + self._geometry.gate,
            positioned=True,
            not_before_ns=not_before_ns,
        )

    def _not_before(self, announced: Announced, count: int) -> int | None:
        """Before when the part cannot have been at the photo-eye; None, and told, where it never was by the record.

        Raises PositionPendingError while the encoder has yet to tell where the belt was when it was announced.
        """
        passage = self._timeline.passage(count, _earliest(announced), announced.announced_ns, self._tolerance)
        if passage.at_ns is None:
            told = self._geometry.counter.told
            ends = sorted((told(passage.lowest), told(passage.highest)))
            self._source.elsewhere(announced.trigger.part_seq, announced.trigger.count, *ends)
        else:
            self._source.here()
        return passage.at_ns

    def _place(self, view: View, now: int, tracker: PartTracker) -> bool:
        """Whether the view was dealt with; otherwise the encoder's next sample decides."""
        try:
            position = self._position(view, now)
        except PositionPendingError:
            return False
        except PositionUnknownError:
            metrics.frames_evicted.labels(view.camera, Reason.POSITION_UNKNOWN.label).inc()
            return True
        metrics.position_error_mm.observe(position.error_counts / self._geometry.counts_per_mm)
        tracker.add_view(PlacedView(view, position))
        return True

    def _latched(self, trigger: Trigger, plc_boot_id: int) -> Latched | None:
        try:
            latched = self._timeline.unwrap(trigger.count, self._geometry.gate // 2)
        except PositionUnknownError:
            return None
        return latched if latched.boot_id == plc_boot_id else None

    def _position(self, view: View, now: int) -> Position:
        if view.encoder_count is None:
            return self._timeline.count_at(view.captured_ns, now, self._tolerance / 2, view.captured_error_ns)
        latched = self._timeline.unwrap(view.encoder_count, self._geometry.gate // 2)
        self._compare(view, latched.count, now)
        return Position(latched.count, 1.0, latched.epoch)

    def _compare(self, view: View, count: int, now: int) -> None:
        """Hold the camera's own count against the encoder: a counter that was reset alone is worth nothing.

        Nearer than a late stamp explains nothing is wrong for sure; a view so far off finds no part as a rule.
        """
        try:
            timed = self._timeline.count_at(view.captured_ns, now, math.inf, view.captured_error_ns)
        except (PositionPendingError, PositionUnknownError):
            return
        away = count - timed.count
        if abs(away) <= timed.error_counts + self._stamp_counts:
            self._conditions.clear(ErrorCode.COUNT_MISMATCH, view.camera)
            return
        why = f"its encoder count is {away / self._geometry.counts_per_mm:+.0f} mm from where the PLC's is"
        self._conditions.set(ErrorCode.COUNT_MISMATCH, view.camera, why)
        raise PositionUnknownError(why)


def _earliest(announced: Announced) -> int:
    """The earliest that the part can have been at the photo-eye, as far as the announcement tells; 0: not known."""
    return max(0, announced.unseen_ns - _SCAN_NS) if announced.unseen_ns else 0
