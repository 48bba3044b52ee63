"""U-Nets that are fast in INT8: dense convolutions, no full-resolution layer, additive skips."""

from itertools import pairwise
from typing import Final

import torch
from torch import Tensor, nn

STRIDE: Final = 2
"""Input pixels per mask pixel, unless a net has a `stride` of its own."""

_MIRRORED: Final = ((0,), (1,), (0, 1))
"""The axes over which test-time augmentation mirrors an image: upside down, left for right, both."""

_BLACK: Final = -1.85
"""Pixels below this lie beyond the part: 9 of 255, which covers black with the noise of training."""
_DARKEST: Final = -4.0

SIZES: Final = {"light": (16, 32, 64, 96, 128), "large": (24, 48, 80, 112, 144)}
"""Level widths at 1/2, 1/4, 1/8, 1/16 and 1/32 of the input's resolution."""


def convolution(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """A convolution with its rectifier."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Decoder(nn.Module):
    """Features at 1/2 ... 1/32 -> features at 1/2, through dense convolutions of `widths`."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        pairs = list(pairwise(widths))[::-1]
        self.narrow = nn.ModuleList(convolution(deep, shallow, kernel=1) for shallow, deep in pairs)
        self.merge = nn.ModuleList(convolution(shallow, shallow) for shallow, _ in pairs)

    def forward(self, levels: list[Tensor]) -> Tensor:
        """Merge the levels, starting from the deepest."""
        *skips, features = levels
        for narrow, merge in zip(self.narrow, self.merge, strict=True):
            # Narrow before upsampling: the 1x1 convolution then costs a quarter.
            raised = nn.functional.interpolate(narrow(features), scale_factor=2, mode="nearest")
            features = merge(raised + skips.pop())
        return features


class SegmentationNet(nn.Module):
    """[N, C, H, W] normalised -> logits [N, K, H/2, W/2]. H and W are multiples of 32.

    Depthwise layers would save arithmetic but no time, because INT8 is faster only on dense convolutions.
    """

    def __init__(self, channels: int, classes: int, widths: tuple[int, ...] = SIZES["light"]) -> None:
        super().__init__()
        inputs = (channels, *widths[:-1])
        self.down = nn.ModuleList(
            nn.Sequential(convolution(before, width, stride=2), convolution(width, width))
            for before, width in zip(inputs, widths, strict=True)
        )
        self.up = Decoder(widths)
        self.head = head(widths[0], classes)

    def forward(self, image: Tensor) -> Tensor:
        """The logits."""
        levels = [image]
        for level in self.down:
            levels.append(level(levels[-1]))
        logits: Tensor = self.head(self.up(levels[1:]))
        return logits


def head(inputs: int, classes: int) -> nn.Conv2d:
    """The last layer. Defects are rare, so starting from a low probability saves the first epochs."""
    layer = nn.Conv2d(inputs, classes, 1)
    nn.init.constant_(layer.bias, -4.0)
    return layer


def normalise(image: Tensor, shrink: int = 1) -> Tensor:
    """uint8 NHWC -> float NCHW, by scalars: per-channel constants block a layout optimisation of ONNX Runtime.

    Each grey picture is brought to the same brightness and contrast, because one surface appears under many exposures.
    A grey picture has no colour fault that this could hide. It is done after shrinking, as in training: the grain that
    shrinking removes is contrast, too. Black does not count, because it lies beyond the part.
    """
    pixels = (image.permute(0, 3, 1, 2).to(torch.float32) - 128.0) * (1.0 / 64.0)
    if shrink > 1:
        pixels = nn.functional.avg_pool2d(pixels, shrink)
    if image.shape[3] > 1:
        return pixels
    part = (pixels > _BLACK).to(torch.float32)
    share = part.mean((1, 2, 3), keepdim=True) + 1e-3
    centred = pixels - (pixels * part).mean((1, 2, 3), keepdim=True) / share
    variance = (centred * centred * part).mean((1, 2, 3), keepdim=True) / share
    return (centred / (variance + 1e-3).sqrt()).clamp(min=_DARKEST)


def stride_of(net: nn.Module) -> int:
    """Input pixels per mask pixel of a net."""
    return int(getattr(net, "stride", STRIDE))


class Deployed(nn.Module):
    """The net as it is shipped: uint8 images [N, H, W, C] in, uint8 probabilities [N, K, H/s, W/s] out.

    With `shrink` the graph itself shrinks the image first, so that the daemon gives it native pixels. s is then 2 *
    shrink. Several nets form an ensemble: each adds its classes. `tta` is test-time augmentation: the net also sees the
    mirrored images, and the result is the mean of the four answers.
    """

    def __init__(self, nets: list[nn.Module], shrink: int = 1, *, tta: bool = False) -> None:
        super().__init__()
        self.nets = nn.ModuleList(nets)
        self.shrink, self.tta = shrink, tta
        self.stride = stride_of(nets[0]) * shrink

    def forward(self, image: Tensor) -> Tensor:
        """The probabilities."""
        if self.tta:
            # First of all, because bytes are fast to mirror.
            image = torch.cat([image, *(image.flip([1 + side for side in sides]) for sides in _MIRRORED)])
        pixels = normalise(image, self.shrink)
        logits = [net(pixels) for net in self.nets]
        probability = torch.sigmoid(torch.cat(logits, dim=1) if len(logits) > 1 else logits[0])
        if self.tta:
            upright, *turned = probability.unflatten(0, (1 + len(_MIRRORED), -1))
            back = (look.flip([2 + side for side in sides]) for look, sides in zip(turned, _MIRRORED, strict=True))
            probability = torch.stack([upright, *back]).mean(0)
        return (probability * 255.0 + 0.5).to(torch.uint8)
