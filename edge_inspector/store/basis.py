"""The stored basis of the last run's verdicts, by recipe, and the changes that nobody has seen yet."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from edge_inspector.errors import DeviceError
from edge_inspector.store.whole_file import replace_file

_NAME = "criteria.json"


@dataclass(frozen=True, slots=True)
class KeptBasis:
    """The basis of a recipe's verdicts, and a text about changes, which stays until RESET."""

    basis: dict[str, str]
    unseen: str = ""


def keep_basis(state_dir: Path, kept: dict[int, KeptBasis]) -> None:
    """Write all of it at once. Raises DeviceError."""
    path = state_dir / _NAME
    try:
        replace_file(path, json.dumps({str(number): asdict(each) for number, each in kept.items()}, indent=1))
    except OSError as error:
        raise DeviceError(f"{path}: the record of recipe and model cannot be kept: {error.strerror}") from error


def kept_basis(state_dir: Path) -> dict[int, KeptBasis]:
    """The stored basis. Empty at the first run. Raises DeviceError if the file cannot be read."""
    path = state_dir / _NAME
    try:
        found = json.loads(path.read_bytes())
        return {int(number): _checked(each) for number, each in found.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DeviceError(f"{path}: cannot be read: the earlier recipe and model are not known") from error


def _checked(each: dict[str, object]) -> KeptBasis:
    basis, unseen = each["basis"], each["unseen"]
    if not isinstance(basis, dict) or not isinstance(unseen, str):
        raise TypeError
    return KeptBasis({str(name): str(value) for name, value in basis.items()}, unseen)
