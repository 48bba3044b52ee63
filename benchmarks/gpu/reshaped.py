"""The shipped networks at other sizes: they are convolutions only, so the size is nothing but their declared shape."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx

MODELS = Path(__file__).parents[2] / "models"


@dataclass(frozen=True, slots=True)
class Shaped:
    """An ONNX file whose input is (any batch, height, width, channels) uint8 and whose output is (.., classes, ..)."""

    file: Path
    shape: tuple[int, int, int]
    masks: tuple[int, int, int]


def reshaped(name: str, height: int, width: int, folder: Path, stride: int = 2) -> Shaped:
    """The FP32 file of a shipped model, for pictures of this size."""
    model = onnx.load(str(MODELS / name / "model.fp32.onnx"))
    source, result = model.graph.input[0].type.tensor_type.shape, model.graph.output[0].type.tensor_type.shape
    channels, classes = source.dim[3].dim_value, result.dim[1].dim_value
    for shape, sizes in ((source, (height, width)), (result, (height // stride, width // stride))):
        first = 1 if shape is source else 2
        for dim, size in zip(shape.dim[first : first + 2], sizes, strict=True):
            dim.dim_value = size
    file = folder / f"{name}-{height}x{width}.onnx"
    onnx.save(model, str(file))
    return Shaped(file, (height, width, channels), (classes, height // stride, width // stride))
