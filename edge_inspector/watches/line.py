"""The judge's watches over triggers and encoder, and whether positions can be trusted meanwhile."""

from __future__ import annotations

from edge_inspector.codes import ErrorCode
from edge_inspector.inspection.line_watch import DirectionWatch, RunningWatch, SourceWatch
from edge_inspector.inspection.timeline import Timeline
from edge_inspector.records import PlcInput
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.watches.placing import Geometry

# While one of these LINE_MISMATCHes holds, no part is where the station believes. The code that sets one also clears
# it.
_VOIDING = ("counter", "direction", "scale", "source")


class Watching:
    """`pitch` is the smallest distance between two parts of any recipe, in counts. One thread owns it."""

    def __init__(self, geometry: Geometry, timeline: Timeline, conditions: Conditions, pitch: float) -> None:
        signed = -geometry.counts_per_mm if geometry.counter.falling else geometry.counts_per_mm
        self.direction = DirectionWatch(signed, pitch)
        self.source = SourceWatch()
        self._one_plc = geometry.one_plc
        self._running = RunningWatch(geometry.settle_ns)
        self._was_steady = False
        self._timeline = timeline
        self._conditions = conditions

    def hear(self, heard: PlcInput, now: int) -> None:
        """Compare the PLC's newest data with the encoder's."""
        if heard.line_running is not None:
            self._running.hear(now, running=heard.line_running)
        if self._one_plc and heard.announces and self._timeline.boot_id is not None and self._timeline.fresh(now):
            self.source.runs(self._timeline.boot_id, heard.boot_id, now)

    def trusts(self, now: int, *, running: bool) -> bool:
        """Whether positions are valid now. `running`: the PLC reports that the line runs."""
        steady = self._running.steady(now)
        if self._was_steady and not steady:
            self._timeline.void()  # nobody knows how far the belt goes until it stands
        self._was_steady = steady
        if not steady:
            return False
        count = self._timeline.newest
        if count is not None:
            self.direction.belt(count, self._timeline.epoch, running=running)
        for subject, why in (("direction", self.direction.why), ("source", self.source.why)):
            if why:
                self._conditions.set(ErrorCode.LINE_MISMATCH, subject, why)
            else:
                self._conditions.clear(ErrorCode.LINE_MISMATCH, subject)
        return not any(self._conditions.held(ErrorCode.LINE_MISMATCH, subject) for subject in _VOIDING)
