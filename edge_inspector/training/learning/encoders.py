"""Nets by name, and lite0 as an encoder with our own light decoder.

Nothing is downloaded. Weights start at random, or come from the state dict in `--encoder-weights`.
"""

from pathlib import Path
from typing import Final

from torch import Tensor, nn

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.training.learning.first_net import FIRST, FirstNet
from edge_inspector.training.learning.lite import Lite0, published_weights
from edge_inspector.training.learning.unet import SIZES, Decoder, SegmentationNet, head

PUBLISHED: Final = Path("imagenet")
"""Used in place of a file: the weights of lite0 from an installed package."""


_OTHERS: Final = (
    "Encoders of segmentation_models_pytorch are no longer built here: train such a net there, export it, and let"
    " `edge-inspector model wrap` make a model folder of it (docs/how-to/model.md)"
)


class EncodedSegmenter(nn.Module):
    """lite0's five levels, narrowed to our decoder's widths. It has the same interface as SegmentationNet."""

    def __init__(self, encoder: Lite0, classes: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.encoder = encoder
        levels = encoder.out_channels[-len(widths) :]
        self.fit = nn.ModuleList(nn.Conv2d(found, width, 1) for found, width in zip(levels, widths, strict=True))
        self.up = Decoder(widths)
        self.head = head(widths[0], classes)

    def forward(self, image: Tensor) -> Tensor:
        """The logits."""
        levels = self.encoder(image)[-len(self.fit) :]
        fitted = [fit(level) for fit, level in zip(self.fit, levels, strict=True)]
        logits: Tensor = self.head(self.up(fitted))
        return logits


def make_net(name: str, channels: int, classes: int, weights: Path | None = None) -> nn.Module:
    """A net by name: light, large, lite0, or the net of a first stage. Raises ConfigError."""
    if name in SIZES:
        if weights is not None:
            raise ConfigError([Fault("--encoder-weights", f"the {name} net has no exchangeable encoder")])
        return SegmentationNet(channels, classes, SIZES[name])
    if name == FIRST:
        return FirstNet(channels, classes)
    if name == "lite0":
        lite = Lite0(channels)
        if weights is not None:
            lite.load(published_weights() if weights == PUBLISHED else weights)
        return EncodedSegmenter(lite, classes, SIZES["large"])
    raise ConfigError([unknown_net(name)])


def known_net(name: str) -> bool:
    """Whether `make_net` makes it."""
    return name in SIZES or name == "lite0"


def unknown_net(name: str) -> Fault:
    """What to say of any other."""
    return Fault("--net", f"{name!r} is unknown. There are: {', '.join(SIZES)}, lite0. {_OTHERS}")
