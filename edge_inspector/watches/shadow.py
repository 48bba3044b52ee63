"""What the shadow model and the first model made of the same pictures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class ShadowTally:
    """Pictures by what both models made of them. One thread counts, any thread may look."""

    accepted: int = 0
    """Both accept it."""
    rejected: int = 0
    """Both reject it."""
    missed: int = 0
    """The first model rejects it, the shadow model does not."""
    more: int = 0
    """The shadow model rejects it, the first model does not."""
    failed: int = 0
    """The shadow model has failed."""

    def count(self, first: bool, second: bool) -> None:  # noqa: FBT001 -- whether each rejects
        """Count one picture."""
        if first:
            self.rejected += second
            self.missed += not second
        else:
            self.more += second
            self.accepted += not second
