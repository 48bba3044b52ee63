"""The net that is shipped: the frozen net, the memory and the head in one graph, with one map of what is unusual."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from edge_inspector.training.good.backbone import CELL, Frozen
from edge_inspector.training.good.head import AnomalyHead
from edge_inspector.training.good.memory import SurfaceMemory
from edge_inspector.training.learning.unet import STRIDE

_AROUND: Final = 3
"""Cells, along each side, over which the map is averaged. One cell that differs is mostly grain of the surface."""
_RARE: Final = 0.999
_PICTURES: Final = 0.9
"""The share of good pictures that lie below p = 0.5."""
_CALM: Final = -1.0
"""The logit of a common place of good parts. p = 0.5 lies at the highest places of good parts."""


class GoodNet(nn.Module):
    """[N, C, H, W] normalised -> logits [N, 1, H/2, W/2] of one class, `anomaly`. H and W are multiples of 32.

    Without a head the memory alone judges. That is the preview.
    """

    def __init__(self, frozen: Frozen, memory: SurfaceMemory, head: AnomalyHead | None = None) -> None:
        super().__init__()
        self.frozen, self.memory, self.head = frozen, memory, head
        self.register_buffer("middles", torch.zeros(2))
        self.register_buffer("reaches", torch.ones(2))
        self.register_buffer("level", torch.zeros(()))
        self.register_buffer("slope", torch.ones(()))

    def scores(self, features: Tensor) -> list[Tensor]:
        """What the head and the memory say [N, 1, h, w] of standardised features.

        The memory comes last, because what follows the last convolution of a graph stays in float.
        """
        return [judge(features) for judge in (self.head, self.memory) if judge is not None]

    def unusual(self, features: Tensor) -> Tensor:
        """The sum of both, averaged around each cell. 1 for each is rare on good parts."""
        found = self.scores(features)
        together = sum(
            ((each - self.middles[at]) * self.reaches[at] for at, each in enumerate(found)), torch.zeros_like(found[0])
        )
        return averaged(together)

    def forward(self, pixels: Tensor) -> Tensor:
        """The logits."""
        found = (self.unusual(self.frozen(pixels)) - self.level) * self.slope
        raised: Tensor = nn.functional.interpolate(
            found, scale_factor=CELL // STRIDE, mode="bilinear", align_corners=False
        )
        return raised

    def settle(self, pictures: list[tuple[Tensor, Tensor]]) -> None:
        """Choose the scales from good pictures that neither memory nor head know.

        Each is standardised features [N, F, h, w] of its windows, and which cells are inside [N, h, w].
        """
        with torch.no_grad():
            found = [[averaged(each)[:, 0][inside] for each in self.scores(seen)] for seen, inside in pictures]
            for at in range(len(found[0])):
                cells = torch.cat([each[at] for each in found])
                self.middles[at] = cells.median()
                self.reaches[at] = 1.0 / (cells.quantile(_RARE) - cells.median()).clamp(min=1e-3)
            maps = [self.unusual(seen)[:, 0][inside] for seen, inside in pictures]
            middle = torch.cat(maps).median()
            self.level.copy_(torch.stack([each.max() for each in maps]).quantile(_PICTURES))
            self.slope.copy_(-_CALM / (self.level - middle).clamp(min=1e-3))


def averaged(cells: Tensor) -> Tensor:
    """Each cell as the mean of those around it that are inside the window [N, 1, h, w]."""
    return nn.functional.avg_pool2d(cells, _AROUND, stride=1, padding=_AROUND // 2, count_include_pad=False)
