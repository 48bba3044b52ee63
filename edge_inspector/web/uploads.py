"""Pictures that people bring from elsewhere: good ones for Teach, and others to draw on. Each comes alone, as it is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

import cv2
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edge_inspector.errors import DeviceError
from edge_inspector.runtime.clock import iso, utc_of
from edge_inspector.store.logbook import LogbookWriter
from edge_inspector.store.picture_file import camera_picture
from edge_inspector.store.uploads import PICTURES_MOST, Encoded, Uploads
from edge_inspector.store.users import Role
from edge_inspector.web.access import Access, Endpoint, RequestError, read_body, read_json
from edge_inspector.web.pictures import jpeg, png
from edge_inspector.web.plant import Plant
from edge_inspector.web.stored import LARGEST_FILE, bytes_of
from edge_inspector.web.teach import busy
from edge_inspector.web.writes import changed, user_of, written

FILE_MOST: Final = 32 << 20
_PX_MOST: Final = 1 << 25
_BODY_S: Final = 60.0
_AT_ONCE: Final = 4
_SMALL_PX: Final = 240
_SHOWN: Final = 120
_DISCARDED: Final = 200
_KINDS: Final = {"good": True, "draw": False}


class UploadPages:
    """The URLs below /api/uploads, without those of drawings."""

    def __init__(self, plant: Plant, access: Access) -> None:
        self._plant = plant
        self._access = access
        self._uploads = Uploads(plant.station.state_dir, plant.station.file.archive.min_free_mb * 2**20)
        self._taking = 0
        self._one = asyncio.Lock()

    def endpoints(self) -> Sequence[Endpoint]:
        """The URLs of this class."""
        return [
            Endpoint("GET", "/api/uploads", self._list, slow=True),
            Endpoint("GET", "/api/uploads/{upload:part}/small", self._small, slow=True),
            Endpoint("POST", "/api/uploads", self._take, Role.REVIEWER),  # not slow: others must not wait for its bytes
            Endpoint("POST", "/api/uploads/discard", self._discard, Role.ADMIN, slow=True),
        ]

    async def _list(self, request: Request) -> Response:
        """The newest, those first of which nobody has said what they show."""
        del request
        try:
            found = list(self._uploads.all())
        except DeviceError as error:
            raise RequestError(503, str(error)) from error
        waiting = [each for each in found if not each.said]
        shown = [*waiting, *(each for each in found if each.said)][:_SHOWN]
        return JSONResponse(
            {
                "pictures": [{"number": str(each.number), "said": each.said} for each in shown],
                "waiting": len(waiting),
                "said": len(found) - len(waiting),
                "most": PICTURES_MOST,
                "file_most": FILE_MOST,
            }
        )

    async def _small(self, request: Request) -> Response:
        content = bytes_of(self._uploads.small(request.path_params["upload"]))
        return Response(content, media_type="image/jpeg")

    async def _take(self, request: Request) -> Response:
        """Store one picture: good, or to be drawn on."""
        good = _KINDS.get(request.query_params.get("as", ""))
        if good is None:
            raise RequestError(400, f"as: one of {', '.join(_KINDS)}")
        if why := busy(self._plant.scene().verdicts):
            raise RequestError(409, f"the line needs the cores now: {why}")
        if self._taking >= _AT_ONCE:
            raise RequestError(503, "others are sending pictures: try again")
        self._taking += 1
        try:
            content = await read_body(request, FILE_MOST, _BODY_S)
            async with self._one:  # a large picture takes its memory several times
                return await self._stored(request, content, good=good)
        finally:
            self._taking -= 1

    async def _stored(self, request: Request, content: bytes, *, good: bool) -> Response:
        user, now = user_of(self._access, request), utc_of(time.monotonic_ns())
        try:
            encoded = await asyncio.get_running_loop().run_in_executor(None, _encoded, content)
        except ValueError as error:
            raise RequestError(422, str(error)) from error

        def do(_: LogbookWriter) -> int:
            return self._uploads.add(encoded, now, good_by=user if good else "")

        number = await written(self._plant, do)
        changed(self._plant, user, "upload", subject=f"picture {number}", after="good" if good else "to be drawn on")
        return JSONResponse({"number": str(number), "utc": iso(now)})

    async def _discard(self, request: Request) -> Response:
        numbers = _numbers(await read_json(request, 1 << 14))
        gone: list[int] = []

        def do(_: LogbookWriter) -> None:
            gone.extend(number for number in numbers if self._uploads.discard(number))

        await written(self._plant, do)
        if gone:
            user = user_of(self._access, request)
            changed(self._plant, user, "discard_upload", subject=f"pictures {', '.join(map(str, gone))}")
        return JSONResponse({"discarded": len(gone)})


def _encoded(content: bytes) -> Encoded:
    """The picture as the station's cameras would give it. Raises ValueError for one that it cannot use."""
    image = camera_picture(content, _PX_MOST)
    height, width = image.shape[:2]
    scale = min(1.0, _SMALL_PX / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    encoded = Encoded(picture=png(image), small=jpeg(small), size=(height, width))
    if len(encoded.picture) > LARGEST_FILE:
        raise ValueError(
            f"needs {len(encoded.picture) >> 20} MB without loss, more than {LARGEST_FILE >> 20}: shrink it"
        )
    return encoded


def _numbers(body: dict[str, Any]) -> list[int]:
    """Numbers come as texts, because a browser's own numbers may be too short for them."""
    given = body.get("numbers")
    if not isinstance(given, list) or not 1 <= len(given) <= _DISCARDED:
        raise RequestError(400, f"numbers: 1 to {_DISCARDED} are needed")
    if not all(isinstance(each, str) and each.isascii() and each.isdigit() and len(each) <= 18 for each in given):
        raise RequestError(400, "numbers: numbers of pictures as texts are needed")
    return [int(each) for each in given]
