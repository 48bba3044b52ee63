"""What every segmenter must do, and what the ONNX one must refuse."""

import hashlib
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_inspector.drivers import Segmenter, load_driver
from edge_inspector.errors import ConfigError, InferenceError
from edge_inspector.records import Image
from edge_inspector.segmenters import guarding, model_file, onnx_session
from edge_inspector.segmenters import openvino as openvino_driver
from edge_inspector.segmenters.manifest import Fill, Manifest, read_manifest
from edge_inspector.segmenters.onnx import OnnxSegmenter
from edge_inspector.segmenters.onnx_session import OnnxEngine, Wanted, gpu_description, tensorrt_options
from edge_inspector.segmenters.openvino import OpenVinoSegmenter
from edge_inspector.segmenters.tiling import place, plan_tiles
from edge_inspector.segmenters.two_stage import TwoStageSegmenter
from edge_inspector.simulation.segmenter import SimulatedSegmenter

ROOT = Path(__file__).parents[2]
ASSETS = ROOT / "tests" / "assets"
SHIPPED = [ROOT / "models" / name for name in ("tile-1.1", "magnetic-tile-1.6")]

MANIFEST = """
format = 1
name = "tiny"
version = "1.0"
licence = "Apache-2.0"
description = "two means"
classes = [{classes}]
[input]
height = {height}
width = 48
channels = {channels}
[output]
stride = 2
[files.int8]
path = "model.onnx"
sha256 = "{sha256}"
[limits.{first}]
min_confidence = 0.5
min_area_px = 4
"""


def tiny(folder: Path, asset: str = "two-classes", classes: tuple[str, ...] = ("dark", "red"), **changes: Any) -> Path:
    model = folder / "model.onnx"
    shutil.copy(ASSETS / f"{asset}.onnx", model)
    fields = {
        "classes": ", ".join(f'"{name}"' for name in classes),
        "first": classes[0],
        "height": 32,
        "channels": 3,
        "sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
    }
    (folder / "manifest.toml").write_text(MANIFEST.format(**(fields | changes)), encoding="utf-8")
    return folder


def build(folder: Path, **settings: Any) -> OnnxSegmenter:
    return OnnxSegmenter(folder, OnnxSegmenter.Settings(**{"overlap_px": 8} | settings))


def onnx(folder: Path, **settings: Any) -> OnnxSegmenter:
    return build(tiny(folder), **settings)


def openvino(folder: Path, **settings: Any) -> OpenVinoSegmenter:
    pytest.importorskip("openvino", reason="the extra `openvino` is not installed")
    settings = {"overlap_px": 8} | settings
    return OpenVinoSegmenter(tiny(folder), OpenVinoSegmenter.Settings(**settings))


def two_stage(folder: Path, **settings: Any) -> TwoStageSegmenter:
    """The same model twice: whatever the first is to clear, the second would not see either."""
    settings = {"settings": {"overlap_px": 8} | settings, "first": "first", "suspicion": 0.001}
    for name in ("first", "second"):
        (folder / name).mkdir(exist_ok=True)
        tiny(folder / name)
    return TwoStageSegmenter(folder / "second", TwoStageSegmenter.Settings(**settings))


def simulated(folder: Path, **settings: Any) -> SimulatedSegmenter:
    return SimulatedSegmenter(folder, SimulatedSegmenter.Settings(**settings))


SEGMENTERS = [
    pytest.param(onnx, id="onnx"),
    pytest.param(openvino, id="openvino"),
    pytest.param(simulated, id="simulated"),
]


@pytest.fixture(params=SEGMENTERS)
def segmenter(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Segmenter]:
    made: Segmenter = request.param(tmp_path, max_batch=4, workers=2)
    made.open()
    yield made
    made.close()


def picture(height: int, width: int, channels: int = 3, seed: int = 0) -> Image:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def expected(image: Image) -> Image:
    """What two-classes.onnx computes, of a whole image of any size."""
    padded = np.pad(image, ((0, image.shape[0] % 2), (0, image.shape[1] % 2), (0, 0)), mode="reflect")
    height, width = padded.shape[0] // 2, padded.shape[1] // 2
    means = padded.reshape(height, 2, width, 2, 3).mean(axis=(1, 3))
    return np.stack([255 - means[..., 1], means[..., 2]]).astype(np.uint8)


@pytest.mark.parametrize("shape", [(32, 48), (256, 256), (31, 47), (1, 1), (33, 100), (7, 301)])
@pytest.mark.parametrize("channels", [1, 3])
def test_mask_of_any_size(segmenter: Segmenter, shape: tuple[int, int], channels: int) -> None:
    (mask,) = segmenter.segment([picture(*shape, channels)])

    stride = segmenter.info.stride
    assert mask.shape == (len(segmenter.info.classes), -(-shape[0] // stride), -(-shape[1] // stride))
    assert mask.dtype == np.uint8


def test_info_before_open(tmp_path: Path) -> None:
    for make in (onnx, simulated):
        info = make(tmp_path).info
        assert info.name
        assert info.classes
        assert info.height % info.stride == 0


def test_batch_gives_what_single_images_give(segmenter: Segmenter) -> None:
    images = [picture(*shape, seed=seed) for seed, shape in enumerate([(32, 48), (70, 90), (20, 20), (32, 48)])]

    together = segmenter.segment(images)

    for image, mask in zip(images, together, strict=True):
        np.testing.assert_array_equal(mask, segmenter.segment([image])[0])


def test_nothing_gives_nothing(segmenter: Segmenter) -> None:
    assert segmenter.segment([]) == []


def test_masks_belong_to_the_caller(segmenter: Segmenter) -> None:
    (first,) = segmenter.segment([picture(32, 48, seed=1)])
    kept = first.copy()
    segmenter.segment([picture(32, 48, seed=2)])

    np.testing.assert_array_equal(first, kept)


def test_views_and_read_only_images(segmenter: Segmenter) -> None:
    whole = picture(64, 96)
    whole.flags.writeable = False
    view = whole[::2, ::2]

    np.testing.assert_array_equal(segmenter.segment([view])[0], segmenter.segment([view.copy()])[0])


def test_threads_in_parallel_give_equal_results(segmenter: Segmenter) -> None:
    images = [picture(32, 48, seed=1), picture(100, 70, seed=2), picture(20, 90, seed=3)]
    alone = [segmenter.segment([image])[0] for image in images]
    start = threading.Barrier(4)

    def many(_: int) -> bool:
        start.wait(10)
        return all(
            np.array_equal(segmenter.segment([image])[0], mask)
            for _ in range(100)
            for image, mask in zip(images, alone, strict=True)
        )

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(many, range(4)))


def test_too_many_images(segmenter: Segmenter) -> None:
    with pytest.raises(InferenceError, match="at most 4"):
        segmenter.segment([picture(32, 48)] * 5)


@pytest.mark.parametrize("image", [np.zeros((32, 48, 3), np.float32), np.zeros((0, 48, 3), np.uint8)])
def test_what_is_no_image(segmenter: Segmenter, image: Any) -> None:
    with pytest.raises(InferenceError, match="uint8"):
        segmenter.segment([image])


def test_close_twice_and_open_again(segmenter: Segmenter) -> None:
    image = picture(50, 50)
    before = segmenter.segment([image])[0]
    segmenter.close()
    segmenter.close()
    with pytest.raises(InferenceError, match="not open"):
        segmenter.segment([image])
    segmenter.open()

    np.testing.assert_array_equal(segmenter.segment([image])[0], before)


def test_open_again_while_others_work(segmenter: Segmenter) -> None:
    image = picture(50, 50)
    (mask,) = segmenter.segment([image])

    def work(_: int) -> bool:
        return all(np.array_equal(segmenter.segment([image])[0], mask) for _ in range(200))

    with ThreadPoolExecutor(2) as pool:
        results = pool.map(work, range(2))
        segmenter.open()
        assert all(results)


def test_a_session_that_warms_up_changes_nothing_for_the_one_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU that is back takes eight images at once: the buffers of the CPU's session hold one."""
    segmenter = onnx(tmp_path)
    segmenter.open()
    before = segmenter.info, segmenter.max_batch, segmenter.workers
    start = segmenter._start
    warming, go_on = threading.Event(), threading.Event()

    def start_on_gpu(manifest: Manifest) -> OnnxEngine:
        engine = start(manifest)
        engine.on_cpu, engine.provider = False, "tensorrt"
        engine.output_shape = hold(engine.output_shape)  # type: ignore[method-assign]
        return engine

    def hold(shape: Callable[[Image], tuple[int, ...]]) -> Callable[[Image], tuple[int, ...]]:
        def held(pixels: Image) -> tuple[int, ...]:
            warming.set()
            go_on.wait(10)
            return shape(pixels)

        return held

    monkeypatch.setattr(segmenter, "_start", start_on_gpu)
    with ThreadPoolExecutor(1) as pool:
        opened = pool.submit(segmenter.open)
        assert warming.wait(10)
        assert (segmenter.info, segmenter.max_batch, segmenter.workers) == before
        old = segmenter._running
        go_on.set()
        opened.result(10)
    assert (segmenter.info.provider, segmenter.max_batch, segmenter.workers) == ("tensorrt", 8, 1)

    segmenter._running = old  # a thread that took it just before
    with pytest.raises(InferenceError, match=r"tiny-1\.0/int8/cpu: 8 images, at most 1"):
        segmenter.segment([picture(32, 48)] * 8)
    np.testing.assert_array_equal(segmenter.segment([picture(70, 90)])[0], expected(picture(70, 90)))


@pytest.mark.parametrize("make", SEGMENTERS)
def test_driver_table(make: Callable[..., Segmenter], tmp_path: Path) -> None:
    assert any(
        load_driver("segmenters", name) is type(make(tmp_path))
        for name in ("onnx", "openvino", "two-stage", "simulated")
    )


@pytest.mark.parametrize("shape", [(32, 48), (64, 96), (65, 97), (200, 48), (32, 333), (20, 100)])
@pytest.mark.parametrize("overlap", [0, 8, 30])
def test_onnx_tiles_give_what_the_whole_image_gives(tmp_path: Path, shape: tuple[int, int], overlap: int) -> None:
    segmenter = onnx(tmp_path, overlap_px=overlap)
    segmenter.open()
    image = picture(*shape)

    np.testing.assert_array_equal(segmenter.segment([image])[0], expected(image))


@pytest.mark.parametrize("length", range(1, 300, 7))
@pytest.mark.parametrize(("overlap", "stride"), [(0, 1), (32, 2), (62, 2), (17, 4)])
def test_tiles_cover_and_overlap(length: int, overlap: int, stride: int) -> None:
    tiles = plan_tiles(length, 64, tile=(64, 64), overlap=overlap, stride=stride)

    assert tiles[0].top == 0
    assert tiles[-1].bottom == length
    assert all(tile.top % stride == 0 and tile.top < tile.bottom <= length for tile in tiles)
    for above, below in pairwise(tiles):
        assert above.top < below.top <= above.top + 64 - overlap


@pytest.mark.parametrize(("shape", "fill"), [((40, 50), "mirror"), ((20, 50), "mirror"), ((20, 50), "black")])
def test_what_a_frame_lacks_is_filled_up(shape: tuple[int, int], fill: Fill) -> None:
    image = picture(*shape)
    slot = picture(64, 64, seed=1)
    place(image, slot, fill)
    assert np.array_equal(slot[: shape[0], : shape[1]], image)
    below, right = slot[shape[0] :], slot[:, shape[1] :]
    if fill == "black":
        assert not below.any()
        assert not right.any()
    else:
        last = shape[0] - (2 if shape[0] > 32 else 1)
        assert np.array_equal(below[0, : shape[1]], image[last])


def test_onnx_grey_model(tmp_path: Path) -> None:
    folder = tiny(tmp_path, "grey", classes=("dark",), channels=1)
    segmenter = build(folder)
    segmenter.open()
    image = picture(60, 70)
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)

    np.testing.assert_array_equal(segmenter.segment([image])[0], segmenter.segment([grey])[0])
    np.testing.assert_array_equal(
        segmenter.segment([grey])[0][0], (255 - grey.reshape(30, 2, 35, 2).mean((1, 3))).astype(np.uint8)
    )


def test_onnx_says_what_runs(tmp_path: Path) -> None:
    segmenter = onnx(tmp_path, workers=3)
    assert segmenter.info.provider == ""
    segmenter.open()

    assert segmenter.info.label == "tiny-1.0/int8/cpu"
    assert segmenter.info.limits == {"dark": (0.5, 4)}
    assert segmenter.info.sha256 == hashlib.sha256((ASSETS / "two-classes.onnx").read_bytes()).hexdigest()
    assert (segmenter.max_batch, segmenter.workers) == (1, 3)


def test_onnx_never_uses_the_tensorrt_file_on_the_cpu(tmp_path: Path) -> None:
    folder = tiny(tmp_path)
    manifest = folder / "manifest.toml"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace("files.int8", "files.tensorrt"), encoding="utf-8")

    with pytest.raises(ConfigError, match=r"provider cpu: .* has no files\.int8"):
        build(folder).open()


def test_onnx_required_provider_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="provider tensorrt"):
        onnx(tmp_path, require_provider="tensorrt").open()


def test_onnx_overlap_leaves_tiles_room(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="overlap_px: at most 30"):
        onnx(tmp_path, overlap_px=31)


def test_onnx_without_the_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match=r"pip install edge-inspector\[cpu\]"):
        onnx(tmp_path).open()


def test_onnx_wrong_hash(tmp_path: Path) -> None:
    segmenter = onnx(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"another")

    with pytest.raises(ConfigError, match=r"files\.int8\.sha256: model\.onnx is damaged or another file"):
        segmenter.open()


def test_onnx_damaged_file_with_its_own_hash(tmp_path: Path) -> None:
    damaged = (ASSETS / "two-classes.onnx").read_bytes()[:200]
    folder = tiny(tmp_path, sha256=hashlib.sha256(damaged).hexdigest())
    (folder / "model.onnx").write_bytes(damaged)

    with pytest.raises(ConfigError, match=r"model\.onnx: does not load on cpu"):
        build(folder).open()


def test_onnx_all_differences_at_once(tmp_path: Path) -> None:
    segmenter = build(tiny(tmp_path, height=64, channels=1), providers=("cpu",))
    with pytest.raises(ConfigError) as raised:
        segmenter.open()

    assert [fault.where.rpartition(": ")[2] for fault in raised.value.faults] == ["input image", "output masks"]
    assert "(any, 64, 48, 1) expected, the model has ['batch', 32, 48, 3]" in str(raised.value)


def test_onnx_output_that_is_no_byte(tmp_path: Path) -> None:
    folder = tiny(tmp_path, "float-output", classes=("dark",), channels=1)
    difference = r"output masks: type tensor\(uint8\) expected, the model has tensor\(float\)"
    with pytest.raises(ConfigError, match=difference):
        build(folder).open()


RUNTIMES = [
    pytest.param(OnnxSegmenter, id="onnx"),
    pytest.param(
        OpenVinoSegmenter,
        id="openvino",
        marks=pytest.mark.skipif(find_spec("openvino") is None, reason="the extra `openvino` is not installed"),
    ),
]


def opened(kind: Any, folder: Path, asset: str, **settings: Any) -> Any:
    segmenter = kind(tiny(folder, asset, classes=("dark",), channels=1), kind.Settings(overlap_px=8, **settings))
    segmenter.open()
    return segmenter


@pytest.mark.parametrize("kind", RUNTIMES)
def test_what_is_no_number_makes_the_whole_mask_certain(kind: Any, tmp_path: Path) -> None:
    """A cast makes 0 of it, which means good. Behind a guard it says what no mask says, whoever made the file."""
    image = picture(32, 48, 1) | 1
    broken = image.copy()
    broken[6:8, 8:10] = 0  # one pixel of the mask
    whole = (255 - image.reshape(16, 2, 24, 2).mean((1, 3))).astype(np.uint8)

    for asset in ("no-number", "clipped", "whole"):
        bare = opened(kind, tmp_path, asset)
        assert (bare.segment([broken])[0] == 255).all()
        np.testing.assert_allclose(bare.segment([image])[0][0], whole, atol=1)
        assert "an invalid number (NaN) becomes 0" in bare.info.doubt
        bare.close()
    guarded = opened(kind, tmp_path, "guarded")
    assert (guarded.segment([broken])[0] == 255).all()
    np.testing.assert_allclose(guarded.segment([image])[0][0], whole, atol=1)  # some divide by multiplying
    assert (guarded.info.doubt, guarded.info.blind) == ("", "")


@pytest.mark.parametrize("kind", RUNTIMES)
def test_values_above_255_are_cut_and_do_not_wrap(kind: Any, tmp_path: Path) -> None:
    image = np.full((32, 48), 100, np.uint8)  # 310, which would be 54
    image[:, 24:] = 200
    net = opened(kind, tmp_path, "doubled")
    assert net.segment([image])[0][0, 0, [0, 23]].tolist() == [255, 110]
    assert "values above 255 wrap" in net.info.doubt


@pytest.mark.parametrize("kind", RUNTIMES)
def test_a_net_that_cannot_get_a_guard_is_refused(kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarding, "_NEEDS", 12)
    with pytest.raises(ConfigError, match=r"wrap: .* No guard can be added: its operators are of version 11"):
        opened(kind, tmp_path, "doubled")


@pytest.mark.parametrize("kind", RUNTIMES)
def test_masks_that_cannot_say_defective_are_found_out(kind: Any, tmp_path: Path) -> None:
    info = opened(kind, tmp_path, "zero-one").info
    assert info.blind == (
        "its masks hold nothing but 0 and 1 (the graph ends in Greater), and no probabilities from 0 to 255"
    )
    assert info.values == {0, 1}
    good = opened(kind, tmp_path, "grey").info
    assert good.blind == ""
    assert len(good.values) > 100


@pytest.mark.parametrize("kind", RUNTIMES)
def test_a_net_that_goes_round_for_ever_is_given_up(kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_session, "_FIRST_RUN_S", 0.2)
    with pytest.raises(ConfigError, match=r"has a Loop, which openvino may never be done with|came within 0\.2 s"):
        opened(kind, tmp_path, "endless")


@pytest.mark.parametrize("kind", RUNTIMES)
def test_a_net_as_it_was_exported_is_refused_once_and_with_the_way_on(
    kind: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConfigError) as raised:
        opened(kind, tmp_path, "raw")
    (fault,) = raised.value.faults
    assert fault.where.endswith("model.onnx")
    for words in (
        "input input: type ",
        "shape (any, 32, 48, 1) expected",
        "output output: type ",
        "docs/how-to/model.md",
    ):
        assert words in fault.what
    assert caplog.text == ""


@pytest.mark.parametrize("kind", RUNTIMES)
def test_a_runtime_is_given_the_bytes_that_were_hashed(
    kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is exchanged behind the check is not what runs."""
    load = model_file.load_file
    exchanged = (ASSETS / "no-number.onnx").read_bytes()

    def load_and_exchange(model_dir: Path, *rest: Any) -> model_file.LoadedFile:
        found = load(model_dir, *rest)
        (model_dir / "model.onnx").write_bytes(exchanged)
        return found

    for module in (onnx_session, openvino_driver):
        monkeypatch.setattr(module, "load_file", load_and_exchange)
    image = picture(32, 48, 1)
    image[:] = 0
    assert (opened(kind, tmp_path, "grey").segment([image])[0] == 255).all()


def test_a_file_that_changed_since_its_manifest_was_read_is_refused(tmp_path: Path) -> None:
    manifest = read_manifest(tiny(tmp_path))
    (tmp_path / "model.onnx").write_bytes((ASSETS / "grey.onnx").read_bytes())
    with pytest.raises(ConfigError, match=r"model\.onnx: has changed"):
        model_file.load_file(tmp_path, manifest, "int8", "cpu")
    (tmp_path / "model.onnx").unlink()
    with pytest.raises(ConfigError, match=r"model\.onnx: cannot be read: No such file"):
        model_file.load_file(tmp_path, manifest, "int8", "cpu")


def test_only_the_file_that_the_recipe_demands_is_run(tmp_path: Path) -> None:
    folder = tiny(tmp_path)
    sha256 = hashlib.sha256((ASSETS / "two-classes.onnx").read_bytes()).hexdigest()
    segmenter = build(folder, model_sha256=sha256)
    segmenter.open()
    assert segmenter.info.sha256 == sha256

    other = "0" * 64
    with pytest.raises(ConfigError, match=f"model_sha256: {other} is none of the files in .*: {sha256}"):
        build(folder, model_sha256=other)
    manifest = folder / "manifest.toml"
    (folder / "other.onnx").write_bytes(b"\x08\x08")
    other = hashlib.sha256(b"\x08\x08").hexdigest()
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(f'{text}[files.fp32]\npath = "other.onnx"\nsha256 = "{other}"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"model_sha256: {other} is required, but .*model\.onnx would run"):
        build(folder, model_sha256=other).open()


def test_two_stages_say_what_looks_first_and_hide_no_weakness(tmp_path: Path) -> None:
    two_stage(tmp_path)
    tiny(tmp_path / "first", "zero-one", classes=("dark",), channels=1)
    second = hashlib.sha256((ASSETS / "two-classes.onnx").read_bytes()).hexdigest()
    settings = {"first": "first", "settings": {"overlap_px": 8}, "model_sha256": second}
    stages = TwoStageSegmenter(tmp_path / "second", TwoStageSegmenter.Settings(**settings))
    stages.open()
    first = hashlib.sha256((ASSETS / "zero-one.onnx").read_bytes()).hexdigest()
    assert f"tiny-1.0/int8/cpu {first}, onnxruntime " in stages.info.before
    assert "nothing but 0 and 1" in stages.info.blind
    assert stages.info.values == {0, 1}
    assert stages.info.sha256 == second


def test_low_values_of_a_first_stage_are_no_weakness_if_they_suffice(tmp_path: Path) -> None:
    """Good parts get empty masks, so these must not look like those of a model that can find nothing."""
    two_stage(tmp_path)
    tiny(tmp_path / "first", "zero-one", classes=("dark",), channels=1)
    for suspicion, largest in ((0.003, 243), (0.005, 1)):
        settings = {"first": "first", "suspicion": suspicion, "settings": {"overlap_px": 8}}
        stages = TwoStageSegmenter(tmp_path / "second", TwoStageSegmenter.Settings(**settings))
        stages.open()
        assert max(stages.info.values) == largest


def test_onnx_model_for_one_image(tmp_path: Path) -> None:
    folder = tiny(tmp_path, "one-at-a-time")
    single = build(folder)
    single.open()
    assert single.max_batch == 1

    with pytest.raises(ConfigError, match="one image at a time"):
        build(folder, max_batch=2).open()


def test_openvino_says_what_runs(tmp_path: Path) -> None:
    segmenter = openvino(tmp_path)
    segmenter.open()
    assert segmenter.info.label == "tiny-1.0/int8/openvino"
    assert segmenter.max_batch == 1


def test_openvino_reads_an_image_that_must_not_be_written(tmp_path: Path) -> None:
    segmenter = openvino(tmp_path)
    segmenter.open()
    image = picture(32, 48)
    image.flags.writeable = False
    np.testing.assert_array_equal(segmenter.segment([image])[0], expected(image))


def test_openvino_refuses_what_is_not_as_the_manifest_says(tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="the extra `openvino` is not installed")
    folders = {}
    for name, asset, changes in (
        ("shape", "two-classes", {"height": 64}),
        ("type", "float-output", {"classes": ("dark",), "channels": 1}),
    ):
        (tmp_path / name).mkdir()
        folders[name] = tiny(tmp_path / name, asset, **changes)
    for name, message in (("shape", r"shape \(any, 64, 48, 3\) expected"), ("type", "type u8 expected")):
        with pytest.raises(ConfigError, match=message):
            OpenVinoSegmenter(folders[name], OpenVinoSegmenter.Settings(overlap_px=8)).open()


def test_openvino_damaged_file_with_its_own_hash(tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="the extra `openvino` is not installed")
    damaged = (ASSETS / "two-classes.onnx").read_bytes()[:200]
    folder = tiny(tmp_path, sha256=hashlib.sha256(damaged).hexdigest())
    (folder / "model.onnx").write_bytes(damaged)
    with pytest.raises(ConfigError, match=r"model\.onnx: does not load on openvino"):
        OpenVinoSegmenter(folder, OpenVinoSegmenter.Settings(overlap_px=8)).open()


def test_openvino_model_for_one_image(tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="the extra `openvino` is not installed")
    folder = tiny(tmp_path, "one-at-a-time")
    with pytest.raises(ConfigError, match="one image at a time"):
        OpenVinoSegmenter(folder, OpenVinoSegmenter.Settings(overlap_px=8, max_batch=2)).open()


def test_two_stages_skip_what_the_first_clears(tmp_path: Path) -> None:
    """The model answers with 255 - green and with red: a green frame is clean, any other is not."""
    folder = tmp_path / "second"
    two_stage(tmp_path)
    stages = TwoStageSegmenter(
        folder, TwoStageSegmenter.Settings(first="first", suspicion=0.5, settings={"overlap_px": 8, "max_batch": 2})
    )
    stages.open()
    clean, flawed = np.zeros((2, 40, 50, 3), np.uint8)
    clean[..., 1], flawed[..., 2] = 200, 255
    clear, seen = stages.segment([clean, flawed])
    stages.close()

    assert clear.shape == seen.shape == (2, 20, 25)
    assert not clear.any()  # the second model alone says 55
    np.testing.assert_array_equal(seen, expected(flawed))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"first": "../elsewhere"}, "name of a folder beside"),
        ({"first": "first", "driver": "two-stage"}, "must not have two stages"),
        ({"first": "first", "driver": "nonsense"}, "unknown driver"),
        (
            {"first": "first", "settings": {"workers": 0}},
            r"settings\.workers: must be a whole number from 1 to 64 \(is 0\)",
        ),
    ],
)
def test_two_stages_that_cannot_be(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TwoStageSegmenter(tmp_path, TwoStageSegmenter.Settings(**settings))


def wanted(**changes: Any) -> Wanted:
    chosen: dict[str, Any] = {
        "precision": "int8",
        "providers": ("tensorrt",),
        "required": None,
        "intra_op_threads": 1,
        "gpu_batch": 8,
        "gpu": 0,
        "engine_cache": None,
    }
    return Wanted(**chosen | changes)


def test_tensorrt_is_told_every_shape(tmp_path: Path) -> None:
    options = tensorrt_options(
        wanted(), read_manifest(tiny(tmp_path)), sha256="a" * 64, input_name="image", runtime_version="1.31"
    )
    shapes = {key: value for key, value in options.items() if "shapes" in key}
    assert sorted(shapes.values()) == ["image:1x32x48x3", "image:8x32x48x3", "image:8x32x48x3"]
    assert options["trt_int8_enable"] == "True"
    assert "trt_engine_cache_enable" not in options


def test_a_cached_engine_is_never_taken_for_another(tmp_path: Path) -> None:
    manifest = read_manifest(tiny(tmp_path))

    def folder(sha: str = "a" * 64, version: str = "1.31", **changes: Any) -> str:
        chosen = wanted(engine_cache=tmp_path / "cache", **changes)
        return tensorrt_options(chosen, manifest, sha256=sha, input_name="image", runtime_version=version)[
            "trt_engine_cache_path"
        ]

    others = [
        folder(sha="b" * 64),
        folder(version="1.32"),
        folder(gpu_batch=4),
        folder(gpu=1),
        folder(precision="fp32"),
    ]
    assert folder() == folder()
    assert len({folder(), *others}) == 6


def test_a_cache_into_which_others_can_put_an_engine_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, cache = read_manifest(tiny(tmp_path)), tmp_path / "cache"

    def start() -> str:
        return tensorrt_options(
            wanted(engine_cache=cache), manifest, sha256="a" * 64, input_name="image", runtime_version="1.31"
        )["trt_engine_cache_path"]

    engine = Path(start()) / "an.engine"
    engine.touch()
    start()
    for path in (engine, engine.parent, cache):
        before = path.stat().st_mode
        path.chmod(before | 0o002)
        with pytest.raises(ConfigError, match="everybody may write it: remove it, or name another folder"):
            start()
        path.chmod(before)
    if not os.getuid():  # root's own files are always trusted
        os.chown(engine, 12345, -1)
    monkeypatch.setattr(onnx_session.os, "getuid", lambda: 54321)
    with pytest.raises(ConfigError, match="is another user's"):
        start()


def test_a_gpu_is_described_by_what_the_kernel_says(tmp_path: Path) -> None:
    assert gpu_description(tmp_path) == ""
    (tmp_path / "gpus" / "0000:01:00.0").mkdir(parents=True)
    (tmp_path / "version").write_text("NVRM version: NVIDIA 580.1\nGCC version: 12\n")
    (tmp_path / "gpus" / "0000:01:00.0" / "information").write_text("Model: \t Orin\nIRQ: 5\n")
    assert gpu_description(tmp_path) == "NVRM version: NVIDIA 580.1\nModel: \t Orin"


def test_simulated_finds_a_black_blob(tmp_path: Path) -> None:
    segmenter = simulated(tmp_path / "no folder")
    segmenter.open()
    image = np.full((256, 256), 128, np.uint8)
    image[101:107, 61:67] = 0
    (mask,) = segmenter.segment([image])

    rows, columns = np.nonzero(mask[0] > 127)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (50, 53, 30, 33)


def test_simulated_failures(tmp_path: Path) -> None:
    segmenter = simulated(tmp_path, fail_every=3)
    segmenter.open()
    for _ in range(2):
        for _ in range(2):
            segmenter.segment([picture(32, 32)])
        with pytest.raises(InferenceError, match="simulated failure"):
            segmenter.segment([picture(32, 32)])


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_shipped_model(folder: Path) -> None:
    if not (folder / "manifest.toml").is_file():
        pytest.skip(f"{folder.name} is not in this checkout")
    segmenter = OnnxSegmenter(folder, OnnxSegmenter.Settings())
    segmenter.open()
    info = segmenter.info
    images = [picture(info.height, info.width, info.channels), picture(info.height + 9, info.width // 2)]
    try:
        for image in images:
            (mask,) = segmenter.segment([image])
            assert mask.shape[0] == len(info.classes)
        assert (info.blind, info.doubt) == ("", "")
        assert max(info.values) > 200, "it has something to say of pictures that are full of edges"
    finally:
        segmenter.close()
