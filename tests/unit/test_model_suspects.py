"""`model suspects` as a user types it: planted wrong labels are named by nets that did not learn from them."""

import csv
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.training import needs_training

from edge_inspector.cli import main
from edge_inspector.training.judging.suspects import LOOKS_BAD, NOTHING_THERE, read_suspects

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

SIZE = [
    "--net",
    "light",
    "--steps",
    "90",
    "--folds",
    "2",
    "--window",
    "64",
    "64",
    "--patch",
    "64",
    "64",
    "--threads",
    "1",
]
WRONG = {"i3.png": LOOKS_BAD, "i6.png": NOTHING_THERE}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty pictures, every second with a dark square. One bad one is called good, and one good one bad."""
    needs_training()
    root = tmp_path_factory.mktemp("squares")
    rng = np.random.default_rng(4)
    rows = []
    for number in range(40):
        image = rng.integers(140, 170, (64, 64), dtype=np.uint8)
        mask = np.zeros((64, 64), np.uint8)
        top, left = rng.integers(4, 40, 2)
        if number % 2:
            image[top : top + 16, left : left + 16] = 20
        bad = bool(number % 2) != (f"i{number}.png" in WRONG)
        if bad:
            mask[top : top + 16, left : left + 16] = 255
            cv2.imwrite(str(root / f"m{number}.png"), mask)
        cv2.imwrite(str(root / f"i{number}.png"), image)
        mask_of = f"m{number}.png" if bad else ""
        rows.append((f"i{number}.png", mask_of, "square" if bad else "good", "train", f"g{number}"))
    with (root / "index.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "mask", "class", "split", "group"), *rows])
    return root


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "labels"
    assert main(["model", "suspects", str(data), "--out", str(run), *SIZE]) == 0
    return run


def test_what_was_planted_is_named_and_nothing_else(run: Path, data: Path) -> None:
    found = read_suspects(run / "suspects.csv")
    assert {each.name: each.what for each in found} == WRONG
    assert read_suspects(data / "suspects.csv") == found
    page = (run / "suspects.html").read_text()
    assert page.count("<figure>") == 2
    assert not (run / "model.fp32.onnx").exists()


def test_training_says_so_first_and_goes_on_with_the_same_folds(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "labels"
    shutil.copytree(run, own)
    assert main(["model", "train", str(data), "--out", str(own), *SIZE]) == 0
    said = capsys.readouterr().out
    first, rest = said.split("chosen:", 1)
    assert "2 pictures are probably labelled wrongly" in first
    assert "i3.png: good, but it looks bad" in first
    assert "fold-0: step" not in rest, "the folds are there already"
    assert "net: step 30/30" in rest
    page = (own / "report.html").read_text()
    assert page.index("Labels to look at") < page.index("Settings")
    assert "i6.png" in page


def test_it_takes_the_steps_of_a_run_that_is_there(run: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [word for word in SIZE if word not in {"--steps", "90"}]
    assert main(["model", "suspects", str(data), "--out", str(run), *words]) == 0
    assert "i3.png" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--launcher", "slurm"], "--launcher: is for `model train`"),
        (["--held-out", "1"], "--held-out: is for `model train`"),
    ],
)
def test_what_makes_no_sense_is_told_in_a_line(
    data: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    assert main(["model", "suspects", str(data), *more]) == 2
    assert message in capsys.readouterr().err


def test_rendered_parts_have_no_wrong_labels(capsys: pytest.CaptureFixture[str]) -> None:
    needs_training()
    assert main(["model", "suspects", "tile-line"]) == 2
    assert "its labels are right" in capsys.readouterr().err


def test_an_unknown_net_is_told_before_anything_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needs_training()
    words = ["model", "train", str(tmp_path / "nowhere"), "--out", str(tmp_path / "run"), "--net", "resnet18"]
    assert main(words) == 2
    assert "--net: 'resnet18' is unknown. There are: light, large, lite0" in capsys.readouterr().err
