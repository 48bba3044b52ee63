"""Long-term checks for the page: drift, the second model's opinions, and the picture guard."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edge_inspector import metrics
from edge_inspector.errors import DeviceError
from edge_inspector.runtime.clock import iso
from edge_inspector.store.users import Role
from edge_inspector.watches.drift import DriftState
from edge_inspector.web.access import Access, Endpoint
from edge_inspector.web.plant import Plant
from edge_inspector.web.writes import changed, user_of

log = logging.getLogger(__name__)

_SHOWN = 6
OPINIONS = ("agrees", "rejects", "accepts")


class Watch:
    """/api/drift, /api/shadow and /api/guard. Null if there is no reference, or no second model."""

    def __init__(self, plant: Plant, access: Access) -> None:
        self._plant = plant
        self._access = access

    def endpoints(self) -> Sequence[Endpoint]:
        """The URLs of this class."""
        return [
            Endpoint("GET", "/api/drift", self._drift),
            Endpoint("GET", "/api/shadow", self._shadow, slow=True),
            Endpoint("GET", "/api/guard", self._guard),
            Endpoint("POST", "/api/guard", self._teach, role=Role.ADMIN),
        ]

    async def _guard(self, request: Request) -> Response:
        del request
        found = self._plant.guards.teaching(self._plant.status().recipe_id)
        return JSONResponse(asdict(found))

    async def _teach(self, request: Request) -> Response:
        """Teach the guard with the parts that run now. The user confirms by this that they are good."""
        recipe_id = self._plant.status().recipe_id
        user = user_of(self._access, request)
        log.info("picture guard of recipe %d: teaching was started by %s", recipe_id, user)
        changed(self._plant, user, "picture guard", subject=f"recipe {recipe_id}", after="learns from passing parts")
        self._plant.guards.teach(recipe_id)
        return await self._guard(request)

    async def _drift(self, request: Request) -> Response:
        del request
        state = self._plant.drift()
        return JSONResponse(None if state is None else _told(state))

    async def _shadow(self, request: Request) -> Response:
        del request
        shadow = self._plant.station.shadow
        if shadow is None:
            return JSONResponse(None)
        views = {opinion: _count(metrics.shadow_views, opinion=opinion) for opinion in OPINIONS}
        inferred = _count(metrics.frames_completed) - _count(metrics.frames_evicted)
        return JSONResponse(
            {
                "model": shadow.segmenter.info.label,
                "views": views,
                "share": min(1.0, sum(views.values()) / inferred) if inferred > 0 else None,
                "objections": self._objections(),
            }
        )

    def _objections(self) -> list[dict[str, Any]]:
        try:
            found = self._plant.results.objections(_SHOWN)
        except DeviceError:
            return []
        return [
            {"utc": iso(each.utc), "camera": each.camera, "opinion": each.opinion, "part": each.part_id}
            for each in found
        ]


def _told(state: DriftState) -> dict[str, Any]:
    return {
        "parts": state.reference_parts,
        "since": iso(state.since_utc),
        "until": iso(state.until_utc),
        "limit": state.limit,
        "indices": [
            {"subject": subject, "quantity": quantity, "index": index}
            for (subject, quantity), index in sorted(state.indices.items(), key=lambda each: -each[1])
        ],
        "chart": [{"rate": point.rate, "low": point.low, "high": point.high} for point in state.chart],
    }


def _count(counter: Any, **labels: str) -> float:
    """The sum of a counter's series that have these labels."""
    return sum(
        float(sample.value)
        for family in counter.collect()
        for sample in family.samples
        if sample.name.endswith("_total") and labels.items() <= sample.labels.items()
    )
