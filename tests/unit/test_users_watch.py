"""Who edits the users file by hand stands in the audit trail, and who uses the command stands there once."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge_inspector.records import Change
from edge_inspector.store.audit import append
from edge_inspector.store.users import Role, User, write_users
from edge_inspector.watches.users import UsersWatch

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


def user(name: str, role: Role) -> User:
    return User(name, role, bytes(16), bytes(64))


def write(path: Path, **roles: Role) -> None:
    write_users(path, {name: user(name, role) for name, role in roles.items()})


@pytest.fixture
def users(tmp_path: Path) -> Path:
    return tmp_path / "users"


def test_what_the_trail_says_already_is_not_said_again(tmp_path: Path, users: Path) -> None:
    for name, after in (("ann", "viewer"), ("ann", "admin"), ("bob", "viewer"), ("bob", "removed")):
        append(tmp_path, Change("command:root", "user", name, after=after), NOON)
    write(users, ann=Role.ADMIN)
    assert UsersWatch(tmp_path, users).look() == []


def test_an_edit_by_hand_is_said_once_with_the_role_before_and_after(tmp_path: Path, users: Path) -> None:
    append(tmp_path, Change("command:root", "user", "ann", after="viewer"), NOON)
    append(tmp_path, Change("command:root", "user", "bob", after="viewer"), NOON)
    write(users, ann=Role.ADMIN, eve=Role.ADMIN)
    watch = UsersWatch(tmp_path, users)
    found = watch.look()
    assert found == [
        Change("files", "user", "ann", before="viewer", after="admin"),
        Change("files", "user", "bob", before="viewer", after="removed"),
        Change("files", "user", "eve", before="", after="admin"),
    ]
    assert watch.look() == [], "the file is as it was"
    for change in found:
        append(tmp_path, change, NOON)
    assert UsersWatch(tmp_path, users).look() == [], "a restart finds it in the trail"
    write(users, ann=Role.ADMIN)
    assert watch.look() == [Change("files", "user", "eve", before="admin", after="removed")]


def test_a_damaged_file_is_said(tmp_path: Path, users: Path) -> None:
    users.write_text("nonsense\n")
    watch = UsersWatch(tmp_path, users)
    (change,) = watch.look()
    assert (change.who, change.what) == ("files", "users file")
    assert "nobody can log in" in change.after
    assert watch.look() == []


def test_a_station_without_users_has_nothing_to_say(tmp_path: Path, users: Path) -> None:
    assert UsersWatch(tmp_path, users).look() == []
