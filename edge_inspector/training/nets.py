"""A small U-Net that is quick in INT8: dense 3x3 convolutions, no full-resolution layer, additive skips."""

from itertools import pairwise
from typing import Final

import torch
from torch import Tensor, nn

STRIDE: Final = 2
"""Input pixels per mask pixel."""

# (level widths at 1/2, 1/4, 1/8, 1/16 and 1/32 resolution)
TILE_WIDTHS: Final = (16, 32, 64, 96, 128)
WIDE_WIDTHS: Final = (24, 48, 80, 112, 144)


def _conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Segmenter(nn.Module):
    """[N, C, H, W] normalised -> logits [N, K, H/2, W/2]; H and W are multiples of 32.

    Depthwise layers would save arithmetic but not time: INT8 pays on dense convolutions only.
    """

    def __init__(self, channels: int, classes: int, widths: tuple[int, ...] = TILE_WIDTHS) -> None:
        super().__init__()
        inputs = (channels, *widths[:-1])
        self.down = nn.ModuleList(
            nn.Sequential(_conv(before, width, stride=2), _conv(width, width))
            for before, width in zip(inputs, widths, strict=True)
        )
        pairs = list(pairwise(widths))[::-1]
        self.narrow = nn.ModuleList(_conv(deep, shallow, kernel=1) for shallow, deep in pairs)
        self.merge = nn.ModuleList(_conv(shallow, shallow) for shallow, _ in pairs)
        self.head = nn.Conv2d(widths[0], classes, 1)
        # Defects are rare: starting from a low probability spares the first epochs.
        nn.init.constant_(self.head.bias, -4.0)  # type: ignore[arg-type]

    def forward(self, image: Tensor) -> Tensor:
        """Give the logits."""
        skips = []
        features = image
        for level in self.down:
            features = level(features)
            skips.append(features)
        skips.pop()
        for narrow, merge in zip(self.narrow, self.merge, strict=True):
            # Narrowed before it grows: the 1x1 convolution then costs a quarter.
            raised = nn.functional.interpolate(narrow(features), scale_factor=2, mode="nearest")
            features = merge(raised + skips.pop())
        logits: Tensor = self.head(features)
        return logits


def normalise(image: Tensor) -> Tensor:
    """uint8 NHWC -> float NCHW, by scalars: per-channel constants block a layout optimisation of ONNX Runtime.

    Grey pictures are brought to one brightness and contrast each: the same surface comes under many exposures, and
    grey carries no colour fault that this could hide.
    """
    pixels = (image.permute(0, 3, 1, 2).to(torch.float32) - 128.0) * (1.0 / 64.0)
    if image.shape[3] > 1:
        return pixels
    centred = pixels - pixels.mean((1, 2, 3), keepdim=True)
    return centred / ((centred * centred).mean((1, 2, 3), keepdim=True) + 1e-3).sqrt()


class Deployed(nn.Module):
    """The net as it is shipped: uint8 images [N, H, W, C] in, uint8 probabilities [N, K, H/2, W/2] out."""

    def __init__(self, net: Segmenter) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> Tensor:
        """Give the probabilities."""
        probability = torch.sigmoid(self.net(normalise(image)))
        return (probability * 255.0 + 0.5).to(torch.uint8)
