"""The rolls of a web: which there are, their tables and their maps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edge_inspector.store.rolls import roll_map, rolls_dir, stems
from edge_inspector.web.access import Endpoint, RequestError
from edge_inspector.web.plant import Plant

_NEWEST = "now"


class RollPages:
    """The URLs below /api/rolls. A roll is called as its files are, and the newest one also `now`."""

    def __init__(self, plant: Plant) -> None:
        self._folder = rolls_dir(plant.station.state_dir)

    def endpoints(self) -> Sequence[Endpoint]:
        """The URLs of this class."""
        return [
            Endpoint("GET", "/api/rolls", self._list, slow=True),
            Endpoint("GET", "/api/rolls/{roll:str}/map", self._map, slow=True),
            Endpoint("GET", "/api/rolls/{roll:str}/marks", self._table("marks"), slow=True),
            Endpoint("GET", "/api/rolls/{roll:str}/pieces", self._table("pieces"), slow=True),
        ]

    async def _list(self, request: Request) -> Response:
        del request
        return JSONResponse({"rolls": stems(self._folder)})

    async def _map(self, request: Request) -> Response:
        stem = self._found(request)
        try:
            drawn = roll_map(self._folder, stem)
        except OSError as error:
            raise RequestError(404, f"the map cannot be drawn: {error}") from error
        return Response(drawn, media_type="image/png", headers={"Cache-Control": "no-store"})

    def _table(self, kind: str) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            stem = self._found(request)
            return _csv(self._folder / f"{stem}.{kind}.csv")

        return answer

    def _found(self, request: Request) -> str:
        """The name of the files. What somebody asks for never becomes a path."""
        there, asked = stems(self._folder), request.path_params["roll"]
        if asked == _NEWEST and there:
            return there[0]
        if asked not in there:
            raise RequestError(404, "there is no such roll")
        return str(asked)


def _csv(path: Path) -> Response:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RequestError(404, f"{path.name} cannot be read") from error
    headers = {"Cache-Control": "no-store", "Content-Disposition": f'attachment; filename="{path.name}"'}
    return Response(content, media_type="text/csv", headers=headers)
