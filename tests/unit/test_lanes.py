"""The way to a GPU, on the CPU's provider: fixed batches, memory in place, two lanes, and what is checked first."""

import ctypes
import gc
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.records import Image
from edge_inspector.segmenters import lanes
from edge_inspector.segmenters.ending import Ending
from edge_inspector.segmenters.lanes import Lane, Lanes, Memories, OnDevice, batch_sizes, pinned
from edge_inspector.segmenters.onnx_session import Gpu, OnnxGpuEngine

FILE = Path(__file__).parents[1] / "assets" / "two-classes.onnx"
PIXELS, MASKS = (32, 48, 3), (2, 16, 24)
SIZES = (1, 2, 4)


def session(*, recorded: bool = False) -> Any:  # noqa: ARG001 -- as the engine calls it
    return onnxruntime.InferenceSession(str(FILE), providers=["CPUExecutionProvider"])


def lane() -> Lane:
    return Lane(session(), Memories(onnxruntime, OnDevice("cpu", 0), PIXELS, MASKS), SIZES, recorded=True)


def pictures(count: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (count, *PIXELS), np.uint8)


def plain(images: Image) -> Image:
    found: Image = session().run(None, {"image": images})[0]
    return found


def engine(another: Callable[..., Any] = session, most: int = 4) -> OnnxGpuEngine:
    gpu = Gpu(OnDevice("cpu", 0), most, another)
    return OnnxGpuEngine(onnxruntime, session(), provider="cuda", kind="fp32", ending=Ending("", ""), gpu=gpu)


def test_sizes_are_powers_of_two_and_the_largest() -> None:
    assert batch_sizes(1) == (1,)
    assert batch_sizes(6) == (1, 2, 4, 6)
    assert batch_sizes(8) == (1, 2, 4, 8)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_every_count_gets_its_masks_and_what_fills_it_up_does_not_matter(count: int) -> None:
    made, images, results = lane(), pictures(4), np.zeros((4, *MASKS), np.uint8)
    for _ in range(2):
        made.run(images, results, count)
    np.testing.assert_array_equal(results[:count], plain(images)[:count])
    assert not results[count:].any()


def test_memory_stays_in_place_and_the_next_picture_has_its_own_masks() -> None:
    made = lane()
    where = [(batch.pixels.data_ptr(), batch.masks.data_ptr()) for batch in made._batches]
    for seed in range(3):
        images, results = pictures(1, seed), np.zeros((1, *MASKS), np.uint8)
        made.run(images[0], results, 1)
        np.testing.assert_array_equal(results, plain(images))
    assert [(batch.pixels.data_ptr(), batch.masks.data_ptr()) for batch in made._batches] == where


def test_a_lane_that_gives_the_masks_of_another_picture_is_found_out() -> None:
    made = lane()
    made.prove(plain)
    made._batches[1].pixels.update_inplace(pictures(2))
    made._batches[1] = made._batches[1]._replace(pixels=SimpleNamespace(update_inplace=lambda _: None))
    with pytest.raises(RuntimeError, match="a batch of 2 differ by"):
        made.prove(plain)


def test_two_lanes_run_at_the_same_time_and_a_third_call_waits() -> None:
    together, running = threading.Barrier(2, timeout=30.0), []

    class Slow:
        def run(self, _images: Image, _results: Image, _count: int) -> None:
            running.append(self)
            if len(running) <= 2:
                together.wait()

    both = Lanes([Slow(), Slow()])  # type: ignore[list-item]
    with ThreadPoolExecutor(3) as pool:
        for call in [pool.submit(both.run, pictures(1), pictures(1), 1) for _ in range(3)]:
            call.result(30.0)
    assert len(set(running[:2])) == 2


def test_a_lane_that_failed_is_used_again() -> None:
    class Fails:
        def run(self, *_: object) -> None:
            raise RuntimeError("no mask")

    one = Lanes([Fails()])  # type: ignore[list-item]
    for _ in range(2):
        with pytest.raises(RuntimeError, match="no mask"):
            one.run(pictures(1), pictures(1), 1)


def test_threads_of_the_engine_share_two_proven_lanes() -> None:
    asked: list[bool] = []

    def another(*, recorded: bool) -> Any:
        asked.append(recorded)
        return session()

    gpu = engine(another)
    assert gpu.lanes == 2
    runs = [gpu.bind(PIXELS, MASKS) for _ in range(3)]
    assert asked == [True, True]

    def work(seed: int) -> bool:
        images, results = pictures(3, seed), np.zeros((3, *MASKS), np.uint8)
        batch = np.concatenate([images, images[:1]])
        runs[seed % 3](batch, results, 3)
        return bool(np.array_equal(results, plain(images)))

    with ThreadPoolExecutor(3) as pool:
        assert all(pool.map(work, range(30)))


def test_without_a_graph_that_can_be_trusted_it_runs_without(caplog: pytest.LogCaptureFixture) -> None:
    def another(*, recorded: bool) -> Any:
        if recorded:
            raise ConfigError([Fault("provider cuda", "did not start, and CPUExecutionProvider ran instead")])
        return session()

    with caplog.at_level(logging.WARNING):
        run = engine(another).bind(PIXELS, MASKS)
    assert "cuda: runs without recorded graphs: provider cuda: did not start" in caplog.text
    results = np.zeros((1, *MASKS), np.uint8)
    run(pictures(1), results, 1)
    np.testing.assert_array_equal(results, plain(pictures(1)))


def test_a_lane_that_is_wrong_even_without_a_graph_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "_UNLIKE", -1)
    with pytest.raises(RuntimeError, match="from a plain call"):
        engine().bind(PIXELS, MASKS)


class Cuda:
    """Counts what is pinned."""

    def __init__(self, code: int = 0) -> None:
        self.code, self.held = code, set[int | None]()

    def cudaHostRegister(self, address: ctypes.c_void_p, _size: ctypes.c_size_t, _flags: int) -> int:  # noqa: N802
        if not self.code:
            self.held.add(address.value)
        return self.code

    def cudaHostUnregister(self, address: ctypes.c_void_p) -> None:  # noqa: N802
        self.held.remove(address.value)


def test_memory_is_pinned_as_long_as_somebody_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = Cuda()
    monkeypatch.setattr(lanes, "_cuda_runtime", lambda: cuda)
    memory = engine().memory((2, *PIXELS))
    part = memory[1:]
    assert cuda.held == {memory.ctypes.data}
    del memory
    gc.collect()
    assert cuda.held
    del part
    gc.collect()
    assert not cuda.held


@pytest.mark.parametrize("cuda", [None, Cuda(code=2)])
def test_memory_that_cannot_be_pinned_is_ordinary(cuda: Cuda | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "_cuda_runtime", lambda: cuda)
    assert not pinned((2, 3)).any()
    assert cuda is None or not cuda.held


def test_without_cuda_there_is_no_runtime() -> None:
    assert lanes._cuda_runtime() is None or lanes._cuda_runtime().cudaHostRegister
