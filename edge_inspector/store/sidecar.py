"""Which pictures are kept, and the JSON file with the facts of each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from edge_inspector.codes import Decision
from edge_inspector.records import Image, PlacedView, Verdict, finite
from edge_inspector.runtime.clock import iso
from edge_inspector.store.pictures import StoredPicture
from edge_inspector.store.results_writer import StoredObjection, StoredVerdict
from edge_inspector.store.rows import defect_row

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class MaskForm:
    """What a reader of a mask needs: the name of its model, its classes in order, and image pixels per mask pixel."""

    model: str
    classes: tuple[str, ...]
    stride: int


@dataclass(frozen=True, slots=True)
class StationFacts:
    """The station's data that a reader of its pictures needs. `masks` are the forms of masks, by recipe."""

    station: str
    masks: Mapping[int, MaskForm]
    mm_per_px: Mapping[str, float]


def kept_because(verdict: Verdict, accepted_one_in: int) -> str:
    """Why a part's pictures are kept: challenge, reject, not_inspected, review or sample. "" if they are not kept."""
    if verdict.challenge:
        return "challenge"
    if verdict.decision is not Decision.ACCEPT:
        return verdict.decision.name.lower()
    if verdict.review:
        return "review"
    return "sample" if accepted_one_in and verdict.seq % accepted_one_in == 0 else ""


def view_facts(entry: StoredVerdict, placed: PlacedView, station: StationFacts) -> dict[str, Any]:
    """The sidecar of one view. docs/archive.md explains each field."""
    verdict, view, mask = entry.verdict, placed.view, station.masks[entry.verdict.recipe_id]
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
        "classes": list(mask.classes),
        "mask_stride": mask.stride,
        "mm_per_px": station.mm_per_px[view.camera],
        "encoder_count": finite(placed.position.count),
        "doubtful": view.doubtful,
        "defects": [defect_row(defect) for defect in view.defects],
    }


def objection_facts(objection: StoredObjection, station: StationFacts) -> dict[str, Any]:
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
        "defects": [defect_row(defect) for defect in said.defects],
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
