"""The net of a first stage: it says of each square of a frame whether anything may be in it, and nothing finer."""

from typing import Final

from torch import Tensor, nn

from edge_inspector.training.learning.unet import convolution, head

FIRST: Final = "first"
CELL: Final = 32
"""Pixels of the frame for one value of the net."""

_PATCH: Final = 4
_WIDTHS: Final = (16, 32, 48, 64)
"""At 1/4, 1/8, 1/16 and 1/32 of the resolution."""


class FirstNet(nn.Module):
    """[N, C, H, W] normalised -> logits [N, K, H/32, W/32]. H and W are multiples of 32.

    The first layer reads each pixel once, at full resolution: a mean over 4 x 4 pixels would lose thin cracks. Most of
    the time goes into reading the frame, so the layers behind it cost little.
    """

    stride = CELL

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        first = nn.Conv2d(channels, _WIDTHS[0], _PATCH, _PATCH, bias=False)
        self.body = nn.Sequential(
            nn.Sequential(first, nn.BatchNorm2d(_WIDTHS[0]), nn.ReLU(inplace=True)),
            convolution(_WIDTHS[0], _WIDTHS[1], stride=2),
            convolution(_WIDTHS[1], _WIDTHS[2], stride=2),
            convolution(_WIDTHS[2], _WIDTHS[2]),
            convolution(_WIDTHS[2], _WIDTHS[3], stride=2),
        )
        self.head = head(_WIDTHS[3], classes)

    def forward(self, image: Tensor) -> Tensor:
        """The logits."""
        logits: Tensor = self.head(self.body(image))
        return logits
