"""Why a part was rejected, and the limits that apply, for the page to put into a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edge_inspector.inspection.breach import breaches
from edge_inspector.inspection.recipe import ClassLimits
from edge_inspector.records import Defect


def why(defects: Sequence[Defect], limits: Mapping[str, ClassLimits]) -> list[dict[str, Any]]:
    """The broken limits, the one with the largest defect first."""
    return [
        {
            "kind": breach.kind,
            "found": breach.found,
            "limit": breach.limit,
            "min_area_mm2": limits[breach.defect.defect_class].min_area_mm2,
            "class": breach.defect.defect_class,
            "camera": breach.defect.camera,
            "area_mm2": breach.defect.area_mm2,
            "length_mm": breach.defect.length_mm,
            "confidence": breach.defect.confidence,
        }
        for breach in breaches(defects, limits)
    ]


def limits_told(limits: Mapping[str, ClassLimits]) -> list[dict[str, Any]]:
    """The limits of every class."""
    return [{"class": name, **limit.model_dump()} for name, limit in limits.items()]
