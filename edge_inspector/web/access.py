"""The checks before every answer: host name, session, role, CSRF token, headers."""

from __future__ import annotations

import asyncio
import hmac
import json
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import KW_ONLY, dataclass
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge_inspector.host_name import is_address
from edge_inspector.station.tables import WebTable
from edge_inspector.store.users import Role
from edge_inspector.web.connection import RESERVED
from edge_inspector.web.sessions import Session, Sessions

COOKIE = "edge_inspector_session"
_FOR_MACHINES = ("/metrics", "/healthz")
_BODY_BYTES = 4096
_BODY_S = 5.0
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")  # JSON allows it. UTF-8 does not, so no later layer can store it
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors "
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}

# A browser that has been here with TLS never comes without it again, for a year.
_ENCRYPTED = {"Strict-Transport-Security": "max-age=31536000"}

Answer = Callable[[Request], Awaitable[Response]]


class RequestError(Exception):
    """A request that is answered with `status` and one line of text."""

    def __init__(self, status: int, text: str) -> None:
        self.status = status
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One URL. `role` is the lowest role that may use it. None: anybody, even if reading needs a login.

    A `slow` request waits for its turn.
    """

    method: str
    path: str
    answer: Answer
    role: Role | None = Role.VIEWER
    _: KW_ONLY
    slow: bool = False


class Access:
    """Makes routes from entries, with the access checks."""

    def __init__(self, sessions: Sessions, *, read_requires_login: bool, token: str = "") -> None:
        self._sessions = sessions
        self._token = token
        self._read_requires_login = read_requires_login
        self._slow = asyncio.Lock()

    def routes(self, entries: Sequence[Endpoint]) -> list[Route]:
        """One route per entry. Each answers only to those who may use it."""
        return [Route(entry.path, self._guarded(entry), methods=[entry.method]) for entry in entries]

    def session(self, request: Request) -> Session | None:
        """The session of the request. None if nobody is logged in."""
        return self._sessions.find(request.cookies.get(COOKIE, ""))

    @property
    def readers_log_in(self) -> bool:
        """Whether looking at the page needs a login."""
        return self._read_requires_login

    def may_read(self, request: Request) -> bool:
        """Whether the sender of the request may read now."""
        return not self._read_requires_login or self.session(request) is not None

    def is_for_machines(self, request: Request) -> bool:
        """Whether the sender may read what is for machines: anybody, or whoever has the token or a session."""
        sent = request.headers.get("authorization", "").encode()
        knows = hmac.compare_digest(sent, f"Bearer {self._token}".encode())
        return not self._token or knows or self.session(request) is not None

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """A turn for a request that blocks the page's thread: one at a time, with quick answers in between."""
        async with self._slow:
            await asyncio.sleep(0)
            yield

    def _guarded(self, entry: Endpoint) -> Answer:
        async def answer(request: Request) -> Response:
            try:
                self._check(request, entry)
                async with self.turn() if entry.slow else nullcontext():
                    return await entry.answer(request)
            except RequestError as error:
                return JSONResponse({"error": str(error)}, error.status)

        return answer

    def _check(self, request: Request, entry: Endpoint) -> None:
        session = self.session(request)
        changes = entry.method != "GET"
        if changes and not _same_origin(request):
            raise RequestError(403, "a request from another site")
        needed = entry.role
        if needed is None or (needed is Role.VIEWER and not changes and not self._read_requires_login):
            return
        if session is None:
            raise RequestError(401, "log in first")
        if session.role < needed:
            raise RequestError(403, f"only for the role {needed.label}")
        if changes and request.headers.get("x-csrf-token", "") != session.csrf:
            raise RequestError(403, "the CSRF token is missing or old: load the page again")
        if changes:
            self._sessions.used(session.token)


class Shell:
    """The outermost layer: it refuses foreign host names (DNS rebinding) and adds the security headers to every answer.

    `/metrics` and `/healthz` are answered under any name, because other machines may use names that the station does
    not know. A reverse proxy may remove `web.path` or keep it.
    """

    def __init__(self, app: ASGIApp, settings: WebTable) -> None:
        self._app = app
        self._path = settings.path
        encrypted = _ENCRYPTED if settings.certificate is not None else {}
        self._headers = _HEADERS | encrypted | _framed(settings.frame_ancestors)
        own = {"localhost", settings.host.lower(), socket.gethostname().lower()}
        self._names = own | {name.lower() for name in settings.hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        app = self._app
        if self._path and scope["path"].startswith(f"{self._path}/"):
            scope = {**scope, "path": scope["path"].removeprefix(self._path)}
        elif self._path and scope["path"] == self._path:
            app = RedirectResponse(f"{self._path}/")  # the page's own links are relative to this folder
        for_machines = scope["path"] in _FOR_MACHINES
        if not for_machines and scope.get("state", {}).get(RESERVED):
            app = PlainTextResponse("too many connections\n", 503, {"Connection": "close", "Retry-After": "10"})
        elif not for_machines and not self._knows(Request(scope).headers.get("host", "")):
            app = PlainTextResponse("unknown host name. Add it to web.hosts\n", 421)
        await app(scope, receive, dressed)

    def _knows(self, host: str) -> bool:
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        name = name.strip("[]").lower()
        # After a % Python takes any text as the name of an interface.
        return name in self._names or (is_address(name) and "%" not in name)


def _framed(ancestors: Sequence[str]) -> dict[str, str]:
    """The headers that say which pages may show this one in a frame."""
    named = " ".join("'self'" if each == "self" else each for each in ancestors) or "'none'"
    # browsers that know the policy ignore the older header, which cannot name anybody
    older = {} if ancestors else {"X-Frame-Options": "DENY"}
    return {"Content-Security-Policy": _POLICY + named, **older}


async def read_body(request: Request, most: int, within_s: float) -> bytes:
    """The request's body, of at most so many bytes. Raises RequestError if it is larger or does not arrive in time."""
    body = bytearray()
    try:
        async with asyncio.timeout(within_s):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most:
                    raise RequestError(413, f"at most {most} bytes")
    except (TimeoutError, ClientDisconnect) as error:
        raise RequestError(408, "the request's body did not arrive") from error
    return bytes(body)


async def read_json(request: Request, most: int = _BODY_BYTES) -> dict[str, Any]:
    """The request's small JSON object. Raises RequestError for anything else."""
    body = await read_body(request, most, _BODY_S)
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError(400, "the body is not JSON") from error
    if not isinstance(parsed, dict):
        raise RequestError(400, "the body is not a JSON object")
    return parsed


def text_of(body: dict[str, Any], key: str, longest: int = 256) -> str:
    """The text under `key` in such an object. Raises RequestError."""
    value = body.get(key)
    if not isinstance(value, str) or len(value) > longest or _LONE_SURROGATE.search(value):
        raise RequestError(400, f"{key}: a text of at most {longest} characters is needed")
    return value


def _same_origin(request: Request) -> bool:
    """Whether the request is from our own page. Browsers say so. Other clients do not, and have no cookie to abuse."""
    origin = request.headers.get("origin")
    return origin is None or origin.partition("://")[2] == request.headers.get("host", "")
