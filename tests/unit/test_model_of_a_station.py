"""The model that a station names is the one that runs; `check` says when it or the limits let everything pass."""

import hashlib
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from edge_inspector.cli import main
from edge_inspector.commands import check
from edge_inspector.errors import ConfigError
from edge_inspector.records import Frame
from edge_inspector.simulation.line import Line
from edge_inspector.simulation.options import DemoOptions
from edge_inspector.simulation.station_files import write_station_files
from edge_inspector.station.load import Station, load_station

LINE = Line(
    seed=1, start_ns=0, speed_mm_s=1000.0, pitch_mm=400.0, part_length_mm=200.0, parts=1, lanes=1, gate_mm=1500.0,
    counts_per_mm=10.0,
)  # fmt: skip
ASSETS = Path(__file__).parents[1] / "assets"
MANIFEST = """
format = 1
name = "tiny"
version = "1.0"
licence = "Apache-2.0"
description = "a mean"
classes = ["dark"]
[input]
height = 32
width = 48
channels = 1
[output]
stride = 2
[files.int8]
path = "model.onnx"
sha256 = "{sha256}"
[limits.dark]
min_confidence = {confidence}
min_area_px = {area}
"""


def station_file(
    folder: Path,
    asset: str = "grey",
    name: str = "tiny-1.0",
    recipe: str = "",
    confidence: float = 0.5,
    area: float = 4,
) -> Path:
    model = folder / "models" / name
    model.mkdir(parents=True)
    shutil.copy(ASSETS / f"{asset}.onnx", model / "model.onnx")
    sha256 = hashlib.sha256((model / "model.onnx").read_bytes()).hexdigest()
    text = MANIFEST.format(sha256=sha256, confidence=confidence, area=area)
    (model / "manifest.toml").write_text(text, encoding="utf-8")
    LINE.write(folder / "line.json")
    ports = {"plc": 1, "broker": 1, "web": 1}
    path = write_station_files(folder, folder / "line.json", LINE, ports=ports, options=DemoOptions(model=name))
    station = re.sub('models_dir = ".*"', 'models_dir = "models"', path.read_text())
    path.write_text(station.replace('driver = "onnx"\n', 'driver = "onnx"\nsettings = { overlap_px = 8 }\n'))
    (folder / "recipe.toml").write_text(recipe + (folder / "recipe.toml").read_text())
    return path


def loaded(folder: Path, *rest: str, **changes: object) -> Station:
    return load_station(station_file(folder, *rest, **changes))  # type: ignore[arg-type]


def test_a_folder_that_is_called_as_its_manifest_says_is_taken(tmp_path: Path) -> None:
    assert loaded(tmp_path).segmenter.info.label.startswith("tiny-1.0/")


def test_another_model_in_the_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        loaded(tmp_path, name="tile-1.1")
    (fault,) = raised.value.faults
    assert fault.where == str(tmp_path / "models" / "tile-1.1" / "manifest.toml")
    assert fault.what == "names tiny-1.0. Rename the folder to that, or put tile-1.1 into it"


def test_the_recipe_may_demand_one_file(tmp_path: Path) -> None:
    sha256 = hashlib.sha256((ASSETS / "grey.onnx").read_bytes()).hexdigest()
    assert loaded(tmp_path, recipe=f'model_sha256 = "{sha256}"\n').segmenter.info.sha256 == sha256


def test_any_other_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"model_sha256: {'a' * 64} is none of the files"):
        loaded(tmp_path, recipe=f'model_sha256 = "{"a" * 64}"\n')


def test_a_driver_that_cannot_check_the_file_is_refused(tmp_path: Path) -> None:
    path = station_file(tmp_path, recipe=f'model_sha256 = "{"a" * 64}"\n')
    simulated = re.sub(r'driver = "onnx"\nsettings = .*\n', 'driver = "simulated"\n', path.read_text())
    path.write_text(simulated)
    with pytest.raises(ConfigError, match=r"segmenter\.driver: 'simulated' cannot check the recipe's model_sha256"):
        load_station(path)


def test_recipes_that_share_a_model_share_its_file(tmp_path: Path) -> None:
    path = station_file(tmp_path)
    second = (tmp_path / "recipe.toml").read_text().replace("id = 1\n", f'id = 2\nmodel_sha256 = "{"a" * 64}"\n')
    (tmp_path / "second.toml").write_text(second)
    path.write_text(path.read_text().replace('"recipe.toml"', '"recipe.toml"\nrecipes = ["second.toml"]'))
    with pytest.raises(ConfigError, match=r"second\.toml: model_sha256: must be that of recipe 1"):
        load_station(path)


def test_check_fails_for_a_net_that_cannot_say_defective(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no part can be found defective: its masks hold nothing but 0 and 1"):
        check._judging_model(loaded(tmp_path, "zero-one"), "tiny-1.0", {})


def test_check_takes_a_mask_of_zeros_and_ones_where_one_counts(tmp_path: Path) -> None:
    assert "tiny-1.0/int8/cpu" in check._judging_model(loaded(tmp_path, "zero-one", confidence=0.0), "tiny-1.0", {})


def test_check_says_which_first_stage_looks_before_the_model(tmp_path: Path) -> None:
    path = station_file(tmp_path)
    light = tmp_path / "models" / "light-1.0"
    shutil.copytree(tmp_path / "models" / "tiny-1.0", light)
    (light / "manifest.toml").write_text((light / "manifest.toml").read_text().replace('"tiny"', '"light"'))
    alone = 'driver = "onnx"\nsettings = { overlap_px = 8 }\n'
    both = 'driver = "two-stage"\nsettings = { first = "light-1.0", settings = { overlap_px = 8 } }\n'
    path.write_text(path.read_text().replace(alone, both))
    said = check._judging_model(load_station(path), "tiny-1.0", {})
    assert said == "tiny-1.0/int8/cpu, classes dark, behind light-1.0/int8/cpu"


def test_check_warns_of_limits_that_nothing_can_reach(tmp_path: Path) -> None:
    station = loaded(tmp_path, confidence=1.0, area=1e9)
    frame = Frame("cam1", 1, 0, 0, received_ns=0, image=np.zeros((256, 256, 3), np.uint8))
    assert list(check._limits_out_of_reach(station, {})) == [
        "recipe 1: min_confidence 1.0 of dark leaves nothing but the value 255 to be a defect"
    ]
    assert list(check._limits_out_of_reach(station, {"cam1": frame}))[1:] == [
        "recipe 1: min_area_mm2 of dark is more than all of cam1's picture: never a defect"
    ]


def test_check_says_nothing_of_limits_that_can_be_reached(tmp_path: Path) -> None:
    frame = Frame("cam1", 1, 0, 0, received_ns=0, image=np.zeros((256, 256, 3), np.uint8))
    assert list(check._limits_out_of_reach(loaded(tmp_path), {"cam1": frame})) == []


def test_check_prints_what_a_net_may_hide(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(station_file(tmp_path, "no-number"))]) == 1, "there is no PLC"
    rows = capsys.readouterr().out.splitlines()
    (warning,) = [row for row in rows if row.split()[:3] == ["WARN", "model", "tiny-1.0"]]
    assert "an invalid number (NaN) becomes 0, which means good" in warning


def test_check_fails_for_a_net_that_gives_no_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(station_file(tmp_path, "never"))]) == 1
    (failed,) = [
        row for row in capsys.readouterr().out.splitlines() if row.split()[:3] == ["FAIL", "model", "tiny-1.0"]
    ]
    assert "255 everywhere, in every class: its numbers are invalid (NaN)" in failed


def test_check_prints_a_licence_that_obliges(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The manifest may say something else than the tool that made the file."""
    path = station_file(tmp_path)
    model = tmp_path / "models" / "tiny-1.0" / "model.onnx"
    entry = b"\x0a\x07license\x12\x08AGPL-3.0"
    before = hashlib.sha256(model.read_bytes()).hexdigest()
    model.write_bytes(model.read_bytes() + b"\x72" + bytes([len(entry)]) + entry)
    manifest = model.with_name("manifest.toml")
    after = hashlib.sha256(model.read_bytes()).hexdigest()
    manifest.write_text(manifest.read_text().replace(before, after))
    assert main(["check", str(path)]) == 1, "there is no PLC"
    assert "its licence is AGPL-3.0: find out what that obliges you to" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("score", "proven"),
    [
        ('precision = "int8"\npart_recall = 0.5', True),
        ('precision = "int8"\npart_recall = 0.0', False),
        ('precision = "fp32"\npart_recall = 1.0', False),
        ('precision = "int8"\npart_recall = "all"', False),
    ],
)
def test_a_score_on_defective_parts_proves_that_a_net_finds_some(tmp_path: Path, score: str, *, proven: bool) -> None:
    path = station_file(tmp_path)
    manifest = tmp_path / "models" / "tiny-1.0" / "manifest.toml"
    manifest.write_text(f"{manifest.read_text()}\n[[scores]]\n{score}\n")
    station = load_station(path)
    station.models.open("tiny-1.0")
    try:
        assert station.models.infos["tiny-1.0"].proven is proven
    finally:
        station.models.close("tiny-1.0")
