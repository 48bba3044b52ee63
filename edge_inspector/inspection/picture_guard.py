"""Whether a picture looks like those of the good parts that were taught: an empty belt or a grey picture does not.

A picture's signature is a few figures and a thumbnail of it. A guard knows the middle and the spread of each over
the good parts. It refuses a picture that lies clearly further away than any of them did.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Literal, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.inspection.picture import PictureFigures, measure
from edge_inspector.records import Image
from edge_inspector.wording import faults_of

ENOUGH: Final = 20  # good parts: with fewer, what varies from part to part is not seen

_FIGURES: Final = ("brightness", "sharpness", "contrast", "grain")
_CELLS: Final = 8  # the thumbnail is 8 x 8
_LENGTH: Final = len(_FIGURES) + _CELLS * _CELLS
_ROWS: Final = 64
# Light and camera vary by this much however even the taught parts were.
_FLOOR: Final = np.array([0.05, 0.15, 0.15, 0.1] + [0.03] * (_CELLS * _CELLS))
_MARGIN: Final = 1.5  # times as far as the furthest good part

Signature = NDArray[np.float64]


def signature(image: Image, figures: PictureFigures | None = None) -> Signature:
    """What a grey or colour picture is like: (68,) logarithms of brightness, sharpness, contrast, grain; 64 cells.

    `figures` are those of `measure`, where somebody has them already.
    """
    figures = figures or measure(image)
    rows = np.ascontiguousarray(image[:: max(1, image.shape[0] // _ROWS)])
    grey = cv2.cvtColor(rows, cv2.COLOR_BGR2GRAY) if rows.ndim == 3 else rows
    coarse = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    cells = cv2.resize(coarse, (_CELLS, _CELLS), interpolation=cv2.INTER_AREA)
    mean, spread = max(1.0, float(cells.mean())), float(cv2.meanStdDev(grey)[1][0, 0])
    return np.array(
        [
            math.log(1 + figures.mean),
            math.log(0.1 + figures.sharpness),
            math.log(0.5 + 100 * spread / mean),
            math.log((0.5 + float(coarse.std())) / (0.5 + spread)),
            *(cells.ravel() / mean - 1),
        ]
    )


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class CameraGuard(_Table):
    """What one camera's pictures of good parts are like: middle and spread of each number of their signatures.

    `reach` is how far a picture may be away, in spreads: for each of the four figures, and for the thumbnail.
    """

    parts: Annotated[int, Field(ge=ENOUGH)]
    middle: Annotated[list[float], Field(min_length=_LENGTH, max_length=_LENGTH)]
    spread: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=_LENGTH, max_length=_LENGTH)]
    reach: Annotated[
        list[Annotated[float, Field(gt=0)]], Field(min_length=len(_FIGURES) + 1, max_length=len(_FIGURES) + 1)
    ]

    def objection(self, seen: Signature) -> str:
        """What of the picture is not that of a good part; empty where all of it is."""
        away = _away(seen, np.array(self.middle), np.array(self.spread)) / np.array(self.reach)
        worst = int(away.argmax())
        if away[worst] <= 1:
            return ""
        name = (*_FIGURES, "shape")[worst]
        return f"its {name} is {away[worst]:.1f} times as far off as a good part's may be"


class PictureGuard(_Table):
    """One recipe's guard: what its good parts look like to each camera."""

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
    """Of some pictures without a part, those that this guard would let pass."""
    brightness = float(np.clip(math.exp(guard.middle[0]) - 1, 0, 255))
    chance = np.random.default_rng(1)
    plain = np.full((256, 256), round(brightness), np.uint8)
    empty = {
        "plain grey": plain,
        "grey with a sensor's noise": np.clip(plain + chance.normal(0, 3, plain.shape), 0, 255).astype(np.uint8),
        "nothing but noise": chance.integers(0, 256, plain.shape).astype(np.uint8),
    }
    return [name for name, picture in empty.items() if not guard.objection(signature(picture))]


def guard_path(state_dir: Path, recipe_id: int) -> Path:
    """Where a station keeps the guard of a recipe."""
    return state_dir / f"guard-{recipe_id}.json"


def read_guard(path: Path) -> PictureGuard:
    """The guard in `path`. Raises ConfigError."""
    try:
        return PictureGuard.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError([Fault(str(path), f"cannot be read: {error.strerror}")]) from error
    except ValidationError as error:
        raise ConfigError(faults_of(error, str(path), PictureGuard)) from error


def _away(seen: Signature, middle: Signature, spread: Signature) -> NDArray[np.float64]:
    """How many spreads each figure is off, and the thumbnail on average."""
    off = np.abs(seen - middle) / spread
    figures = len(_FIGURES)
    return np.array([*off[:figures], math.sqrt(float(np.mean(off[figures:] ** 2)))])
