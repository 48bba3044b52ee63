"""What of a camera is wrong on paper, and what `check` says of its pictures."""

from pathlib import Path

import numpy as np
import pytest

from edge_inspector.cli import main
from edge_inspector.commands.check import CheckLine, _place, _uncompared
from edge_inspector.errors import DeviceError
from edge_inspector.inspection.line_figures import Grade
from edge_inspector.records import Frame
from edge_inspector.station.load import load_station

STATION = """\
[station]
name = "press-3"
recipe = "recipe.toml"
[line]
counts_per_mm = 10
speed_max_mm_s = 600
gate_mm = 900
[encoder]
driver = "s7"
settings = { host = "192.0.2.1" }
[segmenter]
driver = "simulated"
[[cameras]]
name = "top"
driver = "opencv"
offset_mm = 200
mm_per_px = 0.2
settings = { SETTINGS }
[[plcs]]
name = "plc"
driver = "s7"
settings = { host = "192.0.2.1" }
"""
RECIPE = """\
id = 4
name = "tile"
model = "none-1.0"
views = ["top"]
part_length_mm = 80
min_pitch_mm = 100
position_tolerance_mm = 12
[classes]
defect = { min_area_mm2 = 2 }
"""


@pytest.fixture
def write(tmp_path: Path) -> Path:
    (tmp_path / "recipe.toml").write_text(RECIPE)
    return tmp_path / "station.toml"


def test_a_stream_without_its_latency_is_no_configuration(write: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write.write_text(STATION.replace("SETTINGS", 'source = "rtsp://10.0.0.5/1"'))
    assert main(["check", str(write)]) == 2
    told = capsys.readouterr().err
    assert "cameras.0.settings ('top'): latency_ms is missing" in told
    assert "edge-inspector focus URL --latency" in told


def test_no_fault_of_a_station_file_shows_a_password(write: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write.write_text(STATION.replace("SETTINGS", 'fps = "rtsp://admin:S3cret@10.0.0.5/1"'))
    assert main(["check", str(write)]) == 2
    told = capsys.readouterr()
    assert "***@10.0.0.5/1" in told.err
    assert "S3cret" not in told.out + told.err


@pytest.mark.parametrize(
    ("error_ms", "count", "good"), [(0, None, True), (20, None, True), (21, None, False), (21, 7, True)]
)
def test_pictures_that_could_show_another_part_are_a_fault_of_check(
    write: Path,
    error_ms: int,
    count: int | None,
    good: bool,  # noqa: FBT001
) -> None:
    """12 mm are 20 ms at 600 mm/s; where the camera counts the encoder itself, nobody asks when it was."""
    write.write_text(STATION.replace("SETTINGS", 'source = "/dev/video0"'))
    station = load_station(write)
    frame = Frame(
        "top",
        1,
        0,
        0,
        received_ns=0,
        image=np.zeros((2, 2), np.uint8),
        encoder_count=count,
        captured_error_ns=error_ms * 1_000_000,
    )
    if good:
        _place(station, frame)
        return
    with pytest.raises(DeviceError, match=r"top: .* 21 ms .* 13 mm .* position_tolerance_mm = 12.*latency_error_ms"):
        _place(station, frame)


def test_an_area_that_no_picture_was_compared_with_is_told(write: Path) -> None:
    write.write_text(STATION.replace("SETTINGS", 'source = "/dev/video0"'))
    area = "[regions.top]\nx_mm = 0\ny_mm = 0\nwidth_mm = 40\nheight_mm = 30\n"
    write.with_name("recipe.toml").write_text(RECIPE + area)
    station = load_station(write)
    what = "regions.top of recipe 4 was not compared with a picture, because top gave none: trigger it while check runs"
    assert list(_uncompared(station, {})) == [CheckLine("picture", "top", what, Grade.WARN)]
    frame = Frame("top", 1, 0, 0, received_ns=0, image=np.zeros((2, 2), np.uint8))
    assert list(_uncompared(station, {"top": frame})) == []
