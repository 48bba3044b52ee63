"""A loaded model, with buffers and a binding to it for each thread."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np

from edge_inspector.drivers import Due
from edge_inspector.errors import ConfigError, Fault
from edge_inspector.records import Image, ModelInfo
from edge_inspector.segmenters.ending import Ending
from edge_inspector.segmenters.manifest import FileKind, Fill
from edge_inspector.segmenters.tiling import Tile, place

Bound: TypeAlias = Callable[[Image, Image, int], None]
"""Computes the masks of the first `count` images. Arguments: images, masks, count. Both arrays are used in place."""

Memory: TypeAlias = Callable[[tuple[int, ...]], Image]


class Engine(Protocol):
    """A model that a runtime has loaded.

    - `errors`: all exceptions that it raises.
    - `single`: it takes one image at a time.
    - `fell_back`: another provider was meant to run and failed.
    - `runtime`: its name and version.
    - `lanes`: calls at the same time that keep it busy. On a CPU it is one for each core.
    - `ending`: the result of the check of the graph's last nodes.
    """

    runtime: str
    provider: str
    kind: FileKind
    on_cpu: bool
    single: bool
    fell_back: bool
    lanes: int = 1
    ending: Ending
    errors: tuple[type[Exception], ...]

    @abstractmethod
    def bind(self, pixels: tuple[int, int, int], masks: tuple[int, int, int]) -> Bound:
        """A function that runs it in one thread, for images and masks of these shapes, both uint8 and contiguous."""

    @abstractmethod
    def output_shape(self, pixels: Image) -> tuple[int, ...]:
        """The real output shape for a batch of images."""

    def hurry(self, due: Due) -> None:
        """This thread's next masks are of use until then. A runtime on this machine cannot end a call."""
        del due

    def memory(self, shape: tuple[int, ...]) -> Image:
        """Zeros for a batch of images, in memory from which the engine copies fastest."""
        return np.zeros(shape, np.uint8)


class Running:
    """An engine with its manifest, and a desk for each thread that uses it."""

    def __init__(self, engine: Engine, info: ModelInfo, *, max_batch: int, workers: int, fill: Fill) -> None:
        self.engine, self.info, self.max_batch, self.workers = engine, info, max_batch, workers
        self._fill = fill
        self._pixels = (info.height, info.width, info.channels)
        self._masks = (len(info.classes), info.height // info.stride, info.width // info.stride)
        self._own = threading.local()

    def desk(self) -> Desk:
        """The calling thread's desk."""
        desk: Desk | None = getattr(self._own, "desk", None)
        if desk is None:
            bound = self.engine.bind(self._pixels, self._masks)
            desk = self._own.desk = Desk(
                bound,
                self.engine.memory,
                max_batch=self.max_batch,
                pixels=self._pixels,
                masks=self._masks,
                fill=self._fill,
            )
        return desk

    def values(self, pictures: Sequence[Image]) -> frozenset[int]:
        """All values in the masks of these pictures. Each picture has the model's size."""
        masks = [mask for picture in pictures for mask in self.desk().segment_exact([picture])]
        return frozenset(value for mask in masks for value in np.flatnonzero(np.bincount(mask.ravel())).tolist())

    def check_first_run(self, file: Path) -> None:
        """Check the real output shape. Exporters leave axes unnamed or misnamed, so only a run shows it."""
        found = self.engine.output_shape(np.zeros((1, *self._pixels), np.uint8))
        if found != (1, *self._masks):
            raise ConfigError([Fault(f"{file}: output", f"{(1, *self._masks)} expected, {found} came out")])


class Desk:
    """One thread's buffers and binding. So the mask is the only allocation for a frame."""

    def __init__(
        self,
        bound: Bound,
        memory: Memory,
        *,
        max_batch: int,
        pixels: tuple[int, int, int],
        masks: tuple[int, int, int],
        fill: Fill,
    ) -> None:
        self.run = bound
        self._mask, self._fill = masks, fill
        # OpenCV's grey images have no channel axis. The memory is the same.
        self.pixels: Image = memory((max_batch, *(pixels if pixels[2] == 3 else pixels[:2])))
        self.masks: Image = np.zeros((max_batch, *masks), np.uint8)

    def segment_exact(self, images: list[Image]) -> list[Image]:
        """Masks for images of the model's own size. A single image is read in place."""
        masks: Image = np.empty((len(images), *self._mask), np.uint8)
        if len(images) == 1 and images[0].flags.c_contiguous:
            self.run(images[0], masks, 1)
        elif images:
            for image, slot in zip(images, self.pixels, strict=False):
                np.copyto(slot, image)
            self.run(self.pixels, masks, len(images))
        return list(masks)

    def segment_tiles(self, jobs: list[tuple[Image, Image, Tile]], stride: int, merging: threading.Lock) -> None:
        """Run at most a batch of tiles. The maximum goes into the masks of their frames, so no defect is lost.

        Tiles overlap, so only one thread at a time may be `merging`.
        """
        for (image, _, tile), slot in zip(jobs, self.pixels, strict=False):
            place(image[tile.top : tile.bottom, tile.left : tile.right], slot, self._fill)
        self.run(self.pixels, self.masks, len(jobs))
        for (_, mask, tile), values in zip(jobs, self.masks, strict=False):
            rows = slice(tile.top // stride, -(-tile.bottom // stride))
            columns = slice(tile.left // stride, -(-tile.right // stride))
            part = mask[:, rows, columns]
            with merging:
                np.maximum(part, values[:, : part.shape[1], : part.shape[2]], out=part)
