"""Finds where a defect is from the label of the whole picture alone, by multiple-instance learning.

A picture is a bag of cells, each described by a few numbers (`contrasts`) as it stands out among the cells of good
pictures. The highest cells of a picture of a class must be high, those of other pictures low. What is learned is one
weight for each number, and no weight is below 0. So a cell counts only for what no good picture shows, and a dozen
weights cannot know a picture by its background.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from edge_inspector.training.data.contrasts import contrasts
from edge_inspector.training.data.folder import LabelledImage

Floats = NDArray[np.float32]

_GOOD_MOST: Final = 160
"""Good pictures that are looked at, spread evenly."""
_STEPS: Final = 300
_RATE: Final = 0.05
_TOP: Final = 3
"""Cells whose mean is the value of a picture. One alone would be noise."""
_USUAL: Final = 0.999
_SPARE: Final = 0.01
"""What each weight costs. A number that does not help gets none."""


@dataclass(frozen=True, slots=True)
class UsualCells:
    """Of the cells of good pictures: the middle of each number [F], and how far it seldom goes beyond."""

    middle: Floats
    reach: Floats

    def beyond(self, numbers: Floats) -> Floats:
        """[F, h, w] -> how far each goes beyond the middle. 1 is as far as one good cell in a thousand."""
        found = (numbers - self.middle[:, None, None]) / self.reach[:, None, None]
        return np.asarray(np.maximum(found, 0.0), np.float32)


def usual_of(good: Sequence[LabelledImage]) -> tuple[UsualCells, list[Floats]]:
    """What is usual in good pictures, and their numbers."""
    numbers = [contrasts(entry.image) for entry in good[:: max(1, -(-len(good) // _GOOD_MOST))]]
    cells = np.concatenate([each.reshape(len(each), -1) for each in numbers], axis=1)
    middle = np.median(cells, axis=1)
    reach = np.quantile(cells, _USUAL, axis=1) - middle + 1e-3
    return UsualCells(middle.astype(np.float32), reach.astype(np.float32)), numbers


def find_places(entries: Sequence[LabelledImage], classes: int) -> Mapping[str, Floats]:
    """Name -> where each class is suspected [K, h, w], 0..1, for each defective picture. Needs good pictures, too."""
    usual, numbers = usual_of([entry for entry in entries if not entry.defective])
    good = [usual.beyond(each) for each in numbers]
    bad = {entry.name: usual.beyond(contrasts(entry.image)) for entry in entries if entry.defective}
    kinds = {entry.name: [index - 1 for index in entry.labelled] for entry in entries if entry.defective}
    found = {name: np.zeros((classes, *each.shape[1:]), np.float32) for name, each in bad.items()}
    for kind in range(classes):
        names = [name for name in bad if kind in kinds[name]]
        others = [each for name, each in bad.items() if kind not in kinds[name]]
        weights, bias = _learned([bad[name] for name in names], good, others)
        for name in names:
            logits = (weights[:, None, None] * bad[name]).sum(axis=0) + bias
            found[name][kind] = 1.0 / (1.0 + np.exp(-logits))
    return found


def _learned(bad: Sequence[Floats], good: Sequence[Floats], others: Sequence[Floats]) -> tuple[Floats, float]:
    """The weights [F] and the bias that tell these pictures from good ones and from those of other classes.

    Each side counts half, however many pictures it has.

    Both are rounded, so that the order in which a processor adds does not show in a mask.
    """
    cells = torch.from_numpy(_bags([*bad, *good, *others]))
    labels = torch.cat([torch.ones(len(bad)), torch.zeros(len(good) + len(others))])
    sides = [(bad, 0.5), (good, 0.25 if others else 0.5), (others, 0.25)]
    shares = torch.cat([torch.full((len(side),), share / max(1, len(side))) for side, share in sides])
    raw = torch.full((cells.shape[2],), -1.0, requires_grad=True)
    bias = torch.tensor(-4.0, requires_grad=True)
    optimiser = torch.optim.Adam([raw, bias], lr=_RATE)
    for _ in range(_STEPS):
        weights = functional.softplus(raw)
        cross = functional.binary_cross_entropy_with_logits(_values(weights, cells) + bias, labels, reduction="none")
        loss = (cross * shares).sum() + _SPARE * weights.sum()
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimiser.step()
    with torch.no_grad():
        return np.round(functional.softplus(raw).numpy(), 3).astype(np.float32), round(float(bias), 3)


def _bags(pictures: Sequence[Floats]) -> Floats:
    """[N, cells, F]. Cells that are added to smaller pictures go beyond nothing, so they are never the highest."""
    most = max(each[0].size for each in pictures)
    bags = np.zeros((len(pictures), most, len(pictures[0])), np.float32)
    for bag, each in zip(bags, pictures, strict=True):
        bag[: each[0].size] = each.reshape(len(each), -1).T
    return bags


def _values(weights: Tensor, cells: Tensor) -> Tensor:
    """[N]: the mean of the highest cells of each picture. Gradients are needed for those only."""
    with torch.no_grad():
        highest = (cells @ weights).topk(min(_TOP, cells.shape[1]), dim=1).indices
    chosen = cells.gather(1, highest[:, :, None].expand(-1, -1, cells.shape[2]))
    return (chosen @ weights).mean(1)
