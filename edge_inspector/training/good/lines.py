"""Long thin lines, darker or brighter than both their sides: what cracks and scratches look like on an even surface.

Nothing is learned here but how strong the lines of good parts are. A surface with lines of its own, such as grain or
grinding, cannot tell a crack by being a line. There this counts nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn

from edge_inspector.training.good.backbone import CELL

_DIRECTIONS: Final = 12
_DOUBLINGS: Final = 5
_MORE: Final = 3
"""A line is the mean of 2 ** 5 + 2 ** 3 pixels in a row (decision 0088)."""
_BESIDE: Final = 4
"""Pixels from a line to those it is compared with."""
_REACH: Final = 2 ** (_DOUBLINGS - 1) + 2 ** (_MORE - 1) + _BESIDE
_LIGHT: Final = 9
"""Cells, of a box that is used twice: the contrast around a place."""
_LEAST: Final = 0.3
"""Of the deviation of the whole picture. A place with less contrast is even, and its noise is not made larger."""
_BLACK: Final = 0.02
_TINY: Final = 1e-3
_RARE: Final = 0.999
_FEW: Final = 100
"""Pictures of which all cells are looked at. Of more, some cells of each."""
_WEAK: Final = 0.1
"""A line that is no stronger is no defect, even if the good pictures have no noise at all."""
_PICTURES: Final = 0.9
_ALIKE: Final = 1.4
"""How much stronger the strongest line of one good picture in ten may be than that of a usual one, see `learned`."""


class Lines(nn.Module):
    """[N, C, H, W] normalised -> the strongest dark and bright line of each cell [N, 2, H/8, W/8].

    The unit is the contrast around the place, so light and exposure do not matter. H and W are multiples of 8.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("middles", torch.zeros(1, 2, 1, 1))
        self.register_buffer("reaches", torch.zeros(1, 2, 1, 1))

    def learn(self, pictures: Sequence[tuple[Tensor, Tensor]]) -> bool:
        """Whether lines tell anything on these good pictures. Each is lines [N, 2, h, w] and which cells are inside.

        Dark and bright ones count for themselves. If the good pictures differ much in their strongest line, the
        surface has lines of its own.
        """
        for kind in range(2):
            inside = [found[:, kind][where] for found, where in pictures if where.any()]
            strongest = torch.stack([each.max() for each in inside])
            if strongest.quantile(_PICTURES) <= _ALIKE * strongest.median():
                cells = torch.cat([each[:: max(1, len(inside) // _FEW)] for each in inside])
                self.middles[0, kind] = cells.median()
                self.reaches[0, kind] = 1.0 / (cells.quantile(_RARE) - cells.median()).clamp(min=_WEAK)
        return bool(self.reaches.any())

    def unusual(self, found: Tensor) -> Tensor:
        """[N, 2, h, w] -> how much stronger than on good parts the line of a cell is [N, 1, h, w]. 1 is rare there."""
        return ((found - self.middles) * self.reaches).amax(1, keepdim=True).clamp(min=0.0)

    def forward(self, pixels: Tensor) -> Tensor:
        """The strength of lines."""
        grey = pixels.mean(1, keepdim=True)
        part = _part(pixels)
        shown = _raised(part, "nearest")
        mean = _raised(_blurred(_cells(grey * shown), 3) / (_blurred(part, 3) + _TINY), "bilinear")
        centred = (grey - mean) * shown
        variance = _cells(centred * centred)
        whole = variance.mean((1, 2, 3), keepdim=True) / (part.mean((1, 2, 3), keepdim=True) + _TINY)
        around = _blurred(variance, _LIGHT) / (_blurred(part, _LIGHT) + _TINY)
        spread = around.sqrt() + _LEAST * whole.sqrt() + _TINY
        calm = _bordered(nn.functional.avg_pool2d(centred / _raised(spread, "bilinear"), 3, stride=1, padding=1))
        dark = bright = torch.zeros_like(calm)
        for step in range(_DIRECTIONS):
            along = math.cos(math.pi * step / _DIRECTIONS), math.sin(math.pi * step / _DIRECTIONS)
            line = _mean_along(calm, along)
            one, other = (_moved(line, (sign * along[1], -sign * along[0]), _BESIDE) for sign in (1, -1))
            dark = torch.maximum(dark, torch.minimum(one, other) - line)
            bright = torch.maximum(bright, line - torch.maximum(one, other))
        found = torch.cat([dark, bright], dim=1)[:, :, _REACH:-_REACH, _REACH:-_REACH]
        return nn.functional.max_pool2d(found, CELL) * part


def _part(pixels: Tensor) -> Tensor:
    """1 for cells on the part, 0 beside it, where black is three cells wide, and in the cells next to that.

    A black crack is not that wide.
    """
    darkest = pixels.amin((1, 2, 3), keepdim=True) + _BLACK
    black = (nn.functional.max_pool2d(pixels.amax(1, keepdim=True), CELL) <= darkest).to(pixels.dtype)
    core = 1.0 - nn.functional.max_pool2d(1.0 - black, 3, stride=1, padding=1)
    return 1.0 - nn.functional.max_pool2d(core, 5, stride=1, padding=2)


def _mean_along(pixels: Tensor, along: tuple[float, float]) -> Tensor:
    """The mean of a row of pixels in a direction, with each pixel in its middle.

    The sum of 2, 4, 8 pixels and so on is that of half as many and of the same ones further on.
    """
    sums = [pixels]
    for doubling in range(_DOUBLINGS):
        sums.append(sums[-1] + _moved(sums[-1], along, 2**doubling))
    total = sums[-1] + _moved(sums[_MORE], along, 2**_DOUBLINGS)
    count = 2**_DOUBLINGS + 2**_MORE
    return _moved(total, along, -(count // 2)) * (1.0 / count)


def _moved(pixels: Tensor, along: tuple[float, float], by: int) -> Tensor:
    """Each pixel becomes the one that lies so many further on, and round at the border, which `_REACH` keeps away."""
    return pixels.roll((-round(by * along[1]), -round(by * along[0])), (2, 3))


def _bordered(pixels: Tensor) -> Tensor:
    """With the outermost pixels repeated on all sides. Written so that it becomes plain operations in ONNX."""
    for side in (2, 3):
        first, last = pixels.narrow(side, 0, 1), pixels.narrow(side, pixels.shape[side] - 1, 1)
        pixels = torch.cat([first] * _REACH + [pixels] + [last] * _REACH, dim=side)
    return pixels


def _cells(pixels: Tensor) -> Tensor:
    return nn.functional.avg_pool2d(pixels, CELL)


def _raised(cells: Tensor, mode: str) -> Tensor:
    smooth = None if mode == "nearest" else False
    raised: Tensor = nn.functional.interpolate(cells, scale_factor=CELL, mode=mode, align_corners=smooth)
    return raised


def _blurred(cells: Tensor, box: int) -> Tensor:
    for _ in range(2):
        cells = nn.functional.avg_pool2d(cells, box, stride=1, padding=box // 2, count_include_pad=False)
    return cells
