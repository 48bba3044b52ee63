"""A guard at the end of a graph: an invalid number makes the whole mask 255, and no value wraps.

A cast from float to a byte turns NaN into 0, and 0 means "good". The station treats a mask that is 255 everywhere, in
every class, as no mask: `inference_failed`.
"""

from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edge_inspector.segmenters.ending import ending_of
from edge_inspector.segmenters.onnx_file import read_onnx
from edge_inspector.store.whole_file import draft_of

_MARK: Final = "guard"


def guard_file(path: Path) -> bool:
    """Put the guard into a model file, if it needs one. False if there is nothing to do."""
    model = onnx.load(str(path))
    if not add_guard(model):
        return False
    onnx.checker.check_model(model)
    with draft_of(path) as draft:
        onnx.save(model, str(draft))
    return True


def add_guard(model: ModelProto) -> bool:
    """Put the guard before the last cast, in place. Masks of finite numbers from 0 to 255 do not change.

    False if there is nothing to do: the graph has a guard, or does not end in a cast to bytes.
    """
    if not ending_of(read_onnx(model.SerializeToString())).doubt:
        return False
    graph = model.graph
    last = _last_cast(graph)
    if last is None:
        return False
    place = list(graph.node).index(last)
    opset = opset_of(model)
    # Not 255: OpenVINO cuts off before it adds the half that rounds, so the largest value would become 254.
    floats = {"certain": 255.0, "most": 255.5, "least": 0.0}
    constants = {name: np.array(value, np.float32) for name, value in floats.items()}
    if opset >= 13:
        constants["axes"] = np.array([1, 2, 3])
    graph.initializer.extend(numpy_helper.from_array(value, f"{_MARK}/{name}") for name, value in constants.items())
    nodes = _nodes(last.input[0], opset)
    for offset, node in enumerate(nodes):
        graph.node.insert(place + offset, node)
    last.input[0] = nodes[-1].output[0]
    return True


def opset_of(model: ModelProto) -> int:
    """The version of the operators that the model is written in. 0 if it names none."""
    return next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), 0)


def _last_cast(graph: GraphProto) -> NodeProto | None:
    """The cast to bytes that makes the masks. Operations after it only move bytes."""
    made = {name: node for node in graph.node for name in node.output}
    node = made.get(graph.output[0].name)
    while node is not None and node.op_type in {"Identity", "Transpose", "Reshape", "Squeeze", "Unsqueeze"}:
        node = made.get(node.input[0])
    if node is None or node.op_type != "Cast" or helper.get_node_attr_value(node, "to") != TensorProto.UINT8:
        return None
    return node


def _nodes(source: str, opset: int) -> list[NodeProto]:
    def node(op: str, inputs: list[str], **attributes: object) -> NodeProto:
        name = f"{_MARK}/{op}"
        return helper.make_node(op, inputs, [f"{name}_output"], name=name, **attributes)

    # One sum checks all numbers of a picture, which is faster than to check each.
    values = node("Cast", [source], to=TensorProto.FLOAT)
    if opset >= 13:
        total = node("ReduceSum", [values.output[0], f"{_MARK}/axes"], keepdims=1)
    else:
        total = node("ReduceSum", [values.output[0]], axes=[1, 2, 3], keepdims=1)
    none, endless = node("IsNaN", [total.output[0]]), node("IsInf", [total.output[0]])
    wrong = node("Or", [none.output[0], endless.output[0]])
    below = node("Min", [values.output[0], f"{_MARK}/most"])
    within = node("Max", [below.output[0], f"{_MARK}/least"])
    safe = node("Where", [wrong.output[0], f"{_MARK}/certain", within.output[0]])
    return [values, total, none, endless, wrong, below, within, safe]
