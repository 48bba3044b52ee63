"""Whether too few parts are inspected, or too many rejected: judged from the verdicts alone, one after the other."""

from __future__ import annotations

from collections import Counter, deque
from typing import Generic, TypeVar

from edge_inspector.inspection.reasons import EXPLAINED
from edge_inspector.inspection.recipe import AlarmLimits
from edge_inspector.records import Decision, ErrorCode, Reason

_BLIND, _BLIND_OF = 5, 10  # half of the last ten are no chance, whatever the share of a window that has yet to fill
_OVER_ROW = 20  # where more than a fifth is not inspected, so many inspected in a row come once in a hundred times

# These end by themselves: they say what the station could not know of a part, not what it cannot do now.
_PASSING = frozenset({Reason.DAEMON_RESTARTED, Reason.PLC_RESTARTED, Reason.STOPPING})

_Value = TypeVar("_Value")


class Alarms:
    """Told of every verdict. `held` is what is to be told of them, each with its reason in words.

    A share is always one of the whole window, also while the window fills: one part of the first three says nothing,
    and the third of a hundred does. A share that began to be too large ends at half of that.

    LINE_BLIND takes the place of PARTS_NOT_INSPECTED. It also begins with the fifth of ten parts, and ends only after
    20 inspected parts in a row. What was before those is then forgotten, as it is after a restart.

    Only parts count that were to be inspected: those of a station that is switched off do not.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew: somebody has seen to it."""
        self.held: dict[ErrorCode, str] = {}
        self._rejects = _Latest[Decision]()
        self._rejects_row = 0
        self._is_row = self._many = False
        self._forget_parts()

    def take(self, decision: Decision, reason: Reason, limits: AlarmLimits) -> None:
        """One more verdict; `limits` are those of the recipe that judged."""
        if reason is Reason.DISABLED:
            return
        if decision is Decision.NOT_INSPECTED:
            self._miss(reason, limits)
        else:
            self._see(decision, limits)
        self.held = dict(filter(None, (self._told_of_parts(), self._told_of_rejects())))

    def _forget_parts(self) -> None:
        self._parts = _Latest[Reason]()
        self._recent = _Latest[Decision]()
        self._inspected_row = 0
        self._few = self._blind = self._passing = False
        self._leading = Reason.NONE

    def _miss(self, reason: Reason, limits: AlarmLimits) -> None:
        self._parts.add(reason, limits.window_parts)
        self._inspected_row = 0
        if reason in _PASSING:
            self._passing = True
        else:
            self._recent.add(Decision.NOT_INSPECTED, _BLIND_OF)
        self._weigh(limits)

    def _see(self, decision: Decision, limits: AlarmLimits) -> None:
        self._parts.add(Reason.NONE, limits.window_parts)
        self._recent.add(decision, _BLIND_OF)
        self._inspected_row += 1
        if (self._blind or self._passing) and self._inspected_row >= _OVER_ROW:
            self._forget_parts()
        self._weigh(limits)
        self._rejects.add(decision, limits.window_parts)
        self._rejects_row = self._rejects_row + 1 if decision is Decision.REJECT else 0
        share = self._rejects.counts[Decision.REJECT] / limits.window_parts
        self._many = 0 < limits.reject_share < share * (2 if self._many else 1)
        self._is_row = 0 < limits.rejects_in_a_row <= self._rejects_row

    def _weigh(self, limits: AlarmLimits) -> None:
        share = self._missed / limits.window_parts
        self._few = limits.not_inspected_share < share * (2 if self._few else 1)
        begins = self._recent.counts[Decision.NOT_INSPECTED] >= _BLIND or limits.blind_share < share
        self._blind = limits.blind_share < 1 and (self._blind or begins)

    @property
    def _missed(self) -> int:
        return len(self._parts.values) - self._parts.counts[Reason.NONE]

    def _told_of_parts(self) -> tuple[ErrorCode, str] | None:
        if not (self._blind or self._few):
            return None
        self._leading = self._leads()
        meaning, remedy = EXPLAINED[self._leading]
        what = (
            f"{self._missed} of the last {len(self._parts.values)} parts were not inspected, "
            f"{self._parts.counts[self._leading]} of them {self._leading.label}"
        )
        code = ErrorCode.LINE_BLIND if self._blind else ErrorCode.PARTS_NOT_INSPECTED
        return code, f"{what}: {meaning}; {remedy}"

    def _leads(self) -> Reason:
        """The most frequent reason; of a blind line rather one that does not end by itself.

        The one that led so far leads until another is twice as frequent: each change is a line in the log.
        """
        there = +self._parts.counts
        del there[Reason.NONE]
        lasting = Counter({reason: there[reason] for reason in there.keys() - _PASSING})
        counts = lasting if self._blind and lasting else there
        ((most, count),) = counts.most_common(1)
        return self._leading if 2 * counts[self._leading] >= count else most

    def _told_of_rejects(self) -> tuple[ErrorCode, str] | None:
        if self._many:
            rejected = self._rejects.counts[Decision.REJECT]
            what = f"{rejected} of the last {len(self._rejects.values)} inspected parts were rejected"
        elif self._is_row:
            what = f"{self._rejects_row} parts in a row were rejected"
        else:
            return None
        return ErrorCode.MANY_REJECTS, f"{what}: look at these parts, then at tool and material"


class _Latest(Generic[_Value]):
    """The latest values, and how often each is among them."""

    def __init__(self) -> None:
        self.values: deque[_Value] = deque()
        self.counts: Counter[_Value] = Counter()

    def add(self, value: _Value, most: int) -> None:
        """One more, of which at most so many are kept."""
        self.values.append(value)
        self.counts[value] += 1
        while len(self.values) > most:
            self.counts[self.values.popleft()] -= 1
