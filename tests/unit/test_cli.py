"""A command line that cannot be done is told so, at once, with exit code 2. A command loads no code of another."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import edge_inspector
from edge_inspector.cli import COMMANDS, main
from edge_inspector.commands import demo
from edge_inspector.simulation.options import DemoOptions

PACKAGE = Path(edge_inspector.__file__).parent

DEMO = {
    "seed": ["--seed", "-5"],
    "speed": ["--speed-mm-s", "inf"],
    "pitch": ["--pitch-mm", "inf"],
    "kill without a time": ["--kill", "plc"],
    "kill of something else": ["--kill", "line@3"],
    "kill at no number": ["--kill", "plc@²"],
    "cameras that are no processes": ["--kill", "camera@3"],
    "loss": ["--loss", "0.5"],
    "line scan": ["--line-scan"],
    "model": ["--model", "nosuch"],
    "shadow": ["--shadow", "nosuch/fp32"],
    "frames": ["--frames", "{tmp}/nosuch"],
    "frames without any": ["--frames", "{tmp}"],
    "report": ["--report", "{tmp}/nosuch/report.json"],
    "report that is a folder": ["--report", "{tmp}"],
    "keep": ["--keep", "{tmp}/file"],
}
OTHERS = {
    "an instant before all time": ["export", "{tmp}", "--out", "{tmp}/out", "--from", "0001-01-01T00:00+14:00"],
    "an instant after all time": ["export", "{tmp}", "--out", "{tmp}/out", "--to", "9999-12-31T23:59-14:00"],
    "a recipe that no store could name": ["reference", "{tmp}", "--recipe", "9" * 23],
    "no camera": ["focus", ""],
    "a folder for the figures that is a file": ["bench", "latency", "--out", "{tmp}/file"],
}


def exit_code(words: Sequence[str], folder: Path) -> int | str | None:
    try:
        return main([word.replace("{tmp}", str(folder)) for word in words])
    except SystemExit as ended:
        return ended.code


@pytest.mark.parametrize("words", [pytest.param(words, id=name) for name, words in DEMO.items()])
def test_the_demo_starts_nothing_that_it_cannot_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    (tmp_path / "file").touch()
    assert exit_code(["demo", "--parts", "1", *words], tmp_path) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert words[0] in said.err or str(tmp_path) in said.err


@pytest.mark.parametrize("words", [pytest.param(words, id=name) for name, words in OTHERS.items()])
def test_a_word_that_nothing_can_be_done_with_is_a_wrong_command_line(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "file").touch()
    assert exit_code(words, tmp_path) == 2


def loaded(code: str) -> set[str]:
    """The modules that a new process has after this code."""
    program = f"import sys; {code}; print(*[name for name, module in sys.modules.items() if module])"
    path = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, env=path)
    return set(done.stdout.split())


def test_each_command_is_a_file_and_a_line_of_the_table() -> None:
    files = {path for path in (PACKAGE / "commands").rglob("*.py") if "def add_arguments(" in path.read_text()}
    models = {path for path in files if path.parent.name == "model"}
    assert {path.stem for path in files - models} | {"model"} == set(COMMANDS)
    assert {path.stem.replace("_labels", "") for path in models} == {
        "__init__", "train", "quantize", "evaluate", "guard", "show", "compare", "export", "import", "quick",
        "wrap", "teach", "suspects", "kinds", "join", "limits",
    }  # fmt: skip


def test_a_command_loads_no_code_of_another() -> None:
    modules = loaded("from edge_inspector.cli import build_parser; build_parser(['run'])")
    own = {"edge_inspector.commands", "edge_inspector.commands.arguments", "edge_inspector.commands.run"}
    assert {name for name in modules if name.startswith("edge_inspector.commands")} == own
    assert not {name for name in modules if name.startswith(("edge_inspector.simulation", "edge_inspector.training"))}
    assert not modules & {"torch", "onnx"}


def test_the_list_of_commands_needs_no_library() -> None:
    assert not loaded("from edge_inspector.cli import build_parser; build_parser([])") & {"numpy", "cv2", "pydantic"}


def test_every_command_explains_itself_without_the_extras() -> None:
    absent = "sys.modules.update(torch=None, onnx=None, onnxruntime=None, openvino=None)"
    loaded(f"{absent}; from edge_inspector.cli import build_parser; build_parser()")


def test_what_is_not_asked_of_the_demo_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[DemoOptions] = []

    def run_demo(options: DemoOptions) -> int:
        asked.append(options)
        return 0

    monkeypatch.setattr(demo, "run_demo", run_demo)
    assert main(["demo"]) == 0
    assert main(["demo", "--kill", "plc@3", "--kill", "broker@5", "--gige", "--frames", "parts", "--seed", "0"]) == 0
    assert asked == [
        DemoOptions(),
        DemoOptions(kills=["plc@3", "broker@5"], gige=True, frames=Path("parts"), seed=0),
    ]
