"""Wrong material by colour and texture, and two models as one. They need the library that writes nets."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from support.training import needs_training

needs_training()

from edge_inspector.cli import main
from edge_inspector.segmenters.manifest import read_manifest
from edge_inspector.training.judging.runtimes import model_predictor, open_session
from edge_inspector.training.learning.kinds import CELL, MaterialEye, learn, score, write_net

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

Image = NDArray[np.uint8]
BELT = 30
LOOKS = {"oak": ((90, 130, 170), 3.0), "walnut": ((50, 70, 95), 3.0), "felt": ((90, 130, 170), 14.0)}


def part(kind: str, seed: int, size: tuple[int, int] = (96, 120)) -> Image:
    """A part of one kind on a dark belt, somewhere, under light that differs by a tenth."""
    rng = np.random.default_rng(seed)
    colour, grain = LOOKS[kind]
    image = np.full((*size, 3), BELT, np.float64) + rng.normal(0, 1.5, (*size, 3))
    top, left = rng.integers(4, 16, 2)
    height, width = size[0] - 24, size[1] - 24
    surface = np.array(colour) + rng.normal(0, grain, (height, width, 1)) + rng.normal(0, 1.5, (height, width, 3))
    image[top : top + height, left : left + width] = surface
    return np.clip(image * rng.uniform(0.95, 1.05), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("kinds")
    for kind in LOOKS:
        (root / kind).mkdir()
        for seed in range(16):
            cv2.imwrite(str(root / kind / f"{seed}.png"), part(kind, seed))
    return root


@pytest.fixture(scope="module")
def models(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = tmp_path_factory.mktemp("models")
    assert main(["model", "kinds", str(pictures), "--name", "wood", "--models", str(models)]) == 0
    return models


def foreign_px(folder: Path, image: Image) -> int:
    predict, _ = model_predictor(folder, "fp32")
    return int((predict(image) >= 128).sum()) * CELL**2


@pytest.mark.parametrize("kind", sorted(LOOKS))
def test_a_model_accepts_its_own_kind_and_finds_the_others(models: Path, kind: str) -> None:
    folder = models / f"wood-{kind}-1.0"
    limit = read_manifest(folder).limits["wrong-material"].min_area_px
    assert all(foreign_px(folder, part(kind, seed)) < limit for seed in range(100, 110))
    for other in LOOKS.keys() - {kind}:
        assert all(foreign_px(folder, part(other, seed)) >= limit for seed in range(100, 110))


def test_a_piece_of_another_kind_shows_where_it_is(models: Path) -> None:
    image = part("oak", 200)
    image[40:64, 48:80] = part("walnut", 201)[40:64, 48:80]
    predict, info = model_predictor(models / "wood-oak-1.0", "fp32")
    rows, columns = np.nonzero(predict(image)[0] >= 128)
    assert len(rows)
    assert 30 <= rows.min() * info.stride <= rows.max() * info.stride <= 72
    assert 38 <= columns.min() * info.stride <= columns.max() * info.stride <= 88


def test_the_net_answers_as_what_was_learned(pictures: Path, tmp_path: Path) -> None:
    paths = {kind: sorted((pictures / kind).iterdir()) for kind in LOOKS}
    eye = MaterialEye((96, 120), 3)
    oak = next(kind for kind in learn(eye, paths) if kind.name == "oak")
    write_net(oak, eye.shape, tmp_path / "model.onnx")
    for path in (paths["oak"][0], paths["walnut"][0]):
        mask = open_session(tmp_path / "model.onnx").run(None, {"image": cv2.imread(str(path))[np.newaxis]})[0]
        wanted = 0.5 * score(oak.clusters, eye(path)) / oak.level
        assert mask.max() / 255.0 == pytest.approx(min(1.0, wanted), abs=0.01)


def test_a_picture_larger_than_the_window_teaches_with_all_of_it(tmp_path: Path) -> None:
    """Belt on the left, the part on the right: the left window alone would call every part foreign."""

    def wide(kind: str, seed: int) -> Image:
        picture = part(kind, seed)
        belt = np.random.default_rng(seed).normal(BELT, 1.5, picture.shape)
        return np.hstack([np.clip(belt, 0, 255).astype(np.uint8), picture])

    for kind in ("oak", "walnut"):
        (tmp_path / "wide" / kind).mkdir(parents=True)
        for seed in range(16):
            cv2.imwrite(str(tmp_path / "wide" / kind / f"{seed}.png"), wide(kind, seed))
    words = ["model", "kinds", str(tmp_path / "wide"), "--name", "wide", "--models", str(tmp_path / "models")]
    assert main([*words, "--window", "96", "32"]) == 2
    assert main([*words, "--window", "96", "120"]) == 0
    folder = tmp_path / "models" / "wide-oak-1.0"
    limit = read_manifest(folder).limits["wrong-material"].min_area_px
    assert all(foreign_px(folder, wide("oak", seed)) < limit for seed in range(100, 106))
    assert all(foreign_px(folder, wide("walnut", seed)) >= limit for seed in range(100, 106))


def test_it_says_what_it_cannot_tell_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "other"):
        (tmp_path / "same" / name).mkdir(parents=True)
        for seed in range(10):
            cv2.imwrite(str(tmp_path / "same" / name / f"{seed}.png"), part("oak", seed + 50 * (name == "other")))
    assert main(["model", "kinds", str(tmp_path / "same"), "--name", "x", "--models", str(tmp_path / "models")]) == 0
    assert "colour and texture do not tell these kinds apart" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ("", "there is no such folder"),
        ("parts", "has no folders"),
        ("parts/oak", "0 pictures are too few for a kind: at least 8"),
    ],
)
def test_what_teaches_nothing_is_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], made: str, message: str
) -> None:
    (tmp_path / made).mkdir(parents=True, exist_ok=True)
    assert main(["model", "kinds", str(tmp_path / "parts"), "--name", "x", "--models", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err.splitlines()[0]


# Two as one.


def test_two_models_are_one_whose_mask_has_the_classes_of_both(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [models / f"wood-{kind}-1.0" for kind in ("oak", "walnut")]
    manifest = (folders[1] / "manifest.toml").read_text().replace("wrong-material", "no-walnut")
    (folders[1] / "manifest.toml").write_text(manifest)
    words = ["model", "join", *map(str, folders), "--name", "both", "--models", str(models)]
    assert main(words) == 0
    assert "wrong-material, no-walnut" in capsys.readouterr().out
    image = part("oak", 300)
    predict, info = model_predictor(models / "both-1.0", "fp32")
    singles = [model_predictor(folder, "fp32")[0](image) for folder in folders]
    assert np.array_equal(predict(image), np.concatenate(singles))
    assert not info.doubt
    assert set(read_manifest(models / "both-1.0").limits) == {"wrong-material", "no-walnut"}
    assert main(words) == 2
    assert "exists already" in capsys.readouterr().err


def test_the_files_that_the_manifests_name_are_joined(models: Path, tmp_path: Path) -> None:
    """A file of any name. A stray one beside it has nothing to say."""
    oak, felt = tmp_path / "oak", tmp_path / "felt"
    shutil.copytree(models / "wood-oak-1.0", oak)
    shutil.copytree(models / "wood-felt-1.0", felt)
    (felt / "model.fp32.onnx").rename(felt / "felt.onnx")
    (felt / "model.int8.onnx").write_bytes(b"stray")
    manifest = (felt / "manifest.toml").read_text()
    (felt / "manifest.toml").write_text(
        manifest.replace("model.fp32.onnx", "felt.onnx").replace("wrong-material", "no-felt")
    )
    assert main(["model", "join", str(oak), str(felt), "--name", "named", "--models", str(tmp_path)]) == 0
    assert set(read_manifest(tmp_path / "named-1.0").files) == {"fp32"}


def test_two_that_do_not_fit_are_refused(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    oak, felt = models / "wood-oak-1.0", models / "wood-felt-1.0"
    assert main(["model", "join", str(oak), str(felt), "--name", "x", "--models", str(tmp_path)]) == 2
    assert "has the class 'wrong-material', and so has" in capsys.readouterr().err
    tile = Path(__file__).parents[2] / "models" / "tile-1.1"
    assert main(["model", "join", str(oak), str(tile), "--name", "x", "--models", str(tmp_path)]) == 2
    assert "both must see the same" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
