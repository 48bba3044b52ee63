"""From the PLC's trigger ring to a list of parts, each announced exactly once."""

from __future__ import annotations

from edge_inspector.codes import Reason
from edge_inspector.plc.blocks import TRIGGER_SLOTS
from edge_inspector.records import PlcInput, Trigger

_MOST = 4096  # parts announced at once. Larger gaps come from an outage of many minutes, or the parts never existed
_PATIENCE = 5  # readings for a damaged slot, before its part is announced without a position


class TriggerIntake:
    """Remembers the announced parts of one run of the PLC's numbering.

    `behind`: the last reading mentions parts that it does not show completely. They will come with a later reading.
    """

    def __init__(self) -> None:
        self.behind = False
        self._run: tuple[int, int] | None = None
        self._met: tuple[int, int] | None = None
        self._last = 0
        self._waited = 0

    def take(self, heard: PlcInput) -> list[tuple[Trigger, Reason]]:
        """The parts not announced before, oldest first, each with its handicap.

        A part that the ring no longer shows has the handicap TRIGGER_LOST. Its position is unknown, but it still gets a
        verdict.
        """
        self.behind = False
        if heard.run_key != self._run:
            return self._first_contact(heard)
        if heard.trigger_seq <= self._last:
            return []
        shown = {trigger.part_seq: trigger for trigger in heard.triggers}
        gone = heard.trigger_seq - TRIGGER_SLOTS
        found: list[tuple[Trigger, Reason]] = []
        for part_seq in range(max(self._last, heard.trigger_seq - _MOST) + 1, heard.trigger_seq + 1):
            trigger = shown.get(part_seq)
            if trigger is None and part_seq > gone and self._waited < _PATIENCE:
                self._waited += 1
                self.behind = True
                break
            self._waited = 0
            self._last = part_seq
            found.append((trigger, _handicap(trigger)) if trigger else _lost(part_seq))
        return found

    def _first_contact(self, heard: PlcInput) -> list[tuple[Trigger, Reason]]:
        # The ring no longer shows parts that were answered before this station's first contact with the run.
        most = _MOST if self._run is not None and heard.fresh else TRIGGER_SLOTS
        there = range(max(heard.known_from, heard.trigger_seq - most) + 1, heard.trigger_seq + 1)
        shown = {trigger.part_seq: trigger for trigger in heard.triggers}
        if heard.run_key != self._met:
            self._met, self._waited = heard.run_key, 0
        if len(shown) < min(len(there), TRIGGER_SLOTS) and self._waited < _PATIENCE:
            self._waited += 1
            self.behind = True
            return []
        reason = Reason.DAEMON_RESTARTED if self._run is None else Reason.PLC_RESTARTED
        self._run = heard.run_key
        self._last = heard.trigger_seq
        self._waited = 0
        return [
            (shown[part_seq], reason) if part_seq in shown else _lost(part_seq)
            for part_seq in there
            if part_seq not in shown or not shown[part_seq].answered
        ]


def _handicap(trigger: Trigger) -> Reason:
    return Reason.TRIGGER_LOST if trigger.lost else Reason.NONE


def _lost(part_seq: int) -> tuple[Trigger, Reason]:
    return Trigger(part_seq, 0, answered=False), Reason.TRIGGER_LOST
