"""The benchmarks that nobody runs in CI still run: on the CPU, with sizes that say nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> str:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True, timeout=200
    ).stdout.decode()


def test_the_gpu_benchmark_runs_on_the_cpu_provider(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    sizes = ["--frames", "1", "--networks", "1", "--ensemble", "256", "256", "--tile", "256", "--batches", "1"]
    table = run("benchmarks/gpu/run.py", "--providers", "cpu", *sizes, "--seconds", "0.01", "--out", str(out))
    rows = json.loads(out.read_text())["rows"]
    assert [(row["work"], row["call"]) for row in rows] == [
        (work, call) for work in ("1 x 256 x 256, 1 networks", "1 x 256 x 256") for call in ("run", "binding")
    ]
    assert all(row["frames_per_s"] > 0 for row in rows)
    assert table.count("\n") == 2 + len(rows)


def test_the_peers_harness_measures_the_plain_loop(tmp_path: Path) -> None:
    """Its environment is this one: an interpreter under the name that the harness expects."""
    python = tmp_path / "plain" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (tmp_path / "plain" / "installed").touch()
    out = tmp_path / "peers.json"
    chosen = ["plain", "--envs", str(tmp_path), "--only", "overload", "--repeats", "1", "--seconds", "1"]
    run("benchmarks/peers/run.py", *chosen, "--out", str(out))
    figures = json.loads(out.read_text())[0]["products"]["plain"]["overload"]
    assert figures["frames_per_s"] > 0
    assert figures["offered"] > figures["lost"] >= 0
    assert figures["lost_reported"] is not None
