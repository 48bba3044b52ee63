"""The audit trail on the page, for admins: who changed what, and whether somebody edited that record."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edge_inspector.errors import DeviceError
from edge_inspector.store.audit import Audited, audit_path, read, verify
from edge_inspector.store.users import Role
from edge_inspector.web.access import Access, Endpoint, RequestError
from edge_inspector.web.asked import instant
from edge_inspector.web.events import table
from edge_inspector.web.plant import Plant

_SHOWN = 200
_FAULTS = 20
_EXPORTED = 100_000
_COLUMNS = ("seq", "utc", "who", "what", "subject", "before", "after", "why", "hash")


class AuditPages:
    """The URLs below /api/audit."""

    def __init__(self, plant: Plant, access: Access) -> None:
        self._plant = plant
        self._access = access

    def endpoints(self) -> Sequence[Endpoint]:
        """The URLs of this class."""
        return [
            Endpoint("GET", "/api/audit", self._list, Role.ADMIN, slow=True),
            Endpoint("GET", "/api/audit/verify", self._verify, Role.ADMIN, slow=True),
            Endpoint("GET", "/api/audit.csv", self._export, Role.ADMIN, slow=True),
        ]

    async def _list(self, request: Request) -> Response:
        """The newest lines that match, newest first."""
        found = deque(self._found(request), maxlen=_SHOWN + 1)
        more = len(found) > _SHOWN
        lines = list(reversed(found))[:_SHOWN]
        return JSONResponse(
            {"lines": [{"seq": each.seq, "utc": each.utc, **asdict(each.change)} for each in lines], "more": more}
        )

    async def _verify(self, request: Request) -> Response:
        del request
        try:
            faults = verify(self._plant.station.state_dir)
            lines = sum(1 for _ in read(self._plant.station.state_dir))
        except DeviceError as error:
            raise RequestError(503, str(error)) from error
        return JSONResponse(
            {
                "file": str(audit_path(self._plant.station.state_dir)),
                "lines": lines,
                "faults": faults[:_FAULTS],
                "fault_count": len(faults),
            }
        )

    async def _export(self, request: Request) -> Response:
        found = deque(self._found(request), maxlen=_EXPORTED)
        return table(_COLUMNS, (_row(each) for each in found), "audit")

    def _found(self, request: Request) -> Iterator[Audited]:
        asked = request.query_params
        try:
            since, until = instant(asked.get("since")), instant(asked.get("until"))
        except ValueError as error:
            raise RequestError(400, f"not a filter: {error}") from error
        words = asked.get("text", "").casefold()
        try:
            for each in read(self._plant.station.state_dir):
                if _within(each, since, until) and words in _text(each):
                    yield each
        except DeviceError as error:
            raise RequestError(503, str(error)) from error


def _within(line: Audited, since: datetime | None, until: datetime | None) -> bool:
    """A line whose date somebody edited is always shown."""
    try:
        at = instant(line.utc)
    except ValueError:
        at = None
    return at is None or ((since is None or at >= since) and (until is None or at < until))


def _text(line: Audited) -> str:
    return " ".join(asdict(line.change).values()).casefold()


def _row(line: Audited) -> tuple[object, ...]:
    change = line.change
    return (
        line.seq, line.utc, change.who, change.what, change.subject, change.before, change.after, change.why, line.hash,
    )  # fmt: skip
