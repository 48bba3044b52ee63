"""One Modbus TCP connection with timeouts that hold. Not thread-safe: one thread owns it.

A block is a run of holding registers from its base address on, two bytes in each, the first in the high half: the
bytes of docs/plc.md in their order.
"""

from __future__ import annotations

import socket
import struct
import time
from typing import Annotated

from pydantic import Field, model_validator
from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from edge_inspector.drivers import DriverSettings
from edge_inspector.errors import DeviceError, DeviceTimeoutError
from edge_inspector.host_name import Host

# The protocol allows 125. 120 registers end where a record ends, so that no record is read in two pieces.
MAX_READ = 240
MAX_WRITE = 246  # bytes: 123 registers

Address = Annotated[int, Field(ge=0, le=65535)]


class ModbusSettings(DriverSettings):
    """Where the PLC is, and the addresses (from 0, as on the wire) of the two blocks' first holding registers."""

    host: Host
    port: Annotated[int, Field(ge=1, le=65535)] = 502
    unit: Annotated[int, Field(ge=0, le=255)] = 1
    timeout_s: Annotated[float, Field(gt=0, le=5)] = 0.5
    plc_address: Address = 0
    edge_address: Address = 1000

    @model_validator(mode="after")
    def _apart(self) -> ModbusSettings:
        plc, edge = range(self.plc_address, self.plc_address + 160), range(self.edge_address, self.edge_address + 1056)
        if plc.start < edge.stop and edge.start < plc.stop:
            raise ValueError("DB_Plc (160 registers) and DB_Edge (1056 registers) overlap")
        if max(plc.stop, edge.stop) > 65536:
            raise ValueError("a block ends beyond register 65535")
        return self


class ModbusConnection:
    """Reads and writes of bytes. After any error it is closed and must be opened again."""

    def __init__(self, settings: ModbusSettings) -> None:
        self._settings = settings
        self._client: ModbusTcpClient | None = None
        self._wire: _StampedSocket | None = None
        self.address = f"modbus://{settings.host}:{settings.port} unit {settings.unit}"

    @property
    def is_open(self) -> bool:
        """Whether the last call succeeded; the peer may be gone all the same."""
        return self._client is not None

    @property
    def round_trip_ns(self) -> tuple[int, int]:
        """When the last request left this process and when its answer began to arrive, monotonic."""
        return (self._wire.sent_ns, self._wire.answered_ns) if self._wire is not None else (0, 0)

    def open(self) -> None:
        """Connect within `timeout_s`. Raises DeviceError."""
        self.close()
        settings = self._settings
        try:
            connected = socket.create_connection((settings.host, settings.port), settings.timeout_s)
        except TimeoutError as error:
            raise DeviceTimeoutError(f"{self.address}: cannot connect: no answer in time") from error
        except OSError as error:
            raise DeviceError(f"{self.address}: cannot connect: {error}") from error
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = ModbusTcpClient(settings.host, port=settings.port, timeout=settings.timeout_s, retries=0)
        # Ours, since its own connect() keeps the cause of a failure to itself and its socket takes no stamps.
        self._wire = client.socket = _StampedSocket(connected)
        self._client = client

    def read(self, block: int, start: int, size: int) -> bytes:
        """`size` bytes from byte `start` of the block at this address, in ascending order. Raises DeviceError.

        More than 240 bytes take more than one request: each record is consistent, the whole need not be.
        """
        parts = []
        for at in range(start, start + size, MAX_READ):
            register, count = block + at // 2, min(MAX_READ, start + size - at) // 2
            what = f"{self.address}: cannot read registers {register}..{register + count - 1}"
            client = self._opened(what)
            try:
                answer = client.read_holding_registers(register, count=count, device_id=self._settings.unit)
            except (ModbusException, OSError) as error:
                raise self._lost(error, what) from error
            self._require(answer, what)
            if len(answer.registers) != count:
                self.close()
                raise DeviceError(f"{what}: the answer has {len(answer.registers)}")
            parts.append(struct.pack(f">{count}H", *answer.registers))
        return b"".join(parts)

    def write(self, block: int, start: int, content: bytes) -> None:
        """Write one record in one request. A write that timed out may still be applied. Raises DeviceError."""
        if len(content) > MAX_WRITE:
            raise ValueError(f"{len(content)} bytes do not fit into one request")
        register, count = block + start // 2, len(content) // 2
        what = f"{self.address}: cannot write registers {register}..{register + count - 1}"
        client = self._opened(what)
        try:
            answer = client.write_registers(
                register, list(struct.unpack(f">{count}H", content)), device_id=self._settings.unit
            )
        except (ModbusException, OSError) as error:
            raise self._lost(error, what) from error
        self._require(answer, what)

    def close(self) -> None:
        """Let go, without a word to a peer that may be hung."""
        if self._wire is not None:
            self._wire.close()
        self._client = None

    def _opened(self, what: str) -> ModbusTcpClient:
        if self._client is None:
            raise DeviceError(f"{what}: not connected")
        return self._client

    def _require(self, answer: ModbusPDU, what: str) -> None:
        if answer.isError():
            self.close()
            raise DeviceError(f"{what}: refused with exception code {answer.exception_code}")

    def _lost(self, error: Exception, what: str) -> DeviceError:
        # pymodbus has one exception for an answer that never came and for one that it could not read.
        silent = self._wire is not None and self._wire.is_silent
        self.close()
        return DeviceTimeoutError(f"{what}: no answer in time") if silent else DeviceError(f"{what}: {error}")


class _StampedSocket(socket.socket):
    """Takes the stamps where the bytes leave and come: building and parsing them would add to the round trip."""

    def __init__(self, connected: socket.socket) -> None:
        super().__init__(connected.family, connected.type, connected.proto, connected.detach())
        self.sent_ns = 0
        self.answered_ns = 0

    @property
    def is_silent(self) -> bool:
        """A request was sent, and neither an answer nor the connection's end has come since."""
        return self.sent_ns > 0 and self.answered_ns == 0

    def send(self, data: bytes, flags: int = 0, /) -> int:  # type: ignore[override]
        self.answered_ns = 0
        self.sent_ns = time.monotonic_ns()
        return super().send(data, flags)

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        try:
            return super().recv(size, flags)
        finally:
            self.answered_ns = self.answered_ns or time.monotonic_ns()
