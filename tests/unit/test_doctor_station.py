"""What the doctor says of a station's surroundings: each thing that is not well comes with a command."""

import socket
from pathlib import Path

import pytest
from support.page import certified, station_files

from edge_inspector.cli import main
from edge_inspector.commands import doctor_station
from edge_inspector.commands.doctor_station import look_at_station


@pytest.fixture(autouse=True)
def _on_a_plain_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)


def looks(station: Path, answers: dict[str, str] | None = None) -> dict[str, str]:
    """What is wrong, and what to do about it."""
    found = look_at_station(station, lambda command: (answers or {}).get(command[0]))
    return {what: remedy for what, remedy in found if remedy}


def change(station: Path, old: str, new: str) -> None:
    text = station.read_text()
    assert old in text
    station.write_text(text.replace(old, new))


def test_what_does_not_answer_is_told_with_what_to_try(tmp_path: Path) -> None:
    wrong = looks(station_files(tmp_path))
    assert {what.partition(":")[0]: remedy for what, remedy in wrong.items()} == {
        "'plc' does not answer on 127.0.0.1 port 1": "ping 127.0.0.1",
        "'broker' does not answer on 127.0.0.1 port 1": "systemctl start mosquitto",
    }


def test_what_answers_needs_nothing(tmp_path: Path) -> None:
    station = station_files(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as server:
        change(station, "port = 1 ", f"port = {server.getsockname()[1]} ")
        change(station, "port = 1,", f"port = {server.getsockname()[1]},")
        assert looks(station) == {}


def test_a_page_that_cannot_be_served_is_told_unless_the_station_runs(tmp_path: Path) -> None:
    station = station_files(tmp_path)
    port = int(station.read_text().partition("[web]\nport = ")[2].split()[0])
    with socket.create_server(("127.0.0.1", port)):
        assert f"web.port {port} on 127.0.0.1 is taken" in looks(station)["the page cannot be served now"]
        assert "the page cannot be served now" not in looks(station, {"systemctl": "active\n"})


def test_a_key_or_token_that_others_can_read_is_told(tmp_path: Path) -> None:
    station = station_files(tmp_path)
    secrets = {name: tmp_path / name for name in ("page.key", "token")}
    secrets["token"].write_text("a" * 32)
    web = certified(tmp_path) + 'machines_token_file = "token"\n'
    change(station, "[web]\n", "[web]\n" + web)
    for mode, told in ((0o640, False), (0o644, True)):
        for secret in secrets.values():
            secret.chmod(mode)
        found = looks(station)
        for key, name in (("private_key", "page.key"), ("machines_token_file", "token")):
            assert (found.get(f"others can read web.{key}") == f"chmod o-rwx {secrets[name]}") is told


def test_a_page_that_nobody_can_log_in_to_is_told_with_the_command(tmp_path: Path) -> None:
    station = station_files(tmp_path)
    users = tmp_path / "users"
    users.chmod(0o644)
    assert looks(station)["others can read the users file"] == f"chmod o-rwx {users}"
    users.write_text("no user\n")
    assert "line 1" in looks(station)["nobody can log in to the page"]
    users.unlink()
    command = f"edge-inspector user add NAME --role admin --station {station}"
    assert looks(station)[f"nobody can log in to the page: {users} has no users"] == command


@pytest.mark.parametrize(
    ("ends", "what"),
    [
        ("notAfter=Dec  1 12:00:00 2000 GMT\n", "the page's certificate has expired"),
        (None, "openssl does not read {}/page.crt"),
    ],
)
def test_a_certificate_that_ends_is_told(tmp_path: Path, ends: str | None, what: str) -> None:
    station = station_files(tmp_path, certified(tmp_path))
    assert what.format(tmp_path) in looks(station, {} if ends is None else {"openssl": ends})


def test_a_certificate_that_holds_for_long_needs_nothing(tmp_path: Path) -> None:
    station = station_files(tmp_path, certified(tmp_path))
    wrong = looks(station, {"openssl": "notAfter=Dec  1 12:00:00 9000 GMT\n"})
    assert not [each for each in wrong if "certificate" in each]


def test_a_state_folder_without_room_or_without_rights_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    station = station_files(tmp_path)
    monkeypatch.setattr(doctor_station, "_FREE_BYTES", 1 << 80)
    assert any(remedy.startswith("make room: du -xh") for remedy in looks(station).values())
    (tmp_path / "state").write_text("a file")
    assert "is a file where a folder must be" in looks(station)["the state folder cannot be used"]


def test_a_camera_that_is_not_there_or_not_for_this_user_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    station = station_files(tmp_path)
    camera = (
        '[[cameras]]\nname = "top"\ndriver = "opencv"\noffset_mm = 1\nmm_per_px = 1\nsettings = {{ source = "{}" }}\n'
    )
    station.write_text(station.read_text() + camera.format("/dev/video99"))
    assert looks(station)["camera 'top': /dev/video99 is not there"] == "edge-inspector cameras"
    change(station, "/dev/video99", "/dev/null")
    assert not [each for each in looks(station) if "camera" in each]
    monkeypatch.setattr("os.access", lambda *_: False)
    assert "usermod -aG video" in looks(station)["camera 'top': this user may not use /dev/null"]


def test_the_doctor_looks_at_the_station_that_it_is_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(station_files(tmp_path))]) == 1
    assert "FIX   'plc' does not answer on 127.0.0.1 port 1" in capsys.readouterr().out
    assert main(["doctor", str(tmp_path / "gone.toml")]) == 2


@pytest.mark.parametrize(
    ("shown", "remedy"),
    [
        ("LoadState=loaded\nRestart=always\n", ""),
        ("Restart=on-failure\nLoadState=loaded\n", "systemctl edit edge-inspector"),
        ("Restart=no\nLoadState=loaded\n", "Restart=always"),
        ("Restart=no\nLoadState=not-found\n", ""),
        ("", ""),
    ],
)
def test_a_service_that_does_not_start_the_station_again_is_told(tmp_path: Path, shown: str, remedy: str) -> None:
    found = look_at_station(
        station_files(tmp_path), lambda command: shown if command[:2] == ["systemctl", "show"] else None
    )
    ((what, told),) = [(what, told) for what, told in found if "start" in what and "again" in what]
    assert remedy in told
    assert bool(told) is bool(remedy), what


def test_a_station_that_accepts_roll_outs_needs_somebody_who_starts_it_again(tmp_path: Path) -> None:
    what, remedy = doctor_station._new_start(lambda _: None, tmp_path, needed=True)
    assert (what, remedy.partition(" installs")[0]) == (
        "no service is seen that starts the station again when it ends",
        "sudo deploy/install.sh",
    )
    assert doctor_station._new_start(lambda _: None, tmp_path, needed=False)[1] == ""


def test_in_kubernetes_a_pod_is_always_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    told = doctor_station._new_start(lambda _: None, tmp_path, needed=True)
    assert told == ("Kubernetes starts the station again when it ends", "")


@pytest.mark.parametrize(
    ("file", "what"),
    [
        (".dockerenv", "a container cannot see whether it is started again: `docker inspect"),
        ("run/.containerenv", "a container cannot see whether it is started again"),
    ],
)
def test_a_container_says_what_it_can_see(tmp_path: Path, file: str, what: str) -> None:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).touch()
    told, remedy = doctor_station._new_start(lambda _: None, tmp_path, needed=True)
    assert what in told
    assert remedy == ""
