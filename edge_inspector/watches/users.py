"""Compares the users file with the audit trail, because somebody may have edited it by hand."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from edge_inspector.errors import ConfigError
from edge_inspector.records import Change
from edge_inspector.store.audit import read
from edge_inspector.store.users import read_users

log = logging.getLogger(__name__)

_WHAT = "user"
_REMOVED = "removed"


class UsersWatch:
    """The archive's thread owns it. It reads the trail again only if the users file has changed."""

    def __init__(self, state_dir: Path, path: Path) -> None:
        self._state_dir = state_dir
        self._path = path
        self._stamp: tuple[int, int] | None = (-1, -1)

    def look(self) -> list[Change]:
        """Who may log in and stands otherwise in the trail, or not at all. Raises DeviceError."""
        stamp = self._stamped()
        if stamp == self._stamp:
            return []
        found = list(self._differences())
        self._stamp = stamp
        for change in found:
            log.warning("the users file was edited: %s %s, before %r", change.subject, change.after, change.before)
        return found

    def _differences(self) -> Iterator[Change]:
        try:
            users = {name: user.role.label for name, user in read_users(self._path).items()}
        except ConfigError as error:
            yield Change("files", "users file", self._path.name, after=f"damaged, nobody can log in: {error.faults[0]}")
            return
        known = {name: role for name, role in self._told().items() if role != _REMOVED}
        for name in sorted({*known, *users}):
            before, after = known.get(name, ""), users.get(name, _REMOVED)
            if before != after:
                yield Change("files", _WHAT, name, before=before, after=after)

    def _told(self) -> dict[str, str]:
        """The last role of each user in the trail."""
        return {
            entry.change.subject: entry.change.after for entry in read(self._state_dir) if entry.change.what == _WHAT
        }

    def _stamped(self) -> tuple[int, int] | None:
        try:
            file = self._path.stat()
        except OSError:
            return None
        return file.st_ino, file.st_mtime_ns
