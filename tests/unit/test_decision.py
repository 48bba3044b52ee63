"""What is said of a part: a defect rejects, and only a part seen whole at a known place is accepted."""

from dataclasses import replace
from typing import Any

import pytest

from edge_inspector.codes import Decision, Reason
from edge_inspector.inspection.decision import Judgement, beyond_limits, decide
from edge_inspector.inspection.recipe import ClassLimits, Recipe
from edge_inspector.inspection.tracking import Assembly
from edge_inspector.records import Defect, Part, PlacedView, Position, View

LIMITS = {
    "crack": ClassLimits(min_area_mm2=1.0),
    "pore": ClassLimits(min_area_mm2=1.0, max_count=2, max_length_mm=4.0),
}
COUNTS_PER_MM = 10.0


def recipe(**changes: Any) -> Recipe:
    return Recipe.model_validate(
        {
            "id": 4,
            "name": "tile",
            "model": "tile-1.1",
            "views": ["left", "right"],
            "part_length_mm": 100,
            "min_pitch_mm": 120,
            "position_tolerance_mm": 5,
            **changes,
        }
    )


def defect(defect_class: str = "crack", length_mm: float = 2.0) -> Defect:
    return Defect("left", defect_class, area_mm2=3.0, length_mm=length_mm, confidence=0.9, x_mm=1.0, y_mm=1.0)


def assembly(
    *defects: Defect,
    views: tuple[str, ...] = ("left", "right"),
    failure: Reason = Reason.NONE,
    error_counts: float = 1.0,
    voided: Reason = Reason.NONE,
    **part: Any,
) -> Assembly:
    placed = {
        camera: PlacedView(
            View(camera, 1, 1, defects=defects if camera == "left" else (), failure=failure),
            Position(0.0, error_counts, 1),
        )
        for camera in views
    }
    return Assembly(Part(part_seq=1, plc_boot_id=7, epoch=1, trigger_count=0, due_count=8000, **part), placed, voided)


def judge(assembled: Assembly, *, barred: Reason = Reason.NONE, **changes: Any) -> Judgement:
    return decide(
        assembled,
        recipe(**changes),
        LIMITS,
        counts_per_mm=COUNTS_PER_MM,
        absent=lambda _: Reason.FRAME_MISSING,
        barred=barred,
    )


def told(judgement: Judgement) -> tuple[Decision, Reason, str, bool]:
    return judgement.decision, judgement.reason, judgement.grade, judgement.rejects


def not_inspected(reason: Reason) -> tuple[Decision, Reason, str, bool]:
    return Decision.NOT_INSPECTED, reason, "", True


def test_a_part_without_defects_is_accepted_with_grade_a() -> None:
    found = judge(assembly())
    assert told(found) == (Decision.ACCEPT, Reason.NONE, "A", False)
    assert found.missing_views == ()


def test_a_part_that_shares_its_place_with_another_is_rejected_for_a_defect_and_never_accepted() -> None:
    crowd = replace(assembly(), crowded=True)
    assert told(judge(crowd)) == not_inspected(Reason.POSITION_UNKNOWN)
    assert told(judge(replace(assembly(views=()), crowded=True))) == not_inspected(Reason.POSITION_UNKNOWN)
    assert told(judge(replace(assembly(defect()), crowded=True))) == (Decision.REJECT, Reason.DEFECT, "C", True)


def test_defects_within_the_limits_are_accepted_with_grade_b() -> None:
    found = judge(assembly(defect("pore"), defect("pore")))
    assert told(found) == (Decision.ACCEPT, Reason.NONE, "B", False)


@pytest.mark.parametrize(
    "defects",
    [(defect("crack"),), (defect("pore"),) * 3, (defect("pore", length_mm=4.1),), (defect("pore"), defect("crack"))],
)
def test_defects_beyond_the_limits_reject_with_grade_c(defects: tuple[Defect, ...]) -> None:
    assert told(judge(assembly(*defects))) == (Decision.REJECT, Reason.DEFECT, "C", True)


@pytest.mark.parametrize(
    ("defects", "beyond"),
    [
        ([], False),
        ([defect("pore")] * 2, False),
        ([defect("pore")] * 3, True),
        ([defect("pore", length_mm=4.0)], False),
        ([defect("pore", length_mm=4.01)], True),
        ([defect("crack", length_mm=0.1)], True),
    ],
)
def test_limits_are_the_most_that_is_allowed(defects: list[Defect], beyond: bool) -> None:  # noqa: FBT001
    assert beyond_limits(defects, LIMITS) is beyond


def test_a_missing_view_is_blamed_on_why_it_never_came() -> None:
    found = judge(assembly(views=("left",)))
    assert told(found) == not_inspected(Reason.FRAME_MISSING)
    assert found.missing_views == ("right",)


def test_the_first_missing_view_of_the_recipe_gives_the_reason() -> None:
    reasons = {"left": Reason.CAMERA_LOST, "right": Reason.LATE}
    found = decide(assembly(views=()), recipe(), LIMITS, counts_per_mm=COUNTS_PER_MM, absent=reasons.__getitem__)
    assert told(found) == not_inspected(Reason.CAMERA_LOST)
    assert found.missing_views == ("left", "right")


@pytest.mark.parametrize(
    "failure", [Reason.INCOMPLETE_FRAME, Reason.INFERENCE_FAILED, Reason.MAILBOX_FULL, Reason.LATE]
)
def test_a_view_that_could_not_be_judged_keeps_its_reason(failure: Reason) -> None:
    found = judge(assembly(failure=failure))
    assert told(found) == not_inspected(failure)
    assert found.missing_views == ("left", "right")


def test_a_part_the_station_came_too_late_for_says_so() -> None:
    found = judge(assembly(views=("left",), handicap=Reason.DAEMON_RESTARTED))
    assert told(found) == not_inspected(Reason.DAEMON_RESTARTED)


def test_a_handicapped_part_seen_whole_after_all_is_judged_like_any_other() -> None:
    assert judge(assembly(handicap=Reason.DAEMON_RESTARTED)).decision is Decision.ACCEPT
    assert judge(assembly(defect(), handicap=Reason.DAEMON_RESTARTED)).decision is Decision.REJECT


def test_a_defect_rejects_even_when_other_views_are_missing_or_the_place_is_vague() -> None:
    found = judge(assembly(defect(), views=("left",), error_counts=900.0))
    assert told(found) == (Decision.REJECT, Reason.DEFECT, "C", True)
    assert found.missing_views == ("right",)
    assert found.error_mm == 90.0


@pytest.mark.parametrize(("error_counts", "accepted"), [(50.0, True), (50.1, False)])
def test_a_place_that_is_too_vague_is_not_inspected(error_counts: float, accepted: bool) -> None:  # noqa: FBT001
    found = judge(assembly(error_counts=error_counts))
    assert (found.decision is Decision.ACCEPT) is accepted
    assert accepted or found.reason is Reason.POSITION_UNKNOWN
    assert found.error_mm == pytest.approx(error_counts / COUNTS_PER_MM)


@pytest.mark.parametrize("voided", [Reason.POSITION_UNKNOWN, Reason.PLC_RESTARTED])
def test_a_voided_part_is_not_inspected_whatever_was_seen(voided: Reason) -> None:
    assert told(judge(assembly(defect(), voided=voided))) == not_inspected(voided)


@pytest.mark.parametrize(
    ("handicap", "reason"),
    [(Reason.NONE, Reason.POSITION_UNKNOWN), (Reason.TRIGGER_LOST, Reason.TRIGGER_LOST)],
)
def test_a_part_without_a_position_is_not_inspected(handicap: Reason, reason: Reason) -> None:
    found = judge(assembly(views=(), positioned=False, handicap=handicap))
    assert told(found) == not_inspected(reason)


@pytest.mark.parametrize("barred", [Reason.DISABLED, Reason.WRONG_RECIPE])
def test_a_station_that_may_not_inspect_decides_nothing_not_even_a_reject(barred: Reason) -> None:
    found = judge(assembly(defect(), voided=Reason.PLC_RESTARTED), barred=barred)
    assert told(found) == not_inspected(barred)


@pytest.mark.parametrize("barred", [Reason.DISABLED, Reason.WRONG_RECIPE])
def test_a_lost_trigger_is_told_in_any_case_as_the_due_count_is_void(barred: Reason) -> None:
    lost = assembly(views=(), positioned=False, handicap=Reason.TRIGGER_LOST)
    assert told(judge(lost, barred=barred)) == not_inspected(Reason.TRIGGER_LOST)


@pytest.mark.parametrize(("policy", "rejects"), [("reject", True), ("accept", False)])
def test_the_recipe_says_what_the_gate_does_with_a_part_not_inspected(policy: str, rejects: bool) -> None:  # noqa: FBT001
    found = judge(assembly(views=()), on_not_inspected=policy)
    assert (found.decision, found.rejects) == (Decision.NOT_INSPECTED, rejects)


def test_no_policy_lets_a_known_defect_through() -> None:
    assert judge(assembly(defect()), on_not_inspected="accept").rejects


def test_a_part_never_seen_has_no_position_error() -> None:
    assert judge(assembly(views=())).error_mm == 0.0


def test_a_part_with_one_picture_too_many_was_not_inspected_unless_a_defect_was_seen() -> None:
    mixed = assembly()
    mixed.mixed = True
    found = judge(mixed)
    assert (found.decision, found.reason, found.rejects) == (Decision.NOT_INSPECTED, Reason.FRAME_MISSING, True)
    mixed = assembly(defect())
    mixed.mixed = True
    assert judge(mixed).decision is Decision.REJECT


GRADES = [
    {"name": "A"},
    {"name": "B", "classes": {"pore": {"max_count": 1, "max_length_mm": 2.0}}},
    {"name": "D", "classes": {"pore": {"max_count": 2, "max_area_mm2": 5.0}}},
]


@pytest.mark.parametrize(
    ("defects", "grade"),
    [
        ((), "A"),
        ((defect("pore"),), "B"),
        ((defect("pore", 3.0),), "D"),
        ((defect("pore"), defect("pore")), "D"),
    ],
)
def test_an_accepted_part_has_the_best_grade_that_it_fits(defects: tuple[Defect, ...], grade: str) -> None:
    judged = judge(assembly(*defects), grades=GRADES)
    assert (judged.decision, judged.grade, judged.rejects) == (Decision.ACCEPT, grade, False)


def test_a_part_that_fits_no_grade_is_rejected_even_if_a_view_is_missing() -> None:
    large = replace(defect("pore"), area_mm2=6.0)
    for views in (("left", "right"), ("left",)):
        judged = judge(assembly(replace(large, length_mm=3.0), views=views), grades=GRADES)
        assert (judged.decision, judged.reason, judged.grade, judged.rejects) == (
            Decision.REJECT, Reason.DEFECT, "", True,
        )  # fmt: skip


def test_a_part_that_was_not_inspected_has_no_grade() -> None:
    judged = judge(assembly(views=("left",)), grades=GRADES)
    assert (judged.decision, judged.grade) == (Decision.NOT_INSPECTED, "")


def test_a_grade_allows_nothing_beyond_the_limits_of_the_recipe() -> None:
    generous = [{"name": "A", "classes": {"crack": {"max_count": 9}}}]
    assert judge(assembly(defect("crack")), grades=generous).decision is Decision.REJECT
