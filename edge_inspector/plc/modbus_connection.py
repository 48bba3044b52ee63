"""One Modbus TCP connection with timeouts that hold. Not thread-safe: one thread owns it.

A block is a range of holding registers that starts at its base address. Each register holds two bytes, the first in
its high half. The bytes and their order are those of docs/plc.md.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator
from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ConnectionException, ModbusException
from pymodbus.pdu import ModbusPDU

from edge_inspector.drivers import DriverSettings, PeerKind
from edge_inspector.errors import DeviceError, DeviceTimeoutError
from edge_inspector.host_name import Host
from edge_inspector.plc.stamped_connection import StampedConnection, StampedSocket

# What pymodbus logs as an error comes as a DeviceError too.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)

_CELL = 8  # registers: records begin and end at multiples of it, so that a read cuts none where it need not
_MBAP = 7  # bytes before the function code: number, protocol, length, unit
_BUSY, _BUSY_TRIES = 6, 3
_EXAMPLE_READ, _EXAMPLE_WRITE = 64, 30  # what small servers allow
_EXCEPTIONS = {
    1: "illegal function: the server must allow function codes 3 (read) and 16 (write) on holding registers",
    2: "illegal address: the server has no such registers, or they cannot be written. Are plc_address and edge_address "
    "right (register 40001 has address 0)?",
    3: "illegal value: perhaps the server allows fewer registers in one request: write {key}",
    4: "server device failure: see the PLC's own diagnosis",
    6: "server device busy",
    10: "gateway path unavailable: is unit right?",
    11: "the device behind the gateway does not answer: is unit right?",
}
_CLOSED = (
    "the server closed the connection. Link and encoder have one each: if it has room for one client only, write "
    "share_connection = true in plcs.settings and encoder.settings"
)

Address = Annotated[int, Field(ge=0, le=65535)]
Order = Literal["high-first", "low-first"]


class ModbusServer(DriverSettings):
    """Where the PLC's Modbus TCP server is, and how it serves."""

    peer_kind: ClassVar = PeerKind.PLC

    host: Host
    """Name or address of the PLC."""
    port: Annotated[int, Field(ge=1, le=65535)] = 502
    """TCP port of the server."""
    unit: Annotated[int, Field(ge=0, le=255)] = 1
    """Unit number of the server. Some servers answer only as 0 or 255."""
    timeout_s: Annotated[float, Field(gt=0, le=5)] = 0.5
    """Longest wait for the connection and for each answer. Raise it for a slow network."""
    max_read_registers: Annotated[int, Field(ge=16, le=125)] = 125
    """Most registers that the server allows in one read request."""
    max_write_registers: Annotated[int, Field(ge=8, le=123)] = 123
    """Most registers that the server allows in one write request."""
    word_order: Order = "high-first"
    """Order of the two registers of a 32-bit value."""
    byte_order: Order = "high-first"
    """Order of the two bytes within a register."""


class ModbusSettings(ModbusServer):
    """The PLC's Modbus TCP server and its registers. Link and encoder need the same values."""

    plc_address: Address = 0
    """First holding register of DB_Plc. Addresses count from 0, as on the wire: register 40001 has address 0."""
    edge_address: Address = 1000
    """First holding register of DB_Edge, counted as for `plc_address`."""
    share_connection: bool = False
    """Let link and encoder take turns on one connection. Set it in both if the server has room for one client only."""
    auth_key_file: Path | None = None
    """File with the key that signs what the station writes. Only for the link, not for the encoder (docs/plc.md)."""

    @staticmethod
    def other(order: Order) -> Order:
        """The opposite order."""
        return "low-first" if order == "high-first" else "high-first"

    @model_validator(mode="after")
    def _apart(self) -> ModbusSettings:
        plc, edge = range(self.plc_address, self.plc_address + 160), range(self.edge_address, self.edge_address + 1056)
        if plc.start < edge.stop and edge.start < plc.stop:
            raise ValueError("DB_Plc (160 registers) and DB_Edge (1056 registers) overlap")
        if max(plc.stop, edge.stop) > 65536:
            raise ValueError("a block ends beyond register 65535")
        return self


class ModbusConnection(StampedConnection[ModbusTcpClient]):
    """Reads and writes bytes. After any error the connection is closed and must be opened again."""

    _socket: _ModbusSocket | None

    def __init__(self, settings: ModbusServer) -> None:
        super().__init__(f"modbus://{settings.host}:{settings.port} unit {settings.unit}")
        self._settings = settings
        self._order = ">" if settings.byte_order == "high-first" else "<"

    def open(self) -> None:
        """Connect within `timeout_s`. Raises DeviceError."""
        self.close()
        settings = self._settings
        try:
            connected = _ModbusSocket(settings.host, settings.port, settings.timeout_s)
        except TimeoutError as error:
            raise DeviceTimeoutError(f"{self.address}: cannot connect: no answer in time") from error
        except OSError as error:
            raise DeviceError(f"{self.address}: cannot connect: {error}") from error
        client = ModbusTcpClient(settings.host, port=settings.port, timeout=settings.timeout_s, retries=0)
        # Ours, since its own connect() keeps the cause of a failure to itself and its socket takes no stamps.
        self._socket = client.socket = connected
        self._client = client

    def read(self, block: int, start: int, size: int) -> bytes:
        """Read `size` bytes from byte `start` of the block at this address, in ascending order. Raises DeviceError.

        A long range takes several requests. Each record is then consistent, but the whole range may not be.
        """
        register, count = block + start // 2, size // 2
        step = self._settings.max_read_registers // _CELL * _CELL
        return b"".join(self._read(register + at, min(step, count - at)) for at in range(0, count, step))

    def write(self, block: int, start: int, content: bytes) -> None:
        """Write one record. A write that times out may still be applied. Raises DeviceError.

        If it takes several requests, the end of the record is written first. The number in its first bytes stays the
        old one until the last request, so that no reader takes the record for a new one.
        """
        register, count = block + start // 2, len(content) // 2
        step = self._settings.max_write_registers
        for at in reversed(range(0, count, step)):
            self._write(register + at, content[2 * at : 2 * min(at + step, count)])

    def read_words(self, table: str, address: int, count: int) -> bytes:
        """Registers of the table `holding` or `input`, as bytes with the high byte first. Raises DeviceError."""
        if table == "holding":
            return self._read(address, count)
        what = f"{self.address}: cannot read input registers {address}..{address + count - 1}"
        answer = self._ask(
            lambda client: client.read_input_registers(address, count=count, device_id=self._settings.unit),
            what,
            "fewer",
        )
        if len(answer.registers) != count:
            self.close()
            raise DeviceError(f"{what}: the answer has {len(answer.registers)}")
        return struct.pack(f"{self._order}{count}H", *answer.registers)

    def write_words(self, address: int, content: bytes) -> None:
        """Write holding registers in one request. Raises DeviceError."""
        self._write(address, content)

    def read_bit(self, table: str, address: int) -> bool:
        """One bit of the table `coil` or `discrete`. Raises DeviceError."""
        what = f"{self.address}: cannot read {table} {address}"

        def ask(client: ModbusTcpClient) -> ModbusPDU:
            read = client.read_coils if table == "coil" else client.read_discrete_inputs
            return read(address, count=1, device_id=self._settings.unit)

        answer = self._ask(ask, what, "fewer")
        if not answer.bits:
            self.close()
            raise DeviceError(f"{what}: the answer is empty")
        return bool(answer.bits[0])

    def write_bit(self, address: int, *, on: bool) -> None:
        """Write one coil. Raises DeviceError."""
        what = f"{self.address}: cannot write coil {address}"
        self._ask(lambda client: client.write_coil(address, on, device_id=self._settings.unit), what, "fewer")

    def _read(self, register: int, count: int) -> bytes:
        what = f"{self.address}: cannot read registers {register}..{register + count - 1}"
        answer = self._ask(
            lambda client: client.read_holding_registers(register, count=count, device_id=self._settings.unit),
            what,
            f"max_read_registers = {_EXAMPLE_READ}, say",
        )
        if len(answer.registers) != count:
            self.close()
            raise DeviceError(f"{what}: the answer has {len(answer.registers)}")
        return struct.pack(f"{self._order}{count}H", *answer.registers)

    def _write(self, register: int, content: bytes) -> None:
        count = len(content) // 2
        what = f"{self.address}: cannot write registers {register}..{register + count - 1}"
        words = list(struct.unpack(f"{self._order}{count}H", content))
        self._ask(
            lambda client: client.write_registers(register, words, device_id=self._settings.unit),
            what,
            f"max_write_registers = {_EXAMPLE_WRITE}, say",
        )

    def _ask(self, request: Callable[[ModbusTcpClient], ModbusPDU], what: str, key: str) -> ModbusPDU:
        """The answer to a request. A server that is busy is asked again. Raises DeviceError."""
        for tries_left in reversed(range(_BUSY_TRIES)):
            client = self._opened(what)
            try:
                answer = request(client)
            except (ModbusException, OSError) as error:
                raise self._lost(error, what) from error
            if not answer.isError():
                return answer
            code = answer.exception_code
            if code != _BUSY or not tries_left:
                self.close()
                words = _EXCEPTIONS.get(code, "see the PLC's manual").format(key=key)
                raise DeviceError(f"{what}: refused with exception code {code} ({words})")
        raise AssertionError("the last try returns or raises")

    def close(self) -> None:
        """Close the connection without a farewell, because the PLC may hang."""
        if self._socket is not None:
            self._socket.close()
        self._client = None

    def _lost(self, error: Exception, what: str) -> DeviceError:
        # pymodbus has one exception for an answer that never came and for one that it could not read.
        silent = self._socket is not None and self._socket.is_silent
        answered = self._socket.misfit(self._settings.unit) if self._socket is not None else ""
        self.close()
        if silent:
            hint = "is unit right? Has the server room for another client?"
            return DeviceTimeoutError(f"{what}: no answer in time ({hint})")
        if isinstance(error, ConnectionException | ConnectionError):
            return DeviceError(f"{what}: {_CLOSED}")
        return DeviceError(f"{what}: {answered or error}")


class _ModbusSocket(StampedSocket):
    """Keeps the header of the last request and of its answer."""

    _asked = b""
    _answer = b""

    def misfit(self, unit: int) -> str:
        """How the answer's header differs from that of the request; empty where it does not."""
        if len(self._answer) < _MBAP:
            return ""
        number, answered_as = self._answer[:2], self._answer[_MBAP - 1]
        if answered_as != unit:
            return f"the server answers as unit {answered_as}: write unit = {answered_as}"
        if number != self._asked[:2]:
            asked, told = int.from_bytes(self._asked[:2], "big"), int.from_bytes(number, "big")
            return (
                f"the server answers request {asked} with transaction number {told}, but it must repeat the request's. "
                "Is a gateway in another mode?"
            )
        return ""

    def send(self, data: Any, flags: int = 0, /) -> int:
        self._asked, self._answer = data[:_MBAP], b""
        return super().send(data, flags)

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        chunk = super().recv(size, flags)
        self._answer = (self._answer + chunk)[:_MBAP]
        return chunk
