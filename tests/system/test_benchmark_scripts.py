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


def test_the_fleet_benchmark_asks_every_station_and_shows_it(tmp_path: Path) -> None:
    out = tmp_path / "fleet.json"
    run("benchmarks/fleet.py", "--stations", "5", "--every-s", "1", "--seconds", "1.5", "--out", str(out))
    found = json.loads(out.read_text())
    assert (found["answered"], found["shown"]) == (5, 5)
    assert 0 < found["core_share_poll"] < 1


def plain_here(envs: Path) -> None:
    """The plain loop's environment is this one: an interpreter under the name that the harness expects."""
    python = envs / "plain" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (envs / "plain" / "installed").touch()


def test_a_peer_reports_every_part_to_plc_and_broker(tmp_path: Path) -> None:
    plain_here(tmp_path)
    out = tmp_path / "regimes.json"
    chosen = ["plain", "--envs", str(tmp_path), "--before", str(ROOT)]
    work = ["--regimes", "10 parts/s", "--loads", "0.3", "--seconds", "3"]
    table = run("benchmarks/peers/regimes.py", *chosen, *work, "--out", str(out))
    rounds = json.loads(out.read_text())
    assert [found["product"] for found in rounds] == ["plain", "before"]
    for found in rounds:
        assert found["unaccounted"] == 0
        assert found["pipeline_frames_per_s"] > 0
        assert found["whole_parts"] > 0
        assert found["capture_to_plc_ms"]["n"] > 0
    assert "| 10 parts/s | 0.3 | plain |" in table


def test_the_peers_harness_measures_the_plain_loop(tmp_path: Path) -> None:
    plain_here(tmp_path)
    out = tmp_path / "peers.json"
    chosen = ["plain", "--envs", str(tmp_path), "--only", "overload", "--repeats", "1", "--seconds", "1"]
    run("benchmarks/peers/run.py", *chosen, "--out", str(out))
    figures = json.loads(out.read_text())[0]["products"]["plain"]["overload"]
    assert figures["frames_per_s"] > 0
    assert figures["offered"] > figures["lost"] >= 0
    assert figures["lost_reported"] is not None


def test_the_cost_of_a_part_is_measured_in_each_thread() -> None:
    table = run("benchmarks/part_cost.py", "--views", "2", "--parts", "10", "--rounds", "1")
    rows = [line.split(" | ") for line in table.splitlines()[2:]]
    assert [cells[0] for cells in rows] == ["| 2, inspected", "| 2, refused"]
    assert all(float(cell.strip(" |")) > 0 for cells in rows for cell in cells[1:])


def test_the_cost_of_a_large_frame_is_measured_step_by_step() -> None:
    table = run("benchmarks/frame_cost.py", "--side", "512", "--rounds", "1")
    rows = [line.split(" | ") for line in table.splitlines()[2:]]
    assert [cells[0] for cells in rows][:2] == ["| look at the picture", "| windows"]
    assert all(float(cell.strip(" |")) > 0 for cells in rows for cell in cells[1:])
