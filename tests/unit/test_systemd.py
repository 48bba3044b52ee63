"""The service manager is told over a real datagram socket; without one, nothing happens."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.descriptors import descriptors_left

from edge_inspector.runtime.systemd import notify


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    name = str(tmp_path / "notify") if request.param == "path" else f"@edge-inspector-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(name.replace("@", "\0", 1) if name.startswith("@") else name)
        listening.settimeout(5.0)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        yield listening


def test_the_service_manager_gets_each_message_as_one_datagram(manager: socket.socket) -> None:
    assert notify("READY=1\nSTATUS=running")
    assert notify("WATCHDOG=1")
    assert manager.recv(1024) == b"READY=1\nSTATUS=running"
    assert manager.recv(1024) == b"WATCHDOG=1"


def test_text_travels_as_utf8(manager: socket.socket) -> None:
    assert notify("STATUS=läuft")
    assert manager.recv(1024).decode() == "STATUS=läuft"


def test_a_manager_that_does_not_read_never_blocks_the_daemon(manager: socket.socket) -> None:
    del manager  # it is there, and never reads
    answers = [notify("WATCHDOG=1") for _ in range(2000)]
    assert answers[0] is True
    assert answers[-1] is False


@pytest.mark.parametrize("address", ["", None])
def test_without_a_service_manager_nobody_is_told(monkeypatch: pytest.MonkeyPatch, address: str | None) -> None:
    if address is None:
        monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    else:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert notify("READY=1") is False


def test_a_manager_that_is_gone_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    assert notify("READY=1") is False


def test_without_a_file_descriptor_left_nobody_is_told_and_nothing_ends(manager: socket.socket) -> None:
    with descriptors_left(0):
        assert notify("WATCHDOG=1") is False
    assert notify("WATCHDOG=1") is True
    assert manager.recv(1024) == b"WATCHDOG=1"
