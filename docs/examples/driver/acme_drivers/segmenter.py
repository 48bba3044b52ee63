"""A segmenter without a model. What is darker than the rest of the part is a defect."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
from pydantic import Field

from edge_inspector.drivers import DriverSettings, Segmenter
from edge_inspector.errors import InferenceError
from edge_inspector.records import Image, ModelInfo

STRIDE = 2


class DarkSpots(Segmenter):
    """Compares each pixel with the median of its picture."""

    class Settings(DriverSettings):
        """How dark a defect is."""

        depth: Annotated[int, Field(ge=1, le=255)] = 80
        """Grey levels below the median at which a pixel is a defect for sure."""
        workers: Annotated[int, Field(ge=1, le=64)] = 1
        """Threads that call the segmenter at the same time."""

    def __init__(self, model_dir: Path, settings: Settings) -> None:
        self._depth = settings.depth
        self.workers = settings.workers
        self.max_batch = 8
        self.info = ModelInfo(
            name=model_dir.name,
            version="1",
            sha256="",  # there is no file
            classes=("spot",),
            height=256,
            width=256,
            channels=1,
            stride=STRIDE,
            precision="none",
            provider="cpu",
            limits={"spot": (0.5, 20.0)},  # suggested: confidence, and area in pixels
        )

    def open(self) -> None:
        """Nothing to load. A driver with a model loads it here and lets it run once."""

    def segment(self, images: Sequence[Image]) -> list[Image]:
        """One mask per picture. It keeps nothing between two calls, so any number of threads may call it."""
        try:
            return [self._mask(image) for image in images]
        except cv2.error as error:
            raise InferenceError(f"dark-spots: {error}") from error

    def close(self) -> None:
        """Nothing to release."""

    def _mask(self, image: Image) -> Image:
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if image.ndim == 3 else image
        size = (-(-grey.shape[1] // STRIDE), -(-grey.shape[0] // STRIDE))
        small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        probability = np.clip((np.median(small) - small) / self._depth, 0, 1)
        mask: Image = (probability * 255).astype(np.uint8)
        return mask[np.newaxis]
