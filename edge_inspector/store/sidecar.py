"""Which pictures are kept, and the facts that lie beside each as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from edge_inspector.records import Decision, PlacedView, Verdict
from edge_inspector.store.results_writer import Entry

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class StationFacts:
    """What one must know of the station to read its pictures: a mask pixel is `stride` pixels of the image."""

    station: str
    classes: tuple[str, ...]
    stride: int
    mm_per_px: Mapping[str, float]


def kept_because(verdict: Verdict, accepted_one_in: int) -> str:
    """Why a part's pictures are kept: reject, not_inspected, review or sample; "" where they are not."""
    if verdict.decision is not Decision.ACCEPT:
        return verdict.decision.name.lower()
    if verdict.review:
        return "review"
    return "sample" if accepted_one_in and verdict.seq % accepted_one_in == 0 else ""


def view_facts(entry: Entry, placed: PlacedView, station: StationFacts) -> dict[str, Any]:
    """The sidecar of one view; docs/archive.md explains each field."""
    verdict, view = entry.verdict, placed.view
    return {
        "schema_version": SCHEMA_VERSION,
        "station": station.station,
        "camera": view.camera,
        "frame_id": view.frame_id,
        "utc": entry.utc.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "kept_because": entry.why,
        "boot_id": verdict.boot_id,
        "seq": verdict.seq,
        "part_seq": verdict.part.part_seq,
        "decision": verdict.decision.name,
        "reason": verdict.reason.label,
        "failure": view.failure.label,
        "grade": verdict.grade,
        "recipe_id": verdict.recipe_id,
        "recipe_hash": verdict.recipe_hash,
        "model": verdict.model,
        "classes": list(station.classes),
        "mask_stride": station.stride,
        "mm_per_px": station.mm_per_px[view.camera],
        "encoder_count": placed.position.count if math.isfinite(placed.position.count) else None,
        "doubtful": view.doubtful,
        "defects": [asdict(defect) for defect in view.defects],
    }
