"""A PLC with Modbus TCP as it is: values in registers and coils."""

from __future__ import annotations

import re

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.plc.modbus_connection import ModbusConnection, ModbusServer
from edge_inspector.plc.simple.cells import BIT, KINDS, PlcCell
from edge_inspector.plc.simple.encoder import SimpleEncoder
from edge_inspector.plc.simple.link import SimpleLink
from edge_inspector.plc.simple.settings import SimpleEncoderSettings, SimpleSettings
from edge_inspector.records import Identity

_PLACE = re.compile(r"^(?P<table>holding|input|coil|discrete) *(?P<address>\d+)(?:\.(?P<bit>\d+))?$", re.IGNORECASE)
_BITS = ("coil", "discrete")
_HOW = 'write it as "holding 100 as dint", "input 5", "holding 7.3", "coil 12" or "discrete 4" (addresses from 0)'


def modbus_cell(text: str) -> PlcCell:
    """The place that a text means, as holding 100 as dint. Raises ConfigError."""
    where, _, kind = (part.strip() for part in text.partition(" as "))
    found = _PLACE.match(where)
    if found is None or int(found["address"]) > 65535:
        raise ConfigError([Fault(text, f"is no place of a Modbus server: {_HOW}")])
    table, bit = found["table"].lower(), found["bit"]
    is_bit = table in _BITS or bit is not None
    kind = kind.lower() or (BIT if is_bit else "uint")
    if is_bit != (kind == BIT) or (bit is not None and (table in _BITS or int(bit) > 15)):
        raise ConfigError([Fault(text, f"is a bit, or not: {_HOW}")])
    if kind != BIT and (kind not in KINDS or KINDS[kind][1] < 2):
        there_are = ", ".join(name for name, (_, length) in KINDS.items() if length > 1)
        raise ConfigError([Fault(text, f"cannot be {kind!r}; there are: {there_are}")])
    start = 2 * int(found["address"])
    if bit is not None:  # bit 0 is the lowest of the register, which is in its second byte
        return PlcCell(table, 0, start + (int(bit) < 8), kind, bit=int(bit) % 8, text=text)
    return PlcCell(table, 0, start, kind, bit=0 if is_bit else None, text=text)


class ModbusMemory(ModbusConnection):
    """Reads and writes cells. Their `start` is twice the register's address."""

    def __init__(self, settings: ModbusServer) -> None:
        super().__init__(settings)
        self._low_word_first = settings.word_order == "low-first"

    def read(self, first: PlcCell, size: int) -> bytes:  # type: ignore[override]
        """`size` bytes from the place of `first` on. Raises DeviceError."""
        if first.area in _BITS:
            return b"".join(
                bytes([self.read_bit(first.area, first.start // 2 + at)] * 2) for at in range((size + 1) // 2)
            )
        begin, end = first.start // 2, -(-(first.start + size) // 2)
        content = self.read_words(first.area, begin, end - begin)
        return content[first.start - 2 * begin :][:size]

    def write(self, first: PlcCell, content: bytes) -> None:  # type: ignore[override]
        """Write registers from the place of `first` on. Raises DeviceError."""
        self.write_words(first.start // 2, content)


class _Turned(PlcCell):
    """A value whose low word comes first."""

    def unpack(self, content: bytes) -> int | float:
        return super().unpack(_turned(content))

    def pack(self, value: float) -> bytes:
        return _turned(super().pack(value))


def _turned(content: bytes) -> bytes:
    return b"".join(content[at : at + 2] for at in range(len(content) - 2, -1, -2)) if len(content) > 2 else content


def _ordered(cell: PlcCell, settings: ModbusServer) -> PlcCell:
    if settings.word_order == "high-first" or cell.size <= 2:
        return cell
    return _Turned(cell.area, cell.block, cell.start, cell.kind, bit=cell.bit, text=cell.text)


class ModbusSimpleLink(SimpleLink):
    """The link over function codes 1 to 6 and 16."""

    class Settings(ModbusServer, SimpleSettings):
        """The PLC, and where its values are: `holding 100 as dint`, `coil 12`, `input 5`."""

        def cell(self, text: str) -> PlcCell:
            """The place that a text means. Raises ConfigError."""
            return _ordered(modbus_cell(text), self)

    def __init__(self, settings: Settings, identity: Identity) -> None:
        super().__init__(ModbusMemory(settings), settings, identity)


class ModbusSimpleEncoder(SimpleEncoder):
    """Reads the encoder from registers."""

    class Settings(ModbusServer, SimpleEncoderSettings):
        """The PLC, and where the belt's position is: `holding 10 as dint`, `input 4 as udint`, `coil 12`."""

        def cell(self, text: str) -> PlcCell:
            """The place that a text means. Raises ConfigError."""
            return _ordered(modbus_cell(text), self)

    def __init__(self, settings: Settings) -> None:
        super().__init__(ModbusMemory(settings), settings)
