"""The users file: who may do what. It does not contain the passwords."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import re
import secrets
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from edge_inspector.errors import ConfigError, Fault

# 16 MiB and some 50 ms for each guess. It is OWASP's alternative to N = 2^17 for little memory, with p = 1.
_COST = {"n": 1 << 14, "r": 8, "p": 1}
_SALT_BYTES = 16
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_SHORTEST = 8
_LONGEST = 256


class Role(IntEnum):
    """The rights of a user. Each role includes the rights of those before it."""

    VIEWER = 1
    REVIEWER = 2
    ADMIN = 3

    @property
    def label(self) -> str:
        """The name in the users file and on the page."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class User:
    """One line of the file: `name:role:salt:hash`. Salt and hash are in hex."""

    name: str
    role: Role
    salt: bytes
    digest: bytes

    def __str__(self) -> str:
        return f"{self.name}:{self.role.label}:{self.salt.hex()}:{self.digest.hex()}"

    def knows(self, password: str) -> bool:
        """Whether this is the user's password. The check takes some 50 ms."""
        return hmac.compare_digest(_digest(password, self.salt), self.digest)


_NOBODY = User("", Role.VIEWER, bytes(_SALT_BYTES), b"")


def new_user(name: str, role: Role, password: str) -> User:
    """A user with a new salt. Raises ConfigError for an unusable name or password."""
    if not _NAME.fullmatch(name):
        raise ConfigError([Fault("name", "must be 1 to 32 letters, digits, dots, dashes or underscores")])
    if not _SHORTEST <= len(password) <= _LONGEST:
        raise ConfigError([Fault("password", f"must have {_SHORTEST} to {_LONGEST} characters")])
    salt = secrets.token_bytes(_SALT_BYTES)
    return User(name, role, salt, _digest(password, salt))


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
            faults.append(Fault(f"{path}: line {number}", "is not name:role:salt:hash; use `edge-inspector user add`"))
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
    fresh = path.with_name(f".{path.name}.new")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
        with os.fdopen(descriptor, "w") as file:
            os.fchmod(file.fileno(), 0o640)  # whatever the umask is: the service reads it through its group
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            # root writes a file that the service must read, so it gets the folder's group
            with contextlib.suppress(PermissionError):
                os.fchown(file.fileno(), -1, path.parent.stat().st_gid)
        fresh.replace(path)
    except OSError as error:
        raise ConfigError([Fault(str(path), f"cannot be written: {error.strerror}")]) from error


def authenticate(users: dict[str, User], name: str, password: str) -> User | None:
    """The user with this name and password. A wrong name takes as long as a wrong password."""
    if len(password) > _LONGEST:
        return None
    user = users.get(name, _NOBODY)
    return user if user.knows(password) and user is not _NOBODY else None


def _parsed(line: str) -> User | None:
    name, _, rest = line.strip().partition(":")
    role, _, rest = rest.partition(":")
    salt, _, digest = rest.partition(":")
    try:
        user = User(name, Role[role.upper()], bytes.fromhex(salt), bytes.fromhex(digest))
    except (KeyError, ValueError):
        return None
    return user if _NAME.fullmatch(name) and len(user.salt) == _SALT_BYTES and len(user.digest) == 64 else None


def _digest(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, **_COST)
