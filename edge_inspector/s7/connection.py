"""One S7 connection whose timeouts are kept. Not thread-safe: one thread owns it.

python-snap7 waits 5 s for every connect and answer, and its API cannot change that. Therefore `open` makes private
calls (pinned to python-snap7 3.3, and held to it by tests/unit/test_s7_connection.py).
"""

from __future__ import annotations

import re
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, ClassVar

import snap7
from pydantic import Field
from snap7.connection import ISOTCPConnection
from snap7.error import S7Error, S7TimeoutError

from edge_inspector.drivers import DriverSettings, PeerKind
from edge_inspector.errors import DeviceError, DeviceTimeoutError
from edge_inspector.host_name import Host

MAX_READ = 462  # bytes in one PDU. A longer read is split silently and is no longer one consistent picture


_PUT_GET = "permit PUT/GET access in TIA Portal: CPU properties, Protection & Security, Connection mechanisms"
_ADVICE = {
    0x03: f"access denied: {_PUT_GET}; the block may be write-protected",
    0x05: "the block is shorter: load the blocks of deploy/plc; is {key} = {db} right?",
    0x0A: "PUT/GET sees no such block: is {key} = {db} right, and is its attribute 'Optimized block access' off?",
    0x8104: f"the CPU refuses the service: {_PUT_GET}",
}
_CONNECT = "is host right, port 102 open, and rack and slot those of the CPU (S7-1200 and S7-1500: rack 0, slot 1)?"
_CODE = re.compile(r"0x([0-9a-f]{2,8})\)?$")


class S7Settings(DriverSettings):
    """The PLC and its two data blocks."""

    peer_kind: ClassVar = PeerKind.PLC

    host: Host
    """Name or address of the PLC."""
    port: Annotated[int, Field(ge=1, le=65535)] = 102
    """TCP port of the PLC."""
    rack: Annotated[int, Field(ge=0, le=7)] = 0
    """Rack of the CPU: 0 for S7-1200 and S7-1500."""
    slot: Annotated[int, Field(ge=0, le=31)] = 1
    """Slot of the CPU: 1 for S7-1200 and S7-1500."""
    timeout_s: Annotated[float, Field(gt=0, le=5)] = 0.5
    """Longest wait for the connection and for each answer. Raise it for a slow network."""
    db_plc: Annotated[int, Field(ge=1, le=65535)] = 100
    """Number of the data block DB_Plc, which the PLC writes."""
    db_edge: Annotated[int, Field(ge=1, le=65535)] = 101
    """Number of the data block DB_Edge, which the station writes."""
    auth_key_file: Path | None = None
    """File with the key that signs what the station writes. Only for the link, not for the encoder (docs/plc.md)."""


class S7Connection:
    """Reads and writes up to one PDU. After any error the connection is closed and must be opened again."""

    def __init__(self, settings: S7Settings) -> None:
        self._settings = settings
        self._client: snap7.Client | None = None
        self._wire: _StampedSocket | None = None
        self.address = f"s7://{settings.host}:{settings.port} rack {settings.rack} slot {settings.slot}"

    @property
    def is_open(self) -> bool:
        """Whether the last call succeeded. The PLC may be gone since then."""
        return self._client is not None

    @property
    def round_trip_ns(self) -> tuple[int, int]:
        """When the last request was sent and when its answer began to arrive, on the monotonic clock."""
        return (self._wire.sent_ns, self._wire.answered_ns) if self._wire is not None else (0, 0)

    def open(self) -> None:
        """Connect within `timeout_s` per step. Raises DeviceError."""
        self.close()
        settings = self._settings
        client = snap7.Client()
        client.set_connection_type(3)  # S7 basic: leaves the few PG connections to the engineer
        client.host, client.port, client.rack, client.slot = settings.host, settings.port, settings.rack, settings.slot
        client.remote_tsap = (client.connection_type << 8) | (settings.rack << 5) | settings.slot
        client.connection = _Connection(settings.host, settings.port, client.local_tsap, client.remote_tsap)
        try:
            client.connection.connect(settings.timeout_s)
            self._wire = client.connection.socket
            client._setup_communication()  # noqa: SLF001 -- see the module's docstring
            client.connected = True
        except (S7Error, OSError) as error:
            _drop(client)
            raise _translated(error, f"{self.address}: cannot connect", _CONNECT) from error
        self._client = client

    def read(self, db: int, start: int, size: int) -> bytes:
        """Read `size` bytes of a data block as one consistent PDU. Raises DeviceError."""
        try:
            return bytes(self._opened().db_read(db, start, size))
        except (S7Error, OSError, ValueError) as error:
            self.close()
            what = f"{self.address}: cannot read DB{db} bytes {start}..{start + size - 1}"
            raise _translated(error, what, self._advice(error, db)) from error

    def write(self, db: int, start: int, content: bytes) -> None:
        """Write bytes into a data block. A write that times out may still be applied. Raises DeviceError."""
        try:
            self._opened().db_write(db, start, bytearray(content))
        except (S7Error, OSError, ValueError) as error:
            self.close()
            what = f"{self.address}: cannot write DB{db} bytes {start}..{start + len(content) - 1}"
            raise _translated(error, what, self._advice(error, db)) from error

    def close(self) -> None:
        """Close the connection without a farewell, because the PLC may hang."""
        if self._client is not None:
            _drop(self._client)
            self._client = None

    def _opened(self) -> snap7.Client:
        if self._client is None:
            raise DeviceError(f"{self.address}: not connected")
        return self._client

    def _advice(self, error: Exception, db: int) -> str:
        """What to do about an error of the PLC. For errors of one item, python-snap7 has the code only in the text."""
        found = _CODE.search(str(error))
        code = getattr(error, "error_code", None) or (int(found[1], 16) if found else 0)
        key = "db_plc" if db == self._settings.db_plc else "db_edge"
        return _ADVICE.get(code, "").format(key=key, db=db)


class _Connection(ISOTCPConnection):  # type: ignore[misc]
    """Connects to names and to addresses of IPv4 and IPv6. python-snap7's own class knows only IPv4."""

    def _tcp_connect(self) -> None:
        connected = socket.create_connection((self.host, self.port), self.timeout)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = _StampedSocket(connected, self.timeout)


class _StampedSocket(socket.socket):
    """Takes the times when bytes leave and arrive. With building and parsing, the round trip would be twice as long."""

    def __init__(self, connected: socket.socket, timeout_s: float) -> None:
        super().__init__(connected.family, connected.type, connected.proto, connected.detach())
        self.settimeout(timeout_s)
        self.sent_ns = 0
        self.answered_ns = 0

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        self.answered_ns = 0
        self.sent_ns = time.monotonic_ns()
        super().sendall(data, flags)

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        chunk = super().recv(size, flags)
        self.answered_ns = self.answered_ns or time.monotonic_ns()
        return chunk


def _drop(client: snap7.Client) -> None:
    with suppress(S7Error, OSError):
        client.disconnect()


def _translated(error: Exception, what: str, advice: str) -> DeviceError:
    if isinstance(error, S7TimeoutError | TimeoutError):
        return DeviceTimeoutError(f"{what}: no answer in time")
    return DeviceError(f"{what}: {error}" + (f". What to do: {advice}" if advice else ""))
