"""Runs one model folder on any runtime: it checks and warms it up, and cuts large frames into windows."""

from __future__ import annotations

import os
import threading
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from edge_inspector.drivers import DriverSettings, Due, Segmenter
from edge_inspector.errors import ConfigError, Fault, InferenceError
from edge_inspector.records import Image, ModelInfo
from edge_inspector.segmenters.engine import Engine, Running
from edge_inspector.segmenters.manifest import FileKind, Manifest, Precision, licences, read_manifest
from edge_inspector.segmenters.probing import probe_pictures
from edge_inspector.segmenters.spread import Spread
from edge_inspector.segmenters.tiling import Tile, plan_tiles

GPU_BATCH = 8
_ALWAYS = Due(0.0, lambda: True)


class FolderSettings(DriverSettings):
    """How the model runs. On a CPU single images in parallel are faster than batches. On a GPU it is the reverse."""

    precision: Precision = "int8"
    """Which of the model's files runs. `int8` is faster. `fp32` has the precision of the training."""
    workers: Annotated[int, Field(ge=1, le=64)] | None = None
    """Calls of the model at the same time. Not set: one per core, or two on a GPU. Lower it for shorter latencies."""
    max_batch: Annotated[int, Field(ge=1, le=64)] | None = None
    """Images per call of the model. Not set: 1 on a CPU, 8 on a GPU."""
    intra_op_threads: Annotated[int, Field(ge=1, le=64)] = 1
    """CPU threads of each call of the model. If you raise it, lower `workers`."""
    overlap_px: Annotated[int, Field(ge=0)] = 32
    """Overlap, in pixels, of the windows of a frame that is larger than the model's input."""
    model_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    """SHA-256 of the model's file, from its manifest. If it is set, no other file runs. A recipe may set it, too."""


class FolderSegmenter(Segmenter):
    """The common part of all segmenters except loading. `max_batch` and `workers` are final after open()."""

    def __init__(self, model_dir: Path, settings: FolderSettings) -> None:
        self._model_dir = model_dir
        self._settings = settings
        self.info = _info(self._read(), settings.precision, "", settings.precision)
        self.max_batch = settings.max_batch or 1
        self.workers = settings.workers or _cores()
        self._running: Running | None = None
        self._opening = threading.Lock()
        self._spread = Spread()

    def open(self) -> None:
        """Check the folder again, load it on the best provider and warm every batch size.

        Other threads keep using an earlier session until the new one is ready.
        """
        with self._opening:
            running = self._load()
            # Never report more room than the session has that is running at that moment.
            self.max_batch = min(self.max_batch, running.max_batch)
            self._running = running
            self.info, self.max_batch, self.workers = running.info, running.max_batch, running.workers

    def segment(self, images: Sequence[Image]) -> list[Image]:
        """One mask per image, see `Segmenter`. Grey and BGR images are converted to the model's input."""
        return self.segment_due(images, _ALWAYS) or []

    def segment_due(self, images: Sequence[Image], due: Due) -> list[Image] | None:
        """See `Segmenter`. Between the windows of a large image it asks whether the image is still wanted."""
        running = self._running
        if running is None:
            raise InferenceError(f"{self.info.label} is not open")
        # Never self.max_batch: a new session may have a larger batch than this one has room for.
        if len(images) > running.max_batch:
            raise InferenceError(f"{running.info.label}: {len(images)} images, at most {running.max_batch} at once")
        flat = [_checked(image) for image in images]
        desk = running.desk()
        running.engine.hurry(due)
        try:
            if all(image.shape == desk.pixels.shape[1:] for image in flat):
                return desk.segment_exact(flat)
            return self._segment_tiled(running, flat, due)
        except running.engine.errors as error:
            raise InferenceError(f"{running.info.label}: {error}") from error

    def close(self) -> None:
        """Release the session and the buffers of all threads."""
        self._running = None
        self._spread.close()

    def _load(self) -> Running:
        manifest = self._read()
        engine = self._start(manifest)
        max_batch = self._settings.max_batch or (1 if engine.on_cpu or engine.single else GPU_BATCH)
        workers = self._settings.workers or (_cores() if engine.on_cpu else engine.lanes)
        if engine.single and max_batch > 1:
            raise ConfigError([Fault("max_batch", f"{manifest.name} takes one image at a time")])
        self._refuse_another(manifest, engine.kind)
        precision = "fp32" if engine.kind == "fp32" else "int8"
        info = replace(
            _info(manifest, engine.kind, engine.provider, precision),
            fell_back=engine.fell_back,
            runtime=engine.runtime,
            blind=engine.ending.blind,
            doubt=engine.ending.doubt,
            licences=licences(self._model_dir, manifest),
        )
        running = Running(engine, info, max_batch=max_batch, workers=workers, fill=manifest.input.fill)
        self._warm(running, self._model_dir / manifest.files[engine.kind].path)
        return running

    def _segment_tiled(self, running: Running, images: list[Image], due: Due) -> list[Image] | None:
        stride, size = running.info.stride, (running.info.height, running.info.width)
        masks: list[Image] = []
        jobs: list[tuple[Image, Image, Tile]] = []
        for image in images:
            height, width = image.shape[:2]
            masks.append(np.zeros((len(running.info.classes), -(-height // stride), -(-width // stride)), np.uint8))
            plan = plan_tiles(height, width, tile=size, overlap=self._settings.overlap_px, stride=stride)
            jobs.extend((image, masks[-1], tile) for tile in plan)
        merging = threading.Lock()
        batches = [jobs[start : start + running.max_batch] for start in range(0, len(jobs), running.max_batch)]
        works = [partial(_segment_batch, running, batch, merging, due) for batch in batches]
        return masks if self._spread.run(works, running.workers, due) else None

    def _read(self) -> Manifest:
        manifest = read_manifest(self._model_dir)
        room = min(manifest.input.height, manifest.input.width) - manifest.output.stride
        if self._settings.overlap_px > room:
            raise ConfigError([Fault("overlap_px", f"at most {room} for {manifest.name}: tiles must advance")])
        there = [file.sha256 for file in manifest.files.values()]
        if self._settings.model_sha256 not in (None, *there):
            what = f"{self._settings.model_sha256} is none of the files in {self._model_dir}: {', '.join(there)}"
            raise ConfigError([Fault("model_sha256", what)])
        return manifest

    def _refuse_another(self, manifest: Manifest, kind: FileKind) -> None:
        wanted, found = self._settings.model_sha256, manifest.files[kind]
        if wanted not in (None, found.sha256):
            what = f"{self._model_dir / found.path} would run, and its SHA-256 is {found.sha256}"
            raise ConfigError([Fault("model_sha256", f"{wanted} is required, but {what}")])

    @abstractmethod
    def _start(self, manifest: Manifest) -> Engine:
        """Load the folder on the runtime. Raises ConfigError."""

    def _warm(self, running: Running, file: Path) -> None:
        try:
            running.check_first_run(file)
            desk = running.desk()
            for count in range(1, running.max_batch + 1):
                desk.run(desk.pixels, desk.masks, count)
            running.info = replace(running.info, values=running.values(probe_pictures(desk.pixels.shape[1:])))
        except running.engine.errors as error:
            raise ConfigError([Fault(str(self._model_dir), f"does not run: {' '.join(str(error).split())}")]) from error


def _segment_batch(running: Running, jobs: list[tuple[Image, Image, Tile]], merging: threading.Lock, due: Due) -> None:
    running.engine.hurry(due)
    running.desk().segment_tiles(jobs, running.info.stride, merging)


def _checked(image: Image) -> Image:
    shape = image.shape[:2] if image.ndim == 3 and image.shape[2] == 1 else image.shape
    if image.dtype != np.uint8 or 0 in shape or not (len(shape) == 2 or (len(shape) == 3 and shape[2] == 3)):
        raise InferenceError(f"an image must be grey or BGR, uint8, not {image.dtype} {image.shape}")
    return image.reshape(shape)


def _info(manifest: Manifest, kind: str, provider: str, precision: str) -> ModelInfo:
    return ModelInfo(
        name=manifest.name,
        version=manifest.version,
        # Until a provider has started, a folder without that kind is identified by the file that it has.
        sha256=next(iter(sorted(manifest.files.items(), key=lambda item: item[0] != kind)))[1].sha256,
        classes=manifest.classes,
        height=manifest.input.height,
        width=manifest.input.width,
        channels=manifest.input.channels,
        stride=manifest.output.stride,
        precision=precision,
        provider=provider,
        limits={name: (limit.min_confidence, limit.min_area_px) for name, limit in manifest.limits.items()},
        proven=any(score.get("precision") == precision and _found_some(score) for score in manifest.scores),
    )


def _found_some(score: Mapping[str, Any]) -> bool:
    recall = score.get("part_recall")
    return isinstance(recall, float | int) and recall > 0


def _cores() -> int:
    return len(os.sched_getaffinity(0))
