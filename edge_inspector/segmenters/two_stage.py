"""A light model looks at every frame. The real model looks only at the suspicious ones."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
from pydantic import Field

from edge_inspector.driver_table import DEFAULT_RUNTIME
from edge_inspector.drivers import DriverSettings, Due, Segmenter, load_driver
from edge_inspector.errors import ConfigError, Fault
from edge_inspector.records import Image, ModelInfo
from edge_inspector.segmenters.manifest import MANIFEST_NAME, Manifest, read_manifest
from edge_inspector.settings import below, checked

_SUSPICION: Final = 0.1
"""Of a light model that promises nothing."""


def station_lines(first: str) -> tuple[str, ...]:
    """What a station file says to have this first stage look before the recipe's model."""
    return "[segmenter]", 'driver = "two-stage"', f'settings = {{ first = "{first}" }}'


def suspicion_of(first: Manifest, second: Manifest, asked: float | None = None) -> float:
    """The confidence of the first model from which the second one looks. Raises ConfigError for an unsafe pair."""
    if second.first_stage is not None:
        what = f"{second.label} is itself a first stage: it clears frames and finds no defects. Name its second model"
        raise ConfigError([Fault("model", f"{what}, {second.first_stage.of}")])
    promised = first.first_stage
    if promised is None:
        return _SUSPICION if asked is None else asked
    if promised.sha256 not in {file.sha256 for file in second.files.values()}:
        same = " of other files" if promised.of == second.label else ""
        what = f"{first.label} was made for {promised.of}{same}, not for this {second.label}"
        raise ConfigError([Fault("first", f"{what}: `model train --first-stage` makes one for it")])
    if asked is not None and asked > promised.suspicion:
        what = f"{asked:g} clears more than {first.label} promises: at most {promised.suspicion:g}, or leave it out"
        raise ConfigError([Fault("suspicion", what)])
    return promised.suspicion if asked is None else asked


class TwoStageSegmenter:
    """Two models in a row. A frame that the first model clears gets an empty mask.

    A defect that the first model misses stays missed. A first stage that `model train --first-stage` made says how much
    that may be. Any other light model has to be evaluated together with the second one before it is used.
    """

    class Settings(DriverSettings):
        """A light model looks at every picture. The recipe's model looks only at suspicious ones."""

        first: str
        """Name of the light model's folder, beside that of the recipe's model."""
        suspicion: Annotated[float, Field(gt=0, le=1)] | None = None
        """Confidence of the light model from which the second one looks too. Lower it if defects are missed. Not set: \
what the light model's manifest promises, or 0.1 if it promises nothing."""
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
        self._folders = (model_dir.with_name(settings.first), model_dir)
        self._asked = settings.suspicion
        self._suspicion = self._level()
        self._opening = threading.Lock()

    @property
    def info(self) -> ModelInfo:
        """The second model's classes and limits, with the weaknesses of both models."""
        first, second = self._first.info, self._second.info
        passes = max(first.values, default=255) >= self._suspicion
        return replace(
            second,
            fell_back=first.fell_back or second.fell_back,
            before=f"{first.label} {first.sha256}, {first.runtime}, from {self._suspicion:g}",
            blind=first.blind or second.blind,
            doubt=first.doubt or second.doubt,
            values=second.values if passes else first.values,
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
            self._suspicion = self._level()  # the folders may be others by now

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

    def _level(self) -> float:
        """The mask value from which a frame is suspicious. A driver need not read manifests, so there may be none."""
        if not all((folder / MANIFEST_NAME).exists() for folder in self._folders):
            return (self._asked or _SUSPICION) * 255.0
        first, second = (read_manifest(folder) for folder in self._folders)
        return suspicion_of(first, second, self._asked) * 255.0

    def _empty(self, image: Image) -> Image:
        stride = self.info.stride
        height, width = (-(-side // stride) for side in image.shape[:2])
        return np.zeros((len(self.info.classes), height, width), np.uint8)
