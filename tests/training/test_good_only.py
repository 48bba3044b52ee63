"""A model from good pictures alone: what it finds, what it promises, and what it refuses before minutes are spent."""

import csv
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.training import needs_training

needs_training()

import torch

from edge_inspector.cli import main
from edge_inspector.commands.model import train_good
from edge_inspector.commands.model.teach_scores import scores_of
from edge_inspector.errors import ConfigError
from edge_inspector.segmenters.manifest import read_manifest
from edge_inspector.training.data import choosing
from edge_inspector.training.good.checks import two_products
from edge_inspector.training.good.disturb import cell_targets, noisy, spoilt
from edge_inspector.training.good.learn import GoodPlan, learn_good, parted, preview_net
from edge_inspector.training.good.limits import LEVELS, promised_limits
from edge_inspector.training.good.memory import SurfaceMemory, chosen
from edge_inspector.training.good.source import Cutting, GoodSource, TaughtPicture
from edge_inspector.training.judging.evidence import Evidence
from edge_inspector.training.judging.likeness import looks, unlike
from edge_inspector.training.judging.runtimes import model_predictor, open_session
from edge_inspector.training.learning.export import export_onnx
from edge_inspector.training.learning.lite import Lite0
from edge_inspector.training.learning.unet import Deployed
from edge_inspector.training.shipping.manifest import FILES

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

SIDE = 64
FRAME = Cutting(window=(64, 64), shrink=1, fill="mirror", channels=1)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A frozen net that has learned nothing, whose features have the usual size."""
    torch.manual_seed(5)
    net = Lite0(3).train()
    with torch.no_grad():
        for _ in range(30):
            net(torch.randn(2, 3, 64, 64))
    path = tmp_path_factory.mktemp("weights") / "lite0.pth"
    torch.save(net.state_dict(), path)
    return path


def plate(seed: int, *, bad: bool = False) -> np.ndarray:
    rng = np.random.default_rng(seed)
    image = np.clip(rng.normal(140, 6, (SIDE, SIDE)), 0, 255).astype(np.uint8)
    if bad:
        top, left = rng.integers(4, 36, 2)
        image[top : top + 24, left : left + 24] = 20
    return image


def written(folder: Path, good: int, bad: int) -> Path:
    """Pictures with index.csv. A third of each kind is `val`."""
    (folder / "images").mkdir(parents=True)
    rows = [("image", "mask", "class", "split")]
    for number in range(good + bad):
        is_bad, name = number >= good, f"{number:02}.png"
        image = plate(number, bad=is_bad)
        cv2.imwrite(str(folder / "images" / name), image)
        mask = ""
        if is_bad:
            mask = f"images/{number:02}_mask.png"
            cv2.imwrite(str(folder / mask), np.where(image < 60, np.uint8(255), np.uint8(0)))
        rows.append((f"images/{name}", mask, "pit" if is_bad else "good", "val" if number % 3 == 0 else "train"))
    with (folder / "index.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder


def trained(data: Path, run: Path, weights: Path, *more: str) -> int:
    words = ["model", "train", str(data), "--out", str(run), "--good-only", "--encoder-weights", str(weights)]
    return main([*words, "--steps", "8", "--folds", "2", "--held-out", "1", "--threads", "1", *more])


def source(weights: Path, folder: Path, count: int = 12) -> GoodSource:
    def picture(seed: int) -> TaughtPicture:
        return TaughtPicture(
            name=f"p{seed}",
            group=f"p{seed}",
            read=lambda: (plate(seed)[:, :, np.newaxis], np.zeros((SIDE, SIDE), np.uint8)),
        )

    return GoodSource([picture(each) for each in range(count)], [], frame=FRAME, weights=weights, cache=folder / "f")


@pytest.fixture(scope="module")
def run(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Data and a finished run."""
    place = tmp_path_factory.mktemp("good")
    data = written(place / "plates", 18, 6)
    assert trained(data, place / "run", weights) == 0
    return data, place / "run"


def test_good_pictures_become_a_model_that_finds_what_it_was_never_shown(
    run: tuple[Path, Path], weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    data, folder = run
    monkeypatch.setattr(train_good, "published_weights", lambda: weights)
    words = ["model", "quantize", str(folder), str(data), "--name", "mine", "--licence", "proprietary", "--force"]
    assert main([*words, "--models", str(tmp_path)]) == 0
    model = tmp_path / "mine-1.0"
    manifest = read_manifest(model)
    assert manifest.classes == ("anomaly",)
    assert manifest.output.stride == 2
    assert "ImageNet" in manifest.training["backbone"]
    assert manifest.training["limits_promise"]["parts"] == 6
    capsys.readouterr()
    assert main(["model", "evaluate", str(model), str(data), "--dry-run"]) == 0
    assert "anomaly 1.000" in capsys.readouterr().out
    predict, info = model_predictor(model, "int8")
    assert not info.blind
    mask = predict(plate(100, bad=True))
    assert mask.shape == (1, SIDE // 2, SIDE // 2)
    assert mask.max() > predict(plate(100)).max() + 50


def test_the_first_minute_gives_a_model_that_can_be_tried(run: tuple[Path, Path]) -> None:
    preview = run[1] / "preview-1.0"
    assert "first look" in read_manifest(preview).description
    predict, _ = model_predictor(preview, "fp32")
    assert predict(plate(100, bad=True)).max() > predict(plate(100)).max()


def test_masks_are_never_read_and_the_same_command_gives_the_same_bytes(
    run: tuple[Path, Path], weights: Path, tmp_path: Path
) -> None:
    data, folder = run
    other = tmp_path / "plates"
    shutil.copytree(data, other)
    rng = np.random.default_rng(1)
    for path in (other / "images").glob("*_mask.png"):
        cv2.imwrite(str(path), np.where(rng.random((SIDE, SIDE)) < 0.2, np.uint8(255), np.uint8(0)))
    assert trained(other, tmp_path / "run", weights) == 0
    assert (tmp_path / "run" / FILES["fp32"]).read_bytes() == (folder / FILES["fp32"]).read_bytes()
    limits = [(each / "figures.json").read_text().split("held_out")[0] for each in (folder, tmp_path / "run")]
    assert limits[0] == limits[1]


def test_a_run_goes_on_when_masks_come(
    run: tuple[Path, Path], weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, folder = run
    again = tmp_path / "run"
    shutil.copytree(folder, again)
    kept = {path.name for path in (again / "features").iterdir()}
    assert trained(data, again, weights, "--use-masks") == 0
    assert "the run goes on with masks" in capsys.readouterr().out
    assert (again / "before-masks" / FILES["fp32"]).exists()
    assert (again / FILES["fp32"]).read_bytes() != (folder / FILES["fp32"]).read_bytes()
    assert kept < {path.name for path in (again / "features").iterdir()}


def test_a_folder_of_good_pictures_becomes_a_model_in_one_command(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(train_good, "published_weights", lambda: weights)
    monkeypatch.setattr(choosing, "_GOOD_STEPS", 8)
    (tmp_path / "pictures" / "good").mkdir(parents=True)
    for seed in range(10):
        cv2.imwrite(str(tmp_path / "pictures" / "good" / f"{seed}.png"), plate(seed))
    words = ["model", "quick", str(tmp_path / "pictures"), "--name", "mine", "--threads", "1", "--good-only"]
    run = tmp_path / "run"
    assert main([*words, "--models", str(tmp_path / "models"), "--out", str(run)]) == 0
    said = capsys.readouterr().out
    assert "of the defective (drawn ones) rejected" in said
    assert "What was asked needs 149 good parts" in said
    bad = run / "data" / "bad.png"
    cv2.imwrite(str(bad), plate(50, bad=True))
    scores = scores_of(run, tmp_path / "models" / "mine-1.0", [bad], run / "data")
    assert len(scores) == 11
    assert scores["bad.png"] >= 1 > max(score for name, score in scores.items() if name != "bad.png")


@pytest.mark.parametrize(
    ("good", "bad", "told"), [(0, 9, "has no good picture"), (2, 3, "has 1 good picture to"), (6, 0, "4 good pictures")]
)
def test_too_few_good_pictures_are_refused(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str], good: int, bad: int, told: str
) -> None:
    assert trained(written(tmp_path / "few", good, bad), tmp_path / "run", weights) == 2
    assert told in capsys.readouterr().err


def test_a_picture_of_another_camera_is_refused(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = written(tmp_path / "odd", 30, 0)
    cv2.imwrite(str(data / "images" / "01.png"), np.full((200, 320), 90, np.uint8))
    assert trained(data, tmp_path / "run", weights) == 2
    assert "01.png: has 320 x 200 pixels, and 29 of 30 good pictures 64 x 64" in capsys.readouterr().err


def test_two_products_are_told_apart_and_one_is_not(weights: Path, tmp_path: Path) -> None:
    one = source(weights, tmp_path)
    assert not two_products(one)

    def striped(seed: int) -> TaughtPicture:
        image = plate(seed)
        image[:, ::6] = 30
        return TaughtPicture(
            name=f"s{seed}", group=f"s{seed}", read=lambda: (image[:, :, np.newaxis], np.zeros_like(image))
        )

    one.good += [striped(seed) for seed in range(9)]
    assert "two products: " in two_products(one)


def test_options_without_meaning_are_refused(
    run: tuple[Path, Path], weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert trained(run[0], tmp_path, weights, "--tta") == 2
    assert "--tta: has no meaning with --good-only" in capsys.readouterr().err
    assert main(["model", "train", str(run[0]), "--out", str(tmp_path), "--use-masks"]) == 2
    assert "belongs to --good-only" in capsys.readouterr().err


def test_pictures_of_another_camera_are_told_when_a_model_is_judged() -> None:
    taught = looks(plate(seed) for seed in range(8))
    assert not unlike(taught, [plate(seed) for seed in range(20, 24)])
    assert "brightness" in unlike(taught, [np.clip(plate(seed), 0, 60) for seed in range(20, 24)])
    assert "320 x 200 pixels" in unlike(taught, [np.full((200, 320), 140, np.uint8)] * 3)
    assert not unlike({}, [plate(1)])


def test_the_file_says_what_the_net_says(weights: Path, tmp_path: Path) -> None:
    net, _ = learn_good(source(weights, tmp_path), GoodPlan(steps=5, remembered=64))
    export_onnx(Deployed([net]), tmp_path / "net.onnx", (SIDE, SIDE, 1))
    images = np.stack([plate(40, bad=True), plate(41)])[:, :, :, np.newaxis]
    found = open_session(tmp_path / "net.onnx").run(None, {"image": images})[0]
    with torch.no_grad():
        wanted = Deployed([net])(torch.from_numpy(images)).numpy()
    assert np.abs(found.astype(int) - wanted.astype(int)).max() <= 2


def test_scales_come_from_pictures_that_nothing_was_learned_from(weights: Path, tmp_path: Path) -> None:
    held, kept = parted(source(weights, tmp_path).good, seed=1)
    assert len(held) == 2
    assert not {each.name for each in held} & {each.name for each in kept}
    net = preview_net(source(weights, tmp_path), GoodPlan(remembered=64))
    assert net.slope > 0


def test_a_distance_counts_by_how_far_good_surfaces_are_apart() -> None:
    torch.manual_seed(1)
    dense, sparse = torch.randn(50, 4) * 0.1, torch.randn(50, 4) * 3.0 + 100.0
    memory = SurfaceMemory(torch.cat([dense, sparse]))
    away = torch.tensor([[2.0, 0.0, 0.0, 0.0], [100.0, 104.0, 100.0, 100.0]]).T.reshape(1, 4, 1, 2)
    near_dense, near_sparse = memory(away)[0, 0, 0].tolist()
    assert near_dense > near_sparse + 1
    picked = chosen(torch.cat([dense, sparse]), 4, torch.Generator().manual_seed(1))
    assert 0 < (picked[:, 0] > 50).sum() < 4, "both kinds are remembered"


def test_disturbances_are_what_their_covers_say() -> None:
    picture = plate(3)[:, :, np.newaxis]
    for seed in range(20):
        image, cover = spoilt(picture, np.random.default_rng(seed))
        again, _ = spoilt(picture, np.random.default_rng(seed))
        assert np.array_equal(image, again)
        changed = (image != picture).any(axis=2)
        near = cv2.dilate(cover, np.ones((13, 13), np.uint8)) > 0
        assert not (changed & ~near).any(), "nothing changes far from the cover"
    cover = np.zeros((20, 32), np.uint8)
    cover[0:8, 8:16] = 255
    assert cell_targets(cover, 8).tolist() == [[2, 1, 2, 0], [2, 2, 2, 0], [0, 0, 0, 0]]
    features, where = noisy(torch.zeros(2, 3, 12, 12), np.random.default_rng(1))
    assert ((features.abs().sum(1) > 0) == (where > 0)).all()


def evidence(good: np.ndarray) -> Evidence:
    """Good parts, each with a region of 100 pixels up to its confidence."""
    count = len(good)
    areas = np.where(good[:, np.newaxis] >= np.array(LEVELS), 100.0, 0.0)[:, np.newaxis]
    empty = np.zeros((count, 1, len(LEVELS)))
    return Evidence(
        names=np.array([f"p{at}" for at in range(count)]), groups=np.arange(count).astype(str), areas=areas,
        peaks=good[:, np.newaxis], true=np.zeros((count, 1), bool), defective=np.zeros(count, bool),
        sizes=np.zeros(count), overlap=empty, union=empty, binary=np.zeros((count, 3)), confidences=np.array(LEVELS),
    )  # fmt: skip


def test_limits_keep_their_promise_on_parts_to_come_and_few_parts_promise_less() -> None:
    rng = np.random.default_rng(1)
    broken = 0
    for _ in range(300):
        found = promised_limits([evidence(rng.beta(2, 5, 200))], 0.05, 2).limits[0]
        broken += float((rng.beta(2, 5, 4000) > found.min_confidence).mean()) > 0.05
    assert broken <= 0.08 * 300
    few = promised_limits([evidence(rng.beta(2, 5, 30))], 0.02, 2)
    assert "needs 149 good parts" in few.said()
    assert few.false_rejects == pytest.approx(0.095, abs=0.001)
    worst = promised_limits([evidence(np.full(200, 0.99))], 0.02, 2).limits[0]
    assert worst.min_area_px > 100


def test_a_source_without_groups_still_holds_pictures_back() -> None:
    def picture(name: str) -> TaughtPicture:
        return TaughtPicture(
            name=name, group="one", read=lambda: (plate(1)[:, :, np.newaxis], np.zeros((1, 1), np.uint8))
        )

    held, kept = parted([picture(f"p{at}") for at in range(10)], 1)
    assert (len(held), len(kept)) == (2, 8)


def test_weights_of_another_net_are_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ConfigError, match="not a state dict of EfficientNet-Lite0"):
        source(tmp_path / "other.pth", tmp_path).frozen()
