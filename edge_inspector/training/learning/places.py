"""Finds where a defect is from the label of the whole picture alone.

Three sources agree on a place, in cells of 8 x 8 pixels:

- A small head on the encoder's features learns by multiple instances: the highest cells of a defective picture must be
  high, and those of a good picture low.
- Two more heads learn from half of the pictures each and are asked about the other half. A head can tell a picture that
  it knows by anything in it. One that does not know it needs the defect.
- The distance to the features of good pictures, divided by their density there, says what no good picture shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from edge_inspector.segmenters.manifest import Fill
from edge_inspector.training.data.folder import Image, LabelledImage
from edge_inspector.training.data.patches import padded
from edge_inspector.training.learning.unet import normalise

Floats = NDArray[np.float32]
Thing = TypeVar("Thing")

CELL: Final = 8
_STEP: Final = 32
_LEVELS: Final = (1, 2, 3)
"""Of the encoder's levels: those at 1/4, 1/8 and 1/16."""
_GOOD_MOST: Final = 160
_MIRRORED_MOST: Final = 60
"""Defective pictures of which mirror images are learned from, too. More of them need no more looks, but memory."""
_BAG: Final = 8
"""Pictures of each kind in a step."""
_TOP_SHARE: Final = 0.002
_TOP_LEAST: Final = 3
_HIDDEN: Final = 32
_MEMORY: Final = 3000
_NEIGHBOURS: Final = 9
_USUAL: Final = 0.99
_TURNS: Final = ((), (1,), (2,), (1, 2))
"""The axes of [D, h, w] over which features of a defective picture are also mirrored."""
_GROUPS_TO_HALVE: Final = 6


@dataclass(frozen=True, slots=True)
class _Seen:
    """The features of a picture [cells, D], upright and mirrored, their grid, and its classes [K]."""

    looks: tuple[Tensor, ...]
    grid: tuple[int, int]
    kinds: Tensor
    group: str


class Places:
    """Finds places in pictures by the features of a net. Everything follows from `seed`."""

    def __init__(
        self, net: nn.Module, entries: Sequence[LabelledImage], *, classes: int, fill: Fill, seed: int
    ) -> None:
        self._net, self._fill, self._classes = net.eval(), fill, classes
        self._rng = np.random.default_rng(seed)
        torch.manual_seed(seed)
        good = [entry for entry in entries if not entry.defective]
        chosen = sorted(self._rng.permutation(len(good))[:_GOOD_MOST].tolist())
        self._good = [self._look(good[each], mirrored=False) for each in chosen]
        self._entries = [entry for entry in entries if entry.defective]
        mirrored = len(self._entries) <= _MIRRORED_MOST
        self._bad = [self._look(entry, mirrored=mirrored) for entry in self._entries]
        self._scale()
        self._memory = _Memory([seen.looks[0] for seen in self._good], self._rng)

    def find(self, steps: int) -> dict[str, Floats]:
        """Name -> where each class is suspected [K, h, w], 0..1, for each defective picture."""
        groups = sorted({seen.group for seen in self._bad})
        halves = [frozenset(groups[0::2]), frozenset(groups[1::2])] if len(groups) >= _GROUPS_TO_HALVE else []
        heads = [(self._learned(steps, frozenset[str]()), frozenset(groups))]
        heads += [(self._learned(steps, unknown), unknown) for unknown in halves]
        return {
            entry.name: self._place(seen, [head for head, asked in heads if seen.group in asked])
            for entry, seen in zip(self._entries, self._bad, strict=True)
        }

    def unusual(self) -> dict[str, Floats]:
        """Name -> how far each cell is from what good pictures show [h, w], 1 at their 99 % quantile."""
        return {
            entry.name: self._memory.distance(seen.looks[0]).reshape(seen.grid).numpy()
            for entry, seen in zip(self._entries, self._bad, strict=True)
        }

    def _look(self, entry: LabelledImage, *, mirrored: bool) -> _Seen:
        height, width = (-(-side // CELL) for side in entry.image.shape[:2])
        size = _even(entry.image.shape[0]), _even(entry.image.shape[1])
        image = padded(entry.image, size, self._fill)
        looks = tuple(
            self._features(image, turns)[:, :height, :width].flatten(1).T.contiguous()
            for turns in (_TURNS if mirrored else _TURNS[:1])
        )
        kinds = torch.zeros(self._classes)
        kinds[[index - 1 for index in entry.labelled]] = 1.0
        return _Seen(looks, (height, width), kinds, entry.group)

    def _features(self, image: Image, turns: tuple[int, ...]) -> Tensor:
        """[D, h, w] of the picture as it is mirrored, mirrored back. So one cell is one place in all of them."""
        flipped = np.ascontiguousarray(np.flip(image, [axis - 1 for axis in turns]))
        with torch.no_grad():
            levels = self._net.levels(normalise(torch.from_numpy(flipped[np.newaxis])))
        size = [side // CELL for side in image.shape[:2]]
        found = [_fitted(levels[index], size) for index in _LEVELS]
        return torch.cat(found, dim=1)[0].flip(turns)

    def _scale(self) -> None:
        """Divide all features by how much they differ among good pictures."""
        cells = torch.cat([seen.looks[0] for seen in self._good])
        mean, deviation = cells.mean(0), cells.std(0) + 1e-3
        for seen in (*self._good, *self._bad):
            for look in seen.looks:
                look.sub_(mean).div_(deviation).clamp_(-8.0, 8.0)

    def _learned(self, steps: int, unknown: frozenset[str]) -> nn.Module:
        """A head that learned from all pictures but those of some groups."""
        size = self._bad[0].looks[0].shape[1]
        head = nn.Sequential(nn.Linear(size, _HIDDEN), nn.ReLU(), nn.Dropout(0.2), nn.Linear(_HIDDEN, self._classes))
        nn.init.constant_(head[-1].bias, -2.0)
        optimiser = torch.optim.AdamW(head.parameters(), lr=3e-3, weight_decay=0.05)
        pools = self._pools(unknown)
        good = [seen for seen in self._good if seen.group not in unknown] or self._good
        for _ in range(steps):
            bad = [_any(pools[each % len(pools)], self._rng) for each in range(_BAG)]
            picked = [*bad, *(_any(good, self._rng) for _ in range(_BAG))]
            bags = torch.stack([_bag(head(_any(seen.looks, self._rng))) for seen in picked])
            loss = functional.binary_cross_entropy_with_logits(bags, torch.stack([seen.kinds for seen in picked]))
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimiser.step()
        return head.eval()

    def _pools(self, unknown: frozenset[str]) -> list[list[_Seen]]:
        """The pictures of each class, so that rare classes are learned as often as common ones."""
        known = [seen for seen in self._bad if seen.group not in unknown]
        pools = [[seen for seen in known if seen.kinds[index]] for index in range(self._classes)]
        return [pool for pool in pools if pool]

    def _place(self, seen: _Seen, heads: Sequence[nn.Module]) -> Floats:
        with torch.no_grad():
            likely = torch.stack([torch.sigmoid(head(look)) for head in heads for look in seen.looks]).mean(0)
        strange = _calm(self._memory.distance(seen.looks[0]).reshape(1, *seen.grid))
        found = likely.T.reshape(-1, *seen.grid) * strange.clamp(max=1.0) * seen.kinds[:, None, None]
        return np.asarray(found.numpy(), np.float32)


class _Memory:
    """Features of good pictures, each with its density. Half of the pictures are remembered, half say what is usual."""

    def __init__(self, looks: Sequence[Tensor], rng: np.random.Generator) -> None:
        known, asked = torch.cat(list(looks[0::2])), torch.cat(list(looks[1::2]) or list(looks))
        self._kept = known[_some(len(known), rng)]
        near = torch.cdist(self._kept, self._kept).topk(min(_NEIGHBOURS + 1, len(self._kept)), largest=False).values
        self._density = near[:, 1:].mean(1).nan_to_num(1.0) + 1e-3
        self._usual = 1.0
        self._usual = float(torch.quantile(self.distance(asked[_some(len(asked), rng)]), _USUAL)) + 1e-6

    def distance(self, cells: Tensor) -> Tensor:
        """[cells] to the nearest kept one, relative to the distances there, 1 where good pictures seldom reach."""
        found = []
        for part in cells.split(2048):
            nearest = torch.cdist(part, self._kept).min(1)
            found.append(nearest.values / self._density[nearest.indices])
        return torch.cat(found) / self._usual


def _even(side: int) -> int:
    return _STEP * -(-side // _STEP)


def _calm(plane: Tensor) -> Tensor:
    """The mean of 3 x 3 cells. Many cracks begin at a side, so nothing is added there."""
    return functional.avg_pool2d(plane, 3, 1, 1, count_include_pad=False)


def _fitted(level: Tensor, size: list[int]) -> Tensor:
    """A level at the resolution of the cells."""
    if level.shape[2] > size[0]:
        return functional.adaptive_avg_pool2d(level, size)
    return functional.interpolate(level, size=size, mode="bilinear", align_corners=False)


def _bag(cells: Tensor) -> Tensor:
    """Logits [cells, K] -> [K]: the mean of the highest ones. One cell alone would learn from noise."""
    count = min(len(cells), max(_TOP_LEAST, round(_TOP_SHARE * len(cells))))
    return cells.topk(count, dim=0).values.mean(0)


def _some(count: int, rng: np.random.Generator) -> Tensor:
    return torch.from_numpy(np.sort(rng.permutation(count)[:_MEMORY]))


def _any(pool: Sequence[Thing], rng: np.random.Generator) -> Thing:
    return pool[int(rng.integers(len(pool)))]
