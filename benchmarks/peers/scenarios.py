"""The scenarios for each product, and the summary of figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Figures = dict[str, Any]
LANES = 4
PITCH_MM = 400.0  # from picture to picture. The belt's speed makes the rate


@dataclass(frozen=True, slots=True)
class Scenario:
    """Four cameras at `frames_per_s` each for a number of seconds, over the network or from memory, then an outage."""

    name: str
    frames_per_s: float
    seconds: float
    network: bool = True
    outage: bool = False


def scenarios(seconds: float, capacity: float) -> list[Scenario]:
    """Both scenarios. `capacity` is the rate of the model alone here, in frames per second."""
    return [
        Scenario("paced", 2.0, seconds, outage=True),
        Scenario("overload", 2 * capacity / LANES, seconds, network=False),
    ]


def spread(values: Sequence[float]) -> dict[str, float | int | None]:
    """The number of values, p50 and p99 by nearest rank, and the extremes. None without values."""
    ranked = sorted(values)
    if not ranked:
        return {"count": 0, "p50": None, "p99": None, "min": None, "max": None}
    return {
        "count": len(ranked),
        "p50": round(ranked[len(ranked) // 2], 3),
        "p99": round(ranked[min(len(ranked) - 1, int(len(ranked) * 0.99))], 3),
        "min": round(ranked[0], 3),
        "max": round(ranked[-1], 3),
    }
