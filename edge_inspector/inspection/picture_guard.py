"""Whether a picture looks like those of the taught good parts. An empty belt or a grey picture does not.

A picture's signature is a few figures and a thumbnail of it. A guard has the median and the spread of each number over
the good parts. It refuses a picture that is clearly further away than all of them were.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Literal, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import AwareDatetime, Field, model_validator

from edge_inspector.inspection.picture import picture_figures
from edge_inspector.records import Image, PictureFigures
from edge_inspector.settings import Table, read_json

ENOUGH: Final = 20  # good parts: fewer do not show how much good parts vary

_FIGURES: Final = ("brightness", "sharpness", "contrast", "grain")
_CELLS: Final = 8  # the thumbnail is 8 x 8
_LENGTH: Final = len(_FIGURES) + _CELLS * _CELLS
_ROWS: Final = 64
# Light and camera vary by at least this much, even if the taught parts were very uniform.
_FLOOR: Final = np.array([0.05, 0.15, 0.15, 0.1] + [0.03] * (_CELLS * _CELLS))
_MARGIN: Final = 1.5  # times as far as the furthest good part

Signature = NDArray[np.float64]


def signature(image: Image, figures: PictureFigures | None = None) -> Signature:
    """The signature of a grey or colour picture.

    It has 68 numbers: the logarithms of brightness, sharpness, contrast and grain, then 64 cells of the thumbnail.
    `figures` are those of `picture_figures`, if they are already known.
    """
    figures = figures or picture_figures(image)
    rows = np.ascontiguousarray(image[:: max(1, image.shape[0] // _ROWS)])
    grey = cv2.cvtColor(rows, cv2.COLOR_BGR2GRAY) if rows.ndim == 3 else rows
    coarse = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    cells = cv2.resize(coarse, (_CELLS, _CELLS), interpolation=cv2.INTER_AREA)
    mean, spread, grain = max(1.0, cv2.mean(cells)[0]), _spread(grey), _spread(coarse)
    seen = np.empty(_LENGTH)
    seen[: len(_FIGURES)] = (
        math.log(1 + figures.mean),
        math.log(0.1 + figures.sharpness),
        math.log(0.5 + 100 * spread / mean),
        math.log((0.5 + grain) / (0.5 + spread)),
    )
    seen[len(_FIGURES) :] = cells.ravel() / mean - 1
    return seen


def _spread(grey: Image | NDArray[np.float32]) -> float:
    """The standard deviation."""
    return float(cv2.meanStdDev(grey)[1][0, 0])


class CameraGuard(Table):
    """One camera's pictures of good parts: median and spread of each number of their signatures.

    `reach` is the largest allowed distance in spreads, for each of the four figures and for the thumbnail.
    """

    parts: Annotated[int, Field(ge=ENOUGH)]
    middle: Annotated[list[float], Field(min_length=_LENGTH, max_length=_LENGTH)]
    spread: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=_LENGTH, max_length=_LENGTH)]
    reach: Annotated[
        list[Annotated[float, Field(gt=0)]], Field(min_length=len(_FIGURES) + 1, max_length=len(_FIGURES) + 1)
    ]

    def objection(self, seen: Signature) -> str:
        """Why the picture is not that of a good part. Empty if it may be one."""
        away = _away(seen, np.array(self.middle), np.array(self.spread)) / np.array(self.reach)
        worst = int(away.argmax())
        if away[worst] <= 1:
            return ""
        name = (*_FIGURES, "shape")[worst]
        return f"its {name} is {away[worst]:.1f} times as far away as it may be for a good part"


class PictureGuard(Table):
    """One recipe's guard: for each camera, how its good parts look."""

    schema_version: Literal[1] = 1
    recipe_id: Annotated[int, Field(ge=1, le=65535)]
    taught_utc: AwareDatetime
    cameras: dict[str, CameraGuard]

    @model_validator(mode="after")
    def _known(self) -> Self:
        if not self.cameras:
            raise ValueError("cameras must name at least one")
        return self


def learn(signatures: Sequence[Signature]) -> CameraGuard:
    """The guard of a camera that took these pictures of good parts. Raises ValueError for fewer than 20."""
    if len(signatures) < ENOUGH:
        raise ValueError(f"{len(signatures)} pictures of good parts: at least {ENOUGH} are needed")
    seen = np.stack(signatures)
    middle = np.median(seen, axis=0)
    spread = np.maximum(1.4826 * np.median(np.abs(seen - middle), axis=0), _FLOOR)
    furthest = np.max([_away(each, middle, spread) for each in seen], axis=0)
    slack = np.array([2.0] * len(_FIGURES) + [1.0])
    reach = np.maximum(furthest, slack) * _MARGIN + slack / 2
    return CameraGuard(
        parts=len(signatures), middle=middle.tolist(), spread=spread.tolist(), reach=reach.round(4).tolist()
    )


def blind_to(guard: CameraGuard) -> list[str]:
    """Those of some pictures without a part that this guard would let pass."""
    brightness = float(np.clip(math.exp(guard.middle[0]) - 1, 0, 255))
    cv2.setRNGSeed(1)
    plain = np.full((256, 256), round(brightness), np.uint8)
    noise, chance = np.empty(plain.shape, np.int16), np.empty_like(plain)
    cv2.randn(noise, 0, 3)
    cv2.randu(chance, 0, 256)
    empty = {
        "plain grey": plain,
        "grey with a sensor's noise": np.clip(plain + noise, 0, 255).astype(np.uint8),
        "nothing but noise": chance,
    }
    return [name for name, picture in empty.items() if not guard.objection(signature(picture))]


def guard_path(state_dir: Path, recipe_id: int) -> Path:
    """The path of a recipe's guard in the state folder of a station."""
    return state_dir / f"guard-{recipe_id}.json"


def read_guard(path: Path) -> PictureGuard:
    """The guard in `path`. Raises ConfigError."""
    return read_json(PictureGuard, path)


def _away(seen: Signature, middle: Signature, spread: Signature) -> NDArray[np.float64]:
    """The distance of each figure in spreads, and the mean distance of the thumbnail."""
    off = np.abs(seen - middle) / spread
    figures = len(_FIGURES)
    return np.array([*off[:figures], math.sqrt(float(np.mean(off[figures:] ** 2)))])
