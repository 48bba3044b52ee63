"""The work of each peer: the same cameras, the same model, the same judgement, the same sink.

It runs in the peer's own environment and needs only NumPy, OpenCV and, for the model, ONNX Runtime.
"""

from __future__ import annotations

import argparse
import json
import signal
import socket
import threading
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

_BUFFERS = 8  # a camera keeps this many pictures for a slow reader
_BITS, _CELL = 16, 8


@dataclass(frozen=True, slots=True)
class Task:
    """The task from the harness: cameras by address, or from memory if `pictures` is given."""

    model: Path
    sink: int
    urls: list[str]
    pictures: Path | None
    start_ns: int
    interval_ns: int

    @property
    def cameras(self) -> int:
        """The number of cameras."""
        return len(self.urls) or 4


def task() -> Task:
    """The task from the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--sink", type=int, required=True)
    parser.add_argument("--urls", nargs="*", default=[])
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--start-ns", type=int, default=0)
    parser.add_argument("--interval-ns", type=int, default=0)
    return Task(**vars(parser.parse_args()))


def until_stopped() -> threading.Event:
    """An event that SIGTERM sets."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    return stop


class MemoryCamera:
    """Pictures without cost, each when it is due, by OpenCV's `read`. A picture that is not fetched is overwritten."""

    def __init__(self, chosen: Task, lane: int) -> None:
        self._pictures = np.load(str(chosen.pictures), mmap_mode="r")[lane]
        self._start_ns = chosen.start_ns
        self._interval_ns = chosen.interval_ns
        self._number = max(0, (time.monotonic_ns() - chosen.start_ns) // chosen.interval_ns)

    def isOpened(self) -> bool:  # noqa: N802 -- OpenCV's name
        """Always."""
        return True

    def read(self) -> tuple[bool, Image]:
        """The next picture when it is due."""
        now_ns = time.monotonic_ns()
        newest = (now_ns - self._start_ns) // self._interval_ns
        self._number = max(self._number, newest - _BUFFERS + 1)
        time.sleep(max(0, self._start_ns + self._number * self._interval_ns - now_ns) / 1e9)
        picture = np.array(self._pictures[self._number % len(self._pictures)])
        bits = [255 if self._number >> bit & 1 else 0 for bit in range(_BITS)]
        picture[:_CELL, : _BITS * _CELL] = np.repeat(np.array(bits, np.uint8), _CELL)[:, None]
        self._number += 1
        return True, picture

    def release(self) -> None:
        """Nothing to release."""


def opener(chosen: Task, lane: int) -> Callable[[], Any]:
    """A function that opens the lane's camera, also after it died."""
    if chosen.pictures is not None:
        return lambda: MemoryCamera(chosen, lane)
    return lambda: cv2.VideoCapture(chosen.urls[lane], cv2.CAP_FFMPEG)


class Judgement:
    """Finds defects in masks with the limits in the model's manifest."""

    def __init__(self, model: Path) -> None:
        manifest = tomllib.loads((model / "manifest.toml").read_text())
        limits = [manifest["limits"][name] for name in manifest["classes"]]
        area = manifest["output"]["stride"] ** 2
        self._limits = [(round(255 * limit["min_confidence"]), limit["min_area_px"] / area) for limit in limits]

    def defects(self, masks: Image) -> int:
        """The number of connected regions that are large enough. `masks` is (classes, H, W) uint8."""
        found = 0
        for mask, (level, area) in zip(masks, self._limits, strict=True):
            above = (mask >= level).view(np.uint8)
            if above.any():
                _, _, stats, _ = cv2.connectedComponentsWithStats(above, connectivity=8)
                found += int((stats[1:, cv2.CC_STAT_AREA] >= area).sum())
        return found


def load_model(model: Path, threads: int = 0) -> Callable[[list[Image]], Image]:
    """From images (256, 256, 3) to masks (n, classes, 128, 128), by ONNX Runtime. 0 threads: its default."""
    import onnxruntime  # noqa: PLC0415 -- not every peer has it

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(model / "model.int8.onnx"), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: np.asarray(session.run(None, {name: np.stack(images)})[0])


class Sink:
    """Sends each result to the harness as one datagram. The clock of the harness gives its time."""

    def __init__(self, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(("127.0.0.1", port))

    def result(self, lane: int, image: Image, stamp_ns: int | None, defects: int) -> None:
        """Send the result of a picture. `stamp_ns`: the product's capture time, None if it has none."""
        bits = image[_CELL // 2, _CELL // 2 : _BITS * _CELL : _CELL, 1] > 127
        number = int(sum(1 << bit for bit in range(_BITS) if bits[bit]))
        self._send({"lane": lane, "part": number, "stamp_ns": stamp_ns, "defects": defects})

    def lost(self, frames: int) -> None:
        """Send the product's own count of lost frames so far."""
        self._send({"lost": frames})

    def _send(self, message: dict[str, int | None]) -> None:
        self._socket.send(json.dumps(message).encode())
