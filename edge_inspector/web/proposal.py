"""Limits from good parts on the page: a proposal with its promise, which a person tries, saves and puts in force."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edge_inspector.errors import DeviceError
from edge_inspector.inspection.calibration import Proposal, Regions, bare, propose, regions_of
from edge_inspector.inspection.promise import RejectPromise, interval, promised_by
from edge_inspector.inspection.recipe import Criteria, Recipe
from edge_inspector.inspection.view import Look
from edge_inspector.records import Defect
from edge_inspector.runtime.clock import utc_of
from edge_inspector.station.calibrating import look_of, model_id, pixel_mm2
from edge_inspector.station.edits import with_changes
from edge_inspector.store.judged import BELIEFS, Belief, WantedParts, known_parts
from edge_inspector.store.promises import keep_promise
from edge_inspector.store.rows import PartStory
from edge_inspector.store.users import Role
from edge_inspector.web.access import Access, Endpoint, RequestError, read_json
from edge_inspector.web.plant import Plant
from edge_inspector.web.recipes import changed_recipe, criteria_of, recipe_asked
from edge_inspector.web.stored import pictures_of
from edge_inspector.web.versions import BODY_BYTES
from edge_inspector.web.writes import written

_PARTS: Final = 500


class ProposalPages:
    """/api/recipes/ID/proposal."""

    def __init__(self, plant: Plant, access: Access) -> None:
        self._plant = plant
        self._access = access
        self._one = asyncio.Lock()

    def endpoints(self) -> Sequence[Endpoint]:
        """The URLs of this class."""
        return [Endpoint("POST", "/api/recipes/{recipe:recipe}/proposal", self._propose, Role.ADMIN)]

    async def _propose(self, request: Request) -> Response:
        """Limits for the recipe with these changes. Nothing judges by them before somebody saves and forces them."""
        body = await read_json(request, BODY_BYTES)
        fresh = changed_recipe(self._plant, recipe_asked(self._plant, request), body.get("changes"))
        promise, belief = _promise(body), _belief(body)
        criteria = criteria_of(self._plant, fresh)
        async with self._one:
            try:
                good, bad, unknown = await self._regions(criteria, belief)
            except DeviceError as error:
                raise RequestError(503, str(error)) from error
        told: dict[str, Any] = {"good": len(good), "bad": len(bad), "unknown": unknown, "needed": promise.fewest}
        pixel = pixel_mm2(self._plant.station, criteria, self._plant.model_of(fresh.id))
        found = propose(criteria, good, bad, promise=promise, pixel_mm2=pixel)
        if found is None:
            possible = promised_by(len(good), promise.confidence) if good else None
            return JSONResponse({**told, "limits": None, "possible": possible})
        await self._keep(fresh, body["changes"], found, promise)
        return JSONResponse({**told, **_told(found)})

    async def _regions(self, criteria: Criteria, belief: Belief) -> tuple[list[Regions], list[Regions], int]:
        """The regions of good parts and of bad ones, and of how many parts no masks are kept."""
        model, one_in = self._plant.model_of(criteria.recipe.id), self._plant.station.file.archive.accepted_one_in
        if belief == "all" and not one_in:
            raise RequestError(409, "archive.accepted_one_in is 0: no pictures of accepted parts are kept")
        look, unknown = look_of(self._plant.station, bare(criteria), model), 0
        good: list[Regions] = []
        bad: list[Regions] = []
        wanted = WantedParts(
            criteria.recipe.id,
            model_id(model),
            belief,
            one_in=max(1, one_in),
            limit=_PARTS,
        )
        parts = known_parts(self._plant.results, self._plant.station.state_dir, wanted)
        while True:
            async with self._access.turn():  # others are answered between two parts
                part = next(parts, None)
                if part is None:
                    return good, bad, unknown
                regions = self._of_part(look, criteria, part[1])
            if regions is None:
                unknown += 1
            else:
                (bad if part[0] else good).append(regions)

    def _of_part(self, look: Look, criteria: Criteria, story: PartStory) -> Regions | None:
        """None if a mask is missing."""
        found: list[Defect] = []
        for view in story.views:
            _, mask = pictures_of(self._plant, view, criteria.recipe.id)
            regions = None if mask is None else regions_of(look, view.camera, mask)
            if regions is None:
                return None
            found += regions
        return found if story.views else None

    async def _keep(self, fresh: Recipe, changes: Mapping[str, Any], found: Proposal, promise: RejectPromise) -> None:
        """Keep what these limits promise. It counts if a recipe with exactly these limits judges."""
        classes = {name: limit.model_dump() for name, limit in found.limits.items()}
        recipe = with_changes(fresh, {**changes, "classes": classes})
        state_dir, utc = self._plant.station.state_dir, utc_of(time.monotonic_ns())
        await written(
            self._plant,
            lambda _: keep_promise(
                state_dir,
                recipe.fingerprint,
                false_rejects=promise.false_rejects,
                confidence=promise.confidence,
                parts=found.good,
                utc=utc,
            ),
        )


def _promise(body: Mapping[str, Any]) -> RejectPromise:
    shares = []
    for key in ("false_rejects", "confidence"):
        share = body.get(key)
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0.001 <= share <= 0.999:
            raise RequestError(400, f"{key}: a share from 0.001 to 0.999 is needed")
        shares.append(float(share))
    return RejectPromise(*shares)


def _belief(body: Mapping[str, Any]) -> Belief:
    if body.get("believe") not in BELIEFS:
        raise RequestError(400, f"believe: one of {', '.join(BELIEFS)}")
    return cast("Belief", body["believe"])


def _told(found: Proposal) -> dict[str, Any]:
    return {
        "limits": {name: limit.min_area_mm2 for name, limit in found.limits.items()},
        "factor": found.factor,
        "refused": found.refused,
        "refused_before": found.refused_before,
        "caught": found.caught,
        "caught_before": found.caught_before,
        "recall_95": interval(found.caught, found.bad) if found.bad else None,
    }
