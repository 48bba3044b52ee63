"""What a frozen net sees at each place of a picture. It learned from ImageNet, and learns nothing here."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from edge_inspector.training.learning.lite import Lite0

CELL: Final = 8
"""Pixels of the net's input for one cell of features, along each side."""
_LEVELS: Final = 4
"""Halvings of the resolution up to the last level that is used, at 1/16."""
_PUBLISHED_SCALE: Final = 0.5
"""The published weights expect pixels of half the size of ours, see `normalise`."""


class Frozen(nn.Module):
    """[N, C, H, W] normalised -> features [N, F, H/8, W/8]: levels at 1/8 and 1/16, joined and averaged locally.

    They are standardised: over good parts each has the mean 0 and the deviation 1. H and W are multiples of 16.
    """

    def __init__(self, channels: int, weights: Path | None) -> None:
        super().__init__()
        self.encoder = Lite0(channels)
        if weights is not None:
            self.encoder.load(weights)
        self.encoder.end_at(_LEVELS)
        with torch.no_grad():
            # In the weights, because an operation before the first convolution would keep it from INT8.
            self.encoder.state_dict()["_conv_stem.weight"].mul_(_PUBLISHED_SCALE)
        self.width = sum(self.encoder.out_channels[2:_LEVELS])
        self.register_buffer("mean", torch.zeros(1, self.width, 1, 1))
        self.register_buffer("scale", torch.ones(1, self.width, 1, 1))
        self.requires_grad_(requires_grad=False)
        self.eval()

    def joined(self, pixels: Tensor) -> Tensor:
        """The features as they are, not standardised."""
        _, _, eighth, sixteenth = self.encoder(pixels)
        coarse = nn.functional.interpolate(sixteenth, scale_factor=2, mode="nearest")
        together = torch.cat([eighth, coarse], dim=1)
        return nn.functional.avg_pool2d(together, 3, stride=1, padding=1, count_include_pad=False)

    def standardise(self, features: Tensor) -> None:
        """Take the mean and the deviation from these features of good parts [cells, F]."""
        self.mean.copy_(features.mean(0).reshape(1, -1, 1, 1))
        self.scale.copy_((1.0 / features.std(0).clamp(min=1e-3)).reshape(1, -1, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """The standardised features."""
        standard: Tensor = (self.joined(pixels) - self.mean) * self.scale
        return standard

    def train(self, mode: bool = True) -> Frozen:  # noqa: ARG002, FBT001, FBT002 -- as in PyTorch
        """Stay as it is: a frozen net never learns."""
        super().train(mode=False)
        return self
