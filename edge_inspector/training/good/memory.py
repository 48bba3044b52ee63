"""A memory of good surfaces: how far a place is from the nearest of them, compared with how far those are apart.

Surfaces that vary have neighbours that are far apart. Divided by that, a distance means the same everywhere (the local
density of REB, arXiv:2308.12577).
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

_NEIGHBOURS: Final = 9
_LEAST: Final = 1e-3
_CHUNK: Final = 4096
_EVEN: Final = 0.3
"""Chosen on magnetic tiles and KolektorSDD, where 0.03 to 1 differ by 0.04 of AP at most (decision 0084)."""


class SurfaceMemory(nn.Module):
    """Features [N, F, h, w], standardised -> the logarithm of the relative distance [N, 1, h, w].

    0 means as far as good surfaces are apart. It is two matrix products, so it can be part of a graph.
    """

    def __init__(self, items: Tensor, turn: Tensor | None = None) -> None:
        """`items` [M, F]: the remembered cells, see `chosen`, evened by `turn` [F, F] if there is one, see `evened`."""
        super().__init__()
        self.register_buffer("turn", turn)
        density = apart(items)
        self.register_buffer("items", items.T.contiguous())
        self.register_buffer("squares", (items * items).sum(1))
        self.register_buffer("density", density.log())

    def forward(self, features: Tensor) -> Tensor:
        """The logarithm of the relative distance."""
        cells = features.permute(0, 2, 3, 1)
        if self.turn is not None:
            cells = torch.matmul(cells, self.turn)
        squares = (cells * cells).sum(3, keepdim=True)
        away = squares + self.squares - 2.0 * torch.matmul(cells, self.items)
        nearest, which = away.min(3)
        distance = 0.5 * nearest.clamp(min=_LEAST).log() - self.density[which]
        return distance.unsqueeze(1)


def evened(cells: Tensor) -> Tensor:
    """What makes features [n, F] count alike: those that vary together on good parts count once, not each [F, F].

    A part of the mean variance is added, so that what hardly varies is not made too large.
    """
    variances, axes = torch.linalg.eigh(torch.cov(cells.T.double()))
    scales = 1.0 / torch.sqrt(variances.clamp(min=0.0) + _EVEN * variances.mean())
    # Turned back, so that the axes' signs do not matter. With double precision the same cells give the same bytes.
    return (axes * scales @ axes.T).float()


def apart(items: Tensor) -> Tensor:
    """How far each item [M, F] is from its nine nearest others, on average [M]."""
    count = min(_NEIGHBOURS, len(items) - 1)
    if count < 1:
        return torch.ones(len(items))
    found = [
        torch.cdist(items[start : start + _CHUNK], items).topk(count + 1, largest=False).values[:, 1:].mean(1)
        for start in range(0, len(items), _CHUNK)
    ]
    return torch.cat(found).clamp(min=_LEAST**0.5)


def chosen(cells: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """At most so many of the cells [n, F], spread over all that was seen: one by one the farthest from those before.

    The farthest is sought among a random draw of eight times as many, in a projection to 32 dimensions.
    """
    drawn = cells[torch.randperm(len(cells), generator=generator)[: 8 * most]]
    if len(drawn) <= most:
        return drawn
    turned = drawn @ torch.randn(drawn.shape[1], 32, generator=generator)
    kept = [0]
    away = ((turned - turned[0]) ** 2).sum(1)
    for _ in range(most - 1):
        kept.append(int(away.argmax()))
        torch.minimum(away, ((turned - turned[kept[-1]]) ** 2).sum(1), out=away)
    return drawn[kept]
