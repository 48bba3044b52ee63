"""`model limits`: a model's limits from good parts alone."""

import csv
import hashlib
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_inspector.cli import main
from edge_inspector.inspection.promise import RejectPromise
from edge_inspector.segmenters.manifest import read_manifest
from edge_inspector.training.judging.evidence import Evidence
from edge_inspector.training.judging.limits import Limit, limits_of_good, rejected

ASSETS = Path(__file__).parents[1] / "assets"
STRIDE = 2
GOOD_SIDES = (0, 2, 4, 4, 6, 6, 8, 8, 10, 12, 12, 14)
"""The side of the dark square on each good part, in input pixels."""
BAD_SIDES = (16, 18, 12)
MANIFEST = """
format = 1
name = "dark"
version = "1.0"
licence = "Apache-2.0"
description = "a mean"
classes = ["square"]
[input]
height = 64
width = 64
channels = 1
[output]
stride = 1
[files.int8]
path = "model.onnx"
sha256 = "{sha256}"
[limits.square]
min_confidence = 0.9
min_area_px = 400
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Its mask is 255 less each pixel."""
    folder = tmp_path / "dark-1.0"
    folder.mkdir()
    shutil.copy(ASSETS / "dark.onnx", folder / "model.onnx")
    sha256 = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    (folder / "manifest.toml").write_text(MANIFEST.format(sha256=sha256), encoding="utf-8")
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = tmp_path / "squares"
    root.mkdir()
    rows = []
    for number, side in enumerate((*GOOD_SIDES, *BAD_SIDES)):
        bad = number >= len(GOOD_SIDES)
        picture = np.full((64, 64), 255, np.uint8)
        picture[2 : 2 + side, 2 : 2 + side] = 75
        cv2.imwrite(str(root / f"{number}.png"), picture)
        cv2.imwrite(str(root / f"{number}_mask.png"), np.where(picture < 255, 255, 0))
        row = {"image": f"{number}.png", "mask": f"{number}_mask.png" if bad else "", "label": int(bad)}
        rows.append({**row, "class": "square" if bad else "good", "group": f"g{number}", "split": "val"})
    with (root / "index.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return root


def words(model: Path, data: Path, *more: str) -> list[str]:
    return ["model", "limits", str(model), str(data), "--version", "1.1", *more]


def test_a_new_version_has_the_limits_that_good_parts_promise(
    model: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (model / "manifest.toml").open("a") as file:
        file.write('[training]\nlimits = "as a person chose them"\n')
    before = (model / "manifest.toml").read_text()
    promised = ["--false-rejects", "0.25", "--confidence", "0.9", "--min-confidence", "0.5"]
    assert main(words(model, data, *promised)) == 0
    made = read_manifest(model.with_name("dark-1.1"))
    # None of twelve may lie beyond: the largest square has 196 pixels, and the limit is half a mask pixel more.
    assert made.limits["square"].min_confidence == 0.5
    assert made.limits["square"].min_area_px == 196.5
    origin = {"data": "squares", "split": "val", "good": 12, "false_rejects": 0.25, "confidence": 0.9}
    assert made.training == {"limits_from": origin}, "what was said of the limits before is no longer true"
    said = capsys.readouterr().out
    assert "good parts rejected: 0 before, 0 now, of 12" in said
    assert "bad parts rejected: 0 before, 2 now, of 3" in said
    assert (model / "manifest.toml").read_text() == before
    assert main(words(model, data, *promised)) == 2
    assert "exists already" in capsys.readouterr().err


def test_false_rejects_on_the_parts_that_chose_are_no_score(
    model: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(model, data, "--false-rejects", "0.25", "--confidence", "0.9", "--min-confidence", "0.5")) == 0
    made = model.with_name("dark-1.1")
    assert main(["model", "evaluate", str(made), str(data)]) == 0
    assert read_manifest(made).scores[0]["split"] == "val, limits from its good parts"
    assert "not a score" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ((), "2 % with 95 % confidence needs 149 good parts, and there are 12, which can promise 22.1 %"),
        (("--split", "train"), "has no split 'train'"),
        (("--version", "a/b"), "cannot be the name of a folder"),
    ],
)
def test_what_cannot_be_promised_is_told_in_one_line(
    model: Path, data: Path, more: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(model, data, *more)) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not model.with_name("dark-1.1").exists()


def test_parts_that_the_model_learned_from_choose_nothing(
    model: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (model / "manifest.toml").open("a") as file:
        file.write('[training]\ndata = "squares"\nlearn_from = "train+val"\n')
    assert main(words(model, data, "--false-rejects", "0.25")) == 2
    assert "--split: the model learned from val, and finds too little there" in capsys.readouterr().err


def evidence(areas: list[list[float]], bad: list[bool]) -> Evidence:
    """Parts with these largest regions of two classes, at one confidence."""
    count = len(areas)
    table = np.array(areas)[:, :, None]
    return Evidence(
        names=np.array([f"p{number}" for number in range(count)]),
        groups=np.array([f"g{number}" for number in range(count)]),
        areas=table,
        peaks=np.ones((count, 2)),
        true=np.tile(np.array(bad)[:, None], (1, 2)),
        defective=np.array(bad),
        sizes=np.zeros(count),
        overlap=np.zeros_like(table),
        union=np.zeros_like(table),
        binary=np.zeros((count, 3)),
        confidences=np.array([0.5]),
    )


def test_one_factor_moves_all_classes() -> None:
    good = [[40.0, 8.0 * number] for number in range(1, 13)]
    seen = evidence([*good, [400.0, 0.0]], [False] * 12 + [True])
    before = [Limit(0.5, 200.0), Limit(0.5, 100.0)]
    found = limits_of_good(seen, before, RejectPromise(0.25, 0.9), STRIDE)
    assert found == [Limit(0.5, 194.0), Limit(0.5, 98.0)]
    assert rejected(seen, found).tolist() == [False] * 12 + [True]


def test_clean_parts_leave_the_smallest_region_that_is_no_flicker() -> None:
    seen = evidence([[0.0, 0.0]] * 12, [False] * 12)
    found = limits_of_good(seen, [Limit(0.5, 0.0), Limit(0.5, 100.0)], RejectPromise(0.25, 0.9), STRIDE)
    assert found == [Limit(0.5, 10.0), Limit(0.5, 10.0)]
