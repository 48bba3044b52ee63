"""Makes the tiny models beside it; needs the onnx package: python tests/assets/make_models.py.

Their masks are 2 x 2 means of single channels, exact in whole numbers, so that tests know every value:
two-classes.onnx  (N, 32, 48, 3) -> (N, 2, 16, 24): 255 - green, red
one-at-a-time.onnx: the same for N = 1 only
grey.onnx         (N, 32, 48, 1) -> (N, 1, 16, 24): 255 - grey
float-output.onnx (N, 32, 48, 1) -> (N, 1, 16, 24) as float: wrong on purpose
raw.onnx          (N, 3, 32, 48) float -> (N, 1, 32, 48) float, as nets are exported: wrong on purpose
zero-one.onnx     (N, 32, 48, 1) -> (N, 1, 16, 24): 1 where 255 - grey is more than 128, wrong on purpose
no-number.onnx    (N, 32, 48, 1) -> (N, 1, 16, 24): 255 - grey, and no number (NaN) where a pixel is 0
clipped.onnx      the same, cut to 0..255 before the cast
whole.onnx        the same, made whole numbers before they are made bytes
doubled.onnx      (N, 32, 48, 1) -> (N, 1, 16, 24): twice 255 - grey, which wraps, in operators of version 11
guarded.onnx      no-number.onnx with the guard of `edge-inspector model guard`: 255 everywhere for such a picture
never.onnx        (N, 32, 48, 1) -> (N, 1, 16, 24): 0 / 0, which is no number, everywhere
dark.onnx         (N, 64, 64, 1) -> (N, 1, 64, 64): 255 - grey of each single pixel
dark-or-not.onnx  (N, 64, 64, 1) -> (N, 1, 64, 64): 1 where that is more than 128, wrong on purpose
endless.onnx      (N, 32, 48, 1) -> (N, 1, 16, 24): 255 - grey after a loop of 2 ** 62 rounds
"""

from pathlib import Path

import numpy as np
from onnx import NodeProto, TensorProto, checker, helper, load, numpy_helper, save

from edge_inspector.training.learning.guard import add_guard

HEIGHT, WIDTH = 32, 48


def make(
    name: str,
    weights: list[list[float]],
    offsets: list[float],
    batch: str | int,
    output: int,
    between: list[NodeProto] | None = None,
    constants: dict[str, np.ndarray] | None = None,
    opset: int = 17,
) -> None:
    """Write one model: masks = weights x channels + offsets, averaged over 2 x 2 pixels.

    `between` makes `finished` of these `means`.
    """
    channels, classes = len(weights[0]), len(weights)
    kernel = np.asarray(weights, np.float32).reshape(classes, channels, 1, 1)
    nodes = [
        helper.make_node("Cast", ["image"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["values"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "weights", "offsets"], ["mixed"], kernel_shape=[1, 1]),
        helper.make_node("AveragePool", ["mixed"], ["means"], kernel_shape=[2, 2], strides=[2, 2]),
        *(between or []),
        helper.make_node("Cast", ["finished" if between else "means"], ["masks"], to=output),
    ]
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [batch, HEIGHT, WIDTH, channels])],
        [helper.make_tensor_value_info("masks", output, [batch, classes, HEIGHT // 2, WIDTH // 2])],
        [
            numpy_helper.from_array(kernel, "weights"),
            numpy_helper.from_array(np.asarray(offsets, np.float32), "offsets"),
            *(numpy_helper.from_array(value, each) for each, value in (constants or {}).items()),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    checker.check_model(model)
    save(model, Path(__file__).parent / f"{name}.onnx")


def make_raw() -> None:
    """A net as an exporter leaves it: float planes in, logits out."""
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["input"], ["output"], axes=[1], keepdims=1)],
        "raw",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, HEIGHT, WIDTH])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["n", 1, HEIGHT, WIDTH])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    save(model, Path(__file__).parent / "raw.onnx")


def make_guarded() -> None:
    """What `edge-inspector model guard` makes of no-number.onnx."""
    model = load(Path(__file__).parent / "no-number.onnx")
    assert add_guard(model)
    checker.check_model(model)
    save(model, Path(__file__).parent / "guarded.onnx")


def make_dark(name: str = "dark", *between: NodeProto) -> None:
    """What is dark is a defect, pixel by pixel. `between` makes `finished` of what was `turned`."""
    nodes = [
        helper.make_node("Cast", ["image"], ["whole"], to=TensorProto.INT32),
        helper.make_node("Sub", ["most", "whole"], ["inverse"]),
        helper.make_node("Transpose", ["inverse"], ["turned"], perm=[0, 3, 1, 2]),
        *between,
        helper.make_node("Cast", ["finished" if between else "turned"], ["masks"], to=TensorProto.UINT8),
    ]
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", 64, 64, 1])],
        [helper.make_tensor_value_info("masks", TensorProto.UINT8, ["batch", 1, 64, 64])],
        [
            numpy_helper.from_array(np.array(255, np.int32), "most"),
            *([numpy_helper.from_array(np.array(128, np.int32), "half")] if between else []),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model)
    save(model, Path(__file__).parent / f"{name}.onnx")


def rounds() -> NodeProto:
    """A loop that adds nothing, again and again."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go_on"], ["on"]), helper.make_node("Identity", ["before"], ["after"])],
        "round",
        [
            helper.make_tensor_value_info("number", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("before", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", TensorProto.FLOAT, None),
        ],
    )
    return helper.make_node("Loop", ["rounds", "yes", "means"], ["finished"], body=body)


if __name__ == "__main__":
    two_classes = [[0.0, -1.0, 0.0], [0.0, 0.0, 1.0]]
    make("two-classes", two_classes, [255.0, 0.0], "batch", TensorProto.UINT8)
    make("one-at-a-time", two_classes, [255.0, 0.0], 1, TensorProto.UINT8)
    make("grey", [[-1.0]], [255.0], "batch", TensorProto.UINT8)
    make("float-output", [[-1.0]], [255.0], "batch", TensorProto.FLOAT)
    make_raw()
    make_dark()
    make_dark("dark-or-not", helper.make_node("Greater", ["turned", "half"], ["finished"]))
    above = [
        helper.make_node("Greater", ["means", "half"], ["finished"]),
    ]
    make("zero-one", [[-1.0]], [255.0], "batch", TensorProto.UINT8, above, {"half": np.array(128, np.float32)})
    # One of grey / grey, which is not a number where grey is 0, is what the masks are multiplied by.
    divided = [
        helper.make_node("AveragePool", ["planes"], ["grey"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Div", ["grey", "grey"], ["one"]),
        helper.make_node("Mul", ["means", "one"], ["finished"]),
    ]
    make("no-number", [[-1.0]], [255.0], "batch", TensorProto.UINT8, divided)
    make_guarded()
    divided[-1].output[0] = "product"
    bounds = {"low": np.array(0, np.float32), "high": np.array(255, np.float32)}
    cut = [*divided, helper.make_node("Clip", ["product", "low", "high"], ["finished"])]
    whole = [*divided, helper.make_node("Cast", ["product"], ["finished"], to=TensorProto.INT32)]
    make("whole", [[-1.0]], [255.0], "batch", TensorProto.UINT8, whole)
    make("clipped", [[-1.0]], [255.0], "batch", TensorProto.UINT8, cut, bounds)
    own = [helper.make_node("Div", ["means", "means"], ["finished"])]
    make("never", [[0.0]], [0.0], "batch", TensorProto.UINT8, own)
    make("doubled", [[-2.0]], [510.0], "batch", TensorProto.UINT8, opset=11)
    endless = {"rounds": np.array(2**62, np.int64), "yes": np.array(True)}  # noqa: FBT003 -- a tensor
    make("endless", [[-1.0]], [255.0], "batch", TensorProto.UINT8, [rounds()], endless)
