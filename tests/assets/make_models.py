"""Makes the tiny models beside it; needs the onnx package: python tests/assets/make_models.py.

Their masks are 2 x 2 means of single channels, exact in whole numbers, so that tests know every value:
two-classes.onnx  (N, 32, 48, 3) -> (N, 2, 16, 24): 255 - green, red
one-at-a-time.onnx: the same for N = 1 only
grey.onnx         (N, 32, 48, 1) -> (N, 1, 16, 24): 255 - grey
float-output.onnx (N, 32, 48, 1) -> (N, 1, 16, 24) as float: wrong on purpose
"""

from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save

HEIGHT, WIDTH = 32, 48


def make(name: str, weights: list[list[float]], offsets: list[float], batch: str | int, output: int) -> None:
    """Write one model: masks = weights x channels + offsets, averaged over 2 x 2 pixels."""
    channels, classes = len(weights[0]), len(weights)
    kernel = np.asarray(weights, np.float32).reshape(classes, channels, 1, 1)
    nodes = [
        helper.make_node("Cast", ["image"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["values"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "weights", "offsets"], ["mixed"], kernel_shape=[1, 1]),
        helper.make_node("AveragePool", ["mixed"], ["means"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Cast", ["means"], ["masks"], to=output),
    ]
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [batch, HEIGHT, WIDTH, channels])],
        [helper.make_tensor_value_info("masks", output, [batch, classes, HEIGHT // 2, WIDTH // 2])],
        [
            numpy_helper.from_array(kernel, "weights"),
            numpy_helper.from_array(np.asarray(offsets, np.float32), "offsets"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model)
    save(model, Path(__file__).parent / f"{name}.onnx")


if __name__ == "__main__":
    two_classes = [[0.0, -1.0, 0.0], [0.0, 0.0, 1.0]]
    make("two-classes", two_classes, [255.0, 0.0], "batch", TensorProto.UINT8)
    make("one-at-a-time", two_classes, [255.0, 0.0], 1, TensorProto.UINT8)
    make("grey", [[-1.0]], [255.0], "batch", TensorProto.UINT8)
    make("float-output", [[-1.0]], [255.0], "batch", TensorProto.FLOAT)
