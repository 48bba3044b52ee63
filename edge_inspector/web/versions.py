"""Versions of what is edited on the page: told, saved with a reason, and chosen for the next start."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edge_inspector.errors import DeviceError
from edge_inspector.runtime.clock import iso, utc_of
from edge_inspector.station.edits import name_of, put_in_force, waiting_version
from edge_inspector.store.logbook import RecipeVersion
from edge_inspector.texts import printable
from edge_inspector.web.access import Access, RequestError, read_json, text_of
from edge_inspector.web.plant import Plant
from edge_inspector.web.writes import changed, user_of, written

BODY_BYTES = 64 * 1024
_VERSIONS = 50
_LONGEST_COMMENT = 300


class Versions:
    """The versions of recipes, by their ids, and those of the challenge settings, by `edits.CHALLENGE`."""

    def __init__(self, plant: Plant, access: Access, what: str) -> None:
        self._plant = plant
        self._access = access
        self._what = what

    def state(self, number: int, in_force: str) -> dict[str, Any]:
        """Which version judges, which is the newest, and which the next start takes. `in_force` is a fingerprint."""
        newest = self._newest(number)
        return {
            "version": next((each.version for each in newest if each.hash == in_force), 0),
            "newest": newest[0].version if newest else 0,
            "next_start": waiting_version(self._plant.station.state_dir, number),
        }

    def told(self, number: int, file: Mapping[str, Any]) -> Response:
        """The newest versions, and what the `file` says: the first version is compared with it."""
        return JSONResponse(
            {
                "file": file,
                "versions": [
                    {
                        "version": each.version,
                        "utc": iso(each.utc),
                        "user": each.user,
                        "comment": each.comment,
                        "hash": each.hash,
                        "changes": json.loads(each.changes),
                    }
                    for each in self._newest(number)
                ],
            }
        )

    async def save(self, request: Request, number: int, hash_of: Callable[[Any], str]) -> Response:
        """Save a version. `version` is the newest one that the sender knows: nobody overwrites another's work.

        `hash_of(changes)` is the fingerprint of the result, or raises RequestError.
        """
        body = await read_json(request, BODY_BYTES)
        before = body.get("version")
        if type(before) is not int or not 0 <= before < 1 << 31:
            raise RequestError(400, "version: the number of the newest version that you have seen")
        comment = printable(text_of(body, "comment", _LONGEST_COMMENT)).strip()
        if not comment:
            raise RequestError(400, "comment: say why")
        version = RecipeVersion(
            recipe_id=number,
            version=before + 1,
            utc=utc_of(time.monotonic_ns()),
            user=user_of(self._access, request),
            comment=comment,
            hash=hash_of(body.get("changes")),
            changes=json.dumps(body.get("changes")),
        )
        newest = self._newest(number)
        expected = newest[0].version if newest else 0
        if before != expected or not await written(self._plant, lambda file: file.save_version(version)):
            raise RequestError(409, "somebody else has saved a version meanwhile: load the page again and compare")
        what, subject = f"{self._what} version", name_of(number)
        after = f"{version.version} ({version.hash})"  # so that nobody can edit the version unseen
        changed(self._plant, version.user, what, subject=subject, before=str(before), after=after, why=comment)
        return JSONResponse({"version": version.version})

    async def force(self, request: Request, number: int, base: str, hash_of: Callable[[Any], str]) -> Response:
        """From the next start on, this version counts, or with 0 the file. `base` is the fingerprint of the file."""
        asked = (await read_json(request)).get("version")
        found = next((each for each in self._newest(number) if each.version == asked), None)
        if found is None and asked != 0:
            raise RequestError(404, "there is no such version")
        changes = json.loads(found.changes) if found else None
        if changes is not None:
            hash_of(changes)
        state_dir = self._plant.station.state_dir
        version, before = found.version if found else 0, waiting_version(state_dir, number)
        await written(self._plant, lambda _: put_in_force(state_dir, number, base, version=version, changes=changes))
        user = user_of(self._access, request)
        changed(
            self._plant,
            user,
            f"{self._what} in force",
            subject=name_of(number),
            before=str(before),
            after=str(version),
            why=found.comment if found else "",
        )
        return JSONResponse({"next_start": version})

    def _newest(self, number: int) -> list[RecipeVersion]:
        try:
            return self._plant.logbook.versions(number, _VERSIONS)
        except DeviceError as error:
            raise RequestError(503, str(error)) from error
