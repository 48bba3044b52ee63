"""The judged parts, their pictures, and people's reviews of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from starlette.convertors import IntegerConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edge_inspector.errors import DeviceError
from edge_inspector.records import Decision, Image
from edge_inspector.runtime.clock import utc_of
from edge_inspector.stages.placing import Geometry
from edge_inspector.store.rows import LabelKind, PartRow, PartStory, StoredView
from edge_inspector.store.users import Role
from edge_inspector.web.access import Access, Entry, RequestError, read_json, text_of
from edge_inspector.web.pictures import jpeg, overlaid, png, tinted
from edge_inspector.web.plant import Plant

_PAGE = 60
_QUEUE = 50
_THUMB_PX = 192
_LAYER_PX = 1024
_LARGEST_FILE = 64 << 20
_LABELS: tuple[LabelKind, ...] = ("good", "defect", "unsure")
_A_WHILE = {"Cache-Control": "private, max-age=300"}


class PartNumber(IntegerConvertor):
    """The number of a part in an address, as in the results. A longer number matches no URL."""

    regex = "[0-9]{1,18}"


register_url_convertor("part", PartNumber())


class Parts:
    """The URLs below /api/parts and /api/review."""

    def __init__(self, plant: Plant, access: Access) -> None:
        self._plant = plant
        self._access = access

    def entries(self) -> Sequence[Entry]:
        """The URLs of this class."""
        return [
            Entry("GET", "/api/parts", self._list, slow=True),
            Entry("GET", "/api/review", self._queue, slow=True),
            Entry("GET", "/api/parts/{part:part}", self._story, slow=True),
            Entry("GET", "/api/parts/{part:part}/thumb", self._thumb, slow=True),
            Entry("GET", "/api/parts/{part:part}/{camera:str}/image", self._image, slow=True),
            Entry("GET", "/api/parts/{part:part}/{camera:str}/mask", self._mask, slow=True),
            Entry("POST", "/api/parts/{part:part}/label", self._label, Role.REVIEWER),
        ]

    async def _list(self, request: Request) -> Response:
        asked = request.query_params
        try:
            rows = self._plant.results.parts(
                since_utc=_instant(asked.get("since")),
                until_utc=_instant(asked.get("until")),
                decision=Decision[asked["decision"].upper()] if asked.get("decision") else None,
                defect_class=asked.get("class") or None,
                part_seq=_number(asked.get("part")),
                before_id=_number(asked.get("before")),
                limit=_PAGE,
            )
        except (KeyError, ValueError) as error:
            raise RequestError(400, f"not a filter: {error}") from error
        except DeviceError as error:
            raise RequestError(503, str(error)) from error
        return JSONResponse({"parts": [_row(row) for row in rows], "more": len(rows) == _PAGE})

    async def _queue(self, request: Request) -> Response:
        del request
        try:
            rows = self._plant.results.to_review(_QUEUE)
        except DeviceError as error:
            raise RequestError(503, str(error)) from error
        return JSONResponse({"parts": [_row(row) for row in rows]})

    async def _story(self, request: Request) -> Response:
        return JSONResponse(_story(self._found(request), self._plant.geometry))

    async def _thumb(self, request: Request) -> Response:
        story = self._found(request)
        worst = story.defects[0].camera if story.defects else ""
        for view in sorted(story.views, key=lambda view: view.camera != worst):
            image, mask = self._pictures(view)
            if image is not None:
                shown = overlaid(image, mask, self._plant.thresholds(story.row.recipe_id), _THUMB_PX)
                return Response(jpeg(shown), media_type="image/jpeg", headers=_A_WHILE)
        raise RequestError(404, "no picture of this part was kept")

    async def _image(self, request: Request) -> Response:
        view = self._view(request, self._found(request))
        if view.picture is not None:
            kind = "image/png" if view.picture.image.suffix == ".png" else "image/jpeg"
            return Response(_bytes(view.picture.image), media_type=kind, headers=_A_WHILE)
        image, _ = self._pictures(view)
        if image is None:
            raise RequestError(404, "this picture was not kept")
        return Response(png(image), media_type="image/png", headers=_A_WHILE)

    async def _mask(self, request: Request) -> Response:
        story = self._found(request)
        image, mask = self._pictures(self._view(request, story))
        if image is None or mask is None:
            raise RequestError(404, "no mask of this picture was kept")
        zoom = max(1.0, _LAYER_PX / image.shape[1])  # outlines as fine as on the screen
        size = round(image.shape[1] * zoom), round(image.shape[0] * zoom)
        layer = tinted(mask, self._plant.thresholds(story.row.recipe_id), size)
        return Response(png(layer), media_type="image/png", headers=_A_WHILE)

    async def _label(self, request: Request) -> Response:
        body = await read_json(request)
        kind = next((kind for kind in _LABELS if kind == body.get("label")), None)
        if kind is None:
            raise RequestError(400, f"label: one of {', '.join(_LABELS)}")
        defect_class = text_of(body, "class", 64)
        if defect_class and (kind != "defect" or defect_class not in self._plant.model.classes):
            raise RequestError(400, "class: only with a defect, and one that the model knows")
        session = self._access.session(request)
        user = session.name if session else ""
        view, now = text_of(body, "view", 64), utc_of(time.monotonic_ns())
        try:
            async with self._access.turn():
                done = self._plant.results.label(
                    request.path_params["part"], view, label=kind, defect_class=defect_class, user=user, utc=now
                )
        except DeviceError as error:
            raise RequestError(503, str(error)) from error
        if not done:
            raise RequestError(404, "there is no such part or view")
        return JSONResponse({"stored": True})

    def _found(self, request: Request) -> PartStory:
        try:
            story = self._plant.results.part(request.path_params["part"])
        except DeviceError as error:
            raise RequestError(503, str(error)) from error
        if story is None:
            raise RequestError(404, "there is no such part (any more)")
        return story

    def _view(self, request: Request, story: PartStory) -> StoredView:
        camera = request.path_params["camera"]
        view = next((view for view in story.views if view.camera == camera), None)
        if view is None:
            raise RequestError(404, "this camera did not see the part")
        return view

    def _pictures(self, view: StoredView) -> tuple[Image | None, Image | None]:
        """Image and mask, from the disk. If they are not archived, from memory while they are still there."""
        if view.picture is not None:
            return _read(view.picture.image), self._stacked(_read(view.picture.mask))
        kept = self._plant.album.get(view.camera, view.frame_id)
        if kept is None or kept.frame.captured_ns != view.captured_ns:
            return None, None
        return kept.image, kept.mask

    def _stacked(self, planes: Image | None) -> Image | None:
        """The mask as classes x height x width. On disk the classes lie below each other.

        None for a mask of another model with another number of classes.
        """
        count = len(self._plant.model.classes)
        if planes is None or planes.ndim != 2 or planes.shape[0] % count:
            return None
        return planes.reshape(count, -1, planes.shape[1])


def _row(row: PartRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "utc": row.utc.isoformat(),
        "part": row.part_seq,
        "decision": int(row.decision),
        "reason": row.reason.label,
        "grade": row.grade,
        "review": row.review,
        "late": row.late,
        "labelled": row.labelled,
        "recipe": f"{row.recipe_id}/{row.recipe_hash}",
        "criteria": row.criteria,
        "model": row.model,
        "latency_ms": row.latency_ns / 1e6,
        "classes": row.classes,
        "picture": row.picture is not None,
    }


def _story(story: PartStory, geometry: Geometry) -> dict[str, Any]:
    def ms(instant_ns: int) -> float:
        return (instant_ns - story.announced_ns) / 1e6

    return _row(story.row) | {
        "boot": f"{story.row.boot_id:08x}",
        "seq": story.row.seq,
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


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size <= _LARGEST_FILE:
            return path.read_bytes()
    except OSError as error:
        raise RequestError(404, "this picture is gone") from error
    raise RequestError(404, "this file is too large to be a picture")


def _read(path: Path | None) -> Image | None:
    if path is None:
        return None
    decoded = cv2.imdecode(np.frombuffer(_bytes(path), np.uint8), cv2.IMREAD_UNCHANGED)
    return None if decoded is None else np.asarray(decoded, np.uint8)


def _instant(text: str | None) -> datetime | None:
    if not text:
        return None
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError("a time without its zone")
    return instant


def _number(text: str | None) -> int | None:
    if not text:
        return None
    number = int(text)
    if not 0 <= number < 1 << 62:
        raise ValueError("a number out of range")
    return number
