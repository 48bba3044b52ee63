"""`model train --labels image`: from labels of whole pictures to the usual model, without a mask."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.training import needs_training

needs_training()

from edge_inspector.cli import main
from edge_inspector.segmenters.manifest import read_manifest
from edge_inspector.training.data.contrasts import CELL
from edge_inspector.training.data.folder import Folder
from edge_inspector.training.learning.places import find_places

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

TRAIN = ["--labels", "image", "--net", "light", "--steps", "30", "--folds", "2", "--held-out", "1", "--threads", "1"]
SIZES = ["--window", "64", "96", "--patch", "64", "64", "--shrink", "1"]
SIZE = (64, 96)


def square(number: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A rough surface, with a dark square on every second."""
    image = rng.integers(140, 170, SIZE, dtype=np.uint8)
    mask = np.zeros(SIZE, np.uint8)
    if number % 2:
        top, left = rng.integers(4, 44), rng.integers(4, 76)
        image[top : top + 14, left : left + 14] = 30
        mask[top : top + 14, left : left + 14] = 255
    return image, mask


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("squares")
    rng = np.random.default_rng(4)
    rows = []
    for number in range(32):
        for kind, pixels in zip("im", square(number, rng), strict=True):
            cv2.imwrite(str(root / f"{kind}{number}.png"), pixels)
        bad = number % 2 == 1
        split = "val" if number >= 24 else "train"
        rows.append(
            (f"i{number}.png", f"m{number}.png" if bad else "", "square" if bad else "good", f"g{number // 2}", split)
        )
    with (root / "index.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "mask", "class", "group", "split"), *rows])
    return root


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "labels"
    assert main(["model", "train", str(data), "--out", str(run), *TRAIN, *SIZES]) == 0
    return run


def test_places_are_where_the_defects_are(data: Path) -> None:
    folder = Folder(data, masks="ignored")
    found = find_places(folder.entries("train"), 1)
    truth = {entry.name: entry.classes > 0 for entry in Folder(data).entries("train") if entry.defective}
    assert found.keys() == truth.keys()
    for name, places in found.items():
        row, column = np.unravel_index(int(places[0].argmax()), places[0].shape)
        assert truth[name][row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL].any(), name


def test_each_class_has_places_of_its_own(data: Path) -> None:
    """Dark squares, and bright lines beside a dark square: the label says which of the two is meant."""
    entries = Folder(data, masks="ignored").entries("train")
    lines = []
    for entry in entries[1:12:2]:
        image = entry.image.copy()
        image[40:43, 10:80] = 250
        lines.append(replace(entry, name=f"line {entry.name}", image=image, labelled=(2,)))
    found = find_places([*entries, *lines], 2)
    for entry in lines:
        places = found[entry.name]
        assert not places[0].any()
        assert places[1].max() > 0.5
        assert int(places[1].argmax()) // places.shape[2] in {4, 5}


def test_what_was_found_is_shown_and_kept(run: Path) -> None:
    assert (run / "shown.png").exists()
    for number in (1, 2):
        with np.load(run / f"fold-0.masks-{number}.npz") as masks:
            names = masks["names"].tolist()
            assert names == sorted(set(names), key=names.index)
            assert all(masks[str(at)].shape == (1, *SIZE) for at in range(len(names)))
    asked = json.loads((run / "run.json").read_text())
    assert (asked["labels"], asked["masks"]) == ("image", "no mask was read")


def test_masks_swapped_for_noise_give_the_same_bytes(run: Path, data: Path, tmp_path: Path) -> None:
    root, other = tmp_path / data.name, tmp_path / "run"
    shutil.copytree(data, root)
    rng = np.random.default_rng(1)
    for path in root.glob("m*.png"):
        path.write_bytes(rng.bytes(200))
    (root / "m5.png").unlink()
    assert main(["model", "train", str(root), "--out", str(other), *TRAIN, *SIZES]) == 0
    for name in ("run.json", "fold-0.masks-1.npz", "fold-0.masks-2.npz", "figures.json", "model.fp32.onnx"):
        assert (run / name).read_bytes() == (other / name).read_bytes(), name


def test_a_stopped_run_goes_on_where_it_was(run: Path, data: Path, tmp_path: Path) -> None:
    other = tmp_path / "run"
    shutil.copytree(run, other)
    for name in ("model.fp32.onnx", "fold-0.npz", "fold-0.masks-2.npz", "fold-0.checkpoint"):
        (other / name).unlink()
    assert main(["model", "train", str(data), "--out", str(other), *TRAIN, *SIZES]) == 0
    assert (run / "model.fp32.onnx").read_bytes() == (other / "model.fp32.onnx").read_bytes()


def test_labels_and_masks_are_different_runs(run: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["model", "train", str(data), "--out", str(run), *TRAIN[2:], *SIZES]
    assert main(words) == 2
    assert "holds a run with other settings (data_sha256, labels, masks, soft)" in capsys.readouterr().err


@pytest.fixture(scope="module")
def model(run: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = tmp_path_factory.mktemp("models")
    words = ["model", "quantize", str(run), str(data), "--name", "squares", "--licence", "x", "--models", str(models)]
    assert main([*words, "--force"]) == 0
    return models / "squares-1.0"


def test_the_model_is_a_usual_one_and_only_evaluate_counts_pixels(
    model: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = read_manifest(model)
    assert manifest.classes == ("square",)
    assert manifest.files.keys() >= {"int8", "fp32"}
    assert manifest.training["masks"] == "no mask was read"
    assert not any("mean_iou" in score for score in manifest.scores)
    assert all("average_precision" in score for score in manifest.scores)
    assert main(["model", "evaluate", str(model), str(data), "--dry-run"]) == 0
    assert "mean IoU" in capsys.readouterr().out


def test_labels_alone_can_be_judged_too(
    model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in data.glob("i*"):
        shutil.copy(path, tmp_path)
    lines = [line.split(",") for line in (tmp_path / "index.csv").read_text().splitlines()]
    (tmp_path / "index.csv").write_text("\n".join(",".join([line[0], *line[2:]]) for line in lines) + "\n")
    assert main(["model", "evaluate", str(model), str(tmp_path), "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "average precision: square" in told
    assert "IoU" not in told


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (["--per-class"], "--per-class: one net for each class needs masks"),
        ([], "--labels: the rendered line has masks"),
    ],
)
def test_what_does_not_go_with_labels_is_refused(
    words: list[str], wrong: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = str(data) if words else "tile-line"
    assert main(["model", "train", source, "--out", str(tmp_path / "run"), "--labels", "image", *words]) == 2
    assert wrong in capsys.readouterr().err


def test_poor_labels_are_refused_before_a_picture_is_read(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The pictures are no pictures any more, and nothing says so."""
    text = (data / "index.csv").read_text().replace("m1.png,square", "m1.png,scratch")
    (tmp_path / "index.csv").write_text(text)
    for path in data.glob("i*.png"):
        (tmp_path / path.name).write_text(path.name)
    assert main(["model", "train", str(tmp_path), "--out", str(tmp_path / "run"), *TRAIN, *SIZES]) == 2
    told = capsys.readouterr().err
    assert "class 'scratch' has 1 picture of 1 group in train" in told
    assert len(told.strip().splitlines()) == 2, "the fault, and how many there are"
    assert not (tmp_path / "run").exists()
