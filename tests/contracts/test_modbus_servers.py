"""Modbus TCP servers as they come: small requests, one client, other orders, and headers of their own."""

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edge_inspector.codes import ErrorCode, StationState
from edge_inspector.errors import DeviceError, DeviceTimeoutError, LayoutError
from edge_inspector.plc.block_link import BlockLink
from edge_inspector.plc.blocks import DB_EDGE, DB_PLC, EDGE_HEADER, ENCODER
from edge_inspector.plc.modbus import ModbusEncoder, ModbusLink, connection_of
from edge_inspector.plc.modbus_connection import ModbusConnection, ModbusSettings
from edge_inspector.plc.word_order import turned
from edge_inspector.records import Identity, StationStatus
from edge_inspector.simulation.plc import PlcProgram

READY = StationStatus(StationState.READY, ErrorCode.NONE, 4)
READ, WRITE = 3, 16


class OddServer:
    """Registers with the two blocks at 0 and 1000. `requests`: (function, address, registers)."""

    def __init__(self, **odd: Any) -> None:
        self.db_plc, self.db_edge = bytearray(DB_PLC.size), bytearray(DB_EDGE.size)
        self.requests: list[tuple[int, int, int]] = []
        self.busy = 0
        self._odd = odd
        self._clients: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._begin(self._accept)

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for client in self._clients:
            _hang_up(client)
        for thread in self._threads:
            thread.join(5.0)

    def settings(self, **more: Any) -> ModbusSettings:
        return ModbusSettings(host="127.0.0.1", port=self.port, timeout_s=0.3, **more)

    def _begin(self, work: Any, *given: Any) -> None:
        thread = threading.Thread(target=work, args=given)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            one = self._odd.get("one_client")
            if one == "refuse" and self._clients:
                client.close()
                continue
            if one == "kick" and self._clients:
                _hang_up(self._clients.pop(0))
            self._clients.append(client)
            self._begin(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as stream:
            try:
                while len(head := stream.read(7)) == 7:
                    number, _, length, unit = struct.unpack(">HHHB", head)
                    answer = self._answer(stream.read(length - 1))
                    number, unit = self._odd.get("number", number), self._odd.get("unit", unit)
                    client.sendall(struct.pack(">HHHB", number, 0, len(answer) + 1, unit) + answer)
            except OSError:
                pass
        if client in self._clients:
            self._clients.remove(client)

    def _answer(self, request: bytes) -> bytes:
        function, address, count = struct.unpack(">BHH", request[:5])
        self.requests.append((function, address, count))
        if self.busy:
            self.busy -= 1
            return bytes([function | 0x80, 6])
        if count > self._odd.get({READ: "most_read", WRITE: "most_write"}[function], 125):
            return bytes([function | 0x80, 3])
        base, memory = (1000, self.db_edge) if address >= 1000 else (0, self.db_plc)
        at, end = 2 * (address - base), 2 * (address - base + count)
        if function == READ:
            return bytes([READ, 2 * count]) + bytes(memory[at:end])
        memory[at:end] = request[6:]
        return request[:5]


def _hang_up(client: socket.socket) -> None:
    try:
        client.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


@contextmanager
def server(**odd: Any) -> Iterator[OddServer]:
    made = OddServer(**odd)
    program = PlcProgram(7, 8000)
    program.publish(made.db_plc)
    made.db_plc[32:48] = ENCODER.pack(boot_id=7, count=-70_000, time_us=2**31 + 5)
    try:
        yield made
    finally:
        made.stop()


def link_to(settings: ModbusSettings) -> BlockLink:
    return ModbusLink(
        settings,
        Identity(station="line-1", boot_id=50, state_dir=Path("/nowhere"), counts_per_mm=10.0, defect_classes=()),
    )


@contextmanager
def opened(*wires: Any) -> Iterator[None]:
    try:
        for wire in wires:
            wire.open()
        yield
    finally:
        for wire in wires:
            wire.close()


# Sizes.


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        ({"most_read": 64}, r"cannot read registers 0\.\.119: .* write max_read_registers = 64, say"),
        ({"most_write": 30}, r"cannot write registers 1000\.\.1031: .* write max_write_registers = 30, say"),
    ],
    ids=["read", "write"],
)
def test_a_probe_finds_out_that_requests_are_too_long(odd: dict[str, int], words: str) -> None:
    with server(**odd) as plc, pytest.raises(DeviceError, match=words):
        link_to(plc.settings()).probe()


@pytest.mark.parametrize(("read", "write"), [(64, 30), (100, 31), (16, 8), (125, 123)])
def test_requests_are_as_long_as_the_server_allows_and_no_record_is_cut_that_need_not_be(read: int, write: int) -> None:
    with server(most_read=read, most_write=write) as plc:
        link = link_to(plc.settings(max_read_registers=read, max_write_registers=write))
        assert "both blocks there" in link.probe()
        with opened(link):
            assert link.exchange(READY) is not None
        assert EDGE_HEADER.unpack(bytes(plc.db_edge[:64])) is not None
        assert max(count for function, _, count in plc.requests if function == READ) <= read
        assert max(count for function, _, count in plc.requests if function == WRITE) <= write
        assert all((address + count) % 8 == 0 for function, address, count in plc.requests if function == READ)


def test_a_record_in_two_requests_is_written_from_its_end_on() -> None:
    with server(most_write=30) as plc:
        wire = ModbusConnection(plc.settings(max_write_registers=30))
        with opened(wire):
            wire.write(1000, 64, bytes(range(64)))
        assert plc.requests == [(WRITE, 1062, 2), (WRITE, 1032, 30)]
        assert plc.db_edge[64:128] == bytes(range(64))


# Orders.


def test_low_words_first_are_read_and_written_as_the_setting_says() -> None:
    with server() as plc:
        plc.db_plc[:] = turned(DB_PLC, 0, bytes(plc.db_plc))
        settings = plc.settings(word_order="low-first")
        link, encoder = link_to(settings), ModbusEncoder(settings)
        with opened(link, encoder):
            heard = link.exchange(READY)
            assert encoder.read().count == -70_000
        assert heard is not None
        assert heard.boot_id == 7
        header = EDGE_HEADER.unpack(turned(DB_EDGE, 0, bytes(plc.db_edge))[:64])
        assert header is not None
        assert header["plc_boot_id"] == 7


def test_low_bytes_first_are_read_and_written_as_the_setting_says_and_are_named_without_it() -> None:
    with server() as plc:
        plc.db_plc[:] = b"".join(plc.db_plc[at : at + 2][::-1] for at in range(0, len(plc.db_plc), 2))
        with pytest.raises(LayoutError, match='bytes of each word are swapped: write byte_order = "low-first"'):
            link_to(plc.settings()).probe()
        link = link_to(plc.settings(byte_order="low-first"))
        with opened(link):
            assert link.exchange(READY) is not None
        assert plc.db_edge[:4] == bytes([1, 0, 0, 0]), "layout 1, not ready any more"


# Answers.


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        ({"unit": 0}, "the server answers as unit 0: write unit = 0"),
        ({"unit": 255}, "the server answers as unit 255: write unit = 255"),
        ({"number": 7}, "answers request 1 with transaction number 7, but it must repeat the request's"),
        ({"number": 0}, "answers request 1 with transaction number 0, but it must repeat the request's"),
    ],
)
def test_an_answer_to_another_question_is_told_as_what_it_is(odd: dict[str, int], words: str) -> None:
    with server(**odd) as plc, pytest.raises(DeviceError, match=words):
        link_to(plc.settings()).probe()


@pytest.mark.parametrize("unit", [0, 1, 255])
def test_any_unit_can_be_asked(unit: int) -> None:
    with server() as plc:
        assert f"unit {unit}, both blocks there" in link_to(plc.settings(unit=unit)).probe()


def test_a_busy_server_is_asked_again_and_named_when_it_stays_so() -> None:
    with server() as plc:
        wire = ModbusConnection(plc.settings())
        with opened(wire):
            plc.busy = 2
            assert len(wire.read(0, 0, 32)) == 32
            plc.busy = 3
            with pytest.raises(DeviceError, match=r"exception code 6 \(server device busy\)"):
                wire.read(0, 0, 32)
            assert not wire.is_open


# Clients.


@pytest.mark.parametrize("one_client", ["refuse", "kick"])
def test_a_server_with_one_client_serves_link_and_encoder_that_share_it(one_client: str) -> None:
    with server(one_client=one_client) as plc:
        link = link_to(plc.settings(share_connection=True, auth_key_file=None, edge_address=1000))
        encoder = ModbusEncoder(plc.settings(share_connection=True))
        with opened(link, encoder):
            for _ in range(20):
                assert link.exchange(READY) is not None
                assert encoder.read().count == -70_000


@pytest.mark.parametrize("one_client", ["refuse", "kick"])
def test_without_sharing_the_words_say_what_to_write(one_client: str) -> None:
    with server(one_client=one_client) as plc:
        first, second = ModbusConnection(plc.settings()), ModbusConnection(plc.settings())

        def until_one_fails() -> None:
            for _ in range(100):
                first.read(0, 0, 32)
                second.read(0, 0, 32)
                time.sleep(0.01)

        with opened(first, second), pytest.raises(DeviceError, match="write share_connection = true in plcs"):
            until_one_fails()


def test_a_share_is_lost_for_all_and_opened_anew_by_each() -> None:
    with server() as plc:
        first, second = (connection_of(plc.settings(share_connection=True)) for _ in range(2))
        with opened(first, second):
            assert first.read(0, 0, 32) == second.read(0, 0, 32)
            assert first.round_trip_ns < second.round_trip_ns
            plc.busy = 3
            with pytest.raises(DeviceError):
                first.read(0, 0, 32)
            for each in (first, second):
                assert not each.is_open
                with pytest.raises(DeviceError, match="not connected"):
                    each.read(0, 0, 32)
            second.open()
            assert second.is_open
            assert not first.is_open, "it has to look after itself"
            first.open()
            first.close()
            assert len(second.read(0, 0, 32)) == 32, "one that leaves takes nothing from the other"
            second.write(1000, 0, bytes(64))
            second.close()
        assert not first.is_open


def test_other_places_are_other_connections() -> None:
    with server() as plc, server() as elsewhere:
        first = connection_of(plc.settings(share_connection=True))
        second = connection_of(elsewhere.settings(share_connection=True))
        with opened(first):
            assert not second.is_open
    assert isinstance(connection_of(plc.settings()), ModbusConnection)


def test_a_server_that_is_silent_is_asked_for_its_unit() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        wire = ModbusConnection(ModbusSettings(host="127.0.0.1", port=listener.getsockname()[1], timeout_s=0.1))
        with opened(wire), pytest.raises(DeviceTimeoutError, match=r"no answer in time .*is unit right"):
            wire.read(0, 0, 32)
