"""How one product is judged: the recipe file, its checks and its fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, WrapValidator, model_validator

from edge_inspector.inspection.areas import Area, one_or_several
from edge_inspector.settings import Table, checked
from edge_inspector.toml_file import read_toml
from edge_inspector.wording import in_words

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


class ClassLimits(Table):
    """What counts as a defect of one class, and how much of it a part may have."""

    min_confidence: Fraction = 0.5
    """Lowest confidence at which a pixel counts as a defect. If good parts are rejected, raise `min_area_mm2` first."""
    min_area_mm2: Annotated[float, Field(ge=0)]
    """Smallest area that counts as a defect. Raise it if good parts are rejected, lower it if bad ones are accepted."""
    max_count: Annotated[int, Field(ge=0, lt=32)] = 0
    """Defects of this class that a part may have, over all its views. 0 rejects a part with any."""
    max_length_mm: Positive | None = None
    """Longest defect that a part may have, whatever `max_count` allows. Not set: any length."""


class PictureLimits(Table):
    """What a picture must be like. If it fails, it is not judged and its part is NOT_INSPECTED (`bad_image`)."""

    max_dark: Fraction = 0.98
    """Largest share of pixel values of 10 or less. Dark-field lighting may need 1.0."""
    max_saturated: Fraction = 0.98
    """Largest share of pixel values of 250 or more. Raise it if bright pictures are normal."""
    min_sharpness: Annotated[float, Field(ge=0)] = 0.0
    """Lowest sharpness in percent of the mean. Write half of what `edge-inspector focus` shows for a good part."""
    may_repeat: bool = False
    """Allow the same picture twice in a row. No working camera repeats a picture, but a folder of pictures may."""
    guard: Literal["taught", "none"] = "taught"
    """`taught`: refuse pictures unlike those of taught good parts. `none`: an empty picture may be accepted."""


class GradeLimits(Table):
    """How many defects of one class a part of a grade may have, and how large."""

    max_count: Annotated[int, Field(ge=0, lt=32)] = 0
    """Defects of this class that a part of this grade may have, over all its views."""
    max_length_mm: Positive | None = None
    """Longest defect of this class in this grade. Not set: any length."""
    max_area_mm2: Positive | None = None
    """Largest defect of this class in this grade. Not set: any area."""


class GradeTable(Table):
    """One grade of accepted parts."""

    name: Annotated[
        str, Field(pattern="^[A-Z]$", json_schema_extra=in_words("one letter from A to Z, as the PLC gets it"))
    ]
    """Letter of the grade. The PLC and MQTT get it, and choose the gate by it."""
    classes: dict[str, GradeLimits] = {}
    """Limits of each defect class. A part of this grade has no defect of a class that is not named here."""


class AlarmLimits(Table):
    """When the station reports too few inspected parts or too many rejected ones. These limits judge no part."""

    window_parts: Annotated[int, Field(ge=20, le=10_000)] = 100
    """Latest parts from which the shares are computed."""
    not_inspected_share: Fraction = 0.02
    """Share of parts not inspected above which the station is degraded. 1 switches this off."""
    blind_share: Fraction = 0.2
    """Share of parts not inspected above which the station is in fault. 1 switches this off."""
    rejects_in_a_row: Annotated[int, Field(ge=0, le=10_000)] = 5
    """Rejected parts in a row that raise the alarm. 0 switches this off."""
    reject_share: Fraction = 0.3
    """Share of rejected parts that raises the alarm: about three times the usual rate. 0 switches this off."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.blind_share < self.not_inspected_share:
            raise ValueError(
                "blind_share must not be less than not_inspected_share, because line_blind is the more serious alarm"
            )
        return self


class Recipe(Table):
    """How one product is judged."""

    id: Annotated[int, Field(ge=1, le=65535)]
    """Number of the recipe. The PLC and the station must have the same one."""
    name: Annotated[str, Field(min_length=1)]
    """Name of the product, for people."""
    revision: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    """Number of this version. A roll-out brings higher ones only, so that nobody can send an old version again."""
    model: Annotated[str, Field(min_length=1)]
    """Name of the model's folder in `models_dir`."""
    model_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    """SHA-256 of the model's file, from its manifest. If it is set, no other file of the folder may judge."""
    views: Annotated[list[str], Field(min_length=1)]
    """Cameras that must have seen the part before it can be accepted."""
    part_length_mm: Positive
    """Length of the part along the belt."""
    min_pitch_mm: Positive
    """Smallest distance between the leading edges of two parts. At least `part_length_mm`."""
    position_tolerance_mm: Positive
    """How far a view may be from its part's expected place. Parts whose position is less certain are NOT_INSPECTED."""
    on_not_inspected: Literal["reject", "accept"] = "reject"
    """What the gate does with a part that was not inspected. `accept` is at your own risk."""
    review_band: tuple[Fraction, Fraction] = (0.4, 0.6)
    """Confidence range [low, high] of doubtful parts. Their pictures are kept for a person to review."""
    classes: dict[str, ClassLimits] = {}
    """Limits of each defect class. A class without a table has the limits that the model suggests."""
    grades: tuple[GradeTable, ...] = ()
    """Grades of accepted parts, the best first. A part that fits none is rejected. Empty: A without defects, else B."""
    regions: dict[str, Annotated[Area | tuple[Area, ...], WrapValidator(one_or_several)]] = {}
    """Areas to judge in each camera's view, one table or several. Without one the whole view is judged."""
    features: dict[str, dict[str, bool | int | float | str]] = {}
    """Features of cameras that this product needs, by camera: exposure, gain, a light at the camera's output."""
    picture: PictureLimits = PictureLimits()
    """Picture limits of all views that have no table in `pictures`."""
    pictures: dict[str, PictureLimits] = {}
    """Picture limits of single views, by camera. They replace `picture` as a whole."""
    alarm: AlarmLimits = AlarmLimits()
    """When too many parts are rejected or not inspected."""

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
        letters = [grade.name for grade in self.grades]
        if len(set(letters)) != len(letters):
            raise ValueError(f"grades names a grade twice: {', '.join(letters)}")
        for name, table in (("pictures", self.pictures), ("regions", self.regions)):
            if unknown := table.keys() - set(self.views):
                raise ValueError(f"{name} names cameras that are not in views: {', '.join(sorted(unknown))}")
        return self

    def picture_limits(self, camera: str) -> PictureLimits:
        """The limits of this view: its own table in `pictures` if there is one, otherwise `picture`."""
        return self.pictures.get(camera, self.picture)

    def areas(self, camera: str) -> tuple[Area, ...]:
        """The areas of this view that the recipe names. None: the whole view is judged."""
        found = self.regions.get(camera, ())
        return (found,) if isinstance(found, Area) else found

    @cached_property
    def fingerprint(self) -> str:
        """Eight hex digits that change with everything in the recipe that judges a part.

        Keys that were added later count only if they are set, so that the hashes of older recipes stay the same.
        """
        unset: dict[str, Any] = {"alarm": True, "revision": True}
        if self.model_sha256 is None:
            unset["model_sha256"] = True
        if not self.features:
            unset["features"] = True
        if not self.grades:
            unset["grades"] = True
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
    """Read the recipe in `path`. Raises ConfigError with all faults at once."""
    return checked(Recipe, read_toml(path), str(path))
