"""Rounds weights so that the outputs of each convolution stay almost the same.

If each weight is rounded to its nearest step, the errors of a thousand weights add up, most at defects. Here weights
are rounded one after another, and those still to come compensate for the error in the sum. This uses the real inputs of
the layer (Frantar et al. 2022, GPTQ, arXiv:2210.17323). The mean error that is left goes into the bias (Nagel et al.
2019, arXiv:1906.04721).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnxruntime import InferenceSession

_IMAGES: Final = 100
_PLACES: Final = 200
"""Number of images, and of places in each, at which a layer's inputs are sampled."""
_CORE_S: Final = 120.0
"""Seconds of one core for all layers together. Wider layers than fit are rounded to the nearest step."""
_CUBE_S: Final = 2e-9
"""Seconds for the cube of the inputs of one sum. Measured on one core: 3.3 s for 1,152 inputs, 24 s for 2,304."""
_DAMPING: Final = 0.01
"""Share of the mean of the inputs' squares. Weights of rare inputs are rounded to the nearest step."""

Floats = NDArray[np.float64]


@dataclass(slots=True)
class _Read:
    """The inputs of a convolution of G groups at `count` places, K values for each of its sums.

    It holds the sums of these [G, K] and of their products [G, K, K].
    """

    sums: Floats
    products: Floats
    count: int = 0


def round_weights(fp32: Path, int8: Path, images: Sequence[NDArray[np.uint8]], most: int) -> int:
    """Round the weights of the INT8 file's convolutions again, to -`most`..`most`, in place.

    `fp32` has the same nodes. Images are [H, W, C]. Returns how many layers were too wide, and stay as they are.
    """
    whole, rounded = onnx.load(str(fp32)), onnx.load(str(int8))
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in whole.graph.initializer}
    tensors = {tensor.name: tensor for tensor in rounded.graph.initializer}
    made_by = {name: node for node in rounded.graph.node for name in node.output}
    given = {node.name: node for node in rounded.graph.node if node.op_type == "Conv" and node.input[1] in made_by}
    every = [node for node in whole.graph.node if node.name in given]
    convolutions = affordable(every, weights)
    for node, read in zip(convolutions, _read(whole, convolutions, weights, images), strict=True):
        weight, *biases = (made_by[name].input for name in given[node.name].input[1:])
        chosen, missing = _layer(weights[node.input[1]], numpy_helper.to_array(tensors[weight[1]]), read, most)
        _replace(tensors[weight[0]], chosen.astype(np.int8))
        for bias in biases:
            before, step = (numpy_helper.to_array(tensors[name]) for name in bias[:2])
            _replace(tensors[bias[0]], (before + np.round(missing / step)).astype(np.int32))
    onnx.save(rounded, str(int8))
    return len(every) - len(convolutions)


def affordable(convolutions: Sequence[NodeProto], weights: Mapping[str, NDArray[Any]]) -> list[NodeProto]:
    """Those that can be rounded in the time for all, narrow ones first. They stay in the order of the net."""
    costs = [_attributes(node).get("group", 1) * weights[node.input[1]][0].size ** 3 * _CUBE_S for node in convolutions]
    left, chosen = _CORE_S, set()
    for at in sorted(range(len(costs)), key=lambda at: costs[at]):
        left -= costs[at]
        if left >= 0:
            chosen.add(at)
    return [node for at, node in enumerate(convolutions) if at in chosen]


def _layer(weight: NDArray[np.float32], steps: NDArray[np.float32], read: _Read, most: int) -> tuple[Floats, Floats]:
    """The rounded weights in steps, [O, C/G, h, w], and the mean error of each sum [O]."""
    groups, values = read.sums.shape
    flat = weight.reshape(groups, -1, values).astype(float)
    step = np.broadcast_to(steps, len(weight)).reshape(groups, -1).astype(float)
    chosen = np.stack(
        [round_rows(flat[each], read.products[each] / read.count, step[each], most) for each in range(groups)]
    )
    lost = flat - chosen * step[:, :, np.newaxis]
    return chosen.reshape(weight.shape), np.einsum("gok,gk->go", lost, read.sums / read.count).reshape(-1)


def round_rows(rows: Floats, moments: Floats, steps: Floats, most: int) -> Floats:
    """`rows` [O, K] in `steps` [O], given the second moments [K, K] of the inputs. The most important come first."""
    order = np.argsort(-np.diag(moments))
    damped = moments[np.ix_(order, order)] + np.eye(len(order)) * max(1e-9, _DAMPING * np.diag(moments).mean())
    passes_on = np.linalg.cholesky(np.linalg.inv(damped)).T
    left, chosen = rows[:, order], np.empty_like(rows)
    for index, position in enumerate(order):
        chosen[:, position] = np.clip(np.round(left[:, index] / steps), -most, most)
        error = (left[:, index] - chosen[:, position] * steps) / passes_on[index, index]
        left[:, index:] -= np.outer(error, passes_on[index, index:])
    return chosen


def _read(
    model: ModelProto,
    convolutions: Sequence[NodeProto],
    weights: dict[str, NDArray[Any]],
    images: Sequence[NDArray[np.uint8]],
) -> list[_Read]:
    """The inputs of each convolution at random places of the images."""
    rng = np.random.default_rng(1)
    names = list(dict.fromkeys(node.input[0] for node in convolutions))
    watched = ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    watched.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    session = InferenceSession(watched.SerializeToString(), providers=["CPUExecutionProvider"])
    found = []
    for node in convolutions:
        groups, values = _attributes(node).get("group", 1), weights[node.input[1]][0].size
        found.append(_Read(np.zeros((groups, values)), np.zeros((groups, values, values))))
    for image in images[:_IMAGES]:
        tensors = dict(zip(names, session.run(None, {"image": image[np.newaxis]}), strict=True))
        for read, node in zip(found, convolutions, strict=True):
            seen = _seen(tensors[node.input[0]][0], node, weights[node.input[1]].shape[2:], rng)
            grouped = seen.reshape(len(seen), len(read.sums), -1).transpose(1, 0, 2)
            read.sums += grouped.sum(1)
            read.products += grouped.transpose(0, 2, 1) @ grouped
            read.count += len(seen)
    return found


def _seen(
    tensor: NDArray[np.float32], node: NodeProto, kernel: Sequence[int], rng: np.random.Generator
) -> NDArray[np.float32]:
    """The inputs under the kernel at random places of [C, H, W]: [places, C, h * w]."""
    how = _attributes(node)
    top, left, bottom, right = how.get("pads", (0, 0, 0, 0))
    padded = np.pad(tensor, ((0, 0), (top, bottom), (left, right)))
    rows, columns = (
        rng.integers(0, (side - size) // step + 1, _PLACES) * step
        for side, size, step in zip(padded.shape[1:], kernel, how.get("strides", (1, 1)), strict=True)
    )
    taps = [padded[:, rows + row, columns + column].T for row in range(kernel[0]) for column in range(kernel[1])]
    return np.stack(taps, axis=2)


def _attributes(node: NodeProto) -> dict[str, Any]:
    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


def _replace(tensor: TensorProto, values: NDArray[Any]) -> None:
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
