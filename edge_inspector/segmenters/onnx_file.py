"""Reads the structure of an ONNX file without a runtime. Its bytes may be hostile, so every length is checked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from typing import Final

# More fields than any net has. A file made of nothing else would take minutes to read.
_MOST_FIELDS: Final = 2_000_000

# By kind of message: the fields that hold messages in which a tensor may be. Numbers as in onnx.proto.
_INSIDE: Final[dict[str, dict[int, str]]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse tensor", 23: "sparse tensor"},
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_GRAPH, _NODE, _INPUT, _OUTPUT, _TENSOR_NAME = 7, 1, 11, 12, 8
_NODE_INPUT, _NODE_OUTPUT, _OP_TYPE, _VALUE_NAME = 1, 2, 4, 1
_EXTERNAL_DATA, _METADATA = 13, 14
# The engine that a GPU's compiler has left lies in a separate file, too.
_COMPILED: Final = "EPContext"


@dataclass(frozen=True, slots=True)
class Node:
    """One operation of the main graph, with the names of its inputs and outputs."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """Nodes, inputs and outputs of the main graph, every operation in the file, and whether weights lie elsewhere."""

    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    operations: frozenset[str]
    weights_elsewhere: bool
    _: KW_ONLY
    inputs: tuple[str, ...] = ()


def read_onnx(content: bytes) -> OnnxFile:
    """The structure of `content`. Raises ValueError if it is no ONNX file."""
    nodes: list[Node] = []
    inputs: list[str] = []
    outputs: list[str] = []
    weights: set[str] = set()  # old exporters list them among the inputs, too
    operations: set[str] = set()
    elsewhere, graphs, left = False, 0, _MOST_FIELDS
    ahead: list[tuple[str, bool, memoryview]] = [("model", True, memoryview(content))]
    while ahead:  # not recursion, because the file decides how deep it goes
        kind, main, message = ahead.pop()
        if kind == "node":
            node = _node(message)
            operations.add(node.op)
            if main:
                nodes.append(node)
        for number, value, _ in fields(message):
            left -= 1
            if left < 0:
                raise ValueError(f"it has more than {_MOST_FIELDS} fields")
            elsewhere = elsewhere or (kind == "tensor" and number == _EXTERNAL_DATA)
            inside = _INSIDE[kind].get(number)
            if inside is not None and isinstance(value, memoryview):
                graphs += (kind, number) == ("model", _GRAPH)
                ahead.append((inside, main and (kind, number) in {("model", _GRAPH), ("graph", _NODE)}, value))
            elif main and kind == "graph" and isinstance(value, memoryview) and number in (_INPUT, _OUTPUT):
                (inputs if number == _INPUT else outputs).extend(_texts(value, _VALUE_NAME))
            elif kind == "tensor" and number == _TENSOR_NAME and isinstance(value, memoryview):
                weights.add(bytes(value).decode("utf-8", "replace"))
    if not graphs:
        raise ValueError("it has no graph")
    given = tuple(name for name in inputs if name not in weights)
    return OnnxFile(
        tuple(nodes), tuple(outputs), frozenset(operations), elsewhere or _COMPILED in operations, inputs=given
    )


def metadata_of(content: bytes) -> dict[str, str]:
    """What the tool that made the file wrote beside the graph, by lower-case names. Empty if it is no ONNX file."""
    try:
        entries = [value for number, value, _ in fields(memoryview(content)) if number == _METADATA]
        pairs = [(_texts(each, 1), _texts(each, 2)) for each in entries if isinstance(each, memoryview)]
    except ValueError:
        return {}
    return {"".join(key[-1:]).casefold(): "".join(value[-1:]) for key, value in pairs}


def keeps_weights_elsewhere(content: bytes) -> bool:
    """Whether a runtime with these bytes would read on in another file, which no hash covers."""
    try:
        return read_onnx(content).weights_elsewhere
    except ValueError:
        # A runtime will hardly read it either. If one did, it would have to find these words.
        return b"location" in content or b"ep_cache_context" in content


def _node(message: memoryview) -> Node:
    op = "".join(_texts(message, _OP_TYPE)[-1:])
    return Node(op, tuple(_texts(message, _NODE_INPUT)), tuple(_texts(message, _NODE_OUTPUT)))


def _texts(message: memoryview, wanted: int) -> list[str]:
    return [
        bytes(value).decode("utf-8", "replace")
        for number, value, _ in fields(message)
        if number == wanted and isinstance(value, memoryview)
    ]


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview, memoryview]]:
    """Number, value and all bytes of every field of a protobuf message. Raises ValueError if it is none."""
    at, end = 0, len(message)
    while at < end:
        first = at
        key, at = _varint(message, at)
        number, wire = (key & 0xFFFF_FFFF) >> 3, key & 7  # parsers keep 32 bits of it, too
        if not number:
            raise ValueError("it has a field without a number")
        if wire == 0:
            value, at = _varint(message, at)
            yield number, value, message[first:at]
            continue
        if wire == 2:
            length, at = _varint(message, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ValueError(f"it has {key & 0xFF:#04x} where a field begins")
        if length > end - at:
            raise ValueError("it ends within a field")
        yield number, message[at : at + length], message[first : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            raise ValueError("it ends within a number")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
    raise ValueError("it has a number of more than ten bytes")
