"""Augmentation as on a shop floor: light, gamma, tint, blur, noise, and parts that lie a little differently."""

from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspector.segmenters.manifest import Fill
from edge_inspector.training.data.folder import Image


class TrainingSample(NamedTuple):
    """One sample of an image, its labels and their certainty.

    - image [H, W, C]
    - class map [H, W]: 0 is good, otherwise 1 + the index of the class
    - certainty of the label [H, W], 0..255
    """

    image: Image
    classes: Image
    certainty: Image


class Source(Protocol):
    """An endless source of samples."""

    classes: tuple[str, ...]
    channels: int

    def draw(self, rng: np.random.Generator) -> TrainingSample:
        """One sample."""

    def calibration(self, count: int, rng: np.random.Generator) -> list[Image]:
        """Images as from the camera, for the ranges of the activations."""


def certain(image: Image, classes: Image) -> TrainingSample:
    """A sample whose labels are certain."""
    return TrainingSample(image, classes, np.where(classes > 0, np.uint8(255), np.uint8(0)).astype(np.uint8))


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """How far a sample may be changed: each value is the largest change, 0 switches it off.

    - `elastic_px`: pixels move smoothly by up to this distance.
    - `noise`: in grey levels.
    - `blur`: a sigma in pixels.
    - `shade`: uneven light.
    - `fill`: what lies beyond the picture.
    """

    gain: float = 0.0
    tint: float = 0.0
    gamma: float = 0.0
    noise: float = 0.0
    blur: float = 0.0
    turn_deg: float = 0.0
    scale: float = 0.0
    elastic_px: float = 0.0
    shade: float = 0.0
    flip: bool = True
    fill: Fill = "mirror"

    def __call__(self, sample: TrainingSample, rng: np.random.Generator) -> TrainingSample:
        """Change one sample at random."""
        moved = self._move(sample, rng)
        return moved._replace(image=self._light(moved.image, rng))

    def _move(self, sample: TrainingSample, rng: np.random.Generator) -> TrainingSample:
        if self.turn_deg or self.scale or self.elastic_px:
            sample = self._warp(sample, rng)
        if self.flip:
            across, along = rng.choice((-1, 1), 2)
            sample = TrainingSample(*(plane[::along, ::across] for plane in sample))
        return TrainingSample(*(np.ascontiguousarray(plane) for plane in sample))

    def _warp(self, sample: TrainingSample, rng: np.random.Generator) -> TrainingSample:
        height, width = sample.classes.shape
        angle = rng.uniform(-self.turn_deg, self.turn_deg)
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0 + rng.uniform(-self.scale, self.scale))
        x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        inverse = cv2.invertAffineTransform(matrix).astype(np.float32)
        size, reach = (height, width), self.elastic_px
        where = [row[0] * x + row[1] * y + row[2] + _waves(size, reach, rng) for row in inverse]
        image = _remapped(sample.image, where, cv2.INTER_LINEAR, self.fill).reshape(sample.image.shape)
        return TrainingSample(
            image,
            _remapped(sample.classes, where, cv2.INTER_NEAREST, self.fill),
            _remapped(sample.certainty, where, cv2.INTER_NEAREST, self.fill),
        )

    def _light(self, image: Image, rng: np.random.Generator) -> Image:
        levels = np.linspace(0.0, 1.0, 256)
        gamma = np.exp(rng.uniform(-self.gamma, self.gamma))
        curve = 255.0 * (1.0 + rng.uniform(-self.gain, self.gain)) * levels**gamma
        lit = np.clip(curve, 0.0, 255.0).astype(np.uint8)[image]
        if self.shade:
            field = np.exp(_waves(image.shape[:2], self.shade, rng))[:, :, np.newaxis]
            lit = np.clip(lit * field, 0.0, 255.0).astype(np.uint8)
        if self.tint:
            balance = 1.0 + rng.uniform(-self.tint, self.tint, (1, 1, image.shape[2])).astype(np.float32)
            lit = np.clip(lit * balance, 0.0, 255.0).astype(np.uint8)
        if self.blur and rng.random() < 0.25:
            lit = np.asarray(cv2.GaussianBlur(lit, (0, 0), rng.uniform(0.3, self.blur)), np.uint8).reshape(image.shape)
        if self.noise:
            grain = rng.standard_normal(image.shape, dtype=np.float32) * np.float32(rng.uniform(0.0, self.noise))
            lit = np.clip(lit + grain, 0.0, 255.0).astype(np.uint8)
        return np.asarray(lit, np.uint8)


def _waves(shape: tuple[int, ...], reach: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """A smooth random field [H, W] with values between about -reach and reach."""
    if not reach:
        return np.zeros((1, 1), np.float32)
    coarse = rng.uniform(-reach, reach, (5, 5)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, shape[1::-1], interpolation=cv2.INTER_CUBIC), np.float32)


def _remapped(plane: Image, where: list[NDArray[np.float32]], how: int, fill: Fill) -> Image:
    border = cv2.BORDER_CONSTANT if fill == "black" else cv2.BORDER_REFLECT_101
    return np.asarray(cv2.remap(plane, where[0], where[1], how, borderMode=border), np.uint8)


SHOP_FLOOR: Final = Augmentation(gain=0.3, gamma=0.35, noise=4.0, blur=0.8, turn_deg=8.0, scale=0.25, elastic_px=2.0)
# The renderer varies light and texture itself. The tint simulates a lamp that ages.
RENDERED: Final = Augmentation(gain=0.06, tint=0.02, gamma=0.06, noise=1.5)
