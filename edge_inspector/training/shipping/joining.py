"""Joins two model folders into one file: both look at the picture, and the mask has the classes of both.

So known defects and anything unusual, or wrong material, are one decision of one recipe. If either net cannot say
anything, the whole mask is 255, which the station counts as a failure.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import onnx
from onnx import ModelProto, TensorProto, compose, helper, version_converter

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.segmenters.manifest import Manifest, Precision, read_manifest
from edge_inspector.store.whole_file import draft_folder_of
from edge_inspector.training.judging.limits import Limit
from edge_inspector.training.learning.guard import add_guard, opset_of
from edge_inspector.training.shipping.manifest import FILES, Card, Draft
from edge_inspector.training.shipping.wrapping import Writer

_PREFIXES: Final = ("first/", "second/")
_KINDS: Final[tuple[Precision, ...]] = ("fp32", "int8")


def join(first: Path, second: Path, card: Card, target: Path) -> Manifest:
    """Write the folder `target` in one step, and return its manifest. Raises ConfigError."""
    folders = (first, second)
    manifests = (read_manifest(first), read_manifest(second))
    _refuse(folders, manifests)
    one, other = manifests
    stride = min(one.output.stride, other.output.stride)
    target.parent.mkdir(parents=True, exist_ok=True)
    with draft_folder_of(target) as folder:
        for kind in _KINDS:
            if any(kind in each.files for each in manifests):
                files = [_file(*each, kind) for each in zip(folders, manifests, strict=True)]
                onnx.save(_joined(files, manifests, stride), str(folder / FILES[kind]))
        shape = (one.input.height, one.input.width, one.input.channels)
        limits = [
            Limit(manifest.limits[name].min_confidence, manifest.limits[name].min_area_px)
            for manifest in manifests
            for name in manifest.classes
        ]
        made_of = {"joined": [f"{each.name}-{each.version}" for each in manifests]}
        draft = Draft(
            card, [*one.classes, *other.classes], shape, stride, fill=one.input.fill, limits=limits, training=made_of
        )
        draft.write(folder)
    return read_manifest(target)


def _refuse(folders: tuple[Path, Path], manifests: tuple[Manifest, Manifest]) -> None:
    one, other = manifests
    faults = []
    sizes = [(each.input.height, each.input.width, each.input.channels) for each in manifests]
    if sizes[0] != sizes[1]:
        told = " and ".join(" x ".join(map(str, size)) for size in sizes)
        what = f"their inputs are {told}: both must see the same, so train one with --window of the other"
        faults.append(Fault(str(folders[1]), what))
    if one.input.fill != other.input.fill:
        faults.append(Fault(str(folders[1]), f"fills small pictures with {other.input.fill}, not {one.input.fill}"))
    if shared := sorted(set(one.classes) & set(other.classes)):
        faults.append(Fault(str(folders[1]), f"has the class {shared[0]!r}, and so has {folders[0]}"))
    strides = sorted(each.output.stride for each in manifests)
    if strides[1] % strides[0]:
        faults.append(Fault(str(folders[1]), f"strides {strides[0]} and {strides[1]} do not fit each other"))
    for folder, manifest in zip(folders, manifests, strict=True):
        if not manifest.files.keys() & set(_KINDS):
            faults.append(Fault(str(folder), f"has no file of {' or '.join(_KINDS)} that could be joined"))
        if missing := sorted(set(manifest.classes) - manifest.limits.keys()):
            faults.append(Fault(str(folder), f"suggests no limits for {missing[0]!r}"))
    if faults:
        raise ConfigError(faults)


def _file(folder: Path, manifest: Manifest, kind: Precision) -> ModelProto:
    """The file of this precision that the manifest names, or the other one if there is none."""
    named = next(manifest.files[each] for each in (kind, *_KINDS) if each in manifest.files)
    return onnx.load(str(folder / named.path))


def _joined(models: list[ModelProto], manifests: tuple[Manifest, Manifest], stride: int) -> ModelProto:
    opset = max(opset_of(model) for model in models)
    parts = [_of_opset(model, opset) for model in models]
    named = [compose.add_prefix(model, prefix) for model, prefix in zip(parts, _PREFIXES, strict=True)]
    writer = Writer("joined")
    fed = [helper.make_node("Identity", ["image"], [f"{prefix}image"], name=f"{prefix}fed") for prefix in _PREFIXES]
    masks, blanks = [], []
    for prefix, manifest in zip(_PREFIXES, manifests, strict=True):
        plane = writer.floats(f"{prefix}mask")
        blanks.append(_least(writer, plane))
        masks.append(_grown(writer, plane, manifest.output.stride // stride))
    both = writer("Concat", *masks, axis=1)
    blank = writer("Max", *blanks)
    nothing_said = writer("GreaterOrEqual", blank, writer.constant(254.5))
    said = writer("Where", nothing_said, writer.constant(255.0), both)
    mask = writer("Cast", said, to=TensorProto.UINT8)
    writer.nodes.append(helper.make_node("Identity", [mask], ["mask"], name="joined/mask"))
    size, classes = manifests[0].input, sum(len(each.classes) for each in manifests)
    sides = ["batch", classes, size.height // stride, size.width // stride]
    graph = helper.make_graph(
        [*fed, *(node for model in named for node in model.graph.node), *writer.nodes],
        "joined",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", size.height, size.width, size.channels])],
        [helper.make_tensor_value_info("mask", TensorProto.UINT8, sides)],
        [*(each for model in named for each in model.graph.initializer), *writer.constants],
    )
    domains = {each.domain: each for model in parts for each in model.opset_import}
    made = helper.make_model(
        graph, opset_imports=list(domains.values()), ir_version=max(each.ir_version for each in models)
    )
    add_guard(made)
    onnx.checker.check_model(made)
    return made


def _of_opset(model: ModelProto, opset: int) -> ModelProto:
    if opset_of(model) == opset:
        return model
    try:
        return version_converter.convert_version(model, opset)
    except (RuntimeError, ValueError) as error:
        what = f"a file of opset {opset_of(model)} cannot be made one of opset {opset}: {str(error)[:200]}"
        raise ConfigError([Fault("join", what)]) from error


def _least(writer: Writer, plane: str) -> str:
    """The smallest value of a mask, for each picture. If it is 255, its net said nothing."""
    return writer("Neg", writer("GlobalMaxPool", writer("Neg", writer("ReduceMin", plane, axes=[1], keepdims=1))))


def _grown(writer: Writer, plane: str, factor: int) -> str:
    """Each value repeated, so that both masks have the same size."""
    if factor == 1:
        return plane
    scales = writer.constant([1.0, 1.0, float(factor), float(factor)])
    return writer(
        "Resize", plane, "", scales, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
    )
