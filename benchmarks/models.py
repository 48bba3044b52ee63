"""Measures every model folder, FP32 and INT8, on every CPU runtime here, and prints one table.

`python benchmarks/models.py tile=tile-line magnetic-tile=DIR runs/other-1.0=DIR`. Each DIR has an index.csv. A model is
one of models/, or any model folder.

Memory is measured in a separate process for each runtime. Times are taken in turn within one process. Mean IoU is over
the classes of defects. "binary" is over "flawed", of any class, and "sound".
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from edge_inspector.segmenters.manifest import Manifest, read_manifest
from edge_inspector.training.judging.evidence import gather_each
from edge_inspector.training.judging.figures import Figures, figures
from edge_inspector.training.judging.limits import confidences_with
from edge_inspector.training.judging.runtimes import blank, cpu_drivers, interleaved_ms, model_predictor
from edge_inspector.training.judging.splits import limits_of, open_judged

MODELS = Path(__file__).parents[1] / "models"
COLUMNS = (
    *("model", "precision", "runtime", "recall", "false rejects", "recall at <= 2 %", "mean IoU", "binary", "AP"),
    *("per class IoU", "ms", "MB", "RSS MB"),
)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", nargs="*", metavar="MODEL=DATA", help="model name, without its version, or folder")
    parser.add_argument("--split", default="val")
    parser.add_argument("--repeats", type=int, default=60)
    parser.add_argument("--parts", type=int, help="judge only the first so many of each, as the rendered line has 2000")
    parser.add_argument("--rss", nargs=3, metavar=("FOLDER", "PRECISION", "DRIVER"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.rss:
        print(_own_rss(Path(given.rss[0]), given.rss[1], given.rss[2]))
        return 0
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}\n")
    print(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|")
    for pair in given.pairs:
        name, _, data = pair.partition("=")
        folder = Path(name) if Path(name).is_dir() else max(MODELS.glob(f"{name}-*"))
        for row in _rows(folder, read_manifest(folder), data, given):
            print(row, flush=True)
    return 0


def _rows(folder: Path, manifest: Manifest, data: str, given: argparse.Namespace) -> Iterator[str]:
    parts = islice(open_judged(data, given.split, manifest).parts(), given.parts)
    kinds = [(precision, driver) for driver in cpu_drivers() for precision in ("fp32", "int8")]
    predicts = [model_predictor(folder, precision, driver)[0] for precision, driver in kinds]
    times = interleaved_ms(predicts, blank(manifest), given.repeats)
    limits = limits_of(manifest)
    seen = gather_each(
        predicts,
        classes=len(manifest.classes),
        stride=manifest.output.stride,
        parts=parts,
        confidences=confidences_with(limits),
    )
    for (precision, driver), each, took in zip(kinds, seen, times, strict=True):
        size = (folder / manifest.files[precision].path).stat().st_size / 1e6  # type: ignore[index]
        command = [sys.executable, __file__, "--rss", str(folder), precision, driver]
        rss = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        found = figures(each, manifest.classes, limits)
        name = f"{manifest.name} ({found.parts}, {found.defective} flawed)"
        yield f"| {name} | {precision} | {driver} | {_cells(found)} | {took:.1f} | {size:.1f} | {rss} |"


def _cells(found: Figures) -> str:
    numbers = [found.part_recall, found.false_reject_rate, found.recall_at_2_percent]
    numbers += [found.mean_iou, found.binary_mean_iou]
    classes = ", ".join(f"{name} {value:.2f}" for name, value in found.iou.items())
    return " | ".join([*(f"{value:.3f}" for value in numbers), f"{found.average_precision['any']:.3f}", classes])


def _own_rss(folder: Path, precision: str, driver: str) -> int:
    """Resident memory, in MB, of a process that has segmented a few frames. It includes the interpreter."""
    predict, _ = model_predictor(folder, precision, driver)
    for _ in range(5):
        predict(blank(read_manifest(folder)))
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) // 1024


if __name__ == "__main__":
    sys.exit(main())
