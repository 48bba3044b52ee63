"""The gain of INT8 for several widths: `python benchmarks/net_widths.py 16,32,64,96,128 24,48,80,112,144`.

Untrained nets of our design run on one window of 256 x 256, in FP32 and INT8 on every CPU runtime here. They take turns
within one process, and CPU time of one thread is measured. The content of a picture does not change the time.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch

from edge_inspector.training.judging.runtimes import cpu_drivers, interleaved_ms, model_predictor
from edge_inspector.training.learning.export import export_onnx
from edge_inspector.training.learning.unet import SIZES, STRIDE, Deployed, SegmentationNet
from edge_inspector.training.shipping.manifest import FILES, Card, Draft
from edge_inspector.training.shipping.quantize import quantize_for_cpu

SHAPE = (256, 256, 3)
CLASSES = ("a", "b", "c", "d", "e")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("widths", nargs="*", default=[",".join(map(str, widths)) for widths in SIZES.values()])
    parser.add_argument("--repeats", type=int, default=40)
    given = parser.parse_args()
    torch.set_num_threads(1)
    kinds = [(precision, driver) for driver in cpu_drivers() for precision in ("fp32", "int8")]
    print(f"| widths | {' | '.join(f'{precision} {driver}, ms' for precision, driver in kinds)} | best / best |")
    print("|---" * (len(kinds) + 2) + "|")
    for text in given.widths:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            _make(folder, tuple(int(width) for width in text.split(",")))
            predicts = [model_predictor(folder, *kind)[0] for kind in kinds]
            times = interleaved_ms(predicts, np.full(SHAPE, 128, np.uint8), given.repeats)
        best = [min(t for (p, _), t in zip(kinds, times, strict=True) if p == want) for want in ("fp32", "int8")]
        print(f"| {text} | {' | '.join(f'{t:.1f}' for t in times)} | {best[0] / best[1]:.2f} |", flush=True)


def _make(folder: Path, widths: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    export_onnx(Deployed([SegmentationNet(SHAPE[2], len(CLASSES), widths).eval()]), folder / FILES["fp32"], SHAPE)
    rng = np.random.default_rng(1)
    frames = [rng.integers(0, 256, SHAPE, dtype=np.uint8) for _ in range(4)]
    quantize_for_cpu(folder / FILES["fp32"], folder / FILES["int8"], frames)
    Draft(Card("width", "1", "none", ""), CLASSES, SHAPE, STRIDE).write(folder)


if __name__ == "__main__":
    main()
