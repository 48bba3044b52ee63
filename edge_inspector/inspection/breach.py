"""Which limits the defects of a part break: why it was rejected."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from edge_inspector.inspection.recipe import ClassLimits
from edge_inspector.records import Defect


@dataclass(frozen=True, slots=True)
class Breach:
    """A broken limit: more defects of the class than it allows, or a longer one. `defect` is the largest or longest."""

    kind: Literal["count", "length"]
    found: float
    limit: float
    defect: Defect


def breaches(defects: Sequence[Defect], limits: Mapping[str, ClassLimits]) -> list[Breach]:
    """All broken limits, the one with the largest defect first. Classes without limits break none."""
    by_class: dict[str, list[Defect]] = defaultdict(list)
    for defect in defects:
        by_class[defect.defect_class].append(defect)
    found: list[Breach] = []
    for name, of_class in by_class.items():
        limit = limits.get(name)
        if limit is None:
            continue
        longest = max(of_class, key=lambda defect: defect.length_mm)
        if limit.max_length_mm is not None and longest.length_mm > limit.max_length_mm:
            found.append(Breach("length", longest.length_mm, limit.max_length_mm, longest))
        if len(of_class) > limit.max_count:
            largest = max(of_class, key=lambda defect: defect.area_mm2)
            found.append(Breach("count", len(of_class), limit.max_count, largest))
    return sorted(found, key=lambda breach: -breach.defect.area_mm2)
