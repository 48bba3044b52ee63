"""Writes the notes about cameras that are being opened, so that no camera's thread waits for the disk."""

from __future__ import annotations

from edge_inspector.store.openings import Openings


class Notes:
    """Owns the notes on the disk."""

    name = "notes"
    beat_within_s = 5.0

    def __init__(self, openings: Openings) -> None:
        self._openings = openings

    def start(self) -> None:
        """Nothing to open: no file stays open between two notes."""

    def step(self) -> None:
        """Write one note, if there is one."""
        self._openings.write(timeout_s=0.2)

    def stop(self, *, failed: bool) -> None:  # noqa: ARG002 -- the same either way
        """Write the last notes: the cameras were closed in order."""
        while self._openings.waiting:
            self._openings.write(timeout_s=0.0)
