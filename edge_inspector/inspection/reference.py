"""The file with the appearance of the line in good condition. The drift watch compares with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.inspection.recipe import Fraction
from edge_inspector.wording import faults_of


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Distribution(_Table):
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


class Reference(_Table):
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
    try:
        return Reference.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError([Fault(str(path), f"cannot be read: {error.strerror}")]) from error
    except ValidationError as error:
        raise ConfigError(faults_of(error, str(path), Reference)) from error
