"""Positions of triggers and views on the belt, and the time at which a part can be at the gate, for the judge."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from edge_inspector import metrics
from edge_inspector.codes import ErrorCode, Reason
from edge_inspector.errors import PositionPendingError, PositionUnknownError
from edge_inspector.inspection.counter import Counter
from edge_inspector.inspection.line_watch import DirectionWatch, SourceWatch
from edge_inspector.inspection.timeline import Latched, Timeline
from edge_inspector.inspection.tracking import PartTracker
from edge_inspector.inspection.web import WebGeometry
from edge_inspector.records import GateTime, Part, PlacedView, Position, Trigger, Verdict, View
from edge_inspector.runtime.conditions import Conditions

_PATIENCE_NS = 500_000_000  # longest wait of a trigger for the encoder's first sample
_SAMPLE_NS = 100_000_000  # longest wait of a trigger for the encoder sample that covers it
# A part may have passed the photo-eye one scan before a reading could show it. No PLC has a longer scan.
_SCAN_NS = 250_000_000
_AGAIN_NS = 20_000_000  # waiting items are looked at this often even without a new sample: their patience may end
_STAMP_LATE_S = 0.25  # longest transfer of a picture, if a camera's clock is known from the arrival of pictures only


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """The line in encoder counts, measured from the photo-eye. `offsets` is the way to each view.

    `shots` are the views of each camera that takes several pictures of a part.

    `travel_error` is how wrong a distance may be, as a fraction. `one_plc`: triggers and encoder come from one PLC, and
    both say from which run of it. `settle_ns` is how long the belt takes to run evenly after a start, if nobody counts
    it and it can stop. `web` is set if there are no parts, but pieces of a web.
    """

    counts_per_mm: float
    speed_max: float
    gate: int
    reserve: int
    offsets: Mapping[str, int]
    shots: Mapping[str, Sequence[str]] = field(default_factory=dict)
    counter: Counter = Counter()  # noqa: RUF009 -- frozen
    travel_error: float = 0.0
    one_plc: bool = True
    settle_ns: int | None = None
    web: WebGeometry | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """A trigger that waits for its position. The fields are those of its part."""

    announced_ns: int
    unseen_ns: int
    plc_boot_id: int
    trigger: Trigger
    handicap: Reason
    recipe_id: int
    run: int = 0


class Placing:
    """Triggers and views wait here until the encoder gives their position, or until it is too late.

    One thread owns it. `tolerance` is the smallest tolerance of all recipes, in counts. A view whose error bound is at
    most half of it need not wait for a better position. `longest` is the longest part, in counts. The watches get the
    counts at which parts were latched.
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
        # A line-scan frame may have the timestamp of its last row.
        self._stamp_counts = 2 * longest + _STAMP_LATE_S * geometry.speed_max
        self._way_ns = int((geometry.gate - geometry.reserve) / geometry.speed_max * 1e9)
        self._patience_ns = min(_PATIENCE_NS, self._way_ns)
        self._triggers: list[Announced] = []
        self._views: list[View] = []
        self._tried = 0, 0  # the first so many of them wait for the next sample
        self._news = -1
        self._looked_ns = 0

    @property
    def waits_for_encoder(self) -> bool:
        """Whether the next encoder sample can decide something. Any thread may ask.

        It gives the position of a waiting trigger or view. A view that was not inspected can wait.
        """
        return bool(self._triggers) or any(view.failure is Reason.NONE for view in self._views)

    @property
    def recipes(self) -> set[int]:
        """The recipes of the triggers that wait."""
        return {each.recipe_id for each in self._triggers}

    def announce(self, announced: Announced) -> None:
        """Add a part that passed the photo-eye."""
        self._triggers.append(announced)

    def see(self, view: View) -> None:
        """Add a view from a camera."""
        self._views.append(view)

    def settle(self, now: int, tracker: PartTracker, *, last: bool = False) -> None:
        """Hand over the items that have a position now, and the parts that will not get one in time.

        With `last` it hands over all of them. After a failure it tries again, and no part is handed over twice. A view
        whose position can never be known is dropped and counted.
        """
        news = self._timeline.news
        if last or news != self._news or now - self._looked_ns > _AGAIN_NS:
            self._news, self._looked_ns, self._tried = news, now, (0, 0)
        triggers, views = self._tried
        self._triggers[triggers:] = [
            each for each in self._triggers[triggers:] if not self._follow(each, now, tracker, last=last)
        ]
        self._views[views:] = [view for view in self._views[views:] if not self._place(view, now, tracker)]
        self._tried = len(self._triggers), len(self._views)

    def due_ns(self, part: Part, now: int) -> int:
        """The earliest time at which the part can be at the gate: the later of the two limits.

        One limit comes from the belt's position, the other from the time of the announcement.
        """
        furthest = self._timeline.furthest(now)
        known: list[int] = []
        if part.positioned and part.epoch == self._timeline.epoch and furthest is not None:
            known.append(now + int(max(0, part.due_count - furthest) / self._geometry.speed_max * 1e9))
        if part.unseen_ns:
            # The part passed up to one scan of the PLC before it was shown. The reserve has room for one scan.
            known.append(part.unseen_ns + self._way_ns)
        return max(known, default=now + int(self._geometry.reserve / self._geometry.speed_max * 1e9))

    def _follow(self, announced: Announced, now: int, tracker: PartTracker, *, last: bool) -> bool:
        """Whether the trigger became a part. If not, the encoder cannot give its position yet."""
        try:
            tracker.add_part(self._part(announced, math.inf if last else now - announced.announced_ns))
        except PositionPendingError:
            return False
        return True

    def _part(self, announced: Announced, waited_ns: float) -> Part:
        """The part at its position, or without one. Raises PositionPendingError as long as it is worth waiting."""
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
            part_id=trigger.part_id,
            called=trigger.called,
        )
        if lost:
            return nowhere
        if not trigger.latched:
            return self._timed(announced, nowhere, waited_ns)
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

    def _timed(self, announced: Announced, nowhere: Part, waited_ns: float) -> Part:
        """The part where the belt was at the time of its trigger. Raises PositionPendingError as `_part` does."""
        at_ns, error_ns = announced.trigger.at_ns or 0, announced.trigger.error_ns
        try:
            now = announced.announced_ns + (0 if math.isinf(waited_ns) else int(waited_ns))
            position = self._timeline.count_at(at_ns, now, self._tolerance / 2, error_ns)
        except PositionPendingError:
            if waited_ns < min(_SAMPLE_NS, self._patience_ns):
                raise
            return nowhere
        except PositionUnknownError:
            return nowhere
        count = round(position.count)
        return replace(
            nowhere,
            epoch=position.epoch,
            trigger_count=count,
            due_count=count + self._geometry.gate,
            positioned=True,
            not_before_ns=at_ns - error_ns,
            error_counts=position.error_counts,
        )

    def _not_before(self, announced: Announced, count: int) -> int | None:
        """The earliest time at which the part can have been at the photo-eye.

        None if the encoder record never shows the belt at this count. This is then reported as well. Raises
        PositionPendingError if the record does not reach the time of the announcement yet.
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
        """Whether the view was handled. If not, the encoder's next sample decides."""
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
        return latched if latched.boot_id == plc_boot_id or not self._geometry.one_plc else None

    def _position(self, view: View, now: int) -> Position:
        if view.encoder_count is not None and not self._timeline.epoch and now - view.captured_ns < _PATIENCE_NS:
            raise PositionPendingError  # the first picture of a camera that has the encoder
        if view.encoder_count is None:
            return self._timeline.count_at(view.captured_ns, now, self._tolerance / 2, view.captured_error_ns)
        latched = self._timeline.unwrap(view.encoder_count, self._geometry.gate // 2)
        self._compare(view, latched.count, now)
        return Position(latched.count, 1.0, latched.epoch)

    def _compare(self, view: View, count: int, now: int) -> None:
        """Compare the camera's own count with the encoder. A count is useless if only one of the two was reset.

        A difference that a late timestamp can explain is no proof of a fault. A larger one normally means that the view
        matches no part.
        """
        try:
            timed = self._timeline.count_at(view.captured_ns, now, math.inf, view.captured_error_ns)
        except (PositionPendingError, PositionUnknownError):
            return
        away = count - timed.count
        if abs(away) <= timed.error_counts + self._stamp_counts:
            self._conditions.clear(ErrorCode.COUNT_MISMATCH, view.camera)
            return
        why = f"its encoder count is {away / self._geometry.counts_per_mm:+.0f} mm away from the PLC's"
        self._conditions.set(ErrorCode.COUNT_MISMATCH, view.camera, why)
        raise PositionUnknownError(why)


def gate_time(timeline: Timeline, geometry: Geometry, verdict: Verdict) -> GateTime | None:
    """When the part of this verdict will be at the gate if the belt goes on as it runs now.

    None if its position is not known. Any thread may ask.
    """
    part = verdict.part
    if not part.positioned:
        return None
    found = timeline.arrival(part.due_count, part.epoch, ahead=geometry.gate)
    if found is None:
        return None
    at_ns, speed = found
    if not speed:
        return GateTime(None, None)
    if verdict.reason is Reason.POSITION_UNKNOWN:
        return GateTime(at_ns, None)
    doubt = 1 + part.error_counts + geometry.travel_error * geometry.gate
    return GateTime(at_ns, int(doubt / speed * 1e9))


def _earliest(announced: Announced) -> int:
    """The earliest time at which the part can have been at the photo-eye, according to the announcement.

    0 if it is not known.
    """
    trigger = announced.trigger
    if trigger.at_ns is not None:
        return max(0, trigger.at_ns - trigger.error_ns)
    return max(0, announced.unseen_ns - _SCAN_NS) if announced.unseen_ns else 0
