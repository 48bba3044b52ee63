"""The campaign of `make wrong` in short: some stations run here, and every mistake finds what it changes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.wrong.__main__ import main
from benchmarks.wrong.mistakes import MISTAKES, RIGHT_ONES
from benchmarks.wrong.station import Mistake, WrongStation
from edge_inspector.simulation.broker import DemoBroker

_ALL = (*RIGHT_ONES, *MISTAKES)


@pytest.mark.parametrize(
    "name",
    [
        "right as it should be",
        "encoder counts_per_mm wrong by 4",
        "plc one forged verdict",
        "camera pictures without a part",
    ],
)
def test_a_station_that_is_wrong_says_so_and_a_right_one_does_not(tmp_path: Path, name: str) -> None:
    report = tmp_path / "report.json"
    assert main(["--only", name, "--report", str(report)]) == 0
    (outcome,) = json.loads(report.read_text())
    assert outcome["parts"] > 20
    assert (outcome["told_after_s"] is None) == name.startswith("right")


@pytest.mark.parametrize("mistake", [each for each in _ALL if each.edit], ids=lambda each: each.name)
def test_a_mistake_changes_the_files_of_the_station(tmp_path: Path, mistake: Mistake) -> None:
    station = WrongStation(tmp_path, mistake, seed=1)
    station.broker = DemoBroker(station.ports["broker"], tmp_path)  # never started: the files name its protocol
    line_file = tmp_path / "line.json"
    station.line.write(line_file)
    try:
        station._write_files(line_file)  # raises ValueError where the text that it changes is not there
    finally:
        for stop in reversed(station.helpers):
            stop()


def test_names_are_unique_and_a_text_that_none_has_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert len({(each.family, each.name) for each in _ALL}) == len(_ALL)
    assert main(["--only", "nothing like this"]) == 2
    assert "no station has 'nothing like this'" in capsys.readouterr().err
