"""The rows of `edge-inspector check`: what is looked at, what a warning means, and that no password is shown."""

import errno
import socket
from argparse import Namespace
from pathlib import Path

import pytest

from edge_inspector.cli import main
from edge_inspector.commands import check
from edge_inspector.errors import CautionError, DeviceError
from edge_inspector.simulation.demo import free_port
from edge_inspector.simulation.line import Line
from edge_inspector.simulation.options import DemoOptions
from edge_inspector.simulation.station_files import write_station_files
from edge_inspector.store.state_folder import folder_words, try_folder


@pytest.fixture
def station(tmp_path: Path) -> Path:
    line = Line(
        seed=1, start_ns=0, speed_mm_s=500.0, pitch_mm=400.0, part_length_mm=200.0, parts=1, lanes=1, gate_mm=1500.0,
        counts_per_mm=10.0, frames="",
    )  # fmt: skip
    line.write(tmp_path / "line.json")
    ports = {"plc": 1, "broker": 2, "web": free_port()}
    return write_station_files(tmp_path, tmp_path / "line.json", line, ports=ports, options=DemoOptions(model_ms=1.0))


def rows(station: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """What is said, by the kind of row."""
    main(["check", str(station)])
    return {line[6:19].strip(): line for line in capsys.readouterr().out.splitlines()}


def change(station: Path, old: str, new: str) -> None:
    text = station.read_text()
    assert old in text
    station.write_text(text.replace(old, new))


def test_the_state_folder_is_written_into_and_left_as_it_was(station: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = rows(station, capsys)
    assert told["state"].startswith("ok")
    assert "GB free" in told["state"]
    assert not (station.parent / "state").exists()
    (station.parent / "state").mkdir()
    assert rows(station, capsys)["state"].startswith("ok")
    assert list((station.parent / "state").iterdir()) == []


def test_a_state_folder_that_cannot_be_made_is_a_failure(station: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (station.parent / "state").write_text("a file")
    told = rows(station, capsys)["state"]
    assert told.startswith("FAIL")
    assert "is a file where a folder must be: move it away" in told


def test_a_secret_that_others_can_read_is_a_warning_for_each_driver(
    station: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secrets = [station.parent / name for name in ("token", "broker.password")]
    for secret in secrets:
        secret.write_text("a" * 32)
        secret.chmod(0o644)
    change(station, "[web]\n", '[web]\nmachines_token_file = "token"\n')
    change(station, 'version = "5"', 'version = "5", username = "edge", password_file = "broker.password"')
    main(["check", str(station)])
    told = [line for line in capsys.readouterr().out.splitlines() if "others can read" in line]
    assert [line.split()[0] for line in told] == ["WARN", "WARN"]
    assert [line.rpartition("others can read ")[2] for line in told] == [
        f"{key}: chmod o-rwx {secret}"
        for key, secret in zip(("machines_token_file", "password_file"), secrets, strict=True)
    ]


def test_a_page_whose_port_is_taken_is_a_failure(station: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rows(station, capsys)["page"].startswith("ok")
    port = int(station.read_text().partition("[web]\nport = ")[2].split()[0])
    with socket.create_server(("127.0.0.1", port)):
        told = rows(station, capsys)["page"]
    assert told.startswith("FAIL")
    assert f"web.port {port} on 127.0.0.1 is taken" in told


def test_a_warning_is_no_failure(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def caution() -> str:
        raise CautionError("look into this")

    monkeypatch.setattr(check, "load_station", lambda _: None)
    monkeypatch.setattr(check, "_rows", lambda _: iter([check._row("link", "broker", caution)]))
    assert check.run(Namespace(station=Path())) == 0
    assert capsys.readouterr().out == "WARN  link           broker  look into this\n"


def test_no_row_shows_a_password(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> str:
        raise DeviceError("top: rtsp://eva:geheim@192.0.2.7/1?pass=geheim does not open")

    monkeypatch.setattr(check, "load_station", lambda _: None)
    monkeypatch.setattr(check, "_rows", lambda _: iter([check._row("camera", "top", broken)]))
    assert check.run(Namespace(station=Path())) == 1
    told = capsys.readouterr().out
    assert "geheim" not in told
    assert "192.0.2.7" in told


def test_no_message_about_the_station_file_shows_a_password(station: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(station, "[web]", '[camera]\nurl = "rtsp://eva:geheim@192.0.2.7/1"\n[web]')
    station.write_text(station.read_text() + "\nsource = rtsp://eva:geheim@192.0.2.7/1\n")
    assert main(["check", str(station)]) == 2
    assert "geheim" not in "".join(capsys.readouterr())


def test_a_host_that_must_be_looked_up_is_a_warning(station: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(station, 'host = "127.0.0.1", port = 2', 'host = "no-such-host.invalid", port = 2')
    told = rows(station, capsys)["link"]
    assert told.startswith("WARN  link")
    assert "host 'no-such-host.invalid' must be asked of a name server" in told


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EROFS, "its disk is mounted read-only"),
        (errno.ENOSPC, "its disk is full: make room"),
        (errno.EDQUOT, "its disk is full: make room"),
        (errno.EIO, "Input/output error: is its disk mounted?"),
    ],
)
def test_what_a_disk_refuses_is_told_with_what_to_do(tmp_path: Path, number: int, words: str) -> None:
    assert folder_words(tmp_path, OSError(number, "Input/output error")).startswith(words)


def test_a_folder_without_rights_names_the_one_that_lacks_them(tmp_path: Path) -> None:
    told = folder_words(tmp_path / "a" / "state", PermissionError(errno.EACCES, "Permission denied"))
    assert told.startswith(f"this user may not write to {tmp_path}. Run as root: install -d -o ")
    assert f"{tmp_path}/a/state" in told


def test_a_folder_that_takes_no_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DeviceError, match=rf"station\.state_dir {tmp_path}: its disk is full"):
        try_folder(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_service_that_may_not_write_there_is_told_the_line_of_its_unit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = OSError(errno.EROFS, "Read-only file system")
    monkeypatch.delenv("INVOCATION_ID", raising=False)
    assert "its disk is mounted read-only: mount it" in folder_words(tmp_path, error)
    monkeypatch.setenv("INVOCATION_ID", "ab" * 16)
    assert f"ReadWritePaths={tmp_path}, and start it again" in folder_words(tmp_path, error)
