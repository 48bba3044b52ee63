"""What a frame meets: the session, and each thread's own buffers and binding."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.records import Image
from edge_inspector.segmenters.manifest import Manifest
from edge_inspector.segmenters.onnx_session import Session
from edge_inspector.segmenters.tiling import Tile, place


class Running:
    """A session and, for each thread that uses it, a desk of its own."""

    def __init__(
        self, session: Session, manifest: Manifest, max_batch: int, errors: tuple[type[Exception], ...]
    ) -> None:
        self.session = session
        self.errors = errors
        size, stride = manifest.input, manifest.output.stride
        self._batch = max_batch
        self._pixels = (size.height, size.width, size.channels)
        self._masks = (len(manifest.classes), size.height // stride, size.width // stride)
        self._own = threading.local()

    def desk(self) -> Desk:
        """The calling thread's desk."""
        desk: Desk | None = getattr(self._own, "desk", None)
        if desk is None:
            desk = self._own.desk = Desk(self.session, self._batch, self._pixels, self._masks)
        return desk

    def check_first_run(self, file: Path) -> None:
        """Exporters leave axes unnamed or misnamed: only a run shows what really comes out."""
        blank = np.zeros((1, *self._pixels), np.uint8)
        masks = self.session.run.run(None, {self.session.input_name: blank})[0]
        if masks.shape != (1, *self._masks):
            raise ConfigError([Fault(f"{file}: output", f"{(1, *self._masks)} expected, {masks.shape} came out")])


class Desk:
    """One thread's buffers and binding, so that a frame costs no allocation but that of its mask."""

    def __init__(
        self, session: Session, max_batch: int, pixels: tuple[int, int, int], masks: tuple[int, int, int]
    ) -> None:
        self._session = session
        self._binding: Any = session.run.io_binding()
        self._shapes = pixels, masks
        # OpenCV's grey images have no channel axis; the memory is the same.
        self.pixels: Image = np.zeros((max_batch, *(pixels if pixels[2] == 3 else pixels[:2])), np.uint8)
        self.masks: Image = np.zeros((max_batch, *masks), np.uint8)

    def run(self, pixels: Image, masks: Image, count: int) -> None:
        """The model reads `count` images where they lie and writes the masks where they are wanted."""
        session, (pixels_shape, masks_shape) = self._session, self._shapes
        self._binding.bind_input(session.input_name, "cpu", 0, np.uint8, (count, *pixels_shape), pixels.ctypes.data)
        self._binding.bind_output(session.output_name, "cpu", 0, np.uint8, (count, *masks_shape), masks.ctypes.data)
        session.run.run_with_iobinding(self._binding)

    def segment_exact(self, images: list[Image]) -> list[Image]:
        """Images of the model's own size: a single one is read in place."""
        masks: Image = np.empty((len(images), *self._shapes[1]), np.uint8)
        if len(images) == 1 and images[0].flags.c_contiguous:
            self.run(images[0], masks, 1)
        elif images:
            for image, slot in zip(images, self.pixels, strict=False):
                np.copyto(slot, image)
            self.run(self.pixels, masks, len(images))
        return list(masks)

    def segment_tiles(self, jobs: list[tuple[Image, Image, Tile]], stride: int) -> None:
        """One run over at most a batch of tiles, merged into their frames' masks by maximum: no defect is lost."""
        for (image, _, tile), slot in zip(jobs, self.pixels, strict=False):
            place(image[tile.top : tile.bottom, tile.left : tile.right], slot)
        self.run(self.pixels, self.masks, len(jobs))
        for (_, mask, tile), values in zip(jobs, self.masks, strict=False):
            rows = slice(tile.top // stride, -(-tile.bottom // stride))
            columns = slice(tile.left // stride, -(-tile.right // stride))
            part = mask[:, rows, columns]
            np.maximum(part, values[:, : part.shape[1], : part.shape[2]], out=part)
