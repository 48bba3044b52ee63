"""Stands where a model will be: it knows no defect yet, so no part is inspected. `edge-inspector collect` uses it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import numpy as np
from pydantic import Field

from edge_inspector.drivers import DriverSettings, Segmenter
from edge_inspector.records import Image, ModelInfo

_STRIDE: Final = 8
_INVALID: Final = 255
"""A mask that is this everywhere, in every class, is never judged. So nothing can be accepted."""


class UntaughtSegmenter(Segmenter):
    """Answers each picture with an invalid mask. Its part is NOT_INSPECTED, and the picture is kept."""

    class Settings(DriverSettings):
        """The classes that recipes name already."""

        classes: Annotated[tuple[str, ...], Field(min_length=1)] = ("defect",)
        """Classes that recipes may name, although nothing is found."""

    def __init__(self, model_dir: Path, settings: Settings) -> None:
        del model_dir
        self.max_batch = self.workers = 1
        self.info = ModelInfo(
            name="untaught",
            version="1",
            sha256="",
            classes=settings.classes,
            height=512,
            width=512,
            channels=1,
            stride=_STRIDE,
            precision="none",
            provider="none",
            limits=dict.fromkeys(settings.classes, (0.5, 1.0)),
        )

    def open(self) -> None:
        """Nothing to load."""

    def segment(self, images: Sequence[Image]) -> list[Image]:
        """Invalid masks."""
        classes = len(self.info.classes)
        sizes = ((-(-image.shape[0] // _STRIDE), -(-image.shape[1] // _STRIDE)) for image in images)
        return [np.full((classes, *size), _INVALID, np.uint8) for size in sizes]

    def close(self) -> None:
        """Nothing to release."""
