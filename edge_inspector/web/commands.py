"""Commands to the station: recipe and reset by an operator, enable and disable by an admin. And the call for a part."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edge_inspector.codes import CommandName
from edge_inspector.records import Command, CommandResult, Verdict
from edge_inspector.store.users import Role
from edge_inspector.texts import printable
from edge_inspector.web.access import Access, Endpoint, RequestError, read_json, text_of
from edge_inspector.web.answer import answer_of
from edge_inspector.web.plant import Plant

log = logging.getLogger(__name__)

_ONLY_ADMIN = (CommandName.ENABLE, CommandName.DISABLE)
_ANSWER_S = 8.0  # a change of recipe waits up to five seconds for the PLC's answer
_LOOK_S = 0.02
_LONGEST_WHY = 300


class Commands:
    """The URLs /api/command and /api/inspect. The log shows who gave a command."""

    def __init__(self, plant: Plant, access: Access) -> None:
        self._plant = plant
        self._access = access

    def endpoints(self) -> Sequence[Endpoint]:
        """The URLs of this class."""
        return [
            Endpoint("POST", "/api/command", self._command, Role.OPERATOR),
            Endpoint("POST", "/api/inspect", self._inspect, Role.REVIEWER),
        ]

    async def _inspect(self, request: Request) -> Response:
        """Call the camera for one part, and answer with its verdict. For stations whose parts are called."""
        body = await read_json(request)
        named = body.get("part_id", "")
        if not isinstance(named, str) or len(named) > 64:
            raise RequestError(400, "part_id: a text of at most 64 characters")
        part_id = named or secrets.token_hex(8)
        session = self._access.session(request)
        result = await self._done(session.name if session else "", CommandName.INSPECT, 0, part_id)
        if result.error:
            raise RequestError(409, result.error)
        return JSONResponse(_shown(await self._verdict(part_id)))

    async def _verdict(self, part_id: str) -> Verdict:
        """The verdict on the part that was just called."""
        for _ in range(int(_ANSWER_S / _LOOK_S)):
            for verdict in reversed(self._plant.scene().verdicts):
                if verdict.part.part_id == part_id:
                    return verdict
            await asyncio.sleep(_LOOK_S)
        raise RequestError(504, "no verdict came in time")

    async def _command(self, request: Request) -> Response:
        body = await read_json(request)
        try:
            name = CommandName(text_of(body, "name"))
        except ValueError as error:
            raise RequestError(400, f"name: one of {', '.join(CommandName)}") from error
        session = self._access.session(request)
        if name in _ONLY_ADMIN and (session is None or session.role < Role.ADMIN):
            raise RequestError(403, f"only for the role {Role.ADMIN.label}")
        recipe_id = body.get("recipe", 0)
        if not isinstance(recipe_id, int) or not 0 <= recipe_id <= 65535:
            raise RequestError(400, "recipe: a number")
        user = session.name if session else ""
        roll = (
            text_of(body, "roll") if name is CommandName.NEW_ROLL else ""
        )  # its name is the command's id, as over MQTT
        why = printable(text_of({"why": "", **body}, "why", _LONGEST_WHY)).strip()
        result = await self._done(user, name, recipe_id, roll, why=why)
        log.info("%s %s by %s: %s", name, recipe_id or "", user, result.error or "done")
        if result.error:
            raise RequestError(409, result.error)
        return JSONResponse({"recipe": result.recipe_id})

    async def _done(
        self, user: str, name: CommandName, recipe_id: int, command_id: str = "", *, why: str = ""
    ) -> CommandResult:
        def ask(reply: Callable[[CommandResult], None]) -> None:
            self._plant.submit(
                Command(
                    source=f"page:{user}",
                    id=command_id or secrets.token_hex(8),
                    name=name,
                    reply=reply,
                    recipe_id=recipe_id,
                    why=why,
                )
            )

        try:
            return await answer_of(ask, _ANSWER_S)
        except TimeoutError as error:
            raise RequestError(504, "the station did not answer") from error


def _shown(verdict: Verdict) -> dict[str, Any]:
    return {
        "part_id": verdict.part.part_id,
        "part_seq": verdict.part.part_seq,
        "decision": verdict.decision.name,
        "reason": verdict.reason.label,
        "rejects": verdict.rejects,
        "defects": [
            {"class": each.defect_class, "area_mm2": each.area_mm2, "confidence": each.confidence}
            for each in verdict.defects
        ],
    }
