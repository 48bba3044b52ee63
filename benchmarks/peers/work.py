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
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from reporting import Station

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
    station: Path | None = None

    @property
    def cameras(self) -> int:
        """The number of cameras."""
        return line(self.station).lanes if self.station else len(self.urls) or 4


def task() -> Task:
    """The task from the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--sink", type=int, default=0)
    parser.add_argument("--station", type=Path)
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
        picture = _numbered(self._pictures[self._number % len(self._pictures)], self._number)
        self._number += 1
        return True, picture

    def release(self) -> None:
        """Nothing to release."""


class LineCamera:
    """The lane's camera on the simulated line of a station: pictures and times were made in advance."""

    def __init__(self, station: Station, lane: int) -> None:
        pictures = np.load(str(station.prepared / "pictures.npy"), mmap_mode="r")
        self._pictures = pictures[:, lane % pictures.shape[1]]
        self._times_ns = np.load(str(station.prepared / "times.npy"), mmap_mode="r")[lane].tolist()
        self._started, self._start_ns, self._number = station.started, 0, 0

    def isOpened(self) -> bool:  # noqa: N802 -- OpenCV's name
        """Always."""
        return True

    def read(self) -> tuple[bool, Image | None]:
        """The next picture when it is due. None after the last one."""
        while not self._start_ns:
            if self._started.exists():
                self._start_ns = int(self._started.read_text())
            time.sleep(0.02)
        times_ns, last = self._times_ns, len(self._times_ns) - 1
        if self._number > last:
            time.sleep(0.2)
            return False, None
        now_ns = time.monotonic_ns() - self._start_ns
        while self._number + _BUFFERS <= last and times_ns[self._number + _BUFFERS] < now_ns:
            self._number += 1
        time.sleep(max(0, times_ns[self._number] - now_ns) / 1e9)
        picture = _numbered(self._pictures[self._number % len(self._pictures)], self._number)
        self._number += 1
        return True, picture

    def release(self) -> None:
        """Nothing to release."""


def _numbered(shown: Image, number: int) -> Image:
    picture = np.array(shown)
    bits = [255 if number >> bit & 1 else 0 for bit in range(_BITS)]
    picture[:_CELL, : _BITS * _CELL] = np.repeat(np.array(bits, np.uint8), _CELL)[:, None]
    return picture


def _number(image: Image) -> int:
    bits = image[_CELL // 2, _CELL // 2 : _BITS * _CELL : _CELL, 1] > 127
    return int(sum(1 << bit for bit in range(_BITS) if bits[bit]))


def line(file: Path | None) -> Station:
    """The station in this file. Only peers that report to one need what its protocols need."""
    from reporting import Station  # noqa: PLC0415

    return Station.read(Path(str(file)))


def side(chosen: Task) -> int:
    """Width and height of the pictures."""
    if chosen.station is None:
        return 256
    return int(np.load(str(line(chosen.station).prepared / "pictures.npy"), mmap_mode="r").shape[2])


def opener(chosen: Task, lane: int) -> Callable[[], Any]:
    """A function that opens the lane's camera, also after it died."""
    if chosen.station is not None:
        camera = LineCamera(line(chosen.station), lane)
        return lambda: camera
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


def windows(image: Image, side: int = 256) -> list[Image]:
    """The image itself, or a larger one cut into squares of the model's size. It must be a multiple of it."""
    rows, columns = image.shape[0] // side, image.shape[1] // side
    return [
        image[row * side : (row + 1) * side, column * side : (column + 1) * side]
        for row in range(rows)
        for column in range(columns)
    ]


class StationSink:
    """Reports each part's verdict to PLC and broker. All threads share one."""

    def __init__(self, chosen: Task) -> None:
        from reporting import Reporter  # noqa: PLC0415

        self._station = line(chosen.station)
        self._times_ns = np.load(str(self._station.prepared / "times.npy"), mmap_mode="r")
        self._reporter = Reporter(self._station)

    def result(self, lane: int, image: Image, stamp_ns: int | None, defects: int) -> None:  # noqa: ARG002
        """Give the view of this picture to its part. The line's own time of exposure counts, not the product's."""
        number, now_ns = _number(image), time.monotonic_ns()
        captured_ns = int(self._station.started.read_text()) + int(self._times_ns[lane, number])
        view = {
            "camera": f"cam{lane + 1}",
            "captured_ns": captured_ns,
            "exposure_us": 200,
            "received_ns": captured_ns,
            "begun_ns": now_ns,
            "inference_us": 0,
            "failure": "none",
            "encoder_count": None,
        }
        self._reporter.view(number, view, defects)

    def lost(self, frames: int) -> None:  # noqa: ARG002 -- as that of Sink
        """The end of the run."""
        self._reporter.stop()


def sinks(chosen: Task) -> Callable[[], Any]:
    """A function that gives each thread its sink."""
    if chosen.station is None:
        return lambda: Sink(chosen.sink)
    shared = StationSink(chosen)
    return lambda: shared


class Sink:
    """Sends each result to the harness as one datagram. The clock of the harness gives its time."""

    def __init__(self, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(("127.0.0.1", port))

    def result(self, lane: int, image: Image, stamp_ns: int | None, defects: int) -> None:
        """Send the result of a picture. `stamp_ns`: the product's capture time, None if it has none."""
        self._send({"lane": lane, "part": _number(image), "stamp_ns": stamp_ns, "defects": defects})

    def lost(self, frames: int) -> None:
        """Send the product's own count of lost frames so far."""
        self._send({"lost": frames})

    def _send(self, message: dict[str, int | None]) -> None:
        self._socket.send(json.dumps(message).encode())
