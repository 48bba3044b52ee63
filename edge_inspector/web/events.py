"""What went wrong and what people did: to read, acknowledge and export. And batches and resets of the counters."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edge_inspector.codes import ErrorCode
from edge_inspector.errors import DeviceError
from edge_inspector.runtime.clock import iso, utc_of
from edge_inspector.store.audit import latest
from edge_inspector.store.logbook import Event, Mark, MarkKind
from edge_inspector.store.users import Role
from edge_inspector.texts import harmless, printable
from edge_inspector.web.access import Access, Endpoint, RequestError, read_json, text_of
from edge_inspector.web.asked import instant, number
from edge_inspector.web.plant import Plant
from edge_inspector.web.writes import changed, user_of, written

_PAGE = 100
_EXPORTED = 20_000
_KINDS: tuple[MarkKind, ...] = ("batch", "reset")
_LONGEST_BATCH = 64


class Events:
    """The URLs below /api/events, and /api/counters."""

    def __init__(self, plant: Plant, access: Access) -> None:
        self._plant = plant
        self._access = access

    def endpoints(self) -> Sequence[Endpoint]:
        """The URLs of this class."""
        return [
            Endpoint("GET", "/api/events", self._list, slow=True),
            Endpoint("GET", "/api/events.csv", self._export, slow=True),
            Endpoint("GET", "/api/actions", self._actions, slow=True),
            Endpoint("POST", "/api/events/acknowledge", self._acknowledge, Role.OPERATOR),
            Endpoint("POST", "/api/counters", self._count_anew, Role.OPERATOR),
        ]

    async def _list(self, request: Request) -> Response:
        events = self._found(request, _PAGE)
        return JSONResponse({"events": [told(event) for event in events], "more": len(events) == _PAGE})

    async def _export(self, request: Request) -> Response:
        return table(("code", "subject", "why", *_COLUMNS), map(_row, self._found(request, _EXPORTED)), "events")

    async def _actions(self, request: Request) -> Response:
        del request
        try:
            lines = latest(self._plant.station.state_dir, _PAGE)
        except DeviceError as error:
            raise RequestError(503, str(error)) from error
        return JSONResponse({"actions": [{"utc": line.utc, **asdict(line.change)} for line in lines]})

    async def _acknowledge(self, request: Request) -> Response:
        """Acknowledge one event, or with 0 every event that waits."""
        asked = (await read_json(request)).get("event")
        if type(asked) is not int or not 0 <= asked < 1 << 62:
            raise RequestError(400, "event: a number of an event, or 0 for all of them")
        user, now = user_of(self._access, request), utc_of(time.monotonic_ns())
        count = await written(self._plant, lambda file: file.acknowledge(asked or None, user, now))
        subject = f"event {asked}" if asked else "all events"
        changed(self._plant, user, "acknowledge", subject=subject, before="waiting", after="acknowledged")
        return JSONResponse({"acknowledged": count})

    async def _count_anew(self, request: Request) -> Response:
        body = await read_json(request)
        kind = next((kind for kind in _KINDS if kind == body.get("kind")), None)
        if kind is None:
            raise RequestError(400, f"kind: one of {', '.join(_KINDS)}")
        name = printable(text_of(body, "name", _LONGEST_BATCH)).strip()
        if kind == "batch" and not name:
            raise RequestError(400, "name: the batch needs one")
        mark = Mark(kind, name, user_of(self._access, request), utc_of(time.monotonic_ns()))
        await written(self._plant, lambda file: file.mark(mark))
        changed(self._plant, mark.user, "counters", subject=kind, after=name)
        return JSONResponse({"stored": True})

    def _found(self, request: Request, limit: int) -> list[Event]:
        asked = request.query_params
        try:
            return self._plant.logbook.events(
                limit=limit,
                before_id=number(asked.get("before")),
                code=int(ErrorCode[asked["code"].upper()]) if asked.get("code") else None,
                waiting=asked.get("waiting") == "1",
                since=instant(asked.get("since")),
                until=instant(asked.get("until")),
            )
        except (KeyError, ValueError) as error:
            raise RequestError(400, f"not a filter: {error}") from error
        except DeviceError as error:
            raise RequestError(503, str(error)) from error


def told(event: Event) -> dict[str, Any]:
    """An event for the page."""
    return {
        "id": event.id,
        "code": _code(event),
        "number": event.code,
        "subject": event.subject,
        "why": event.why,
        "fault": event.fault,
        "recipe": event.recipe_id,
        "parts": event.parts,
        "rejected": event.rejected,
        "not_inspected": event.not_inspected,
        "begun": iso(event.begun),
        "ended": _date(event.ended),
        "by": event.acknowledged_by,
        "acknowledged": _date(event.acknowledged),
    }


_COLUMNS = ("begun", "ended", "parts", "rejected", "not_inspected", "recipe", "acknowledged_by", "acknowledged")


def _row(event: Event) -> Sequence[object]:
    counts = (event.parts, event.rejected, event.not_inspected, event.recipe_id)
    seen = (event.acknowledged_by or "", _date(event.acknowledged) or "")
    return (_code(event), event.subject, event.why, iso(event.begun), _date(event.ended) or "", *counts, *seen)


def table(head: Sequence[str], rows: Iterator[Sequence[object]], name: str) -> Response:
    """Rows as a CSV file to download."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(head)
    writer.writerows([harmless(value) if isinstance(value, str) else value for value in row] for row in rows)
    disposition = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    # The mark tells spreadsheets that the file is UTF-8.
    return Response("\ufeff" + text.getvalue(), media_type="text/csv; charset=utf-8", headers=disposition)


def _code(event: Event) -> str:
    try:
        return ErrorCode(event.code).name.lower()
    except ValueError:  # of a newer version
        return str(event.code)


def _date(utc: datetime | None) -> str | None:
    return None if utc is None else iso(utc)
