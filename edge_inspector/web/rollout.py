"""What comes over the network: a signed package, and orders about it. `edge-inspector rollout` asks for both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edge_inspector.errors import DeviceError
from edge_inspector.records import Change
from edge_inspector.runtime.realtime import go_behind
from edge_inspector.store.users import Role
from edge_inspector.texts import printable
from edge_inspector.watches.rollout_checks import RolloutRefusedError
from edge_inspector.watches.rollout_desk import RolloutDesk, RolloutOrder
from edge_inspector.web.access import Access, Endpoint, RequestError, read_body, read_json
from edge_inspector.web.plant import Plant
from edge_inspector.web.writes import changed, user_of

_BODY_S = 120.0
_Found = TypeVar("_Found")


class RolloutPages:
    """The URLs below /api/rollout. Checks of files run in a thread, so that others need not wait for them."""

    def __init__(self, plant: Plant, access: Access) -> None:
        self._plant = plant
        self._access = access
        self._one = asyncio.Lock()

    def endpoints(self) -> Sequence[Endpoint]:
        """The URLs of this class."""
        return [
            Endpoint("GET", "/api/rollout", self._now),
            Endpoint("POST", "/api/rollout", self._order, Role.ADMIN),
            Endpoint("POST", "/api/rollout/package", self._take, Role.ADMIN),
        ]

    async def _now(self, request: Request) -> Response:
        del request
        return JSONResponse(self._desk().status())

    async def _take(self, request: Request) -> Response:
        """One package at a time: it is in memory until it is checked."""
        desk, table = self._desk(), self._plant.station.file.rollout
        if not table.accept:
            raise RequestError(409, "this station takes nothing over the network. Set rollout.accept and trust.keys")
        if self._one.locked():
            raise RequestError(503, "another package is being sent: try again")
        async with self._one:
            content = await read_body(request, table.package_mb << 20, _BODY_S)
            arrived = await _in_thread(partial(desk.take, content))
        user = user_of(self._access, request)
        changed(self._plant, user, "rollout package", subject=arrived.name, after=arrived.digest)
        return JSONResponse({"digest": arrived.digest, "name": arrived.name})

    async def _order(self, request: Request) -> Response:
        body = await read_json(request)
        try:
            order = RolloutOrder.model_validate(body, strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            raise RequestError(400, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
        order = order.model_copy(update={"why": printable(order.why).strip()})
        user, desk = user_of(self._access, request), self._desk()
        change: Change | None = await _in_thread(partial(desk.order, order, user))
        if change is not None:
            changed(
                self._plant,
                user,
                change.what,
                subject=change.subject,
                before=change.before,
                after=change.after,
                why=change.why,
            )
        return JSONResponse(desk.status())

    def _desk(self) -> RolloutDesk:
        if self._plant.rollout is None:
            raise RequestError(409, "this station has no roll-outs")
        return self._plant.rollout


async def _in_thread(do: Callable[[], _Found]) -> _Found:
    """Do it in a thread that comes behind those of the line: it hashes files, and reads the whole station anew."""
    try:
        with ThreadPoolExecutor(1, "rollout-page", go_behind) as pool:
            return await asyncio.get_running_loop().run_in_executor(pool, do)
    except RolloutRefusedError as error:
        raise RequestError(409, str(error)) from error
    except DeviceError as error:
        raise RequestError(503, str(error)) from error
