"""From a folder of pictures to a judged picture: two commands, and what they say when it cannot be."""

import csv
import errno
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.dark_model import RECIPE, dark_model
from support.pictures import CMYK, bomb, turned
from support.training import needs_training

from edge_inspector.cli import main
from edge_inspector.commands import judge
from edge_inspector.commands.model.quick import recipe_text
from edge_inspector.inspection.recipe import read_recipe
from edge_inspector.segmenters.manifest import read_manifest
from edge_inspector.training.data import choosing
from edge_inspector.training.data.choosing import choose
from edge_inspector.training.data.folder import Folder
from edge_inspector.training.data.survey import survey

SIDE = 64


def plate(*, bad: bool, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    image, mask = rng.integers(140, 170, (SIDE, SIDE), dtype=np.uint8), np.zeros((SIDE, SIDE), np.uint8)
    if bad:
        top, left = rng.integers(4, 40, 2)
        image[top : top + 16, left : left + 16] = 20
        mask[top : top + 16, left : left + 16] = 255
    return image, mask


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """good/ and bad/, with a mask beside each bad picture."""
    for number in range(24):
        bad = number % 2 == 0
        folder = tmp_path / "pictures" / ("bad" if bad else "good")
        folder.mkdir(parents=True, exist_ok=True)
        image, mask = plate(bad=bad, seed=number)
        cv2.imwrite(str(folder / f"p{number}.png"), image)
        if bad:
            cv2.imwrite(str(folder / f"p{number}_mask.png"), mask)
    return tmp_path / "pictures"


def test_what_was_refused_is_read_again_when_it_was_corrected(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    needs_training()
    monkeypatch.chdir(tmp_path)
    (pictures / "good").rename(tmp_path / "kept")
    words = ["model", "quick", str(pictures), "--name", "mine", "--models", "models"]
    for _ in range(2):
        assert main(words) == 2
        told = capsys.readouterr()
        assert "every picture of 'train' is defective" in told.err
        assert "is there already" not in told.out
    assert not (tmp_path / "runs" / "mine" / "data").exists()


def test_two_commands_lead_from_pictures_to_verdicts(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    needs_training()
    from edge_inspector.training.shipping import quick  # noqa: PLC0415 -- it needs PyTorch

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(quick, "step_seconds", lambda *_: 2.0)  # one minute then has 22 steps, on every machine
    monkeypatch.setattr(choosing, "PRETRAINED_PACKAGE", "none_such")  # the small net, whatever is installed
    words = ["model", "quick", str(pictures), "--name", "mine", "--minutes", "1", "--threads", "1"]
    assert main([*words, "--models", "models"]) == 0
    said = capsys.readouterr().out
    assert "read 24 pictures of 24 groups (group): grey, 8 bits, 64 x 64 px" in said
    assert "chosen: the net sees pictures at 1/1 of their size" in said
    assert "a step takes 2.00 s here: 22 steps fit into 1 minutes" in said
    assert "edge-inspector judge" in said
    assert read_manifest(tmp_path / "models" / "mine-1.0").training["steps"] == 22

    data = tmp_path / "runs" / "mine" / "data"
    words = ["judge", str(data), "--recipe", "runs/mine/recipe.toml", "--models", "models", "--out", "seen"]
    main([*words, "--expect", str(data / "index.csv")])
    said = capsys.readouterr().out
    assert "of 12 bad ones" in said
    assert said.count(" REJECT") + said.count(" ACCEPT") >= 2
    assert len(list((tmp_path / "seen").glob("*.png"))) == 24


@pytest.mark.parametrize("name", ["mine", '3" flange', "täglich's {x}"])
def test_the_recipe_of_any_name_can_be_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "recipe.toml").write_text(recipe_text(name, f"{name}-1.0"), encoding="utf-8")
    recipe = read_recipe(tmp_path / "recipe.toml")
    assert (recipe.name, recipe.model) == (name, f"{name}-1.0")


@pytest.fixture
def station(pictures: Path, tmp_path: Path) -> list[str]:
    (tmp_path / "recipe.toml").write_text(RECIPE)
    models = dark_model(tmp_path / "models")
    return ["judge", str(pictures), "--recipe", str(tmp_path / "recipe.toml"), "--models", str(models)]


def listed(path: Path, rows: list[tuple[str, str]]) -> str:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("image", "class"), *rows])
    return str(path)


def test_a_list_says_what_is_expected(station: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    right = [("bad/p0.png", "pit"), ("good/p1.png", "good"), ("good/p3.png", "")]
    assert main([*station, "--expect", listed(tmp_path / "right.csv", right)]) == 0
    said = capsys.readouterr().out
    assert "REJECT        bad/p0.png  | dark 256 mm2, 16.0 mm long at" in said
    assert "allowed none of 100 mm2 and more (confidence 0.5)" in said
    assert "of 1 bad ones 0 were not rejected" in said
    wrong = [("bad/p0.png", "good"), ("good/p1.png", "good")]
    assert main([*station, "--expect", listed(tmp_path / "wrong.csv", wrong)]) == 1
    assert "WRONG: expected ACCEPT" in capsys.readouterr().out


def test_a_scale_makes_millimetres_and_a_recipe_has_the_last_word(
    station: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*station, "--mm-per-px", "0.5"]) == 0
    assert "dark 64 mm2, 8.0 mm long" in capsys.readouterr().out
    (tmp_path / "recipe.toml").write_text(f"{RECIPE}[classes.dark]\nmin_area_mm2 = 1000\n")
    assert main(station) == 0
    assert "REJECT" not in capsys.readouterr().out


def test_masks_that_cannot_say_defective_accept_nothing(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = dark_model(tmp_path / "models", "dark-or-not")
    (tmp_path / "recipe.toml").write_text(RECIPE)
    words = ["judge", str(pictures), "--recipe", str(tmp_path / "recipe.toml"), "--models", str(models)]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert said.strip().endswith("24 NOT_INSPECTED")
    assert "NOT_INSPECTED good/p1.png  | its masks hold nothing but 0 and 1 (the graph ends in Greater)" in said
    # A recipe for which 1 of 255 is enough means it so.
    (tmp_path / "recipe.toml").write_text(f"{RECIPE}[classes.dark]\nmin_confidence = 0.003\nmin_area_mm2 = 100\n")
    assert main(words) == 0
    assert capsys.readouterr().out.strip().endswith("12 ACCEPT, 12 REJECT")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("text.png", b"no picture", "is not an image that can be read"),
        ("bomb.jpg", bomb(".jpg"), "is larger than 67108864 pixels"),
        ("print.jpg", CMYK, "has the colours of a printer (CMYK), and no camera has: save it as RGB or grey"),
        ("dark.png", cv2.imencode(".png", np.full((64, 64), 900, np.uint16))[1].tobytes(), "has 10 bits in 16"),
    ],
)
def test_a_picture_that_cannot_be_judged_is_not_inspected_and_the_others_are(
    station: list[str], pictures: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes, told: str
) -> None:
    (pictures / "good" / name).write_bytes(content)
    assert main(station) == 0
    said = capsys.readouterr().out
    assert f"NOT_INSPECTED good/{name}  | {told}" in said
    assert said.strip().endswith("12 ACCEPT, 1 NOT_INSPECTED, 12 REJECT")


def test_pictures_of_mixed_sizes_and_colours_are_judged_one_by_one(
    station: list[str], pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = pictures / "good"
    cv2.imwrite(str(good / "wide.png"), plate(bad=False, seed=1)[0].repeat(3, 1))
    cv2.imwrite(str(good / "small.png"), plate(bad=False, seed=1)[0][:20, :30])
    cv2.imwrite(str(good / "colour.png"), plate(bad=False, seed=1)[0][:, :, np.newaxis].repeat(3, 2))
    upright = plate(bad=False, seed=1)[0][:, :40]
    (good / "turned.jpg").write_bytes(turned(cv2.imencode(".jpg", upright)[1].tobytes(), 6))
    assert main(station) == 0
    said = capsys.readouterr().out
    for name in ("wide.png", "small.png", "colour.png", "turned.jpg"):
        assert f"ACCEPT        good/{name}\n" in said
    assert said.strip().endswith("16 ACCEPT, 12 REJECT")


def test_a_full_disk_while_judging_is_told_in_a_line(
    station: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Path, "write_bytes", full_disk)
    assert main([*station, "--out", str(tmp_path / "seen")]) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert list((tmp_path / "seen").iterdir()) == []


def full_disk(*_args: object, **_more: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_in_any_command_is_told_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(judge, "pictures_in", full_disk)
    assert main(["judge", str(tmp_path), "--recipe", "r.toml"]) == 1
    assert capsys.readouterr().err == "the disk: No space left on device. Make room, then type it again\n"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"recipe": "[classes.pit]\nmin_area_mm2 = 1\n"}, "classes.pit: the model knows only: dark"),
        ({"list": [("gone.png", "good")]}, "line 2: gone.png is not among the pictures"),
        ({"list": [("good/p1.png", "good"), ("good/p1.png", "pit")]}, "is good in one line and bad in another"),
    ],
)
def test_what_does_not_fit_together_is_told(
    station: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, object], message: str
) -> None:
    if "recipe" in change:
        (tmp_path / "recipe.toml").write_text(f"{RECIPE}{change['recipe']}")
    rows = change.get("list", [("good/p1.png", "good")])
    assert main([*station, "--expect", listed(tmp_path / "list.csv", rows)]) == 2  # type: ignore[arg-type]
    assert message in capsys.readouterr().err


def test_a_class_without_any_limit_is_not_judged(
    station: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every part would be accepted."""
    manifest = tmp_path / "models" / "mean-1.0" / "manifest.toml"
    text = manifest.read_text()
    manifest.write_text(text.replace("[limits.dark]\nmin_confidence = 0.5\nmin_area_px = 100.0\n", ""))
    assert main(station) == 2
    assert "classes.dark: is missing, and the model suggests no limits for it" in capsys.readouterr().err
    with (tmp_path / "recipe.toml").open("a") as recipe:
        recipe.write("[classes.dark]\nmin_area_mm2 = 100\n")
    assert main(station) == 0


def index(root: Path, size: tuple[int, int], flaw: int, count: int = 12) -> Folder:
    """Half of the pictures have a square flaw of so many pixels a side."""
    rows = []
    for number in range(count):
        bad, mask = number % 2 == 0, np.zeros(size, np.uint8)
        mask[8 : 8 + flaw, 8 : 8 + flaw] = 255 * bad
        cv2.imwrite(str(root / f"{number}.png"), np.full(size, 100 + number, np.uint8))
        cv2.imwrite(str(root / f"m{number}.png"), mask)
        rows.append((f"{number}.png", f"m{number}.png" if bad else "", "pit" if bad else "good"))
    with (root / "index.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "mask", "class"), *rows])
    return Folder(root)


@pytest.mark.parametrize(
    ("size", "flaw", "shrink", "window"),
    [
        ((64, 64), 16, 1, (64, 64)),
        ((300, 300), 6, 1, (320, 320)),
        ((300, 300), 12, 2, (320, 320)),
        ((1200, 500), 20, 4, (1280, 512)),
    ],
)
def test_the_settings_follow_from_the_pictures(
    tmp_path: Path, size: tuple[int, int], flaw: int, shrink: int, window: tuple[int, int]
) -> None:
    chosen = choose(survey(index(tmp_path, size, flaw)))
    assert (chosen.shrink, chosen.window, chosen.fill) == (shrink, window, "mirror")
    assert f"at 1/{shrink} of their size" in chosen.why


def test_a_picture_too_large_for_a_net_is_cut_into_windows(tmp_path: Path) -> None:
    chosen = choose(survey(index(tmp_path, (900, 2000), 5)))
    height, width = chosen.window
    assert chosen.shrink == 1
    assert height * width <= 330_000
    assert height % 32 == width % 32 == 0
