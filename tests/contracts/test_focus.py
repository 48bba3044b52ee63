"""`edge-inspector focus`: figures to set a lens by, with any driver."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_inspector.cli import main

LINE = re.compile(
    r"sharpness +([\d.]+) \(best +([\d.]+)\) \[#* *\]  mean +([\d.]+)  dark +([\d.]+)%  saturated +([\d.]+)%"
)

STATION = """\
[station]
name = "s"
recipe = "recipe.toml"
[line]
counts_per_mm = 10
speed_max_mm_s = 1000
gate_mm = 1000
[encoder]
driver = "simulated"
[[cameras]]
name = "top"
driver = "folder"
offset_mm = 300
mm_per_px = 0.2
settings = { path = "pictures", interval_ms = 50, repeat = true }
[[plcs]]
name = "plc"
driver = "s7"
"""


@pytest.fixture
def station(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    noise = np.random.default_rng(1).integers(20, 60, (64, 64), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "pictures" / "0.png"), noise)
    (tmp_path / "station.toml").write_text(STATION)
    return tmp_path / "station.toml"


def test_a_station_s_camera_without_recipe_or_model(station: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["focus", "top", "--station", str(station), "--count", "2"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    found = LINE.match(first)
    assert found is not None
    sharpness, best, mean, dark, saturated = map(float, found.groups())
    assert sharpness == best == pytest.approx(41, abs=3)
    assert mean == pytest.approx(39.5, abs=1)
    assert (dark, saturated) == (0, 0)
    assert LINE.match(second)


@pytest.mark.parametrize(
    ("which", "changes", "told"),
    [
        ("rear", ("", ""), "cameras: none is called 'rear': top"),
        ("top", ("repeat", "again"), "cameras.0.settings.again ('top'): unknown key. Keys here: grey,"),
        ("top", ("offset_mm", "place_mm"), "cameras.0.offset_mm ('top'): is missing. Write offset_mm = ..., a number"),
    ],
)
def test_a_wrong_name_or_station_file(
    station: Path, capsys: pytest.CaptureFixture[str], which: str, changes: tuple[str, str], told: str
) -> None:
    station.write_text(STATION.replace(*changes))
    assert main(["focus", which, "--station", str(station)]) == 2
    assert told in capsys.readouterr().err


def test_a_camera_by_address_or_serial_runs_freely(gige: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for which in (gige.address, gige.serial):
        assert main(["focus", which, "--count", "1"]) == 0
        assert LINE.match(capsys.readouterr().out)


def test_what_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["focus", str(tmp_path / "nothing.avi")]) == 1
    assert "does not exist" in capsys.readouterr().err


def test_ctrl_c_ends_it(station: Path) -> None:
    command = [sys.executable, "-m", "edge_inspector", "focus", "top", "--station", str(station)]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as shown:
        assert shown.stdout is not None
        assert LINE.match(shown.stdout.readline())
        shown.send_signal(signal.SIGINT)
        began = time.monotonic()
        assert shown.wait(10) == 0
        assert time.monotonic() - began < 5
        assert shown.stderr is not None
        assert "Traceback" not in shown.stderr.read()
