"""The application behind the page of all stations: its files, its one question, and the login of the operator page."""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Router
from starlette.types import ASGIApp

from edge_inspector import __version__
from edge_inspector.fleet.answers import ToldReason
from edge_inspector.fleet.roster import Roster
from edge_inspector.fleet.tables import FleetFile
from edge_inspector.fleet.view import Row, rows_of
from edge_inspector.runtime.clock import utc_text
from edge_inspector.station.table_faults import read_token
from edge_inspector.store.users import UsersFile
from edge_inspector.web.access import Access, Endpoint, RequestError, Shell
from edge_inspector.web.login import Login
from edge_inspector.web.page_files import OWN_FILES, served_files
from edge_inspector.web.sessions import Sessions
from edge_inspector.web.texts import Languages

_FOLDER = files("edge_inspector.fleet")
_KEPT_NS = 1_000_000_000  # so that many screens cost as much as one


def make_fleet_app(file: FleetFile, roster: Roster) -> ASGIApp:
    """The application with everything that is served."""
    settings = file.web
    users = UsersFile(settings.users)
    sessions = Sessions(users, settings.session_hours * 3600, settings.idle_minutes * 60)
    token = read_token(settings.machines_token_file) if settings.machines_token_file is not None else ""
    access = Access(sessions, read_requires_login=settings.read_requires_login, token=token)
    login = Login(
        users,
        sessions,
        access,
        secure=settings.certificate is not None,
        path=settings.path,
        proxies=settings.proxies,
    )
    entries = [
        *served_files(OWN_FILES),
        *served_files(_FOLDER / "static", ("/",)),
        *Languages(settings.languages, _FOLDER / "languages").endpoints(),
        *login.endpoints(),
        *FleetApi(file.name, roster, access).endpoints(),
    ]
    return Shell(Router(access.routes(entries), redirect_slashes=False), settings)


class FleetApi:
    """/api/fleet for the page, /healthz for machines."""

    def __init__(self, name: str, roster: Roster, access: Access) -> None:
        self._name = name
        self._roster = roster
        self._access = access
        self._kept = b""
        self._kept_ns = -_KEPT_NS

    def endpoints(self) -> Sequence[Endpoint]:
        """The URLs of this class."""
        return [
            Endpoint("GET", "/api/fleet", self._fleet),
            Endpoint("GET", "/healthz", self._healthz, role=None),
        ]

    async def _fleet(self, request: Request) -> Response:
        del request
        now = time.monotonic_ns()
        if now - self._kept_ns >= _KEPT_NS:
            self._kept, self._kept_ns = to_json(told(self._name, self._roster, now)), now
        return Response(self._kept, media_type="application/json")

    async def _healthz(self, request: Request) -> Response:
        """How many stations there are in each state. The page itself is well if it answers."""
        if not self._access.is_for_machines(request):
            raise RequestError(401, "send the token of web.machines_token_file as `Authorization: Bearer TOKEN`")
        rows = rows_of(self._roster.sightings(), time.monotonic_ns())
        states = [row.state for row in rows]
        return JSONResponse(
            {
                "state": "ready",
                "version": __version__,
                "stations": len(rows),
                "need_help": sum(row.needs_help for row in rows),
                "states": {state: states.count(state) for state in sorted(set(states))},
                "broker": self._roster.broker_trouble,
                "prometheus": self._roster.prometheus_trouble,
            }
        )


def told(name: str, roster: Roster, now_ns: int) -> dict[str, Any]:
    """What the page shows, the station that needs help most first."""
    return {
        "name": name,
        "utc": utc_text(now_ns),
        "broker": roster.broker_trouble,
        "prometheus": roster.prometheus_trouble,
        "full": roster.full,
        "stations": [_station(row) for row in rows_of(roster.sightings(), now_ns)],
    }


def _station(row: Row) -> dict[str, Any]:
    return {
        "key": row.key,
        "name": row.name,
        "own": row.own,
        "site": row.site,
        "place": row.place,
        "page": row.page,
        "state": row.state,
        "since_s": None if row.since_s is None else round(row.since_s),
        "version": row.version,
        "help": row.needs_help,
        "reasons": [_reason(each) for each in row.reasons],
        "troubles": [{"problem": each.problem.value, "detail": each.detail} for each in row.troubles],
        "recent": _recent(row),
        "rollout": None if row.rollout is None else {"package": row.rollout.package, "step": row.rollout.step},
    }


def _reason(reason: ToldReason) -> dict[str, Any]:
    return {"code": reason.code, "subject": reason.subject, "why": reason.why, "since_s": round(reason.since_s)}


def _recent(row: Row) -> dict[str, float] | None:
    if row.recent is None:
        return None
    parts, over_s = row.recent
    return {
        "parts": parts.parts,
        "rejected": parts.rejected,
        "not_inspected": parts.not_inspected,
        "minutes": round(over_s / 60, 1),
    }
