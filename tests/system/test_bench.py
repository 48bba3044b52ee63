"""`edge-inspector bench` on a line of a few seconds: its wide budgets hold on any machine that runs the tests."""

import json
from pathlib import Path

import pytest

from edge_inspector.cli import main

BUDGETS = Path(__file__).parents[2] / "benchmarks" / "budgets.toml"

pytestmark = pytest.mark.system


def test_the_budgets_hold_and_the_figures_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["bench", "throughput", "--model", "magnetic-tile-1.6", "--seconds", "4", "--repeats", "1"]
    assert main([*arguments, "--out", str(tmp_path), "--budgets", str(BUDGETS)]) == 0, capsys.readouterr().err
    found = json.loads((tmp_path / "throughput.json").read_text())
    assert found["about"]["model"] == "magnetic-tile-1.6"
    assert found["throughput"]["pipeline_frames_per_s"] > 5
    assert found["throughput"]["asked_frames_per_s"] > found["throughput"]["raw_frames_per_s"]
    assert found["throughput"]["offered_frames_per_s"] > 0.8 * found["throughput"]["asked_frames_per_s"]
    assert found["throughput"]["not_inspected"] > 0, "it was offered more than it could take"


def test_a_frame_leaves_nothing_behind_and_takes_no_new_pages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["bench", "allocations", "--out", str(tmp_path), "--budgets", str(BUDGETS)])
    assert code == 0, capsys.readouterr().err
    found = json.loads((tmp_path / "allocations.json").read_text())["allocations"]
    assert found["allocated_bytes"] > 5 * 128 * 128, "its mask at least"


def test_an_unknown_benchmark_is_refused_with_the_names_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "speed"]) == 2
    assert "no benchmark 'speed'. There are: throughput" in capsys.readouterr().err
