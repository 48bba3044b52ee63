"""Which of a camera's pictures of one part a picture is."""

import pytest

from edge_inspector.inspection.shots import Shots

NAMES = ["top-1", "top-2", "top-3"]


def named(shots: Shots, *counts: float | None) -> list[int]:
    return [int(shots.name(count)[-1]) for count in counts]


def turning() -> Shots:
    """Three pictures of a part that stands."""
    return Shots(NAMES, [1000, 1000, 1000], apart=100, pitch=2000)


def long() -> Shots:
    """Three pictures along a part."""
    return Shots(NAMES, [1000, 1400, 1800], apart=100, pitch=2000)


def test_pictures_at_one_place_are_told_apart_by_their_order() -> None:
    assert named(turning(), 5000, 5002, 5001, 7000, 7000, 7001, 9000) == [1, 2, 3, 1, 2, 3, 1]


def test_pictures_along_a_part_are_told_apart_by_the_belt() -> None:
    assert named(long(), 5000, 5390, 5810, 7000, 7400, 7800) == [1, 2, 3, 1, 2, 3]


def test_after_a_lost_picture_the_others_keep_their_names_where_the_belt_shows_it() -> None:
    assert named(long(), 5000, 5800, 7000, 7400) == [1, 3, 1, 2]
    assert named(turning(), 5000, 5000, 7000, 7000, 7000) == [1, 2, 1, 2, 3]


@pytest.mark.parametrize(("count", "name"), [(5400, 2), (5800, 3), (6200, 4)])
def test_as_many_pictures_are_left_out_as_were_lost(count: float, name: int) -> None:
    four = Shots([*NAMES, "top-4"], [1000, 1400, 1800, 2200], apart=100, pitch=3000)
    assert named(four, 5000, count) == [1, name]


@pytest.mark.parametrize(("count", "name"), [(5199, 2), (5200, 2), (5201, 2), (5600, 2), (5601, 3)])
def test_a_picture_is_nearest_to_its_own_place(count: float, name: int) -> None:
    # The second picture cannot be the first one again, however near it is.
    assert named(long(), 5000, count) == [1, name]


def test_places_that_are_no_further_apart_than_the_tolerance_are_told_apart_by_order() -> None:
    near = Shots(NAMES, [1000, 1100, 1201], apart=100, pitch=2000)
    assert named(near, 5000, 5190, 5200) == [1, 3, 3]
    assert named(near, 7000, 7150, 7151) == [1, 2, 3]
    assert named(Shots(NAMES, [1000, 1000, 1201], apart=200, pitch=2000), 5000, 5201) == [1, 3]
    assert named(Shots(NAMES, [1000, 1000, 1201], apart=201, pitch=2000), 5000, 5201) == [1, 2]


def test_a_picture_too_many_has_the_last_name_again() -> None:
    assert named(turning(), 5000, 5000, 5000, 5000, 5000) == [1, 2, 3, 3, 3]


@pytest.mark.parametrize(("count", "name"), [(6000, 2), (6001, 1), (4000, 2), (3999, 1)])
def test_a_part_ends_half_way_to_the_next_one_in_either_direction(count: float, name: int) -> None:
    assert named(turning(), 5000, count) == [1, name]


@pytest.mark.parametrize(("count", "name"), [(6400, 3), (6401, 1)])
def test_the_way_of_the_pictures_belongs_to_the_part(count: float, name: int) -> None:
    assert named(long(), 5000, 5400, count) == [1, 2, name]  # 800 on the way, and half of the 1200 that are left


def test_without_a_position_a_part_begins_anew() -> None:
    assert named(turning(), 5000, 5000, None, 5000, 5000) == [1, 2, 1, 1, 2]
