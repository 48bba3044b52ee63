"""Checks whether a reading of the PLC can follow the last one: a CRC-16 accepts one torn header in 65,536.

A reading that cannot follow is not believed at once. It is ignored until several readings have agreed for some time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto

from edge_inspector.plc.blocks import TRIGGER_SLOTS
from edge_inspector.records import PlcInput

_MS = 1_000_000
_HASTE = 2.0  # the belt may be faster, and parts closer, than configured
_SWAPPED_WITHIN_NS = 30_000 * _MS  # no PLC scans 65,536 times in 30 s


class Plausibility(Enum):
    """What to do with a reading."""

    USUAL = auto()
    """It can follow the last reading."""
    DOUBTFUL = auto()
    """Ignore it: it may be torn, or come from somebody else."""
    NEW_RUN = auto()
    """The PLC has started again, or this is its first reading. It starts a new count of parts, with a new boot_id."""
    NEW_NUMBERS = auto()
    """The PLC has started a new count of parts without a new boot_id."""
    SWAPPED = auto()
    """The words of 32-bit values are in the other order."""


@dataclass(frozen=True, slots=True)
class _Doubt:
    """Why a reading cannot follow, and how many readings over how long a time are needed to believe it."""

    why: str
    believed_as: Plausibility
    readings: int
    span_ns: int


_FIRST = _Doubt("first reading", Plausibility.NEW_RUN, 2, 0)


@dataclass(slots=True)
class _Suspicion:
    """The doubtful readings so far. They agree with each other."""

    believed_as: Plausibility
    since_ns: int
    latest: PlcInput
    readings: int = 0


class Numbers:
    """Judges the readings of one link in order. `parts_per_s`: the highest rate that belt speed and pitch allow."""

    def __init__(self, parts_per_s: float) -> None:
        self.why = ""
        """The reason to doubt the last reading, even if it was believed in the end."""
        self.persists = False
        """More than one reading shows that part numbers begin again."""
        self.fresh = False
        """Whether all parts of a new run were triggered since the last believed reading."""
        self._parts_per_s = parts_per_s
        self._last: PlcInput | None = None
        self._since_ns = self._until_ns = 0
        self._counts: dict[int, int] = {}
        self._suspicion: _Suspicion | None = None

    def judge(self, heard: PlcInput, answered_ns: int = 0) -> Plausibility:
        """What to do with this reading, whose answer came at `answered_ns`, or at once.

        Later readings are compared with the last believed one.
        """
        self.why, self.persists = "", False
        self._until_ns = max(answered_ns, heard.asked_ns)
        last = self._last
        doubt = _FIRST if last is None else self._doubt(heard, last)
        if doubt is None:
            self._believe(heard)
            return Plausibility.USUAL
        self.why = doubt.why
        if not self._is_confirmed(doubt, heard):
            return Plausibility.DOUBTFUL
        if doubt.believed_as is Plausibility.SWAPPED and last is not None:
            self._last = replace(last, heartbeat=heard.heartbeat, asked_ns=heard.asked_ns)
            return Plausibility.SWAPPED
        if doubt.believed_as is not Plausibility.USUAL:
            self._counts.clear()
            restarted = doubt.believed_as is Plausibility.NEW_RUN
            self.fresh = restarted and last is not None and heard.trigger_seq <= self._most(self._since_ns)
        self._believe(heard)
        return doubt.believed_as

    def _doubt(self, heard: PlcInput, last: PlcInput) -> _Doubt | None:
        if heard.boot_id != last.boot_id:
            return _Doubt(f"boot_id is {heard.boot_id:08x}, was {last.boot_id:08x}", Plausibility.NEW_RUN, 2, 30 * _MS)
        if _steps_in_high_words(last, heard):
            return _Doubt("its heartbeat counts in steps of 65536", Plausibility.SWAPPED, 2, 0)
        anew = self._numbered_anew(heard, last)
        if anew:
            return _Doubt(f"{anew} without a new boot_id", Plausibility.NEW_NUMBERS, 3, 300 * _MS)
        more, most = heard.trigger_seq - last.trigger_seq, self._most(self._since_ns)
        if more > most:
            why = (
                f"trigger_seq jumped from {last.trigger_seq} to {heard.trigger_seq}, while belt speed and pitch allow "
                f"{most} parts"
            )
            return _Doubt(why, Plausibility.NEW_NUMBERS, 3, 1000 * _MS)
        why = _unusual(heard, last)
        return _Doubt(why, Plausibility.USUAL, 2, 0) if why else None

    def _numbered_anew(self, heard: PlcInput, last: PlcInput) -> str:
        """The evidence that part numbers are used a second time. Empty if there is none."""
        if heard.trigger_seq < last.trigger_seq:
            return f"trigger_seq fell from {last.trigger_seq} to {heard.trigger_seq}"
        for trigger in heard.triggers if not _same_parts(heard, last) else ():
            before = self._counts.get(trigger.part_seq, trigger.count)
            if trigger.count != before:
                return f"part number {trigger.part_seq} was used twice, at count {before} and at {trigger.count},"
        return ""

    def _is_confirmed(self, doubt: _Doubt, heard: PlcInput) -> bool:
        suspicion = self._suspicion
        if suspicion is None or not self._goes_on(suspicion, doubt, heard):
            suspicion = self._suspicion = _Suspicion(doubt.believed_as, heard.asked_ns, heard)
        suspicion.latest = heard
        suspicion.readings += 1
        self.persists = suspicion.readings > 1 and doubt.believed_as is Plausibility.NEW_NUMBERS
        return suspicion.readings >= doubt.readings and heard.asked_ns - suspicion.since_ns >= doubt.span_ns

    def _goes_on(self, suspicion: _Suspicion, doubt: _Doubt, heard: PlcInput) -> bool:
        latest = suspicion.latest
        return (
            suspicion.believed_as is doubt.believed_as
            and (latest.boot_id, latest.recipe_id) == (heard.boot_id, heard.recipe_id)
            and 0 <= heard.trigger_seq - latest.trigger_seq <= self._most(latest.asked_ns)
        )

    def _believe(self, heard: PlcInput) -> None:
        last = self._last
        if last is None or last.heartbeat != heard.heartbeat:
            # A PLC, or what answers for it, may publish nothing for a while. Then its next reading shows the parts of
            # all that time. The reading before showed another heartbeat, so this one is not older than that.
            self._since_ns = heard.asked_ns if last is None else last.asked_ns
        self._last, self._suspicion = heard, None
        if last is not None and self._counts and _same_parts(heard, last):
            return  # nearly always
        self._counts |= {trigger.part_seq: trigger.count for trigger in heard.triggers}
        oldest = heard.trigger_seq - TRIGGER_SLOTS
        self._counts = {part_seq: count for part_seq, count in self._counts.items() if part_seq > oldest}

    def _most(self, since_ns: int) -> int:
        """The most parts that can have come since then. As many as the ring can show are always believed."""
        elapsed_s = max(0, self._until_ns - since_ns) / 1e9
        return TRIGGER_SLOTS + int(_HASTE * self._parts_per_s * elapsed_s)


def _same_parts(heard: PlcInput, last: PlcInput) -> bool:
    """Whether the two readings show the same slots, decoded once."""
    return heard.triggers is last.triggers and heard.trigger_seq == last.trigger_seq


def _unusual(heard: PlcInput, last: PlcInput) -> str:
    """Something possible that deserves a second reading. Empty if there is nothing."""
    if heard.trigger_seq > last.trigger_seq and all(each.part_seq != heard.trigger_seq for each in heard.triggers):
        return f"part {heard.trigger_seq} is announced, but its slot does not show it"
    if heard.recipe_id != last.recipe_id:
        return f"recipe_id is {heard.recipe_id}, was {last.recipe_id}"
    return ""


def _steps_in_high_words(before: PlcInput, heard: PlcInput) -> bool:
    steps = (heard.heartbeat - before.heartbeat) & 0xFFFFFFFF
    return steps > 0 and steps & 0xFFFF == 0 and heard.asked_ns - before.asked_ns < _SWAPPED_WITHIN_NS
