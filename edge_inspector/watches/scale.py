"""Compares triggers and views with the line's scale in the station file. It runs in the judge's thread."""

from __future__ import annotations

from collections.abc import Mapping

from edge_inspector import metrics
from edge_inspector.codes import Reason
from edge_inspector.inspection.recipe import Criteria
from edge_inspector.inspection.scale_watch import BoundWatch, PitchWatch
from edge_inspector.inspection.timeline import Timeline
from edge_inspector.records import Trigger, Verdict
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.watches.mismatches import Mismatches


class Scaling:
    """Takes each trigger and each verdict. One thread owns it. `values`: how many values the encoder's counter has."""

    def __init__(
        self,
        *,
        counts_per_mm: float,
        values: int,
        recipes: Mapping[int, Criteria],
        timeline: Timeline,
        conditions: Conditions,
    ) -> None:
        self._counts_per_mm = counts_per_mm
        self._recipes = recipes
        self._timeline = timeline
        self._pitch = PitchWatch(counts_per_mm, values)
        self._bound = BoundWatch(counts_per_mm)
        self._of_pitch = Mismatches(conditions)
        self._of_bound = Mismatches(conditions)

    def announced(self, boot_id: int, trigger: Trigger, handicap: Reason, recipe_id: int) -> None:
        """A part passed the photo-eye."""
        if handicap is Reason.TRIGGER_LOST or not trigger.latched:  # its count is unknown
            return
        if self._pitch.add(boot_id, trigger, self._recipes[recipe_id].recipe):
            metrics.triggers_doubled.inc()
        self._of_pitch.tell(self._pitch.faults)

    def judged(self, verdict: Verdict) -> None:
        """A part has its verdict."""
        tolerance_mm = self._recipes[verdict.recipe_id].recipe.position_tolerance_mm
        # The bound takes a while to compute, and nobody needs it for a part whose place is known well enough.
        well_known = bool(verdict.views) and verdict.error_mm <= tolerance_mm
        bound = None if well_known else self._timeline.reachable()
        if verdict.views:
            error_mm = verdict.error_mm
        elif bound is not None:
            # If positions are not known well enough, views do not even find their parts.
            error_mm = bound.counts / self._counts_per_mm
        else:
            return
        self._bound.add(error_mm, tolerance_mm, bound)
        self._of_bound.tell(self._bound.faults)
