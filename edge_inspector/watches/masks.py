"""Watches the masks on their way to the judge.

It raises an alarm if no part could be found defective, however bad the part is. If the model is the cause, no part
counts as inspected: a mask that cannot say "defective" does not prove that a part is good.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace

from edge_inspector.codes import ErrorCode, Reason
from edge_inspector.inspection.mask_watch import MaskWatch, out_of_reach
from edge_inspector.inspection.recipe import Criteria
from edge_inspector.inspection.view import Look
from edge_inspector.records import Frame, Image, View, ViewFigures
from edge_inspector.runtime.conditions import Conditions


class MaskAlarm:
    """A `Look` that also watches the masks that pass through it. Any thread may call it."""

    def __init__(self, look: Look, conditions: Conditions) -> None:
        self._look = look
        self._watches: dict[str, MaskWatch] = {}
        self._conditions = conditions
        self._lock = threading.Lock()
        self._told: dict[str, str] = {}
        self._sizes: set[tuple[str, int, tuple[int, ...]]] = set()
        self._in_use: Sequence[Criteria] = ()

    def __call__(
        self,
        frame: Frame,
        mask: Image | Mapping[str, Image],
        *,
        begun_ns: int,
        inference_ns: int,
        figures: ViewFigures,
    ) -> View:
        """Make the view and watch the mask, or that of each model. A model that cannot be believed has no view."""
        view = self._look(frame, mask, begun_ns=begun_ns, inference_ns=inference_ns, figures=figures)
        by_model = mask if isinstance(mask, Mapping) else {"": mask}
        with self._lock:
            in_use = self._look.in_use()
            if [*map(id, in_use)] != [*map(id, self._in_use)]:  # to compare recipes takes longer
                self._in_use = tuple(in_use)
                self._forget({each.recipe.id for each in in_use}, {each.recipe.model for each in in_use})
            distrusted: set[int] = set()
            for name, each in by_model.items():
                judged = [criteria for criteria in in_use if name in ("", criteria.recipe.model)]
                if judged:
                    largest = _largest(view, each) if name == "" else int(each.max(initial=0))
                    if self._see(name, largest, judged):
                        distrusted |= {criteria.recipe.id for criteria in judged}
                    self._hold_limits(frame.camera, each, judged)
        return _failed(view, distrusted) if distrusted else view

    def _see(self, name: str, largest: int, judged: Sequence[Criteria]) -> bool:
        """Watch one model. Returns whether it cannot be believed. `judged` are the recipes that it looks for."""
        watch = self._watches.get(name)
        if watch is None:
            watch = self._watches[name] = MaskWatch(self._look.info(judged[0]))
        watch.see(largest)
        complaint, told = watch.complaint(judged), self._told.get(name, "")
        if complaint and not told:
            self._conditions.set(ErrorCode.MASKS_SILENT, name or "model", complaint)
        elif told and not complaint:
            self._conditions.clear(ErrorCode.MASKS_SILENT, name or "model")
        self._told[name] = complaint
        return bool(watch.distrust(judged))

    def _hold_limits(self, camera: str, mask: Image, judged: Sequence[Criteria]) -> None:
        """Check areas and limits once for each picture size. The size is not known before a picture arrives."""
        for criteria in judged:
            size = camera, criteria.recipe.id, mask.shape
            if size in self._sizes:
                continue
            self._sizes.add(size)
            subject = _subject(*size)
            width_mm, height_mm = self._look.size_mm(criteria, camera, mask)
            seen = f"the picture, {width_mm:.0f} x {height_mm:.0f} mm"
            unfit = self._look.unfit(criteria, camera, mask)
            if unfit:
                why = f"regions.{camera} {unfit}, and {seen}, does not show it: no part is inspected (bad_image)"
                self._conditions.set(ErrorCode.BAD_PICTURES, subject, why)
            else:
                self._conditions.clear(ErrorCode.BAD_PICTURES, subject)
            if criteria.limits and len(out_of_reach(criteria, camera, width_mm, height_mm)) == len(criteria.limits):
                self._conditions.set(
                    ErrorCode.MASKS_SILENT, subject, f"min_area_mm2 of every class is more than all of {seen}"
                )
            else:
                self._conditions.clear(ErrorCode.MASKS_SILENT, subject)

    def _forget(self, in_use: set[int], models: set[str]) -> None:
        """A recipe that judges no more has no faults, and neither has its model."""
        for name in [name for name, told in self._told.items() if name and told and name not in models]:
            del self._told[name]
            self._conditions.clear(ErrorCode.MASKS_SILENT, name)
        for size in [size for size in self._sizes if size[1] not in in_use]:
            self._sizes.remove(size)
            for code in (ErrorCode.BAD_PICTURES, ErrorCode.MASKS_SILENT):
                self._conditions.clear(code, _subject(*size))


def _failed(view: View, recipes: set[int]) -> View:
    """The view as a failure for those recipes, with the defects that it has all the same."""
    failure = Reason.INFERENCE_FAILED if view.recipe_id in recipes and view.failure is Reason.NONE else view.failure
    return replace(view, failure=failure, others=tuple(_failed(each, recipes) for each in view.others))


def _largest(view: View, mask: Image) -> int:
    """The largest value in the mask. The view's figures have it already."""
    known = None if view.figures is None else view.figures.confidence
    return int(mask.max(initial=0)) if known is None else round(known * 255)


def _subject(camera: str, recipe_id: int, _: tuple[int, ...]) -> str:
    return f"recipe {recipe_id} {camera}"
