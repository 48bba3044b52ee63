"""Stores taught picture guards on the disk."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from edge_inspector.store.whole_file import replace_file


def write_guard(path: Path, guard: BaseModel) -> None:
    """Replace the content of `path` completely or not at all. Raises OSError."""
    replace_file(path, guard.model_dump_json(indent=1) + "\n")
