"""Tables that come from a file: the strict base class, and the ways to check them. Every fault has its key path."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.wording import faults_of


class Table(BaseModel):
    """A table that never changes. Unknown keys and infinite numbers are refused.

    The docstring of one line below a field is its description in the JSON Schema.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


Checked = TypeVar("Checked", bound=BaseModel)


def checked(model: type[Checked], table: object, where: str = "", context: dict[str, Any] | None = None) -> Checked:
    """The table as a `model`. Raises ConfigError with every fault. `where` is the file that the table is from."""
    try:
        return model.model_validate(table, context=context)
    except ValidationError as error:
        raise ConfigError(faults_of(error, where, model)) from error


def read_json(model: type[Checked], path: Path) -> Checked:
    """The `model` in a file that the station has written. Raises ConfigError."""
    try:
        return model.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError([Fault(str(path), f"cannot be read: {error.strerror}")]) from error
    except ValidationError as error:
        raise ConfigError(faults_of(error, str(path), model)) from error


_SECRET: Final = re.compile(r"(password|token|key)_file|private_key")


def exposed(table: BaseModel) -> Iterator[tuple[str, Path]]:
    """Each setting that names a file with a secret which everybody on this machine can read, and the file."""
    for name, value in table:
        if _SECRET.search(name) and isinstance(value, Path):
            with suppress(OSError):  # a file that is not there is a fault of its own
                if value.stat().st_mode & 0o007:
                    yield name, value


def below(table: str, faults: Iterable[Fault]) -> list[Fault]:
    """The faults of a table that lies at the key path `table` of its file."""
    return [replace(fault, where=".".join(filter(None, [table, fault.where]))) for fault in faults]
