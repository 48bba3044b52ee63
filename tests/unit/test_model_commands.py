"""`edge-inspector model ...` from labelled images to a judged model folder, as a user types it."""

import csv
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.training import needs_training

from edge_inspector.cli import main
from edge_inspector.commands.model import evaluate
from edge_inspector.records import Image, ModelInfo
from edge_inspector.segmenters.manifest import read_manifest
from edge_inspector.simulation.tiles import CLASSES, TileLine
from edge_inspector.training.judging.limits import Limit
from edge_inspector.training.shipping.claims import holder
from edge_inspector.training.shipping.manifest import Card, Draft, named

ASSETS = Path(__file__).parents[1] / "assets"
TILE = Path(__file__).parents[2] / "models" / "tile-1.1"
TRAIN = [
    "--net",
    "light",
    "--steps",
    "40",
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


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty grey pictures, every second with a dark square, two of each group; six of them are `val`."""
    root = tmp_path_factory.mktemp("squares")
    rng = np.random.default_rng(4)
    rows = []
    for number in range(30):
        image = rng.integers(140, 170, (64, 64), dtype=np.uint8)
        mask = np.zeros((64, 64), np.uint8)
        if number % 2:
            top, left = rng.integers(4, 40, 2)
            image[top : top + 16, left : left + 16] = 20
            mask[top : top + 16, left : left + 16] = 255
        for name, pixels in (("i", image), ("m", mask)):
            cv2.imwrite(str(root / f"{name}{number}.png"), pixels)
        rows.append(
            {
                "image": f"i{number}.png",
                "mask": f"m{number}.png" if number % 2 else "",
                "class": "square" if number % 2 else "good",
                "label": number % 2,
                "group": f"g{number // 2}",
                "split": "val" if number >= 24 else "train",
            }
        )
    with (root / "index.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return root


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs_training()
    run = tmp_path_factory.mktemp("runs") / "squares"
    assert main(["model", "train", str(data), "--out", str(run), *TRAIN]) == 0
    return run


@pytest.fixture(scope="module")
def model(run: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = tmp_path_factory.mktemp("models")
    words = ["model", "quantize", str(run), str(data), "--name", "squares", "--licence", "Apache-2.0"]
    assert main([*words, "--models", str(models), "--force"]) == 0
    return models / "squares-1.0"


MEAN = """
format = 1
name = "mean"
version = "1.0"
licence = "Apache-2.0"
description = "a mean"
classes = ["square"]
[input]
height = 32
width = 48
channels = 1
[output]
stride = 2
[files.int8]
path = "model.onnx"
sha256 = "{sha256}"
[limits.square]
min_confidence = 0.5
min_area_px = 4
"""


def asset_folder(folder: Path, asset: str) -> Path:
    shutil.copy(ASSETS / f"{asset}.onnx", folder / "model.onnx")
    sha256 = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    (folder / "manifest.toml").write_text(MEAN.format(sha256=sha256), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("values", "info", "words"),
    [
        (
            (0, 1),
            {"blind": "class map"},
            ["class map", "largest value 1 of 255: this looks like a class map or 0-1 mask"],
        ),
        ((0, 200), {"doubt": "no number"}, ["no number"]),
        ((0, 255), {}, ["only 0 and 255: a mask without confidences"]),
        ((0, 200), {}, []),
    ],
)
def test_evaluate_tells_of_masks_that_are_no_probabilities(
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    values: tuple[int, int],
    info: dict[str, str],
    words: list[str],
) -> None:
    def predict(image: Image) -> Image:
        mask = np.full((1, image.shape[0] // 2, image.shape[1] // 2), values[0], np.uint8)
        mask[0, 8:16, 8:16] = values[1]
        return mask

    model = ModelInfo(
        "mean",
        "1.0",
        "",
        ("square",),
        height=32,
        width=48,
        channels=1,
        stride=2,
        precision="int8",
        provider="cpu",
        **info,
    )  # type: ignore[arg-type]
    monkeypatch.setattr(evaluate, "model_predictor", lambda *_: (predict, model))
    folder = asset_folder(tmp_path, "grey")
    assert main(["model", "evaluate", str(folder), str(data), "--split", "val", "--dry-run"]) == 0
    warned = [line for line in capsys.readouterr().out.splitlines() if line.startswith("WARN: ")]
    assert len(warned) == len(words)
    assert all(word in line for word, line in zip(words, warned, strict=True))


def test_guard_mends_a_folder_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needs_training()
    folder = asset_folder(tmp_path, "no-number")
    assert main(["model", "guard", str(folder)]) == 0
    assert "int8: model.onnx has a guard now" in capsys.readouterr().out
    mended = (folder / "model.onnx").read_bytes()
    assert mended == (ASSETS / "guarded.onnx").read_bytes()
    assert read_manifest(folder).files["int8"].sha256 == hashlib.sha256(mended).hexdigest()

    assert main(["model", "guard", str(folder)]) == 0
    assert "int8: model.onnx needs no guard" in capsys.readouterr().out
    assert (folder / "model.onnx").read_bytes() == mended


def test_three_commands_make_a_model_that_is_judged(
    data: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.html"
    words = ["model", "evaluate", str(model), str(data), "--report", str(report), "--cost", "100", "1", "0.1"]
    assert main(words) == 0

    said = capsys.readouterr().out
    assert re.search(r"part recall \d\.\d{3} \[\d\.\d{3}, \d\.\d{3}\]: \d of 3 escape", said)
    assert "cheapest limits on these parts" in said
    manifest = read_manifest(model)
    assert set(manifest.files) == {"int8", "fp32", "tensorrt"}
    assert {(score["precision"], score["split"]) for score in manifest.scores} == {
        ("int8", "val"),
        ("fp32", "val"),
        ("fp32", "train, held out by fold"),
    }
    assert manifest.training["steps"] == 40
    page = report.read_text(encoding="utf-8")
    assert "data:image/png;base64," in page
    assert 'src="http' not in page


def test_a_finished_run_is_not_trained_again(run: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path.name: path.read_bytes() for path in run.glob("*.npz")}
    shown = cv2.imread(str(run / "shown.png"))
    assert np.unique(shown.reshape(-1, 3), axis=0).shape[0] > 10
    assert (shown == (0, 200, 0)).all(axis=2).any()
    assert main(["model", "train", str(data), "--out", str(run), *TRAIN]) == 0
    assert "step " not in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in run.glob("fold-*.npz")} == {
        name: content for name, content in before.items() if name.startswith("fold-")
    }
    report = (run / "report.html").read_text(encoding="utf-8")
    assert report.count("data:image/png;base64,") >= 3
    assert "On each fold, with limits chosen on the others" in report


def test_folds_side_by_side_give_the_very_same_net(run: Path, data: Path, tmp_path: Path) -> None:
    assert main(["model", "train", str(data), "--out", str(tmp_path / "run"), *TRAIN, "--jobs", "2"]) == 0
    for name in ("model.fp32.onnx", "figures.json"):
        assert (tmp_path / "run" / name).read_bytes() == (run / name).read_bytes(), name


def test_machines_that_share_a_run_give_the_very_same_net(run: Path, data: Path, tmp_path: Path) -> None:
    """One of them is killed while it trains the first fold. The other one takes that fold over."""
    command = [sys.executable, "-m", "edge_inspector", "model", "train", str(data), "--out", "run", *TRAIN]
    subprocess.run([*command, "--launcher", "slurm"], cwd=tmp_path, check=True, timeout=300)
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "edge-inspector").write_text(f'#!/bin/sh\nexec {sys.executable} -m edge_inspector "$@"\n')
    (tools / "edge-inspector").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
    machines = [
        subprocess.Popen(
            ["sh", str(tmp_path / "run" / "launch.slurm")], env=environment, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    lock, deadline = tmp_path / "run" / "fold-0.lock", time.monotonic() + 300
    try:
        while not holder(lock) and time.monotonic() < deadline:
            time.sleep(0.01)
        first = next(machine for machine in machines if holder(lock).endswith(f" {machine.pid}"))
        first.kill()
        said = [machine.communicate(timeout=300)[0] for machine in machines]
    finally:
        for machine in machines:
            machine.kill()
            machine.wait()
    assert sorted(machine.returncode for machine in machines) == [-signal.SIGKILL, 0]
    assert "held out" in said[machines.index(first) - 1]
    for name in ("model.fp32.onnx", "figures.json"):
        assert (tmp_path / "run" / name).read_bytes() == (run / name).read_bytes(), name


def test_when_time_is_short_the_first_fold_is_judged_alone(data: Path, tmp_path: Path) -> None:
    needs_training()
    words = [*TRAIN, "--steps", "2", "--held-out", "1"]
    assert main(["model", "train", str(data), "--out", str(tmp_path / "run"), *words]) == 0
    kept = json.loads((tmp_path / "run" / "figures.json").read_text())
    held_out = kept["held_out"]
    assert kept["elsewhere"] == {}
    assert "limits chosen on the others" not in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert [path.name for path in (tmp_path / "run").glob("fold-*.npz")] == ["fold-0.npz"]
    assert held_out["parts"] == 12
    assert (tmp_path / "run" / "model.fp32.onnx").is_file()


def test_a_run_is_never_mixed_of_two(run: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["model", "train", str(data), "--out", str(run), *TRAIN, "--seed", "2"]
    assert main(words) == 2
    assert "holds a run with other settings (seed)" in capsys.readouterr().err


def test_corrected_labels_are_another_run(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else the same command would go on with folds dealt anew, or say that the old net were the new one."""
    root = tmp_path / data.name
    shutil.copytree(data, root)
    words = ["model", "train", str(root), "--out", str(run), *TRAIN]
    shutil.copy(root / "m29.png", root / "m25.png")
    assert main(words) == 0  # of the split val: nothing is learned from it
    shutil.copy(root / "m3.png", root / "m1.png")
    assert main(words) == 2
    assert "holds a run with other settings (data_sha256)" in capsys.readouterr().err
    quantize = ["model", "quantize", str(run), str(root), "--name", "squares", "--licence", "x"]
    assert main([*quantize, "--models", str(tmp_path / "models")]) == 2
    assert "DATA: has changed since the run was trained on it" in capsys.readouterr().err


def test_another_net_to_begin_from_is_another_run(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begin, out = tmp_path / "begin.pt", tmp_path / "run"
    shutil.copy(run / "fold-0.checkpoint", begin)
    words = ["model", "train", str(data), "--out", str(out), *TRAIN, "--steps", "1", "--held-out", "1"]
    assert main([*words, "--start", str(begin)]) == 0
    shutil.copy(run / "fold-1.checkpoint", begin)
    assert main([*words, "--start", str(begin)]) == 2
    assert "holds a run with other settings (start)" in capsys.readouterr().err


def test_what_was_held_out_was_never_learned_from(run: Path, data: Path) -> None:
    from edge_inspector.training.data.folder import Folder  # noqa: PLC0415
    from edge_inspector.training.judging.evidence import Evidence  # noqa: PLC0415

    folds = [Evidence.load(run / f"fold-{fold}.npz") for fold in range(2)]
    groups = [set(fold.groups) for fold in folds]
    assert not groups[0] & groups[1]
    assert groups[0] | groups[1] == {row["group"] for row in Folder(data).rows("train")}


def test_a_net_that_learned_from_val_too_is_scored_by_its_folds_and_by_nothing_else(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    needs_training()
    run, models = tmp_path / "run", tmp_path / "models"
    assert main(["model", "train", str(data), "--out", str(run), *TRAIN, "--learn-from", "train+val"]) == 0
    assert json.loads((run / "figures.json").read_text())["held_out"]["parts"] == 30
    words = ["model", "quantize", str(run), str(data), "--name", "all", "--licence", "x", "--models", str(models)]
    assert main([*words, "--force"]) == 0
    assert (
        "the net was trained on val: the following figures compare its files and are not a score"
        in capsys.readouterr().out
    )
    assert main(["model", "evaluate", str(models / "all-1.0"), str(data)]) == 0
    assert "the model was trained on val: the following figures are not a score" in capsys.readouterr().out
    scores = read_manifest(models / "all-1.0").scores
    assert {score["split"] for score in scores} == {"train+val, held out by fold", "val, learned from"}
    assert scores[0]["parts"] == 30
    assert scores[0]["elsewhere"].keys() == {"part_recall", "false_reject_rate"}
    assert named("train+val", "squares", {"learn_from": "train"}) == "train+val, learned from"
    assert named("train", "circles", {"data": "squares"}) == "train"
    assert main(["model", "train", str(data), "--out", str(tmp_path / "no"), "--learn-from", "train+test"]) == 2
    assert "--learn-from" in capsys.readouterr().err


def test_one_net_per_class_is_one_file(data: Path, tmp_path: Path) -> None:
    needs_training()
    out = tmp_path / "run"
    words = [*TRAIN, "--steps", "2", "--per-class", "--loss", "focal", "--soft"]
    assert main(["model", "train", str(data), "--out", str(out), *words]) == 0
    assert sorted(path.name for path in out.glob("*.checkpoint")) == [
        "fold-0-0.checkpoint",
        "fold-1-0.checkpoint",
        "net-0.checkpoint",
    ]
    assert (out / "model.fp32.onnx").is_file()


def test_show_and_compare(model: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "show", str(model)]) == 0
    shown = capsys.readouterr().out
    assert "limit of square" in shown
    assert re.search(
        r"^score on \w+ val int8 onnx$(.|\n)*^  part recall: \d\.\d{3} \[\d\.\d{3}, \d\.\d{3}\]$", shown, re.MULTILINE
    )
    assert main(["model", "compare", str(model), str(model), str(data)]) == 0
    said = capsys.readouterr().out
    assert said.count("part recall") == 2
    assert "only A catches: 0" in said


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Planks of the rendered line, in colour, with two of the five defects that tile-1.1 knows; all of them `val`."""
    root = tmp_path_factory.mktemp("tiles")
    line = TileLine(3, 1, 0.6)
    rows = ["image,mask,class,label,split"]
    for part in range(40):
        truth = line.truth(part, 0)
        kinds = [kind for kind in range(len(CLASSES)) if (truth == 1 + kind).any()]
        if {CLASSES[kind] for kind in kinds} - {"crack", "stain"}:
            continue
        cv2.imwrite(str(root / f"{part}.png"), line.render(part, 0))
        for kind in kinds:
            cv2.imwrite(str(root / f"{part}-{kind}.png"), np.where(truth == 1 + kind, 255, 0).astype(np.uint8))
        rows += [f"{part}.png,{part}-{kind}.png,{CLASSES[kind]},1,val" for kind in kinds]
        rows += [] if kinds else [f"{part}.png,,good,0,val"]
    (root / "index.csv").write_text("\n".join(rows), encoding="utf-8")
    return root


def test_a_model_is_judged_by_its_own_order_of_classes_and_on_some_of_them(
    tiles: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["model", "evaluate", str(TILE), str(tiles), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "recall by class: crack 1.000, stain 1.000\n" in said
    overlaps = re.search(r"mean IoU 0\.(\d+): crack 0\.(\d+), stain 0\.(\d+)\n", said)
    assert overlaps is not None
    assert min(map(int, overlaps.groups())) > 700


def test_pictures_of_a_class_that_a_model_does_not_know(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "evaluate", str(TILE), str(data), "--dry-run"]) == 2
    assert "has the classes square, the model crack, scratch, stain, chip, colour" in capsys.readouterr().err


def test_neither_of_two_models_sees_the_pictures_as_the_other_takes_them(
    tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Compared with a grey model, one for colour was given grey pictures, if it was named second."""
    grey = tmp_path / "grey"
    shutil.copytree(TILE.with_name("magnetic-tile-1.6"), grey)
    Draft(Card("grey", "1", "none", ""), CLASSES, (384, 384, 1), 4, fill="black", limits=[Limit(0.5, 60.0)] * 5).write(
        grey
    )
    assert main(["model", "evaluate", str(TILE), str(tiles), "--dry-run"]) == 0
    alone = capsys.readouterr().out.partition("\n")[2].replace("\n", "\n  ").strip()
    assert main(["model", "compare", str(grey), str(TILE), str(tiles)]) == 0
    assert alone in capsys.readouterr().out


def test_a_gate_that_says_no_leaves_no_model(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge_inspector.training.shipping import gate  # noqa: PLC0415

    monkeypatch.setattr(gate, "MAX_LOSS", -1.0)  # as good is no longer good enough
    words = ["model", "quantize", str(run), str(data), "--name", "squares", "--licence", "Apache-2.0"]
    assert main([*words, "--models", str(tmp_path / "models")]) == 2
    assert "--force ships it anyway" in capsys.readouterr().err
    assert not (tmp_path / "models").exists()


def test_a_gate_that_has_nothing_to_judge_by_says_no_before_any_work(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["model", "quantize", str(run), str(data), "--name", "squares", "--licence", "x", "--force"]
    assert main([*words, "--models", str(tmp_path / "models"), "--split", "nonsense"]) == 2
    assert capsys.readouterr().err.startswith("--split: nonsense has no defective and no good part")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--window", "60", "64"], "--window: 60 is not a multiple of 32"),
        (["--window", "32", "64"], "--window: 32 is less than 64"),
        (["--patch", "64", "32"], "--patch: 32 is less than 64"),
        (["--folds", "1"], "--folds: at least 2"),
        (["--draw", "nonsense=line", "--draw-share", "0.5"], "'nonsense' is none of the classes"),
        (["--draw", "square=cube"], "'cube' is not a shape"),
        (["--draw-share", "0.5"], "needs --draw"),
        (["--start", "/nowhere"], "--start: /nowhere is not a file"),
        (["--group", "nonsense"], "has no column 'nonsense'"),
        (["--net", "nonsense"], "--net: 'nonsense' is unknown. There are: light, large, lite0"),
        (["--net", "resnet34"], "segmentation_models_pytorch are no longer built here: train such a net there"),
        (["--class-weight", "square=heavy"], "is not a number"),
    ],
)
def test_wrong_words_are_told_in_one_line(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    needs_training()
    assert main(["model", "train", str(data), "--out", str(tmp_path / "run"), *TRAIN, *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_defects_of_one_group_are_not_enough(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needs_training()
    root = tmp_path / "data"
    shutil.copytree(data, root)
    heading, *rows = (data / "index.csv").read_text(encoding="utf-8").splitlines()
    kept = [row for row in rows if not row.endswith("train") or ",good," in row or ",g0," in row]
    (root / "index.csv").write_text("\n".join([heading, *kept]), encoding="utf-8")
    assert main(["model", "train", str(root), "--out", str(tmp_path / "run"), *TRAIN]) == 2
    assert "all defects of train are of one group" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--driver", "nonsense"], "--driver: unknown driver 'nonsense'. There are: kserve, onnx, "),
        (["--driver", "two-stage"], "--driver: 'two-stage' cannot run a model folder for itself alone"),
        (["--split", "nonsense"], "has no split 'nonsense'"),
        (["--report", "/nowhere/report.html"], "--report: /nowhere is not a folder"),
    ],
)
def test_what_cannot_be_judged_is_told_in_one_line(
    tiles: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["model", "evaluate", str(TILE), str(tiles), "--dry-run", *words]) == 2
    assert message in capsys.readouterr().err


def test_a_missing_extra_is_told_in_one_line(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    for imported in ("commands.model.train_order", "training.learning.encoders"):
        monkeypatch.delitem(sys.modules, f"edge_inspector.{imported}", raising=False)
    assert main(["model", "train", str(data), "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("torch: is not installed: pip install 'edge-inspector[training,cpu]'")


def test_import_makes_a_folder_that_can_be_trained_on(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "mvtec"
    for source, target in (("i0", "train/good/0"), ("i1", "test/square/1"), ("m1", "ground_truth/square/1_mask")):
        (root / target).parent.mkdir(parents=True)
        (root / f"{target}.png").write_bytes((data / f"{source}.png").read_bytes())
    assert main(["model", "import", "mvtec", str(root), str(tmp_path / "out")]) == 0
    assert "2 images, classes square" in capsys.readouterr().out
    assert main(["model", "import", "mvtec", str(root), str(tmp_path / "out")]) == 2
    assert "exists already" in capsys.readouterr().err
