"""Disturbances of good parts from which the head learns what a defect could be: drawn ones, and noise in features."""

from __future__ import annotations

import math
from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge_inspector.training.data.draw import SHAPES, Image, Rng

_COARSE: Final = 4
"""Times that a drawn shape may be enlarged: defects have all sizes."""
_BRIGHT: Final = 0.35
_SWAPPED: Final = 0.35
_NOISE: Final = (0.3, 1.5)
"""Deviation of the noise in features, compared with that of good parts."""
_KINDS: Final = ("line", "line", "blob", "blob", "blob", "chip", "band")


def spoilt(picture: Image, rng: Rng) -> tuple[Image, Image]:
    """A good picture [H, W, C] with one or two defects, and their cover [H, W] from 0 to 255.

    A defect is drawn, or is a piece of the same picture where it does not belong, darker or brighter.
    """
    image, covered = picture.copy(), np.zeros(picture.shape[:2], np.uint8)
    for _ in range(int(rng.integers(1, 3))):
        cover = _swap(image, picture, rng) if rng.random() < _SWAPPED else _draw(image, rng)
        np.maximum(covered, cover, out=covered)
    return image, covered


def _draw(image: Image, rng: Rng) -> Image:
    height, width = image.shape[:2]
    times = int(rng.integers(1, 1 + _COARSE))
    small = np.zeros((max(24, height // times), max(24, width // times)), np.uint8)
    change = SHAPES[str(rng.choice(_KINDS))](small, rng)
    change = np.broadcast_to(np.asarray(change, np.float32), small.shape)
    cover = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    change = cv2.resize(np.ascontiguousarray(change), (width, height), interpolation=cv2.INTER_LINEAR)
    if rng.random() < _BRIGHT:
        change = np.clip(1.0 / np.maximum(change, 0.05), 0.0, rng.uniform(1.2, 2.5))
    # Some defects hardly show.
    change = 1.0 + (change - 1.0) * np.float32(rng.uniform(0.35, 1.0))
    soft = cv2.GaussianBlur(cover, (0, 0), rng.uniform(0.5, 1.5)).astype(np.float32) / 255.0
    factor = 1.0 + soft * (change - 1.0)
    tint = np.asarray(rng.uniform(0.85, 1.15, 3) if image.shape[2] == 3 else [1.0], np.float32)
    coloured = 1.0 + soft[:, :, np.newaxis] * (tint - 1.0)
    image[:] = np.clip(image * factor[:, :, np.newaxis] * coloured, 0.0, 255.0).astype(np.uint8)
    return np.asarray(cover, np.uint8)


def _swap(image: Image, picture: Image, rng: Rng) -> Image:
    """Put a cloud-shaped piece of the picture, turned over and moved, somewhere."""
    height, width = image.shape[:2]
    cover = cloud((height, width), rng, share=float(rng.uniform(0.003, 0.06)))
    turned = picture[:: int(rng.choice((-1, 1))), :: int(rng.choice((-1, 1)))]
    moved = np.roll(turned, (int(rng.integers(height)), int(rng.integers(width))), (0, 1))
    soft = cv2.GaussianBlur(cover, (0, 0), rng.uniform(0.5, 2.0)).astype(np.float32)[:, :, np.newaxis] / 255.0
    soft = soft * np.float32(rng.uniform(0.5, 1.0))
    # A piece of the same brightness may look as if it belonged there.
    lit = moved * np.float32(np.exp(rng.choice((-1, 1)) * rng.uniform(0.15, 0.6)))
    image[:] = np.clip(image * (1.0 - soft) + lit * soft, 0.0, 255.0).astype(np.uint8)
    return cover


def cloud(size: tuple[int, int], rng: Rng, *, share: float) -> Image:
    """A mask [H, W] of 0 and 255 in the shape of a cloud of Perlin's kind, near one place, that covers this share."""
    height, width = size
    field = np.zeros(size, np.float32)
    for octave in range(2, 6):
        rows, columns = (max(2, 2**octave * side // max(size)) for side in size)
        waves = rng.standard_normal((rows, columns), dtype=np.float32)
        field += cv2.resize(waves, (width, height), interpolation=cv2.INTER_CUBIC) / octave
    y, x = rng.uniform(0, height), rng.uniform(0, width)
    reach = 2.0 * np.sqrt(share * height * width)
    rows, columns = np.ogrid[:height, :width]
    field -= 2.0 * (((rows - y) ** 2 + (columns - x) ** 2) / reach**2).astype(np.float32)
    return np.where(field > np.quantile(field, 1.0 - share), np.uint8(255), np.uint8(0)).astype(np.uint8)


def cell_targets(cover: Image, cell: int) -> NDArray[np.uint8]:
    """[H/cell, W/cell]: 0 good, 1 defective, 2 in doubt because a little of it is covered, or a neighbour is."""
    height, width = (-(-side // cell) * cell for side in cover.shape)
    whole = np.zeros((height, width), np.float32)
    whole[: cover.shape[0], : cover.shape[1]] = cover > 127
    share = whole.reshape(height // cell, cell, width // cell, cell).mean(axis=(1, 3))
    sure = (share >= 0.06).astype(np.uint8)
    if not sure.any() and share.any():
        sure = (share >= share.max()).astype(np.uint8)
    near = cv2.dilate((share > 0).astype(np.uint8), np.ones((3, 3), np.uint8))
    return np.where(sure > 0, np.uint8(1), np.where(near > 0, np.uint8(2), np.uint8(0))).astype(np.uint8)


def noisy(features: Tensor, rng: Rng) -> tuple[Tensor, Tensor]:
    """Standardised features [N, F, h, w] with noise in a cloud of each, and the clouds [N, h, w] as 0 and 1."""
    count, _, height, width = features.shape
    clouds = np.stack([cloud((height, width), rng, share=float(rng.uniform(0.004, 0.15))) for _ in range(count)])
    where = torch.from_numpy((clouds > 0).astype(np.float32))
    low, high = (math.log(each) for each in _NOISE)
    strength = np.exp(rng.uniform(low, high, count)).astype(np.float32)
    noise = torch.from_numpy(rng.standard_normal(tuple(features.shape), dtype=np.float32))
    scaled = noise * torch.from_numpy(strength).reshape(-1, 1, 1, 1) * where.unsqueeze(1)
    return features + scaled, where
