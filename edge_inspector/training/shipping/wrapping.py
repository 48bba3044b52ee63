"""Puts what a foreign net needs into its graph: bytes in, bytes out, and a guard against invalid numbers.

The result takes uint8 pictures [N, H, W, C] and gives uint8 masks [N, K, H/stride, W/stride], as every model here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.segmenters.form import BOXES
from edge_inspector.training.learning.guard import add_guard, opset_of
from edge_inspector.training.shipping.foreign import COMPARES, FLOATS, Foreign, computing
from edge_inspector.training.shipping.pruning import pruned

_MOST: Final = 32
"""Boxes that are painted in a picture: the surest. More than a part has defects."""
_CELL: Final = 4
"""Pixels of the picture for one of the mask, where boxes are painted."""
_YOLOX_STRIDES: Final = (8, 16, 32)
_OTHERS: Final = {BOXES: "foreign/boxes", "image": "foreign/image", "mask": "foreign/mask"}


class Writer:
    """Adds operations to a graph, with names that clash with none."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def __call__(self, op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """Add an operation. Returns the name of its first output. Others have _1, _2 ... at the end."""
        name = f"{self.prefix}/{len(self.nodes)}/{op}"
        names = [name, *(f"{name}_{number}" for number in range(1, outputs))]
        self.nodes.append(helper.make_node(op, list(inputs), names, name=name, **attributes))
        return name

    def constant(self, value: Any, kind: type = np.float32) -> str:
        """Add a constant, and return its name."""
        name = f"{self.prefix}/constant/{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(value, kind), name))
        return name

    def columns(self, source: str, first: int, last: int, axis: int = 2) -> str:
        """A part of a tensor along an axis."""
        bounds = (self.constant([bound], np.int64) for bound in (first, last, axis))
        return self("Slice", source, *bounds)

    def floats(self, source: str) -> str:
        """The tensor as 32-bit floats."""
        return self("Cast", source, to=TensorProto.FLOAT)


def wrap(foreign: Foreign, *, boxes: bool = False) -> tuple[ModelProto, int]:
    """The model with both ends added, and its stride. Raises ConfigError.

    With `boxes` a detector has a further output [N, B, 6]: two corners in pixels, score and number of the class.
    """
    foreign = _without_our_names(foreign)
    model = ModelProto()
    model.CopyFrom(foreign.model)
    _feed(model, foreign)
    writer = Writer("wrapped")
    probability, stride, surest = _probabilities(writer, foreign)
    if boxes and not surest:
        raise ConfigError([Fault("--boxes", "the file gives no boxes")])
    scaled = writer("Mul", probability, writer.constant(255.0))
    half = writer("Add", scaled, writer.constant(0.5))
    mask = writer("Cast", half, to=TensorProto.UINT8)
    mask = _named(writer, mask, "mask")
    surest = _named(writer, surest, BOXES) if boxes else ""
    graph = model.graph
    graph.node.extend(writer.nodes)
    graph.initializer.extend(writer.constants)
    del graph.output[:]
    height, width = (side // stride for side in foreign.size)
    batch = _batch(foreign)
    sides = [batch, len(foreign.classes), height, width]
    graph.output.append(helper.make_tensor_value_info(mask, TensorProto.UINT8, sides))
    if boxes:
        most = min(_MOST, _box_count(foreign))
        graph.output.append(helper.make_tensor_value_info(surest, TensorProto.FLOAT, [batch, most, 6]))
    del graph.value_info[:]
    model = pruned(model)
    add_guard(model)
    onnx.checker.check_model(model)
    return model, stride


def _named(writer: Writer, source: str, name: str) -> str:
    writer.nodes.append(helper.make_node("Identity", [source], [name], name=f"wrapped/{name}"))
    return name


def _batch(foreign: Foreign) -> int | str:
    """The batch of the file, which may be fixed. Boxes are painted picture by picture."""
    dims = foreign.model.graph.input[0].type.tensor_type.shape.dim
    return dims[0].dim_value or "batch"


def _feed(model: ModelProto, foreign: Foreign) -> None:
    """Let the graph begin with bytes."""
    graph = model.graph
    fixed = {each.name for each in graph.initializer}
    values = [each for each in graph.input if each.name not in fixed]
    picture = next(each for each in values if len(each.type.tensor_type.shape.dim) == 4)
    others = [each for each in values if each is not picture]
    kind = picture.type.tensor_type.elem_type
    batch = _batch(foreign)
    height, width = foreign.size
    writer = Writer("fed")
    pixels = _pixels(writer, "image", foreign)
    if kind == TensorProto.UINT8:
        pixels = writer("Cast", pixels, to=TensorProto.UINT8)
    elif kind == TensorProto.FLOAT16:
        pixels = writer("Cast", pixels, to=TensorProto.FLOAT16)
    writer.nodes.append(helper.make_node("Identity", [pixels], [picture.name], name="fed/picture"))
    for other in others:  # the size that D-FINE scales its boxes to
        sizes = numpy_helper.from_array(np.array([[width, height]], np.int64), other.name)
        graph.initializer.append(sizes)
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend([*writer.nodes, *nodes])
    graph.initializer.extend(writer.constants)
    for each in values:
        graph.input.remove(each)
    graph.input.append(
        helper.make_tensor_value_info("image", TensorProto.UINT8, [batch, height, width, foreign.channels])
    )


def _without_our_names(foreign: Foreign) -> Foreign:
    """The same, with other names for tensors that are called as ours are going to be."""
    model = ModelProto()
    model.CopyFrom(foreign.model)
    graph = model.graph
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [_OTHERS.get(each, each) for each in names]
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.name = _OTHERS.get(value.name, value.name)
    return replace(foreign, model=model, outputs=tuple(_OTHERS.get(each, each) for each in foreign.outputs))


def _pixels(writer: Writer, image: str, foreign: Foreign) -> str:
    pixels = writer.floats(image)
    if foreign.channels == 3 and foreign.rgb:
        pixels = writer("Gather", pixels, writer.constant([2, 1, 0], np.int64), axis=3)
    if foreign.scale != 1.0:
        pixels = writer("Mul", pixels, writer.constant(foreign.scale))
    if any(foreign.mean):
        pixels = writer("Sub", pixels, writer.constant(foreign.mean))
    if set(foreign.deviation) != {1.0}:
        pixels = writer("Div", pixels, writer.constant(foreign.deviation))
    return pixels if foreign.nhwc else writer("Transpose", pixels, perm=[0, 3, 1, 2])


def _probabilities(writer: Writer, foreign: Foreign) -> tuple[str, int, str]:
    """The mask, its stride, and the surest boxes [N, B, 6] of a detector, otherwise ""."""
    if foreign.family in ("segmentation", "anomaly"):
        return _invalid_as(writer, _planes(writer, foreign), _compared(foreign)), _stride(foreign), ""
    boxes, scores, shares = _boxes(writer, foreign)
    painted, surest = _painted(writer, foreign, boxes=boxes, scores=scores, shares=shares)
    kinds = {each.name: each.type.tensor_type.elem_type for each in foreign.model.graph.output}
    return _invalid_as(writer, painted, [each for each in foreign.outputs if kinds[each] in FLOATS]), _CELL, surest


def _compared(foreign: Foreign) -> list[str]:
    """The planes that the net's own graph compares, for class numbers or yes and no. Empty if it compares none."""
    node = computing(foreign.model, foreign.outputs[0])
    return [node.input[0]] if node is not None and node.op_type in COMPARES else []


def _planes(writer: Writer, foreign: Foreign) -> str:
    """Probabilities of each class, without the background."""
    values, how = foreign.outputs[0], foreign.activation
    if how == "argmax":
        rank = len(_sides(foreign, foreign.outputs[0]))
        if rank == 4:
            values = writer("Squeeze", values, writer.constant([1], np.int64))
        whole = writer("Cast", values, to=TensorProto.INT64)
        count, ends = writer.constant(len(foreign.classes) + 1, np.int64), writer.constant([0.0, 1.0])
        return writer.columns(writer("OneHot", whole, count, ends, axis=1), 1, len(foreign.classes) + 1, axis=1)
    values = writer.floats(values)
    if len(_sides(foreign, foreign.outputs[0])) == 3:
        values = writer("Unsqueeze", values, writer.constant([1], np.int64))
    if how == "bytes":
        return writer("Mul", values, writer.constant(1.0 / 255.0))
    if how == "logits":
        return writer("Sigmoid", values)
    if how == "softmax-logits":
        values = writer("Softmax", values, axis=1)
    return writer.columns(values, 1, len(foreign.classes) + 1, axis=1) if how.startswith("softmax") else values


def _sides(foreign: Foreign, output: str) -> tuple[int, ...]:
    value = next(each for each in foreign.model.graph.output if each.name == output)
    return tuple(each.dim_value for each in value.type.tensor_type.shape.dim)


def _stride(foreign: Foreign) -> int:
    """Pixels of the picture for one of the mask. Without sizes in the file they are the same."""
    height, width = _sides(foreign, foreign.outputs[0])[-2:]
    if not height or not width:
        return 1
    stride = foreign.size[0] // height
    if (height * stride, width * stride) != foreign.size:
        what = f"gives masks of {height} x {width} for pictures of {foreign.size[0]} x {foreign.size[1]}"
        raise ConfigError([Fault("FILE", f"{what}: these do not fit a whole number of times")])
    return stride


def _boxes(writer: Writer, foreign: Foreign) -> tuple[str, str, str]:
    """Corners [N, B, 4] in pixels, scores [N, B, K], and shares of the prototypes [N, B, 32] or ""."""
    count, first = len(foreign.classes), writer.floats(foreign.outputs[0])
    height, width = foreign.size
    if foreign.family in ("yolo", "yolo-seg"):
        rows = writer("Transpose", first, perm=[0, 2, 1])
        shares = writer.columns(rows, 4 + count, 4 + count + 32) if foreign.family == "yolo-seg" else ""
        return _corners(writer, writer.columns(rows, 0, 4)), writer.columns(rows, 4, 4 + count), shares
    if foreign.family == "yolox":
        return *_yolox(writer, first, foreign), ""
    second = writer.floats(foreign.outputs[1])
    if foreign.family == "dfine":
        kinds = writer("Cast", foreign.outputs[2], to=TensorProto.INT64)
        chosen = writer("OneHot", kinds, writer.constant(count, np.int64), writer.constant([0.0, 1.0]), axis=-1)
        return first, writer("Mul", chosen, writer("Unsqueeze", second, writer.constant([2], np.int64))), ""
    scaled = writer("Mul", first, writer.constant([width, height, width, height]))
    return _corners(writer, scaled), writer("Sigmoid", second), ""


def _corners(writer: Writer, boxes: str) -> str:
    """From centre and size to two corners."""
    centre = writer.columns(boxes, 0, 2)
    half = writer("Mul", writer.columns(boxes, 2, 4), writer.constant(0.5))
    return writer("Concat", writer("Sub", centre, half), writer("Add", centre, half), axis=2)


def _yolox(writer: Writer, rows: str, foreign: Foreign) -> tuple[str, str]:
    """Boxes relative to the cells of three grids."""
    cells, strides = _grids(foreign.size)
    centre = writer("Mul", writer("Add", writer.columns(rows, 0, 2), writer.constant(cells)), writer.constant(strides))
    size = writer("Mul", writer("Exp", writer.columns(rows, 2, 4)), writer.constant(strides))
    scores = writer("Mul", writer.columns(rows, 4, 5), writer.columns(rows, 5, 5 + len(foreign.classes)))
    return _corners(writer, writer("Concat", centre, size, axis=2)), scores


def _grids(size: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    cells, strides = [], []
    for stride in _YOLOX_STRIDES:
        rows, columns = size[0] // stride, size[1] // stride
        y, x = np.mgrid[:rows, :columns]
        cells.append(np.stack([x.ravel(), y.ravel()], axis=1))
        strides.append(np.full((rows * columns, 1), stride))
    return np.concatenate(cells)[np.newaxis].astype(np.float32), np.concatenate(strides)[np.newaxis].astype(np.float32)


def _painted(writer: Writer, foreign: Foreign, *, boxes: str, scores: str, shares: str) -> tuple[str, str]:
    """The highest score of the boxes over each mask pixel [N, K, h, w]. Only the surest boxes are painted.

    And these boxes [N, B, 6], with score and class.
    """
    best = _highest(writer, scores, foreign)
    most = min(_MOST, _box_count(foreign))
    writer("TopK", best, writer.constant([most], np.int64), outputs=2, axis=1)
    order = writer("Unsqueeze", f"{writer.nodes[-1].output[0]}_1", writer.constant([2], np.int64))
    boxes, scores = (
        _picked(writer, source, order, wide) for source, wide in ((boxes, 4), (scores, len(foreign.classes)))
    )
    kind = writer.floats(writer("ArgMax", scores, axis=2, keepdims=1))
    score = writer("Unsqueeze", _highest(writer, scores, foreign), writer.constant([2], np.int64))
    surest = writer("Concat", boxes, score, kind, axis=2)
    inside = _inside(writer, boxes, foreign)
    if shares:
        inside = writer("Mul", inside, _masks(writer, _picked(writer, shares, order, 32), foreign))
    each = writer("Unsqueeze", inside, writer.constant([1], np.int64))  # [N, 1, B, h, w]
    turned = writer("Transpose", scores, perm=[0, 2, 1])
    weights = writer("Unsqueeze", turned, writer.constant([3, 4], np.int64))  # [N, K, B, 1, 1]
    return _highest(writer, writer("Mul", each, weights), foreign), surest


def _highest(writer: Writer, source: str, foreign: Foreign) -> str:
    """The highest value along axis 2. Before version 18 of the operators the axis was an attribute."""
    if opset_of(foreign.model) < 18:
        return writer("ReduceMax", source, axes=[2], keepdims=0)
    return writer("ReduceMax", source, writer.constant([2], np.int64), keepdims=0)


def _invalid_as(writer: Writer, mask: str, sources: Sequence[str]) -> str:
    """The mask, all of it invalid if any number of its sources is.

    A comparison with NaN is false, and a choice of the highest may pass NaN by. Both would lose it, and the guard
    behind them would see a good mask.
    """
    for source in sources:
        flat = writer("Flatten", writer.floats(source), axis=1)
        total = writer("ReduceSum", flat, writer.constant([1], np.int64), keepdims=1)
        of_picture = writer("Unsqueeze", total, writer.constant([2, 3], np.int64))
        mask = writer("Add", mask, writer("Sub", of_picture, of_picture))  # 0, or NaN
    return mask


def _box_count(foreign: Foreign) -> int:
    sides = _sides(foreign, foreign.outputs[0])
    return (sides[2] if foreign.family.startswith("yolo") and foreign.family != "yolox" else sides[1]) or _MOST


def _picked(writer: Writer, source: str, order: str, wide: int) -> str:
    """The rows [N, B, wide] of the chosen boxes."""
    spread = writer("Tile", order, writer.constant([1, 1, wide], np.int64))
    return writer("GatherElements", source, spread, axis=1)


def _inside(writer: Writer, boxes: str, foreign: Foreign) -> str:
    """1 where a mask pixel's centre lies in a box, otherwise 0 [N, B, h, w]."""
    across, down = ((np.arange(side // _CELL) + 0.5) * _CELL for side in foreign.size[::-1])
    ranges = []
    for centres, first in ((across, 0), (down, 1)):
        places = writer.constant(centres[np.newaxis, np.newaxis])
        low, high = writer.columns(boxes, first, first + 1), writer.columns(boxes, first + 2, first + 3)
        within = writer("And", writer("GreaterOrEqual", places, low), writer("LessOrEqual", places, high))
        ranges.append(writer.floats(within))
    columns = writer("Unsqueeze", ranges[0], writer.constant([2], np.int64))
    rows = writer("Unsqueeze", ranges[1], writer.constant([3], np.int64))
    return writer("Mul", rows, columns)


def _masks(writer: Writer, shares: str, foreign: Foreign) -> str:
    """The mask of each box: its shares of the prototypes, as probabilities [N, B, h, w]."""
    prototypes = writer.floats(foreign.outputs[1])
    _, deep, height, width = _sides(foreign, foreign.outputs[1])
    if (height, width) != (foreign.size[0] // _CELL, foreign.size[1] // _CELL):
        raise ConfigError([Fault("FILE", f"its prototypes are {height} x {width}, not a quarter of the picture")])
    flat = writer("Reshape", prototypes, writer.constant([0, deep, height * width], np.int64))
    product = writer("Sigmoid", writer("MatMul", shares, flat))
    return writer("Reshape", product, writer.constant([0, 0, height, width], np.int64))
