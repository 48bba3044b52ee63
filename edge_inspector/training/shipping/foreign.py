"""Looks into an ONNX file that was made elsewhere, and finds out what goes in and what comes out.

Nothing is run, and nothing of the tool that made the file is imported. What was assumed is said, and can be overruled.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import onnx
from google.protobuf.message import Error as ProtobufError
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, version_converter

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.training.learning.guard import opset_of

Family = Literal["segmentation", "anomaly", "yolo", "yolo-seg", "yolox", "detr", "dfine"]
Activation = Literal["bytes", "logits", "sigmoid", "softmax", "softmax-logits", "argmax"]
OPSET: Final = 17
IMAGENET: Final = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
PLAIN: Final = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
_LARGEST: Final = 2 << 30
_YOLO_MASKS: Final = 32
FLOATS: Final = (TensorProto.FLOAT, TensorProto.FLOAT16)
DAMAGED: Final = (
    *(ValueError, TypeError, RuntimeError, LookupError, AttributeError, OSError, ProtobufError),
    *(onnx.checker.ValidationError, onnx.shape_inference.InferenceError, version_converter.ConvertError),
)
"""What reading a file raises that is damaged, or that uses operators of another world."""
_YES_OR_NO: Final = frozenset({"Greater", "GreaterOrEqual", "Less", "LessOrEqual"})
COMPARES: Final = _YES_OR_NO | {"ArgMax"}
"""Operations for which NaN is a number like others."""
_ROUNDING: Final = frozenset({"Mul", "Add", "Round", "Floor", "Ceil", "Clip", "Cast", "Identity"})
"""What makes bytes of probabilities."""
_INPUTS: Final = (*FLOATS, TensorProto.UINT8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """What a file is taken for. `outputs` are those that are used, in the order that the family needs.

    Pixels are `(value * scale - mean) / deviation`.
    """

    model: ModelProto
    family: Family
    outputs: tuple[str, ...]
    size: tuple[int, int]
    channels: int
    nhwc: bool
    activation: Activation = "logits"
    classes: tuple[str, ...] = ()
    rgb: bool = True
    scale: float = 1.0 / 255.0
    mean: tuple[float, ...] = PLAIN[0]
    deviation: tuple[float, ...] = PLAIN[1]
    licence: str = ""


def inspect(path: Path, size: tuple[int, int] | None = None, activation: Activation | None = None) -> Foreign:
    """Read a file and find out what it is. The number of classes follows from `activation`. Raises ConfigError."""
    model = _loaded(path)
    picture, *others = _inputs(model)
    nhwc, channels, found = _picture(path, picture, size)
    shapes = {each.name: _shape(each) for each in model.graph.output}
    family, outputs = _family(path, shapes, has_sizes=bool(others))
    own_form = _is_byte(picture) and _is_byte(_output(model, outputs[0]))
    if family == "segmentation":
        outputs = (_before_bytes(model, outputs[0]),)
        shapes = {each.name: _shape(each) for each in model.graph.output}
    if others and family != "dfine":
        names = ", ".join(each.name for each in others)
        raise ConfigError([Fault(str(path), f"has further inputs that cannot be filled: {names}")])
    foreign = Foreign(
        model=model,
        family=family,
        outputs=outputs,
        size=found,
        channels=channels,
        nhwc=nhwc,
        activation=(activation or _activation(model, outputs[0])) if family == "segmentation" else "sigmoid",
        licence=_metadata(model).get("license", ""),
        rgb=not own_form,
    )
    foreign = _with_pixels(foreign, model)
    return replace(foreign, classes=_classes(foreign, shapes))


def _loaded(path: Path) -> ModelProto:
    """The model with its weights, in a version of the operators that the wrapper writes in."""
    if path.stat().st_size > _LARGEST:
        raise ConfigError([Fault(str(path), f"is larger than {_LARGEST >> 30} GB")])
    try:
        model = onnx.load(str(path))
        if opset_of(model) < OPSET:
            model = version_converter.convert_version(model, OPSET)
        return onnx.shape_inference.infer_shapes(model)
    except DAMAGED as error:
        raise ConfigError([Fault(str(path), f"is not an ONNX file that can be read: {str(error)[:200]}")]) from error


def _inputs(model: ModelProto) -> list[ValueInfoProto]:
    """The inputs that have no value of their own, the picture first."""
    fixed = {each.name for each in model.graph.initializer}
    found = [each for each in model.graph.input if each.name not in fixed]
    return sorted(found, key=lambda each: len(_shape(each)) != 4)


def _shape(value: ValueInfoProto) -> tuple[int, ...]:
    """The sides of a tensor. 0 for one that is free."""
    return tuple(each.dim_value for each in value.type.tensor_type.shape.dim)


def _picture(path: Path, value: ValueInfoProto, size: tuple[int, int] | None) -> tuple[bool, int, tuple[int, int]]:
    """Whether channels come last, how many there are, and height and width."""
    shape = _shape(value)
    kind = value.type.tensor_type.elem_type
    if len(shape) != 4 or kind not in _INPUTS:
        raise ConfigError([Fault(str(path), f"its input {value.name} {list(shape)} is not a batch of pictures")])
    nhwc = shape[3] in (1, 3) and shape[1] not in (1, 3)
    channels = shape[3] if nhwc else shape[1]
    if channels not in (1, 3):
        raise ConfigError([Fault(str(path), f"its input {list(shape)} has neither 1 nor 3 channels")])
    sides = shape[1:3] if nhwc else shape[2:4]
    if 0 in sides and size is None:
        raise ConfigError([Fault("--size", "is needed, because the file takes pictures of any size: --size H W")])
    if size is not None and any(own not in (0, asked) for own, asked in zip(sides, size, strict=True)):
        raise ConfigError([Fault("--size", f"the file takes {sides[0]} x {sides[1]} px and no other size")])
    if shape[0] > 1:
        what = f"takes {shape[0]} pictures at once and never one: export it for a batch of 1, or of any size"
        raise ConfigError([Fault(str(path), what)])
    height, width = size or (sides[0], sides[1])
    return nhwc, channels, (height, width)


def _output(model: ModelProto, name: str) -> ValueInfoProto:
    return next(each for each in model.graph.output if each.name == name)


def _is_byte(value: ValueInfoProto) -> bool:
    return bool(value.type.tensor_type.elem_type == TensorProto.UINT8)


def _before_bytes(model: ModelProto, output: str) -> str:
    """The values of which the file makes bytes. They become an output of the model, because bytes lose some of them.

    NaN becomes 0, 256 becomes 0, and a probability without the factor 255 becomes 0. If the bytes are 255 times the
    result of a sigmoid or softmax, it is that result.
    """
    value = _output(model, output)
    made = {name: node for node in model.graph.node for name in node.output}
    node, cast = made.get(output), ""
    while node is not None and node.op_type in {"Cast", "Identity"}:
        cast = node.input[0]
        node = made.get(cast)
    if not cast or not _is_byte(value):
        return output
    source = cast
    while node is not None and node.op_type in _ROUNDING:
        source = next((name for name in node.input if made.get(name) and made[name].op_type != "Constant"), "")
        node = made.get(source)
    source = source if node is not None and node.op_type in {"Sigmoid", "Softmax"} else cast
    kinds = {each.name: each.type.tensor_type.elem_type for each in model.graph.value_info}
    before = model.graph.output.add()
    before.CopyFrom(value)
    before.name = source
    before.type.tensor_type.elem_type = kinds.get(source, TensorProto.FLOAT)
    return source


def _family(path: Path, shapes: dict[str, tuple[int, ...]], *, has_sizes: bool) -> tuple[Family, tuple[str, ...]]:
    """What kind of net gives outputs of these names and shapes, and which of them are used."""
    names = {name.casefold(): name for name in shapes}
    if "anomaly_map" in names:
        return "anomaly", (names["anomaly_map"],)
    if has_sizes and {"labels", "boxes", "scores"} <= names.keys():
        return "dfine", (names["boxes"], names["scores"], names["labels"])
    boxes = [name for name, shape in shapes.items() if len(shape) == 3 and shape[2] == 4]
    scores = [name for name, shape in shapes.items() if len(shape) == 3 and shape[2] not in (0, 4)]
    if boxes and scores:
        return "detr", (boxes[0], scores[0])
    found = _by_shape(shapes)
    if found is None:
        listed = "; ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
        raise ConfigError([Fault(str(path), f"gives neither masks nor boxes that are known here: {listed}")])
    return found


def _by_shape(shapes: dict[str, tuple[int, ...]]) -> tuple[Family, tuple[str, ...]] | None:
    flat = [name for name, shape in shapes.items() if len(shape) == 3 and 0 not in shape[1:]]
    masks = [name for name, shape in shapes.items() if len(shape) == 4 and shape[1] == _YOLO_MASKS]
    if flat and masks:
        return "yolo-seg", (flat[0], masks[0])
    planes = [name for name, shape in shapes.items() if len(shape) == 4]
    if planes:
        return "segmentation", (planes[0],)
    if flat:
        rows, columns = shapes[flat[0]][1:]
        return ("yolo" if rows < columns else "yolox"), (flat[0],)
    maps = [name for name, shape in shapes.items() if len(shape) == 3]
    return ("segmentation", (maps[0],)) if maps else None


def computing(model: ModelProto, output: str) -> NodeProto | None:
    """The last operation before an output that does not only move values or change their type."""
    made = {name: node for node in model.graph.node for name in node.output}
    node = made.get(output)
    while node is not None and node.op_type in {"Identity", "Cast", "Resize", "Squeeze", "Unsqueeze", "Transpose"}:
        node = made.get(node.input[0])
    return node


def _activation(model: ModelProto, output: str) -> Activation:
    """What the last operation that computes something makes of the values."""
    node = computing(model, output)
    kind = node.op_type if node is not None else ""
    known: dict[str, Activation] = {"Sigmoid": "sigmoid", "Softmax": "softmax", "ArgMax": "argmax"}
    if kind in known:
        return known[kind]
    if kind in _YES_OR_NO:
        return "sigmoid"
    value = _output(model, output)
    if any(map(_is_byte, model.graph.output)):
        return "bytes"
    planes = _shape(value)[1] if len(_shape(value)) == 4 else 1
    return "logits" if planes == 1 else "softmax-logits"


def _with_pixels(foreign: Foreign, model: ModelProto) -> Foreign:
    """How such nets want their pixels."""
    picture = _inputs(model)[0]
    if _is_byte(picture):
        return replace(foreign, scale=1.0)
    if foreign.family == "yolox":
        return replace(foreign, rgb=False, scale=1.0)
    if foreign.family in ("segmentation", "detr") and foreign.channels == 3:
        return replace(foreign, mean=IMAGENET[0], deviation=IMAGENET[1])
    return foreign


def _metadata(model: ModelProto) -> dict[str, str]:
    return {each.key.casefold(): each.value for each in model.metadata_props}


def _classes(foreign: Foreign, shapes: dict[str, tuple[int, ...]]) -> tuple[str, ...]:
    """The names in the file, as Ultralytics writes them, otherwise numbers."""
    shape = shapes[foreign.outputs[0]]
    count = {
        "anomaly": 1,
        "yolo": shape[1] - 4,
        "yolo-seg": shape[1] - 4 - _YOLO_MASKS,
        "yolox": shape[-1] - 5,
        "detr": shapes[foreign.outputs[-1]][-1],
        "dfine": 0,
    }.get(foreign.family, shape[1] if len(shape) == 4 else 0)
    names = _names(_metadata(foreign.model).get("names", ""))
    if names and (len(names) == count or not count):
        return names
    if foreign.family == "anomaly":
        return ("anomaly",)
    if foreign.activation.startswith("softmax"):
        return tuple(f"class-{number}" for number in range(1, count))  # 0 is the background
    return tuple(f"class-{number}" for number in range(1, count + 1)) if count > 1 else ("defect",)


def _names(text: str) -> tuple[str, ...]:
    try:
        table: Any = ast.literal_eval(text) if len(text) < 100_000 else None
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return ()
    values = table.values() if isinstance(table, dict) else table if isinstance(table, list) else ()
    return tuple(str(each) for each in values)


def said_of(foreign: Foreign) -> Iterator[str]:
    """What the file is taken for, as sentences, each with the option that overrules it."""
    picture = _inputs(foreign.model)[0]
    what = {
        "segmentation": "a segmentation net",
        "anomaly": "an anomaly map, as anomalib exports it: 0.5 is its threshold",
        "yolo": "boxes, as Ultralytics exports them. They are painted into the mask",
        "yolo-seg": "boxes and prototypes, as Ultralytics exports them. They are multiplied and painted into the mask",
        "yolox": "boxes on grids, as YOLOX exports them. They are painted into the mask",
        "detr": "boxes and scores, as RF-DETR exports them. They are painted into the mask",
        "dfine": "boxes, labels and scores, as D-FINE and DEIM export them. They are painted into the mask",
    }
    height, width = foreign.size
    yield f"taken for {what[foreign.family]} (output {', '.join(foreign.outputs)})"
    order = "NHWC" if foreign.nhwc else "NCHW"
    yield f"input {picture.name}: {order}, {height} x {width} px, {foreign.channels} channels"
    if foreign.channels == 3:
        yield f"colours: {'RGB' if foreign.rgb else 'BGR'} (--colours bgr|rgb)"
    yield (
        f"pixels: value x {foreign.scale:.5g}, less {_listed(foreign.mean)}, divided by {_listed(foreign.deviation)} "
        "(--scale, --mean, --std)"
    )
    if foreign.family == "segmentation":
        meant = {
            "bytes": "bytes: 255 times the probability. Such a file may need no wrapping, see `model guard`",
            "logits": "logits: a sigmoid makes probabilities of them",
            "sigmoid": "probabilities already, or yes and no",
            "softmax": "probabilities of classes, of which number 0 is the background",
            "softmax-logits": "logits of classes, of which number 0 is the background: a softmax makes probabilities",
            "argmax": "class numbers, of which 0 is the background: there are no confidences, only yes and no",
        }
        yield f"its values are {meant[foreign.activation]} (--activation)"
    if foreign.licence:
        yield f"licence in the file: {foreign.licence}"


def _listed(values: tuple[float, ...]) -> str:
    return "/".join(f"{value:g}" for value in dict.fromkeys(values))
