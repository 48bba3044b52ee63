"""The judge's own conditions: inspection switched off, too few parts inspected, or too many rejected."""

from __future__ import annotations

from collections.abc import Sequence

from edge_inspector.codes import ErrorCode
from edge_inspector.inspection.alarms import Alarms
from edge_inspector.inspection.control import SwitchedOff
from edge_inspector.inspection.recipe import AlarmLimits, Recipe
from edge_inspector.records import Verdict
from edge_inspector.runtime.clock import iso, utc_of
from edge_inspector.runtime.conditions import Conditions

_FATE = {"reject": "every part is rejected", "accept": "every part passes the gate uninspected"}


class Telling:
    """Keeps these conditions. The judge's thread owns it."""

    def __init__(self, conditions: Conditions) -> None:
        self._conditions = conditions
        self._alarms = Alarms()
        self._alarming: set[ErrorCode] = set()
        self._resets = conditions.resets
        self._off: tuple[Sequence[SwitchedOff], str] = ((), "")
        self._why_off: dict[str, str] = {}

    def count(self, verdict: Verdict, limits: AlarmLimits) -> None:
        """Count one verdict."""
        self._alarms.take(verdict.decision, verdict.reason, limits)
        self._tell_alarms()

    def settle(self, off: Sequence[SwitchedOff], recipe: Recipe) -> None:
        """Follow RESET and every change of who has switched inspection off. `recipe` is the one in force."""
        if (off, recipe.on_not_inspected) != self._off:
            self._switch(off, recipe.on_not_inspected)
        for by, why in self._why_off.items():
            # set again and again, because a condition that begins during the start is logged later
            self._conditions.set(ErrorCode.SWITCHED_OFF, by, why)
        if self._resets != self._conditions.resets:
            self._resets = self._conditions.resets
            self._begin_anew()

    def _switch(self, off: Sequence[SwitchedOff], on_not_inspected: str) -> None:
        self._off = (off, on_not_inspected)
        before = self._why_off
        self._why_off = {
            each.by: f"since {iso(utc_of(each.since_ns), 'seconds')}: {_FATE[on_not_inspected]}" for each in off
        }
        for by in before.keys() - self._why_off.keys():
            self._conditions.clear(ErrorCode.SWITCHED_OFF, by)
        if off:
            self._begin_anew()  # nobody needs to be called about parts that are deliberately not inspected

    def _begin_anew(self) -> None:
        self._alarms.forget()
        self._tell_alarms()

    def _tell_alarms(self) -> None:
        for code, why in self._alarms.held.items():
            self._conditions.set(code, "line", why)
        for code in self._alarming - self._alarms.held.keys():
            self._conditions.clear(code, "line")
        self._alarming = set(self._alarms.held)
