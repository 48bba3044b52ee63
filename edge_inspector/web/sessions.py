"""Login sessions, and the limit on failed logins."""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
import time
from collections import OrderedDict, deque
from dataclasses import dataclass

from edge_inspector.errors import ConfigError
from edge_inspector.store.users import Role, User, UsersFile

_SESSIONS = 256
_OF_ONE_USER = 16  # so that one user cannot end the sessions of all others
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

    def __init__(self, users: UsersFile, lifetime_s: float, idle_s: float = math.inf) -> None:
        self._users = users
        self._lifetime_s = lifetime_s
        self._idle_s = idle_s
        self._held: OrderedDict[str, Session] = OrderedDict()
        self._used_s: dict[str, float] = {}

    def open(self, user: User) -> Session:
        """Start a session. If there are too many, the oldest one ends: of the same user first."""
        session = Session(
            secrets.token_urlsafe(32), secrets.token_urlsafe(32), user, time.monotonic() + self._lifetime_s
        )
        self._held[session.token] = session
        self._used_s[session.token] = time.monotonic()
        own = [token for token, each in self._held.items() if each.name == user.name]
        for token in own[:-_OF_ONE_USER]:
            self.close(token)
        while len(self._held) > _SESSIONS:
            self.close(next(iter(self._held)))
        return session

    def find(self, token: str) -> Session | None:
        """The session behind a cookie, unless it has expired, nobody used it, or its user was removed or changed."""
        session = self._held.get(token)
        if session is None:
            return None
        try:
            known = self._users.now().get(session.name) == session.user
        except ConfigError:
            return None  # a damaged file lets nobody in. Once it is repaired, it may still have the user
        if known and session.until_s > time.monotonic() and not self._is_idle(session):
            return session
        self.close(token)
        return None

    def used(self, token: str) -> None:
        """A person has just used this session. Pages that ask by themselves do not count."""
        if token in self._used_s:
            self._used_s[token] = time.monotonic()

    def _is_idle(self, session: Session) -> bool:
        """Whether nobody has used it for too long. A viewer changes nothing, and may have a screen on the wall."""
        return session.role > Role.VIEWER and time.monotonic() - self._used_s[session.token] > self._idle_s

    def close(self, token: str) -> None:
        """End the session."""
        self._held.pop(token, None)
        self._used_s.pop(token, None)


class Attempts:
    """Counts failed logins over five minutes.

    Five from one address make this address wait. A browser in which the same user has logged in before is counted by
    itself, so strangers behind the same address do not lock it out. Very many failures from everywhere lock nobody out.
    They make logins `slow`.
    """

    def __init__(self) -> None:
        self._failures: OrderedDict[tuple[str, str], deque[tuple[float, str]]] = OrderedDict()
        self._all: deque[float] = deque()

    @property
    def slow(self) -> bool:
        """Whether so many logins failed that each attempt from an unknown browser should take longer."""
        _forget(self._all, time.monotonic())
        return len(self._all) >= _FAILURES_ALL

    def wait_s(self, place: tuple[str, str]) -> float:
        """How long this place must wait before its next attempt. 0 if it may try now."""
        now, failures = time.monotonic(), self._failures.get(place, deque())
        while failures and now - failures[0][0] > _WINDOW_S:
            failures.popleft()
        return failures[0][0] + _WINDOW_S - now if len(failures) >= _FAILURES else 0.0

    def failed(self, place: tuple[str, str], name: str) -> None:
        """Count a failure."""
        now = time.monotonic()
        self._failures.setdefault(place, deque()).append((now, name))
        self._failures.move_to_end(place)
        self._all.append(now)
        _forget(self._all, now)
        while len(self._failures) > _ADDRESSES:
            self._failures.popitem(last=False)

    def succeeded(self, place: tuple[str, str], name: str) -> None:
        """Forget the failures of this user at this place. Those under other names stay."""
        left = deque(each for each in self._failures.get(place, ()) if each[1] != name)
        if left:
            self._failures[place] = left
        else:
            self._failures.pop(place, None)


def device_mark(user: User) -> str:
    """What a browser keeps to show that this user has logged in with it. It is worth nothing without the password."""
    proof = hmac.new(user.digest, b"device of " + user.name.encode(), hashlib.sha256).hexdigest()
    return f"{user.name}.{proof}"


def _forget(failures: deque[float], now: float) -> None:
    while failures and (now - failures[0] > _WINDOW_S or len(failures) > _FAILURES_ALL):
        failures.popleft()
