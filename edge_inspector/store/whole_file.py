"""A file that is replaced in one step: nobody ever reads half of it, not even after a power cut."""

from __future__ import annotations

import os
from pathlib import Path

_MODE = 0o640  # whatever the umask says: for the service's user, and for its group to read


def replace_file(path: Path, text: str) -> None:
    """Let `path` hold `text` from now on. Raises OSError."""
    draft = path.with_name(f"{path.name}.new")
    with draft.open("w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), _MODE)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
