"""Two INT8 files from one net, both static QDQ.

For CPUs: unsigned activations, signed weights per channel, range reduced to seven bits. The reduced range is not
optional: without VNNI the 8-bit multiply-add saturates, silently, and the mask with it; `runtimes.disagreement` shows
it. For TensorRT: signed and symmetric, every zero point 0, which on such CPUs saturates and must never run there.
"""

import contextlib
import logging
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

CPU_METHOD: Final = "MinMax, U8S8 per-channel reduce_range"
TENSORRT_METHOD: Final = "MinMax, S8S8 symmetric per-channel"
# Normalisation and sigmoid stay in float: they are cheap, and the sigmoid's steep middle needs the precision.
_KEPT_IN_FLOAT: Final = re.compile(r"/encoder/(_conv_stem/|_blocks\.[0-4]/|.*_depthwise_conv/)")
"""lite0 down to an eighth of the resolution, and its depthwise layers: docs/decisions/0031 says why."""
_QUANTISED_OPS: Final = ["Conv", "Add", "Resize", "MaxPool", "Concat"]
_TENSORRT: Final[dict[str, Any]] = {
    "activation_type": QuantType.QInt8,
    "extra_options": {
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
) -> None:
    """Calibrate on the images [H, W, C] and write the CPUs' file."""
    _quantize(fp32, target, images, activation_type=QuantType.QUInt8, reduce_range=reduce_range)


def quantize_for_tensorrt(fp32: Path, target: Path, images: Sequence[NDArray[np.uint8]]) -> None:
    """Calibrate on the images [H, W, C] and write TensorRT's file."""
    _quantize(fp32, target, images, reduce_range=False, **_TENSORRT)


def _quantize(fp32: Path, target: Path, images: Sequence[NDArray[np.uint8]], **how: Any) -> None:
    with tempfile.TemporaryDirectory() as scratch, _quiet():
        prepared = Path(scratch) / "prepared.onnx"
        quant_pre_process(str(fp32), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(target),
            _Frames(images),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=_QUANTISED_OPS,
            nodes_to_exclude=kept_in_float(prepared),
            per_channel=True,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            **how,
        )


def kept_in_float(fp32: Path) -> list[str]:
    """Names of the nodes that eight bits would spoil."""
    return [node.name for node in onnx.load(str(fp32)).graph.node if _KEPT_IN_FLOAT.search(node.name)]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """quantize_static advises its own pre-processing through the root logger even where it was done."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(before)
