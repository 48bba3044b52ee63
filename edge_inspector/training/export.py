"""The trained net as an ONNX file: `image` uint8 [N, H, W, C] -> `mask` uint8 [N, K, H/2, W/2]."""

from pathlib import Path
from typing import Final

import onnx
import torch

from edge_inspector.training.nets import STRIDE, Deployed, Segmenter

OPSET: Final = 17


def export_onnx(net: Segmenter, path: Path, height: int, width: int, channels: int) -> None:
    """Write the FP32 graph; the batch size is free, height and width are fixed."""
    deployed = Deployed(net).eval()
    example = torch.zeros((1, height, width, channels), dtype=torch.uint8)
    torch.onnx.export(
        deployed,
        (example,),
        str(path),
        input_names=["image"],
        output_names=["mask"],
        dynamic_axes={"image": {0: "batch"}, "mask": {0: "batch"}},
        opset_version=OPSET,
        # The older exporter takes seconds where the newer takes a minute; the graphs run equally fast.
        dynamo=False,
    )
    _fix_output_shape(path, height // STRIDE, width // STRIDE)


def _fix_output_shape(path: Path, height: int, width: int) -> None:
    """State the mask's true size, which the exporter's shape inference leaves open."""
    model = onnx.load(str(path))
    dims = model.graph.output[0].type.tensor_type.shape.dim
    dims[2].dim_value, dims[3].dim_value = height, width
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
