"""A person says of parts that pass whether they are good or bad, while the station collects pictures for a model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import repeat
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edge_inspector.runtime.clock import utc_of
from edge_inspector.store.logbook import LogbookWriter
from edge_inspector.store.rows import LabelKind
from edge_inspector.store.users import Role
from edge_inspector.web.access import Access, Endpoint, RequestError, read_json
from edge_inspector.web.plant import Plant
from edge_inspector.web.writes import changed, user_of, written

_LABELS: Final[tuple[LabelKind, ...]] = ("good", "defect")
_MOST: Final = 32


class Passing:
    """The URL of marks on passing parts, by their numbers in this run. The store may not know them yet."""

    def __init__(self, plant: Plant, access: Access) -> None:
        self._plant = plant
        self._access = access

    def endpoints(self) -> Sequence[Endpoint]:
        """The URLs of this class."""
        return [Endpoint("POST", "/api/passing", self._mark, Role.REVIEWER, slow=True)]

    async def _mark(self, request: Request) -> Response:
        body = await read_json(request)
        kind = next((kind for kind in _LABELS if kind == body.get("label")), None)
        if kind is None:
            raise RequestError(400, f"label: one of {', '.join(_LABELS)}")
        seqs = _seqs(body)
        if body.get("boot") != f"{self._plant.boot_id:08x}":
            raise RequestError(409, "the station has started again: these parts are of an earlier run")
        user, now = user_of(self._access, request), utc_of(time.monotonic_ns())

        def do(_: LogbookWriter) -> None:
            known = self._plant.results.numbers(self._plant.boot_id, seqs)
            labels.update(map(self._plant.results.label_of, known.values(), repeat("")))
            for part in known.values():
                self._plant.results.label(part, "", label=kind, defect_class="", user=user, utc=now)
            stored.extend(known)

        stored, labels = list[int](), set[str]()
        await written(self._plant, do)
        if stored:
            before = ", ".join(sorted(labels - {""}))
            subject = f"parts {', '.join(map(str, stored))}"
            changed(self._plant, user, "label", subject=subject, before=before, after=kind)
        return JSONResponse({"stored": stored, "waiting": [seq for seq in seqs if seq not in stored]})


def _seqs(body: dict[str, Any]) -> list[int]:
    given = body.get("seqs")
    if not isinstance(given, list) or not 1 <= len(given) <= _MOST:
        raise RequestError(400, f"seqs: 1 to {_MOST} numbers are needed")
    if not all(type(seq) is int and 0 < seq < 1 << 62 for seq in given):
        raise RequestError(400, "seqs: numbers of parts are needed")
    return given
