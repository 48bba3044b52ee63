"""Recipes on the page: limits and regions, what a change would have done, and versions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from starlette.convertors import IntegerConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edge_inspector.codes import Decision
from edge_inspector.errors import DeviceError
from edge_inspector.inspection.areas import beyond
from edge_inspector.inspection.decision import beyond_limits
from edge_inspector.inspection.recipe import Criteria, Recipe
from edge_inspector.records import Defect, Frame
from edge_inspector.station.calibrating import look_of
from edge_inspector.station.edits import with_changes
from edge_inspector.station.load import suggested_limits
from edge_inspector.store.promises import kept_promise
from edge_inspector.store.rows import PartStory
from edge_inspector.store.users import Role
from edge_inspector.web.access import Access, Endpoint, RequestError, read_json
from edge_inspector.web.plant import Plant
from edge_inspector.web.stored import pictures_of
from edge_inspector.web.versions import BODY_BYTES, Versions
from edge_inspector.web.why import limits_told

_PARTS = 200
_TOLD = 24  # parts of a preview that are named


class RecipeNumber(IntegerConvertor):
    """The id of a recipe in an address."""

    regex = "[0-9]{1,5}"


register_url_convertor("recipe", RecipeNumber())


class RecipePages:
    """The URLs below /api/recipes."""

    def __init__(self, plant: Plant, access: Access) -> None:
        self._plant = plant
        self._access = access
        self._saved = Versions(plant, access, "recipe")
        self._previews = asyncio.Lock()

    def endpoints(self) -> Sequence[Endpoint]:
        """The URLs of this class."""
        return [
            Endpoint("GET", "/api/recipes", self._list, slow=True),
            Endpoint("GET", "/api/recipes/{recipe:recipe}/versions", self._versions, slow=True),
            Endpoint("POST", "/api/recipes/{recipe:recipe}/preview", self._preview, Role.ADMIN),
            Endpoint("POST", "/api/recipes/{recipe:recipe}/versions", self._save, Role.ADMIN),
            Endpoint("POST", "/api/recipes/{recipe:recipe}/force", self._force, Role.ADMIN),
        ]

    async def _list(self, request: Request) -> Response:
        del request
        in_force = self._plant.status().recipe_id
        return JSONResponse(
            {
                "in_force": in_force,
                "views": {camera.name: self._plant.view_mm(camera.name) for camera in self._plant.station.file.views},
                "recipes": [self._told(recipe_id) for recipe_id in self._plant.station.recipes],
            }
        )

    def _told(self, recipe_id: int) -> dict[str, Any]:
        criteria = self._plant.station.recipes[recipe_id]
        recipe = criteria.recipe
        promise = kept_promise(self._plant.station.state_dir, recipe.fingerprint)
        return {
            "id": recipe.id,
            "name": recipe.name,
            "hash": recipe.fingerprint,
            "views": recipe.views,
            "on_not_inspected": recipe.on_not_inspected,
            "limits": limits_told(criteria.limits),
            "regions": {name: [area.model_dump() for area in recipe.areas(name)] for name in recipe.regions},
            "review_band": recipe.review_band,
            "promise": promise and asdict(promise),
            **self._saved.state(recipe.id, recipe.fingerprint),
        }

    async def _versions(self, request: Request) -> Response:
        number = recipe_asked(self._plant, request).id
        file = self._plant.station.written[number]
        limits = suggested_limits(self._plant.station.file, self._plant.model_of(number)) | file.classes
        said = file.model_dump(include={"regions", "review_band"})
        return self._saved.told(number, said | {"classes": {name: each.model_dump() for name, each in limits.items()}})

    async def _save(self, request: Request) -> Response:
        recipe = recipe_asked(self._plant, request)
        return await self._saved.save(
            request, recipe.id, lambda changes: changed_recipe(self._plant, recipe, changes).fingerprint
        )

    async def _force(self, request: Request) -> Response:
        base = self._plant.station.written[recipe_asked(self._plant, request).id]
        return await self._saved.force(
            request, base.id, base.fingerprint, lambda changes: changed_recipe(self._plant, base, changes).fingerprint
        )

    async def _preview(self, request: Request) -> Response:
        """What these limits would have decided on the last parts of which there are masks."""
        recipe, body = recipe_asked(self._plant, request), await read_json(request, BODY_BYTES)
        fresh = changed_recipe(self._plant, recipe, body.get("changes"))
        criteria = criteria_of(self._plant, fresh)
        async with self._previews:
            try:
                rows = self._plant.results.parts(recipe=recipe.id, limit=_PARTS)
                judged = 0
                more: list[dict[str, int]] = []
                fewer: list[dict[str, int]] = []
                for row in rows:
                    async with self._access.turn():  # others are answered between two parts
                        story = self._plant.results.part(row.id)
                        would = None if story is None else self._would_reject(story, criteria)
                    if would is None or row.decision is Decision.NOT_INSPECTED:
                        continue
                    judged += 1
                    if would != (row.decision is Decision.REJECT):
                        (more if would else fewer).append({"id": row.id, "part": row.part_seq})
            except DeviceError as error:
                raise RequestError(503, str(error)) from error
        return JSONResponse(
            {
                "parts": len(rows),
                "judged": judged,
                "more": len(more),
                "fewer": len(fewer),
                "more_parts": more[:_TOLD],
                "fewer_parts": fewer[:_TOLD],
            }
        )

    def _would_reject(self, story: PartStory, criteria: Criteria) -> bool | None:
        """None if a mask is missing, because then nobody can know."""
        look = look_of(self._plant.station, criteria, self._plant.model_of(criteria.recipe.id))
        defects: list[Defect] = []
        for view in story.views:
            image, mask = pictures_of(self._plant, view, criteria.recipe.id)
            if image is None or mask is None:
                return None
            frame = Frame(
                view.camera,
                view.frame_id,
                view.captured_ns,
                exposure_ns=view.exposure_ns,
                received_ns=view.received_ns,
                image=image,
            )
            defects += look(frame, mask, begun_ns=0, inference_ns=0).defects
        return beyond_limits(defects, criteria.limits) if story.views else None


def recipe_asked(plant: Plant, request: Request) -> Recipe:
    """The recipe in the address. Raises RequestError."""
    criteria = plant.station.recipes.get(request.path_params["recipe"])
    if criteria is None:
        raise RequestError(404, "there is no such recipe")
    return criteria.recipe


def changed_recipe(plant: Plant, recipe: Recipe, changes: Any) -> Recipe:
    """The recipe with the changes that were sent. Raises RequestError."""
    try:
        fresh = with_changes(recipe, changes)
    except ValueError as error:
        raise RequestError(400, str(error)) from error
    if unknown := fresh.classes.keys() - set(plant.model_of(recipe.id).classes):
        raise RequestError(400, f"classes: the model does not know {', '.join(sorted(unknown))}")
    for camera in fresh.regions:
        size = plant.view_mm(camera)
        if size and (why := beyond(size, fresh.areas(camera), (1.0, 1.0))):
            raise RequestError(400, f"regions: that of {camera} {why}, and its picture before that")
    return fresh


def criteria_of(plant: Plant, fresh: Recipe) -> Criteria:
    """A changed recipe with the limits of every class."""
    return Criteria(fresh, {**plant.station.recipes[fresh.id].limits, **fresh.classes})
