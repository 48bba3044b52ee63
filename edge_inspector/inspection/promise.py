"""What limits from good parts can promise: a largest share of good parts rejected, and how sure that is. Pure figures.

The largest scores of the good parts set the limit. The share of all good parts beyond the limit is then at most what a
beta distribution says, whatever the scores look like. Equal scores only make it smaller.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import Final

_STEPS: Final = 50  # halvings of [0, 1], which leave less than 1e-15
_ROUNDING: Final = 1e-9
_SURE: Final = 0.99  # of each of the two shares that are multiplied


@dataclass(frozen=True, slots=True)
class RejectPromise:
    """At most `false_rejects` of the good parts are rejected. It holds in `confidence` of all draws of good parts.

    Both are shares above 0 and below 1.
    """

    false_rejects: float
    confidence: float

    @property
    def fewest(self) -> int:
        """The fewest good parts from which this can be promised."""
        return math.ceil(math.log(1 - self.confidence) / math.log1p(-self.false_rejects) - _ROUNDING)

    def may_reject(self, parts: int) -> int | None:
        """How many of so many good parts may lie beyond the limit. None if there are too few parts to promise it."""
        risk = (1 - self.confidence) * (1 + _ROUNDING)
        within = bisect_right(range(parts + 1), risk, key=lambda some: at_most(some, parts, self.false_rejects))
        return within - 1 if within else None


def promised_by(parts: int, confidence: float) -> float:
    """The smallest share of false rejects that so many good parts, at least one, can promise."""
    return float(1 - (1 - confidence) ** (1 / parts))


def at_most(some: int, of: int, rate: float) -> float:
    """How probable it is that at most `some` of `of` events happen, each at this rate above 0 and below 1."""
    if some >= of:
        return 1.0
    happens, fails, every = math.log(rate), math.log1p(-rate), math.lgamma(of + 1)
    return math.fsum(
        math.exp(every - math.lgamma(each + 1) - math.lgamma(of - each + 1) + each * happens + (of - each) * fails)
        for each in range(some + 1)
    )


def at_least(some: int, of: int, confidence: float) -> float:
    """The share that the true one exceeds with this confidence, if `some` of `of` were seen (Clopper and Pearson)."""
    if not some:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if 1 - at_most(some - 1, of, middle) > 1 - confidence:
            high = middle
        else:
            low = middle
    return low


def interval(some: int, of: int) -> tuple[float, float]:
    """The exact interval of 95 % of a share. Everything is possible if nothing was seen."""
    return at_least(some, of, 0.975), 1 - at_least(of - some, of, 0.975)


@dataclass(frozen=True, slots=True, kw_only=True)
class Realised:
    """What became of the latest parts: how many were inspected and rejected, and what people said of rejected ones."""

    inspected: int
    rejected: int
    called_good: int
    called_bad: int

    @property
    def share(self) -> float:
        """The share of false rejects, if the rejected parts that people looked at are like the others. nan if unknown.

        The parts that were inspected are not all good, so the true share is never less.
        """
        looked_at = self.called_good + self.called_bad
        if not self.inspected or (self.rejected and not looked_at):
            return math.nan
        return self.rejected / self.inspected * (self.called_good / looked_at if looked_at else 0.0)

    @property
    def least(self) -> float:
        """What the share of false rejects exceeds, even if chance played against us."""
        rejected = at_least(self.rejected, self.inspected, _SURE)
        return rejected * at_least(self.called_good, self.called_good + self.called_bad, _SURE)
