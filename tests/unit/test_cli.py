"""A command line that cannot be done is told so, at once, with exit code 2."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from edge_inspector.cli import main

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
