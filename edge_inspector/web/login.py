"""Logging in and out."""

from __future__ import annotations

import asyncio
import hmac
import logging
import math
from collections.abc import Collection, Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edge_inspector import metrics
from edge_inspector.errors import ConfigError
from edge_inspector.store.users import User, UsersFile, authenticate
from edge_inspector.texts import printable
from edge_inspector.web.access import COOKIE, Access, Endpoint, RequestError, read_json, text_of
from edge_inspector.web.sessions import Attempts, Session, Sessions, device_mark

log = logging.getLogger(__name__)

_DEVICE = "edge_inspector_device"
_DEVICE_S = 90 * 24 * 3600
_SLOW_S = 1.0
_LINE = 16


class Login:
    """The session's three URLs. A change of the users file needs no restart."""

    def __init__(
        self,
        users: UsersFile,
        sessions: Sessions,
        access: Access,
        *,
        secure: bool,
        path: str = "",
        proxies: Collection[str] = (),
    ) -> None:
        self._users = users
        self._sessions = sessions
        self._access = access
        self._secure = secure
        self._path = path or "/"
        self._proxies = frozenset(proxies)
        self._attempts = Attempts()
        self._lane = asyncio.Lock()
        self._guess = asyncio.Lock()  # one password at a time: each costs 16 MiB and a core
        self._waiting = 0

    def endpoints(self) -> Sequence[Endpoint]:
        """The URLs of this class."""
        return [
            Endpoint("GET", "/api/session", self._who, role=None),
            Endpoint("POST", "/api/login", self._login, role=None),
            Endpoint("POST", "/api/logout", self._logout, role=None),
        ]

    async def _who(self, request: Request) -> Response:
        """Who is logged in. The page asks when it is opened, and while somebody uses it."""
        session = self._access.session(request)
        if session is not None:
            self._sessions.used(session.token)
        return JSONResponse(_told(session))

    async def _login(self, request: Request) -> Response:
        body = await read_json(request)
        name, password = text_of(body, "name", 64), text_of(body, "password", 1024)
        address = self._address(request)
        user = await self._known(self._place(request, address, name), name, password)
        if user is None:
            metrics.login_failed.inc()
            log.warning("login failed from %s as %r", address, printable(name))
            raise RequestError(401, "wrong name or password")
        session = self._sessions.open(user)
        log.info("login of %s (%s) from %s", user.name, user.role.label, address)
        answer = JSONResponse(_told(session))
        # Behind a reverse proxy that encrypts, the browser itself shows whether the connection is secure.
        secure = self._secure or request.headers.get("origin", "").startswith("https://")
        for cookie, value, lasts_s in ((COOKIE, session.token, None), (_DEVICE, device_mark(user), _DEVICE_S)):
            answer.set_cookie(
                cookie, value, max_age=lasts_s, path=self._path, httponly=True, samesite="strict", secure=secure
            )
        return answer

    def _address(self, request: Request) -> str:
        """The client's address. Behind a proxy that is named in `web.proxies` it is what the proxy says."""
        address = request.client.host if request.client else ""
        told = request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
        return told[:64] if address in self._proxies and told else address

    def _place(self, request: Request, address: str, name: str) -> tuple[str, str]:
        """What failures are counted by: a browser that this user has used before, or else the address."""
        mark = request.cookies.get(_DEVICE, "")
        try:
            user = self._users.now().get(name)
        except ConfigError:
            user = None
        known = user is not None and hmac.compare_digest(mark.encode(), device_mark(user).encode())
        return ("browser", mark) if known else ("address", address)

    async def _known(self, place: tuple[str, str], name: str, password: str) -> User | None:
        if self._attempts.slow and place[0] == "address":
            await self._stand_in_line()
        async with self._guess:
            wait_s = self._attempts.wait_s(place)  # checked only here, because many requests may have come at once
            if wait_s:
                raise RequestError(429, f"too many wrong passwords. Wait {math.ceil(wait_s / 60)} min")
            try:
                users = self._users.now()
            except ConfigError as error:
                log.error("login impossible: %s", error)  # noqa: TRY400 -- the message says it all
                raise RequestError(503, "the users file cannot be used. See the log") from error
            # It takes a quarter of a second, in which the page must answer others.
            user = await asyncio.to_thread(authenticate, users, name, password)
            (self._attempts.succeeded if user else self._attempts.failed)(place, name)
            return user

    async def _stand_in_line(self) -> None:
        """While passwords are being guessed, unknown browsers log in one after the other, one a second."""
        if self._waiting >= _LINE:
            raise RequestError(429, "too many people log in now: try again in a moment")
        self._waiting += 1
        try:
            async with self._lane:
                await asyncio.sleep(_SLOW_S)
        finally:
            self._waiting -= 1

    async def _logout(self, request: Request) -> Response:
        token = request.cookies.get(COOKIE, "")
        if session := self._sessions.find(token):
            log.info("logout of %s", session.name)
        self._sessions.close(token)
        answer = JSONResponse(_told(None))
        answer.delete_cookie(COOKIE, path=self._path, httponly=True, samesite="strict", secure=self._secure)
        return answer


def _told(session: Session | None) -> dict[str, str | None]:
    if session is None:
        return {"name": None, "role": None, "csrf": None}
    return {"name": session.name, "role": session.role.label, "csrf": session.csrf}
