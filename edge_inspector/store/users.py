"""The users file: who may do what. It does not contain the passwords."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import KW_ONLY, dataclass
from enum import IntEnum
from pathlib import Path

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.store.whole_file import replace_file

# 16 MiB and a quarter of a second for each guess: OWASP's alternative to N = 2^17, p = 1 for little memory.
_COST = {"n": 1 << 14, "r": 8}
_ROUNDS = 5  # scrypt's p
_ROUNDS_MAX = 16
_SALT_BYTES = 16
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_SHORTEST = 8
_LONGEST = 256
_ROWS = (
    "12345678901234567890",
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
)
# Alone or with digits behind them.
_EASY = frozenset(
    {
        "admin",
        "administrator",
        "changeme",
        "default",
        "edge-inspector",
        "edgeinspector",
        "inspector",
        "iloveyou",
        "letmein",
        "operator",
        "passw0rd",
        "passwd",
        "password",
        "passwort",
        "qwertz",
        "qwerty",
        "reviewer",
        "siemens",
        "station",
        "superuser",
        "test",
        "viewer",
        "welcome",
        "willkommen",
    }
)


class Role(IntEnum):
    """The rights of a user. Each role includes the rights of those before it."""

    VIEWER = 1
    REVIEWER = 2
    OPERATOR = 3
    ADMIN = 4

    @property
    def label(self) -> str:
        """The name in the users file and on the page."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class User:
    """One line of the file: `name:role:salt:hash:rounds`. Salt and hash are in hex. Without `rounds` there is one."""

    name: str
    role: Role
    salt: bytes
    digest: bytes
    _: KW_ONLY
    rounds: int = 1

    def __str__(self) -> str:
        rounds = "" if self.rounds == 1 else f":{self.rounds}"
        return f"{self.name}:{self.role.label}:{self.salt.hex()}:{self.digest.hex()}{rounds}"

    def knows(self, password: str) -> bool:
        """Whether this is the user's password. The check takes some 50 ms for each round."""
        return hmac.compare_digest(_digest(password, self.salt, self.rounds), self.digest)


_NOBODY = User("", Role.VIEWER, bytes(_SALT_BYTES), b"")


def new_user(name: str, role: Role, password: str, *, rounds: int = _ROUNDS) -> User:
    """A user with a new salt. Raises ConfigError for an unusable name or password."""
    if not _NAME.fullmatch(name):
        raise ConfigError([Fault("name", "must be 1 to 32 letters, digits, dots, dashes or underscores")])
    if not _SHORTEST <= len(password) <= _LONGEST:
        raise ConfigError([Fault("password", f"must have {_SHORTEST} to {_LONGEST} characters")])
    if _is_easy(name, password):
        raise ConfigError([Fault("password", "is among the first that anybody would try: choose another one")])
    salt = secrets.token_bytes(_SALT_BYTES)
    return User(name, role, salt, _digest(password, salt, rounds), rounds=rounds)


def read_users(path: Path) -> dict[str, User]:
    """The users by name. Empty if there is no file. Raises ConfigError with every wrong line."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([Fault(str(path), f"cannot be read: {error}")]) from error
    users: dict[str, User] = {}
    faults: list[Fault] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        user = _parsed(line)
        if user is None:
            faults.append(
                Fault(f"{path}: line {number}", "is not name:role:salt:hash:rounds. Use `edge-inspector user add`")
            )
        else:
            users[user.name] = user
    if faults:
        raise ConfigError(faults)
    return users


class UsersFile:
    """The present users of the file. It reads the file again only if it has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._users: dict[str, User] = {}

    def now(self) -> dict[str, User]:
        """The users by name. Empty if there is no file. Raises ConfigError."""
        stamp = self._stamped()
        if stamp is None or stamp != self._stamp:
            self._users = read_users(self._path)
            self._stamp = stamp
        return self._users

    def _stamped(self) -> tuple[int, int, int] | None:
        try:
            file = self._path.stat()
        except OSError:
            return None
        return file.st_ino, file.st_mtime_ns, file.st_size


def write_users(path: Path, users: dict[str, User]) -> None:
    """Replace the file in one step, readable by its owner and group only. Raises ConfigError."""
    text = "# Users of the operator page. Written by `edge-inspector user`.\n"
    text += "".join(f"{user}\n" for user in users.values())
    try:
        replace_file(path, text)
    except OSError as error:
        raise ConfigError([Fault(str(path), f"cannot be written: {error.strerror}")]) from error


def authenticate(users: dict[str, User], name: str, password: str) -> User | None:
    """The user with this name and password. A wrong name takes as long as a wrong password."""
    if len(password) > _LONGEST:
        return None
    user = users.get(name, _NOBODY)
    knows = user.knows(password)
    slowest = max((each.rounds for each in users.values()), default=_ROUNDS)
    if user.rounds < slowest:  # the time must not show who has an older hash, or who is unknown
        _digest(password, user.salt, slowest - user.rounds)
    return user if knows and user is not _NOBODY else None


def _is_easy(name: str, password: str) -> bool:
    """Whether the password is guessed within the first attempts."""
    plain = re.sub(r"[\W\d_]+$", "", password.lower()) or password.lower()
    in_order = any(password.lower() in row or password.lower()[::-1] in row for row in _ROWS)
    return len(set(password)) < 4 or in_order or plain in _EASY or plain == name.lower()


def _parsed(line: str) -> User | None:
    name, _, rest = line.strip().partition(":")
    role, _, rest = rest.partition(":")
    salt, _, rest = rest.partition(":")
    digest, _, rounds = rest.partition(":")
    try:
        user = User(name, Role[role.upper()], bytes.fromhex(salt), bytes.fromhex(digest), rounds=int(rounds or 1))
    except (KeyError, ValueError):
        return None
    if not 1 <= user.rounds <= _ROUNDS_MAX:
        return None
    return user if _NAME.fullmatch(name) and len(user.salt) == _SALT_BYTES and len(user.digest) == 64 else None


def _digest(password: str, salt: bytes, rounds: int) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, p=rounds, **_COST)
