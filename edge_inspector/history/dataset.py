"""The archived pictures as training data: what people said of them comes first, what the model said is only noted."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

import cv2
import numpy as np

from edge_inspector.errors import EdgeInspectorError
from edge_inspector.history.tables import harmless
from edge_inspector.records import Image
from edge_inspector.runtime.clock import iso
from edge_inspector.store.pictures import StoredPicture
from edge_inspector.store.results import Results
from edge_inspector.store.rows import Label, PartStory
from edge_inspector.store.sidecar import read_mask

_SURE: Final = 128  # of 255: what counts as defect in the proposed masks
_GOOD: Final = "good"
_FIELDS: Final = ("image", "mask", "class", "label", "split", "note", "part_id", "camera", "utc", "decision", "by")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One picture and one class in it ("good": nothing), with the mask proposed for it, as large as the picture.

    `note` says why it should not be learnt from as it is; "" where a person stands for it.
    """

    story: PartStory
    camera: str
    picture: StoredPicture
    defect_class: str
    mask: Image
    note: str
    by: str

    @property
    def name(self) -> str:
        """The picture's name in the dataset, without ending."""
        return self.picture.stem.replace("/", "_")

    @property
    def image_file(self) -> str:
        """Where its image is in the dataset."""
        return f"images/{self.name}{self.picture.image.suffix}"

    @property
    def split(self) -> str:
        """All views of a part are in one; one part in five is for validation."""
        return "val" if self.story.row.id % 5 == 0 else "train"


def export_dataset(
    results: Results, out: Path, form: Literal["index", "coco"], *, since: datetime | None, until: datetime | None
) -> dict[str, int]:
    """Write the pictures of the parts judged in [since, until) into the folder `out`; how many, and how many reviewed.

    "index" writes index.csv, images/ and masks/ as the training reads it; "coco" writes annotations.json and images/.
    Raises EdgeInspectorError.
    """
    pictures: set[str] = set()
    reviewed: set[str] = set()
    try:
        (out / "images").mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            writer = Index(out, stack) if form == "index" else Coco(out, stack)
            for sample in _samples(results, since, until):
                if sample.name not in pictures:
                    shutil.copyfile(sample.picture.image, out / sample.image_file)
                pictures.add(sample.name)
                if sample.by:
                    reviewed.add(sample.name)
                writer.add(sample)
    except OSError as error:
        raise EdgeInspectorError(f"{out}: {error.strerror or error}") from error
    return {"pictures": len(pictures), "reviewed": len(reviewed)}


class Index:
    """index.csv and masks/: a line for each class in a picture."""

    def __init__(self, out: Path, stack: ExitStack) -> None:
        (out / "masks").mkdir(exist_ok=True)
        self._out = out
        self._classes: dict[str, int] = {}
        self._writer = csv.DictWriter(
            stack.enter_context((out / "index.csv").open("w", newline="", encoding="utf-8")), _FIELDS
        )
        self._writer.writeheader()

    def add(self, sample: Sample) -> None:
        """Write the mask and the line."""
        # A person may have typed the class: no name for a file, and written in ASCII many are the same.
        number = self._classes.setdefault(sample.defect_class, len(self._classes))
        mask = f"masks/{sample.name}-{number}.png"
        (self._out / mask).write_bytes(cv2.imencode(".png", sample.mask)[1].tobytes())
        row = sample.story.row
        self._writer.writerow(
            {
                "image": sample.image_file,
                "mask": mask,
                "class": harmless(sample.defect_class),
                "label": int(sample.defect_class != _GOOD),
                "split": sample.split,
                "note": sample.note,
                "part_id": row.id,
                "camera": sample.camera,
                "utc": iso(row.utc),
                "decision": row.decision.name,
                "by": harmless(sample.by),
            }
        )


class Coco:
    """annotations.json: an annotation for each connected region of a class."""

    def __init__(self, out: Path, stack: ExitStack) -> None:
        self._out = out
        self._images: dict[str, dict[str, Any]] = {}
        self._classes: dict[str, int] = {}
        self._annotations: list[dict[str, Any]] = []
        stack.callback(self._write)

    def add(self, sample: Sample) -> None:
        """Note the picture, and the regions of its mask."""
        height, width = sample.mask.shape
        image = self._images.setdefault(
            sample.name,
            {
                "id": len(self._images) + 1,
                "file_name": sample.image_file,
                "width": width,
                "height": height,
                "date_captured": iso(sample.story.row.utc, "seconds"),
                "split": sample.split,
                "reviewed": bool(sample.by),
                "note": sample.note,
            },
        )
        if sample.defect_class == _GOOD:
            return
        category = self._classes.setdefault(sample.defect_class, len(self._classes) + 1)
        count, regions, stats, _ = cv2.connectedComponentsWithStats(sample.mask)
        for region in range(1, count):
            left, top, wide, high, area = (int(value) for value in stats[region])
            self._annotations.append(
                {
                    "id": len(self._annotations) + 1,
                    "image_id": image["id"],
                    "category_id": category,
                    "bbox": [left, top, wide, high],
                    "area": area,
                    "segmentation": _polygons((regions == region).astype(np.uint8)),
                    "iscrowd": 0,
                }
            )

    def _write(self) -> None:
        document = {
            "info": {"description": "Pictures archived by Edge Inspector"},
            "images": list(self._images.values()),
            "annotations": self._annotations,
            "categories": [{"id": number, "name": name} for name, number in self._classes.items()],
        }
        (self._out / "annotations.json").write_text(json.dumps(document, indent=1) + "\n")


def _polygons(region: Image) -> list[list[int]]:
    outlines, _ = cv2.findContours(region, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    polygons = []
    for outline in outlines:
        if len(outline) < 3:  # a line or a point: readers want an area
            left, top, wide, high = cv2.boundingRect(outline)
            corners = [(left, top), (left + wide, top), (left + wide, top + high), (left, top + high)]
        else:
            corners = [(int(x), int(y)) for x, y in outline[:, 0]]
        polygons.append([value for corner in corners for value in corner])
    return polygons


def _samples(results: Results, since: datetime | None, until: datetime | None) -> Iterator[Sample]:
    before: int | None = None
    while rows := results.parts(since_utc=since, until_utc=until, before_id=before):
        for row in rows:
            story = results.part(row.id)
            if story is not None:
                yield from _of_part(story)
        before = rows[-1].id


def _of_part(story: PartStory) -> Iterator[Sample]:
    for view in story.views:
        image = None if view.picture is None else cv2.imread(str(view.picture.image), cv2.IMREAD_UNCHANGED)
        if view.picture is None or image is None:
            continue
        size = (image.shape[0], image.shape[1])
        proposed = {name: _fit(plane, size) for name, plane in read_mask(view.picture).items()}
        label = _label(story, view.camera)
        found = [name for name, mask in proposed.items() if mask.any()]
        for name in _classes(label, found):
            mask = proposed.get(name, np.zeros(size, np.uint8)) if name != _GOOD else np.zeros(size, np.uint8)
            note = _note(label, name, drawn=bool(mask.any()))
            yield Sample(
                story=story,
                camera=view.camera,
                picture=view.picture,
                defect_class=name,
                mask=mask,
                note=note,
                by=label.user if label else "",
            )


def _label(story: PartStory, camera: str) -> Label | None:
    """The last word on this view; else on the whole part."""
    of_view = [label for label in story.labels if label.camera == camera]
    of_either = of_view or [label for label in story.labels if not label.camera]
    return of_either[-1] if of_either else None


def _classes(label: Label | None, found: list[str]) -> list[str]:
    if label is not None and label.label == "good":
        return [_GOOD]
    if label is not None and label.defect_class:
        return [label.defect_class]
    return found or [_GOOD]


def _note(label: Label | None, name: str, *, drawn: bool) -> str:
    if label is None:
        return "not reviewed"
    if label.label == "unsure":
        return "unsure"
    if label.label == "defect" and not drawn:
        return "no mask" if name != _GOOD else "a defect without class and mask"
    return ""


def _fit(plane: Image, size: tuple[int, int]) -> Image:
    """Black and white, and as large as the picture."""
    sure = np.where(plane >= _SURE, np.uint8(255), np.uint8(0))
    return np.asarray(cv2.resize(sure, (size[1], size[0]), interpolation=cv2.INTER_NEAREST), np.uint8)
