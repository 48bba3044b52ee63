"""Puts a guard into a model file's graph: an invalid number makes the whole mask 255, and no value wraps.

A cast from float to a byte turns NaN into 0, and 0 means "good". The station treats a mask that is 255 everywhere, in
every class, as no mask: `inference_failed`. The bytes are edited here, because a station has no package for ONNX files.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from edge_inspector.segmenters.onnx_file import Node, fields, read_onnx

# Fields of onnx.proto, and types of tensors.
_GRAPH, _OPSET, _NODE, _INITIALIZER = 7, 8, 1, 5
_INPUT, _OUTPUT, _NAME, _OP_TYPE, _ATTRIBUTE = 1, 2, 3, 4, 5
_FLOAT, _BYTE, _LONG, _BOOL = 1, 2, 7, 9
_NEEDS: Final = 10
"""The first version of the operators that can find out whether a number is infinite."""
_AXES_ARE_INPUTS: Final = 13

# Operations on bytes between the cast and the output.
_MOVES: Final = frozenset(
    {"Identity", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Concat", "Slice", "Expand", "Pad"}
    | {"Gather", "Resize", "Split", "Tile"}
)
# A cast to whole numbers makes one of NaN, and so does OpenVINO in the others (Clip and Relu give 0).
_SWALLOWS: Final = frozenset(
    {
        "Cast",
        "Clip",
        "Max",
        "Min",
        "Relu",
        "HardSigmoid",
        "MaxPool",
        "GlobalMaxPool",
        "ReduceMax",
        "ReduceMin",
        "QuantizeLinear",
    }
)
_PASSES: Final = _SWALLOWS | _MOVES | {"CastLike", "Mul", "Div", "Add", "Sub", "Where", "Round", "Floor", "Ceil"}


class _Made(NamedTuple):
    """A node of the graph, its bytes, and which field of the graph it is."""

    node: Node
    content: memoryview
    field: int


def with_guard(content: bytes) -> bytes:
    """The file with a guard before each cast that makes its masks. Masks of numbers from 0 to 255 do not change.

    Raises ValueError if no such cast is found, or the operators of the file are too old.
    """
    whole = [*fields(memoryview(content))]
    graphs = [value for number, value, _ in whole if number == _GRAPH and isinstance(value, memoryview)]
    opset = max((_opset(value) for number, value, _ in whole if number == _OPSET), default=0)
    if len(graphs) != 1:
        raise ValueError("it has more than one graph")
    if opset < _NEEDS:
        raise ValueError(f"its operators are of version {opset}, and a guard needs {_NEEDS}")
    edited = _message(_GRAPH, _guarded(graphs[0], read_onnx(content).outputs[:1], opset, _free_name(content)))
    return b"".join(edited if number == _GRAPH else bytes(piece) for number, _, piece in whole)


def _free_name(content: bytes) -> str:
    name = "guard"
    while f"{name}/".encode() in content:
        name += "-"
    return name


def _guarded(graph: memoryview, outputs: Sequence[str], opset: int, mark: str) -> bytes:
    whole = [*fields(graph)]
    made: dict[str, _Made] = {}
    for at, (number, value, _) in enumerate(whole):
        if number == _NODE and isinstance(value, memoryview):
            node = Node(_text(value, _OP_TYPE), tuple(_texts(value, _INPUT)), tuple(_texts(value, _OUTPUT)))
            made |= dict.fromkeys(node.outputs, _Made(node, value, at))
    casts = _casts(outputs, made)
    if not casts:
        raise ValueError("it does not end in a cast to bytes")
    written = [bytes(piece) for _, _, piece in whole]
    for number, cast in enumerate(casts):
        own, source = f"{mark}{number or ''}", cast.node.inputs[0]
        nodes = _nodes(own, mark, source, swallowed=_swallowed(source, made), opset=opset)
        mended = _message(_NODE, _reading(cast.content, f"{own}/Where_output"))
        written[cast.field] = b"".join(_message(_NODE, node) for node in nodes) + mended
    return b"".join([*written, *(_message(_INITIALIZER, each) for each in _constants(mark, opset))])


def _casts(outputs: Sequence[str], made: dict[str, _Made]) -> list[_Made]:
    """The casts to bytes that make the masks. Operations after them only move bytes. Empty if others make some."""
    found: dict[int, _Made] = {}
    ahead, seen = list(outputs), set(outputs)
    while ahead:
        each = made.get(ahead.pop())
        if each is None or each.node.op == "Constant":
            continue
        if each.node.op == "Cast" and each.node.inputs and _to(each.content) == _BYTE:
            found[each.field] = each
        elif each.node.op in _MOVES:
            inputs = each.node.inputs if each.node.op == "Concat" else each.node.inputs[:1]
            ahead += [name for name in inputs if name not in seen]
            seen.update(inputs)
        else:
            return []
    return [*found.values()]


def _swallowed(source: str, made: dict[str, _Made]) -> list[str]:
    """The values between the net and the cast in which a NaN may be seen for the last time."""
    found: dict[str, None] = {}
    ahead, seen = [source], {source}
    while ahead:
        each = made.get(ahead.pop())
        if each is None or each.node.op not in _PASSES:
            continue
        inputs = [name for name in each.node.inputs if name in made and made[name].node.op != "Constant"]
        if each.node.op in _SWALLOWS:
            found |= dict.fromkeys(inputs if each.node.op in {"Max", "Min"} else inputs[:1])
        ahead += [name for name in inputs if name not in seen]
        seen.update(inputs)
    return [*found]


def _nodes(own: str, mark: str, source: str, *, swallowed: Sequence[str], opset: int) -> Iterator[bytes]:
    """The guard's operations. `own` begins the names of their results, and `mark` those of the constants."""

    def node(op: str, inputs: Sequence[str], *attributes: bytes, result: str = "") -> bytes:
        name = f"{own}/{result or op}"
        return _node(op, name, inputs, attributes)

    # One sum checks all numbers of a picture, which is faster than to check each.
    values = f"{own}/Cast_output"
    yield node("Cast", [source], _integer("to", _FLOAT))
    if opset >= _AXES_ARE_INPUTS:
        yield node("ReduceSum", [values, f"{mark}/axes"], _integer("keepdims", 1))
    else:
        yield node("ReduceSum", [values], _integers("axes", [1, 2, 3]), _integer("keepdims", 1))
    yield node("IsNaN", [f"{own}/ReduceSum_output"])
    yield node("IsInf", [f"{own}/ReduceSum_output"])
    yield node("Or", [f"{own}/IsNaN_output", f"{own}/IsInf_output"])
    wrong = f"{own}/Or_output"
    for number, name in enumerate(swallowed):  # of any shape, so one of them spoils the masks of all pictures at once
        step = f"before{number}"
        yield node("Cast", [name], _integer("to", _FLOAT), result=f"{step}/Cast")
        yield node("IsNaN", [f"{own}/{step}/Cast_output"], result=f"{step}/IsNaN")
        yield node("Cast", [f"{own}/{step}/IsNaN_output"], _integer("to", _FLOAT), result=f"{step}/Count")
        yield node("ReduceMax", [f"{own}/{step}/Count_output"], _integer("keepdims", 0), result=f"{step}/ReduceMax")
        yield node("Cast", [f"{own}/{step}/ReduceMax_output"], _integer("to", _BOOL), result=f"{step}/Any")
        yield node("Or", [wrong, f"{own}/{step}/Any_output"], result=f"{step}/Or")
        wrong = f"{own}/{step}/Or_output"
    yield node("Min", [values, f"{mark}/most"])
    yield node("Max", [f"{own}/Min_output", f"{mark}/least"])
    yield node("Where", [wrong, f"{mark}/certain", f"{own}/Max_output"])


def _constants(mark: str, opset: int) -> Iterator[bytes]:
    # Not 255: OpenVINO cuts off before it adds the half that rounds, so the largest value would become 254.
    for name, value in {"certain": 255.0, "most": 255.5, "least": 0.0}.items():
        yield _tensor(f"{mark}/{name}", _FLOAT, struct.pack("<f", value))
    if opset >= _AXES_ARE_INPUTS:
        yield _tensor(f"{mark}/axes", _LONG, struct.pack("<3q", 1, 2, 3), 3)


def _reading(node: memoryview, source: str) -> bytes:
    """The node with another input."""
    kept = b"".join(bytes(piece) for number, _, piece in fields(node) if number != _INPUT)
    return _message(_INPUT, source.encode()) + kept


def _to(cast: memoryview) -> int:
    """The type of tensor that a cast makes. 0 if it does not say."""
    for number, value, _ in fields(cast):
        if number == _ATTRIBUTE and isinstance(value, memoryview) and _text(value, 1) == "to":
            return next((each for field, each, _ in fields(value) if field == 3 and isinstance(each, int)), 0)
    return 0


def _opset(value: int | memoryview) -> int:
    """The version of the operators. 0 for those of another domain."""
    if not isinstance(value, memoryview) or _text(value, 1) not in ("", "ai.onnx"):
        return 0
    return next((each for number, each, _ in fields(value) if number == 2 and isinstance(each, int)), 0)


def _texts(message: memoryview, wanted: int) -> list[str]:
    found = (value for number, value, _ in fields(message) if number == wanted)
    return [bytes(value).decode("utf-8", "replace") for value in found if isinstance(value, memoryview)]


def _text(message: memoryview, wanted: int) -> str:
    return "".join(_texts(message, wanted)[-1:])


def _node(op: str, name: str, inputs: Sequence[str], attributes: Sequence[bytes]) -> bytes:
    texts = [*((_INPUT, each) for each in inputs), (_OUTPUT, f"{name}_output"), (_NAME, name), (_OP_TYPE, op)]
    written = b"".join(_message(number, text.encode()) for number, text in texts)
    return written + b"".join(_message(_ATTRIBUTE, each) for each in attributes)


def _integer(name: str, value: int) -> bytes:
    return _message(1, name.encode()) + _number(3, value) + _number(20, 2)


def _integers(name: str, values: Sequence[int]) -> bytes:
    return _message(1, name.encode()) + b"".join(_number(8, value) for value in values) + _number(20, 7)


def _tensor(name: str, kind: int, raw: bytes, *sides: int) -> bytes:
    shape = b"".join(_number(1, side) for side in sides)
    return shape + _number(2, kind) + _message(8, name.encode()) + _message(9, raw)


def _message(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)
