"""`python -m benchmarks.kserve figures` or `chaos`, against real servers.

Each server is in an environment of its own, and a variable names its Python: EDGE_TRITON_PYTHON, EDGE_MLSERVER_PYTHON.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.kserve.line import MODEL, chaos, serving
from benchmarks.kserve.servers import ENVIRONMENTS, why_not
from edge_inspector.drivers import Segmenter
from edge_inspector.records import Image
from edge_inspector.segmenters.kserve import KserveSegmenter
from edge_inspector.segmenters.onnx import OnnxSegmenter
from edge_inspector.simulation.station_files import models_dir

_TURNS: Final = 10
KEPT: Final = ("unaccounted", "duplicates", "gate_wrong_part", "gate_misses", "late")
"""What must be 0, whatever happens to the servers."""
_TOLD: Final = ("parts_triggered", "verdicts", *KEPT, "not_inspected", "not_inspected_reasons", "escapes", "duration_s")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what was measured as JSON. 1 if a promise was broken or no server is installed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("figures", "chaos"))
    parser.add_argument("--servers", nargs="+", choices=list(ENVIRONMENTS), default=["triton"])
    parser.add_argument("--calls", type=int, default=300, help="calls one after the other")
    parser.add_argument("--seconds", type=float, default=10.0, help="of calls from two threads at once")
    parser.add_argument("--parts", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    missing = [why for kind in given.servers if (why := why_not(kind))]
    if missing:
        print("\n".join(missing), file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="edge-inspector-kserve-") as folder:
        if given.what == "chaos":
            found = chaos(given.servers, Path(folder), parts=given.parts, seed=given.seed)
            print(json.dumps({"seed": given.seed, "faults": found["faults"]} | {key: found[key] for key in _TOLD}))
            return int(any(found[key] for key in KEPT))
        print(json.dumps(figures(given.servers, Path(folder), given.calls, given.seconds), indent=1))
    return 0


def figures(kinds: Sequence[str], folder: Path, calls: int, seconds: float) -> dict[str, Any]:
    """Latency in ms and pictures per second of the local model, and of each server, copied and by shared memory."""
    with serving(kinds, folder) as servers:
        ways: dict[str, Segmenter] = {
            "local ONNX Runtime": OnnxSegmenter(models_dir() / MODEL, OnnxSegmenter.Settings())
        }
        for server in servers:
            for shared in (False, True) if server.kind == "triton" else (False,):
                way = f"{server.kind}, {'shared memory' if shared else 'loopback gRPC'}"
                ways[way] = _remote(server.address, shared=shared)
        try:
            for segmenter in ways.values():
                segmenter.open()
            return _by_turns(ways, calls, seconds)
        finally:
            for segmenter in ways.values():
                segmenter.close()


def _by_turns(ways: Mapping[str, Segmenter], calls: int, seconds: float) -> dict[str, Any]:
    """Each way again and again, so that other work on the machine falls on all of them."""
    took: dict[str, list[float]] = {way: [] for way in ways}
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(_TURNS):
        for way, segmenter in ways.items():
            took[way] += _latencies(segmenter, calls // _TURNS)
            rates[way].append(_throughput(segmenter, seconds / _TURNS))
    shares = {way: {f"p{share}_ms": _percentile(took[way], share) for share in (50, 99)} for way in ways}
    return {way: shares[way] | {"per_second": round(sum(rates[way]) / _TURNS, 1)} for way in ways}


def _remote(address: str, *, shared: bool) -> KserveSegmenter:
    settings = KserveSegmenter.Settings(servers=(address,), shared_memory=shared, timeout_ms=5000.0, workers=2)
    return KserveSegmenter(models_dir() / MODEL, settings)


def _picture() -> Image:
    return np.random.default_rng(1).integers(0, 256, (256, 256, 3), dtype=np.uint8)


def _latencies(segmenter: Segmenter, calls: int) -> list[float]:
    """Milliseconds of each call."""
    took, picture = [], _picture()
    for _ in range(calls):
        begun = time.perf_counter()
        segmenter.segment([picture])
        took.append((time.perf_counter() - begun) * 1000)
    return took


def _percentile(took: list[float], share: int) -> float:
    return round(float(np.percentile(took, share)), 2)


def _throughput(segmenter: Segmenter, seconds: float) -> float:
    end, counts = time.monotonic() + seconds, [0, 0]

    def work(at: int) -> None:
        picture = _picture()
        while time.monotonic() < end:
            segmenter.segment([picture])
            counts[at] += 1

    threads = [threading.Thread(target=work, args=(at,)) for at in range(len(counts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return round(sum(counts) / seconds, 1)


if __name__ == "__main__":
    sys.exit(main())
