"""python-snap7's private parts that the connection rests on, and its errors in words that say what to do."""

import socket
import struct
import threading
from contextlib import suppress

import pytest
import snap7
from hypothesis import given
from hypothesis import strategies as st
from snap7.connection import ISOTCPConnection
from snap7.s7protocol import S7Area, S7Protocol, S7WordLen
from snap7.type import Area

from edge_inspector.errors import DeviceError, DeviceTimeoutError
from edge_inspector.plc import s7_messages
from edge_inspector.plc.s7_connection import S7Connection, S7Settings
from edge_inspector.plc.s7_messages import MemoryArea
from edge_inspector.plc.stamped_connection import StampedSocket

PUT_GET = "permit PUT/GET access in TIA Portal: CPU properties, Protection & Security"


READ, WRITE = 4, 5


def head(size: int, number: int, data: int, *, error: int = 0) -> bytes:
    """TPKT, COTP and S7 header of a reply, as the documents of the protocol have them."""
    return struct.pack(">BBHBBBBBHHHHH", 3, 0, size, 2, 0xF0, 0x80, 0x32, 3, 0, number, 2, data, error)


def read_reply(content: bytes, number: int = 1, *, code: int = 0xFF, kind: int = 4) -> bytes:
    bits = 8 * len(content) if kind == 4 else len(content)
    data = struct.pack(">BBH", code, kind, bits) + content
    return head(21 + len(data), number, len(data)) + bytes((READ, 1)) + data


def write_reply(number: int = 1, *, code: int = 0xFF) -> bytes:
    return head(22, number, 1) + bytes((WRITE, 1, code))


def refusal(error: int, number: int = 1) -> bytes:
    """Of a whole request: an error in the header, and nothing else."""
    return struct.pack(">BBHBBBBBHHHHH", 3, 0, 19, 2, 0xF0, 0x80, 0x32, 3, 0, number, 0, 0, error)


class Peer:
    """A connection to a PLC that has already answered what it will be asked."""

    def __init__(self, *replies: bytes, pdu: int = 480, ends: bool = False) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            here = StampedSocket("127.0.0.1", listener.getsockname()[1], 5.0)
            self.there, _ = listener.accept()
        self.connection = S7Connection(S7Settings(host="plc", db_plc=30, db_edge=31, timeout_s=0.2))
        client = snap7.Client()
        client.connection = ISOTCPConnection("plc")
        client.connection.socket = self.connection._socket = here
        client.pdu_length = pdu
        here.wait_at_most(0.2)
        self.connection._client = client
        self.there.sendall(b"".join(replies))
        if ends:
            self.there.shutdown(socket.SHUT_WR)

    def __enter__(self) -> S7Connection:
        return self.connection

    def __exit__(self, *_: object) -> None:
        self.connection.close()
        if self.connection._socket is not None:
            self.connection._socket.close()
        self.there.close()

    def asked(self) -> bytes:
        self.there.settimeout(5.0)
        return self.there.recv(4096)


def test_requests_are_those_of_python_snap7() -> None:
    protocol = S7Protocol()
    iso = ISOTCPConnection("plc")
    read = protocol.build_read_request(S7Area.DB, 100, 32, S7WordLen.BYTE, 320)
    assert s7_messages.read_request(1, MemoryArea(S7Area.DB, 100), 32, 320) == iso._build_tpkt(iso._build_cotp_dt(read))
    write = protocol.build_write_request(S7Area.DB, 101, 2048, S7WordLen.BYTE, bytes(range(64)))
    content = bytes(range(64))
    asked = s7_messages.write_request(2, MemoryArea(S7Area.DB, 101), 2048, content)
    assert asked == iso._build_tpkt(iso._build_cotp_dt(write))
    flags = protocol.build_read_request(S7Area.MK, 0, 10, S7WordLen.BYTE, 4)
    assert s7_messages.read_request(3, MemoryArea(S7Area.MK, 0), 10, 4) == iso._build_tpkt(iso._build_cotp_dt(flags))


def test_a_plain_success_is_read_and_written_without_python_snap7(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(S7Protocol, "parse_response")
    with Peer(read_reply(b"abcd"), write_reply(2)) as made:
        assert made.read(30, 0, 4) == b"abcd"
        made.write(31, 0, b"efgh")
        assert made.is_open


def test_a_success_in_another_form_is_a_success_too() -> None:
    with Peer(read_reply(b"abcd", kind=9)) as made:
        assert made.read(30, 0, 4) == b"abcd"


def test_the_number_of_a_request_begins_again_after_65535() -> None:
    with Peer(write_reply(0xFFFF), write_reply(1)) as made:
        made._number = 0xFFFE
        made.write(31, 0, b"ab")
        made.write(31, 0, b"ab")


def test_a_reply_to_an_earlier_request_is_passed_over() -> None:
    with Peer(read_reply(b"old!", 1), read_reply(b"new!", 2)) as made:
        made._number = 1
        assert made.read(30, 0, 4) == b"new!"


def test_a_peer_that_only_repeats_earlier_replies_is_an_error() -> None:
    with Peer(*[read_reply(b"old!", 1)] * 9) as made:
        made._number = 1
        with pytest.raises(DeviceError, match="earlier requests"):
            made.read(30, 0, 4)


def test_a_long_read_takes_several_requests_in_ascending_order_and_a_long_write_ends_with_its_first_bytes() -> None:
    peer = Peer(read_reply(bytes(222)), read_reply(b"x" * 98, 2), write_reply(3), write_reply(4), pdu=240)
    with peer as made:
        assert made.read(30, 0, 320) == bytes(222) + b"x" * 98
        peer.asked()
        made.write(31, 0, bytes(205) + b"last")
        asked = peer.asked()
    assert asked.index(b"last") < asked.index(bytes(205))


def test_a_reply_may_come_in_pieces() -> None:
    peer = Peer(read_reply(b"abcd")[:9])
    with peer as made:
        later = threading.Timer(0.02, lambda: peer.there.sendall(read_reply(b"abcd")[9:]))
        later.start()
        assert made.read(30, 0, 4) == b"abcd"
        later.join()


@pytest.mark.parametrize(
    ("replies", "error", "words"),
    [
        ([], DeviceTimeoutError, "no answer in time"),
        ([read_reply(b"abcd")[:20]], DeviceTimeoutError, "no answer in time"),
        ([b"\x05" + bytes(20)], DeviceError, "no S7 message"),
        ([bytes((3, 0, 0, 6)) + bytes(20)], DeviceError, "no S7 message"),
        ([read_reply(b"abc")], DeviceError, "size"),
        ([write_reply()], DeviceError, "cannot read DB30"),
        ([read_reply(b"abcd", 9)], DeviceError, "Packet lost"),
    ],
    ids=["silent", "half", "no TPKT", "too short", "other size", "other function", "other number"],
)
def test_a_reply_that_is_none_is_an_error_and_closes(replies: list[bytes], error: type[Exception], words: str) -> None:
    with Peer(*replies) as made:
        with pytest.raises(error, match=words):
            made.read(30, 0, 4)
        assert not made.is_open


def test_a_silent_plc_is_told_in_the_same_words_for_all_memory_areas() -> None:
    with Peer() as made, pytest.raises(DeviceTimeoutError, match=r"cannot read M bytes 10\.\.13: no answer in time"):
        made.read_area(Area.MK, 0, 10, 4)
    with Peer() as made, pytest.raises(DeviceTimeoutError, match=r"cannot write DB7 bytes 0\.\.1: no answer in time"):
        made.write_area(Area.DB, 7, 0, b"ab")


@given(st.binary(max_size=80), st.booleans())
def test_no_bytes_from_outside_raise_anything_else(raw: bytes, framed: bool) -> None:  # noqa: FBT001 -- hypothesis
    reply = bytes((3, 0, 0, 7 + len(raw), 2, 0xF0, 0x80)) + raw if framed else raw
    with Peer(reply, ends=True) as made, suppress(DeviceError):
        made.read(30, 0, 4)
    with Peer(reply, ends=True) as made, suppress(DeviceError):
        made.write(31, 0, b"abcd")


@given(st.integers(0, 28), st.integers(0, 255))
def test_a_damaged_reply_never_gives_other_bytes(at: int, value: int) -> None:
    reply = bytearray(read_reply(b"abcd"))
    reply[at % 25] = value
    with Peer(bytes(reply), ends=True) as made, suppress(DeviceError):
        assert made.read(30, 0, 4) == b"abcd"


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (read_reply(b"", code=0x03), f"access denied: {PUT_GET}"),
        (read_reply(b"", code=0x05), "the block is shorter: load the blocks of deploy/plc. Is db_plc = 30 right"),
        (read_reply(b"", code=0x0A), "is db_plc = 30 right, and is its attribute 'Optimized block access' off"),
        (refusal(0x8104), PUT_GET),
    ],
    ids=["denied", "short", "missing", "refused"],
)
def test_what_the_plc_refuses_is_told_with_what_to_do(reply: bytes, words: str) -> None:
    with Peer(reply) as made, pytest.raises(DeviceError) as told:
        made.read(30, 0, 32)
    assert str(told.value).startswith("s7://plc:102 rack 0 slot 1: cannot read DB30 bytes 0..31: ")
    assert ". What to do: " in str(told.value)
    assert words in str(told.value)


@pytest.mark.parametrize(
    ("reply", "words"),
    [(write_reply(code=0x0A), "is db_edge = 31 right"), (refusal(0x8104), PUT_GET)],
    ids=["missing", "refused"],
)
def test_a_refused_write_names_the_other_block_by_its_own_key(reply: bytes, words: str) -> None:
    with Peer(reply) as made, pytest.raises(DeviceError, match=rf"cannot write DB31 bytes 64\.\.127: .*{words}"):
        made.write(31, 64, bytes(64))


def test_an_error_that_nothing_is_known_of_is_told_as_it_is() -> None:
    with Peer(ends=True) as made, pytest.raises(DeviceError, match=r"Connection closed by peer$"):
        made.read(30, 0, 4)


def test_a_peer_that_hangs_up_is_asked_for_rack_and_slot_and_ipv6_reaches_it() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        made = S7Connection(S7Settings(host="::1", port=listener.getsockname()[1], timeout_s=2.0))
        listener.settimeout(5.0)

        def hangs_up() -> None:
            listener.accept()[0].close()

        thread = threading.Thread(target=hangs_up)
        thread.start()
        with pytest.raises(DeviceError, match=r"cannot connect: .*rack and slot those of the CPU"):
            made.open()
        thread.join()


def test_what_is_private_in_python_snap7_is_still_there() -> None:
    client = snap7.Client()
    assert callable(client._setup_communication)
    assert callable(ISOTCPConnection._tcp_connect)
    assert callable(ISOTCPConnection._parse_cotp_data)
    assert {"host", "port", "timeout", "socket"} <= set(vars(ISOTCPConnection("plc")))


@pytest.mark.parametrize(
    ("settings", "called", "calling"),
    [
        ({}, b"\x03\x01", b"\x01\x00"),
        ({"rack": 1, "slot": 2}, b"\x03\x22", b"\x01\x00"),
        ({"remote_tsap": "02.00", "local_tsap": "10.0A"}, b"\x02\x00", b"\x10\x0a"),
    ],
)
def test_a_connection_is_asked_for_with_these_tsaps(settings: dict[str, object], called: bytes, calling: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5.0)
        asked: list[bytes] = []

        def take() -> None:
            peer, _ = server.accept()
            with peer:
                peer.settimeout(5.0)
                asked.append(peer.recv(64))

        listener = threading.Thread(target=take)
        listener.start()
        address = {"host": "127.0.0.1", "port": server.getsockname()[1], "timeout_s": 0.5} | settings
        with pytest.raises(DeviceError):
            S7Connection(S7Settings.model_validate(address)).open()
        listener.join(5.0)
    assert b"\xc1\x02" + calling in asked[0]
    assert b"\xc2\x02" + called in asked[0]


@pytest.mark.parametrize("tsap", ["3.1", "0301", "03.01 ", "03.0G", "03.01.00"])
def test_a_tsap_is_two_bytes_in_hexadecimal(tsap: str) -> None:
    with pytest.raises(ValueError, match="remote_tsap"):
        S7Settings.model_validate({"host": "a", "remote_tsap": tsap})


def test_without_a_name_server_the_last_address_of_a_name_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.create_connection
    known = {"plc.plant": "127.0.0.1"}

    def connected(address: tuple[str, int], timeout_s: float) -> socket.socket:
        host, port = address
        if host[0].isalpha() and host not in known:
            raise socket.gaierror(-3, "Temporary failure in name resolution")
        return real((known.get(host, host), port), timeout_s)

    monkeypatch.setattr("edge_inspector.plc.stamped_connection.socket.create_connection", connected)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        StampedSocket("plc.plant", port, 5.0).close()
        known.clear()
        StampedSocket("plc.plant", port, 5.0).close()
        with pytest.raises(socket.gaierror):
            StampedSocket("other.plant", port, 5.0)
