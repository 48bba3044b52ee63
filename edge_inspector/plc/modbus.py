"""A PLC with Modbus TCP: verdicts and the encoder count, in two blocks of holding registers.

Link and encoder may share one connection and take turns, because some servers have room for one client only.
"""

from __future__ import annotations

import threading
from weakref import WeakValueDictionary

from edge_inspector.errors import DeviceError
from edge_inspector.plc.block_encoder import BlockEncoder
from edge_inspector.plc.block_link import BlockLink
from edge_inspector.plc.blocks import DB_EDGE, DB_PLC
from edge_inspector.plc.modbus_connection import ModbusConnection, ModbusSettings
from edge_inspector.plc.seal import read_key
from edge_inspector.plc.wire import Advice, Place
from edge_inspector.plc.word_order import LowWordFirst
from edge_inspector.records import Identity


class ModbusLink(BlockLink):
    """The link over function codes 3 and 16."""

    Settings = ModbusSettings

    def __init__(self, settings: ModbusSettings, identity: Identity) -> None:
        blocks = {settings.plc_address: DB_PLC, settings.edge_address: DB_EDGE}
        plc, edge = (Place(address, f"the block from register {address}") for address in blocks)
        wire = connection_of(settings)
        advice = Advice(
            f'write word_order = "{settings.other(settings.word_order)}"',
            f'write byte_order = "{settings.other(settings.byte_order)}"',
            f"is plc_address = {settings.plc_address} right (register 40001 has address 0)?",
        )
        super().__init__(
            LowWordFirst(wire, blocks) if settings.word_order == "low-first" else wire,
            plc,
            edge,
            identity,
            key=read_key(settings.auth_key_file),
            advice=advice,
        )


class ModbusEncoder(BlockEncoder):
    """Reads the encoder with function code 3."""

    Settings = ModbusSettings

    def __init__(self, settings: ModbusSettings) -> None:
        label = f"the block from register {settings.plc_address}"
        wire = connection_of(settings)
        turned = LowWordFirst(wire, {settings.plc_address: DB_PLC})
        super().__init__(turned if settings.word_order == "low-first" else wire, settings.plc_address, label)


class _Line:
    """The connection itself. `opened` counts up, so that whoever did not open it anew notices that it was lost."""

    def __init__(self, settings: ModbusSettings) -> None:
        self.connection = ModbusConnection(settings)
        self.lock = threading.Lock()
        self.opened = 0
        self.users = 0


_lines: WeakValueDictionary[ModbusSettings, _Line] = WeakValueDictionary()
_lines_lock = threading.Lock()


class _SharedConnection:
    """One user's view of a shared connection. An error of one user closes it for all: each opens it again."""

    def __init__(self, settings: ModbusSettings) -> None:
        # Which registers they want, and what else the link alone needs, is no matter of the connection.
        place = settings.model_copy(update={"auth_key_file": None, "plc_address": 0, "edge_address": 1000})
        with _lines_lock:
            self._line = _lines.get(place) or _Line(place)
            _lines[place] = self._line
        self._opened = 0
        self._round_trip_ns = (0, 0)
        self.address = self._line.connection.address

    @property
    def is_open(self) -> bool:
        """Whether the connection that this user opened is still there."""
        return self._opened > 0 and self._opened == self._line.opened and self._line.connection.is_open

    @property
    def round_trip_ns(self) -> tuple[int, int]:
        """When this user's last request left and when its answer began to arrive, monotonic."""
        return self._round_trip_ns

    def open(self) -> None:
        """Connect, or join the connection that is there. Raises DeviceError."""
        with self._line.lock:
            self._leave()
            if not self._line.connection.is_open:
                self._line.connection.open()
                self._line.opened += 1
                self._line.users = 0
            self._opened = self._line.opened
            self._line.users += 1

    def read(self, block: int, start: int, size: int) -> bytes:
        """As ModbusConnection.read. Raises DeviceError."""
        with self._line.lock:
            found = self._joined().read(block, start, size)
            self._round_trip_ns = self._line.connection.round_trip_ns
            return found

    def write(self, block: int, start: int, content: bytes) -> None:
        """As ModbusConnection.write. Raises DeviceError."""
        with self._line.lock:
            self._joined().write(block, start, content)

    def close(self) -> None:
        """Let go; the last one to do so closes it."""
        with self._line.lock:
            self._leave()

    def _joined(self) -> ModbusConnection:
        if not self.is_open:
            raise DeviceError(f"{self.address}: not connected")
        return self._line.connection

    def _leave(self) -> None:
        if self.is_open:
            self._line.users -= 1
            if not self._line.users:
                self._line.connection.close()
        self._opened = 0


def connection_of(settings: ModbusSettings) -> ModbusConnection | _SharedConnection:
    """A connection of its own, or a share of the one that others with the same settings have."""
    return _SharedConnection(settings) if settings.share_connection else ModbusConnection(settings)
