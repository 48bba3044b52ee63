"""Whether a line counted on its station, by the line's own ledger."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

SILENT_NS = 550_000_000  # a gateway counts on a station until it was silent for half a second

Event = dict[str, Any]


def readiness_of(ledger: Iterable[Event]) -> list[tuple[int, bool]]:
    """When the line began to count on the station, and when it stopped."""
    return [(event["at_ns"], event["ready"]) for event in ledger if event["kind"] == "ready"]


def doubted(readiness: Sequence[tuple[int, bool]], since_ns: int, until_ns: int) -> bool:
    """Whether the line did not count on the station at any time between."""
    before = [ready for at_ns, ready in readiness if at_ns < since_ns]
    return not (before and before[-1]) or any(not ready for at_ns, ready in readiness if since_ns <= at_ns <= until_ns)
