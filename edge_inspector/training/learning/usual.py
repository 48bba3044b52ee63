"""Learns from good pictures alone what is usual at each place of a picture, and writes that as a net.

This is simple on purpose: for each cell of 4 x 4 pixels the range of its brightness and of its edges. What is outside
the range is unusual. It needs no training library and takes seconds. It works for parts that always lie in the same
place and look alike. A net that has learned the defects finds far more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, helper
from onnxruntime import InferenceSession

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.segmenters.tiling import place
from edge_inspector.training.data.pictures import Image, read_picture
from edge_inspector.training.learning.cell_net import cells_of, write_mask
from edge_inspector.training.shipping.wrapping import Writer

CELL: Final = 4
LEAST_PICTURES: Final = 8
_NEAR: Final = 2
"""Cells. So far a part may lie beside its place."""
_FOLDS: Final = 4
_LEAST_SCALE: Final = 2.0
"""Grey levels. No camera repeats a picture better than that."""
_RARE: Final = 0.999
_MARGIN: Final = 1.05
_SOBEL: Final = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float32) / 8

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """The range of each feature in each cell [F, h, w], the size of its chance [F], and the score that is unusual.

    `scores` are those of the good pictures, each judged by what the others taught.
    """

    lowest: Floats
    highest: Floats
    scale: Floats
    level: float
    scores: tuple[float, ...]


class Eye:
    """Reads pictures of one size as features. `shape` is H, W, channels, with sides that `CELL` divides."""

    def __init__(self, size: tuple[int, int], channels: int) -> None:
        self.size = size
        self.shape = (-(-size[0] // CELL) * CELL, -(-size[1] // CELL) * CELL, channels)
        self._session = InferenceSession(_features(self.shape).SerializeToString(), providers=["CPUExecutionProvider"])

    def __call__(self, path: Path) -> Floats:
        """The features [F, h, w]. Raises ConfigError for a picture that cannot be read or has another size."""
        picture = read_picture(path, grey=self.shape[2] == 1)
        if picture.shape[:2] != self.size:
            found, wanted = (f"{side[1]} x {side[0]}" for side in (picture.shape, self.size))
            what = (
                f"has {found} pixels and the others {wanted}: only pictures of one size can be compared place by place"
            )
            raise ConfigError([Fault(str(path), what)])
        return np.asarray(self._session.run(None, {"image": self.framed(picture)[np.newaxis]})[0][0], np.float32)

    def framed(self, picture: Image) -> Image:
        """The picture [H, W, C], filled to the size of the net."""
        slot = np.zeros(self.shape if self.shape[2] == 3 else self.shape[:2], np.uint8)
        place(picture, slot, "mirror")
        return slot.reshape(self.shape)


def learn(eye: Eye, pictures: Sequence[Path], told: Callable[[float], None]) -> Usual:
    """What is usual in these good pictures. `told` gets the share that is done. Raises ConfigError."""
    if len(pictures) < LEAST_PICTURES:
        raise ConfigError([Fault("pictures", f"{len(pictures)} good ones are too few: mark at least {LEAST_PICTURES}")])
    steps, done = 3 * len(pictures), 0

    def read(path: Path) -> Floats:
        nonlocal done
        found = eye(path)
        done += 1
        told(done / steps)
        return found

    ranges: list[tuple[Floats, Floats] | None] = [None] * _FOLDS
    for at, path in enumerate(pictures):
        found, known = read(path), ranges[at % _FOLDS]
        ranges[at % _FOLDS] = (
            (found, found) if known is None else (np.minimum(known[0], found), np.maximum(known[1], found))
        )
    folds = [each for each in ranges if each is not None]
    others = [_near([each for at, each in enumerate(folds) if at != fold]) for fold in range(len(folds))]
    rare = [
        np.quantile(_outside(read(path), *others[at % _FOLDS]), _RARE, axis=(1, 2)) for at, path in enumerate(pictures)
    ]
    scale = np.maximum(_LEAST_SCALE, np.median(rare, axis=0)).astype(np.float32)
    scores = [_score(_outside(read(path), *others[at % _FOLDS]), scale) for at, path in enumerate(pictures)]
    lowest, highest = _near(folds)
    level = max(1.0, _MARGIN * max(scores))
    return Usual(lowest=lowest, highest=highest, scale=scale, level=level, scores=tuple(scores))


def score(usual: Usual, found: Floats) -> float:
    """How unusual a picture is at its most unusual place. From `usual.level` on it is rejected."""
    return _score(_outside(found, usual.lowest, usual.highest), usual.scale)


def write_net(usual: Usual, shape: tuple[int, int, int], path: Path) -> None:
    """Write the same as a net with the class `anomaly`: probability 0.5 where a cell is as unusual as `usual.level`."""
    model = _features(shape)
    writer = Writer("usual")
    over = writer("Sub", "features", writer.constant(usual.highest[np.newaxis]))
    under = writer("Sub", writer.constant(usual.lowest[np.newaxis]), "features")
    outside = writer("Relu", writer("Max", over, under))
    scaled = writer("Div", outside, writer.constant(usual.scale.reshape(1, -1, 1, 1)))
    worst = writer("ReduceMax", scaled, axes=[1], keepdims=1)
    calm = writer("AveragePool", worst, kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)
    likely = writer("Mul", calm, writer.constant(0.5 / usual.level))
    write_mask(model, writer, likely, path)


def _features(shape: tuple[int, int, int]) -> ModelProto:
    """Brightness of each channel, and edges across and along, averaged over each cell."""
    channels = shape[2]
    writer = Writer("seen")
    pixels = writer("Transpose", writer.floats("image"), perm=[0, 3, 1, 2])
    cells: dict[str, Any] = {"kernel_shape": [CELL, CELL], "strides": [CELL, CELL]}
    light = writer("AveragePool", pixels, **cells)
    grey = writer("ReduceMean", pixels, axes=[1], keepdims=1)
    sobel = writer.constant(np.stack([_SOBEL, _SOBEL.T])[:, np.newaxis])
    edges = writer("AveragePool", writer("Abs", writer("Conv", grey, sobel, pads=[1, 1, 1, 1])), **cells)
    writer.nodes.append(helper.make_node("Concat", [light, edges], ["features"], name="seen/features", axis=1))
    return cells_of(writer, "usual", shape, count=channels + 2, cell=CELL)


def _near(ranges: Sequence[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
    """The range of all of them, and of the cells near each."""
    lowest = np.min([low for low, _ in ranges], axis=0)
    highest = np.max([high for _, high in ranges], axis=0)
    around = np.ones((2 * _NEAR + 1, 2 * _NEAR + 1), np.uint8)
    return (
        np.stack([cv2.erode(plane, around) for plane in lowest]).astype(np.float32),
        np.stack([cv2.dilate(plane, around) for plane in highest]).astype(np.float32),
    )


def _outside(found: Floats, lowest: Floats, highest: Floats) -> Floats:
    return np.asarray(np.maximum(0, np.maximum(found - highest, lowest - found)), np.float32)


def _score(outside: Floats, scale: Floats) -> float:
    worst = (outside / scale[:, np.newaxis, np.newaxis]).max(axis=0)
    return float(cv2.blur(worst, (3, 3), borderType=cv2.BORDER_CONSTANT).max())
