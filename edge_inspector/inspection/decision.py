"""The decision on one part, from its views and the recipe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from edge_inspector.codes import Decision, Reason
from edge_inspector.inspection.recipe import ClassLimits, GradeLimits, GradeTable, Recipe
from edge_inspector.inspection.tracking import Assembly
from edge_inspector.records import Defect


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The decision on a part, and its reason."""

    decision: Decision
    reason: Reason
    grade: str
    rejects: bool
    missing_views: tuple[str, ...]
    error_mm: float


def decide(
    assembly: Assembly,
    recipe: Recipe,
    limits: Mapping[str, ClassLimits],
    *,
    counts_per_mm: float,
    absent: Callable[[str], Reason],
    barred: Reason = Reason.NONE,
) -> Judgement:
    """Judge one part.

    A defect beyond its limits rejects the part, even if views are missing, and so does one for which the recipe has no
    grade. Otherwise a part is accepted only if it was seen whole, at a known position, with no other part in reach.
    `absent(camera)` says why a view never came. `barred` says why the station may not inspect at all. A part whose
    trigger is lost always has that reason, because only this reason tells that its due count is invalid.
    """
    placed = assembly.views.values()
    error_mm = max((view.position.error_counts for view in placed), default=0.0) / counts_per_mm
    failures = {camera: _failure(assembly, camera, absent) for camera in recipe.views}
    missing = tuple(camera for camera, reason in failures.items() if reason is not Reason.NONE)
    defects = [defect for view in placed for defect in view.view.defects]

    reason, grade = Reason.NONE, ""
    if barred is not Reason.NONE and assembly.part.handicap is not Reason.TRIGGER_LOST:
        reason = barred
    elif assembly.voided is not Reason.NONE:
        reason = assembly.voided
    elif not assembly.part.positioned:
        reason = assembly.part.handicap or Reason.POSITION_UNKNOWN
    elif beyond_limits(defects, limits) or not (grade := grade_of(defects, recipe.grades)):
        return Judgement(
            decision=Decision.REJECT,
            reason=Reason.DEFECT,
            grade="" if recipe.grades else "C",
            rejects=True,
            missing_views=missing,
            error_mm=error_mm,
        )
    elif assembly.crowded:
        reason = Reason.POSITION_UNKNOWN
    elif assembly.mixed:
        reason = Reason.FRAME_MISSING
    elif missing:
        reason = failures[missing[0]]
    elif error_mm > recipe.position_tolerance_mm:
        reason = Reason.POSITION_UNKNOWN
    if reason is not Reason.NONE:
        rejects = recipe.on_not_inspected == "reject"
        return Judgement(
            decision=Decision.NOT_INSPECTED,
            reason=reason,
            grade="",
            rejects=rejects,
            missing_views=missing,
            error_mm=error_mm,
        )
    return Judgement(
        decision=Decision.ACCEPT,
        reason=Reason.NONE,
        grade=grade,
        rejects=False,
        missing_views=(),
        error_mm=error_mm,
    )


def beyond_limits(defects: Sequence[Defect], limits: Mapping[str, ClassLimits]) -> bool:
    """Whether the part has more defects, or longer ones, than the recipe allows."""
    counts: dict[str, int] = {}
    for defect in defects:
        limit = limits[defect.defect_class]
        counts[defect.defect_class] = counts.get(defect.defect_class, 0) + 1
        if counts[defect.defect_class] > limit.max_count:
            return True
        if limit.max_length_mm is not None and defect.length_mm > limit.max_length_mm:
            return True
    return False


def grade_of(defects: Sequence[Defect], grades: Sequence[GradeTable]) -> str:
    """The first of the grades, best first, that a part with these defects fits. "" if it fits none.

    Without grades it is A for a part without defects, and B for one with defects that the recipe allows.
    """
    if not grades:
        return "B" if defects else "A"
    return next((grade.name for grade in grades if _fits(defects, grade)), "")


def _fits(defects: Sequence[Defect], grade: GradeTable) -> bool:
    counts = Counter(defect.defect_class for defect in defects)
    return all(_allows(grade.classes.get(defect.defect_class), defect, counts) for defect in defects)


def _allows(limit: GradeLimits | None, defect: Defect, counts: Mapping[str, int]) -> bool:
    return (
        limit is not None
        and counts[defect.defect_class] <= limit.max_count
        and (limit.max_length_mm is None or defect.length_mm <= limit.max_length_mm)
        and (limit.max_area_mm2 is None or defect.area_mm2 <= limit.max_area_mm2)
    )


def _failure(assembly: Assembly, camera: str, absent: Callable[[str], Reason]) -> Reason:
    placed = assembly.views.get(camera)
    if placed is not None:
        return placed.view.failure
    return assembly.part.handicap or absent(camera)
