"""`edge-inspector cameras` where there is none: where it looked, and what to do next."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_inspector.cameras.aravis_library import text
from edge_inspector.cli import main
from edge_inspector.commands import cameras, focus
from edge_inspector.commands.cameras import Found
from edge_inspector.drivers import Camera, DriverSettings, FoundCamera
from edge_inspector.errors import ConfigError, DeviceError
from edge_inspector.records import Frame


def test_no_camera_says_where_it_looked_and_what_to_try(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cameras, "_everything", lambda: iter(()))
    monkeypatch.setattr(cameras, "_interfaces", lambda _: iter(["eth0 (up)", "eth1 (down)"]))
    assert main(["cameras"]) == 1
    told = capsys.readouterr().out
    assert told.startswith(
        "no camera was found. The search covered\n  the networks, for GigE Vision: eth0 (up), eth1 (down)\n"
    )
    for word in (
        "USB3 Vision",
        "/dev/video*",
        "link light",
        "ip addr add 169.254.1.1/16",
        "video",
        'driver = "opencv"',
    ):
        assert word in told


def test_one_that_is_not_there_is_answered_with_those_that_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    there = Found("genicam", "Acme", "A1", "4711", "192.0.2.4", {})
    monkeypatch.setattr(cameras, "_everything", lambda: iter([there]))
    assert main(["cameras", "4712"]) == 1
    assert capsys.readouterr().out == "none of 4712 was found. There are: 4711\n"


def test_a_card_is_told_with_its_link(tmp_path: Path) -> None:
    for name in ("lo", "eth0", "eth1"):
        (tmp_path / name).mkdir()
    (tmp_path / "eth0" / "operstate").write_text("up\n")
    assert list(cameras._interfaces(tmp_path)) == ["eth0 (up)", "eth1 (unknown)"]


def test_a_vendor_s_escapes_are_shown_and_not_obeyed() -> None:
    assert text(b"\x1b[31mEvil\n\r\x07<b>\xc2\x9b") == r"\x1b[31mEvil\n\r\x07<b>\x9b"
    assert text(None) == ""


def test_a_serial_number_leads_to_no_other_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Snapped:
        def __init__(self, *_: Any) -> None: ...

        class Settings:
            def __init__(self, **_: Any) -> None: ...

        def open(self) -> None: ...

        def close(self) -> None: ...

        def grab(self, _timeout_s: float) -> Frame:
            return Frame("x", 1, 0, 0, received_ns=0, image=np.full((8, 8), 9, np.uint8))

    monkeypatch.setattr(cameras, "load_driver", lambda *_: Snapped)
    found = cameras.Found("genicam", "v", "m", "../../etc/S-1.2", "10.0.0.5", {})
    monkeypatch.setattr(cameras, "_everything", lambda: iter([found]))
    assert cameras.run(Namespace(which=[], snapshot=tmp_path / "shots")) == 0
    assert [each.name for each in (tmp_path / "shots").iterdir()] == [".._.._etc_S-1.2.png"]
    assert "8 x 8 px" in capsys.readouterr().out


class Scanner(Camera):
    """A camera of another make."""

    @classmethod
    def find(cls) -> list[FoundCamera]:
        return [FoundCamera(vendor="Acme", model="A1", serial="4711", address="192.0.2.4", settings={})]

    @classmethod
    def settings_for(cls, which: str) -> DriverSettings | None:
        return DriverSettings() if which.startswith("acme:") else None


class Deaf(Camera):
    @classmethod
    def find(cls) -> list[FoundCamera]:
        raise DeviceError("the bus is down")


class Former:
    """Written when drivers could not be asked."""


DRIVERS = [("deaf", Deaf), ("former", Former), ("scanner", Scanner)]


def test_every_driver_is_asked_for_its_cameras(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cameras, "installed_drivers", lambda _: iter(DRIVERS))
    assert main(["cameras"]) == 0
    told = capsys.readouterr()
    assert told.out.splitlines()[1].split() == ["scanner", "Acme", "A1", "4711", "192.0.2.4"]
    assert told.err == "the bus is down\n"


def test_the_driver_that_knows_a_name_opens_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(focus, "installed_drivers", lambda _: iter(DRIVERS))
    assert focus._chosen("acme:1", None) == ("scanner", DriverSettings())
    with pytest.raises(ConfigError, match="no installed driver opens this"):
        focus._chosen("other:1", None)
