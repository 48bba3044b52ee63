"""Watches the masks on their way to the judge.

It raises an alarm if no part could be found defective, however bad the part is.
"""

from __future__ import annotations

import threading

from edge_inspector.inspection.mask_watch import MaskWatch, out_of_reach
from edge_inspector.inspection.view import Look
from edge_inspector.records import ErrorCode, Frame, Image, ModelInfo, View, ViewFigures
from edge_inspector.runtime.conditions import Conditions


class MaskAlarm:
    """A `Look` that also watches the masks that pass through it. Any thread may call it."""

    def __init__(self, look: Look, model: ModelInfo, conditions: Conditions) -> None:
        self._look = look
        self._watch = MaskWatch(model)
        self._conditions = conditions
        self._lock = threading.Lock()
        self._told = ""
        self._sizes: set[tuple[str, int, tuple[int, ...]]] = set()

    def __call__(self, frame: Frame, mask: Image, *, begun_ns: int, inference_ns: int, figures: ViewFigures) -> View:
        """Make the view and watch the mask."""
        view = self._look(frame, mask, begun_ns=begun_ns, inference_ns=inference_ns, figures=figures)
        with self._lock:
            self._see(int(mask.max(initial=0)))
            self._hold_limits(frame.camera, mask)
        return view

    def _see(self, largest: int) -> None:
        self._watch.see(largest)
        complaint = self._watch.complaint(self._look.in_use())
        if complaint and not self._told:
            self._conditions.set(ErrorCode.MASKS_SILENT, "model", complaint)
        elif self._told and not complaint:
            self._conditions.clear(ErrorCode.MASKS_SILENT, "model")
        self._told = complaint

    def _hold_limits(self, camera: str, mask: Image) -> None:
        """Check the limits once for each picture size. The size is not known before a picture arrives."""
        for criteria in self._look.in_use():
            size = camera, criteria.recipe.id, mask.shape
            if size in self._sizes:
                continue
            self._sizes.add(size)
            subject = f"recipe {criteria.recipe.id} {camera}"
            width_mm, height_mm = self._look.size_mm(camera, mask)
            if criteria.limits and len(out_of_reach(criteria, camera, width_mm, height_mm)) == len(criteria.limits):
                why = (
                    f"min_area_mm2 of every class is more than all of the picture, {width_mm:.0f} x {height_mm:.0f} mm"
                )
                self._conditions.set(ErrorCode.MASKS_SILENT, subject, why)
            else:
                self._conditions.clear(ErrorCode.MASKS_SILENT, subject)
