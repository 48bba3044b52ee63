"""Regions that people draw on a part's pictures. What the model saw is drawn first, and a person corrects it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edge_inspector.errors import DeviceError
from edge_inspector.records import Image
from edge_inspector.runtime.clock import iso, utc_of
from edge_inspector.store.drawings import CLASSES_MAX, Drawing, Drawings, DrawnOn, drawn_from, runs_of
from edge_inspector.store.logbook import LogbookWriter
from edge_inspector.store.pictures import picture_stem
from edge_inspector.store.rows import PartStory, StoredView
from edge_inspector.store.uploads import Uploads
from edge_inspector.store.users import Role
from edge_inspector.web.access import Access, Endpoint, RequestError, read_json, text_of
from edge_inspector.web.pictures import colour_of, png
from edge_inspector.web.plant import Plant
from edge_inspector.web.stored import bytes_of, pictures_of
from edge_inspector.web.writes import changed, user_of, written

_BODY: Final = 1 << 20
_GRID_PX: Final = 1 << 22  # a browser on a tablet draws on so many pixels without a pause
_BUSY_S: Final = 600.0
_NAME_MAX: Final = 64
_GOOD: Final = "good"  # what training calls a picture without a defect
_VIEWS: Final = ("/api/parts/{part:part}/{camera:str}/drawing", "/api/uploads/{upload:part}/drawing")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Looked:
    """A view with its picture. `source` is the picture's file, or its content if only the memory has it.

    An uploaded picture is the view of no part, and has no `story`.
    """

    on: DrawnOn
    story: PartStory | None = None
    source: Path | bytes
    image: Image
    mask: Image | None

    @property
    def stem(self) -> str:
        """Names the view as in the archive."""
        return self.on.stem

    @property
    def subject(self) -> str:
        """What the audit file calls it."""
        return f"part {self.on.part_id} {self.on.camera}" if self.story else f"picture {-self.on.part_id}"

    @property
    def shrink(self) -> int:
        """A pixel of the drawing is so many pixels of the picture wide."""
        pixels = self.image.shape[0] * self.image.shape[1]
        return next(by for by in range(1, 1 << 10) if pixels <= _GRID_PX * by * by)

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of the drawing."""
        return -(-self.image.shape[0] // self.shrink), -(-self.image.shape[1] // self.shrink)


class LabelPages:
    """The URLs of drawings."""

    def __init__(self, plant: Plant, access: Access) -> None:
        self._plant = plant
        self._access = access
        self._drawings = Drawings(plant.station.state_dir, plant.station.file.archive.min_free_mb * 2**20)
        self._uploads = Uploads(plant.station.state_dir)
        self._busy: dict[tuple[str, str], float] = {}

    def endpoints(self) -> Sequence[Endpoint]:
        """The URLs of this class."""
        return [
            endpoint
            for view in _VIEWS
            for endpoint in (
                Endpoint("GET", view, self._show, slow=True),
                Endpoint("GET", f"{view}/picture", self._picture, slow=True),
                Endpoint("POST", f"{view}/begin", self._begin, Role.REVIEWER, slow=True),
                Endpoint("POST", view, self._store, Role.REVIEWER, slow=True),
            )
        ]

    async def _show(self, request: Request) -> Response:
        """What is drawn already, or else what the model saw."""
        look = self._look(request)
        drawn = self._newest(look.stem)
        names = list(self._plant.classes)
        if drawn is None:
            pixels = _seen(look, self._plant.thresholds(look.story.row.recipe_id if look.story else 0))
        else:
            names += [name for name in drawn.classes if name not in names]
            pixels = _renumbered(self._pixels(drawn), drawn.classes, names)[:: look.shrink, :: look.shrink]
        return JSONResponse(
            {
                "width": look.grid[1],
                "height": look.grid[0],
                "classes": names,
                "colours": [colour_of(at) for at in range(CLASSES_MAX)],
                "runs": runs_of(np.ascontiguousarray(pixels)),
                "from": "drawing" if drawn else "model" if pixels.any() else "nothing",
                "version": drawn.version if drawn else 0,
                "by": drawn.by if drawn else "",
                "utc": iso(drawn.utc) if drawn else "",
            }
        )

    async def _picture(self, request: Request) -> Response:
        source = self._look(request).source
        content = source if isinstance(source, bytes) else bytes_of(source)
        kind = "image/jpeg" if isinstance(source, Path) and source.suffix == ".jpg" else "image/png"
        return Response(content, media_type=kind)

    async def _begin(self, request: Request) -> Response:
        """Keep the picture for as long as somebody draws on it. Says who else does."""
        look, user, now = self._look(request), user_of(self._access, request), time.monotonic()
        await written(self._plant, lambda _: self._drawings.hold(look.stem, look.source))
        self._busy = {each: at for each, at in self._busy.items() if now - at < _BUSY_S}
        others = sorted(name for stem, name in self._busy if stem == look.stem and name != user)
        self._busy[look.stem, user] = now
        return JSONResponse({"others": others})

    async def _store(self, request: Request) -> Response:
        body = await read_json(request, _BODY)
        look, user, now = self._look(request), user_of(self._access, request), utc_of(time.monotonic_ns())
        classes = _classes(body)
        begun_from = body.get("version")
        if type(begun_from) is not int or not 0 <= begun_from < 1 << 31:
            raise RequestError(400, "version: the number of the drawing that was shown is needed")
        if (body.get("height"), body.get("width")) != look.grid:
            raise RequestError(400, f"width, height: {look.grid[1]} x {look.grid[0]}, as the picture is")
        try:
            pixels = _enlarged(drawn_from(body.get("runs"), look.grid, len(classes)), look)
        except ValueError as error:
            raise RequestError(400, f"runs: {error}") from error
        areas = {name: int((pixels == at).sum()) for at, name in enumerate(classes, 1)}
        found = sorted((name for name in areas if areas[name]), key=lambda name: -areas[name])

        def do(_: LogbookWriter) -> Drawing | None:
            self._drawings.hold(look.stem, look.source)
            stored = self._drawings.store(look.on, pixels, classes, by=user, utc=now, begun_from=begun_from)
            if stored is not None and look.story is not None:
                self._mark(look.story, look.on.camera, found, drawn=stored)
            return stored

        drawn = await written(self._plant, do)
        if not isinstance(drawn, Drawing):
            newest = self._newest(look.stem)
            who = f"{newest.by} has" if newest else "somebody has"
            raise RequestError(409, f"{who} stored a drawing of this view meanwhile")
        self._busy.pop((look.stem, user), None)
        what = ", ".join(f"{name} {areas[name]} px" for name in found) or "no defect"
        changed(self._plant, user, "drawing", subject=look.subject, after=f"{drawn.version}: {what}")
        return JSONResponse({"version": drawn.version})

    def _mark(self, story: PartStory, camera: str, found: Sequence[str], *, drawn: Drawing) -> None:
        """Who draws has also said whether the part is good."""
        views = {camera, ""} if found or len(story.views) == 1 else {camera}
        for view in sorted(views):
            self._plant.results.label(
                story.row.id,
                view,
                label="defect" if found else "good",
                defect_class=found[0] if found else "",
                user=drawn.by,
                utc=drawn.utc,
            )

    def _look(self, request: Request) -> _Looked:
        """The view with its picture, from the archive, the memory, or as somebody has drawn on it."""
        if "upload" in request.path_params:
            return self._uploaded(request.path_params["upload"])
        try:
            story = self._plant.results.part(request.path_params["part"])
        except DeviceError as error:
            raise RequestError(503, str(error)) from error
        views = story.views if story is not None else ()
        view = next((each for each in views if each.camera == request.path_params["camera"]), None)
        if story is None or view is None:
            raise RequestError(404, "there is no such part or view (any more)")
        stem = picture_stem(story.row.utc, view.camera, story.row.part_seq, view.frame_id)
        image, mask = pictures_of(self._plant, view, story.row.recipe_id)
        mask = self._plant.in_order(mask, story.row.recipe_id)
        source = self._source(view, stem, image)
        if image is None and isinstance(source, Path):
            image = _pixels_of(source)
        if source is None or image is None:
            raise RequestError(404, "this picture was not kept, so nobody can draw on it")
        row = story.row
        on = DrawnOn(
            stem=stem,
            part_id=row.id,
            part_seq=row.part_seq,
            camera=view.camera,
            utc=row.utc,
            decision=row.decision.name,
        )
        return _Looked(on=on, story=story, source=source, image=image, mask=mask)

    def _uploaded(self, number: int) -> _Looked:
        on, source = self._uploads.on(number), self._uploads.picture(number)
        image = _pixels_of(source) if on is not None else None
        if on is None or image is None:
            raise RequestError(404, "there is no such uploaded picture (any more)")
        return _Looked(on=on, source=source, image=image, mask=None)

    def _source(self, view: StoredView, stem: str, image: Image | None) -> Path | bytes | None:
        if view.picture is not None:
            return view.picture.image
        return self._drawings.picture(stem) or (None if image is None else png(image))

    def _newest(self, stem: str) -> Drawing | None:
        try:
            return self._drawings.newest(stem)
        except DeviceError as error:
            raise RequestError(503, str(error)) from error

    @staticmethod
    def _pixels(drawn: Drawing) -> Image:
        try:
            return drawn.pixels()
        except DeviceError as error:
            raise RequestError(503, str(error)) from error


def _pixels_of(path: Path) -> Image | None:
    decoded = cv2.imdecode(np.frombuffer(bytes_of(path), np.uint8), cv2.IMREAD_UNCHANGED)
    return None if decoded is None else np.asarray(decoded, np.uint8)


def _seen(look: _Looked, thresholds: Sequence[int]) -> Image:
    """What the model saw, as a drawing. Where it saw several classes, the one that it is surest of."""
    height, width = look.grid
    pixels, surest = np.zeros((height, width), np.uint8), np.zeros((height, width), np.uint8)
    # An invalid mask is 255 everywhere, in every class. Nothing was seen then.
    planes = () if look.mask is None or int(look.mask.min(initial=255)) == 255 else look.mask
    for at, (threshold, plane) in enumerate(zip(thresholds, planes, strict=False), 1):
        sized = cv2.resize(plane, (width, height), interpolation=cv2.INTER_NEAREST)
        wins = (sized >= threshold) & (sized > surest)
        pixels[wins], surest[wins] = at, sized[wins]
    return pixels


def _renumbered(pixels: Image, classes: Sequence[str], names: Sequence[str]) -> Image:
    """The same drawing with the numbers that these names have in another list."""
    table = np.array([0, *(names.index(name) + 1 for name in classes)], np.uint8)
    return np.asarray(table[pixels], np.uint8)


def _enlarged(pixels: Image, look: _Looked) -> Image:
    """The drawing at the picture's size."""
    height, width = look.image.shape[:2]
    return np.repeat(np.repeat(pixels, look.shrink, 0), look.shrink, 1)[:height, :width]


def _classes(body: dict[str, Any]) -> list[str]:
    """The names of the classes in the drawing. A person may name one that the model does not know yet."""
    given = body.get("classes")
    if not isinstance(given, list) or not 1 <= len(given) <= CLASSES_MAX:
        raise RequestError(400, f"classes: a list of 1 to {CLASSES_MAX} names is needed")
    names = [text_of({"classes": name}, "classes", _NAME_MAX).strip() for name in given]
    if any(not name or not name.isprintable() or name.casefold() == _GOOD for name in names):
        raise RequestError(400, f"classes: a name must be readable, and {_GOOD!r} is no defect")
    if len({name.casefold() for name in names}) != len(names):
        raise RequestError(400, "classes: two names are the same")
    return names
