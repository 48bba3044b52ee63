"""The judged parts, their pictures, and people's reviews of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from starlette.convertors import IntegerConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edge_inspector.codes import Decision, Reason
from edge_inspector.errors import DeviceError
from edge_inspector.records import Image
from edge_inspector.runtime.clock import iso, utc_of
from edge_inspector.store.logbook import LogbookWriter
from edge_inspector.store.rows import LabelKind, PartRow, PartStory, StoredView
from edge_inspector.store.users import Role
from edge_inspector.web.access import Access, Endpoint, RequestError, read_json, text_of
from edge_inspector.web.asked import instant, number
from edge_inspector.web.events import table
from edge_inspector.web.part_told import row_told, story_told
from edge_inspector.web.pictures import jpeg, overlaid, png, tinted
from edge_inspector.web.plant import Plant
from edge_inspector.web.stored import bytes_of, pictures_of
from edge_inspector.web.why import limits_told, why
from edge_inspector.web.writes import changed, user_of, written

_PAGE = 60
_EXPORTED = 10_000
_COLUMNS = ("decided", "part", "decision", "reason", "grade", "defects", "reviewed", "model", "recipe", "product")
_QUEUE = 50
_THUMB_PX = 192
_LARGE_PX = 640
_LONGEST_CLASS = 400  # a model may call its classes anything
_LAYER_PX = 1024
_LABELS: tuple[LabelKind, ...] = ("good", "defect", "unsure")
_A_WHILE = {"Cache-Control": "private, max-age=300"}


class PartNumber(IntegerConvertor):
    """The number of a part in an address, as in the results. A longer number matches no URL."""

    regex = "[0-9]{1,18}"


register_url_convertor("part", PartNumber())


class PartPages:
    """The URLs below /api/parts and /api/review."""

    def __init__(self, plant: Plant, access: Access) -> None:
        self._plant = plant
        self._access = access
        # A browser must not show pictures from its cache after a logout.
        self._kept_for = {"Cache-Control": "no-store"} if access.readers_log_in else _A_WHILE

    def endpoints(self) -> Sequence[Endpoint]:
        """The URLs of this class."""
        return [
            Endpoint("GET", "/api/parts", self._list, slow=True),
            Endpoint("GET", "/api/parts.csv", self._export, slow=True),
            Endpoint("GET", "/api/review", self._queue, slow=True),
            Endpoint("GET", "/api/example", self._example, slow=True),
            Endpoint("GET", "/api/parts/{part:part}", self._story, slow=True),
            Endpoint("GET", "/api/parts/{part:part}/thumb", self._thumb, slow=True),
            Endpoint("GET", "/api/parts/{part:part}/{camera:str}/image", self._image, slow=True),
            Endpoint("GET", "/api/parts/{part:part}/{camera:str}/mask", self._mask, slow=True),
            Endpoint("POST", "/api/parts/{part:part}/label", self._label, Role.REVIEWER),
        ]

    async def _list(self, request: Request) -> Response:
        rows = self._asked_for(request, _PAGE)
        return JSONResponse({"parts": [row_told(row) for row in rows], "more": len(rows) == _PAGE})

    async def _export(self, request: Request) -> Response:
        """The newest parts that the filter finds, for a spreadsheet."""
        recipes = self._plant.station.recipes
        names = {recipe_id: criteria.recipe.name for recipe_id, criteria in recipes.items()}
        rows = self._asked_for(request, _EXPORTED)
        return table(_COLUMNS, ((*_cells(row), names.get(row.recipe_id, "")) for row in rows), "parts")

    def _asked_for(self, request: Request, limit: int) -> list[PartRow]:
        asked = request.query_params
        try:
            return self._plant.results.parts(
                since_utc=instant(asked.get("since")),
                until_utc=instant(asked.get("until")),
                decision=Decision[asked["decision"].upper()] if asked.get("decision") else None,
                defect_class=asked.get("class") or None,
                part_seq=number(asked.get("part")),
                recipe=number(asked.get("recipe")),
                camera=asked.get("camera") or None,
                reason=Reason[asked["reason"].upper()] if asked.get("reason") else None,
                labelled={"yes": True, "no": False}.get(asked.get("labelled", "")),
                before_id=number(asked.get("before")),
                limit=limit,
            )
        except (KeyError, ValueError) as error:
            raise RequestError(400, f"not a filter: {error}") from error
        except DeviceError as error:
            raise RequestError(503, str(error)) from error

    async def _queue(self, request: Request) -> Response:
        del request
        try:
            rows = self._plant.results.to_review(_QUEUE)
        except DeviceError as error:
            raise RequestError(503, str(error)) from error
        return JSONResponse({"parts": [row_told(row) for row in rows]})

    async def _example(self, request: Request) -> Response:
        """A good part of the same product, to look at beside another one."""
        asked = request.query_params
        try:
            part = self._plant.results.good_example(number(asked.get("recipe")) or 0, asked.get("camera", ""))
        except ValueError as error:
            raise RequestError(400, f"recipe: {error}") from error
        except DeviceError as error:
            raise RequestError(503, str(error)) from error
        return JSONResponse({"part": part})

    async def _story(self, request: Request) -> Response:
        story = self._found(request)
        try:
            before, after = self._plant.results.neighbours(story.row.id)
        except DeviceError as error:
            raise RequestError(503, str(error)) from error
        told = story_told(story, self._plant.geometry) | {"before": before, "after": after}
        return JSONResponse(told | self._limits_of(story))

    def _limits_of(self, story: PartStory) -> dict[str, Any]:
        """The limits that the part was judged by, and which of them it broke. Nothing if they have changed since."""
        criteria = self._plant.station.recipes.get(story.row.recipe_id)
        if criteria is None or self._plant.station.basis().fingerprint(story.row.recipe_id) != story.row.criteria:
            return {"limits": None, "why": [], "product": criteria and criteria.recipe.name}
        return {
            "limits": limits_told(criteria.limits),
            "why": why(story.defects, criteria.limits) if story.row.decision is Decision.REJECT else [],
            "product": criteria.recipe.name,
        }

    async def _thumb(self, request: Request) -> Response:
        story = self._found(request)
        worst = story.defects[0].camera if story.defects else ""
        for view in sorted(story.views, key=lambda view: view.camera != worst):
            image, mask = self._pictures(story, view)
            if image is not None:
                width = _LARGE_PX if request.query_params.get("large") == "1" else _THUMB_PX
                shown = overlaid(image, mask, self._plant.thresholds(story.row.recipe_id), width)
                return Response(jpeg(shown), media_type="image/jpeg", headers=self._kept_for)
        raise RequestError(404, "no picture of this part was kept")

    async def _image(self, request: Request) -> Response:
        story = self._found(request)
        view = self._view(request, story)
        if view.picture is not None:
            kind = "image/png" if view.picture.image.suffix == ".png" else "image/jpeg"
            return Response(bytes_of(view.picture.image), media_type=kind, headers=self._kept_for)
        image, _ = self._pictures(story, view)
        if image is None:
            raise RequestError(404, "this picture was not kept")
        return Response(png(image), media_type="image/png", headers=self._kept_for)

    async def _mask(self, request: Request) -> Response:
        story = self._found(request)
        image, mask = self._pictures(story, self._view(request, story))
        if image is None or mask is None:
            raise RequestError(404, "no mask of this picture was kept")
        zoom = max(1.0, _LAYER_PX / image.shape[1])  # outlines as fine as on the screen
        size = round(image.shape[1] * zoom), round(image.shape[0] * zoom)
        layer = tinted(mask, self._plant.thresholds(story.row.recipe_id), size)
        return Response(png(layer), media_type="image/png", headers=self._kept_for)

    async def _label(self, request: Request) -> Response:
        body = await read_json(request)
        kind = next((kind for kind in _LABELS if kind == body.get("label")), None)
        if kind is None:
            raise RequestError(400, f"label: one of {', '.join(_LABELS)}")
        defect_class = text_of(body, "class", _LONGEST_CLASS)
        if defect_class and (kind != "defect" or defect_class not in self._plant.classes):
            raise RequestError(400, "class: only with a defect, and one that the model knows")
        part, view = request.path_params["part"], text_of(body, "view", 64)
        user, now = user_of(self._access, request), utc_of(time.monotonic_ns())

        def do(_: LogbookWriter) -> str | None:
            before, results = self._plant.results.label_of(part, view), self._plant.results
            known = results.label(part, view, label=kind, defect_class=defect_class, user=user, utc=now)
            return before if known else None

        before = await written(self._plant, do)
        if before is None:
            raise RequestError(404, "there is no such part or view")
        subject = f"part {part} {view}".strip()
        changed(self._plant, user, "label", subject=subject, before=str(before), after=defect_class or kind)
        return JSONResponse({"stored": True})

    def _pictures(self, story: PartStory, view: StoredView) -> tuple[Image | None, Image | None]:
        """Image and mask of a view. The mask has a plane for each class of the station."""
        recipe_id = story.row.recipe_id
        image, mask = pictures_of(self._plant, view, recipe_id)
        return image, self._plant.in_order(mask, recipe_id)

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


def _cells(row: PartRow) -> Sequence[object]:
    """What a spreadsheet gets of one part, up to its recipe."""
    judged = (row.decision.name.lower(), row.reason.label, row.grade, " ".join(row.classes))
    return (iso(row.utc), row.part_seq, *judged, "yes" if row.labelled else "no", row.model, row.recipe_id)
