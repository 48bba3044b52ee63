"""Whether too few parts are inspected or too many are rejected. The only input is one verdict after another."""

from __future__ import annotations

from collections import Counter, deque
from typing import Generic, TypeVar

from edge_inspector.codes import Decision, ErrorCode, Reason
from edge_inspector.inspection.recipe import AlarmLimits

_BLIND, _BLIND_OF = 5, 10  # five misses in the last ten parts are no chance, even if the window is not full yet
_OVER_ROW = 20  # if more than a fifth is not inspected, a row of this many inspected parts is a 1 % chance

# These reasons end by themselves. They mean missing knowledge about a part, not a present inability of the station.
_PASSING = frozenset({Reason.DAEMON_RESTARTED, Reason.PLC_RESTARTED, Reason.STOPPING})

_Value = TypeVar("_Value")


class Alarms:
    """Takes every verdict. `held` has the alarms that hold now, each with its reason in words.

    A share is always a share of the whole window, even before the window is full. One part of the first three proves
    nothing, but a third of a hundred does. An alarm about a share ends when the share falls to half of the limit.

    LINE_BLIND replaces PARTS_NOT_INSPECTED. It also begins with the fifth missed part of ten, and ends only after 20
    inspected parts in a row. Older parts are then forgotten, as after a restart.

    Parts that were deliberately not inspected do not count: the station was switched off, has not passed its challenge,
    or changed its model.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Start over: a person has seen the alarm."""
        self.held: dict[ErrorCode, str] = {}
        self._rejects = _Latest[Decision]()
        self._rejects_row = 0
        self._is_row = self._many = False
        self._forget_parts()

    def take(self, decision: Decision, reason: Reason, limits: AlarmLimits) -> None:
        """Take one verdict. `limits` are those of the recipe that judged."""
        if reason in (Reason.DISABLED, Reason.CHALLENGE, Reason.CHANGING):
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
        what = (
            f"{self._missed} of the last {len(self._parts.values)} parts were not inspected, "
            f"{self._parts.counts[self._leading]} of them {self._leading.label}"
        )
        code = ErrorCode.LINE_BLIND if self._blind else ErrorCode.PARTS_NOT_INSPECTED
        return code, f"{what}: {self._leading.meaning}. {self._leading.remedy}"

    def _leads(self) -> Reason:
        """The most frequent reason. If the line is blind, a reason that does not end by itself is preferred.

        The previous leading reason stays until another one is twice as frequent, because each change is a line in the
        log.
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
    """The latest values, and how often each one is among them."""

    def __init__(self) -> None:
        self.values: deque[_Value] = deque()
        self.counts: Counter[_Value] = Counter()

    def add(self, value: _Value, most: int) -> None:
        """Add one value, and keep at most `most` values."""
        self.values.append(value)
        self.counts[value] += 1
        while len(self.values) > most:
            self.counts[self.values.popleft()] -= 1
