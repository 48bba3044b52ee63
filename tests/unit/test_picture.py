"""Which pictures cannot be judged: too dark, saturated, blurred, or the same again."""

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspector.inspection.picture import PictureFault, fault_of, picture_figures
from edge_inspector.inspection.recipe import PictureLimits
from edge_inspector.records import Image

SHAPES = st.tuples(st.integers(1, 200), st.integers(1, 200), st.sampled_from([(), (3,)]))


def noise(low: int, high: int, shape: tuple[int, ...] = (300, 200), seed: int = 1) -> Image:
    return np.random.default_rng(seed).integers(low, high, shape, dtype=np.uint8)


def fault(image: Image, before: int | None = None, **limits: Any) -> PictureFault | None:
    return fault_of(picture_figures(image), PictureLimits(**limits), before)


@given(SHAPES, st.integers(0, 255))
def test_a_flat_picture_has_its_level_and_nothing_sharp(shape: tuple[int, int, tuple[int, ...]], level: int) -> None:
    figures = picture_figures(np.full((*shape[:2], *shape[2]), level, np.uint8))
    assert figures.mean == pytest.approx(level)
    assert figures.sharpness == 0
    assert (figures.dark, figures.saturated) == (float(level <= 10), float(level >= 250))


def test_the_figures_of_the_smallest_picture_that_can_be_sharp() -> None:
    figures = picture_figures(np.array([[0, 1, 3], [0, 1, 3], [0, 1, 6]], np.uint8))
    assert figures.mean == pytest.approx(15 / 9)
    # Mean squares over two pixels: (9 + 9 + 36) / 3 across, and 9 / 3 along.
    assert figures.sharpness == pytest.approx(100 * ((18 + 3) / 2) ** 0.5 / (15 / 9))


@given(SHAPES, st.integers(0, 1000))
def test_figures_lie_within_their_ranges_and_are_a_function_of_the_picture(
    shape: tuple[int, int, tuple[int, ...]], seed: int
) -> None:
    image = noise(0, 256, (*shape[:2], *shape[2]), seed)
    figures = picture_figures(image)
    assert 0 <= figures.mean <= 255
    assert 0 <= figures.dark <= 1
    assert 0 <= figures.saturated <= 1
    assert figures.dark + figures.saturated <= 1
    assert figures.sharpness >= 0
    assert picture_figures(image.copy()) == figures


@given(st.integers(0, 1000), st.integers(1, 4))
def test_blur_takes_sharpness_away_and_light_does_not(seed: int, sigma: int) -> None:
    sharp = noise(20, 60, seed=seed)
    blurred = np.asarray(cv2.GaussianBlur(sharp, (0, 0), sigma), np.uint8)
    assert picture_figures(blurred).sharpness < picture_figures(sharp).sharpness
    assert picture_figures(sharp * 3).sharpness == pytest.approx(picture_figures(sharp).sharpness, rel=1e-6)


@pytest.mark.parametrize("size", [(1, 15), (15, 1)])
def test_motion_blurs_in_either_direction(size: tuple[int, int]) -> None:
    sharp = noise(20, 60)
    assert (
        picture_figures(np.asarray(cv2.blur(sharp, size), np.uint8)).sharpness < 0.9 * picture_figures(sharp).sharpness
    )


def test_colour_counts_channel_by_channel() -> None:
    red = np.zeros((40, 40, 3), np.uint8)
    red[:, :, 2] = 255
    figures = picture_figures(red)
    assert (figures.mean, figures.dark, figures.saturated) == pytest.approx((85, 2 / 3, 1 / 3))


def test_what_lies_between_the_sampled_rows_is_not_looked_at() -> None:
    image = np.full((640, 10), 100, np.uint8)
    before = picture_figures(image)
    image[5] = 0
    assert picture_figures(image) == before


@pytest.mark.parametrize(
    ("image", "limits", "expected"),
    [
        (noise(0, 11), {}, PictureFault.DARK),
        (noise(0, 11), {"max_dark": 1.0}, None),
        (noise(250, 256), {}, PictureFault.SATURATED),
        (noise(250, 256), {"max_saturated": 1.0}, None),
        (noise(20, 60), {"min_sharpness": 1000.0}, PictureFault.BLURRED),
        (noise(20, 60), {"min_sharpness": 1.0}, None),
        (noise(20, 60), {"min_sharpness": picture_figures(noise(20, 60)).sharpness}, None),
        (noise(0, 256), {}, None),
    ],
)
def test_limits(image: Image, limits: dict[str, Any], expected: PictureFault | None) -> None:
    assert fault(image, **limits) is expected


def test_the_same_picture_again_is_frozen_unless_it_may_be() -> None:
    image = noise(20, 60)
    print_before = picture_figures(image).fingerprint
    assert fault(image, print_before) is PictureFault.FROZEN
    assert fault(image, print_before, may_repeat=True) is None
    assert fault(noise(20, 60, seed=2), print_before) is None


@pytest.mark.parametrize("shape", [(64, 48), (64, 48, 3), (1, 9), (9, 1)])
def test_a_picture_that_differs_in_one_pixel_or_is_moved_is_another_one(shape: tuple[int, ...]) -> None:
    image = noise(20, 60, shape)
    before = picture_figures(image).fingerprint
    other = image.copy()
    other.flat[7] += 1
    assert picture_figures(other).fingerprint != before
    assert picture_figures(np.roll(image, 1, axis=int(shape[0] == 1))).fingerprint != before
    turned = image[::-1] if shape[0] > 1 else image[:, ::-1]
    assert picture_figures(turned).fingerprint != before


def test_darkness_explains_more_than_repetition_or_blur() -> None:
    black = np.zeros((20, 20), np.uint8)
    assert fault(black, picture_figures(black).fingerprint, min_sharpness=1.0) is PictureFault.DARK
