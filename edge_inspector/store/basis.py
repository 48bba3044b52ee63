"""The stored basis of the last run's verdicts, by recipe, and the changes that nobody has seen yet."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from edge_inspector.errors import DeviceError

_NAME = "criteria.json"


@dataclass(frozen=True, slots=True)
class KeptBasis:
    """The basis of a recipe's verdicts, and a text about changes, which stays until RESET."""

    basis: dict[str, str]
    unseen: str = ""


def keep_basis(state_dir: Path, kept: dict[int, KeptBasis]) -> None:
    """Write all of it at once. Raises DeviceError."""
    path, draft = state_dir / _NAME, state_dir / f"{_NAME}.new"
    try:
        with draft.open("w", encoding="utf-8") as file:
            json.dump({str(number): asdict(each) for number, each in kept.items()}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise DeviceError(f"{path}: what judges cannot be kept: {error.strerror}") from error


def kept_basis(state_dir: Path) -> dict[int, KeptBasis]:
    """The stored basis. Empty at the first run. Raises DeviceError if the file cannot be read."""
    path = state_dir / _NAME
    try:
        found = json.loads(path.read_bytes())
        return {int(number): _checked(each) for number, each in found.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DeviceError(f"{path}: cannot be read: what judged before is not known") from error


def _checked(each: dict[str, object]) -> KeptBasis:
    basis, unseen = each["basis"], each["unseen"]
    if not isinstance(basis, dict) or not isinstance(unseen, str):
        raise TypeError
    return KeptBasis({str(name): str(value) for name, value in basis.items()}, unseen)
