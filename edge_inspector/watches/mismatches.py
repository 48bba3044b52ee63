"""Turns one watcher's findings about the line into conditions."""

from __future__ import annotations

from collections.abc import Mapping

from edge_inspector.codes import ErrorCode
from edge_inspector.runtime.conditions import Conditions


class Mismatches:
    """LINE_MISMATCH by subject. A subject that the watcher no longer names is cleared. Those of other watchers stay."""

    def __init__(self, conditions: Conditions) -> None:
        self._conditions = conditions
        self._told: set[str] = set()

    def tell(self, faults: Mapping[str, str]) -> None:
        """The present faults by subject, each with its reason."""
        for subject in self._told - faults.keys():
            self._conditions.clear(ErrorCode.LINE_MISMATCH, subject)
        for subject, why in faults.items():
            self._conditions.set(ErrorCode.LINE_MISMATCH, subject, why)
        self._told = set(faults)
