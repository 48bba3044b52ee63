"""Whether open files are still those that their paths lead to."""

from __future__ import annotations

from pathlib import Path

_WITH_A_DATABASE = ("-wal", "-shm")  # SQLite's own files next to the database while it is open


class Presence:
    """The files at some paths when they were opened. A file that appears later is accepted."""

    def __init__(self, *paths: Path) -> None:
        self._found = {path: _identity(path) for path in paths}

    @classmethod
    def of_database(cls, path: Path) -> Presence:
        """The presence of an open SQLite file and of the files that belong to it."""
        return cls(path, *(Path(f"{path}{suffix}") for suffix in _WITH_A_DATABASE))

    @property
    def lost(self) -> Path | None:
        """The first path that leads to nothing now, or to another file. None while all are there."""
        for path, found in self._found.items():
            now = _identity(path)
            if found is None:
                self._found[path] = now
            elif now != found:
                return path
        return None

    def part_with(self, path: Path) -> None:
        """If `path` is lost, delete the files that were opened with it.

        Otherwise a new file at this path would use them as its own.
        """
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
