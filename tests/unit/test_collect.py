"""A station without a model collects pictures: nothing that it says can ever accept or reject a part."""

from pathlib import Path

import numpy as np
import pytest

from edge_inspector.cli import main
from edge_inspector.codes import Reason
from edge_inspector.commands import collect, export_dataset
from edge_inspector.inspection.view import Look
from edge_inspector.records import Frame
from edge_inspector.station.load import Station

STATION = """\
[station]
name = "press-3"
recipe = "recipe.toml"
[line]
counts_per_mm = 10
speed_max_mm_s = 1000
gate_mm = 900
[encoder]
driver = "s7"
settings = { host = "192.0.2.1" }
[shadow]
model = "none-2.0"
[[cameras]]
name = "left"
driver = "opencv"
offset_mm = 200
mm_per_px = 0.2
settings = { source = "/dev/video0" }
[[plcs]]
name = "plc"
driver = "s7"
settings = { host = "192.0.2.1" }
"""
RECIPE = """\
id = 4
name = "tile"
model = "none-1.0"
views = ["left"]
part_length_mm = 100
min_pitch_mm = 120
position_tolerance_mm = 5
[classes.pit]
min_area_mm2 = 2
"""


class Stopped:
    """Takes the place of the daemon, and keeps the station that it would have run."""

    station: Station

    def __init__(self, station: Station) -> None:
        Stopped.station = station

    def run(self) -> int:
        return 0


def test_a_station_without_a_model_runs_and_judges_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "recipe.toml").write_text(RECIPE)
    (tmp_path / "station.toml").write_text(STATION)
    monkeypatch.setattr(collect, "Daemon", Stopped)
    monkeypatch.setattr(collect, "set_up_logging", lambda: None)
    assert main(["collect", str(tmp_path / "station.toml")]) == 0
    said = capsys.readouterr().out
    assert "every part is NOT_INSPECTED" in said
    assert "keep its air off" in said
    assert "edge-inspector model quick" in said

    station = Stopped.station
    assert station.shadow is None
    station.segmenter.open()
    image = np.zeros((100, 201), np.uint8)
    (mask,) = station.segmenter.segment([image])
    assert mask.shape == (1, 13, 26)
    frame = Frame("left", 12, 1000, exposure_ns=200, received_ns=1500, image=image, encoder_count=77)
    look = Look(lambda: list(station.recipes.values()), station.segmenter.info, {"left": 0.2}, {"left": 0.2})
    view = look(frame, mask, begun_ns=1_600, inference_ns=5_000)
    assert (view.defects, view.failure) == ((), Reason.INFERENCE_FAILED)


def test_its_invalid_masks_are_never_exported_as_defects() -> None:
    planes = {"pit": np.full((4, 4), 255, np.uint8), "crack": np.full((4, 4), 255, np.uint8)}
    assert export_dataset._is_void(planes)
    planes["pit"][0, 0] = 254
    assert not export_dataset._is_void(planes)
