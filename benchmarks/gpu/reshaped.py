"""The shipped networks at other sizes. They have convolutions only, so a new size only needs a new shape."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

MODELS = Path(__file__).parents[2] / "models"


@dataclass(frozen=True, slots=True)
class Shaped:
    """An ONNX file with its shapes without batch: pictures (height, width, channels), masks (classes, h, w), uint8."""

    file: Path
    shape: tuple[int, int, int]
    masks: tuple[int, int, int]


def reshaped(name: str, height: int, width: int, folder: Path) -> Shaped:
    """The FP32 file of a shipped model, for pictures of this size. At the model's own size, the unchanged file."""
    manifest = tomllib.loads((MODELS / name / "manifest.toml").read_text())
    own, stride = manifest["input"], manifest["output"]["stride"]
    shaped = Shaped(
        folder / f"{name}-{height}x{width}.onnx",
        (height, width, own["channels"]),
        (len(manifest["classes"]), height // stride, width // stride),
    )
    shipped = MODELS / name / manifest["files"]["fp32"]["path"]
    if (height, width) == (own["height"], own["width"]):
        return Shaped(shipped, shaped.shape, shaped.masks)
    _declare(shipped, shaped)
    return shaped


def _declare(shipped: Path, shaped: Shaped) -> None:
    import onnx  # noqa: PLC0415 -- the networks' own size needs none

    model = onnx.load(str(shipped))
    for tensor, sizes in ((model.graph.input[0], shaped.shape), (model.graph.output[0], shaped.masks)):
        for dim, size in zip(tensor.type.tensor_type.shape.dim[1:], sizes, strict=True):
            dim.dim_value = size
    onnx.save(model, str(shaped.file))
