"""The two blocks for a PLC that stores the low word of a 32-bit value first. Its CRCs cover the bytes as stored."""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Iterator, Mapping

from edge_inspector.plc.blocks import Block, Record
from edge_inspector.plc.wire import Wire

_WIDE = frozenset({"UDINT", "DINT", "REAL"})


class LowWordFirst:
    """A connection that swaps the words of every whole record. `blocks`: their place on the wire -> layout.

    A record with a wrong CRC is passed on unchanged, because it is invalid in either order.
    """

    def __init__(self, wire: Wire, blocks: Mapping[int, Block]) -> None:
        self.address = wire.address
        self._wire = wire
        self._blocks = blocks

    @property
    def is_open(self) -> bool:
        """Whether the last call succeeded."""
        return self._wire.is_open

    @property
    def round_trip_ns(self) -> tuple[int, int]:
        """When the last request left this process and when its answer began to arrive, monotonic."""
        return self._wire.round_trip_ns

    def open(self) -> None:
        """Connect. Raises DeviceError."""
        self._wire.open()

    def read(self, block: int, start: int, size: int) -> bytes:
        """`size` bytes of a block, in the order of docs/plc.md. Raises DeviceError."""
        return turned(self._blocks[block], start, self._wire.read(block, start, size))

    def write(self, block: int, start: int, content: bytes) -> None:
        """Write records that are in the order of docs/plc.md. Raises DeviceError."""
        self._wire.write(block, start, turned(self._blocks[block], start, content))

    def close(self) -> None:
        """Close the connection."""
        self._wire.close()


def turned(block: Block, start: int, raw: bytes) -> bytes:
    """The bytes from `start` of the block with the two words of every 32-bit value exchanged, and new CRCs."""
    content = bytearray(raw)
    for at, record in _records(block):
        begin, end = at - start, at - start + record.size
        if begin >= 0 and end <= len(content) and record.unpack(content[begin:end]) is not None:
            content[begin:end] = _turned(record, content[begin:end])
    return bytes(content)


def _records(block: Block) -> Iterator[tuple[int, Record]]:
    for at, count, record in block.parts:
        for slot in range(count):
            yield at + slot * record.size, record


def _turned(record: Record, raw: bytearray) -> bytes:
    body = raw[:-2]
    for at, field in record.offsets():
        if field.s7_type in _WIDE:
            body[at : at + 4] = body[at + 2 : at + 4] + body[at : at + 2]
    return bytes(body) + crc_hqx(body, 0xFFFF).to_bytes(2, "big")
