"""A segmenter without a model, for tests of overload and faults. Whatever differs from its surroundings is a defect."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final, Literal

import cv2
import numpy as np
from pydantic import Field

from edge_inspector.drivers import DriverSettings, Segmenter
from edge_inspector.errors import InferenceError
from edge_inspector.records import Image, ModelInfo
from edge_inspector.segmenters.probing import probe_pictures

_STRIDE: Final = 2
# In mask pixels. A blob as large as the window becomes its own surroundings.
_WINDOW: Final = 31
# Grey levels that are texture, and what each level above them adds to the probability.
_TEXTURE: Final = 24
_GAIN: Final = 4.0

_SAYS: Final[dict[str, Callable[[Image], Image]]] = {
    "probabilities": lambda mask: mask,
    "binary": lambda mask: np.asarray(mask >= 128, np.uint8),
    "class-map": lambda mask: np.asarray((mask >= 64).astype(np.uint8) + (mask >= 128), np.uint8),
    "nothing": np.zeros_like,
}


class SimulatedSegmenter(Segmenter):
    """Behaves like a segmenter with a given service time and given failures. It needs no model folder."""

    class Settings(DriverSettings):
        """How long the simulated model takes, how it fails, and what its masks contain."""

        ms_per_frame: Annotated[float, Field(ge=0)] = 0.0
        """Time that the model takes for each image."""
        workers: Annotated[int, Field(ge=1, le=64)] = 1
        """Calls of the model that run at the same time."""
        max_batch: Annotated[int, Field(ge=1, le=64)] = 1
        """Images per call of the model."""
        fail_every: Annotated[int, Field(ge=0)] = 0
        """Let every n-th call fail. 0 lets none fail."""
        says: Literal["probabilities", "binary", "class-map", "nothing"] = "probabilities"
        """Kind of values in the masks. All but `probabilities` simulate a wrongly exported model."""

    def __init__(self, model_dir: Path, settings: Settings) -> None:
        del model_dir
        self._settings = settings
        self.max_batch = settings.max_batch
        self.workers = settings.workers
        self.info = ModelInfo(
            name="simulated",
            version="1",
            sha256="",
            classes=("defect",),
            height=256,
            width=256,
            channels=3,
            stride=_STRIDE,
            precision="none",
            provider="simulated",
        )
        self._calls = itertools.count(1)
        self._opened = False

    def open(self) -> None:
        """Load nothing, but look at what its masks hold, as for a real model."""
        pictures = probe_pictures((self.info.height, self.info.width, self.info.channels))
        masks = [self._mask(picture) for picture in pictures]
        self.info = replace(self.info, values=frozenset(int(value) for mask in masks for value in np.unique(mask)))
        self._opened = True

    def segment(self, images: Sequence[Image]) -> list[Image]:
        """One mask per image, after the simulated service time."""
        if not self._opened:
            raise InferenceError("simulated segmenter is not open")
        if len(images) > self.max_batch:
            raise InferenceError(f"simulated segmenter: {len(images)} images, at most {self.max_batch} at once")
        time.sleep(self._settings.ms_per_frame * len(images) / 1000)
        if self._settings.fail_every and next(self._calls) % self._settings.fail_every == 0:
            raise InferenceError("simulated failure")
        return [self._mask(image) for image in images]

    def close(self) -> None:
        """Nothing to release."""
        self._opened = False

    def _mask(self, image: Image) -> Image:
        return _SAYS[self._settings.says](_mask(image))


def _mask(image: Image) -> Image:
    if image.dtype != np.uint8 or image.size == 0 or image.ndim not in (2, 3):
        raise InferenceError(f"an image must be grey or BGR, uint8, not {image.dtype} {image.shape}")
    height, width = image.shape[:2]
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if image.ndim == 3 and image.shape[2] == 3 else image
    small = cv2.resize(grey, (-(-width // _STRIDE), -(-height // _STRIDE)), interpolation=cv2.INTER_AREA)
    deviation = cv2.absdiff(small, cv2.blur(small, (_WINDOW, _WINDOW)))
    mask: Image = cv2.convertScaleAbs(cv2.subtract(deviation, np.array([_TEXTURE], np.float64)), alpha=_GAIN)
    return mask[np.newaxis]
