"""The rows of the results for readers."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from edge_inspector.codes import Decision, Reason
from edge_inspector.records import Defect, Delivery
from edge_inspector.store.pictures import StoredPicture

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

BY_PLC: Final = "plc"
"""Who marked a part that the PLC knew."""
LabelKind = Literal["good", "defect", "unsure"]
_WORST_FIRST: Final[tuple[LabelKind, ...]] = ("defect", "unsure")
Row = TypeVar("Row", bound="DataclassInstance")


def read_row(kind: type[Row], row: sqlite3.Row, /, **more: Any) -> Row:
    """The record of a row of the results: each field from the column of its name, or from `more`."""
    names = {field.name for field in fields(kind)} - more.keys()
    return kind(**{name: row[name] for name in names}, **more)


def defect_row(defect: Defect) -> dict[str, Any]:
    """The defect as it is kept. Its box is in the mask."""
    return {
        "camera": defect.camera,
        "defect_class": defect.defect_class,
        "area_mm2": defect.area_mm2,
        "length_mm": defect.length_mm,
        "confidence": defect.confidence,
        "x_mm": defect.x_mm,
        "y_mm": defect.y_mm,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class PartRow:
    """One part in a list. `id` is the store's own number. `part_seq` is the PLC's, which starts over with the PLC.

    `criteria` is the fingerprint of everything that judged it, or "" for parts from before there was one. `classes` are
    those of its defects. `picture` is its first view that has one. `labelled` says that a person has looked at it.
    """

    id: int
    utc: datetime
    boot_id: int
    seq: int
    part_seq: int
    plc_boot_id: int
    decision: Decision
    reason: Reason
    rejects: bool
    grade: str
    review: bool
    late: bool
    recipe_id: int
    recipe_hash: str
    model: str
    criteria: str
    latency_ns: int
    classes: tuple[str, ...]
    picture: StoredPicture | None
    labelled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredView:
    """One camera's view of a part, as in `View`.

    `encoder_count` and its bound are None if its position is not known. `begun_ns` and `inference_ns` are 0 if the
    model did not process it.
    """

    camera: str
    frame_id: int
    captured_ns: int
    exposure_ns: int
    received_ns: int
    begun_ns: int
    inference_ns: int
    encoder_count: float | None
    error_counts: float | None
    failure: Reason
    doubtful: bool
    picture: StoredPicture | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """The label that a person gave one view ("" for the whole part)."""

    camera: str
    label: LabelKind
    defect_class: str
    user: str
    utc: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PartStory:
    """All data of one part. Times in ns are monotonic, so only their differences mean something."""

    row: PartRow
    announced_ns: int
    decided_ns: int
    due_ns: int
    trigger_count: int
    due_count: int
    positioned: bool
    epoch: int
    error_mm: float | None
    missing_views: tuple[str, ...]
    views: tuple[StoredView, ...]
    defects: tuple[Defect, ...]
    deliveries: tuple[Delivery, ...]
    labels: tuple[Label, ...]

    @property
    def called(self) -> LabelKind | Literal[""]:
        """What people last called the part, "" if nothing. It is good only if no view was called otherwise."""
        last = {each.camera: each.label for each in self.labels}
        worse = next((kind for kind in _WORST_FIRST if kind in last.values()), None)
        whole = "" in last or last.keys() >= {view.camera for view in self.views}
        return worse or ("good" if last and whole else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectionRow:
    """A view on which the shadow model `model` disagreed: it "rejects" or "accepts", and the first did not.

    `part_id` is None if the view belongs to no part. `classes` are those of the defects that the shadow model found.
    """

    utc: datetime
    camera: str
    frame_id: int
    opinion: str
    model: str
    classes: tuple[str, ...]
    part_id: int | None
    picture: StoredPicture | None


@dataclass(frozen=True, slots=True)
class Bucket:
    """Verdicts by decision in the interval that begins at `utc`."""

    utc: datetime
    accept: int
    reject: int
    not_inspected: int


@dataclass(frozen=True, slots=True)
class ClassCount:
    """How many parts had defects of one class, and how many defects there were."""

    defect_class: str
    parts: int
    defects: int
