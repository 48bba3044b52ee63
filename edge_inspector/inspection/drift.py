"""Whether the line still looks as in its reference: pure figures over a sliding window."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_inspector.inspection.reference import Distribution, Reference

ENOUGH = 200  # with fewer values, chance alone causes a drift of 0.1
_BINS = 10


@dataclass(frozen=True, slots=True)
class RejectRate:
    """A point on the control chart: the share of rejected parts, and its limits by chance (3 sigma)."""

    rate: float
    low: float
    high: float

    @property
    def in_control(self) -> bool:
        """Whether chance can explain the rate."""
        return self.low <= self.rate <= self.high


def distribution(subject: str, quantity: str, values: Sequence[float]) -> Distribution:
    """The distribution of `values` (at least one) over ten bins of equal size. Fewer bins if values repeat."""
    tenths = np.quantile(values, np.arange(1, _BINS) / _BINS)
    edges = [float(edge) for edge in np.unique(tenths)]
    return Distribution(
        subject=subject, quantity=quantity, count=len(values), edges=edges, shares=_shares(values, edges)
    )


def psi(reference: Distribution, values: Sequence[float]) -> float:
    """The population stability index of `values` (at least one) against the reference.

    Below 0.1 nothing has changed. Above 0.25 it has.
    """
    least = 0.5 / len(values)  # an empty bin means less than one value, not none
    return sum(
        (now - then) * math.log(now / then)
        for now, then in (
            (max(found, least), max(expected, least))
            for found, expected in zip(_shares(values, reference.edges), reference.shares, strict=True)
        )
    )


def control_limits(rate: float, learnt: int, count: int) -> tuple[float, float]:
    """The limits of three standard deviations for the share in `count` parts, if `learnt` parts had `rate`.

    The reference is a sample too. With 200 parts, it knows a rate of 15 % only to 5 %.
    """
    least = 0.5 / learnt  # no rejects among these parts does not mean that there are never any
    likely = min(max(rate, least), 1 - least)
    spread = 3 * math.sqrt(likely * (1 - likely) * (1 / count + 1 / learnt))
    return max(0.0, rate - spread), min(1.0, rate + spread)


class DriftWindow:
    """The latest `size` values of each quantity in the reference, and the latest `size` parts."""

    def __init__(self, reference: Reference, size: int) -> None:
        self.reference = reference
        self._expected = {(each.subject, each.quantity): each for each in reference.distributions}
        self._values: dict[tuple[str, str], deque[float]] = {key: deque(maxlen=size) for key in self._expected}
        self._rejected: deque[bool] = deque(maxlen=size)

    def add(self, subject: str, quantity: str, value: float) -> None:
        """Add one value. A quantity that is not in the reference is ignored."""
        known = self._values.get((subject, quantity))
        if known is not None:
            known.append(value)

    def add_part(self, *, rejected: bool) -> None:
        """Add one inspected part."""
        self._rejected.append(rejected)

    def drift(self) -> dict[tuple[str, str], float]:
        """The index of each (subject, quantity) that has enough values."""
        return {key: psi(self._expected[key], values) for key, values in self._values.items() if len(values) >= ENOUGH}

    def reject_rate(self) -> RejectRate | None:
        """The newest point of the control chart. None until there are enough parts."""
        count = len(self._rejected)
        if count < ENOUGH:
            return None
        low, high = control_limits(self.reference.reject_rate, self.reference.parts, count)
        return RejectRate(sum(self._rejected) / count, low, high)


def _shares(values: Sequence[float], edges: Sequence[float]) -> list[float]:
    counts = np.bincount(np.searchsorted(edges, np.asarray(values), side="right"), minlength=len(edges) + 1)
    return [float(count) / len(values) for count in counts]
