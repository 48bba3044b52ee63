"""Verdicts for tests of whatever keeps or tells them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from edge_inspector.codes import Decision, Reason
from edge_inspector.records import Defect, Frame, Part, PlacedView, Position, Verdict, View

BOOT = 0xDEADBEEF


def defect(camera: str = "cam1", defect_class: str = "crack", area_mm2: float = 4.0) -> Defect:
    return Defect(camera, defect_class, area_mm2=area_mm2, length_mm=3.0, confidence=0.9, x_mm=10.0, y_mm=20.0)


def placed(camera: str = "cam1", frame_id: int = 1, defects: Sequence[Defect] = (), **changes: Any) -> PlacedView:
    view = View(camera, frame_id, captured_ns=2_000_000_000, exposure_ns=200_000, defects=tuple(defects), **changes)
    return PlacedView(view, Position(1234.5, 2.0, 1))


def announced(part_seq: int, plc_boot_id: int = 7, **changes: Any) -> Part:
    """Part `part_seq`, as the PLC announced it."""
    plain = Part(
        part_seq=part_seq,
        plc_boot_id=plc_boot_id,
        epoch=1,
        trigger_count=1000,
        due_count=9000,
        announced_ns=1_900_000_000,
    )
    return replace(plain, **changes)


def verdict(seq: int, decision: Decision = Decision.ACCEPT, **changes: Any) -> Verdict:
    """Part `seq` of this run, seen by cam1 as frame `seq`. The defects are those of the views, if nothing else is said.

    `changes` are fields of the verdict. `part_seq` is the number of the part alone.
    """
    views = tuple(changes.pop("views", (placed(frame_id=seq),)))
    reasons = {Decision.ACCEPT: Reason.NONE, Decision.REJECT: Reason.DEFECT, Decision.NOT_INSPECTED: Reason.LATE}
    plain = Verdict(
        boot_id=BOOT,
        seq=seq,
        part=announced(changes.pop("part_seq", seq)),
        decision=decision,
        reason=reasons[decision],
        rejects=decision is not Decision.ACCEPT,
        grade="A" if decision is Decision.ACCEPT else "",
        defects=tuple(found for view in views for found in view.view.defects),
        views=views,
        error_mm=0.2,
        recipe_id=3,
        recipe_hash="0badf00d",
        model="m-1/int8/cpu",
        decided_ns=2_050_000_000,
        due_ns=2_500_000_000,
    )
    return replace(plain, **changes)


def frame(camera: str = "cam1", frame_id: int = 1, size: tuple[int, ...] = (40, 60, 3)) -> Frame:
    image = np.full(size, frame_id % 256, np.uint8)
    return Frame(
        camera, frame_id, captured_ns=2_000_000_000, exposure_ns=200_000, received_ns=2_010_000_000, image=image
    )
