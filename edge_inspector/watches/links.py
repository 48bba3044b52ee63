"""Turns the faults of a link into conditions.

A trouble holds as long as it lasts. An incident holds until RESET.
"""

from __future__ import annotations

from collections import Counter

from edge_inspector.codes import ErrorCode
from edge_inspector.drivers import PlcLink
from edge_inspector.runtime.conditions import Conditions

_SHOWN = 3  # of the incidents of one kind. The others are only counted.


class LinkConditions:
    """Follows one link. A condition names the latest incidents since RESET and the present trouble."""

    def __init__(self, link: PlcLink, label: str, conditions: Conditions) -> None:
        self._link = link
        self._label = label
        self._conditions = conditions
        self._resets = conditions.resets
        self._incidents: dict[ErrorCode, list[str]] = {}
        self._many: Counter[ErrorCode] = Counter()
        self._told: dict[ErrorCode, str] = {}

    def follow(self) -> None:
        """Set and clear conditions. Call it after each exchange."""
        if self._resets != self._conditions.resets:
            self._resets = self._conditions.resets
            self._incidents.clear()
            self._many.clear()
        for code, what in self._link.incidents():
            self._many[code] += 1
            self._incidents[code] = [*self._incidents.get(code, []), what][-_SHOWN:]
        troubles = self._link.troubles
        wrong = {code: self._reason(code) for code in {**self._incidents, **troubles}}
        for code in self._told.keys() - wrong.keys():
            self._conditions.clear(code, self._label)
        for code, why in wrong.items():
            if code in troubles or why != self._told.get(code):
                self._conditions.set(code, self._label, why, until_reset=code in self._incidents)
        self._told = wrong

    def _reason(self, code: ErrorCode) -> str:
        shown = self._incidents.get(code, [])
        left_out = self._many[code] - len(shown)
        more = [f"and {left_out} times before"] if left_out else []
        now = [self._link.troubles[code]] if code in self._link.troubles else []
        return "; ".join(shown + more + now)
