"""How far the plant's database has a station's results, for whoever watches and deletes them here.

The database itself keeps the position that counts. This file only lets the daemon say what waits, and what it deletes
too early. So it may be lost, and nobody waits for the disk.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

from edge_inspector.store.whole_file import draft_of

_FILE: Final = "forwarded"
_MODE: Final = 0o640
_DIGITS: Final = 20


def write_forwarded(state_dir: Path, part_id: int) -> None:
    """The database has all parts up to this number of the results. Raises OSError."""
    with draft_of(state_dir / _FILE, synced=False) as draft:
        draft.touch(_MODE)
        draft.write_text(f"{part_id}\n", encoding="ascii")


def read_forwarded(state_dir: Path) -> int:
    """The number of the last part that the database has. 0 if nothing was sent, or if the file is damaged."""
    with suppress(OSError, ValueError), (state_dir / _FILE).open("rb") as file:
        return max(0, int(file.read(_DIGITS).decode("ascii")))
    return 0
