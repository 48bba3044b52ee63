"""The whole station on a line whose counter falls or is narrow: as described, and not as described."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_inspector.simulation.demo import Demo
from edge_inspector.simulation.options import DemoOptions

pytestmark = pytest.mark.system


class Described(Demo):
    """The station file, once written, says `told` where it said `true`."""

    def __init__(self, folder: Path, *, true: str = "", told: str = "", **line: Any) -> None:
        super().__init__(DemoOptions(parts=14, cameras=2, model_ms=5.0, speed_mm_s=800.0), folder)
        self.line = replace(self.line, **line)
        self._true, self._told = true, told

    def _write_files(self, line_file: Path) -> None:
        super()._write_files(line_file)
        station = self.folder / "station.toml"
        assert self._true in station.read_text()
        station.write_text(station.read_text().replace(self._true, self._told, 1))

    def run(self) -> dict[str, Any]:
        """Its report."""
        with self.running():
            self.play()
            return self.finish()


def test_a_counter_that_falls_and_is_narrow_is_followed_as_any_other(tmp_path: Path) -> None:
    report = Described(tmp_path, falling=True, modulo=20_000).run()
    assert report["verdicts"] == report["parts_triggered"] == report["gate_hits"] == 14
    assert report["not_inspected"] == report["gate_wrong_part"] == report["position_bound_broken"] == 0
    assert report["encoder_epochs"] == 1


def test_a_counter_that_falls_unannounced_inspects_nothing_and_says_what_to_type(tmp_path: Path) -> None:
    report = Described(tmp_path, true="counts_per_mm = -10.0", told="counts_per_mm = 10.0", falling=True).run()
    assert report["not_inspected_reasons"] == {"position_unknown": 14}
    assert report["gate_hits"] == 14, "the PLC knows where its parts are"
    assert report["gate_wrong_part"] == 0
    assert "or write line.counts_per_mm = -10.0" in (tmp_path / "daemon.log").read_text()


def test_a_counter_that_wraps_unannounced_is_told_with_its_width(tmp_path: Path) -> None:
    limits = "counter_lowest = 0\ncounter_highest = 19999\n"
    report = Described(tmp_path, true=limits, modulo=20_000).run()
    assert report["verdicts"] == report["parts_triggered"] == 14
    assert report["not_inspected_reasons"]["position_unknown"] > 3
    assert "Write encoder.counter_lowest = 0, counter_highest = 19999" in (tmp_path / "daemon.log").read_text()
