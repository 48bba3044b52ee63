"""How far the plant's database has a station's results, for whoever deletes them here.

The database itself keeps the position that counts. This file only lets the daemon say what it deletes too early.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from edge_inspector.store.whole_file import read_object, replace_file

_FILE: Final = "forwarded.json"
_LARGEST: Final = 4096


def write_forwarded(state_dir: Path, part_id: int) -> None:
    """The database has all parts up to this number of the results. Raises OSError."""
    replace_file(state_dir / _FILE, json.dumps({"part_id": part_id}) + "\n")


def read_forwarded(state_dir: Path) -> int | None:
    """The number of the last part that the database has. None if nothing is forwarded from here."""
    part_id = read_object(state_dir / _FILE, _LARGEST).get("part_id")
    return part_id if type(part_id) is int else None
