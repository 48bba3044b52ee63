"""A first stage from the command line: what it learns, promises and saves, and what is refused before it is trained."""

import csv
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support.training import needs_training

needs_training()

import torch
from torch import Tensor, nn

from edge_inspector.cli import main
from edge_inspector.segmenters.manifest import read_manifest
from edge_inspector.segmenters.two_stage import TwoStageSegmenter
from edge_inspector.training.judging.limits import Limit
from edge_inspector.training.learning.encoders import make_net
from edge_inspector.training.learning.export import export_onnx
from edge_inspector.training.learning.losses import Loss
from edge_inspector.training.learning.unet import Deployed
from edge_inspector.training.shipping import first_stage
from edge_inspector.training.shipping.manifest import FILES, Card, Draft

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

SIDE = 96
SHORT = ["--steps", "25", "--threads", "1", "--clears", "0.3"]


class Dark(nn.Module):
    """Says where it is dark, slowly: the layers before the answer only take time."""

    def __init__(self) -> None:
        super().__init__()
        self.busy = nn.Sequential(*(nn.Conv2d(3, 3, 15, padding=7, groups=1) for _ in range(6)))

    def forward(self, image: Tensor) -> Tensor:
        halved = nn.functional.avg_pool2d(image, 2)
        nothing = self.busy(halved).mean(1, keepdim=True).clamp(0.0, 0.0)
        return -10.0 * (halved.mean(1, keepdim=True) + 0.75) + nothing


def second_stage(folder: Path, name: str = "dark", **changes: Any) -> Path:
    """A model that finds the class `pit` where a colour picture is dark."""
    target = folder / f"{name}-1.0"
    target.mkdir(parents=True)
    shape = changes.get("shape", (SIDE, SIDE, 3))
    export_onnx(Deployed([Dark().eval()]), target / FILES["fp32"], shape)
    classes = changes.get("classes", ["pit"])
    Draft(Card(name, "1.0", "Apache-2.0", ""), classes, shape, 2, limits=[Limit(0.5, 40.0)]).write(target)
    return target


@pytest.fixture(scope="module")
def dark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return second_stage(tmp_path_factory.mktemp("models"))


def written(folder: Path, *, masks: bool = True, bad: int = 48, good: int = 48) -> Path:
    """Colour pictures with a dark square in each bad one. A quarter of each kind is `val`."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(7)
    rows = [("image", "mask", "class", "split")]
    for number in range(bad + good):
        is_bad = number < bad
        image = rng.integers(130, 170, (SIDE, SIDE, 3), dtype=np.uint8)
        mask = np.zeros((SIDE, SIDE), np.uint8)
        if is_bad:
            top, left = rng.integers(2, SIDE - 26, 2)
            image[top : top + 20, left : left + 20] = 20
            mask[top : top + 20, left : left + 20] = 255
        cv2.imwrite(str(folder / f"{number}.png"), image)
        cv2.imwrite(str(folder / f"m{number}.png"), mask)
        named = f"m{number}.png" if is_bad and masks else ""
        rows.append((f"{number}.png", named, "pit" if is_bad else "good", "val" if number % 4 == 0 else "train"))
    with (folder / "index.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder


@pytest.fixture(scope="module")
def plates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("data") / "plates")


def train(data: Path, second: Path, out: Path, *words: str) -> int:
    return main(["model", "train", str(data), "--first-stage", str(second), "--out", str(out), *SHORT, *words])


@pytest.fixture(scope="module")
def run(plates: Path, dark: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "first"
    assert train(plates, dark, out) == 0
    return out


def test_what_it_writes(run: Path, dark: Path) -> None:
    manifest = read_manifest(run / "dark-first-1.0")
    promise = manifest.first_stage
    assert promise is not None
    assert (promise.of, promise.sha256) == ("dark-1.0", read_manifest(dark).files["fp32"].sha256)
    assert (promise.clears, promise.confidence, promise.parts) == (0.3, 0.95, 12)
    assert (manifest.classes, manifest.output.stride, manifest.licence) == (("suspicious",), 32, "Apache-2.0")
    assert set(manifest.files) == {"int8", "fp32"}
    for row in manifest.scores:
        assert (row["split"], row["parts"], row["rejected"], row["escapes_added"]) == ("val", 24, 12, 0)
        assert row["good_cleared"] == 1.0
        assert row["ms_saved"] == pytest.approx(row["cleared"] * row["ms_second"] - row["ms_first"], abs=0.002)
    assert {row["precision"] for row in manifest.scores} == {"int8", "fp32"}


def test_the_station_takes_it(run: Path, dark: Path, plates: Path, tmp_path: Path) -> None:
    for folder in (run / "dark-first-1.0", dark):
        (tmp_path / folder.name).symlink_to(folder)
    settings = TwoStageSegmenter.Settings(first="dark-first-1.0", settings={"precision": "fp32"})
    stages = TwoStageSegmenter(tmp_path / dark.name, settings)
    stages.open()
    bad, good = (stages.segment([cv2.imread(str(plates / f"{number}.png"))])[0] for number in (0, 48))
    stages.close()
    assert bad.max() > 200
    assert not good.any()


def test_the_same_command_goes_on_and_ends_with_the_same_files(
    run: Path, plates: Path, dark: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    assert train(plates, dark, again) == 0
    assert train(plates, dark, again) == 0  # finished: judged once more
    one, other = (read_manifest(folder / "dark-first-1.0") for folder in (run, again))
    assert one.files == other.files
    assert one.first_stage == other.first_stage


def test_without_masks_the_second_stage_says_where(dark: Path, tmp_path: Path) -> None:
    data = written(tmp_path / "labels", masks=False)
    assert train(data, dark, tmp_path / "run", "--labels", "image") == 0
    assert all(row["escapes_added"] == 0 for row in read_manifest(tmp_path / "run" / "dark-first-1.0").scores)


def test_labels_of_pictures_in_which_the_second_stage_finds_nothing(
    dark: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = written(tmp_path / "bright", masks=False)
    for path in data.glob("[0-9]*.png"):
        cv2.imwrite(str(path), np.maximum(cv2.imread(str(path)), 120))
    assert train(data, dark, tmp_path / "run", "--labels", "image") == 2
    assert "finds nothing in any defective picture" in capsys.readouterr().err


def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], data: Path, second: Path, *words: str) -> str:
    """What is said. Nothing is trained: there is no checkpoint."""
    assert train(data, second, tmp_path / "none", *words) == 2
    assert not (tmp_path / "none" / "first.checkpoint").exists()
    return capsys.readouterr().err


def test_what_cannot_get_a_first_stage(
    run: Path, plates: Path, dark: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(data: Path, second: Path, *words: str) -> str:
        return refused(tmp_path, capsys, data, second, *words)

    first = run / "dark-first-1.0"
    assert "--first-stage: dark-first-1.0 is itself a first stage. Name the model behind it, dark-1.0" in said(
        plates, first
    )
    assert "there is no such file" in said(plates, dark.with_name("nothing-1.0"))
    odd = second_stage(tmp_path, "odd", shape=(SIDE, 80, 3))
    assert "the input of odd-1.0 is 96 x 80: 80 is not a multiple of 32" in said(plates, odd)
    other = second_stage(tmp_path, "other", classes=["dent"])
    assert "has the classes pit, other-1.0 dent: another product?" in said(plates, other)
    assert "--net: has no meaning with --first-stage" in said(plates, dark, "--net", "large")
    for clears in ("0", "1"):
        assert "--clears: must be above 0 and below 1" in said(plates, dark, "--clears", clears)
    assert "--folds: at least 2" in said(plates, dark, "--folds", "1")


def test_the_rendered_line_is_in_colour(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    magnetic = Path(__file__).parents[2] / "models" / "magnetic-tile-1.6"
    said = refused(tmp_path, capsys, Path("tile-line"), magnetic)
    assert "tile-line: is in colour, and magnetic-tile-1.6 sees grey pictures" in said


def test_data_without_defects(dark: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "names no defect" in refused(tmp_path, capsys, written(tmp_path / "good", bad=0), dark)
    assert "every picture of 'train' is defective" in refused(tmp_path, capsys, written(tmp_path / "bad", good=0), dark)


@pytest.fixture
def trained(run: Path, tmp_path: Path) -> Path:
    """The run before it was judged."""
    shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("dark-first-1.0"))
    return tmp_path / "run"


def test_data_that_shows_nothing_afterwards(dark: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = written(tmp_path / "plates")
    index = data / "index.csv"
    index.write_text(index.read_text().replace("pit,val", "pit,train"))
    assert "plates: val has no defective part" in refused(tmp_path, capsys, data, dark)


def test_a_promise_that_too_few_parts_can_keep_writes_nothing(
    trained: Path, plates: Path, dark: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(plates, dark, trained, "--clears", "0.01") == 2
    said = capsys.readouterr().err
    assert "12 defective parts are held out that dark-1.0 rejects: they can promise 0.221, and --clears 0.01" in said
    assert [each.name for each in trained.iterdir() if each.is_dir()] == []


def test_a_first_stage_that_saves_no_time_writes_nothing(
    trained: Path, plates: Path, dark: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_stage, "interleaved_ms", lambda predicts, *_: [2.0] * len(predicts))
    assert train(plates, dark, trained) == 2
    assert "with it dark-1.0 would take 1.00 ms more per frame. Nothing was written" in capsys.readouterr().err
    assert not (trained / "dark-first-1.0").exists()


def test_what_belongs_to_a_first_stage_alone(
    plates: Path, dark: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["model", "train", str(plates), "--out", str(tmp_path / "run"), "--clears", "0.1"]) == 2
    assert "--clears: belongs to --first-stage" in capsys.readouterr().err
    assert main(["model", "suspects", str(plates), "--out", str(tmp_path / "run"), "--first-stage", str(dark)]) == 2
    assert "--first-stage: is for `model train`" in capsys.readouterr().err


def test_a_run_is_of_one_second_stage(
    run: Path, plates: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = second_stage(tmp_path, "darker")
    assert train(plates, other, run) == 2
    assert "holds a run with other settings (first_stage_of" in capsys.readouterr().err


def test_the_net_says_one_thing_of_each_square(tmp_path: Path) -> None:
    net = make_net("first", 3, 1).eval()
    assert net(torch.zeros(2, 3, 64, 96)).shape == (2, 1, 2, 3)
    export_onnx(Deployed([net]), tmp_path / "net.onnx", (64, 96, 3))
    assert (tmp_path / "net.onnx").stat().st_size < 400_000


def test_the_loss_of_a_picture_counts_its_highest_value() -> None:
    """One square of a good picture is as wrong as the whole picture, however many squares there are."""
    logits, targets = torch.full((1, 1, 8, 8), -9.0), torch.zeros(1, 1, 8, 8)
    logits[0, 0, 3, 3] = 4.0
    more = Loss(picture_weight=1.0)(logits, targets) - Loss()(logits, targets)
    assert float(more) == pytest.approx(4.0, abs=0.05)
