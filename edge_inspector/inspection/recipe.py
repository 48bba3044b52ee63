"""How one product is judged: the recipe file, its checks and its fingerprint."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge_inspector.errors import ConfigError, Fault

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ClassLimits(_Table):
    """What counts as a defect of one class, and how much of it a part may have."""

    min_confidence: Fraction = 0.5
    min_area_mm2: Annotated[float, Field(ge=0)]
    max_count: Annotated[int, Field(ge=0, lt=32)] = 0
    max_length_mm: Positive | None = None


class Region(_Table):
    """The part of a view that is judged, from the frame's upper left corner."""

    x_mm: Annotated[float, Field(ge=0)]
    y_mm: Annotated[float, Field(ge=0)]
    width_mm: Positive
    height_mm: Positive


class PictureLimits(_Table):
    """What a picture must be, to be judged; else its part is NOT_INSPECTED (`bad_image`).

    Of the pixel values at most these shares may be at the dark end of the scale (10 and less) and at the bright end
    (250 and more). `min_sharpness` is in percent of the mean, as `edge-inspector focus` shows it. `may_repeat` allows
    the very same picture twice in a row: no camera that works gives that, a folder of pictures may.
    """

    max_dark: Fraction = 0.98
    max_saturated: Fraction = 0.98
    min_sharpness: Annotated[float, Field(ge=0)] = 0.0
    may_repeat: bool = False


class Recipe(_Table):
    """One product. `views` are the cameras that must have seen the part before it can be accepted.

    With `model_sha256` no other file of the model's folder may judge: it is the file's SHA-256 in the manifest.
    `picture` holds for all views but those that have a table of their own in `pictures`.
    """

    id: Annotated[int, Field(ge=1, le=65535)]
    name: Annotated[str, Field(min_length=1)]
    model: Annotated[str, Field(min_length=1)]
    model_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    views: Annotated[list[str], Field(min_length=1)]
    part_length_mm: Positive
    min_pitch_mm: Positive
    position_tolerance_mm: Positive
    on_not_inspected: Literal["reject", "accept"] = "reject"
    review_band: tuple[Fraction, Fraction] = (0.4, 0.6)
    classes: dict[str, ClassLimits] = {}
    regions: dict[str, Region] = {}
    picture: PictureLimits = PictureLimits()
    pictures: dict[str, PictureLimits] = {}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.min_pitch_mm < self.part_length_mm:
            raise ValueError("min_pitch_mm must not be less than part_length_mm: parts would overlap")
        if self.position_tolerance_mm >= self.min_pitch_mm / 2:
            raise ValueError(
                "position_tolerance_mm must be less than half of min_pitch_mm: views could match two parts"
            )
        if self.review_band[0] > self.review_band[1]:
            raise ValueError("review_band must be [low, high]")
        if len(set(self.views)) != len(self.views):
            raise ValueError("views names a camera twice")
        for name, table in (("pictures", self.pictures), ("regions", self.regions)):
            if unknown := table.keys() - set(self.views):
                raise ValueError(f"{name} names what is not in views: {', '.join(sorted(unknown))}")
        return self

    def picture_limits(self, camera: str) -> PictureLimits:
        """Those of this view in `pictures`, else those of all in `picture`."""
        return self.pictures.get(camera, self.picture)

    @property
    def fingerprint(self) -> str:
        """Eight hex digits that change with anything in the recipe. What came later counts where it is given."""
        unset = {"model_sha256"} if self.model_sha256 is None else set()
        return hashlib.sha256(self.model_dump_json(exclude=unset).encode()).hexdigest()[:8]


@dataclass(frozen=True, slots=True)
class Criteria:
    """A recipe with the limits of every class: its own, or those that the model suggests."""

    recipe: Recipe
    limits: Mapping[str, ClassLimits]


def read_toml(path: Path) -> dict[str, Any]:
    """What stands in a TOML file. Raises ConfigError, also for texts with a NUL, which no path may have."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError([Fault(str(path), f"cannot be read: {error.strerror}")]) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError([Fault(str(path), f"is not TOML: {error}")]) from error
    where = _nul_at(table)
    if where is not None:
        raise ConfigError([Fault(f"{path}: {where}", "has a NUL character in it")])
    return table


def _nul_at(part: Any, where: str = "") -> str | None:
    if isinstance(part, str):
        return where if "\0" in part else None
    items = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    found = (_nul_at(key, f"{where}.") or _nul_at(value, f"{where}.{key}".removeprefix(".")) for key, value in items)
    return next(filter(None, found), None)


def read_recipe(path: Path) -> Recipe:
    """The recipe in `path`. Raises ConfigError with every fault found."""
    try:
        return Recipe.model_validate(read_toml(path))
    except ValidationError as error:
        raise ConfigError(faults_of(error, str(path))) from error


def faults_of(error: ValidationError, where: str) -> list[Fault]:
    """Every fault that pydantic found, each with its key path."""
    return [
        Fault(
            ": ".join(filter(None, [where, ".".join(str(key) for key in each["loc"])])),
            each["msg"].removeprefix("Value error, ") + _given(each["input"]),
        )
        for each in error.errors()
    ]


def _given(value: object) -> str:
    return f" (is {value!r})" if isinstance(value, str | int | float | bool) else ""
