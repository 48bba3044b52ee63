"""Where triggers and views lie on the belt, and when a part can be at the gate: what the judge knows of places."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from edge_inspector import metrics
from edge_inspector.encoders.timeline import Latched, Timeline
from edge_inspector.errors import PositionPendingError, PositionUnknownError
from edge_inspector.inspection.tracking import PartTracker
from edge_inspector.records import ErrorCode, Part, PlacedView, Position, Reason, Trigger, View
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.s7.blocks import wrap32

_PATIENCE_NS = 500_000_000  # how long a trigger waits for the encoder's first sample, at most
_STAMP_LATE_S = 0.25  # what no transfer takes longer than, where a camera's clock is known by its arrivals alone


@dataclass(frozen=True, slots=True)
class Geometry:
    """The line in encoder counts, from the photo-eye."""

    counts_per_mm: float
    speed_max: float
    gate: int
    reserve: int
    offsets: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Announced:
    """A trigger that waits for its place; the fields are those of its part."""

    announced_ns: int
    unseen_ns: int
    plc_boot_id: int
    trigger: Trigger
    handicap: Reason
    recipe_id: int


class Placing:
    """Triggers and views wait here until the encoder can tell their place, or will not in time. One thread owns it.

    `close_enough`: with a bound of so many counts a view finds its part and need not wait to be exact. `longest` part,
    in counts.
    """

    def __init__(
        self, geometry: Geometry, timeline: Timeline, conditions: Conditions, close_enough: float, longest: float
    ) -> None:
        self._geometry = geometry
        self._timeline = timeline
        self._conditions = conditions
        self._close_enough = close_enough
        # A line-scan frame may be stamped when its last row has come.
        self._stamp_counts = 2 * longest + _STAMP_LATE_S * geometry.speed_max
        self._way_ns = int((geometry.gate - geometry.reserve) / geometry.speed_max * 1e9)
        self._patience_ns = min(_PATIENCE_NS, self._way_ns)
        self._triggers: list[Announced] = []
        self._views: list[View] = []

    @property
    def waits_for_encoder(self) -> bool:
        """Whether a view will be placed by the next sample."""
        return bool(self._views)

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
        """Whether the trigger became a part; otherwise the encoder has yet to speak of this PLC run."""
        trigger, lost = announced.trigger, announced.handicap is Reason.TRIGGER_LOST
        latched = None if lost else self._latched(trigger, announced.plc_boot_id)
        if latched is None and not (lost or last or now - announced.announced_ns >= self._patience_ns):
            return False
        count = trigger.count if latched is None else latched.count
        tracker.add_part(
            Part(
                trigger.part_seq,
                announced.plc_boot_id,
                self._timeline.epoch if latched is None else latched.epoch,
                count,
                0 if lost else count + self._geometry.gate,
                positioned=latched is not None,
                handicap=announced.handicap,
                announced_ns=announced.announced_ns,
                unseen_ns=announced.unseen_ns,
                recipe_id=announced.recipe_id,
            )
        )
        return True

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
            latched = self._timeline.unwrap(trigger.count)
        except PositionUnknownError:
            return None
        return latched if latched.boot_id == plc_boot_id else None

    def _position(self, view: View, now: int) -> Position:
        if view.encoder_count is None:
            return self._timeline.count_at(view.captured_ns, now, self._close_enough, view.captured_error_ns)
        latched = self._timeline.unwrap(wrap32(view.encoder_count))
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
