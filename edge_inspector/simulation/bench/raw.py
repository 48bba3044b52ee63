"""The physical limits: the model alone with pictures in memory, and threads that pass on nothing."""

from __future__ import annotations

import threading
import time
from pathlib import Path

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
