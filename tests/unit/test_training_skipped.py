"""Without PyTorch the tests of training are skipped aloud, and in CI their absence fails."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.training import REQUIRED

ROOT = Path(__file__).parents[2]
TESTS = "tests/unit/test_training.py"
TESTS_FOLDER = ROOT / "tests"
LEFT_OUT = re.compile(r"importorskip\(.(torch|onnx|onnxscript).[,)]")


@pytest.fixture
def no_torch(tmp_path: Path) -> dict[str, str]:
    """An environment in which torch cannot be imported."""
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('torch', name='torch')\n")
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    return {**{key: value for key, value in os.environ.items() if key != REQUIRED}, "PYTHONPATH": path}


def run(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", TESTS, "-p", "no:cacheprovider"]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_make_test_says_at_its_end_what_was_skipped_and_how_to_run_it(no_torch: dict[str, str]) -> None:
    told = run(no_torch).stdout
    assert f"PyTorch is not installed: 1 in {TESTS}. Run them: make test-training" in told


def test_where_the_tests_must_run_a_missing_torch_is_a_failure(no_torch: dict[str, str]) -> None:
    done = run({**no_torch, REQUIRED: "1"})
    assert done.returncode not in (0, 5)
    assert "No module named" in done.stdout or "ModuleNotFoundError" in done.stdout


def test_make_runs_every_file_that_needs_training() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert "check: lint types layers coverage site test test-training\n" in makefile
    assert "grep -rl --include='test_*.py' '^ *needs_training()' tests" in makefile
    assert f"{REQUIRED}=1" in makefile
    asking = [path.name for path in TESTS_FOLDER.rglob("test_*.py") if LEFT_OUT.search(path.read_text())]
    assert asking == [], "make test-training would never run these"
