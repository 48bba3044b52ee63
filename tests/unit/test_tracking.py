"""Parts and views find each other by belt position, and every part gets out exactly once."""

import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_inspector.codes import Reason
from edge_inspector.inspection.tracking import Assembly, PartTracker
from edge_inspector.records import Defect, Part, PlacedView, Position, View

OFFSETS = {"left": 1000, "right": 2500}
TOLERANCE, RESERVE, GATE = 100, 1500, 8000
EPOCH, BOOT = 3, 77


def tracker() -> PartTracker:
    return PartTracker(OFFSETS, {0: TOLERANCE}, RESERVE, GATE)


def part(seq: int = 1, count: int = 0, *, boot: int = BOOT, epoch: int = EPOCH, positioned: bool = True) -> Part:
    return Part(
        part_seq=seq, plc_boot_id=boot, epoch=epoch, trigger_count=count, due_count=count + GATE, positioned=positioned
    )


def seen(camera: str, count: float, *, epoch: int = EPOCH, frame_id: int = 1) -> PlacedView:
    return PlacedView(View(camera, frame_id, captured_ns=frame_id), Position(count, 1.0, epoch))


def views_of(assembly: Assembly) -> dict[str, float]:
    return {camera: placed.position.count for camera, placed in assembly.views.items()}


def decided(following: PartTracker, *furthest: int | None) -> list[Assembly]:
    """What is ripe there, without `furthest` all that is left; it leaves."""
    found = following.ripe(*furthest).assemblies if furthest else following.left()
    for assembly in found:
        following.leave(assembly.part)
    return found


def kept(following: PartTracker) -> int:
    return sum(map(len, following._orphans.values()))


def test_a_part_with_all_its_views_is_ripe_at_once() -> None:
    following = tracker()
    assert following.add_part(part())
    assert following.add_view(seen("left", 1000))
    assert decided(following, 1200) == []
    assert following.add_view(seen("right", 2500))
    (assembly,) = decided(following, 2600)
    assert views_of(assembly) == {"left": 1000, "right": 2500}
    assert len(following) == 0


@pytest.mark.parametrize(("furthest", "ripe"), [(None, 0), (0, 0), (6499, 0), (6500, 1), (99_999, 1)])
def test_a_part_is_ripe_when_it_may_have_reached_its_decision_line(furthest: int | None, ripe: int) -> None:
    following = tracker()
    following.add_part(part())
    assert len(decided(following, furthest)) == ripe
    assert len(following) == 1 - ripe


def test_parts_become_ripe_one_by_one_as_the_belt_moves_and_only_once() -> None:
    following = tracker()
    for seq in range(1, 6):
        following.add_part(part(seq, count=1000 * seq))
    leaving = [
        [assembly.part.part_seq for assembly in decided(following, furthest)] for furthest in range(6500, 13_000, 500)
    ]
    assert [seq for seqs in leaving for seq in seqs] == [1, 2, 3, 4, 5]
    assert max(map(len, leaving)) == 1


@pytest.mark.parametrize(("away", "belongs"), [(-100, True), (-101, False), (0, True), (100, True), (101, False)])
def test_a_view_belongs_to_the_part_within_the_tolerance_of_its_place(away: float, belongs: bool) -> None:  # noqa: FBT001
    following = tracker()
    following.add_part(part(count=-500))
    assert following.add_view(seen("left", -500 + 1000 + away)) is belongs


def test_views_go_to_their_own_parts_in_any_order() -> None:
    following = tracker()
    for seq in (1, 2, 3):
        following.add_part(part(seq, count=4000 * seq))
    for seq in (3, 1, 2):
        assert following.add_view(seen("right", 4000 * seq + 2500 - 40))
        assert following.add_view(seen("left", 4000 * seq + 1000 + 40))
    found = {assembly.part.part_seq: views_of(assembly) for assembly in decided(following, 0)}
    assert found == {seq: {"left": 4000 * seq + 1040, "right": 4000 * seq + 2460} for seq in (1, 2, 3)}


def test_a_view_that_comes_before_its_part_waits_for_it() -> None:
    following = tracker()
    assert not following.add_view(seen("left", 1000))
    assert following.ripe(1500).strays == 0
    following.add_part(part())
    (assembly,) = decided(following, 7000)
    assert views_of(assembly) == {"left": 1000}


def test_a_view_without_a_part_is_a_stray_when_its_part_would_be_past_the_gate() -> None:
    following = tracker()
    following.add_view(seen("left", 1000))
    assert following.ripe(None).strays == 0
    assert following.ripe(GATE).strays == 0
    assert following.ripe(GATE + 1).strays == 1
    assert following.ripe(GATE + 1).strays == 0


# Two parts where only one can be, as of a photo-eye that bounces.


@pytest.mark.parametrize(("apart", "crowded"), [(0, True), (50, True), (200, True), (201, False)])
@pytest.mark.parametrize("sign", [1, -1])
def test_parts_that_one_view_could_be_of_are_crowded_both(apart: int, sign: int, crowded: bool) -> None:  # noqa: FBT001
    following = tracker()
    following.add_part(part(1, 5000))
    following.add_part(part(2, 5000 + sign * apart))
    following.add_part(part(3, 9000))
    assert [assembly.crowded for assembly in following.left()] == [crowded, crowded, False]


def test_a_view_that_could_be_of_two_parts_is_of_both() -> None:
    following = tracker()
    for seq, count in ((1, 0), (2, 50), (3, 4000)):
        following.add_part(part(seq, count))
    assert following.add_view(seen("left", 1020))
    assert not following.add_view(seen("left", 1120)), "each of the two has its view"
    assert [views_of(assembly) for assembly in following.left()] == [{"left": 1020}, {"left": 1020}, {}]


@pytest.mark.parametrize(("apart", "crowded"), [(212, True), (213, False)])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("first_leaves", [False, True])
def test_the_doubt_about_their_places_makes_parts_crowded_from_further_away(
    apart: int,
    sign: int,
    crowded: bool,  # noqa: FBT001
    first_leaves: bool,  # noqa: FBT001
) -> None:
    following = tracker()
    first = replace(part(1, 5000), error_counts=5.0)
    following.add_part(first)
    if first_leaves:
        following.leave(first)
    following.add_part(replace(part(2, 5000 + sign * apart), error_counts=7.0))
    assert [assembly.crowded for assembly in following.left()] == [crowded] * len(following)


@pytest.mark.parametrize(("later", "crowded"), [(63, True), (64, False)])
def test_of_the_parts_that_have_left_the_latest_64_are_known(later: int, crowded: bool) -> None:  # noqa: FBT001
    following = tracker()
    for seq in range(later + 1):
        following.add_part(part(seq + 1, 1000 * seq))
        following.leave(part(seq + 1, 1000 * seq))
    following.add_part(part(100, 50))
    assert [assembly.crowded for assembly in following.left()] == [crowded]


def test_a_part_beside_one_that_has_its_verdict_is_crowded_too() -> None:
    following = tracker()
    following.add_part(part(1, 0))
    for camera, count in (("left", 1000), ("right", 2500)):
        following.add_view(seen(camera, count))
    (first,) = decided(following, 0)
    following.add_part(part(2, 150))
    following.add_part(part(3, 4000))
    assert not first.crowded
    assert [assembly.crowded for assembly in following.left()] == [True, False]


@pytest.mark.parametrize("other", [{"epoch": EPOCH + 1}, {"positioned": False}])
def test_parts_whose_places_cannot_be_compared_do_not_crowd_each_other(other: dict[str, Any]) -> None:
    following = tracker()
    following.add_part(part(1, 0))
    following.add_part(part(2, 10, **other))
    following.add_part(part(3, 20, positioned=False))
    assert [assembly.crowded for assembly in following.left()] == [False, False, False]


def test_a_second_view_of_one_camera_does_not_replace_the_first() -> None:
    following = tracker()
    following.add_part(part())
    assert following.add_view(seen("left", 1000, frame_id=1))
    assert not following.add_view(seen("left", 1010, frame_id=2))
    (assembly,) = decided(following, 7000)
    assert assembly.views["left"].view.frame_id == 1


def test_a_part_announced_twice_is_followed_once() -> None:
    following = tracker()
    assert following.add_part(part())
    assert not following.add_part(part())
    assert len(following) == 1


def test_the_same_number_in_another_run_of_the_plc_is_another_part() -> None:
    following = tracker()
    assert following.add_part(part(boot=77))
    assert following.add_part(part(boot=78, count=50_000))
    assert len(following) == 2


def test_views_of_another_epoch_do_not_match() -> None:
    following = tracker()
    following.add_part(part())
    assert not following.add_view(seen("left", 1000, epoch=EPOCH - 1))


def test_a_part_without_a_position_takes_no_view_and_is_ripe_at_once() -> None:
    following = tracker()
    following.add_part(part(positioned=False))
    assert not following.add_view(seen("left", 1000))
    (assembly,) = decided(following, None)
    assert assembly.views == {}


def test_a_new_epoch_voids_the_parts_of_the_old_one_only() -> None:
    following = tracker()
    following.add_part(part(1))
    following.add_part(part(2, count=50_000, epoch=EPOCH + 1))
    following.void(EPOCH + 1, BOOT)
    (assembly,) = decided(following, 0)
    assert (assembly.part.part_seq, assembly.voided) == (1, Reason.POSITION_UNKNOWN)
    assert len(following) == 1


def test_a_part_that_never_had_a_position_is_not_voided_for_it() -> None:
    following = tracker()
    following.add_part(part(positioned=False, epoch=0))
    following.void(EPOCH, BOOT)
    (assembly,) = decided(following, 0)
    assert assembly.voided is Reason.NONE


def test_a_restarted_plc_voids_the_parts_of_its_old_run() -> None:
    following = tracker()
    following.add_part(part(1, boot=77))
    following.add_part(part(1, boot=78, count=50_000, epoch=EPOCH + 1))
    following.void(EPOCH + 1, 78)
    (assembly,) = decided(following, 0)
    assert (assembly.part.plc_boot_id, assembly.voided) == (77, Reason.PLC_RESTARTED)


def test_an_unknown_plc_voids_nothing() -> None:
    following = tracker()
    following.add_part(part())
    following.void(EPOCH, None)
    assert decided(following, 0) == []


def test_a_part_of_an_earlier_numbering_under_the_same_boot_id_is_voided_and_never_the_later_ones() -> None:
    following = tracker()
    following.add_part(part(17))
    assert following.add_part(replace(part(17), run=1)), "the same number, another part"
    following.void(EPOCH, BOOT, 1)
    assert [(each.part.run, each.voided) for each in following.left()] == [(0, Reason.PLC_RESTARTED), (1, Reason.NONE)]
    following.leave(part(17))
    assert [each.part.run for each in following.left()] == [1]


def test_views_of_an_old_epoch_are_strays_even_if_the_counter_began_again_below_them() -> None:
    following = tracker()
    following.add_view(seen("left", 2_000_000_000))
    following.void(EPOCH + 1, BOOT)
    assert following.ripe(10).strays == 1
    assert kept(following) == 0


def test_a_part_that_is_ripe_stays_until_it_has_its_verdict() -> None:
    following = tracker()
    following.add_part(part(1))
    following.add_part(part(2))
    assert [assembly.part.part_seq for assembly in following.ripe(99_999).assemblies] == [1, 2]
    following.leave(part(1))
    assert [assembly.part.part_seq for assembly in following.ripe(99_999).assemblies] == [2]


def test_of_the_views_of_a_belt_that_stands_the_newest_are_kept_and_a_start_costs_nothing() -> None:
    following = tracker()
    for frame_id in range(5000):
        following.add_view(seen("left", 1000, frame_id=frame_id))
    begun = time.process_time()
    assert following.ripe(0).strays == 5000 - kept(following)
    assert following.ripe(GATE + 1).strays == 1024
    assert time.process_time() - begun < 0.5  # 60 s when each was compared with all others
    following.add_view(seen("left", 1000, frame_id=1))
    for frame_id in range(2, 1200):
        following.add_view(seen("left", 3000, frame_id=frame_id))
    following.add_part(part())
    following.add_part(part(2, count=2000))
    assert [list(assembly.views) for assembly in decided(following)] == [[], ["left"]]


def test_what_is_left_can_be_taken_out() -> None:
    following = tracker()
    for seq in (1, 2, 3):
        following.add_part(part(seq, count=5000 * seq))
    assert [assembly.part.part_seq for assembly in decided(following)] == [1, 2, 3]
    assert decided(following) == []
    assert len(following) == 0


def test_the_trackers_offsets_are_its_own() -> None:
    offsets = {"left": 1000}
    following = PartTracker(offsets, {0: TOLERANCE}, RESERVE, GATE)
    offsets["right"] = 2000
    following.add_part(part())
    following.add_view(seen("left", 1000))
    assert len(decided(following, 0)) == 1


counts = st.integers(-3000, 12_000)
epochs, boots = st.integers(1, 3), st.integers(77, 78)
steps = st.one_of(
    st.builds(
        lambda seq, count, boot, epoch, positioned: (
            "add_part",
            part(seq, count, boot=boot, epoch=epoch, positioned=positioned),
        ),
        st.integers(1, 12),
        counts,
        boots,
        epochs,
        st.booleans(),
    ),
    st.builds(
        lambda camera, count, epoch: ("add_view", seen(camera, count, epoch=epoch)),
        st.sampled_from(sorted(OFFSETS)),
        counts,
        epochs,
    ),
    st.tuples(st.just("ripe"), st.none() | counts),
    st.tuples(st.just("void"), st.tuples(epochs, st.none() | boots)),
    st.tuples(st.just("drain"), st.none()),
)


@settings(max_examples=200)
@given(st.lists(steps, max_size=40))
def test_whatever_happens_each_part_that_enters_leaves_exactly_once_and_no_view_is_lost(
    happenings: list[tuple[str, object]],
) -> None:
    following, inside, views = tracker(), dict[tuple[int, int], Part](), 0
    for serial, (what, given_) in enumerate(happenings):
        left: list[Assembly] = []
        match what, given_:
            case "add_part", Part() as new:
                key = (new.plc_boot_id, new.part_seq)
                assert following.add_part(new) is (key not in inside)
                inside.setdefault(key, new)
            case "add_view", PlacedView() as placed:
                views += 1
                following.add_view(replace(placed, view=replace(placed.view, frame_id=serial)))
            case "ripe", int() | None as furthest:
                views -= following.ripe(furthest).strays
                left = decided(following, furthest)
            case "void", (int() as epoch, int() | None as boot):
                following.void(epoch, boot)
            case _:
                left = decided(following)
        for assembly in left:
            # KeyError: it was not inside, or left before.
            assert inside.pop((assembly.part.plc_boot_id, assembly.part.part_seq)) is assembly.part
            views -= len(assembly.views)
            _check(assembly)
        assert len(following) == len(inside)
    rest = decided(following)
    assert [assembly.part for assembly in rest] == list(inside.values())
    assert views == sum(len(assembly.views) for assembly in rest) + kept(following)


def _check(assembly: Assembly) -> None:
    for camera, placed in assembly.views.items():
        assert placed.view.camera == camera
        assert placed.position.epoch == assembly.part.epoch
        assert abs(placed.position.count - assembly.part.trigger_count - OFFSETS[camera]) <= TOLERANCE


def test_a_part_takes_the_look_by_its_own_recipe_within_its_own_tolerance() -> None:
    following = PartTracker({"left": 1000}, {4: 100, 5: 10}, RESERVE, GATE)
    following.add_part(replace(part(1, count=0), recipe_id=4))
    following.add_part(replace(part(2, count=5000), recipe_id=5))
    assert following.recipes == {4, 5}
    by_both = View("left", 1, 1, doubtful=True, recipe_id=4, others=(View("left", 1, 1, recipe_id=5),))
    assert following.add_view(PlacedView(by_both, Position(1090, 1.0, EPOCH)))
    assert not following.add_view(PlacedView(by_both, Position(6090, 1.0, EPOCH)))
    assert following.add_view(PlacedView(by_both, Position(6010, 1.0, EPOCH)))
    first, second = decided(following)
    assert first.views["left"].view is by_both
    assert second.views["left"].view == by_both.others[0]
    assert following.recipes == set()


def test_a_view_that_was_not_looked_at_by_the_part_s_recipe_is_a_failure() -> None:
    seen_by_4 = View(
        "left",
        1,
        1,
        defects=(Defect("left", "crack", area_mm2=1, length_mm=1, confidence=1, x_mm=0, y_mm=0),),
        doubtful=True,
        recipe_id=4,
    )
    view = replace(seen_by_4, others=(replace(seen_by_4, recipe_id=6),))
    assert view.by(6) == replace(seen_by_4, recipe_id=6)
    assert view.by(5) == View("left", 1, 1, failure=Reason.WRONG_RECIPE, recipe_id=5)
    lost = View("left", 1, 1, failure=Reason.LATE)
    assert lost.by(5) is lost


def test_a_stray_of_this_epoch_waits_and_one_of_an_earlier_does_not() -> None:
    following = tracker()
    following.add_view(seen("left", 1000, epoch=0))
    assert following.ripe(1000).strays == 0
    following.void(1, None)
    assert following.ripe(1000).strays == 1
    following.add_view(seen("left", 1000, epoch=1))
    assert following.ripe(1000).strays == 0


def test_what_is_followed_can_be_looked_at() -> None:
    following = tracker()
    following.add_part(part(1))
    following.add_view(seen("left", 1000))
    (found,) = following.open_parts()
    assert (found.part, found.cameras) == (part(1), ("left",))


@pytest.mark.parametrize(
    ("captured", "exposure", "error", "belongs"),
    [
        (1000, 0, 0, True),
        (999, 0, 0, False),
        (990, 20, 0, True),
        (990, 19, 0, False),
        (990, 0, 10, True),
        (990, 0, 9, False),
    ],
)
def test_a_picture_whose_exposure_was_over_before_its_part_s_trigger_belongs_to_no_part(
    captured: int,
    exposure: int,
    error: int,
    belongs: bool,  # noqa: FBT001
) -> None:
    placed = PlacedView(
        View("left", 1, captured, exposure_ns=exposure, captured_error_ns=error), Position(1000, 1.0, EPOCH)
    )
    following = tracker()
    following.add_part(replace(part(), not_before_ns=1000))
    assert following.add_view(placed) is belongs
    waited = tracker()
    waited.add_view(placed)
    waited.add_part(replace(part(), not_before_ns=1000))
    (assembly,) = waited.left()
    assert bool(assembly.views) is belongs


@pytest.mark.parametrize(("count", "belongs"), [(-50, True), (0, True), (1, False), (50, False)])
def test_at_the_photo_eye_a_picture_from_just_before_the_trigger_is_from_just_before_its_place(
    count: int,
    belongs: bool,  # noqa: FBT001
) -> None:
    following = PartTracker({"left": 0}, {0: TOLERANCE}, RESERVE, GATE)
    following.add_part(replace(part(), not_before_ns=1000))
    assert following.add_view(PlacedView(View("left", 1, 900), Position(count, 1.0, EPOCH))) is belongs


def test_when_places_cannot_be_trusted_what_is_followed_is_decided_without_one() -> None:
    following = tracker()
    following.add_part(part(1))
    following.add_part(part(2, boot=BOOT + 1))
    following.add_part(part(3, positioned=False))
    following.void(EPOCH, BOOT)
    following.distrust()
    found = {assembly.part.part_seq: assembly.voided for assembly in decided(following, 0)}
    assert found == {1: Reason.POSITION_UNKNOWN, 2: Reason.PLC_RESTARTED, 3: Reason.NONE}


SHOTS = {"top-1": 1000, "top-2": 1000, "top-3": 1600, "side": 2500}
TURNING = ["top-1", "top-2", "top-3"]


def turning(**more: Any) -> PartTracker:
    return PartTracker(SHOTS, {0: TOLERANCE}, RESERVE, GATE, shots=[TURNING], **more)


def test_a_part_needs_each_of_its_pictures() -> None:
    following = turning()
    following.add_part(part())
    for view, count in (("top-1", 1000), ("top-2", 1010), ("side", 2500)):
        following.add_view(seen(view, count))
    assert decided(following, 3000) == []
    following.add_view(seen("top-3", 1600))
    (assembly,) = decided(following, 3000)
    assert views_of(assembly) == {"top-1": 1000, "top-2": 1010, "side": 2500, "top-3": 1600}
    assert not assembly.mixed


@pytest.mark.parametrize(
    ("view", "count", "mixed"),
    [
        ("top-1", 1000, True),  # one more at the same place
        ("top-3", 1050, True),  # a name that does not belong to this place, so the count of pictures is wrong
        ("top-3", 1300, False),  # between the places: of nobody
        ("top-1", 9000, False),  # of the next part
        ("side", 2500, False),
    ],
)
def test_one_picture_too_many_makes_all_of_them_doubtful(view: str, count: int, mixed: bool) -> None:  # noqa: FBT001
    following, orphans_first = turning(), turning()
    following.add_part(part())
    for each, at in (("top-1", 1000), ("top-2", 1000)):
        following.add_view(seen(each, at))
        orphans_first.add_view(seen(each, at))
    following.add_view(seen(view, count))
    orphans_first.add_view(seen(view, count))
    orphans_first.add_part(part())
    assert [each.mixed for each in (*following.left(), *orphans_first.left())] == [mixed, mixed]
    of_the_part = mixed or view == "side"
    assert [kept(following), kept(orphans_first)] == [0 if of_the_part else 1] * 2


def test_a_second_picture_of_a_camera_that_takes_one_is_nothing_new() -> None:
    following = tracker()
    following.add_part(part())
    assert following.add_view(seen("left", 1000))
    assert not following.add_view(seen("left", 1000))
    assert not following.left()[0].mixed


def test_one_too_many_from_before_the_part_was_there_is_not_of_this_part() -> None:
    following = turning()
    following.add_part(replace(part(), not_before_ns=5000))
    following.add_view(seen("top-3", 1000, frame_id=10))
    assert not following.left()[0].mixed


def test_a_part_needs_the_views_of_its_own_recipe_only() -> None:
    following = turning(expected={0: ["top-1", "side"]})
    following.add_part(part())
    assert not following.add_view(seen("top-2", 1000))
    following.add_view(seen("top-1", 1000))
    following.add_view(seen("side", 2500))
    (assembly,) = decided(following, 3000)
    assert set(assembly.views) == {"top-1", "side"}


def test_the_doubt_about_the_part_and_about_the_way_is_in_the_bound_of_its_views() -> None:
    following = PartTracker(OFFSETS, {0: TOLERANCE}, RESERVE, GATE, travel_error=0.01)
    following.add_part(replace(part(), error_counts=5.0))
    following.add_view(seen("left", 1000))
    expected = PlacedView(seen("left", 1000).view, Position(1000, 1.0 + 5.0 + 10.0, EPOCH))
    assert following.left()[0].views == {"left": expected}


def test_with_an_encoder_and_a_part_at_a_known_place_a_view_stays_as_it_is() -> None:
    following, placed = tracker(), seen("left", 1000)
    following.add_part(part())
    following.add_view(placed)
    assert following.left()[0].views["left"] is placed


def test_what_is_looked_at_for_a_view_does_not_grow_with_the_parts_on_the_belt(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    whether = PartTracker._is_ripe

    def counting(self: PartTracker, assembly: Assembly, furthest: int | None) -> bool:
        looked.append(assembly.part.part_seq)
        return whether(self, assembly, furthest)

    monkeypatch.setattr(PartTracker, "_is_ripe", counting)
    following = tracker()
    for seq in range(1, 401):
        following.add_part(part(seq, count=1000 * seq))
    assert decided(following, 0) == []
    looked.clear()
    for seq in range(201, 301):
        following.add_view(seen("left", 1000 * seq + 1000))
        assert decided(following, 0) == []
    assert looked == list(range(201, 301))
    assert following.recipes == {0}


def test_parts_that_are_ripe_together_leave_in_the_order_in_which_they_came() -> None:
    following = tracker()
    for seq, count in ((1, 3000), (2, 1000), (3, 2000)):
        following.add_part(part(seq, count=count))
    assert following.ripe(0).assemblies == []
    for each in (3, 1):
        following.add_view(seen("left", {1: 4000, 3: 3000}[each]))
    assert [each.part.part_seq for each in following.ripe(99_999).assemblies] == [1, 2, 3]
    assert [each.part.part_seq for each in following.ripe(99_999).assemblies] == [1, 2, 3], "none of them has left"
    assert [each.part.part_seq for each in decided(following, 99_999)] == [1, 2, 3]
    assert (len(following), following.recipes) == (0, set())
