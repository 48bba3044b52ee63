"""Which pictures are kept, and the JSON file with the facts of each."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np

from edge_inspector.records import Decision, Image, PlacedView, Verdict
from edge_inspector.runtime.clock import iso
from edge_inspector.store.pictures import StoredPicture
from edge_inspector.store.results_writer import Entry, Objection

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class StationFacts:
    """The station's data that a reader of its pictures needs. A mask pixel is `stride` pixels of the image."""

    station: str
    classes: tuple[str, ...]
    stride: int
    mm_per_px: Mapping[str, float]


def kept_because(verdict: Verdict, accepted_one_in: int) -> str:
    """Why a part's pictures are kept: reject, not_inspected, review or sample. "" if they are not kept."""
    if verdict.decision is not Decision.ACCEPT:
        return verdict.decision.name.lower()
    if verdict.review:
        return "review"
    return "sample" if accepted_one_in and verdict.seq % accepted_one_in == 0 else ""


def view_facts(entry: Entry, placed: PlacedView, station: StationFacts) -> dict[str, Any]:
    """The sidecar of one view. docs/archive.md explains each field."""
    verdict, view = entry.verdict, placed.view
    return {
        "schema_version": SCHEMA_VERSION,
        "station": station.station,
        "camera": view.camera,
        "frame_id": view.frame_id,
        "utc": iso(entry.utc),
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
        "criteria": verdict.criteria,
        "model": verdict.model,
        "classes": list(station.classes),
        "mask_stride": station.stride,
        "mm_per_px": station.mm_per_px[view.camera],
        "encoder_count": placed.position.count if math.isfinite(placed.position.count) else None,
        "doubtful": view.doubtful,
        "defects": [asdict(defect) for defect in view.defects],
    }


def objection_facts(objection: Objection, station: StationFacts) -> dict[str, Any]:
    """The sidecar of a view on which the shadow model disagrees. The mask with it is the shadow's."""
    said = objection.said
    return {
        "schema_version": SCHEMA_VERSION,
        "station": station.station,
        "camera": said.camera,
        "frame_id": said.frame_id,
        "utc": iso(objection.utc),
        "kept_because": "shadow",
        "opinion": said.opinion,
        "model": said.model,
        "classes": list(said.classes),
        "mm_per_px": station.mm_per_px[said.camera],
        "defects": [asdict(defect) for defect in said.defects],
    }


def read_mask(picture: StoredPicture) -> dict[str, Image]:
    """The mask's planes by class, as the model returned them. Empty if there is no mask or if a file is damaged."""
    if picture.mask is None or picture.sidecar is None:
        return {}
    try:
        facts = json.loads(picture.sidecar.read_text())
    except (OSError, ValueError):
        return {}
    classes = facts.get("classes") if isinstance(facts, dict) else None
    planes = cv2.imread(str(picture.mask), cv2.IMREAD_GRAYSCALE)
    if planes is None or not isinstance(classes, list) or not classes or planes.shape[0] % len(classes):
        return {}
    if not all(isinstance(name, str) for name in classes):
        return {}
    stacked = np.asarray(planes, np.uint8).reshape(len(classes), -1, planes.shape[1])
    return dict(zip(classes, stacked, strict=True))
