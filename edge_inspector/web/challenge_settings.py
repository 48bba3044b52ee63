"""The challenge settings on the page: the known parts of each recipe, and when they are due. With versions."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edge_inspector.errors import DeviceError
from edge_inspector.inspection.challenge import ChallengePart, agrees
from edge_inspector.station.edits import CHALLENGE, fingerprint_of, with_settings
from edge_inspector.station.tables import ChallengeTable
from edge_inspector.store.challenges import StoredChallenge, read_challenges
from edge_inspector.store.users import Role
from edge_inspector.web.access import Access, Endpoint, RequestError, read_json
from edge_inspector.web.plant import Plant
from edge_inspector.web.versions import BODY_BYTES, Versions

_RUNS = 20  # of a preview


class ChallengeSettings:
    """The URLs below /api/challenge/settings."""

    def __init__(self, plant: Plant, access: Access) -> None:
        self._plant = plant
        self._saved = Versions(plant, access, "challenge")

    def endpoints(self) -> Sequence[Endpoint]:
        """The URLs of this class."""
        return [
            Endpoint("GET", "/api/challenge/settings", self._now, slow=True),
            Endpoint("GET", "/api/challenge/settings/versions", self._versions, slow=True),
            Endpoint("POST", "/api/challenge/settings/preview", self._preview, Role.ADMIN, slow=True),
            Endpoint("POST", "/api/challenge/settings/versions", self._save, Role.ADMIN),
            Endpoint("POST", "/api/challenge/settings/force", self._force, Role.ADMIN),
        ]

    async def _now(self, request: Request) -> Response:
        del request
        station = self._plant.station
        return JSONResponse(
            {
                "settings": station.file.challenge.model_dump(),
                "shifts": station.file.station.shifts,
                **self._saved.state(CHALLENGE, fingerprint_of(station.file.challenge)),
            }
        )

    async def _versions(self, request: Request) -> Response:
        del request
        return self._saved.told(CHALLENGE, self._plant.station.written_challenge.model_dump())

    async def _save(self, request: Request) -> Response:
        return await self._saved.save(request, CHALLENGE, self._hash_of)

    async def _force(self, request: Request) -> Response:
        trust = self._plant.station.file.trust
        if trust.keys and trust.policy == "refuse":
            raise RequestError(409, "this station takes only what is signed: write it into the station file")
        base = fingerprint_of(self._plant.station.written_challenge)
        return await self._saved.force(request, CHALLENGE, base, self._hash_of)

    async def _preview(self, request: Request) -> Response:
        """How the last challenges of this recipe would have ended with these settings."""
        body = await read_json(request, BODY_BYTES)
        recipe_id = body.get("recipe")
        parts = [part for part in self._changed(body.get("changes")).parts if part.recipe == recipe_id]
        try:
            runs = (run for run in read_challenges(self._plant.station.state_dir) if run.recipe_id == recipe_id)
            latest = list(deque(runs, maxlen=_RUNS))
        except DeviceError as error:
            raise RequestError(503, str(error)) from error
        known = [run for run in latest if {part.name for part in parts} <= {seen.name for seen in run.parts}]
        return JSONResponse(
            {
                "runs": len(latest),
                "judged": len(known),
                "passed": sum(run.passed for run in known),
                "would": sum(_would_pass(run, parts) for run in known),
            }
        )

    def _hash_of(self, changes: Any) -> str:
        return fingerprint_of(self._changed(changes))

    def _changed(self, changes: Any) -> ChallengeTable:
        station = self._plant.station
        try:
            return with_settings(station.written_challenge, changes, station.recipes)
        except ValueError as error:
            raise RequestError(400, str(error)) from error


def _would_pass(run: StoredChallenge, parts: Sequence[ChallengePart]) -> bool:
    said = {seen.name: seen for seen in run.parts}
    return all(agrees(part, said[part.name].decision, said[part.name].found) for part in parts)
