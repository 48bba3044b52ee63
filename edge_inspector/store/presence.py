"""Whether the files that are open are still those that their paths lead to."""

from __future__ import annotations

from pathlib import Path

_WITH_A_DATABASE = ("-wal", "-shm")  # SQLite's own, beside it while it is open


class Presence:
    """What was found at some paths when they were opened. A file that comes later is taken as it comes."""

    def __init__(self, *paths: Path) -> None:
        self._found = {path: _identity(path) for path in paths}

    @classmethod
    def of_database(cls, path: Path) -> Presence:
        """Of a SQLite file that is open, and of what belongs to it."""
        return cls(path, *(Path(f"{path}{suffix}") for suffix in _WITH_A_DATABASE))

    @property
    def lost(self) -> Path | None:
        """The first path that leads to nothing now, or to something else; None while all are there."""
        for path, found in self._found.items():
            now = _identity(path)
            if found is None:
                self._found[path] = now
            elif now != found:
                return path
        return None

    def part_with(self, path: Path) -> None:
        """Where `path` is lost, take away what was opened beside it: the next file there would take it for its own."""
        if self.lost == path:
            for each, found in self._found.items():
                if found is not None and _identity(each) == found:
                    each.unlink(missing_ok=True)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        file = path.stat()
    except OSError:
        return None
    return file.st_dev, file.st_ino
