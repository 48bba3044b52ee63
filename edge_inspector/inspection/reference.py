"""The file with the appearance of the line in good condition. The drift watch compares with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from edge_inspector.inspection.recipe import Fraction
from edge_inspector.settings import Table, read_json


class Distribution(Table):
    """The distribution of one quantity of one camera or class: the shares below, between and above the edges."""

    subject: str
    quantity: str
    count: Annotated[int, Field(ge=1)]
    edges: Annotated[list[float], Field(min_length=1, max_length=100)]
    shares: list[Fraction]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.shares) != len(self.edges) + 1:
            raise ValueError("shares must be one more than edges")
        if sorted(set(self.edges)) != self.edges:
            raise ValueError("edges must rise")
        if abs(sum(self.shares) - 1) > 0.001:
            raise ValueError("shares must sum to 1")
        return self


class Reference(Table):
    """One recipe's reference, and the data that it was learnt from."""

    schema_version: Literal[1] = 1
    recipe_id: Annotated[int, Field(ge=1, le=65535)]
    since_utc: AwareDatetime
    until_utc: AwareDatetime
    parts: Annotated[int, Field(ge=1)]
    reject_rate: Fraction
    distributions: list[Distribution]


def reference_path(state_dir: Path, recipe_id: int) -> Path:
    """The path of a recipe's reference in the state folder of a station."""
    return state_dir / f"reference-{recipe_id}.json"


def read_reference(path: Path) -> Reference:
    """The reference in `path`. Raises ConfigError."""
    return read_json(Reference, path)
