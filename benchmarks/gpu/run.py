"""Measures the speed of the shipped networks on a GPU: `python benchmarks/gpu/run.py`. Prints a table, writes JSON.

Needs `pip install '.[gpu]' onnx`. For a trial on the CPU provider: `--providers cpu --batches 1 2 --seconds 0.2`.
TensorRT first builds an engine for each size, which takes minutes. The engines are kept in the folder of `--cache`.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import tempfile
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Any

import onnxruntime
from reshaped import Shaped, reshaped
from session import PROVIDERS, Buffers, Call, calls, open_session, pinned

Row = dict[str, Any]

NETWORKS = ("tile-1.1", "magnetic-tile-1.6")
_WARM_UPS = 5


def timed(steps: list[Call], seconds: float) -> Row:
    """Ms for all steps together, after a few runs that do not count."""
    for _ in range(_WARM_UPS):
        for call in steps:
            call()
    took: list[float] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(took) < _WARM_UPS:
        begun = time.perf_counter()
        for call in steps:
            call()
        took.append((time.perf_counter() - begun) * 1000)
    took.sort()
    return {"times": len(took), "p50_ms": took[len(took) // 2], "p99_ms": took[int(len(took) * 0.99)]}


@dataclass(frozen=True, slots=True)
class Trial:
    """The provider, the duration of each measurement, and the folder for TensorRT's engines."""

    provider: str
    seconds: float
    cache: Path

    def measure(self, work: str, networks: list[Shaped], batch: int, most: int) -> list[Row]:
        """Run all networks on a batch, one after the other: a row for each way to call and each kind of memory."""
        buffers = [Buffers(shaped, batch) for shaped in networks]
        sessions = [open_session(shaped, self.provider, most, self.cache) for shaped in networks]
        ways = [calls(session, each) for session, each in zip(sessions, buffers, strict=True)]
        rows = []
        for memory in ("pageable",) if self.provider == "cpu" else ("pageable", "pinned"):
            with pinned(buffers) if memory == "pinned" else nullcontext():
                for way in ways[0]:
                    found = timed([each[way] for each in ways], self.seconds)
                    found["frames_per_s"] = batch / found["p50_ms"] * 1000
                    rows.append({"work": work, "provider": self.provider, "call": way, "memory": memory, **found})
                    print(_line(rows[-1]), flush=True)
        return rows


def main() -> None:
    """The ensemble, then one network by batch size, on each provider."""
    given = _arguments()
    rows: list[Row] = []
    print("| work | provider | call | memory | p50 ms | p99 ms | frames/s |\n|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory(prefix="gpu-bench-") as name:
        folder = Path(name)
        cache = given.cache or folder
        for provider in given.providers or _offered():
            trial = Trial(provider, given.seconds, cache)
            height, width = given.ensemble
            parts = [reshaped(NETWORKS[number % 2], height, width, folder) for number in range(given.networks)]
            work = f"{given.frames} x {height} x {width}, {given.networks} networks"
            rows += trial.measure(work, parts, given.frames, given.frames)
            tile = reshaped(NETWORKS[0], given.tile, given.tile, folder)
            for batch in given.batches:
                rows += trial.measure(f"{batch} x {given.tile} x {given.tile}", [tile], batch, max(given.batches))
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps({"about": _about(), "rows": rows}, indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--providers", nargs="*", choices=list(PROVIDERS), help="default: all that are offered")
    parser.add_argument("--ensemble", type=int, nargs=2, default=(256, 1248), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--networks", type=int, default=4, help="of the ensemble")
    parser.add_argument("--tile", type=int, default=512)
    parser.add_argument("--batches", type=int, nargs="*", default=(1, 2, 4, 8, 16, 32, 64))
    parser.add_argument("--seconds", type=float, default=3.0, help="for each row")
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/gpu.json"))
    return parser.parse_args()


def _offered() -> list[str]:
    offered = onnxruntime.get_available_providers()
    return [name for name, provider in PROVIDERS.items() if provider in offered]


def _line(row: Row) -> str:
    figures = f"{row['p50_ms']:.2f} | {row['p99_ms']:.2f} | {row['frames_per_s']:.0f}"
    return f"| {row['work']} | {row['provider']} | {row['call']} | {row['memory']} | {figures} |"


def _about() -> dict[str, str]:
    smi = which("nvidia-smi")
    query = [str(smi), "--query-gpu=name,driver_version", "--format=csv,noheader"]
    gpu = subprocess.run(query, capture_output=True, text=True, check=False).stdout.strip() if smi else "none"
    return {"gpu": gpu, "onnxruntime": onnxruntime.__version__, "python": platform.python_version()}


if __name__ == "__main__":
    main()
