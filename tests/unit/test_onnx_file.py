"""What is read of an ONNX file before a runtime sees it: weights elsewhere, loops, and how the masks are made."""

import itertools
from pathlib import Path

import pytest

from edge_inspector.segmenters import onnx_file
from edge_inspector.segmenters.ending import ending_of
from edge_inspector.segmenters.onnx_file import Node, OnnxFile, keeps_weights_elsewhere, read_onnx

ASSETS = Path(__file__).parents[1] / "assets"
MODELS = Path(__file__).parents[2] / "models"

GRAPH, NODE, INITIALIZER, OUTPUT, ATTRIBUTE, EXTERNAL = 7, 1, 5, 12, 5, 13


def varint(value: int) -> bytes:
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def message(number: int, content: bytes, key_bits: int = 0) -> bytes:
    return varint(number << 3 | 2 | key_bits) + varint(len(content)) + content


def node(op: str, inputs: str = "", outputs: str = "", *attributes: bytes) -> bytes:
    names = [message(1, name.encode()) for name in inputs.split()] + [message(2, o.encode()) for o in outputs.split()]
    return message(NODE, b"".join([*names, message(4, op.encode()), *attributes]))


def model(*parts: bytes) -> bytes:
    return message(GRAPH, b"".join(parts))


ENTRY = {"key": message(1, b"location"), "value": message(2, b"weights.bin")}
PLAIN = message(INITIALIZER, message(8, b"weights") + message(9, b"\0" * 4))


def tensor(*entry: str, key_bits: int = 0) -> bytes:
    """A tensor that lies elsewhere; the entry's fields in this order."""
    return message(8, b"weights") + message(EXTERNAL, b"".join(ENTRY[name] for name in entry), key_bits)


AWAY = tensor("value", "key")
ELSEWHERE = {
    "as exporters write it": model(message(INITIALIZER, tensor("key", "value"))),
    "value before key": model(message(INITIALIZER, AWAY)),
    "value alone, key twice": model(message(INITIALIZER, tensor("value", "key", "key"))),
    "a field that says nothing": model(message(INITIALIZER, message(EXTERNAL, b""))),
    "a key of more bits than parsers keep": model(message(INITIALIZER, tensor("value", "key", key_bits=1 << 32))),
    "behind another graph": model(PLAIN) + model(message(INITIALIZER, AWAY)),
    "in a constant": model(node("Constant", "", "c", message(ATTRIBUTE, message(5, AWAY)))),
    "in a list of tensors": model(node("Constant", "", "c", message(ATTRIBUTE, message(10, AWAY)))),
    "in the body of a loop": model(
        node("Loop", "", "c", message(ATTRIBUTE, message(6, message(INITIALIZER, AWAY)))),
    ),
    "in one of several bodies": model(node("If", "", "c", message(ATTRIBUTE, message(11, message(INITIALIZER, AWAY))))),
    "in a sparse tensor": model(message(15, message(1, AWAY))),
    "in a sparse tensor's places": model(message(15, message(2, AWAY))),
    "in a sparse constant": model(node("Constant", "", "c", message(ATTRIBUTE, message(22, message(1, AWAY))))),
    "in a function": model(PLAIN) + message(25, message(7, message(ATTRIBUTE, message(5, AWAY)))),
    "in what trains it": model(PLAIN) + message(20, message(1, message(INITIALIZER, AWAY))),
    "a compiled engine beside it": model(node("EPContext", "x", "y")),
    # What a parser might still read although it is no whole message here.
    "behind a group": b"\x0b\x0c" + model(message(INITIALIZER, AWAY)),
    "a tensor by itself": tensor("key", "value"),
}


@pytest.mark.parametrize("content", ELSEWHERE.values(), ids=ELSEWHERE)
def test_weights_elsewhere_are_seen_wherever_they_are_said_to_be(content: bytes) -> None:
    assert keeps_weights_elsewhere(content)


def test_a_name_is_no_place() -> None:
    """A net may well have a layer that is called so."""
    content = model(message(INITIALIZER, message(8, b"location") + message(9, b"location")), node("location", "a", "b"))
    assert not keeps_weights_elsewhere(content)
    assert not any(keeps_weights_elsewhere(asset.read_bytes()) for asset in ASSETS.glob("*.onnx"))


def test_nodes_outputs_and_operations_are_read() -> None:
    body = message(ATTRIBUTE, message(6, node("Add", "c d", "e")))
    found = read_onnx(model(node("Loop", "a b", "c", body), message(OUTPUT, message(1, b"c"))))
    assert found == OnnxFile((Node("Loop", ("a", "b"), ("c",)),), ("c",), frozenset({"Loop", "Add"}), False)  # noqa: FBT003


@pytest.mark.parametrize(
    "content", [b"", b"\x08\x08", b"weights", b"\0" * 40, b"\xff" * 40, b"\x0d\0\0\0\0\x09" + b"\0" * 8]
)
def test_what_is_no_onnx_file(content: bytes) -> None:
    with pytest.raises(ValueError, match="it "):
        read_onnx(content + b"\x3a\x7f")
    assert not keeps_weights_elsewhere(content)


def test_a_file_that_is_cut_off_anywhere_is_no_file() -> None:
    content = (ASSETS / "grey.onnx").read_bytes()
    whole = read_onnx(content)
    for length in range(len(content)):
        try:
            assert read_onnx(content[:length]) == whole, "what comes behind the graph says nothing here"
        except ValueError:
            continue


def test_depth_and_size_are_the_files_choice_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    deep = message(INITIALIZER, AWAY)
    for _ in range(2000):
        deep = node("If", "", "", message(ATTRIBUTE, message(6, deep)))
    assert keeps_weights_elsewhere(model(deep))

    monkeypatch.setattr(onnx_file, "_MOST_FIELDS", 1000)
    with pytest.raises(ValueError, match="more than 1000 fields"):
        read_onnx(model(b"\x10\x01" * 1001))


@pytest.mark.parametrize("file", sorted(MODELS.glob("*/*.onnx")), ids=lambda file: f"{file.parent.name} {file.name}")
def test_the_numbers_of_every_shipped_file_fail_closed(file: Path) -> None:
    assert ending_of(read_onnx(file.read_bytes())) == ("", "")


def graph(*steps: str) -> OnnxFile:
    """A chain that ends in the masks: each step reads the one before it. `Op:a,b` reads a and b instead."""
    nodes = []
    for number, step in enumerate(steps):
        op, _, inputs = step.partition(":")
        before = tuple(inputs.split(",")) if inputs else (str(number - 1),)
        nodes.append(Node(op, before, (str(number),)))
    operations = frozenset(each.op for each in nodes)
    return OnnxFile(tuple(nodes), (str(len(steps) - 1),), operations, weights_elsewhere=False)


BLIND = {
    "a class map": (["Conv", "ArgMax", "Cast"], "class numbers (the graph ends in ArgMax)"),
    "a class map, moved about": (["Conv", "ArgMax", "Cast", "Unsqueeze", "Transpose", "Identity"], "class numbers"),
    "over a threshold": (["Conv", "Sigmoid", "Greater", "Cast"], "nothing but 0 and 1 (the graph ends in Greater)"),
    "a probability as a byte": (["Conv", "Sigmoid", "Cast"], "nothing but 0 and 1 (the graph ends in Sigmoid)"),
    "a rounded one": (["Conv", "Softmax", "Slice", "Round", "Clip", "Cast"], "ends in Softmax"),
    "several classes, one after another": (["Conv", "Greater", "Less:0", "Concat:1,2", "Cast"], "Greater, Less"),
    "guarded, and 0 or 1 all the same": (["Sigmoid", "IsNaN", "Where:1,constant,0", "Cast"], "Sigmoid"),
}
SOUND = {
    "as the guard leaves it": ["Sigmoid", "Mul", "Add", "ReduceSum", "IsNaN", "Min:2", "Where:4,c,5", "Cast"],
    "torch.nan_to_num and clamp": ["Conv", "Mul", "IsNaN", "Where:2,c,1", "Clip", "Cast"],
    "bytes from the start": ["QLinearConv"],
    "by a rounding that does not wrap": ["Sigmoid", "Mul", "IsNaN", "Where:2,c,1", "QuantizeLinear"],
}
DOUBTFUL = {
    "a sigmoid": (["Conv", "Sigmoid", "Mul", "Add", "Cast"], ["NaN"]),
    "logits": (["Conv", "Mul", "Cast"], ["NaN", "wrap"]),
    "an anomaly map with a guard": (["Relu", "Mul", "IsNaN", "Where:2,c,1", "Cast"], ["wrap"]),
    "one hot class times 255": (["ArgMax", "Equal", "Cast", "Mul", "Cast"], ["NaN", "wrap"]),
}


@pytest.mark.parametrize(("steps", "words"), BLIND.values(), ids=BLIND)
def test_masks_that_cannot_say_defective(steps: list[str], words: str) -> None:
    assert words in ending_of(graph(*steps)).blind


@pytest.mark.parametrize("steps", SOUND.values(), ids=SOUND)
def test_masks_whose_numbers_fail_closed(steps: list[str]) -> None:
    assert ending_of(graph(*steps)) == ("", "")


@pytest.mark.parametrize(("steps", "words"), DOUBTFUL.values(), ids=DOUBTFUL)
def test_masks_that_hide_what_is_no_number(steps: list[str], words: list[str]) -> None:
    blind, doubt = ending_of(graph(*steps))
    assert not blind
    assert [word in doubt for word in ("NaN", "wrap")] == [word in words for word in ("NaN", "wrap")]
    assert "edge-inspector model guard" in doubt


def test_a_graph_that_goes_round_in_a_circle_has_an_end() -> None:
    ring = (Node("Where", ("c", "2", "2"), ("1",)), Node("Cast", ("1",), ("2",)))
    for first, second in itertools.permutations(ring):
        assert ending_of(OnnxFile((first, second), ("2",), frozenset(), weights_elsewhere=False)).blind == ""
