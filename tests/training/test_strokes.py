"""Simulated strokes of a brush: they cover the place of a defect, not its outline."""

import cv2
import numpy as np
from numpy.typing import NDArray
from strokes import stroked

Image = NDArray[np.uint8]


def crack() -> Image:
    mask = np.zeros((100, 200), np.uint8)
    points = np.array([(20, 30), (80, 50), (120, 45), (180, 80)], np.int32).reshape(-1, 1, 2)
    return np.asarray(cv2.polylines(mask, [points], isClosed=False, color=255, thickness=4), np.uint8)


def test_a_stroke_follows_its_defect_and_is_wider_and_shorter() -> None:
    truth = crack() > 0
    for seed in range(20):
        drawn = stroked(crack(), np.random.default_rng(seed)) > 0
        columns = [np.flatnonzero(each.any(axis=0)) for each in (drawn, truth)]
        assert (drawn & truth).sum() > 0.5 * truth.sum()
        assert drawn.sum() > 0.8 * truth.sum()
        assert columns[0][0] > columns[1][0]
        assert columns[0][-1] < columns[1][-1]
        assert (drawn & ~truth).any()


def test_the_same_hand_draws_the_same_and_another_does_not() -> None:
    one, again, other = (stroked(crack(), np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_tall_defects_are_stroked_along_their_height() -> None:
    drawn = stroked(np.ascontiguousarray(crack().T), np.random.default_rng(1))
    rows, columns = np.nonzero(drawn)
    assert np.ptp(rows) > 2 * np.ptp(columns)


def test_a_dot_is_a_dot_and_nothing_is_nothing() -> None:
    mask = np.zeros((40, 40), np.uint8)
    assert not stroked(mask, np.random.default_rng(1)).any()
    mask[20, 20] = 255
    drawn = stroked(mask, np.random.default_rng(1))
    assert 4 <= np.count_nonzero(drawn) <= 49


def test_of_many_regions_the_five_largest_are_drawn() -> None:
    mask = np.zeros((60, 400), np.uint8)
    for number in range(8):
        mask[20:30, 10 + 50 * number : 20 + 50 * number + 2 * number] = 255
    drawn = stroked(mask, np.random.default_rng(1))
    found = [bool(drawn[:, 50 * number : 50 * number + 45].any()) for number in range(8)]
    assert found == [False] * 3 + [True] * 5
