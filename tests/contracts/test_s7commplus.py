"""What S7CommPlus adds to the two blocks: TLS, a pinned certificate, and timeouts that the package does not have."""

import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.commplus_server import CommPlusServer, certificate

from edge_inspector.errors import DeviceError, DeviceTimeoutError
from edge_inspector.plc.s7commplus_connection import S7CommPlusConnection, S7CommPlusSettings

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
OTHER = ":".join(["00"] * 32)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[tuple[int, Path, str]]:
    """A server with TLS: its port, its certificate and the fingerprint of that."""
    cert, key, fingerprint = certificate(tmp_path)
    port = free_port()
    server = CommPlusServer(port, {100: bytearray(b"\x07" * 320)}, tls=(cert, key))
    yield port, cert, fingerprint
    server.stop()


def read(port: int, **settings: object) -> bytes:
    connection = S7CommPlusConnection(
        S7CommPlusSettings.model_validate({"host": "127.0.0.1", "port": port, "timeout_s": 2.0} | settings)
    )
    try:
        connection.open()
        return connection.read(100, 0, 4)
    finally:
        connection.close()


@needs_openssl
def test_a_block_is_read_through_tls(secured: tuple[int, Path, str]) -> None:
    port, _, fingerprint = secured
    assert read(port) == b"\x07" * 4
    assert read(port, tls_fingerprint=fingerprint) == b"\x07" * 4


@needs_openssl
def test_somebody_else_s_certificate_is_refused(secured: tuple[int, Path, str]) -> None:
    port, *_ = secured
    with pytest.raises(DeviceError, match="fingerprint"):
        read(port, tls_fingerprint=OTHER)


def test_a_plc_without_tls_is_refused_and_the_setting_named() -> None:
    port = free_port()
    server = CommPlusServer(port, {100: bytearray(320)})
    try:
        with pytest.raises(DeviceError, match="write tls = false"):
            read(port)
        assert read(port, tls=False) == bytes(4)
    finally:
        server.stop()


def test_a_plc_that_says_nothing_is_given_up_after_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begun = time.monotonic()
        with pytest.raises(DeviceTimeoutError, match="no answer in time"):
            read(silent.getsockname()[1], tls=False, timeout_s=0.2)
        assert time.monotonic() - begun < 4.0, "the package alone waits 5 s"


def test_a_read_before_open_is_a_device_error() -> None:
    with pytest.raises(DeviceError, match="not connected"):
        S7CommPlusConnection(S7CommPlusSettings(host="127.0.0.1")).read(100, 0, 4)


def test_a_certificate_without_tls_is_refused() -> None:
    with pytest.raises(ValueError, match="need tls = true"):
        S7CommPlusSettings(host="127.0.0.1", tls=False, tls_fingerprint=OTHER)


def test_anybody_can_pretend_to_be_a_plc_whose_certificate_is_not_pinned() -> None:
    assert "set tls_fingerprint" in S7CommPlusSettings(host="127.0.0.1").cautions[0]
    assert S7CommPlusSettings(host="127.0.0.1", tls_fingerprint=OTHER).cautions == []


def test_blocks_are_found_by_their_names_and_a_wrong_one_is_told_with_those_that_there_are() -> None:
    port, block = free_port(), bytearray(b"\x05" * 320)
    server = CommPlusServer(port, {100: block, 107: bytearray(320)})
    chosen = {"host": "127.0.0.1", "port": port, "timeout_s": 2.0, "tls": False, "db_plc": "DB100", "db_edge": "DB107"}
    try:
        settings = S7CommPlusSettings.model_validate(chosen)
        connection = S7CommPlusConnection(settings)
        connection.open()
        plc, edge = settings.blocks
        assert connection.read(plc, 0, 4) == b"\x05" * 4
        connection.write(edge, 2, b"\x09")
        assert connection.read(107, 0, 4) == b"\0\0\x09\0"
        connection.close()
        wrong = S7CommPlusConnection(S7CommPlusSettings.model_validate(chosen | {"db_edge": "DB_Edge"}))
        with pytest.raises(DeviceError, match="no data block is called 'DB_Edge'"):
            wrong.open()
        assert not wrong.is_open
    finally:
        server.stop()


def test_a_block_has_a_number_or_a_name() -> None:
    usual = S7CommPlusSettings(host="127.0.0.1")
    assert (usual.blocks, usual.names) == ((100, 101), {})
    mixed = S7CommPlusSettings(host="127.0.0.1", db_plc=7, db_edge="DB_Edge")
    assert (mixed.blocks, mixed.names) == ((7, -2), {-2: "DB_Edge"})
    with pytest.raises(ValueError, match="db_plc"):
        S7CommPlusSettings(host="127.0.0.1", db_plc="")
