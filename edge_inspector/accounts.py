"""`edge-inspector user`: who may log in to the operator page."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path

from edge_inspector.config import users_path
from edge_inspector.errors import ConfigError, Fault
from edge_inspector.store.users import Role, new_user, read_users, write_users


def add_user(station: Path, name: str, role: str) -> int:
    """Add a user, or give an existing user a new role and password, which ends the user's sessions.

    The password comes from the terminal, or from stdin if it is piped.
    """
    path = users_path(station)
    users = read_users(path)
    known = name in users
    users[name] = new_user(name, Role[role.upper()], _password())
    write_users(path, users)
    print(f"{'changed' if known else 'added'} {role} {name} in {path}")
    return 0


def remove_user(station: Path, name: str) -> int:
    """Remove a user, even one who is logged in."""
    path = users_path(station)
    users = read_users(path)
    if users.pop(name, None) is None:
        raise ConfigError([Fault(str(path), f"there is no user {name!r}")])
    write_users(path, users)
    print(f"removed {name} from {path}")
    return 0


def list_users(station: Path) -> int:
    """Print names and roles."""
    for user in read_users(users_path(station)).values():
        print(f"{user.name}\t{user.role.label}")
    return 0


def _password() -> str:
    try:
        password = _typed() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n").removeprefix("\ufeff")
        password.encode()
    except UnicodeError as error:
        raise ConfigError([Fault("password", "is not UTF-8, which is what browsers send")]) from error
    return password


def _typed() -> str:
    password = getpass.getpass("password: ")
    if getpass.getpass("once more: ") != password:
        raise ConfigError([Fault("password", "the two are not the same")])
    return password
