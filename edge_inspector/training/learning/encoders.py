"""Known encoders by name, lite0 and those of segmentation_models_pytorch and timm, with our own light decoder.

Nothing is downloaded. Weights start at random, or come from the state dict in `--encoder-weights`.
"""

import importlib
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.training.learning.lite import Lite0, published_weights
from edge_inspector.training.learning.unet import SIZES, Decoder, Segmenter, head

PUBLISHED: Final = Path("imagenet")
"""Used in place of a file: the weights of lite0 from an installed package."""


class EncodedSegmenter(nn.Module):
    """A known encoder's five levels, narrowed to our decoder's widths. It has the same interface as Segmenter."""

    def __init__(self, encoder: Any, classes: int, widths: tuple[int, ...]) -> None:
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
    """A net by name: light, large, lite0, or an encoder such as mobilenet_v2 or resnet34. Raises ConfigError."""
    if name in SIZES:
        if weights is not None:
            raise ConfigError([Fault("--encoder-weights", f"the {name} net has no encoder of another's making")])
        return Segmenter(channels, classes, SIZES[name])
    if name == "lite0":
        lite = Lite0(channels)
        if weights is not None:
            lite.load(published_weights() if weights == PUBLISHED else weights)
        return EncodedSegmenter(lite, classes, SIZES["large"])
    library = _library()
    try:
        encoder = library.encoders.get_encoder(name, in_channels=channels, depth=5, weights=None)
    except KeyError as error:
        known = f"{', '.join(SIZES)}, lite0 or an encoder of segmentation_models_pytorch, as mobilenet_v2 or resnet34"
        raise ConfigError([Fault("--net", f"{name!r} is unknown: {known}")]) from error
    if weights is not None:
        encoder.load_state_dict(torch.load(weights, weights_only=True))
    return EncodedSegmenter(encoder, classes, SIZES["large"])


def _library() -> Any:
    name = "segmentation_models_pytorch"
    try:
        try:
            return importlib.import_module(name)
        except RuntimeError:  # if torchvision is complete, declaring its operators again would end the process
            _declare_missing_operators()
            return importlib.import_module(name)
    except (ImportError, RuntimeError) as error:
        what = f"needs segmentation-models-pytorch: pip install segmentation-models-pytorch ({error})"
        raise ConfigError([Fault("--net", what)]) from error


def _declare_missing_operators() -> None:
    """Declare two operators that nobody calls. Without them torchvision for CUDA fails to import with a CPU torch."""
    for name in ("nms", "qnms"):
        try:
            torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        except RuntimeError:
            return  # already declared
