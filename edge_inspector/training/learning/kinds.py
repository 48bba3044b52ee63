"""Learns the colour and texture of good parts of each kind, and writes a net that finds any other kind among them.

Each cell of a picture has a few figures: the logarithm of its brightness in each channel, and of its fine and coarse
edges. Cells of one kind form a few clusters: part, rim, belt. The score of a cell is its distance from the nearest
cluster, in standard deviations of that cluster (Mahalanobis). So it does not matter where a part lies, and a foreign
piece among others shows where it is. It needs no training library and takes seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, helper
from onnxruntime import InferenceSession

from edge_inspector.segmenters.tiling import place, plan_tiles
from edge_inspector.training.data.pictures import Image, read_picture
from edge_inspector.training.learning.cell_net import cells_of, write_mask
from edge_inspector.training.shipping.wrapping import Writer

CELL: Final = 8
FEWEST: Final = 8
"""Pictures of a kind that can teach anything."""
CLASS: Final = "wrong-material"
_OVERLAP: Final = 32
"""Of windows, in pixels, as a station cuts large pictures unless its file says otherwise."""
_CLUSTERS: Final = 6
_ROUNDS: Final = 15
_CELLS_MOST: Final = 30_000
_TRIMMED: Final = 0.995
"""Share of the cells of a cluster that its spread is taken from. The rest may be dust."""
_LEAST_SPREAD: Final = 0.02
"""Of a figure, which is a logarithm: 2 %. No camera repeats a picture better than that."""
_FOLDS: Final = 4
_MARGIN: Final = 1.1
_STRETCH: Final = 1.5
"""How far above the good pictures the level may lie, however far away other kinds are. A little of one counts, too."""
_SOBEL: Final = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float32) / 8

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Clusters:
    """The clusters of one kind: a distance is the length of `whitening` [n, F, F] times a cell, less `offset`.

    Its square is more by the `rarity` of the cluster [n].
    """

    whitening: Floats
    offset: Floats
    rarity: Floats

    def distance(self, cells: Floats) -> Floats:
        """How far each cell [n, F] is from the nearest cluster."""
        each = np.einsum("cij,nj->nci", self.whitening, cells) - self.offset
        return np.asarray(np.sqrt(((each**2).sum(axis=2) + self.rarity).min(axis=1)), np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What one kind looks like, and the distance from which a place is another material.

    `own` are the scores of its own pictures, each by what the others taught, and `others` those of other kinds by name.
    """

    name: str
    clusters: Clusters
    level: float
    own: tuple[float, ...]
    others: Mapping[str, tuple[float, ...]]


class MaterialEye:
    """Reads pictures as figures of cells. `shape` is H, W, channels of the net, with sides that `CELL` divides."""

    def __init__(self, size: tuple[int, int], channels: int) -> None:
        self.shape = (-(-size[0] // CELL) * CELL, -(-size[1] // CELL) * CELL, channels)
        self._session = InferenceSession(_features(self.shape).SerializeToString(), providers=["CPUExecutionProvider"])

    def __call__(self, path: Path) -> Floats:
        """The figures of each window [n, h, w, F], as a station cuts the picture. Raises ConfigError."""
        picture = read_picture(path, grey=self.shape[2] == 1)
        height, width, _ = self.shape
        tiles = plan_tiles(*picture.shape[:2], tile=(height, width), overlap=_OVERLAP, stride=CELL)
        return np.stack([self._window(picture[each.top : each.bottom, each.left : each.right]) for each in tiles])

    def _window(self, pixels: Image) -> Floats:
        slot = np.zeros(self.shape if self.shape[2] == 3 else self.shape[:2], np.uint8)
        place(np.ascontiguousarray(pixels), slot, "mirror")
        found = self._session.run(None, {"image": slot.reshape(1, *self.shape)})[0][0]
        return np.asarray(found, np.float32).transpose(1, 2, 0)


def learn(eye: MaterialEye, pictures: Mapping[str, Sequence[Path]]) -> list[Kind]:
    """What each kind looks like, told from the others."""
    seen = {name: [eye(path) for path in paths] for name, paths in pictures.items()}
    return [_kind(name, seen) for name in seen]


def _kind(name: str, seen: Mapping[str, Sequence[Floats]]) -> Kind:
    own = seen[name]
    scores = []
    for fold in range(min(_FOLDS, len(own))):
        known = _clusters(each for at, each in enumerate(own) if at % _FOLDS != fold)
        scores += [score(known, each) for each in own[fold::_FOLDS]]
    clusters = _clusters(own)
    others = {other: tuple(score(clusters, each) for each in of) for other, of in seen.items() if other != name}
    return Kind(name=name, clusters=clusters, level=_level(scores, others), own=tuple(scores), others=others)


def _level(own: Sequence[float], others: Mapping[str, Sequence[float]]) -> float:
    """Above the own pictures, and below the others: in the middle, but never far from the own ones."""
    least = _MARGIN * max(own)
    away = min((float(np.quantile(each, 0.05)) for each in others.values()), default=np.inf)
    return least if away <= least else float(min(np.sqrt(least * away), _STRETCH * least))


def score(clusters: Clusters, figures: Floats) -> float:
    """How far the most foreign place of 3 x 3 cells of a picture is from the kind: its nearest cell counts.

    A rim is narrower, and looks like no material.
    """
    distance = clusters.distance(figures.reshape(-1, figures.shape[3])).reshape(figures.shape[:3])
    return max(float(cv2.erode(window, np.ones((3, 3), np.uint8)).max()) for window in distance)


def _clusters(pictures: Iterable[Floats]) -> Clusters:
    """Fit by k-means, then take the spread of each cluster."""
    rows = np.concatenate([each.reshape(-1, each.shape[-1]) for each in pictures]).astype(np.float64)
    rng = np.random.default_rng(1)
    if len(rows) > _CELLS_MOST:
        rows = rows[rng.choice(len(rows), _CELLS_MOST, replace=False)]
    scale = rows.std(axis=0) + _LEAST_SPREAD
    centres = _apart(rows / scale, rng)
    for _ in range(_ROUNDS):
        nearest = _nearest(rows / scale, centres)
        centres = np.stack(
            [
                (rows[nearest == at] / scale).mean(axis=0) if (nearest == at).any() else each
                for at, each in enumerate(centres)
            ]
        )
    nearest = _nearest(rows / scale, centres)
    large = [at for at in range(len(centres)) if (nearest == at).sum() > 2 * rows.shape[1]]
    whitening, middles = zip(*(_spread(rows[nearest == at]) for at in large), strict=True)
    offset = [turn @ middle for turn, middle in zip(whitening, middles, strict=True)]
    # As in a mixture of Gaussians: a wide cluster of few cells, such as veins and rims, is no excuse for a whole area.
    share = np.array([np.mean(nearest == at) for at in large])
    rarity = -2.0 * np.log(share) - 2.0 * np.array([np.linalg.slogdet(turn)[1] for turn in whitening])
    return Clusters(
        np.array(whitening, np.float32), np.array(offset, np.float32), (rarity - rarity.min()).astype(np.float32)
    )


def _apart(rows: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """First centres, each far from those before it (k-means++)."""
    centres = [rows[int(rng.integers(len(rows)))]]
    for _ in range(_CLUSTERS - 1):
        away = np.min([((rows - each) ** 2).sum(axis=1) for each in centres], axis=0)
        total = away.sum()
        chosen = rng.choice(len(rows), p=away / total) if total > 0 else rng.integers(len(rows))
        centres.append(rows[int(chosen)])
    return np.stack(centres)


def _nearest(rows: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.asarray(np.argmin([((rows - each) ** 2).sum(axis=1) for each in centres], axis=0))


def _spread(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The whitening and the middle of one cluster, without its outliers."""
    middle = np.median(rows, axis=0)
    for _ in range(2):
        bend = np.cov(rows.T) + np.eye(rows.shape[1]) * _LEAST_SPREAD**2
        turn = np.linalg.inv(np.linalg.cholesky(bend))
        away = (((rows - middle) @ turn.T) ** 2).sum(axis=1)
        rows = rows[away <= np.quantile(away, _TRIMMED)]
        middle = rows.mean(axis=0)
    return turn, middle


def write_net(kind: Kind, shape: tuple[int, int, int], path: Path) -> None:
    """Write the same as a net with the class `wrong-material`: probability 0.5 at `kind.level`."""
    model = _features(shape)
    writer = Writer("kind")
    squares = []
    known = kind.clusters
    for turn, offset, rarity in zip(known.whitening, known.offset, known.rarity, strict=True):
        weights = writer.constant(turn[:, :, np.newaxis, np.newaxis])
        turned = writer("Conv", "features", weights, writer.constant(-offset))
        square = writer("ReduceSumSquare", turned, axes=[1], keepdims=1)
        squares.append(writer("Add", square, writer.constant(rarity)))
    nearest = writer("Sqrt", writer("Min", *squares) if len(squares) > 1 else squares[0])
    around: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [1, 1]}
    least = writer("Neg", writer("MaxPool", writer("Neg", nearest), **around))
    whole = writer("MaxPool", least, **around)
    likely = writer("Mul", whole, writer.constant(0.5 / kind.level))
    write_mask(model, writer, likely, path)


def _features(shape: tuple[int, int, int]) -> ModelProto:
    """The logarithms of brightness in each channel, and of fine and coarse edges, averaged over each cell."""
    channels = shape[2]
    writer = Writer("seen")
    pixels = writer("Transpose", writer.floats("image"), perm=[0, 3, 1, 2])
    cells: dict[str, Any] = {"kernel_shape": [CELL, CELL], "strides": [CELL, CELL]}
    grey = writer("ReduceMean", pixels, axes=[1], keepdims=1)
    fine = writer("AveragePool", _edges(writer, grey), **cells)
    halved = writer("AveragePool", grey, kernel_shape=[4, 4], strides=[4, 4])
    coarse = writer("AveragePool", _edges(writer, halved), kernel_shape=[2, 2], strides=[2, 2])
    joined = writer("Concat", writer("AveragePool", pixels, **cells), fine, coarse, axis=1)
    # One grey level is added: the logarithm of black would be endless, and noise would rule the dark.
    lifted = writer(
        "Add", joined, writer.constant(np.array([[4.0]] * channels + [[1.0]] * 2)[np.newaxis, :, :, np.newaxis])
    )
    writer.nodes.append(helper.make_node("Log", [lifted], ["features"], name="seen/features"))
    return cells_of(writer, "kinds", shape, count=channels + 2, cell=CELL)


def _edges(writer: Writer, grey: str) -> str:
    """The strength of edges, in both directions."""
    sobel = writer.constant(np.stack([_SOBEL, _SOBEL.T])[:, np.newaxis])
    both = writer("Abs", writer("Conv", grey, sobel, pads=[1, 1, 1, 1]))
    return writer("ReduceMean", both, axes=[1], keepdims=1)
