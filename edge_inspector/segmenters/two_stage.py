"""A light model looks at every frame. The real model looks only at the suspicious ones."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from edge_inspector.driver_table import DEFAULT_RUNTIME
from edge_inspector.drivers import DriverSettings, Due, Segmenter, load_driver
from edge_inspector.errors import ConfigError, Fault
from edge_inspector.records import Image, ModelInfo
from edge_inspector.settings import below, checked


class TwoStageSegmenter:
    """Two models in a row. A frame that the first model clears gets an empty mask.

    A defect that the first model misses stays missed. Evaluate both models together before you use them.
    """

    class Settings(DriverSettings):
        """A light model looks at every picture. The recipe's model looks only at suspicious ones."""

        first: str
        """Name of the light model's folder, beside that of the recipe's model."""
        suspicion: Annotated[float, Field(gt=0, le=1)] = 0.1
        """Confidence of the light model from which the second one looks too. Lower it if defects are missed."""
        model_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
        """SHA-256 of the second model's file, from its manifest. If it is set, no other file runs."""
        driver: str = DEFAULT_RUNTIME
        """Name of the driver that runs both models."""
        settings: dict[str, Any] = Field(default_factory=dict)
        """That driver's own settings, for both models."""

    def __init__(self, model_dir: Path, settings: Settings) -> None:
        if settings.driver == "two-stage":
            raise ConfigError([Fault("driver", "the first stage must not have two stages itself. Name another driver")])
        try:
            kind = load_driver("segmenters", settings.driver)
        except KeyError:
            raise ConfigError([Fault("driver", f"unknown driver {settings.driver!r}")]) from None
        if Path(settings.first).name != settings.first:
            raise ConfigError(
                [Fault("first", f"{settings.first} must be the name of a folder beside {model_dir.name}")]
            )
        demanded = {"model_sha256": settings.model_sha256} if settings.model_sha256 else {}
        try:
            own = checked(kind.Settings, settings.settings)
            second = checked(kind.Settings, settings.settings | demanded)
        except ConfigError as error:
            raise ConfigError(below("settings", error.faults)) from error
        self._first: Segmenter = kind(model_dir.with_name(settings.first), own)
        self._second: Segmenter = kind(model_dir, second)
        self._suspicion = settings.suspicion * 255.0
        self._opening = threading.Lock()

    @property
    def info(self) -> ModelInfo:
        """The second model's classes and limits, with the weaknesses of both models."""
        first, second = self._first.info, self._second.info
        return replace(
            second,
            fell_back=first.fell_back or second.fell_back,
            before=f"{first.label} {first.sha256}, {first.runtime}, from {self._suspicion:g}",
            blind=first.blind or second.blind,
            doubt=first.doubt or second.doubt,
            values=min(first.values, second.values, key=lambda values: max(values, default=255)),
        )

    @property
    def max_batch(self) -> int:
        """The largest batch that both models accept."""
        return min(self._first.max_batch, self._second.max_batch)

    @property
    def workers(self) -> int:
        """The larger number of workers of the two models."""
        return max(self._first.workers, self._second.workers)

    def open(self) -> None:
        """Open both models."""
        with self._opening:
            self._first.open()
            self._second.open()

    def segment(self, images: Sequence[Image]) -> list[Image]:
        """One mask per image, see `Segmenter`."""
        return self.segment_due(images, Due(0.0, lambda: True)) or []

    def segment_due(self, images: Sequence[Image], due: Due) -> list[Image] | None:
        """See `Segmenter`. Either model may leave the rest out."""
        looks = self._first.segment_due(images, due)
        if looks is None:
            return None
        suspicious = [place for place, look in enumerate(looks) if look.max(initial=0) >= self._suspicion]
        found = self._second.segment_due([images[place] for place in suspicious], due)
        if found is None:
            return None
        masks = dict(zip(suspicious, found, strict=True))
        return [masks[place] if place in masks else self._empty(image) for place, image in enumerate(images)]

    def close(self) -> None:
        """Close both models."""
        self._first.close()
        self._second.close()

    def _empty(self, image: Image) -> Image:
        stride = self.info.stride
        height, width = (-(-side // stride) for side in image.shape[:2])
        return np.zeros((len(self.info.classes), height, width), np.uint8)
