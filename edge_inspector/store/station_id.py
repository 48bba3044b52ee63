"""The identity of a station: a random number in its state folder, so that nobody takes it for another of its name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from uuid import uuid4

from edge_inspector.errors import StateError
from edge_inspector.store.whole_file import replace_file

IDENTITY_FILE: Final = "station-id"


def station_id(state_dir: Path) -> str:
    """The identity, made at the first call. Raises StateError."""
    path = state_dir / IDENTITY_FILE
    if not state_dir.is_dir():
        raise StateError(f"{state_dir}: there are no results yet. Has the station run?")
    try:
        if not path.exists():
            replace_file(path, f"{uuid4()}\n")
        with path.open("rb") as file:
            found = file.read(64).decode("ascii", errors="replace").strip()
    except OSError as error:
        raise StateError(f"{path}: {error.strerror}") from error
    if not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", found):
        raise StateError(f"{path} is damaged: remove it, then type `edge-inspector forward STATION.toml --take-over`")
    return found
