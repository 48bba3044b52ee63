"""Control limits of a reject rate: in which range chance alone keeps it (p-chart, three sigma)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_SIGMAS = 3.0


@dataclass(frozen=True, slots=True)
class ControlLimits:
    """The mean rate of all intervals, and the range that chance allows for one interval of this size."""

    low: float
    centre: float
    high: float


def control_limits(intervals: Sequence[tuple[int, int]]) -> list[ControlLimits | None]:
    """For each interval, given as rejected and inspected parts, its limits. None for one without inspected parts.

    The mean is that of all other intervals too, so one bad interval widens its own limits only a little.
    """
    rejected, inspected = (sum(column) for column in zip(*intervals, strict=True)) if intervals else (0, 0)
    if not inspected:
        return [None for _ in intervals]
    centre = rejected / inspected
    return [_around(centre, parts) if parts else None for _, parts in intervals]


def _around(centre: float, parts: int) -> ControlLimits:
    reach = _SIGMAS * math.sqrt(centre * (1 - centre) / parts)
    return ControlLimits(max(0.0, centre - reach), centre, min(1.0, centre + reach))
