"""One S7 connection whose timeouts are kept. Not thread-safe: one thread owns it.

python-snap7 connects, and says what is wrong with a reply. Reads and writes that succeed do without it
(`s7_messages.py`), because it takes ten times as long for them.

python-snap7 waits 5 s for every connect, and its API cannot change that. Therefore `open` makes private calls (pinned
to python-snap7 3.3, and held to it by tests/unit/test_s7_connection.py).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, ClassVar

import snap7
from pydantic import Field
from snap7.connection import ISOTCPConnection
from snap7.error import S7ConnectionError, S7Error, S7StalePacketError, S7TimeoutError
from snap7.s7protocol import S7WordLen
from snap7.type import Area

from edge_inspector.drivers import DriverSettings, PeerKind
from edge_inspector.errors import DeviceError, DeviceTimeoutError
from edge_inspector.host_name import Host
from edge_inspector.plc import s7_messages
from edge_inspector.plc.stamped_connection import StampedConnection, StampedSocket
from edge_inspector.wording import in_words

_PUT_GET = "permit PUT/GET access in TIA Portal: CPU properties, Protection & Security, Connection mechanisms"
_ADVICE = {
    0x03: f"access denied: {_PUT_GET}. Or the block is write-protected",
    0x05: "the block is shorter: load the blocks of deploy/plc. Is {key} = {db} right?",
    0x0A: "PUT/GET finds no such block: is {key} = {db} right, and is its attribute 'Optimized block access' off?",
    0x8104: f"the CPU refuses the service: {_PUT_GET}",
}
_PLAIN_ADVICE = {
    0x03: _ADVICE[0x03],
    0x05: "the block or area is shorter: is the address right?",
    0x0A: "PUT/GET sees no such block: is its number right, and is its attribute 'Optimized block access' off?",
    0x8104: _ADVICE[0x8104],
}
_AREAS = {Area.DB: "DB", Area.MK: "M", Area.PE: "I", Area.PA: "Q"}
_CONNECT = "is host right, port 102 open, and rack and slot those of the CPU (S7-1200 and S7-1500: rack 0, slot 1)?"
_CODE = re.compile(r"0x([0-9a-f]{2,8})\)?$")
_SMALLEST_PDU = 128  # a record must fit. Every S7 CPU has 240 or more
_CHUNK = 4096  # bytes: more than any reply
_OLD_REPLIES = 3  # to earlier requests: as many as python-snap7 passes over


Tsap = Annotated[
    str,
    Field(
        pattern=r"^[0-9A-Fa-f]{2}\.[0-9A-Fa-f]{2}$",
        json_schema_extra=in_words("two bytes in hexadecimal with a point between them, as 03.01"),
    ),
]


class S7Address(DriverSettings):
    """Where the PLC is."""

    peer_kind: ClassVar = PeerKind.PLC

    host: Host
    """Name or address of the PLC."""
    port: Annotated[int, Field(ge=1, le=65535)] = 102
    """TCP port of the PLC."""
    rack: Annotated[int, Field(ge=0, le=7)] = 0
    """Rack of the CPU: 0 for S7-1200 and S7-1500."""
    slot: Annotated[int, Field(ge=0, le=31)] = 1
    """Slot of the CPU: 1 for S7-1200 and S7-1500."""
    remote_tsap: Tsap | None = None
    """TSAP of the PLC, as `03.01`, for LOGO!, CPs and configured connections. Not set: from `rack` and `slot`."""
    local_tsap: Tsap | None = None
    """TSAP of this station, as `10.00`, if the PLC's connection names one. Not set: `01.00`."""
    timeout_s: Annotated[float, Field(gt=0, le=5)] = 0.5
    """Longest wait for the connection and for each answer. Raise it for a slow network."""


class S7Settings(S7Address):
    """The PLC and its two data blocks."""

    db_plc: Annotated[int, Field(ge=1, le=65535)] = 100
    """Number of the data block DB_Plc, which the PLC writes."""
    db_edge: Annotated[int, Field(ge=1, le=65535)] = 101
    """Number of the data block DB_Edge, which the station writes."""
    auth_key_file: Path | None = None
    """File with the key that signs what the station writes. Only for the link, not for the encoder (docs/plc.md)."""


class S7Connection(StampedConnection[snap7.Client]):
    """Reads and writes up to one PDU. After any error the connection is closed and must be opened again."""

    def __init__(self, settings: S7Address) -> None:
        super().__init__(f"s7://{settings.host}:{settings.port} rack {settings.rack} slot {settings.slot}")
        self._settings = settings
        self._number = 0
        self._received = bytearray()

    def open(self) -> None:
        """Connect within `timeout_s` per step. Raises DeviceError."""
        self.close()
        settings = self._settings
        client = snap7.Client()
        client.set_connection_type(3)  # S7 basic: leaves the few PG connections to the engineer
        client.host, client.port, client.rack, client.slot = settings.host, settings.port, settings.rack, settings.slot
        client.remote_tsap = (client.connection_type << 8) | (settings.rack << 5) | settings.slot
        if settings.remote_tsap is not None:
            client.remote_tsap = _tsap(settings.remote_tsap)
        if settings.local_tsap is not None:
            client.local_tsap = _tsap(settings.local_tsap)
        client.connection = _Connection(settings.host, settings.port, client.local_tsap, client.remote_tsap)
        try:
            client.connection.connect(settings.timeout_s)
            self._socket = client.connection.socket
            client._setup_communication()  # noqa: SLF001 -- see the module's docstring
            client.connected = True
            if client.pdu_length < _SMALLEST_PDU:
                raise S7ConnectionError(f"its PDUs have {client.pdu_length} bytes, {_SMALLEST_PDU} are needed")
        except (S7Error, OSError) as error:
            _drop(client)
            raise _translated(error, f"{self.address}: cannot connect", _CONNECT) from error
        self._socket.wait_at_most(settings.timeout_s)
        self._received.clear()
        self._client = client

    def read(self, db: int, start: int, size: int) -> bytes:
        """Read bytes of a data block: one consistent PDU if they fit into one, else several in ascending order.

        Raises DeviceError.
        """
        return self.read_area(Area.DB, db, start, size)

    def read_area(self, area: Area, db: int, start: int, size: int) -> bytes:
        """As `read`, from any memory area. `db` is 0 outside data blocks. Raises DeviceError."""
        memory = s7_messages.MemoryArea(area, db)
        try:
            most = self._opened(self.address).pdu_length - s7_messages.READ_OVERHEAD
            if size <= most:
                return self._read(memory, start, size)
            return b"".join(self._read(memory, start + at, min(most, size - at)) for at in range(0, size, most))
        except (S7Error, OSError, ValueError) as error:
            raise self._lost(error, "read", memory, range(start, start + size)) from error

    def write(self, db: int, start: int, content: bytes) -> None:
        """Write bytes into a data block. A write that times out may still be applied. Raises DeviceError.

        If it takes several requests, the first bytes go last.
        """
        self.write_area(Area.DB, db, start, content)

    def write_area(self, area: Area, db: int, start: int, content: bytes) -> None:
        """As `write`, into any memory area. `db` is 0 outside data blocks. Raises DeviceError."""
        memory = s7_messages.MemoryArea(area, db)
        try:
            most = self._opened(self.address).pdu_length - s7_messages.WRITE_OVERHEAD
            for at in reversed(range(0, len(content), most)):
                self._write(memory, start + at, content[at : at + most])
        except (S7Error, OSError, ValueError) as error:
            raise self._lost(error, "write", memory, range(start, start + len(content))) from error

    def _lost(self, error: Exception, verb: str, memory: s7_messages.MemoryArea, octets: range) -> DeviceError:
        self.close()
        place = f"{_AREAS[Area(memory.area)]}{memory.db or ''}"
        what = f"{self.address}: cannot {verb} {place} bytes {octets.start}..{octets.stop - 1}"
        return _translated(error, what, self._advice(error, memory.db))

    def _read(self, memory: s7_messages.MemoryArea, start: int, size: int) -> bytes:
        number = self._next()
        self._send(s7_messages.read_request(number, memory, start, size))
        reply = self._receive()
        content = s7_messages.read_content(reply, number, size)
        if content is None:
            return bytes(
                self._judged(reply, lambda protocol, said: protocol.extract_read_data(said, S7WordLen.BYTE, size))
            )
        return content

    def _write(self, memory: s7_messages.MemoryArea, start: int, content: bytes) -> None:
        number = self._next()
        self._send(s7_messages.write_request(number, memory, start, content))
        reply = self._receive()
        if not s7_messages.is_written(reply, number):
            self._judged(reply, lambda protocol, said: protocol.check_write_response(said))

    def _judged(self, reply: bytes, judge: Callable[[Any, Any], Any]) -> Any:
        """What python-snap7 makes of a reply that is no plain success. Replies to earlier requests are passed over."""
        client = self._opened(self.address)
        client.protocol.sequence = self._number
        for _ in range(_OLD_REPLIES):
            said = client.protocol.parse_response(client.connection._parse_cotp_data(reply[4:]))  # noqa: SLF001 -- as above
            with suppress(S7StalePacketError):
                client.protocol.validate_pdu_reference(said["sequence"])
                return judge(client.protocol, said)
            reply = self._receive()
        raise S7ConnectionError("only replies to earlier requests came")

    def _next(self) -> int:
        self._number = self._number % 0xFFFF + 1
        return self._number

    def _send(self, request: bytes) -> None:
        if self._socket is None:
            raise S7ConnectionError("Not connected")
        self._socket.sendall(request)

    def _receive(self) -> bytes:
        """The next whole message. What came after it is kept for the next call."""
        received, wire = self._received, self._socket
        if wire is None:
            raise S7ConnectionError("Not connected")
        until = time.monotonic() + self._settings.timeout_s
        while len(received) < 4 or len(received) < s7_messages.length_of(received):
            if time.monotonic() > until:  # a few bytes at a time do not make it wait for ever
                raise S7TimeoutError("Receive timeout")
            chunk = wire.recv(_CHUNK)
            if not chunk:
                raise S7ConnectionError("Connection closed by peer")
            received += chunk
        length = s7_messages.length_of(received)
        if length < s7_messages.HEAD_SIZE:
            raise S7ConnectionError(f"no S7 message: {bytes(received[:8]).hex(' ')}")
        message = bytes(received[:length])
        del received[:length]
        return message

    def close(self) -> None:
        """Close the connection without a farewell, because the PLC may hang."""
        if self._client is not None:
            _drop(self._client)
            self._client = None

    def _advice(self, error: Exception, db: int) -> str:
        """What to do about an error of the PLC. For errors of one item, python-snap7 has the code only in the text."""
        found = _CODE.search(str(error))
        code = getattr(error, "error_code", None) or (int(found[1], 16) if found else 0)
        if not isinstance(self._settings, S7Settings):
            return _PLAIN_ADVICE.get(code, "")
        key = "db_plc" if db == self._settings.db_plc else "db_edge"
        return _ADVICE.get(code, "").format(key=key, db=db)


class _Connection(ISOTCPConnection):  # type: ignore[misc]
    """Connects to names and to addresses of IPv4 and IPv6. python-snap7's own class knows only IPv4."""

    def _tcp_connect(self) -> None:
        self.socket = StampedSocket(self.host, self.port, self.timeout)


def _tsap(text: str) -> int:
    return int(text.replace(".", ""), 16)


def _drop(client: snap7.Client) -> None:
    with suppress(S7Error, OSError):
        client.disconnect()


def _translated(error: Exception, what: str, advice: str) -> DeviceError:
    if isinstance(error, S7TimeoutError | TimeoutError | BlockingIOError):  # the last one: the kernel's time is up
        return DeviceTimeoutError(f"{what}: no answer in time")
    return DeviceError(f"{what}: {error}" + (f". What to do: {advice}" if advice else ""))
