"""Writes down which camera is being opened, so that no camera's thread waits for the disk."""

from __future__ import annotations

from edge_inspector.store.openings import Openings


class Notes:
    """Owns the notes on the disk."""

    name = "notes"
    beat_within_s = 5.0

    def __init__(self, openings: Openings) -> None:
        self._openings = openings

    def start(self) -> None:
        """Nothing is open between two notes."""

    def step(self) -> None:
        """One note, if there is one."""
        self._openings.write(timeout_s=0.2)

    def stop(self, *, failed: bool) -> None:  # noqa: ARG002 -- the same either way
        """The last notes: cameras that were let go."""
        while self._openings.waiting:
            self._openings.write(timeout_s=0.0)
