"""How one product is judged: the recipe file, its checks and its fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge_inspector.errors import ConfigError
from edge_inspector.toml_file import read_toml
from edge_inspector.wording import faults_of

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

    `guard` "taught": a picture that is not like those of the taught good parts is refused, and the station says while
    nothing is taught. "none": an empty picture may be accepted, and that is known.
    """

    max_dark: Fraction = 0.98
    max_saturated: Fraction = 0.98
    min_sharpness: Annotated[float, Field(ge=0)] = 0.0
    may_repeat: bool = False
    guard: Literal["taught", "none"] = "taught"


class AlarmLimits(_Table):
    """When too few parts are inspected, or too many rejected, to go on without a word.

    Shares are of the last `window_parts`. More than `not_inspected_share` makes the station degraded, more than
    `blind_share` a fault; 1 switches either off. More than `reject_share`, or so many `rejects_in_a_row`, raise the
    alarm; 0 switches either off. 0.3 is more than chance
    makes of a line that rejects one part in seven.
    """

    window_parts: Annotated[int, Field(ge=20, le=10_000)] = 100
    not_inspected_share: Fraction = 0.02
    blind_share: Fraction = 0.2
    rejects_in_a_row: Annotated[int, Field(ge=0, le=10_000)] = 5
    reject_share: Fraction = 0.3

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.blind_share < self.not_inspected_share:
            raise ValueError("blind_share must not be less than not_inspected_share: the fault is the graver one")
        return self


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
    alarm: AlarmLimits = AlarmLimits()

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
        """Eight hex digits that change with anything in the recipe that judges a part.

        What came later counts only where it is given, so that older hashes stay.
        """
        unset: dict[str, Any] = {"alarm": True}
        if self.model_sha256 is None:
            unset["model_sha256"] = True
        if self.picture.guard == "taught":
            unset["picture"] = {"guard"}
        plain = {name: {"guard"} for name, limits in self.pictures.items() if limits.guard == "taught"}
        if plain:
            unset["pictures"] = plain
        return hashlib.sha256(self.model_dump_json(exclude=unset).encode()).hexdigest()[:8]


@dataclass(frozen=True, slots=True)
class Criteria:
    """A recipe with the limits of every class: its own, or those that the model suggests."""

    recipe: Recipe
    limits: Mapping[str, ClassLimits]


def read_recipe(path: Path) -> Recipe:
    """The recipe in `path`. Raises ConfigError with every fault found."""
    try:
        return Recipe.model_validate(read_toml(path))
    except ValidationError as error:
        raise ConfigError(faults_of(error, str(path), Recipe)) from error
