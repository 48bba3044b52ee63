"""From what the PLC's trigger ring shows to a list of parts, each announced exactly once."""

from __future__ import annotations

from edge_inspector.records import PlcInput, Reason, Trigger
from edge_inspector.s7.blocks import TRIGGER_SLOTS

_PATIENCE = 5  # readings that a damaged slot gets before its part is announced without a position


class TriggerIntake:
    """Remembers what was announced, in one run of the PLC."""

    def __init__(self) -> None:
        self._boot_id: int | None = None
        self._last = 0
        self._waited = 0

    def take(self, heard: PlcInput) -> list[tuple[Trigger, Reason]]:
        """The parts not announced before, oldest first, each with its handicap.

        A part that the ring no longer shows comes with TRIGGER_LOST: its position is unknown, its verdict is not.
        """
        if heard.boot_id != self._boot_id:
            return self._first_contact(heard)
        shown = {trigger.part_seq: trigger for trigger in heard.triggers}
        gone = heard.trigger_seq - TRIGGER_SLOTS
        found: list[tuple[Trigger, Reason]] = []
        for part_seq in range(self._last + 1, heard.trigger_seq + 1):
            trigger = shown.get(part_seq)
            if trigger is None and part_seq > gone and self._waited < _PATIENCE:
                self._waited += 1
                break
            self._waited = 0
            self._last = part_seq
            found.append(
                (trigger, Reason.NONE) if trigger else (Trigger(part_seq, 0, answered=False), Reason.TRIGGER_LOST)
            )
        return found

    def _first_contact(self, heard: PlcInput) -> list[tuple[Trigger, Reason]]:
        reason = Reason.DAEMON_RESTARTED if self._boot_id is None else Reason.PLC_RESTARTED
        self._boot_id = heard.boot_id
        self._last = heard.trigger_seq
        self._waited = 0
        return [(trigger, reason) for trigger in heard.triggers if not trigger.answered]
