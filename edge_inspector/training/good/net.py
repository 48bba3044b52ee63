"""The net that is shipped: frozen net, memory, lines and head in one graph, with one map of what is unusual."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from edge_inspector.training.good.backbone import CELL, Frozen
from edge_inspector.training.good.head import AnomalyHead
from edge_inspector.training.good.lines import Lines
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

    Without a head memory and lines judge, without lines the others.
    """

    def __init__(
        self, frozen: Frozen, memory: SurfaceMemory, head: AnomalyHead | None = None, lines: Lines | None = None
    ) -> None:
        super().__init__()
        self.frozen, self.memory, self.head, self.lines = frozen, memory, head, lines
        self.register_buffer("middles", torch.zeros(2))
        self.register_buffer("reaches", torch.ones(2))
        self.register_buffer("level", torch.zeros(()))
        self.register_buffer("slope", torch.ones(()))

    def scores(self, features: Tensor) -> list[Tensor]:
        """What the head and the memory say [N, 1, h, w] of standardised features.

        The memory comes last, because what follows the last convolution of a graph stays in float.
        """
        return [judge(features) for judge in (self.head, self.memory) if judge is not None]

    def unusual(self, features: Tensor, lines: Tensor | None) -> Tensor:
        """The sum of all. 1 for each is rare on good parts. What the head and the memory say is averaged."""
        found = self.scores(features)
        together = sum(
            ((each - self.middles[at]) * self.reaches[at] for at, each in enumerate(found)), torch.zeros_like(found[0])
        )
        wide = averaged(together)
        return wide if self.lines is None or lines is None else wide + self.lines.unusual(lines)

    def forward(self, pixels: Tensor) -> Tensor:
        """The logits."""
        # Lines come first, because what is before the first convolution of a graph stays in float.
        lines = self.lines(pixels) if self.lines is not None else None
        found = (self.unusual(self.frozen(pixels), lines) - self.level) * self.slope
        raised: Tensor = nn.functional.interpolate(
            found, scale_factor=CELL // STRIDE, mode="bilinear", align_corners=False
        )
        return raised

    def settle(self, pictures: list[tuple[Tensor, Tensor, Tensor]]) -> None:
        """Choose the scales from good pictures that neither memory nor head know.

        Each is standardised features [N, F, h, w] of its windows, lines [N, 2, h, w], and which cells are inside
        [N, h, w].
        """
        with torch.no_grad():
            found = [[averaged(each)[:, 0][inside] for each in self.scores(seen)] for seen, _, inside in pictures]
            for at in range(len(found[0])):
                cells = torch.cat([each[at] for each in found])
                self.middles[at] = cells.median()
                self.reaches[at] = 1.0 / (cells.quantile(_RARE) - cells.median()).clamp(min=1e-3)
            maps = [self.unusual(seen, lines)[:, 0][inside] for seen, lines, inside in pictures]
            middle = torch.cat(maps).median()
            self.level.copy_(torch.stack([each.max() for each in maps]).quantile(_PICTURES))
            self.slope.copy_(-_CALM / (self.level - middle).clamp(min=1e-3))


def averaged(cells: Tensor) -> Tensor:
    """Each cell as the mean of those around it that are inside the window [N, 1, h, w]."""
    return nn.functional.avg_pool2d(cells, _AROUND, stride=1, padding=_AROUND // 2, count_include_pad=False)
