"""Two INT8 files from one net, both static QDQ.

For CPUs: unsigned activations, signed weights per channel, range reduced to seven bits. The reduced range is required.
Without VNNI the 8-bit multiply-add saturates silently, and the mask with it. `runtimes.disagreement` shows it.

For TensorRT: signed and symmetric, every zero point 0. This file saturates on such CPUs and must never run there.
"""

import contextlib
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from edge_inspector.training.shipping.rounding import round_weights

CPU_METHOD: Final = "MinMax, U8S8 per-channel reduce_range, weights rounded by what they read (GPTQ)"
TENSORRT_METHOD: Final = "MinMax, S8S8 symmetric per-channel"
_QUANTISED_OPS: Final = ["Conv", "Add", "Resize", "MaxPool", "Concat"]
# Values that a rectifier cuts off must not widen the range. Therefore tensors become eight bits where they are read,
# and none does between a convolution and its rectifier. Runtimes then make one kernel of both (docs/decisions/0037).
_WHERE_READ: Final = {"OpTypesToExcludeOutputQuantization": ["Conv", "Add"]}
_TENSORRT: Final[dict[str, Any]] = {
    "activation_type": QuantType.QInt8,
    "extra_options": _WHERE_READ
    | {
        "ActivationSymmetric": True,
        "WeightSymmetric": True,
        "QuantizeBias": False,
        "AddQDQPairToWeight": True,
    },
}


class _Frames(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, images: Sequence[NDArray[np.uint8]]) -> None:
        self._images: Iterator[NDArray[np.uint8]] = iter(images)

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        image = next(self._images, None)
        return None if image is None else {"image": image[np.newaxis]}


def quantize_for_cpu(
    fp32: Path, target: Path, images: Sequence[NDArray[np.uint8]], *, reduce_range: bool = True
) -> int:
    """Calibrate on the images [H, W, C] and write the file for CPUs.

    Returns how many layers are so wide that their weights are rounded to the nearest step only.
    """
    how = {"activation_type": QuantType.QUInt8, "extra_options": _WHERE_READ}
    with _prepared(fp32) as prepared:
        _quantize(prepared, target, images, reduce_range=reduce_range, **how)
        return round_weights(prepared, target, images, most=64 if reduce_range else 127)


def quantize_for_tensorrt(fp32: Path, target: Path, images: Sequence[NDArray[np.uint8]]) -> None:
    """Calibrate on the images [H, W, C] and write the file for TensorRT."""
    with _prepared(fp32) as prepared:
        _quantize(prepared, target, images, reduce_range=False, **_TENSORRT)


def _quantize(prepared: Path, target: Path, images: Sequence[NDArray[np.uint8]], **how: Any) -> None:
    with _quiet():
        quantize_static(
            str(prepared),
            str(target),
            _Frames(images),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=_QUANTISED_OPS,
            nodes_to_exclude=_kept_in_float(prepared),
            per_channel=True,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            **how,
        )


def _kept_in_float(prepared: Path) -> list[str]:
    """The nodes that stay in float: all before the first convolution and after the last.

    They compute a picture's contrast, the steep middle of the sigmoid, and the mean. In grey nets the first convolution
    stays in float, too: each picture's contrast has another scale, so no eight bits fit all. A colour picture is read
    with its original eight bits.
    """
    nodes = onnx.load(str(prepared)).graph.node
    convolutions = [position for position, node in enumerate(nodes) if node.op_type == "Conv"]
    before, behind = nodes[: convolutions[0]], nodes[convolutions[-1] + 1 :]
    evened = {name for node in before if node.op_type == "Clip" for name in node.output}
    first = [node for node in nodes if node.op_type == "Conv" and node.input[0] in evened]
    return [node.name for node in (*before, *first, *behind)]


@contextlib.contextmanager
def _prepared(fp32: Path) -> Iterator[Path]:
    """The net with its constants folded, as quantize_static needs it."""
    with tempfile.TemporaryDirectory() as scratch, _quiet():
        prepared = Path(scratch) / "prepared.onnx"
        quant_pre_process(str(fp32), str(prepared), skip_symbolic_shape=True)
        yield prepared


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence quantize_static. It recommends its pre-processing in the root logger even after this was done."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(before)
