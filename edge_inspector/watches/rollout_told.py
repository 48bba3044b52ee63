"""Tells everybody who watches the station how far a roll-out is: conditions, and a metric."""

from __future__ import annotations

import time

from edge_inspector import metrics
from edge_inspector.codes import ErrorCode
from edge_inspector.records import RolloutTold
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.store.ledger import Trial
from edge_inspector.watches.rollout_desk import RolloutDesk


class RolloutTeller:
    """`look` is called often. RESET says that somebody has seen what was refused and what went back.

    How long a roll-out waits is measured from the start of the daemon on, because somebody may set the clock.
    """

    def __init__(self, desk: RolloutDesk, conditions: Conditions, *, stop_within_s: float) -> None:
        self._desk = desk
        self._conditions = conditions
        self._stop_within_s = stop_within_s
        self._resets = conditions.resets
        self._held: dict[ErrorCode, str] = {}
        self._waits: tuple[str, str] | None = None
        self._waits_s = 0.0
        self._shown: tuple[str, str, str] | None = None

    def look(self) -> None:
        """Bring conditions and metric up to date. Raises StateError if what was seen cannot be written down."""
        resets = self._conditions.resets
        if resets != self._resets:
            self._desk.seen()
            self._resets = resets
        ledger = self._desk.ledger
        back = next((each for each in (ledger.trial, ledger.last) if each is not None and each.unseen), None)
        self._tell(ErrorCode.ROLLOUT_BACK, "" if back is None else back.name, "" if back is None else _back(back))
        self._tell(ErrorCode.ROLLOUT_REFUSED, "package" if self._desk.refused else "", self._desk.refused)
        self._tell_of_waiting(ledger.trial)
        self._measure(self._desk.told)

    def _tell_of_waiting(self, trial: Trial | None) -> None:
        waits = None if trial is None or trial.wanted is None else (trial.id, trial.wanted.value)
        now_s = time.monotonic()
        if waits != self._waits:
            self._waits, self._waits_s = waits, now_s
        if trial is None or waits is None or now_s - self._waits_s < self._stop_within_s:
            self._tell(ErrorCode.ROLLOUT_WAITS, "", "")
            return
        hours = self._stop_within_s / 3600
        why = f"the line has not stood still for {hours:g} h, and {trial.name} waits to become {waits[1]}"
        self._tell(ErrorCode.ROLLOUT_WAITS, trial.name, why)

    def _tell(self, code: ErrorCode, subject: str, why: str) -> None:
        """The condition holds for this subject alone, and for none if that is empty."""
        before = self._held.get(code, "")
        if before and before != subject:
            self._conditions.clear(code, before)
        self._held[code] = subject
        if subject:
            self._conditions.set(code, subject, why)

    def _measure(self, told: RolloutTold | None) -> None:
        shown = None if told is None else (told.package, told.step, told.wanted)
        if told is not None and shown is not None:
            since = 0.0 if told.since is None else told.since.timestamp()
            metrics.rollout_since.labels(*shown).set(since)
        if self._shown is not None and self._shown != shown:
            metrics.rollout_since.remove(*self._shown)
        self._shown = shown


def _back(trial: Trial) -> str:
    return f"{trial.said}. It waits for a stop of the line" if trial.wanted is not None else trial.said
