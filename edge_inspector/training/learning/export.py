"""The trained net as an ONNX file: `image` uint8 [N, H, W, C] -> `mask` uint8 [N, K, H/stride, W/stride]."""

import warnings
from pathlib import Path
from typing import Final

import onnx
import torch

from edge_inspector.training.learning.unet import STRIDE, Deployed

OPSET: Final = 17


def export_onnx(deployed: Deployed, path: Path, shape: tuple[int, int, int]) -> None:
    """Write the FP32 graph for images [H, W, C]; the batch size is free, height and width are fixed."""
    example = torch.zeros((1, *shape), dtype=torch.uint8)
    with warnings.catch_warnings():
        # The older exporter takes seconds where the newer takes a minute; the graphs run equally fast.
        warnings.simplefilter("ignore", DeprecationWarning)
        # The number of channels decides how to normalise, once and for all.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        torch.onnx.export(
            deployed.eval(),
            (example,),
            str(path),
            input_names=["image"],
            output_names=["mask"],
            dynamic_axes={"image": {0: "batch"}, "mask": {0: "batch"}},
            opset_version=OPSET,
            dynamo=False,
        )
    stride = STRIDE * deployed.shrink
    _fix_output_shape(path, shape[0] // stride, shape[1] // stride)


def _fix_output_shape(path: Path, height: int, width: int) -> None:
    """State the mask's true size, which the exporter's shape inference leaves open."""
    model = onnx.load(str(path))
    dims = model.graph.output[0].type.tensor_type.shape.dim
    dims[2].dim_value, dims[3].dim_value = height, width
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
