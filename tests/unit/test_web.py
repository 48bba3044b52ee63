"""Marks on a web: where they lie on the roll, and that one defect is one mark."""

from dataclasses import replace

import pytest

from edge_inspector.codes import Reason
from edge_inspector.inspection import web
from edge_inspector.inspection.web import Rolls, WebGeometry
from edge_inspector.records import Defect, Part, PlacedView, Position, RollMark, Stretch, View

SCALE = 10.0  # counts in a millimetre
PIECE_MM = 500.0
CAMERA_MM = 100.0  # from where positions are measured


class Rig:
    """Pieces of a web and the pictures of two cameras that see it side by side."""

    def __init__(self) -> None:
        seen = WebGeometry(
            piece_mm=PIECE_MM,
            rows_mm={"left": CAMERA_MM, "right": CAMERA_MM},
            across_mm={"left": 0.0, "right": 380.0},
            near_mm=5.0,
            overlap_mm=50.0,
        )
        self.rolls = Rolls(seen, SCALE)

    def piece(self, number: int = 0, *views: PlacedView, epoch: int = 1, at_mm: float | None = None) -> Stretch:
        start = round((1000.0 + number * PIECE_MM if at_mm is None else at_mm) * SCALE)
        part = Part(part_seq=number + 1, plc_boot_id=1, epoch=epoch, trigger_count=start, due_count=start + 9)
        return self.rolls.stretch(part, views)


def view(number: int, *defects: Defect, camera: str = "left", epoch: int = 1, error_mm: float = 0.0) -> PlacedView:
    count = (1000.0 + number * PIECE_MM + CAMERA_MM) * SCALE
    return PlacedView(View(camera, number, 0, defects=defects), Position(count, error_mm * SCALE, epoch))


def spot(top: float, bottom: float, *, left: float = 10.0, right: float = 20.0, kind: str = "hole") -> Defect:
    return Defect(
        "left",
        kind,
        area_mm2=(bottom - top) * (right - left),
        length_mm=bottom - top,
        confidence=0.9,
        x_mm=(left + right) / 2,
        y_mm=(top + bottom) / 2,
        box_mm=(left, top, right, bottom),
    )


def places(marks: tuple[RollMark, ...]) -> list[tuple[int, float, float]]:
    return [(mark.number, mark.from_mm, mark.to_mm) for mark in marks]


def test_a_roll_begins_with_its_first_piece_and_marks_are_measured_from_there() -> None:
    rig = Rig()
    first = rig.piece(0)
    assert (first.roll, first.from_mm, first.to_mm, first.marks) == ("1", 0.0, 500.0, ())
    second = rig.piece(1, view(1, spot(100, 130), error_mm=0.5))
    (mark,) = second.marks
    assert (second.from_mm, second.to_mm) == (500.0, 1000.0)
    assert (mark.from_mm, mark.to_mm, mark.left_mm, mark.right_mm) == (600.0, 630.0, 10.0, 20.0)
    assert (mark.area_mm2, mark.error_mm, mark.defect_class, mark.camera) == (300.0, 0.5, "hole", "left")
    assert rig.rolls.now == ("1", 1000.0)


def test_pieces_lie_where_they_began_whichever_of_them_is_decided_first() -> None:
    rig = Rig()
    rig.piece(0)
    ahead, behind = rig.piece(3), rig.piece(1)
    assert [(each.from_mm, each.to_mm) for each in (ahead, behind)] == [(1500.0, 2000.0), (500.0, 1000.0)]
    assert rig.rolls.now == ("1", 2000.0)


def test_places_are_told_as_exactly_as_they_are_known() -> None:
    seen = WebGeometry(piece_mm=100.26, rows_mm={"left": 1.07}, across_mm={"left": 0.33}, near_mm=5.0, overlap_mm=9.0)
    rolls = Rolls(seen, 3.0)
    rolls.stretch(Part(part_seq=1, plc_boot_id=1, epoch=1, trigger_count=1000, due_count=2000), ())
    defect = replace(spot(7.0, 9.0, left=2.04, right=3.01), area_mm2=1.23456, confidence=0.98765)
    views = PlacedView(View("left", 1, 0, defects=(defect,)), Position(1301.0, 1.0, 1))
    told = rolls.stretch(Part(part_seq=2, plc_boot_id=1, epoch=1, trigger_count=1301, due_count=2000), [views])
    mark = RollMark(
        number=1,
        defect_class="hole",
        camera="left",
        from_mm=106.3,
        to_mm=108.3,
        left_mm=2.4,
        right_mm=3.3,
        area_mm2=1.23,
        confidence=0.988,
        error_mm=0.33,
    )
    assert told == Stretch(roll="1", roll_number=1, from_mm=100.3, to_mm=200.6, marks=(mark,))


def test_the_place_across_is_that_of_the_camera() -> None:
    (mark,) = Rig().piece(0, view(0, spot(1, 9, left=5, right=15), camera="right")).marks
    assert (mark.left_mm, mark.right_mm) == (385.0, 395.0)


def test_a_defect_in_the_overlap_is_told_once() -> None:
    rig = Rig()
    assert places(rig.piece(0, view(0, spot(505, 530))).marks) == [(1, 505.0, 530.0)]
    assert rig.piece(1, view(1, spot(5, 31))).marks == (), "one millimetre more is no news"
    assert rig.piece(2, view(2)).marks == ()


def test_a_defect_that_is_cut_by_the_end_of_a_picture_comes_again_larger_with_its_number() -> None:
    rig = Rig()
    assert places(rig.piece(0, view(0, spot(540, 580))).marks) == [(1, 540.0, 580.0)]
    assert places(rig.piece(1, view(1, spot(40, 200))).marks) == [(1, 540.0, 700.0)]


def test_a_defect_over_many_pieces_is_one_mark() -> None:
    rig = Rig()
    told = [rig.piece(number, view(number, spot(0, 580))).marks for number in range(12)]
    assert {mark.number for marks in told for mark in marks} == {1}
    assert told[-1][0].to_mm - told[-1][0].from_mm == 11 * PIECE_MM + 580


def test_two_cameras_that_see_the_same_spot_tell_it_once() -> None:
    rig = Rig()
    seen = spot(10, 20, left=385, right=395)
    beside = spot(10, 20, left=5, right=15)
    assert len(rig.piece(0, view(0, seen), view(0, beside, camera="right")).marks) == 1


def test_parts_of_one_defect_in_one_picture_are_one_mark() -> None:
    (mark,) = Rig().piece(0, view(0, spot(10, 20), spot(22, 40))).marks
    assert (mark.from_mm, mark.to_mm) == (10.0, 40.0)


def test_a_mark_that_goes_on_has_the_largest_and_surest_and_least_exact_of_what_was_seen() -> None:
    rig = Rig()
    large = replace(spot(500, 520), area_mm2=900.0, confidence=0.5)
    rig.piece(0, view(0, large, error_mm=0.5))
    (mark,) = rig.piece(1, view(1, spot(10, 30), error_mm=2.0)).marks
    assert (mark.number, mark.area_mm2, mark.confidence, mark.error_mm) == (1, 900.0, 0.9, 2.0)
    (mark,) = rig.piece(2, view(1, replace(spot(20, 40), area_mm2=1000.0, confidence=0.1))).marks
    assert (mark.number, mark.area_mm2, mark.confidence, mark.error_mm) == (1, 1000.0, 0.9, 2.0)


def test_of_one_picture_also_a_small_growth_is_told() -> None:
    (mark,) = Rig().piece(0, view(0, spot(10, 20), spot(18, 24))).marks
    assert (mark.from_mm, mark.to_mm) == (10.0, 24.0)


AROUND = {"above": (-1, 0), "below": (1, 0), "to the left": (0, -1), "to the right": (0, 1)}


@pytest.mark.parametrize("way", AROUND)
@pytest.mark.parametrize(("gap", "number"), [(5.0, 1), (5.1, 2)])
def test_on_each_side_a_spot_is_the_same_defect_up_to_the_distance_that_makes_two(
    way: str, gap: float, number: int
) -> None:
    rig, (down, right) = Rig(), AROUND[way]
    rig.piece(0, view(0, spot(100, 120, left=100, right=110)))
    top, left = 100 + down * (20 + gap), 100 + right * (10 + gap)
    (mark,) = rig.piece(1, view(0, spot(top, top + 20, left=left, right=left + 10))).marks
    assert mark.number == number


@pytest.mark.parametrize("way", AROUND)
@pytest.mark.parametrize(("growth", "news"), [(5.0, False), (5.1, True)])
def test_on_each_side_a_growth_is_told_if_it_is_more_than_the_distance_that_makes_two(
    way: str,
    growth: float,
    news: bool,  # noqa: FBT001
) -> None:
    rig, (down, right) = Rig(), AROUND[way]
    rig.piece(0, view(0, spot(100, 120, left=100, right=110)))
    top, left = 100 + down * growth, 100 + right * growth
    told = rig.piece(1, view(0, spot(top, top + 20, left=left, right=left + 10))).marks
    assert bool(told) is news


def test_a_mark_is_known_for_eight_pieces() -> None:
    rig, seen = Rig(), view(0, spot(490, 500))
    rig.piece(0, seen)
    rig.piece(8)
    assert rig.piece(9, seen).marks == (), "it ends where the eighth piece before the newest one begins"
    assert places(rig.piece(10, seen).marks) == [(2, 490.0, 500.0)]


def test_of_a_web_full_of_defects_only_the_newest_marks_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "_MARKS", 3)
    rig, defects = Rig(), [spot(1, 9, kind=f"kind {number}") for number in range(4)]
    assert len(rig.piece(0, view(0, *defects)).marks) == 4
    assert rig.piece(0, view(0, *defects[1:])).marks == ()
    assert [mark.number for mark in rig.piece(0, view(0, defects[0])).marks] == [5]


@pytest.mark.parametrize(
    "other",
    [spot(5, 30, kind="stain"), spot(5, 30, left=40, right=50), spot(60, 70), replace(spot(5, 30), box_mm=None)],
    ids=["another class", "beside it", "behind it", "without a place"],
)
def test_what_is_another_defect_is_another_mark(other: Defect) -> None:
    rig = Rig()
    rig.piece(0, view(0, spot(505, 530)))
    told = rig.piece(1, view(1, other)).marks
    assert [mark.number for mark in told] == ([] if other.box_mm is None else [2])


def test_places_that_are_known_badly_are_compared_with_their_bounds() -> None:
    rig = Rig()
    rig.piece(0, view(0, spot(505, 530), error_mm=20.0))
    assert rig.piece(1, view(1, spot(45, 70), error_mm=20.0)).marks[0].number == 1


@pytest.mark.parametrize(("behind_mm", "number"), [(54.0, 1), (56.0, 2)])
def test_a_place_that_nobody_knows_makes_no_mark_of_the_next_defects(behind_mm: float, number: int) -> None:
    """After a stop of the program the place may be metres off. Later defects are still marks of their own."""
    rig = Rig()
    rig.piece(0, view(0, spot(400, 430), error_mm=5000.0))
    later = rig.piece(0, view(0, spot(430 + behind_mm, 520))).marks
    assert [mark.number for mark in later] == [number]


def test_a_new_roll_begins_with_the_first_piece_behind_the_command() -> None:
    rig = Rig()
    rig.piece(0)
    assert rig.rolls.change("B-7", round((1000 + 700) * SCALE), 1) == ""
    old, new = rig.piece(1, view(1, spot(505, 530))), rig.piece(2, view(2, spot(5, 30)))
    assert (old.roll, old.roll_number, old.to_mm) == ("1", 1, 1000.0), "it was there before"
    assert (new.roll, new.roll_number, new.from_mm) == ("B-7", 2, 0.0)
    assert places(new.marks) == [(2, 5.0, 30.0)], "a mark does not reach from one roll into the next"
    late = rig.piece(0, at_mm=1100.0)
    assert (late.roll, late.from_mm) == ("1", 100.0), "a piece of the old roll that is decided later"


def test_a_piece_that_begins_where_the_roll_changes_is_of_the_new_one() -> None:
    rig = Rig()
    rig.piece(0)
    rig.rolls.change("B", round(1500 * SCALE), 1)
    assert rig.piece(0, at_mm=1499.9).roll == "1"
    assert rig.piece(0, at_mm=1500.0).roll == "B"


@pytest.mark.parametrize("epoch", [0, 1])
@pytest.mark.parametrize("at_mm", [-70_000.0, 0.0, 70_000.0])
def test_while_nobody_knows_where_the_belt_is_a_new_roll_begins_with_the_next_piece(at_mm: float, epoch: int) -> None:
    rig = Rig()
    rig.rolls.change("B", None, epoch)
    told = rig.piece(0, at_mm=at_mm)
    assert (told.roll, told.roll_number, told.from_mm, told.breaks) == ("B", 2, 0.0, 0)


def test_a_defect_at_the_same_place_of_another_roll_is_another_mark() -> None:
    rig = Rig()
    rig.piece(0, view(0, spot(10, 20)))
    rig.rolls.change("B", round(1500 * SCALE), 1)
    assert places(rig.piece(1, view(1, spot(10, 20))).marks) == [(2, 10.0, 20.0)]


@pytest.mark.parametrize("name", ["", "a/b", "..", "ä", "x" * 65, "-a", "a b"])
def test_a_name_that_is_no_name_of_a_file_is_refused(name: str) -> None:
    why = "the name of a roll has at most 64 of the letters A-Z a-z, digits and . _ -"
    assert Rig().rolls.change(name, None, 1) == why


def test_when_the_encoder_lost_its_count_the_roll_goes_on_and_counts_a_break() -> None:
    rig = Rig()
    rig.piece(0)
    rig.piece(1)
    told = rig.piece(0, view(0, spot(10, 20)), at_mm=77_000.0, epoch=2)
    assert (told.from_mm, told.to_mm, told.breaks) == (1000.0, 1500.0, 1)
    assert told.marks == (), "its picture is of another epoch"
    again = rig.piece(0, at_mm=77_500.0, epoch=2)
    assert (again.from_mm, again.breaks) == (1500.0, 1)
    void = rig.piece(5)
    assert (void.roll, void.from_mm) == ("1", 2000.0), "a piece of before: nobody knows where it is"
    assert rig.piece(0, at_mm=78_000.0, epoch=2).from_mm == 2000.0


@pytest.mark.parametrize("at_mm", [-77_000.0, 0.0, 77_000.0])
def test_wherever_the_encoder_counts_on_the_newest_roll_goes_on(at_mm: float) -> None:
    rig = Rig()
    rig.piece(0)
    rig.rolls.change("B", round(1500 * SCALE), 1)
    rig.piece(1)
    told = rig.piece(0, at_mm=at_mm, epoch=2)
    assert (told.roll, told.from_mm, told.breaks) == ("B", 500.0, 1)
    assert rig.piece(0, at_mm=at_mm + PIECE_MM, epoch=2).from_mm == 1000.0
    again = rig.piece(0, at_mm=at_mm, epoch=3)
    assert (again.roll, again.from_mm, again.breaks) == ("B", 1500.0, 2)


def test_a_roll_that_had_no_piece_yet_loses_nothing() -> None:
    rig = Rig()
    rig.piece(0)
    rig.rolls.change("B", round(1500 * SCALE), 1)
    told = rig.piece(0, at_mm=77_000.0, epoch=2)
    assert (told.roll, told.from_mm, told.breaks) == ("B", 0.0, 0)


def test_a_piece_whose_roll_is_forgotten_belongs_to_the_oldest_one() -> None:
    rig = Rig()
    for number in range(9):
        rig.rolls.change(f"r{number}", round((2000 + 10 * number) * SCALE), 1)
    assert rig.piece(0, view(0, spot(1, 9))).roll == "r1"


def test_reasons_do_not_matter_for_marks() -> None:
    placed = view(0, spot(10, 20))
    placed = replace(placed, view=replace(placed.view, failure=Reason.BAD_IMAGE))
    assert len(Rig().piece(0, placed).marks) == 1
