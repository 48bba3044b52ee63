import io
import os
import stat
from pathlib import Path

import pytest
from support.page import station_files

from edge_inspector.cli import main
from edge_inspector.errors import ConfigError
from edge_inspector.records import Change
from edge_inspector.station.load import load_station, read_state_dir, users_path
from edge_inspector.store.audit import read, verify
from edge_inspector.store.users import Role, authenticate, new_user, read_users, write_users

GOOD = "correct horse"


def test_a_user_is_known_by_the_password_alone(tmp_path: Path) -> None:
    file = tmp_path / "users"
    write_users(file, {"eva": new_user("eva", Role.REVIEWER, GOOD)})
    users = read_users(file)
    found = authenticate(users, "eva", GOOD)
    assert found is not None
    assert (found.name, found.role) == ("eva", Role.REVIEWER)
    assert authenticate(users, "eva", "correct mare") is None
    assert authenticate(users, "adam", GOOD) is None
    assert authenticate({}, "", "") is None


def test_the_file_holds_no_password_and_is_not_for_everybody(tmp_path: Path) -> None:
    file = tmp_path / "users"
    write_users(file, {name: new_user(name, Role.VIEWER, GOOD) for name in ("eva", "adam")})
    text = file.read_text()
    assert GOOD not in text
    assert len({line.split(":")[3] for line in text.splitlines()[1:]}) == 2, "the same password, other salts"
    assert stat.S_IMODE(file.stat().st_mode) & 0o007 == 0


def test_the_group_may_read_the_file_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write_users(tmp_path / "users", {})
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "users").stat().st_mode) == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_the_service_may_read_what_root_writes(tmp_path: Path) -> None:
    os.chown(tmp_path, 0, 12345)
    write_users(tmp_path / "users", {"eva": new_user("eva", Role.VIEWER, GOOD)})
    assert (tmp_path / "users").stat().st_gid == 12345


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("a:b", GOOD),
        ("", GOOD),
        ("x" * 33, GOOD),
        ("eva", "short"),
        ("eva", "x" * 257),
        ("eva", "Password"),
        ("eva", "12345678"),
        ("eva", "abababab"),
        ("evangelina", "Evangelina1!"),
    ],
)
def test_a_name_or_password_that_will_not_do_is_refused(name: str, password: str) -> None:
    with pytest.raises(ConfigError):
        new_user(name, Role.VIEWER, password)


@pytest.mark.parametrize(
    "line", ["eva", "eva:viewer", "eva:king:00:00", "eva:viewer:zz:00", f"eva:admin:{'00' * 16}:", "::::"]
)
def test_a_damaged_file_lets_nobody_in(tmp_path: Path, line: str) -> None:
    file = tmp_path / "users"
    file.write_text(f"# a comment\n\n{line}\n")
    with pytest.raises(ConfigError, match="line 3"):
        read_users(file)


def test_users_come_and_go_by_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    station = station_files(tmp_path)
    (tmp_path / "users").unlink()
    where = ["--station", str(station)]

    def user(*words: str, typed: str = GOOD) -> int:
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{typed}\n"))
        return main(["user", *words, *where])

    assert user("add", "eva", "--role", "reviewer") == 0
    assert user("add", "eva", "--role", "admin") == 0
    assert user("add", "adam", typed="short") == 2
    capsys.readouterr()
    assert user("list") == 0
    assert capsys.readouterr().out == "eva\tadmin\n"
    assert user("remove", "eva") == 0
    assert user("remove", "eva") == 2
    assert read_users(tmp_path / "users") == {}


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b""])
def test_a_password_from_a_file_is_its_first_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: bytes
) -> None:
    station = station_files(tmp_path)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("straße 1234".encode() + ending), newline=""))
    assert main(["user", "add", "eva", "--station", str(station)]) == 0
    assert authenticate(read_users(tmp_path / "users"), "eva", "straße 1234") is not None


def test_a_password_from_a_file_with_a_byte_order_mark_is_the_text_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    station = station_files(tmp_path)
    given = io.TextIOWrapper(io.BytesIO("straße 1234\r\n".encode("utf-8-sig")), "utf-8", newline="")
    monkeypatch.setattr("sys.stdin", given)
    assert main(["user", "add", "eva", "--station", str(station)]) == 0
    assert authenticate(read_users(tmp_path / "users"), "eva", "straße 1234") is not None


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_a_password_that_is_no_text_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, errors: str) -> None:
    station = station_files(tmp_path)
    given = io.TextIOWrapper(io.BytesIO(b"stra\xdfe 1234\n"), "utf-8", errors)
    monkeypatch.setattr("sys.stdin", given)
    assert main(["user", "add", "eva", "--station", str(station)]) == 2
    assert "eva" not in read_users(tmp_path / "users")


def test_a_page_open_to_the_network_is_encrypted_or_said_to_be_protected(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "192.168.0.5", "::", "press-7"):  # noqa: S104 -- nothing is bound
        station = station_files(tmp_path, f'host = "{host}"\n')
        with pytest.raises(ConfigError, match="open to the network"):
            load_station(station)
    station_files(tmp_path, 'host = "0.0.0.0"\nallow_plain = true\n')
    assert load_station(station).file.web.users == tmp_path / "users"


def test_a_certificate_comes_with_its_key(tmp_path: Path) -> None:
    station = station_files(tmp_path, 'certificate = "cert.pem"\n')
    with pytest.raises(ConfigError, match="belong together") as caught:
        load_station(station)
    assert "cert.pem is not a file" in str(caught.value)


def test_a_certificate_that_is_none_is_a_fault_before_anything_starts(tmp_path: Path) -> None:
    station = station_files(tmp_path, 'certificate = "cert.pem"\nprivate_key = "cert.pem"\n')
    (tmp_path / "cert.pem").write_text("no certificate\n")
    with pytest.raises(ConfigError, match=r"web\.certificate: cannot be used"):
        load_station(station)


def test_who_may_log_in_is_a_change_that_is_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    station = station_files(tmp_path)
    state = read_state_dir(station)
    monkeypatch.setenv("SUDO_USER", "root-of-all")
    for words in (["add", "zoe", "--role", "admin"], ["add", "zoe"], ["remove", "zoe"]):
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{GOOD}\n"))
        assert main(["user", *words, "--station", str(station)]) == 0
    assert [entry.change for entry in read(state)] == [
        Change("command:root-of-all", "user", "zoe", before="", after="admin"),
        Change("command:root-of-all", "user", "zoe", before="admin", after="viewer"),
        Change("command:root-of-all", "user", "zoe", before="viewer", after="removed"),
    ]
    assert verify(state) == []


def test_without_a_record_nobody_is_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    station = station_files(tmp_path)
    state = read_state_dir(station)
    (state / "audit.jsonl").mkdir(parents=True)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{GOOD}\n"))
    assert main(["user", "add", "zoe", "--station", str(station)]) == 2
    assert "zoe" not in read_users(users_path(station))


@pytest.mark.parametrize(
    "password",
    ["password", "Password1", "12345678", "87654321", "qwertzui", "aaaaaaaa", "Eva-2026!", "admin2026", "Willkommen1!"],
)
def test_a_password_that_anybody_would_try_first_is_refused(password: str) -> None:
    with pytest.raises(ConfigError, match="among the first"):
        new_user("eva", Role.VIEWER, password)
