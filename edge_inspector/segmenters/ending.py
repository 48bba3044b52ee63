"""Checks the end of a graph: whether its masks can mean "defective", and how it treats invalid numbers.

A cast from float to a byte turns an invalid number (NaN) into 0 on every runtime, and 0 means "good". Values beyond 255
wrap: 256 becomes 0 as well.

Only the first output counts. Stations read no other.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from edge_inspector.segmenters.onnx_file import OnnxFile

# Operations that move values and do not change them.
_MOVES: Final = frozenset(
    {"Cast", "CastLike", "Identity", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Concat", "Slice"}
    | {"Split", "Gather", "Expand", "Tile", "Pad", "Resize", "Upsample", "Dropout", "MaxPool", "AveragePool"}
    | {"ReduceMax", "ReduceMin", "ReduceMean", "Round", "Floor", "Ceil", "Clip", "Min"}
)
# Operations that change values between the net and the bytes, and those that a guard is made of.
_FINISHES: Final = _MOVES | {"Mul", "Div", "Add", "Sub", "Max", "Where", "QuantizeLinear", "DequantizeLinear"}
_GUARDS: Final = frozenset({"IsNaN", "IsInf", "Or", "And", "Not", "Equal", "ReduceSum"})
_BOUNDED: Final = frozenset({"Clip", "Min", "Sigmoid", "HardSigmoid", "Softmax", "QuantizeLinear"})
_AT_MOST_ONE: Final = frozenset(
    {"Sigmoid", "HardSigmoid", "Softmax", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal", "Not"}
    | {"And", "Or", "Xor", "IsNaN", "OneHot"}
)
_CLASS_NUMBERS: Final = frozenset({"ArgMax", "ArgMin", "NonMaxSuppression"})
_GUARD: Final = "`edge-inspector model guard MODEL_DIR` repairs the file"


class Ending(NamedTuple):
    """`blind`: why its masks can never mean "defective". `doubt`: the result of an invalid number in its masks."""

    blind: str
    doubt: str


def ending_of(onnx: OnnxFile) -> Ending:
    """The verdict on the last nodes of the graph."""
    sources, doubts = _sources(onnx), []
    if sources and sources <= _AT_MOST_ONE | _CLASS_NUMBERS:
        names = ", ".join(sorted(sources))
        what = "class numbers" if sources & _CLASS_NUMBERS else "nothing but 0 and 1"
        return Ending(f"its masks hold {what} (the graph ends in {names}), and no probabilities from 0 to 255", "")
    last = _reached(onnx)
    if "Cast" in last and "IsNaN" not in last:
        doubts.append("an invalid number (NaN) becomes 0, which means good")
    if "Cast" in last and not last & _BOUNDED:
        doubts.append("values above 255 wrap: 256 becomes 0, which means good")
    return Ending("", "; ".join([*doubts, _GUARD]) if doubts else "")


def _sources(onnx: OnnxFile) -> set[str]:
    """The operations that compute the values of the masks. Later ones only move these values."""
    made = {name: node for node in onnx.nodes for name in node.outputs}
    found: set[str] = set()
    ahead, seen = list(onnx.outputs[:1]), set(onnx.outputs[:1])
    while ahead:
        node = made.get(ahead.pop())
        if node is None or node.op == "Constant":
            continue
        # A conditional choice takes its values from the other two inputs, every other operation from the first.
        if node.op in _MOVES or node.op == "Where":
            inputs = node.inputs[1:] if node.op == "Where" else node.inputs if node.op == "Concat" else node.inputs[:1]
            ahead += [name for name in inputs if name not in seen]
            seen.update(inputs)
        else:
            found.add(node.op)
    return found


def _reached(onnx: OnnxFile) -> set[str]:
    """The operations from the last ones of the net itself to the masks, inclusive."""
    made = {name: node for node in onnx.nodes for name in node.outputs}
    found: set[str] = set()
    ahead, seen = list(onnx.outputs[:1]), set(onnx.outputs[:1])
    while ahead:
        node = made.get(ahead.pop())
        if node is None:
            continue
        found.add(node.op)
        if node.op in _FINISHES | _GUARDS:
            ahead += [name for name in node.inputs if name not in seen]
            seen.update(node.inputs)
    return found
