from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch", reason="the extra `training` is not installed")
pytest.importorskip("onnx", reason="the extra `training` is not installed")

import onnxruntime as ort
import torch
from edge_inspector.training.dataset import Augmentation, RenderedTiles, windows
from edge_inspector.training.evaluate import Evidence, Limit

from edge_inspector.training import evaluate, quantize
from edge_inspector.training.export import export_onnx
from edge_inspector.training.nets import Deployed, Segmenter
from edge_inspector.training.train import Plan, dice_bce, fit

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

WIDTHS = (8, 16, 16, 16, 16)
SIZE = 64


def frames(count: int) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(3)
    return [rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8) for _ in range(count)]


@pytest.fixture(scope="module")
def net() -> Segmenter:
    torch.manual_seed(1)
    net = Segmenter(3, 2, WIDTHS)
    # Strong logits of either sign: a fresh net answers nearly the same everywhere, which would hide any fault.
    torch.nn.init.normal_(net.head.weight, std=1.0)
    torch.nn.init.zeros_(net.head.bias)
    net.train()
    for _ in range(20):
        net(torch.randn(4, 3, SIZE, SIZE))
    return net.eval()


@pytest.fixture(scope="module")
def files(net: Segmenter, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("model")
    fp32, int8 = folder / "fp32.onnx", folder / "int8.onnx"
    export_onnx(net, fp32, SIZE, SIZE, 3)
    quantize.quantize(fp32, int8, frames(8))
    return fp32, int8


def test_the_file_answers_as_the_net_does(net: Segmenter, files: tuple[Path, Path]) -> None:
    batch = np.stack(frames(3))
    mask = quantize.open_session(files[0]).run(None, {"image": batch})[0]
    expected = Deployed(net)(torch.from_numpy(batch)).numpy()
    assert mask.shape == (3, 2, SIZE // 2, SIZE // 2)
    assert mask.dtype == np.uint8
    assert np.abs(mask.astype(int) - expected.astype(int)).max() <= 1


def test_the_interface_is_the_documented_one(files: tuple[Path, Path]) -> None:
    for path in files:
        session: ort.InferenceSession = quantize.open_session(path)
        image, mask = session.get_inputs()[0], session.get_outputs()[0]
        assert (image.name, image.type, image.shape[1:]) == ("image", "tensor(uint8)", [SIZE, SIZE, 3])
        assert (mask.name, mask.type, mask.shape[1:]) == ("mask", "tensor(uint8)", [2, SIZE // 2, SIZE // 2])


def test_int8_does_not_saturate(files: tuple[Path, Path]) -> None:
    assert quantize.disagreement(files[1], frames(8)) < 1e-3


def test_int8_stays_close_to_fp32(files: tuple[Path, Path]) -> None:
    batch = np.stack(frames(4))
    full, small = (quantize.open_session(path).run(None, {"image": batch})[0].astype(int) for path in files)
    assert np.abs(full - small).mean() < 12.0


def test_training_lowers_the_loss_and_repeats_itself() -> None:
    first, second = (fit(RenderedTiles((31,)), Plan(WIDTHS, steps=2, batch=2)) for _ in range(2))
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_perfect_answer_costs_nothing_and_a_wrong_one_much() -> None:
    targets = torch.zeros((1, 2, 8, 8))
    targets[0, 0, 2:4, 2:4] = 1.0
    assert float(dice_bce(targets * 40.0 - 20.0, targets, 3.0)) < 1e-3
    assert float(dice_bce(20.0 - targets * 40.0, targets, 3.0)) > 1.0


def test_image_and_classes_move_together() -> None:
    classes = np.zeros((64, 64), np.uint8)
    classes[20:40, 10:30] = 1
    image = (classes * 200)[:, :, np.newaxis]
    moved, labels = Augmentation(turn_deg=20.0, scale=0.2)((image, classes), np.random.default_rng(5))
    assert np.mean((moved[:, :, 0] > 100) == (labels == 1)) > 0.97


@pytest.mark.parametrize("shape", [(103, 222), (256, 256), (403, 631), (257, 300)])
def test_windows_cover_the_frame_and_overlap(shape: tuple[int, int]) -> None:
    image = np.zeros((*shape, 1), np.uint8)
    covered = np.zeros((shape[0] + 256, shape[1] + 256), np.int64)
    for row, column, patch in windows(image):
        assert patch.shape == (256, 256, 1)
        assert row % 2 == column % 2 == 0
        covered[row : row + 256, column : column + 256] += 1
    assert covered[: shape[0], : shape[1]].min() >= 1


def evidence() -> Evidence:
    """Ten good parts with regions up to 20 px, ten bad ones from 100 px on."""
    areas = np.zeros((20, 1, len(evaluate.CONFIDENCES)))
    areas[:10] = np.linspace(0, 20, 10)[:, np.newaxis, np.newaxis]
    areas[10:] = np.linspace(100, 200, 10)[:, np.newaxis, np.newaxis]
    bad = np.arange(20) >= 10
    nothing = np.zeros((1, len(evaluate.CONFIDENCES)))
    return Evidence(("crack",), areas, bad[:, np.newaxis], bad, nothing, nothing)


def test_limits_separate_what_can_be_separated() -> None:
    limits = evaluate.choose_limits(evidence(), 0.0)
    assert 20.0 < limits[0].min_area_px < 100.0
    figures = evaluate.score(evidence(), limits)
    assert (figures.part_recall, figures.false_reject_rate) == (1.0, 0.0)


def test_limits_decide_by_area_as_the_line_does() -> None:
    assert evidence().rejected([Limit(0.5, 150.0)]).sum() == 5


def test_a_class_without_any_evidence_rejects_no_good_part() -> None:
    seen = evidence()
    blind = Evidence(seen.classes, seen.areas[::-1].copy(), seen.true, seen.defective, seen.overlap, seen.union)
    assert not blind.rejected(evaluate.choose_limits(blind, 0.0))[:10].any()
