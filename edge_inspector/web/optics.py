"""Each camera's picture at full size, its figures, and its exposure and gain."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import cv2
import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edge_inspector.codes import ErrorCode
from edge_inspector.drivers import DriverSettings
from edge_inspector.errors import DeviceError
from edge_inspector.inspection.picture import picture_figures
from edge_inspector.records import Image, Picture
from edge_inspector.runtime.clock import utc_text
from edge_inspector.station.adjustments import Adjustment, limits_of, remember, values_of, with_values
from edge_inspector.store.users import Role
from edge_inspector.texts import printable
from edge_inspector.watches.adjusting import CameraOrder
from edge_inspector.web.access import Access, Endpoint, RequestError, read_json, text_of
from edge_inspector.web.answer import answer_of
from edge_inspector.web.pictures import jpeg
from edge_inspector.web.plant import Plant
from edge_inspector.web.writes import changed, user_of, written

_BINS = 64
_ANSWER_S = 5.0
_LONGEST_WHY = 300
_DIRTY = ("brightness", "sharpness")  # what drifts when a lens gets dirty or a light gets weak


class Optics:
    """The URLs below /api/cameras."""

    def __init__(self, plant: Plant, access: Access) -> None:
        self._plant = plant
        self._access = access

    def endpoints(self) -> Sequence[Endpoint]:
        """The URLs of this class."""
        return [
            Endpoint("GET", "/api/cameras", self._list, slow=True),
            Endpoint("GET", "/api/cameras/{camera:str}/picture", self._picture, slow=True),
            Endpoint("POST", "/api/cameras/{camera:str}/adjust", self._adjust, Role.ADMIN),
        ]

    async def _list(self, request: Request) -> Response:
        del request
        cameras = self._plant.station.file.views
        return JSONResponse({"cameras": [self._told(camera.name) for camera in cameras]})

    async def _picture(self, request: Request) -> Response:
        camera = request.path_params["camera"]
        picture = self._plant.album.latest(camera)
        if picture is None:
            raise RequestError(404, "there is no picture of this camera yet")
        return Response(jpeg(picture.image), media_type="image/jpeg", headers={"Cache-Control": "no-store"})

    async def _adjust(self, request: Request) -> Response:
        """Change exposure and gain now, and keep them across restarts. `values` null: as in the station file."""
        body = await read_json(request)
        try:
            table, written_settings = self._plant.station.camera_of(request.path_params["camera"])
        except KeyError as error:
            raise RequestError(404, "there is no such camera") from error
        why = printable(text_of(body, "why", _LONGEST_WHY)).strip()
        if not why:
            raise RequestError(400, "why: say why it is changed")
        settings, base = written_settings, values_of(written_settings)
        if body.get("values") is not None:
            try:
                settings = with_values(table, written_settings, body["values"])
            except ValueError as error:
                raise RequestError(400, str(error)) from error
        user = user_of(self._access, request)
        differing = {name: value for name, value in values_of(settings).items() if value != base[name]}
        adjustment = Adjustment(differing, user, why, utc_text(time.monotonic_ns())) if differing else None
        before = self._values(table.name, base)
        await self._taken(table.name, settings, adjustment)
        values = base | differing
        changed(self._plant, user, "camera", subject=table.name, before=_words(before), after=_words(values), why=why)
        await written(self._plant, lambda _: remember(self._plant.station.state_dir, table.name, base, adjustment))
        return JSONResponse({"values": values})

    async def _taken(self, camera: str, settings: DriverSettings, adjustment: Adjustment | None) -> None:
        """Wait until the camera has these settings. Raises RequestError if it refuses."""

        def ask(done: Callable[[DeviceError | None], None]) -> None:
            if not self._plant.cameras[camera].ask(CameraOrder(settings, adjustment, done)):
                raise RequestError(409, "somebody else changes this camera now: try again")

        try:
            error = await answer_of(ask, _ANSWER_S)
        except TimeoutError as late:
            raise RequestError(504, "the camera did not answer: look what it has now") from late
        if error is not None:
            raise RequestError(409, str(error))

    def _values(self, camera: str, base: Mapping[str, float]) -> dict[str, float]:
        """Exposure and gain that the camera has now."""
        adjustment = self._plant.cameras[camera].now
        return {**base, **(adjustment.values if adjustment is not None else {})}

    def _told(self, camera: str) -> dict[str, Any]:
        limits = self._plant.recipe.picture_limits(camera)
        picture, (table, settings) = self._plant.album.latest(camera), self._plant.station.camera_of(camera)
        adjustment, base = self._plant.cameras[table.name].now, values_of(settings)
        return {
            "name": camera,
            "up": not self._plant.conditions.held(ErrorCode.CAMERA_LOST, table.name),
            "bad": self._plant.conditions.held(ErrorCode.BAD_PICTURES, camera),
            "device": table.name,
            "written": base,
            "now": self._values(table.name, base),
            "adjustment": None if adjustment is None else asdict(adjustment),
            "adjustable": limits_of(table),
            "limits": {
                "min_sharpness": limits.min_sharpness,
                "max_dark": limits.max_dark,
                "max_saturated": limits.max_saturated,
            },
            "drift": self._drift(camera),
            "picture": None if picture is None else _figures(picture),
        }

    def _drift(self, camera: str) -> dict[str, float]:
        """How far brightness and sharpness have moved from the reference, in units of the limit."""
        state = self._plant.drift()
        if state is None:
            return {}
        indices = {quantity: index for (subject, quantity), index in state.indices.items() if subject == camera}
        return {name: indices[name] / state.limit for name in _DIRTY if name in indices}


def _words(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} = {value:g}" for name, value in values.items())


def _figures(picture: Picture) -> dict[str, Any]:
    grey = _grey(picture.image)
    figures = picture_figures(picture.image)
    counts = np.bincount(grey.reshape(-1) // (256 // _BINS), minlength=_BINS)
    return {
        "frame": picture.frame.frame_id,
        "utc": utc_text(picture.frame.captured_ns),
        "age_s": (time.monotonic_ns() - picture.frame.captured_ns) / 1e9,
        "exposure_us": picture.frame.exposure_ns / 1000,
        "width": picture.image.shape[1],
        "height": picture.image.shape[0],
        "brightness": figures.mean,
        "sharpness": figures.sharpness,
        "dark": figures.dark,
        "saturated": figures.saturated,
        "histogram": (counts / max(1, int(counts.max()))).round(3).tolist(),
    }


def _grey(image: Image) -> Image:
    return image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
