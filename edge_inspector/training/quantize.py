"""Static INT8 for CPUs: QDQ, unsigned activations, signed weights per channel, range reduced to seven bits.

The reduced range is not optional: without VNNI the 8-bit multiply-add saturates, silently, and the mask with it.
`disagreement` shows it, as the unoptimised graph computes in float what the optimised one computes in integers.
"""

import logging
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

METHOD: Final = "MinMax, U8S8 per-channel reduce_range"
# Normalisation and sigmoid stay in float: they are cheap, and the sigmoid's steep middle needs the precision.
_QUANTISED_OPS: Final = ["Conv", "Add", "Resize"]


class _Frames(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, images: Sequence[NDArray[np.uint8]]) -> None:
        self._images: Iterator[NDArray[np.uint8]] = iter(images)

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        image = next(self._images, None)
        return None if image is None else {"image": image[np.newaxis]}


def quantize(fp32: Path, int8: Path, images: Sequence[NDArray[np.uint8]]) -> None:
    """Calibrate on the images [H, W, C] and write the INT8 file."""
    # quantize_static advises its own pre-processing through the root logger even where it was done.
    logging.getLogger().setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as scratch:
        prepared = Path(scratch) / "prepared.onnx"
        quant_pre_process(str(fp32), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(int8),
            _Frames(images),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=_QUANTISED_OPS,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )


def open_session(path: Path, *, optimised: bool = True) -> ort.InferenceSession:
    """Open a file for one thread on the CPU."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    level = ort.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimised else level.ORT_DISABLE_ALL
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def disagreement(int8: Path, images: Sequence[NDArray[np.uint8]]) -> float:
    """Share of mask values that differ by more than 0.1 in probability between the two graphs of one file."""
    fast, plain = open_session(int8), open_session(int8, optimised=False)
    far = []
    for image in images:
        feed = {"image": image[np.newaxis]}
        difference = fast.run(None, feed)[0].astype(np.int16) - plain.run(None, feed)[0].astype(np.int16)
        far.append(float(np.mean(np.abs(difference) > 25)))
    return float(np.mean(far))


def ms_per_frame(path: Path, image: NDArray[np.uint8], repeats: int = 50) -> float:
    """Median time of one frame on one thread."""
    session, feed = open_session(path), {"image": image[np.newaxis]}
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        session.run(None, feed)
        times.append((time.perf_counter() - start) * 1e3)
    return float(np.median(times))
