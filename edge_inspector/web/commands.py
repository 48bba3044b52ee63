"""The commands of an admin to the station: recipe, enable, disable, reset."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edge_inspector.records import Command, CommandName, CommandResult
from edge_inspector.store.users import Role
from edge_inspector.web.access import Access, Entry, RequestError, read_json, text_of
from edge_inspector.web.plant import Plant

log = logging.getLogger(__name__)

_ANSWER_S = 8.0  # a change of recipe waits up to five seconds for the PLC's answer


class Commands:
    """The URL /api/command. The log shows who gave a command."""

    def __init__(self, plant: Plant, access: Access) -> None:
        self._plant = plant
        self._access = access

    def entries(self) -> Sequence[Entry]:
        """The URLs of this class."""
        return [Entry("POST", "/api/command", self._command, Role.ADMIN)]

    async def _command(self, request: Request) -> Response:
        body = await read_json(request)
        try:
            name = CommandName(text_of(body, "name"))
        except ValueError as error:
            raise RequestError(400, f"name: one of {', '.join(CommandName)}") from error
        recipe_id = body.get("recipe", 0)
        if not isinstance(recipe_id, int) or not 0 <= recipe_id <= 65535:
            raise RequestError(400, "recipe: a number")
        session = self._access.session(request)
        user = session.name if session else ""
        result = await self._done(user, name, recipe_id)
        log.info("%s %s by %s: %s", name, recipe_id or "", user, result.error or "done")
        if result.error:
            raise RequestError(409, result.error)
        return JSONResponse({"recipe": result.recipe_id})

    async def _done(self, user: str, name: CommandName, recipe_id: int) -> CommandResult:
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[CommandResult] = loop.create_future()

        def answer(result: CommandResult) -> None:
            if not answered.done():
                answered.set_result(result)

        def reply(result: CommandResult) -> None:
            with contextlib.suppress(RuntimeError):  # the page's loop may have ended meanwhile
                loop.call_soon_threadsafe(answer, result)

        self._plant.submit(
            Command(source=f"page:{user}", id=secrets.token_hex(8), name=name, reply=reply, recipe_id=recipe_id)
        )
        try:
            return await asyncio.wait_for(answered, _ANSWER_S)
        except TimeoutError as error:
            raise RequestError(504, "the station did not answer") from error
