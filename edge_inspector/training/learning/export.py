"""The trained net as an ONNX file: `image` uint8 [N, H, W, C] -> `mask` uint8 [N, K, H/stride, W/stride]."""

import warnings
from pathlib import Path
from typing import Final

import onnx
import torch
from onnx import helper, numpy_helper

from edge_inspector.store.whole_file import draft_of
from edge_inspector.training.learning.guard import add_guard
from edge_inspector.training.learning.unet import Deployed

OPSET: Final = 17


def export_onnx(deployed: Deployed, path: Path, shape: tuple[int, int, int]) -> None:
    """Write the FP32 graph for images [H, W, C]. The batch size is free, height and width are fixed.

    After a power cut there is no file or the whole file.
    """
    with draft_of(path) as draft:
        example = torch.zeros((1, *shape), dtype=torch.uint8)
        with warnings.catch_warnings():
            # The older exporter takes seconds, the newer one a minute. The graphs run equally fast.
            warnings.simplefilter("ignore", DeprecationWarning)
            # The number of channels decides how to normalise, and it is fixed from here on.
            warnings.simplefilter("ignore", torch.jit.TracerWarning)
            torch.onnx.export(
                deployed.eval(),
                (example,),
                str(draft),
                input_names=["image"],
                output_names=["mask"],
                dynamic_axes={"image": {0: "batch"}, "mask": {0: "batch"}},
                opset_version=OPSET,
                dynamo=False,
            )
        model, stride = onnx.load(str(draft)), deployed.stride
        _fold_shrinking(model.graph)
        # The true size of the mask. The exporter's shape inference leaves it open.
        dims = model.graph.output[0].type.tensor_type.shape.dim
        dims[2].dim_value, dims[3].dim_value = shape[0] // stride, shape[1] // stride
        add_guard(model)
        onnx.checker.check_model(model)
        onnx.save(model, str(draft))


def _fold_shrinking(graph: onnx.GraphProto) -> None:
    """Let the first convolution do the shrinking, if nothing else reads the small picture (docs/decisions/0038).

    The mean of n x n pixels followed by a kernel of k x k equals one kernel of nk x nk, with its values spread and
    divided.
    """
    for pool in [node for node in graph.node if node.op_type == "AveragePool"]:
        if helper.get_node_attr_value(pool, "kernel_shape") != helper.get_node_attr_value(pool, "strides"):
            continue
        readers = [node for node in graph.node if pool.output[0] in node.input]
        if any(node.op_type != "Conv" for node in readers):
            continue
        times = helper.get_node_attr_value(pool, "kernel_shape")[0]
        for node in readers:
            weight = next(each for each in graph.initializer if each.name == node.input[1])
            spread = numpy_helper.to_array(weight).repeat(times, 2).repeat(times, 3) / times**2
            weight.CopyFrom(numpy_helper.from_array(spread, weight.name))
            for how in node.attribute:
                if how.name in {"kernel_shape", "strides", "pads"}:
                    how.ints[:] = [times * each for each in how.ints]
            node.input[0] = pool.input[0]
        graph.node.remove(pool)
