"""The line that `edge-inspector size` looks at: from a station file, from words, or from both."""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from edge_inspector.commands.size_needs import Sized, SizedView, album_needed_mb
from edge_inspector.drivers import Segmenter, load_driver
from edge_inspector.errors import ConfigError, Fault
from edge_inspector.runtime.machine import resident_mb
from edge_inspector.segmenters.manifest import read_manifest
from edge_inspector.segmenters.model_folder import FolderSettings
from edge_inspector.segmenters.tiling import plan_tiles
from edge_inspector.simulation.station_files import models_dir
from edge_inspector.station.load import Station, load_station
from edge_inspector.station.tables import ArchiveTable, CameraTable, LineTable, SegmenterTable

_ON_CPU: Final = ("cpu", "openvino", "simulated")
_SECONDS: Final = 2.0
_MODEL_MB_PER_MB: Final = 14.0  # memory of a loaded INT8 model for each MB of its file (docs/sizing.md)
_LARGEST_PX: Final = 65_536
_MOST_CAMERAS: Final = 256
_WIDE: Final = {"10": 2, "12": 2, "14": 2, "16": 2, "RGB8": 3, "BGR8": 3, "YUV": 2, "YCbCr": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """How fast a model runs: a window on one of `places`, which are cores or devices."""

    ms: float
    places: int
    on_device: bool
    model_mb: float
    words: str


def sized(given: argparse.Namespace) -> tuple[Sized, str]:
    """The line, and which model runs how fast. Raises ConfigError."""
    return _of_station(given, load_station(given.station)) if given.station else _of_words(given)


def _of_words(given: argparse.Namespace) -> tuple[Sized, str]:
    keys = {"--cameras": given.cameras, "--size": given.size, "--parts-per-s": given.parts_per_s}
    keys |= {"--speed-mm-s": given.speed_mm_s, "--way-mm": given.way_mm, "--model": given.model}
    if missing := [key for key, value in keys.items() if value is None]:
        raise ConfigError(
            [Fault(", ".join(missing), "needed if no station file is given. `size --help` explains them")]
        )
    folder = _model_folder(given.model)
    segmenter = load_driver("segmenters", given.runtime)
    model: Segmenter = segmenter(folder, segmenter.Settings())
    width, height = given.size
    view = SizedView(
        name="",
        width=width,
        height=height,
        windows=_windows(model, segmenter.Settings(), width, height),
        way_mm=given.way_mm,
        wire_bytes=width * height,
    )
    archive, table = ArchiveTable(), SegmenterTable(driver=given.runtime)
    return _line(
        given,
        model=model,
        folder=folder,
        views=[replace(view, name=f"camera {number + 1}") for number in range(given.cameras)],
        archive=archive,
        queue_frames=table.queue_frames,
        parts_per_s=given.parts_per_s,
        speed_mm_s=given.speed_mm_s,
        reserve_ms=LineTable.model_fields["reserve_ms"].default,
    )


def _of_station(given: argparse.Namespace, station: Station) -> tuple[Sized, str]:
    keys = {"--cameras": given.cameras, "--model": given.model, "--way-mm": given.way_mm}
    if twice := [key for key, value in keys.items() if value is not None]:
        raise ConfigError([Fault(", ".join(twice), "the station file says it: leave out one of the two")])
    file, recipe = station.file, station.recipe
    settings = file.segmenter.settings
    chosen = load_driver("segmenters", file.segmenter.driver).Settings(**settings)
    speed = given.speed_mm_s or file.line.speed_max_mm_s
    pitch_mm = file.roll.piece_mm if file.roll is not None else recipe.min_pitch_mm
    return _line(
        given,
        model=station.segmenter,
        folder=station.models_dir / recipe.model,
        views=list(_views(given, station, chosen)),
        archive=file.archive,
        queue_frames=file.segmenter.queue_frames,
        parts_per_s=given.parts_per_s or speed / pitch_mm,
        speed_mm_s=speed,
        reserve_ms=file.line.reserve_ms,
    )


def _line(
    given: argparse.Namespace,
    *,
    model: Segmenter,
    folder: Path,
    views: Sequence[SizedView],
    archive: ArchiveTable,
    queue_frames: int,
    parts_per_s: float,
    speed_mm_s: float,
    reserve_ms: float,
) -> tuple[Sized, str]:
    cores = given.cores or len(os.sched_getaffinity(0))
    largest = max(views, key=lambda view: view.pixels)
    whole = (largest.height, largest.width) if largest.windows == 1 else (model.info.height, model.info.width)
    speed = _told(given, folder, cores) if given.ms else _measured(model, whole, given.cores)
    info = model.info
    line = Sized(
        views=views,
        parts_per_s=parts_per_s,
        speed_mm_s=speed_mm_s,
        reserve_ms=reserve_ms,
        ms=speed.ms,
        places=speed.places,
        cores=cores,
        on_device=speed.on_device,
        channels=info.channels,
        mask_share=len(info.classes) / info.stride**2,
        rejected=given.rejected,
        model_mb=speed.model_mb,
        album_mb=archive.album_mb,
        queue_frames=queue_frames,
        images_mb=archive.images_mb,
        accepted_one_in=archive.accepted_one_in,
        pictures_per_s=archive.pictures_per_s,
        link_mbit=given.link_mbit,
    )
    if not given.station:  # nobody has chosen one yet
        line = replace(line, album_mb=max(line.album_mb, math.ceil(album_needed_mb(line))))
    return line, f"{info.name}-{info.version} {info.precision}: {speed.words}"


def _views(given: argparse.Namespace, station: Station, chosen: Any) -> Iterator[SizedView]:
    """The views that the recipe in force needs."""
    for view in station.file.views:
        if view.name not in station.recipe.views:
            continue
        camera, settings = station.camera_of(view.name)
        width, height = given.size or _size_of(camera, settings)
        yield SizedView(
            name=view.name,
            width=width,
            height=height,
            windows=_windows(station.segmenter, chosen, width, height),
            way_mm=station.file.line.gate_mm - view.offset_mm,
            wire_bytes=width * height * _bytes_of(settings) if settings.over_network else 0,
        )


def _size_of(camera: CameraTable, settings: Any) -> tuple[int, int]:
    """Width and height of a camera's pictures, as its settings say. Raises ConfigError if they do not."""
    roi = getattr(settings, "roi", None)
    if roi is not None:
        return roi[2], roi[3]
    width, height = getattr(settings, "width", None), getattr(settings, "height", None)
    if width is None or height is None:
        what = "the station file does not say how large its pictures are: add --size 2448x2048"
        raise ConfigError([Fault(f"cameras.{camera.name}", what)])
    return width, height


def _bytes_of(settings: Any) -> int:
    """Of a pixel on the wire."""
    form = str(getattr(settings, "pixel_format", "Mono8"))
    return next((size for word, size in _WIDE.items() if word in form), 1)


def _windows(model: Segmenter, settings: Any, width: int, height: int) -> int:
    """How many windows of the model cover a picture."""
    if not isinstance(settings, FolderSettings):
        return 1  # it takes the picture whole, or cuts it in its own way
    tile = (model.info.height, model.info.width)
    return len(plan_tiles(height, width, tile=tile, overlap=settings.overlap_px, stride=model.info.stride))


def _model_folder(name: str) -> Path:
    """A model folder by its path, or a shipped one by its name."""
    return Path(name) if Path(name).exists() else models_dir() / name


def _told(given: argparse.Namespace, folder: Path, cores: int) -> Speed:
    """The speed that was given. Its memory follows from the size of the model's file."""
    files = read_manifest(folder).files.values() if folder.exists() else ()
    smallest = min(((folder / file.path).stat().st_size for file in files), default=0)
    where = "on a GPU or server" if given.gpus else "on one core"
    words = f"{given.ms:g} ms for a window {where}, as you say"
    places, model_mb = given.gpus or cores, _MODEL_MB_PER_MB * smallest / 1e6
    return Speed(ms=given.ms, places=places, on_device=bool(given.gpus), model_mb=model_mb, words=words)


def _measured(model: Segmenter, size: tuple[int, int], cores: int | None) -> Speed:
    """Run the model on this machine, on everything that it may use at once. Raises ConfigError.

    On cores it is the processor's time, so that other programs do not count. On a device it is the clock's.
    """
    before_mb = resident_mb()
    model.open()
    try:
        picture = np.full((*size, 3) if model.info.channels == 3 else size, 128, np.uint8)
        model.segment([picture])
        begun, begun_cpu = time.monotonic(), time.process_time()

        def work(_: int) -> int:
            done = 0
            while time.monotonic() < begun + _SECONDS:
                model.segment([picture] * model.max_batch)
                done += model.max_batch
            return done

        with ThreadPoolExecutor(model.workers) as pool:
            done = sum(pool.map(work, range(model.workers)))
        took_s, cpu_s = time.monotonic() - begun, time.process_time() - begun_cpu
        model_mb = max(0.0, resident_mb() - before_mb)
    finally:
        model.close()
    provider = model.info.provider
    if provider not in _ON_CPU:
        ms = took_s * 1000 / done
        words = f"{ms:.3g} ms for a window on a GPU or server ({provider}), measured here"
        return Speed(ms=ms, places=1, on_device=True, model_mb=model_mb, words=words)
    ms = (cpu_s if provider != "simulated" else took_s * model.workers) * 1000 / done
    words = f"{ms:.3g} ms for a window on one core, measured here"
    return Speed(ms=ms, places=cores or model.workers, on_device=False, model_mb=model_mb, words=words)


def size(text: str) -> tuple[int, int]:
    """Width and height in pixels, as 2448x2048."""
    width, by, height = text.partition("x")
    if not (by and width.isdecimal() and height.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is no size as 2448x2048")
    found = int(width), int(height)
    if not all(1 <= side <= _LARGEST_PX for side in found):
        raise argparse.ArgumentTypeError(f"each side must be from 1 to {_LARGEST_PX} pixels")
    return found


def cameras(text: str) -> int:
    """How many cameras."""
    number = int(text)
    if not 1 <= number <= _MOST_CAMERAS:
        raise argparse.ArgumentTypeError(f"must be from 1 to {_MOST_CAMERAS}")
    return number
