"""The physical limits: the runtime and the model alone with pictures in memory, and threads that pass on nothing."""

from __future__ import annotations

import os
import threading
import time
import tomllib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

import numpy as np

from edge_inspector.driver_table import DEFAULT_RUNTIME
from edge_inspector.drivers import Segmenter, load_driver
from edge_inspector.records import Image
from edge_inspector.runtime.mailbox import Mailbox
from edge_inspector.simulation.station_files import models_dir
from edge_inspector.simulation.tiles import TileLine


class RawModel:
    """A model folder by name, loaded and warm."""

    def __init__(self, model: str, runtime: str = DEFAULT_RUNTIME, workers: int = 0) -> None:
        driver = load_driver("segmenters", runtime)
        self.segmenter: Segmenter = driver(Path(models_dir() / model), driver.Settings(workers=workers or None))
        self.segmenter.open()
        line = TileLine(seed=7, lanes=1)
        self._pictures: list[Image] = [line.render(part, 0) for part in range(16)]

    def frames_per_s(self, seconds: float) -> float:
        """Frames per second with batches as the daemon forms them under load, all workers at once."""
        counts = [0] * self.segmenter.workers
        batch = (self._pictures * self.segmenter.max_batch)[: self.segmenter.max_batch]
        until = time.monotonic() + seconds

        def work(number: int) -> None:
            while time.monotonic() < until:
                self.segmenter.segment(batch)
                counts[number] += len(batch)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(len(counts))]
        begun = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(counts) / (time.monotonic() - begun)

    def ms_per_frame(self, calls: int = 100) -> float:
        """The median of single calls with no other load."""
        took = []
        for number in range(calls):
            begun = time.perf_counter()
            self.segmenter.segment([self._pictures[number % len(self._pictures)]])
            took.append(time.perf_counter() - begun)
        return sorted(took)[calls // 2] * 1000


class RawRuntime:
    """The model file on its runtime, with no code of this project. The whole pipeline is measured against this."""

    def __init__(self, model: str, runtime: str = DEFAULT_RUNTIME, workers: int = 0) -> None:
        self.workers = workers or len(os.sched_getaffinity(0))
        manifest = tomllib.loads((models_dir() / model / "manifest.toml").read_text())
        size, file = manifest["input"], models_dir() / model / manifest["files"]["int8"]["path"]
        self.size = size["height"], size["width"]
        window = np.random.default_rng(1).integers(0, 256, (1, *self.size, size["channels"]), np.uint8)
        started = {"onnx": _onnx_runtime, "openvino": _openvino}[runtime]
        self._infer = started(str(file), window, self.workers)

    def rate(self, seconds: float) -> tuple[float, float]:
        """Windows per second on all workers, and the milliseconds of CPU that one takes."""
        begun, cpu_s = time.monotonic(), time.process_time()
        windows = self._infer(begun + seconds)
        return windows / (time.monotonic() - begun), 1000 * (time.process_time() - cpu_s) / windows


def _onnx_runtime(file: str, window: Image, workers: int) -> Callable[[float], int]:
    """Windows that threads with a call each infer until an instant."""
    runtime = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: window}

    def work(until: float) -> int:
        windows = 0
        while time.monotonic() < until:
            session.run(None, feed)
            windows += 1
        return windows

    def infer(until: float) -> int:
        with ThreadPoolExecutor(workers) as pool:
            return sum(pool.map(work, [until] * workers))

    return infer


def _openvino(file: str, window: Image, workers: int) -> Callable[[float], int]:
    """Windows that its own queue of asynchronous requests infers until an instant."""
    openvino = import_module("openvino")
    graph = openvino.Core().read_model(file)
    graph.reshape(window.shape)
    hint = {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": workers, "INFERENCE_NUM_THREADS": workers}
    queue = openvino.AsyncInferQueue(openvino.Core().compile_model(graph, "CPU", hint), workers)

    def infer(until: float) -> int:
        windows = 0
        while time.monotonic() < until:
            queue.start_async(window)
            windows += 1
        queue.wait_all()
        return windows

    return infer


def hand_over_ms(hops: int = 3, times: int = 100) -> float:
    """The least time to pass through this many threads that wait for each other: the median."""
    boxes: list[Mailbox[int]] = [Mailbox("hop", 1) for _ in range(hops + 1)]

    def pass_on(number: int) -> None:
        for _ in range(times):
            while (item := boxes[number].get(1.0)) is None:
                continue
            boxes[number + 1].put(item)

    threads = [threading.Thread(target=pass_on, args=(number,)) for number in range(hops)]
    for thread in threads:
        thread.start()
    took = []
    for _ in range(times):
        time.sleep(0.02)  # as between frames, after which the cores are in an idle state
        begun = time.perf_counter()
        boxes[0].put(1)
        while boxes[-1].get(1.0) is None:
            continue
        took.append(time.perf_counter() - begun)
    for thread in threads:
        thread.join()
    return sorted(took)[times // 2] * 1000
