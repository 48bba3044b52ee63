"""python-snap7's private parts that the connection rests on, and its errors in words that say what to do."""

import socket
import threading
from typing import Any

import pytest
import snap7
from snap7.connection import ISOTCPConnection
from snap7.error import S7ConnectionError, S7ProtocolError, S7TimeoutError
from snap7.s7protocol import get_return_code_description

from edge_inspector.errors import DeviceError, DeviceTimeoutError
from edge_inspector.s7.connection import S7Connection, S7Settings

PUT_GET = "permit PUT/GET access in TIA Portal: CPU properties, Protection & Security"


class Client:
    """Answers every call with an error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def db_read(self, *_: Any) -> bytes:
        raise self._error

    db_write = db_read

    def disconnect(self) -> None: ...


def item(code: int) -> S7ProtocolError:
    """As python-snap7 tells of an item that the PLC did not serve."""
    return S7ProtocolError(f"Read operation failed: {get_return_code_description(code)} (0x{code:02x})")


def connection(error: Exception) -> S7Connection:
    made = S7Connection(S7Settings(host="plc", db_plc=30, db_edge=31))
    made._client = Client(error)
    return made


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (item(0x03), f"access denied: {PUT_GET}"),
        (item(0x05), "the block is shorter: load the blocks of deploy/plc; is db_plc = 30 right"),
        (item(0x0A), "is db_plc = 30 right, and is its attribute 'Optimized block access' off"),
        (S7ProtocolError("S7 protocol error (class=0x81, code=0x04): not implemented", error_code=0x8104), PUT_GET),
        (S7ProtocolError("Write operation failed with S7 error code: 0x8104"), PUT_GET),
    ],
    ids=["denied", "short", "missing", "refused", "refused write"],
)
def test_what_the_plc_refuses_is_told_with_what_to_do(error: Exception, words: str) -> None:
    with pytest.raises(DeviceError) as told:
        connection(error).read(30, 0, 32)
    assert str(told.value).startswith("s7://plc:102 rack 0 slot 1: cannot read DB30 bytes 0..31: ")
    assert f"{error}. What to do: " in str(told.value)
    assert words in str(told.value)


def test_the_other_block_is_named_by_its_own_key() -> None:
    with pytest.raises(DeviceError, match=r"cannot write DB31 bytes 64\.\.127: .* is db_edge = 31 right"):
        connection(item(0x0A)).write(31, 64, bytes(64))


def test_an_error_that_nothing_is_known_of_is_told_as_it_is() -> None:
    with pytest.raises(DeviceError, match=r"Connection closed by peer$"):
        connection(S7ConnectionError("Connection closed by peer")).read(30, 0, 4)
    with pytest.raises(DeviceTimeoutError, match=r"no answer in time$"):
        connection(S7TimeoutError("Receive timeout")).read(30, 0, 4)


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
    assert {"host", "port", "timeout", "socket"} <= set(vars(ISOTCPConnection("plc")))
