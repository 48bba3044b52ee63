"""Stores taught picture guards on the disk."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel


def write_guard(path: Path, guard: BaseModel) -> None:
    """Replace the content of `path` completely or not at all. Raises OSError."""
    draft = path.with_name(f"{path.name}.new")
    with draft.open("w") as file:
        file.write(guard.model_dump_json(indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
