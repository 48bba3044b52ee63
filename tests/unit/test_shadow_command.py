"""The shadow model takes over by one command and goes back by another; what is not sound changes nothing."""

import re
import shutil
from pathlib import Path

import pytest
from support.page import LINE

from edge_inspector.cli import main
from edge_inspector.simulation.options import DemoOptions
from edge_inspector.simulation.station_files import write_station_files
from edge_inspector.station.load import load_station

MODEL = Path(__file__).parents[2] / "models" / "tile-1.1"


def model_called(name: str, models: Path) -> None:
    """The shipped model under another name: folder and manifest must agree."""
    shutil.copytree(MODEL, models / name)
    manifest = models / name / "manifest.toml"
    called, _, version = name.partition("-")
    text = manifest.read_text().replace('name = "tile"', f'name = "{called}"', 1)
    manifest.write_text(text.replace('version = "1.1"', f'version = "{version}"', 1))


@pytest.fixture
def station(tmp_path: Path) -> Path:
    """Two recipes judged by old-1.0, and new-2.0 looking on."""
    LINE.write(tmp_path / "line.json")
    path = write_station_files(
        tmp_path,
        tmp_path / "line.json",
        LINE,
        ports={"plc": 1, "broker": 1, "web": 1},
        options=DemoOptions(shadow="new-2.0"),
    )
    for name in ("old-1.0", "new-2.0"):
        model_called(name, tmp_path / "models")
    lines = [line for line in path.read_text().splitlines() if not line.startswith("models_dir")]
    text = "\n".join(lines).replace('recipe = "recipe.toml"', 'recipe = "recipe.toml"\nrecipes = ["other.toml"]')
    path.write_text(text.replace('model = "new-2.0"', 'model = "new-2.0" # since Monday') + "\n")
    recipe = (tmp_path / "recipe.toml").read_text().replace('model = "tile-1.1"', 'model = "old-1.0" # of May')
    (tmp_path / "recipe.toml").write_text(recipe)
    (tmp_path / "other.toml").write_text(recipe.replace("id = 1\n", "id = 2\n"))
    (tmp_path / "state").mkdir()
    return path


def models(path: Path) -> tuple[str, str]:
    station = load_station(path)
    assert station.file.shadow is not None
    assert {each.recipe.model for each in station.recipes.values()} == {station.recipe.model}
    return station.recipe.model, station.file.shadow.model


def files(station: Path) -> dict[Path, str]:
    return {path: path.read_text() for path in station.parent.glob("*.toml")}


def test_the_shadow_is_promoted_and_taken_back(station: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert models(station) == ("old-1.0", "new-2.0")
    before = files(station)
    assert main(["shadow", "promote", str(station)]) == 0
    assert "from the next start new-2.0 judges and old-1.0 is the shadow" in capsys.readouterr().out
    assert models(station) == ("new-2.0", "old-1.0")
    assert "# since Monday" in station.read_text(), "comments stay"
    assert main(["shadow", "rollback", str(station)]) == 0
    assert files(station) == before
    assert main(["shadow", "rollback", str(station)]) == 2
    assert "nothing was promoted" in capsys.readouterr().err


def test_a_model_that_does_not_fit_the_recipes_is_not_promoted(
    station: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = station.parent / "other.toml"
    recipe.write_text(recipe.read_text() + "\n[classes.crack]\nmin_confidence = 0.5\nmin_area_mm2 = 1.0\n")
    manifest = station.parent / "models" / "new-2.0" / "manifest.toml"
    manifest.write_text(manifest.read_text().replace("crack", "fissure"))
    before = files(station)
    assert main(["shadow", "promote", str(station)]) == 2
    assert "crack" in capsys.readouterr().err
    assert files(station) == before
    assert models(station) == ("old-1.0", "new-2.0")


@pytest.mark.parametrize(
    ("was", "becomes", "why"),
    [
        ('model = "new-2.0"', 'model = "old-1.0"', "already judges"),
        ('model = "new-2.0"', 'driver = "onnx"\nmodel="new-2.0"; #', "TOML"),
        ('model = "new-2.0"', 'model = """new-2.0"""', "a line of its own"),
        ("[shadow]", "[nothing]", "nothing"),
    ],
)
def test_what_cannot_be_swapped_is_said(
    station: Path, capsys: pytest.CaptureFixture[str], was: str, becomes: str, why: str
) -> None:
    station.write_text(station.read_text().replace(was, becomes))
    before = files(station)
    assert main(["shadow", "promote", str(station)]) == 2
    assert why in capsys.readouterr().err
    assert files(station) == before


def test_without_a_shadow_there_is_nothing_to_promote(station: Path, capsys: pytest.CaptureFixture[str]) -> None:
    station.write_text(re.sub(r"\[shadow\][^\[]*", "", station.read_text()))
    assert main(["shadow", "promote", str(station)]) == 2
    assert "no shadow model" in capsys.readouterr().err


def test_a_rollback_of_what_was_changed_by_hand_meanwhile_is_refused(
    station: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["shadow", "promote", str(station)]) == 0
    model_called("third-3.0", station.parent / "models")
    station.write_text(station.read_text().replace("old-1.0", "third-3.0"))
    assert main(["shadow", "rollback", str(station)]) == 2
    assert "not promoted here" in capsys.readouterr().err
    assert models(station) == ("new-2.0", "third-3.0")
