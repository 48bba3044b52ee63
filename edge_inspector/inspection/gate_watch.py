"""Whether parts reach the gate without a verdict, as counted by the PLC."""

from __future__ import annotations

from edge_inspector.plc.blocks import TRIGGER_SLOTS
from edge_inspector.records import PlcInput

_WRAP, _HALF = 1 << 16, 1 << 15


class GateWatch:
    """Follows `missing_verdicts` over one connection to one run of the PLC.

    Parts without an answer at the start of the connection may have been too late for any verdict. They are excused
    until the trigger ring has been filled with new parts.
    """

    def __init__(self) -> None:
        self._boot_id = 0
        self._missing = 0
        self._excused = 0
        self._excused_until = 0

    def hear(self, heard: PlcInput) -> int:
        """How many parts since the last reading reached the gate without a verdict that they should have had."""
        if heard.boot_id != self._boot_id:
            self._boot_id, self._missing = heard.boot_id, heard.missing_verdicts
            self._excused = sum(not trigger.answered for trigger in heard.triggers)
            self._excused_until = heard.trigger_seq + TRIGGER_SLOTS
            return 0
        more = (heard.missing_verdicts - self._missing) % _WRAP
        self._missing = heard.missing_verdicts
        if heard.trigger_seq > self._excused_until:
            self._excused = 0
        if more >= _HALF:  # the PLC's counter was set back
            return 0
        excused = min(more, self._excused)
        self._excused -= excused
        return more - excused
