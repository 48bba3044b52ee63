"""The operator page's application: every URL in one table."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Router
from starlette.types import ASGIApp

from edge_inspector.store.users import UsersFile
from edge_inspector.web.access import Access, Entry, Shell
from edge_inspector.web.commands import Commands
from edge_inspector.web.live import Live
from edge_inspector.web.login import Login
from edge_inspector.web.parts import Parts
from edge_inspector.web.plant import Plant
from edge_inspector.web.sessions import Sessions
from edge_inspector.web.station import StationApi
from edge_inspector.web.streams import Broadcast
from edge_inspector.web.watch import Watch

# The page is one document. It shows what its address names.
_PAGES = ("/", "/parts", "/parts/{part:part}", "/review", "/health")
_LOOK_S = 2.0  # for one query of the results. It is also the longest wait of /metrics for them
_KINDS = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}


def make_app(plant: Plant) -> ASGIApp:
    """The application with everything that is served."""
    settings = plant.station.file.web
    plant = replace(plant, results=plant.results.within(_LOOK_S))
    users = UsersFile(settings.users)
    sessions = Sessions(users, settings.session_hours * 3600)
    access = Access(sessions, read_requires_login=settings.read_requires_login)
    routes = access.routes(entries(plant, users, sessions, access))
    return Shell(Router(routes, redirect_slashes=False), settings)


def entries(plant: Plant, users: UsersFile, sessions: Sessions, access: Access) -> Sequence[Entry]:
    """Every URL and the role that may use it."""
    settings = plant.station.file.web
    live = Live(plant)
    stream = Broadcast(live.news, live.all, access.may_read, settings.max_watchers)
    login = Login(users, sessions, access, secure=settings.certificate is not None, path=settings.path)
    return [
        *_static(),
        *StationApi(plant).entries(),
        *Watch(plant, access).entries(),
        *login.entries(),
        Entry("GET", "/api/live", stream.answer),
        *Parts(plant, access).entries(),
        *Commands(plant, access).entries(),
    ]


def _static() -> list[Entry]:
    """The page's own files, read once. A request's path never becomes a path on the disk."""
    found = []
    for file in (files("edge_inspector.web") / "static").iterdir():
        kind = _KINDS.get(file.name.rpartition(".")[2])
        if kind is None:
            continue
        served = _File(file.read_bytes(), kind)
        found.append(Entry("GET", f"/static/{file.name}", served.answer, role=None))
        if file.name == "index.html":
            found += [Entry("GET", page, _page(page, served).answer, role=None) for page in _PAGES]
        if file.name == "icon.svg":
            found.append(Entry("GET", "/favicon.ico", served.answer, role=None))
    return found


def _page(path: str, document: _File) -> _File:
    """The document for this path. Its links to its own files are relative, so any prefix before the path works."""
    up = b"../" * (path.count("/") - 1)
    return _File(document.body.replace(b'="static/', b'="' + up + b"static/"), _KINDS["html"])


class _File:
    def __init__(self, body: bytes, kind: str) -> None:
        self.body = body
        self._headers = {
            "Content-Type": kind,
            "Cache-Control": "no-cache",
            "ETag": f'"{hashlib.sha256(body).hexdigest()[:16]}"',
        }

    async def answer(self, request: Request) -> Response:
        if request.headers.get("if-none-match") == self._headers["ETag"]:
            return Response(status_code=304, headers=self._headers)
        return Response(self.body, headers=self._headers)
