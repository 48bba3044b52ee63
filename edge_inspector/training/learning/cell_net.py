"""The frame of a net that is written without training: a picture becomes cells, and the cells one mask."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import onnx
from onnx import ModelProto, TensorProto, helper

from edge_inspector.training.learning.guard import add_guard
from edge_inspector.training.shipping.wrapping import Writer

_OPSET: Final = 17


def cells_of(writer: Writer, name: str, shape: tuple[int, int, int], *, count: int, cell: int) -> ModelProto:
    """The graph from `image` [N, H, W, C] to what `writer` has made: `features` [N, count, H/cell, W/cell]."""
    height, width, channels = shape
    graph = helper.make_graph(
        writer.nodes,
        name,
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", height, width, channels])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", count, height // cell, width // cell])],
        writer.constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)


def write_mask(model: ModelProto, writer: Writer, likely: str, path: Path) -> None:
    """End the graph with the mask of `likely` [N, 1, h, w], from 0 to 255 for 0 to 1, guard it, and write the file."""
    graph = model.graph
    bounded = writer("Clip", likely, writer.constant(0.0), writer.constant(1.0))
    rounded = writer("Add", writer("Mul", bounded, writer.constant(255.0)), writer.constant(0.5))
    mask = writer("Cast", rounded, to=TensorProto.UINT8)
    writer.nodes.append(helper.make_node("Identity", [mask], ["mask"], name=f"{writer.prefix}/mask"))
    graph.node.extend(writer.nodes)
    graph.initializer.extend(writer.constants)
    sides = [each.dim_value for each in graph.output[0].type.tensor_type.shape.dim[2:]]
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("mask", TensorProto.UINT8, ["batch", 1, *sides]))
    add_guard(model)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
