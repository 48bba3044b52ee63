"""Login sessions, and the limit on failed logins."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict, deque
from dataclasses import dataclass

from edge_inspector.errors import ConfigError
from edge_inspector.store.users import Role, User, UsersFile

_SESSIONS = 256
_ADDRESSES = 1024
_WINDOW_S = 300.0
_FAILURES = 5  # per address in a window. So a guess of eight random characters takes longer than a machine lasts
_FAILURES_ALL = 50  # from everywhere together: each guess costs 50 ms of a core


@dataclass(frozen=True, slots=True)
class Session:
    """One login. `token` is the cookie's value. `csrf` must come back with every change."""

    token: str
    csrf: str
    user: User
    until_s: float

    @property
    def name(self) -> str:
        """The name of the user."""
        return self.user.name

    @property
    def role(self) -> Role:
        """The role of the user."""
        return self.user.role


class Sessions:
    """Kept in memory, so a restart of the daemon logs everybody out.

    A session is valid as long as its user's entry in the users file is the same as at the login.
    """

    def __init__(self, users: UsersFile, lifetime_s: float) -> None:
        self._users = users
        self._lifetime_s = lifetime_s
        self._held: OrderedDict[str, Session] = OrderedDict()

    def open(self, user: User) -> Session:
        """Start a session. If there are too many, the oldest one ends."""
        session = Session(
            secrets.token_urlsafe(32), secrets.token_urlsafe(32), user, time.monotonic() + self._lifetime_s
        )
        self._held[session.token] = session
        while len(self._held) > _SESSIONS:
            self._held.popitem(last=False)
        return session

    def find(self, token: str) -> Session | None:
        """The session behind a cookie, unless it has expired or its user was removed or changed."""
        session = self._held.get(token)
        if session is None:
            return None
        try:
            known = self._users.now().get(session.name) == session.user
        except ConfigError:
            return None  # a damaged file lets nobody in. Once it is repaired, it may still have the user
        if known and session.until_s > time.monotonic():
            return session
        self.close(token)
        return None

    def close(self, token: str) -> None:
        """End the session."""
        self._held.pop(token, None)


class Attempts:
    """Counts failed logins over five minutes, per address and all together."""

    def __init__(self) -> None:
        self._by_address: OrderedDict[str, deque[float]] = OrderedDict()
        self._all: deque[float] = deque()

    def wait_s(self, address: str) -> float:
        """How long this address must wait before its next attempt. 0 if it may try now."""
        now = time.monotonic()
        mine = self._by_address.get(address, deque())
        return max(_wait(mine, _FAILURES, now), _wait(self._all, _FAILURES_ALL, now))

    def failed(self, address: str) -> None:
        """Count a failure."""
        now = time.monotonic()
        self._by_address.setdefault(address, deque()).append(now)
        self._by_address.move_to_end(address)
        self._all.append(now)
        while len(self._by_address) > _ADDRESSES:
            self._by_address.popitem(last=False)

    def succeeded(self, address: str) -> None:
        """Forget this address's failures."""
        self._by_address.pop(address, None)


def _wait(failures: deque[float], limit: int, now: float) -> float:
    while failures and now - failures[0] > _WINDOW_S:
        failures.popleft()
    return failures[0] + _WINDOW_S - now if len(failures) >= limit else 0.0
