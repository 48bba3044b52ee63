import ast
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "edge_inspector"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(PACKAGE, tmp_path / "edge_inspector", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    # The command itself, but looking at the copy instead of the installed package.
    program = (
        "import os, sys; sys.path.insert(0, os.getcwd()); from importlinter import cli; cli.lint_imports_command()"
    )
    return subprocess.run(
        [sys.executable, "-c", program, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False
    )


def test_the_layers_hold(copy: Path) -> None:
    result = lint_imports(copy)
    assert result.returncode == 0, result.stdout


def test_a_stray_module_fails_the_gate(copy: Path) -> None:
    (copy / "edge_inspector" / "utils.py").write_text('"""Odds and ends."""\n')
    result = lint_imports(copy)
    assert result.returncode != 0
    assert "utils" in result.stdout


@pytest.mark.parametrize(
    ("module", "wrong"),
    [
        ("inspection/defects.py", "from edge_inspector.stages.judge import Judge"),
        ("cameras/folder.py", "from edge_inspector.cameras.opencv import OpenCvCamera"),
        ("stages/judge.py", "from edge_inspector.stages.report import Report"),
        ("daemon.py", "import torch"),
        ("simulation/demo.py", "from benchmarks.chaos.line import ChaosLine"),
    ],
)
def test_a_wrong_import_fails_the_gate(copy: Path, module: str, wrong: str) -> None:
    file = copy / "edge_inspector" / module
    file.write_text(file.read_text() + f"\n{wrong}\n")
    result = lint_imports(copy)
    assert result.returncode != 0
    assert "BROKEN" in result.stdout


def test_there_is_one_clock() -> None:
    offenders = [
        str(path.relative_to(ROOT))
        for path in PACKAGE.rglob("*.py")
        if re.search(r"\btime\.time\(|datetime\.now\(|utcnow\(", path.read_text())
        and path.relative_to(PACKAGE).as_posix() != "runtime/clock.py"
    ]
    assert offenders == []


def test_no_worker_thread_is_a_daemon_thread() -> None:
    offenders = [path.name for path in PACKAGE.rglob("*.py") if "daemon=True" in path.read_text()]
    # The one that writes the log holds no part, and may hang in a terminal that is paused when all others have ended.
    assert offenders == ["logs.py"]


def test_each_class_has_a_name_of_its_own() -> None:
    names = Counter(
        node.name
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and node.name != "Settings"  # of each driver
    )
    assert [name for name, count in names.items() if count > 1] == []
