"""A part as the page gets it."""

from __future__ import annotations

from typing import Any

from edge_inspector.store.rows import PartRow, PartStory
from edge_inspector.watches.placing import Geometry


def row_told(row: PartRow) -> dict[str, Any]:
    """One line of the list of parts."""
    return {
        "id": row.id,
        "boot": f"{row.boot_id:08x}",
        "seq": row.seq,
        "utc": row.utc.isoformat(),
        "part": row.part_seq,
        "decision": int(row.decision),
        "reason": row.reason.label,
        "rejects": row.rejects,
        "grade": row.grade,
        "review": row.review,
        "late": row.late,
        "labelled": row.labelled,
        "recipe": f"{row.recipe_id}/{row.recipe_hash}",
        "recipe_id": row.recipe_id,
        "criteria": row.criteria,
        "model": row.model,
        "latency_ms": row.latency_ns / 1e6,
        "classes": row.classes,
        "picture": row.picture is not None,
    }


def story_told(story: PartStory, geometry: Geometry) -> dict[str, Any]:
    """All data of one part. Times are in milliseconds since the station learned of the part."""

    def ms(instant_ns: int) -> float:
        return (instant_ns - story.announced_ns) / 1e6

    return row_told(story.row) | {
        "decided_ms": ms(story.decided_ns),
        "due_ms": ms(story.due_ns),
        "way_mm": geometry.gate / geometry.counts_per_mm if story.positioned else None,
        "error_mm": story.error_mm,
        "missing": story.missing_views,
        "views": [
            {
                "camera": view.camera,
                "frame": view.frame_id,
                "captured_ms": ms(view.captured_ns),
                "inference_ms": view.inference_ns / 1e6,
                "failure": view.failure.label,
                "doubtful": view.doubtful,
            }
            for view in story.views
        ],
        "defects": [
            {
                "camera": defect.camera,
                "class": defect.defect_class,
                "area_mm2": defect.area_mm2,
                "length_mm": defect.length_mm,
                "confidence": defect.confidence,
                "x_mm": defect.x_mm,
                "y_mm": defect.y_mm,
            }
            for defect in story.defects
        ],
        "deliveries": [
            {"link": delivery.link, "delivered_ms": ms(delivery.delivered_ns)} for delivery in story.deliveries
        ],
        "labels": [
            {
                "view": label.camera,
                "label": label.label,
                "class": label.defect_class,
                "user": label.user,
                "utc": label.utc.isoformat(),
            }
            for label in story.labels
        ],
    }
