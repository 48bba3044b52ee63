"""The recipe selected at run time. It is stored, because after a crash the next run must judge by the same recipe."""

from __future__ import annotations

import json
from pathlib import Path

from edge_inspector.errors import DeviceError
from edge_inspector.store.whole_file import replace_file

_NAME = "recipe.json"


def remember_choice(state_dir: Path, configured: int, chosen: int) -> None:
    """Keep `chosen` across restarts, as long as the station file starts with `configured`. Raises DeviceError."""
    path = state_dir / _NAME
    try:
        replace_file(path, json.dumps({"configured": configured, "chosen": chosen}))
    except OSError as error:
        raise DeviceError(f"{path}: the chosen recipe cannot be kept: {error.strerror}") from error


def remembered_choice(state_dir: Path, configured: int) -> int:
    """The recipe chosen last. `configured` if there is none, or if the station file was changed since then."""
    try:
        kept = json.loads((state_dir / _NAME).read_bytes())
        same, chosen = kept["configured"] == configured, kept["chosen"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return configured
    return chosen if same and type(chosen) is int else configured
