"""Lines on even surfaces, and surfaces whose own lines tell nothing."""

import cv2
import numpy as np
import pytest
from support.training import needs_training

needs_training()

import torch
from torch import Tensor

from edge_inspector.training.good.lines import Lines
from edge_inspector.training.learning.unet import normalise

HEIGHT, WIDTH = 128, 160
STRONG = 1.7


def surface(seed: int) -> np.ndarray:
    """Grey noise, as a camera gives it of an even surface."""
    noise = np.random.default_rng(seed).normal(130, 8, (HEIGHT, WIDTH)).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 0.8))


def lines(image: np.ndarray) -> Tensor:
    pixels = np.clip(image, 0, 255).astype(np.uint8)
    with torch.no_grad():
        found: Tensor = Lines()(normalise(torch.from_numpy(pixels[np.newaxis, :, :, np.newaxis])))
    return found


@pytest.mark.parametrize(("change", "kind"), [(-40, 0), (40, 1)])
@pytest.mark.parametrize("end", [(130, 64), (100, 110), (40, 20), (80, 12)])
def test_a_thin_line_is_found_where_it_is_in_any_direction(change: int, kind: int, end: tuple[int, int]) -> None:
    image = surface(1)
    cover = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.line(cover, (80, 64), end, 1, 2)
    image[cover > 0] += change
    found = lines(image)
    assert found.shape == (1, 2, HEIGHT // 8, WIDTH // 8)
    row, column = np.unravel_index(int(found[0, kind].argmax()), found.shape[2:])
    assert cover[row * 8 : row * 8 + 8, column * 8 : column * 8 + 8].any()
    assert found[0, kind].max() > STRONG > found[0, 1 - kind].max()


def test_light_and_exposure_change_nothing() -> None:
    image = surface(2)
    image[60:62, 30:130] -= 30
    ramp = np.linspace(0.5, 1.4, WIDTH, dtype=np.float32)
    assert torch.allclose(lines(image).amax(), lines(image * 0.6 + 20).amax(), rtol=0.15)
    assert lines(image * ramp)[0, 0].max() > STRONG


@pytest.mark.parametrize("kind", ["step", "blob", "edge of a small part"])
def test_what_is_no_line_is_not_found(kind: str) -> None:
    image = surface(3)
    if kind == "step":
        image[:, 70:] += 60
    elif kind == "blob":
        cv2.circle(image, (80, 64), 20, 60.0, -1)
    else:
        image[:, 96:] = 0
    assert lines(image).max() < STRONG


def test_a_crack_beside_the_end_of_a_small_part_is_found() -> None:
    image = surface(4)
    image[:, 96:] = 0
    image[30:90, 40:42] -= 40
    assert lines(image)[0, 0].max() > STRONG


def learned(images: list[np.ndarray]) -> tuple[Lines, bool]:
    net = Lines()
    inside = torch.ones(1, HEIGHT // 8, WIDTH // 8, dtype=torch.bool)
    return net, net.learn([(lines(image), inside) for image in images])


def test_even_surfaces_make_lines_count() -> None:
    net, counts = learned([surface(seed) for seed in range(20)])
    assert counts
    scratched = surface(50)
    scratched[60:62, 30:130] -= 40
    assert net.unusual(lines(scratched)).max() > 3 * net.unusual(lines(surface(51))).max()


def test_lines_tell_nothing_where_good_parts_have_their_own() -> None:
    grained = []
    for seed in range(20):
        image = surface(seed)
        if seed % 2:
            image[20 : 20 + seed, :] -= 3
            image[60:62, :] -= 4 * seed
        grained.append(image)
    net, _ = learned(grained)
    assert net.reaches[0, 0] == 0
    assert net.unusual(lines(grained[19]))[0, 0].max() <= net.unusual(lines(grained[0])).max() + 1


def test_pictures_without_any_noise_make_no_faint_line_a_defect() -> None:
    net, counts = learned([np.full((HEIGHT, WIDTH), 130, np.float32)] * 8)
    assert counts
    assert (net.reaches <= 10.0).all()


def test_a_part_that_fills_nothing_of_a_window_is_no_fault() -> None:
    net = Lines()
    outside = torch.zeros(1, HEIGHT // 8, WIDTH // 8, dtype=torch.bool)
    inside = torch.ones_like(outside)
    assert net.learn([(lines(surface(seed)), inside) for seed in range(5)] + [(lines(surface(9)), outside)])
