"""Challenges on the page: the parts, whether one is due, how one goes, and those of before."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edge_inspector.errors import DeviceError
from edge_inspector.records import ChallengeSeen
from edge_inspector.runtime.clock import iso
from edge_inspector.store.challenges import StoredChallenge, read_challenges
from edge_inspector.web.access import Access, Endpoint, RequestError
from edge_inspector.web.events import table
from edge_inspector.web.plant import Plant

_SHOWN = 20


class ChallengePages:
    """The URLs below /api/challenge. A challenge is begun by the command `challenge`."""

    def __init__(self, plant: Plant, access: Access) -> None:
        self._plant = plant
        self._access = access

    def endpoints(self) -> Sequence[Endpoint]:
        """The URLs of this class."""
        return [
            Endpoint("GET", "/api/challenge", self._now),
            Endpoint("GET", "/api/challenges", self._before, slow=True),
            Endpoint("GET", "/api/challenges.csv", self._export, slow=True),
        ]

    async def _now(self, request: Request) -> Response:
        del request
        plant, recipe = self._plant, self._plant.recipe
        settings, running, due = plant.station.file.challenge, plant.challenges.running(), plant.challenges.now
        last = plant.challenges.last(recipe.id)
        parts = [part for part in settings.parts if part.recipe == recipe.id]
        return JSONResponse(
            {
                "recipe": {"id": recipe.id, "name": recipe.name},
                "parts": [{"name": part.name, "expect": part.expect, "finds": part.finds} for part in parts],
                "blocks": settings.on_failure == "block",
                "timeout_s": settings.timeout_s,
                "due": None if due is None else due.why,
                "running": None if running is None else [_seen(each) for each in running.seen],
                "last": None if last is None else _told(last),
            }
        )

    async def _before(self, request: Request) -> Response:
        del request
        return JSONResponse({"challenges": [_told(each) for each in reversed(deque(self._all(), maxlen=_SHOWN))]})

    async def _export(self, request: Request) -> Response:
        del request
        rows = (
            (iso(run.utc), run.who, run.recipe_id, run.criteria, "passed" if run.passed else "failed", run.why, *part)
            for run in self._all()
            for part in _rows(run)
        )
        return table((*_COLUMNS, *_PART_COLUMNS), rows, "challenges")

    def _all(self) -> list[StoredChallenge]:
        try:
            return list(read_challenges(self._plant.station.state_dir))
        except DeviceError as error:
            raise RequestError(503, str(error)) from error


_COLUMNS = ("utc", "who", "recipe", "criteria", "result", "why")
_PART_COLUMNS = ("part", "expected", "decision", "reason", "found", "right", "part_seq")


def _rows(run: StoredChallenge) -> Iterator[Sequence[object]]:
    if not run.parts:
        yield ("",) * len(_PART_COLUMNS)
    for each in run.parts:
        found = " ".join(each.found)
        yield (each.name, each.expect, each.decision, each.reason, found, each.right, each.part_seq)


def _told(run: StoredChallenge) -> dict[str, Any]:
    return {
        "utc": iso(run.utc),
        "who": run.who,
        "recipe": run.recipe_id,
        "passed": run.passed,
        "why": run.why,
        "expected": run.expected,
        "parts": [_seen(each) for each in run.parts],
    }


def _seen(part: ChallengeSeen) -> dict[str, Any]:
    return {
        "name": part.name,
        "expect": part.expect,
        "decision": part.decision.lower(),
        "found": list(part.found),
        "right": part.right,
        "part": part.part_seq,
    }
