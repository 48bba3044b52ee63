"""Logging in and out."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edge_inspector.errors import ConfigError
from edge_inspector.store.users import User, UsersFile, authenticate
from edge_inspector.web.access import COOKIE, Access, Entry, RequestError, read_json, text_of
from edge_inspector.web.sessions import Attempts, Session, Sessions

log = logging.getLogger(__name__)


class Login:
    """The session's three URLs. A change of the users file needs no restart."""

    def __init__(self, users: UsersFile, sessions: Sessions, access: Access, *, secure: bool, path: str = "") -> None:
        self._users = users
        self._sessions = sessions
        self._access = access
        self._secure = secure
        self._path = path or "/"
        self._attempts = Attempts()

    def entries(self) -> Sequence[Entry]:
        """The URLs of this class."""
        return [
            Entry("GET", "/api/session", self._who, role=None),
            Entry("POST", "/api/login", self._login, role=None),
            Entry("POST", "/api/logout", self._logout, role=None),
        ]

    async def _who(self, request: Request) -> Response:
        return JSONResponse(_told(self._access.session(request)))

    async def _login(self, request: Request) -> Response:
        body = await read_json(request)
        name, password = text_of(body, "name", 64), text_of(body, "password", 1024)
        address = request.client.host if request.client else ""
        user = await self._known(address, name, password)
        if user is None:
            log.warning("login failed from %s", address)
            raise RequestError(401, "wrong name or password")
        session = self._sessions.open(user)
        log.info("login of %s (%s) from %s", user.name, user.role.label, address)
        answer = JSONResponse(_told(session))
        # Behind a reverse proxy that encrypts, the browser itself shows whether the connection is secure.
        secure = self._secure or request.headers.get("origin", "").startswith("https://")
        answer.set_cookie(COOKIE, session.token, path=self._path, httponly=True, samesite="strict", secure=secure)
        return answer

    async def _known(self, address: str, name: str, password: str) -> User | None:
        async with self._access.turn():
            wait_s = self._attempts.wait_s(address)  # checked only here, because many requests may have come at once
            if wait_s:
                raise RequestError(429, f"too many wrong passwords; wait {math.ceil(wait_s / 60)} min")
            try:
                user = authenticate(self._users.now(), name, password)
            except ConfigError as error:
                log.error("login impossible: %s", error)  # noqa: TRY400 -- the message says it all
                raise RequestError(503, "the users file cannot be used; see the log") from error
            (self._attempts.succeeded if user else self._attempts.failed)(address)
            return user

    async def _logout(self, request: Request) -> Response:
        self._sessions.close(request.cookies.get(COOKIE, ""))
        answer = JSONResponse(_told(None))
        answer.delete_cookie(COOKIE, path=self._path, httponly=True, samesite="strict", secure=self._secure)
        return answer


def _told(session: Session | None) -> dict[str, str | None]:
    if session is None:
        return {"name": None, "role": None, "csrf": None}
    return {"name": session.name, "role": session.role.label, "csrf": session.csrf}
