"""From a counter or a bit in the PLC's memory to numbered parts."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from edge_inspector.plc.blocks import TRIGGER_SLOTS
from edge_inspector.records import Called, Trigger

_HASTE = 2.0  # the belt may be faster, and parts closer, than configured


class PartNumbers:
    """Follows the trigger from reading to reading. `values` is how many values the counter has, or None for a bit.

    `parts_per_s` is the most that belt speed and pitch allow. `scan_ns` is the PLC's longest scan: what a reading shows
    may be that old.
    """

    def __init__(self, values: int | None, parts_per_s: float, scan_ns: int) -> None:
        self.newest = 0
        self.first = 0
        """Parts up to this number passed before anybody looked."""
        self.triggers: deque[Trigger] = deque(maxlen=TRIGGER_SLOTS)
        self._values = values
        self._parts_per_s = parts_per_s
        self._scan_ns = scan_ns
        self._raw: int | None = None
        self._asked_ns = 0

    def read(self, raw: int, count: int | None, asked_ns: int, answered_ns: int, *, known: Called = "") -> str:
        """Take one reading. Returns what is wrong with the numbers: then all parts from before are nobody's.

        `count` is the encoder's count that the PLC latched with the newest part, if it latches. `known` is what the new
        parts are known to be.
        """
        before, since_ns = self._raw, self._asked_ns
        self._raw, self._asked_ns = raw, asked_ns
        if before is None:
            self._begin(raw)
            return ""
        new = self._passed(before, raw)
        most = TRIGGER_SLOTS + int(_HASTE * self._parts_per_s * (answered_ns - since_ns) / 1e9)
        if new > most:
            self._begin(raw)
            return f"the part counter went from {before} to {raw}, while belt speed and pitch allow {most} parts"
        earliest_ns = since_ns - self._scan_ns
        for nth in range(new):
            self.newest += 1
            trigger = self._trigger(count, (earliest_ns, answered_ns), is_last=nth == new - 1)
            self.triggers.append(replace(trigger, called=known))
        return ""

    def _begin(self, raw: int) -> None:
        # The PLC's own number, so that it knows which part a result is for.
        self.newest = self.first = raw if self._values is not None else self.newest
        self.triggers.clear()

    def _passed(self, before: int, raw: int) -> int:
        """How many parts passed between two readings."""
        if self._values is None:
            return int(bool(raw) and not before)
        return (raw - before) % self._values

    def _trigger(self, count: int | None, between_ns: tuple[int, int], *, is_last: bool) -> Trigger:
        earliest_ns, latest_ns = between_ns
        middle_ns = (earliest_ns + latest_ns) // 2
        return Trigger(
            self.newest,
            count or 0,
            answered=False,
            latched=count is not None,
            at_ns=middle_ns,
            error_ns=latest_ns - middle_ns,
            lost=count is not None and not is_last,  # the latch has been written over
        )
