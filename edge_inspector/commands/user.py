"""`edge-inspector user`: who may log in to the operator page."""

from __future__ import annotations

import argparse
import getpass
import sys
from pathlib import Path
from typing import Final

from edge_inspector.commands.arguments import add_why
from edge_inspector.commands.changes import write_down
from edge_inspector.errors import ConfigError, Fault
from edge_inspector.station.load import read_state_dir, users_path
from edge_inspector.store.users import Role, new_user, read_users, write_users

_STATION: Final = Path("/etc/edge-inspector/station.toml")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, with whom, and at which station."""
    parser.add_argument("action", choices=["add", "remove", "list"], metavar="ACTION", help="add, remove or list")
    parser.add_argument("name", nargs="?", default="", metavar="NAME", help="the user to add or remove")
    parser.add_argument(
        "--role",
        choices=[role.label for role in Role],
        default=Role.VIEWER.label,
        help="viewer may look, reviewer also mark, operator also change the product, admin do all (default: viewer)",
    )
    parser.add_argument(
        "--station",
        type=Path,
        default=_STATION,
        metavar="STATION.toml",
        help=f"the station file (default: {_STATION})",
    )
    add_why(parser)


def run(given: argparse.Namespace) -> int:
    """Change the users file, or print it."""
    if given.action == "list":
        return list_users(given.station)
    if given.action == "remove":
        return remove_user(given.station, given.name, given.why)
    return add_user(given.station, given.name, given.role, given.why)


def add_user(station: Path, name: str, role: str, why: str = "") -> int:
    """Add a user, or give an existing user a new role and password, which ends the user's sessions.

    The password comes from the terminal, or from stdin if it is piped.
    """
    path = users_path(station)
    users = read_users(path)
    known = name in users
    before = users[name].role.label if known else ""
    users[name] = new_user(name, Role[role.upper()], _password())
    write_down(read_state_dir(station), "user", name, before=before, after=role, why=why)
    write_users(path, users)
    print(f"{'changed' if known else 'added'} {role} {name} in {path}")
    return 0


def remove_user(station: Path, name: str, why: str = "") -> int:
    """Remove a user, even one who is logged in."""
    path = users_path(station)
    users = read_users(path)
    gone = users.pop(name, None)
    if gone is None:
        raise ConfigError([Fault(str(path), f"there is no user {name!r}")])
    write_down(read_state_dir(station), "user", name, before=gone.role.label, after="removed", why=why)
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
