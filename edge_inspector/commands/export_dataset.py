"""The archived pictures as training data: what people drew and said comes first, what the model said is only noted."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, get_args

import cv2
import numpy as np

from edge_inspector.errors import EdgeInspectorError
from edge_inspector.records import Image
from edge_inspector.runtime.clock import iso
from edge_inspector.store.drawings import Drawing, Drawings
from edge_inspector.store.pictures import StoredPicture, picture_stem
from edge_inspector.store.results import Results
from edge_inspector.store.results_file import results_path
from edge_inspector.store.rows import Label, PartStory
from edge_inspector.store.sidecar import read_mask
from edge_inspector.texts import harmless

DatasetFormat = Literal["index", "coco"]
DATASET_FORMATS: Final[tuple[str, ...]] = get_args(DatasetFormat)
_SURE: Final = 128  # of 255: what counts as defect in the proposed masks
_GOOD: Final = "good"
_FIELDS: Final = ("image", "mask", "class", "label", "split", "note", "part_id", "camera", "utc", "decision", "by")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedPicture:
    """One picture and one class in it ("good": nothing), with the mask proposed for it, as large as the picture.

    `note` says why it should not be learnt from as it is; "" where a person stands for it.
    """

    stem: str
    image: Path
    part_id: int
    camera: str
    utc: datetime
    decision: str
    defect_class: str
    mask: Image
    note: str
    by: str

    @property
    def name(self) -> str:
        """The picture's name in the dataset, without ending."""
        return self.stem.replace("/", "_")

    @property
    def image_file(self) -> str:
        """Where its image is in the dataset."""
        return f"images/{self.name}{self.image.suffix}"

    @property
    def split(self) -> str:
        """All views of a part are in one; one part in five is for validation."""
        return "val" if self.part_id % 5 == 0 else "train"


def export_dataset(
    state_dir: Path, out: Path, form: DatasetFormat, *, since: datetime | None, until: datetime | None
) -> dict[str, int]:
    """Write the pictures of the parts judged in [since, until) into the folder `out`. Says how many.

    "index" writes index.csv, images/ and masks/ as the training reads it; "coco" writes annotations.json and images/.
    Raises EdgeInspectorError.
    """
    pictures: set[str] = set()
    reviewed: set[str] = set()
    samples = _Samples(state_dir, since, until)
    try:
        (out / "images").mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            writer = Index(out, stack) if form == "index" else Coco(out, stack)
            for sample in samples:
                if sample.name not in pictures:
                    shutil.copyfile(sample.image, out / sample.image_file)
                pictures.add(sample.name)
                if sample.by:
                    reviewed.add(sample.name)
                writer.add(sample)
    except OSError as error:
        raise EdgeInspectorError(f"{out}: {error.strerror or error}") from error
    return {"pictures": len(pictures), "reviewed": len(reviewed), "drawn": len(samples.drawn)}


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

    def add(self, sample: ExportedPicture) -> None:
        """Write the mask and the line."""
        # A person may have typed the class: no name for a file, and written in ASCII many are the same.
        number = self._classes.setdefault(sample.defect_class, len(self._classes))
        mask = f"masks/{sample.name}-{number}.png"
        (self._out / mask).write_bytes(cv2.imencode(".png", sample.mask)[1].tobytes())
        self._writer.writerow(
            {
                "image": sample.image_file,
                "mask": mask,
                "class": harmless(sample.defect_class),
                "label": int(sample.defect_class != _GOOD),
                "split": sample.split,
                "note": sample.note,
                "part_id": sample.part_id,
                "camera": sample.camera,
                "utc": iso(sample.utc),
                "decision": sample.decision,
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

    def add(self, sample: ExportedPicture) -> None:
        """Note the picture, and the regions of its mask."""
        height, width = sample.mask.shape
        image = self._images.setdefault(
            sample.name,
            {
                "id": len(self._images) + 1,
                "file_name": sample.image_file,
                "width": width,
                "height": height,
                "date_captured": iso(sample.utc, "seconds"),
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


class _Samples:
    """All samples. `drawn` fills with the stems of the views on which people have drawn."""

    def __init__(self, state_dir: Path, since: datetime | None, until: datetime | None) -> None:
        self._results = Results(results_path(state_dir))
        self._drawings = Drawings(state_dir)
        self._since = since
        self._until = until
        self.drawn: set[str] = set()

    def __iter__(self) -> Iterator[ExportedPicture]:
        before: int | None = None
        while rows := self._results.parts(since_utc=self._since, until_utc=self._until, before_id=before):
            for row in rows:
                story = self._results.part(row.id)
                if story is not None:
                    yield from self._of_part(story)
            before = rows[-1].id
        for drawing in self._drawings.all():  # of parts that the results have forgotten, or that were not archived
            if drawing.on.stem not in self.drawn and self._in_time(drawing.on.utc):
                yield from self._of_drawing(drawing, [])

    def _in_time(self, utc: datetime) -> bool:
        return (self._since is None or utc >= self._since) and (self._until is None or utc < self._until)

    def _of_part(self, story: PartStory) -> Iterator[ExportedPicture]:
        for view in story.views:
            stem = picture_stem(story.row.utc, view.camera, story.row.part_seq, view.frame_id)
            drawing = self._drawings.newest(stem)
            if drawing is not None:
                yield from self._of_drawing(drawing, _labels(story, view.camera))
            elif view.picture is not None:
                yield from _of_view(story, view.camera, view.picture)

    def _of_drawing(self, drawing: Drawing, labels: list[Label]) -> Iterator[ExportedPicture]:
        self.drawn.add(drawing.on.stem)
        planes = drawing.planes() or {_GOOD: np.zeros((drawing.height, drawing.width), np.uint8)}
        for name, mask in planes.items():
            yield ExportedPicture(
                stem=drawing.on.stem,
                image=drawing.image,
                part_id=drawing.on.part_id,
                camera=drawing.on.camera,
                utc=drawing.on.utc,
                decision=drawing.on.decision,
                defect_class=name,
                mask=mask,
                note=_contradiction(drawing, labels, good=name == _GOOD),
                by=drawing.by,
            )


def _of_view(story: PartStory, camera: str, picture: StoredPicture) -> Iterator[ExportedPicture]:
    image = cv2.imread(str(picture.image), cv2.IMREAD_UNCHANGED)
    if image is None:
        return
    size = (image.shape[0], image.shape[1])
    planes = read_mask(picture)
    proposed = {} if _is_void(planes) else {name: _fit(plane, size) for name, plane in planes.items()}
    labels = _labels(story, camera)
    label = labels[-1] if labels else None
    found = [name for name, mask in proposed.items() if mask.any()]
    for name in _classes(label, found):
        mask = proposed.get(name, np.zeros(size, np.uint8)) if name != _GOOD else np.zeros(size, np.uint8)
        yield ExportedPicture(
            stem=picture.stem,
            image=picture.image,
            part_id=story.row.id,
            camera=camera,
            utc=story.row.utc,
            decision=story.row.decision.name,
            defect_class=name,
            mask=mask,
            note=_note(label, name, drawn=bool(mask.any())),
            by=label.user if label else "",
        )


def _is_void(planes: Mapping[str, Image]) -> bool:
    """Whether the mask was invalid: 255 everywhere, in every class. A station without a model keeps such masks."""
    return all(int(plane.min(initial=255)) == 255 for plane in planes.values())


def _labels(story: PartStory, camera: str) -> list[Label]:
    """What was said of this view; else of the whole part. The last word counts."""
    of_view = [label for label in story.labels if label.camera == camera]
    return of_view or [label for label in story.labels if not label.camera]


def _contradiction(drawing: Drawing, labels: list[Label], *, good: bool) -> str:
    """What somebody said later that does not fit the drawing."""
    later = [label for label in labels if label.utc > drawing.utc]
    if later and later[-1].label == "unsure":
        return "unsure"
    if later and (later[-1].label == "good") != good:
        return f"drawn by {harmless(drawing.by)}, and later called {later[-1].label} by {harmless(later[-1].user)}"
    return ""


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
