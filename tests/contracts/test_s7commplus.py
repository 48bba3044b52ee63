"""What S7CommPlus adds to the two blocks: TLS, a pinned certificate, and timeouts that the package does not have."""

import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from s7commplus.typeinfo import Softdatatype
from support.commplus_server import CommPlusServer, certificate

from edge_inspector.errors import DeviceError, DeviceTimeoutError
from edge_inspector.plc.blocks import DB_EDGE, DB_PLC, EDGE_HEADER, PLC_HEADER, VERDICT
from edge_inspector.plc.s7commplus_connection import S7CommPlusConnection, S7CommPlusSettings
from edge_inspector.plc.s7commplus_values import S7CommPlusValues
from edge_inspector.simulation.lines.commplus_symbols import SymbolServer
from edge_inspector.simulation.lines.s7commplus_plc import CommPlusPlc

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


# Optimised blocks: every value by its name.


@pytest.fixture
def optimized() -> Iterator[tuple[int, CommPlusServer, dict[int, bytearray]]]:
    """A server whose blocks have no bytes to address: its port, itself and the memory."""
    port = free_port()
    blocks = {100: bytearray(range(256)) + bytearray(64), 101: bytearray(DB_EDGE.size)}
    server = CommPlusServer(port, blocks, optimized=True)
    yield port, server, blocks
    server.stop()


def by_name(port: int, **settings: object) -> S7CommPlusValues:
    chosen = {"host": "127.0.0.1", "port": port, "timeout_s": 2.0, "tls": False, "symbolic": True} | settings
    checked = S7CommPlusSettings.model_validate(chosen)
    plc, edge = checked.blocks
    return S7CommPlusValues(checked, {plc: DB_PLC, edge: DB_EDGE})


Optimized = tuple[int, CommPlusServer, dict[int, bytearray]]


def test_every_value_of_an_optimised_block_is_read_and_written_by_its_name(optimized: Optimized) -> None:
    port, server, blocks = optimized
    header = PLC_HEADER.pack(**{field.name: 3 for field in PLC_HEADER.fields})
    blocks[100][: len(header)] = header
    connection = by_name(port, db_plc="DB_Plc", db_edge="DB_Edge")
    connection.open()
    found = connection.read(-1, 0, DB_PLC.size)
    assert found[:32] == header
    assert found[64:74] == blocks[100][64:74], "a trigger"
    assert not any(found[48:64]), "nobody asks for reserved bytes"
    assert max(map(len, server.symbols.asked)) == 5, "an element of an array of structures has four numbers"
    names = {field.name: 7 for field in VERDICT.fields} | {"area_mm2": 1.5, "max_confidence": 0.5, "error_mm": -2.0}
    slot = VERDICT.pack(**names)
    connection.write(-2, DB_EDGE.offset(VERDICT, 31), slot)
    assert blocks[101][-64:] == slot
    assert not any(blocks[101][:-64])
    assert connection.read(-2, DB_EDGE.offset(VERDICT, 31), 64) == slot
    connection.close()


def test_an_optimised_block_has_no_bytes_and_the_setting_is_named(optimized: Optimized) -> None:
    port, *_ = optimized
    with pytest.raises(DeviceError, match="write symbolic = true"):
        read(port, tls=False)


@needs_openssl
def test_values_are_read_and_written_through_tls(tmp_path: Path) -> None:
    cert, key, fingerprint = certificate(tmp_path)
    port, blocks = free_port(), {100: bytearray(b"\x07" * 320), 101: bytearray(DB_EDGE.size)}
    server = CommPlusServer(port, blocks, tls=(cert, key), optimized=True)
    connection = by_name(port, tls=True, tls_fingerprint=fingerprint)
    try:
        connection.open()
        assert connection.read(100, 32, 16) == b"\x07" * 12 + b"\0\0\x07\x07"
        connection.write(101, 0, EDGE_HEADER.pack(**{field.name: 9 for field in EDGE_HEADER.fields}))
        written = EDGE_HEADER.unpack(blocks[101][:64])
        assert written is not None
        assert set(written.values()) == {9}
    finally:
        connection.close()
        server.stop()


def spoilt(change: str, server: SymbolServer) -> None:
    """Make DB_Edge another block than that of deploy/plc."""
    members = server.types[server.type_of[101]]
    verdicts = next(each for each in members if each.name == "verdicts")
    fields = server.types[verdicts.of]
    field = next(each for each in fields if each.name == "due_count")
    if change == "no field":
        fields.remove(field)
    elif change == "other type":
        field.softdatatype = Softdatatype.REAL
    elif change == "array":
        field.count = 3
    elif change == "short":
        verdicts.count = 16
    elif change == "from 1":
        verdicts.first = 1
    elif change == "no ring":
        members.remove(verdicts)
    elif change == "one":
        verdicts.count = 0
    elif change == "protected":
        del server.types[verdicts.of]
    else:
        del server.type_of[101]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("no field", r"DB_Edge\.verdicts\[0\] has no 'due_count': import EI_Types.udt"),
        ("other type", r"DB_Edge\.verdicts\[0\]\.due_count is REAL, not DINT: import"),
        ("array", r"DB_Edge\.verdicts\[0\]\.due_count is an array of DINT, not DINT"),
        ("short", r"DB_Edge\.verdicts is an array \[0\.\.15\], not \[0\.\.31\]"),
        ("from 1", r"DB_Edge\.verdicts is an array \[1\.\.32\], not \[0\.\.31\]"),
        ("no ring", "DB_Edge has no 'verdicts'"),
        ("one", r"DB_Edge\.verdicts is STRUCT, not an array of 32 structures"),
        ("protected", "Explore of type"),
        ("load memory", "does not tell"),
    ],
)
def test_a_block_that_is_not_that_of_deploy_plc_is_refused_in_one_line(
    optimized: Optimized, change: str, words: str
) -> None:
    port, server, blocks = optimized
    spoilt(change, server.symbols)
    connection = by_name(port, db_edge="DB_Edge")
    connection.open()
    with pytest.raises(DeviceError, match=words) as refused:
        connection.read(-2, 0, 64)
    assert "\n" not in str(refused.value)
    assert not connection.is_open
    assert not any(blocks[101])


def test_a_block_that_was_loaded_anew_is_refused_once_and_then_looked_up_again(optimized: Optimized) -> None:
    port, server, blocks = optimized
    connection = by_name(port)
    connection.open()
    header = EDGE_HEADER.pack(**{field.name: 4 for field in EDGE_HEADER.fields})
    connection.write(101, 0, header)
    server.symbols.move(101, "header")
    with pytest.raises(DeviceError, match=r"refused to write DB101\.header\.crc .*loaded anew"):
        connection.write(101, 0, header)
    with pytest.raises(DeviceError, match="not connected"):
        connection.write(101, 0, header)
    blocks[101][:] = bytes(DB_EDGE.size)
    connection.open()
    connection.write(101, 0, header)
    assert blocks[101][:64] == header
    connection.close()


def test_an_answer_that_is_cut_off_is_a_device_error(optimized: Optimized, monkeypatch: pytest.MonkeyPatch) -> None:
    port, server, _ = optimized
    whole = server.symbols._type
    for size in (0, 1, 7, 60):
        monkeypatch.setattr(server.symbols, "_type", lambda number, size=size: whole(number)[:size])
        connection = by_name(port)
        connection.open()
        with pytest.raises(DeviceError, match="cannot look up the values of DB100"):
            connection.read(100, 0, 64)


def test_the_simulated_plc_counts_its_block_as_read_when_the_last_value_was() -> None:
    plc = CommPlusPlc.__new__(CommPlusPlc)
    plc._read_seq, plc._published_seq = 0, 5
    plc._was_told(0)
    plc._published_seq = 6
    assert plc._read_seq == 0, "it may die before the triggers are read"
    plc._was_told(DB_PLC.size - 2)
    assert plc._read_seq == 5


def test_a_signed_link_needs_bytes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="auth_key_file needs symbolic = false"):
        S7CommPlusSettings(host="127.0.0.1", symbolic=True, auth_key_file=tmp_path / "plc.key")
