"""The switch for recording shifts, and what the records take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edge_inspector.errors import DeviceError
from edge_inspector.store.users import Role
from edge_inspector.web.access import Access, Endpoint, RequestError, read_json
from edge_inspector.web.plant import Plant
from edge_inspector.web.writes import changed, user_of, written


class RecordPages:
    """The URL /api/record."""

    def __init__(self, plant: Plant, access: Access) -> None:
        self._plant = plant
        self._access = access

    def endpoints(self) -> Sequence[Endpoint]:
        """The URLs of this class."""
        return [
            Endpoint("GET", "/api/record", self._now, slow=True),
            Endpoint("POST", "/api/record", self._turn, Role.ADMIN),
        ]

    async def _now(self, request: Request) -> Response:
        del request
        try:
            return JSONResponse(asdict(self._plant.recorder.look()))
        except DeviceError as error:
            raise RequestError(503, str(error)) from error

    async def _turn(self, request: Request) -> Response:
        on = (await read_json(request)).get("on")
        if not isinstance(on, bool):
            raise RequestError(400, "on: true or false")
        if on and not self._plant.station.file.record.budget_mb:
            raise RequestError(409, "the station file gives records no room: set record.budget_mb")
        user, before = user_of(self._access, request), self._plant.recorder.wanted
        turn = partial(self._plant.recorder.turn, user, on=on)
        await written(self._plant, lambda _: turn())
        words = {True: "on", False: "off"}
        changed(self._plant, user, "record", before=words[before], after=words[on])
        return JSONResponse({"next_start": on})
