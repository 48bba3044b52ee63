"""The two S7 requests that a station makes all day, as bytes, and the check whether a reply is the plain success.

python-snap7 takes 0.4 ms of a core for one request, and a station makes two hundred a second. These take a tenth of
it. Everything that is no plain success goes to python-snap7, which knows the errors.

A message is TPKT (RFC 1006), COTP data (ISO 8073) and the S7 message with header, parameters and data.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

HEAD_SIZE = 7  # bytes of TPKT and COTP before the S7 message
_READ, _WRITE = 4, 5
_DONE = 0xFF
_BITS = 4  # the length of the data counts bits
_REQUEST = struct.Struct(">BBHBBBBBHHHHBBBBBBHHI")
_DATA = struct.Struct(">BBH")
_READ_REPLY = struct.Struct(">BBHBBBBBHHHHHBBBBH")
_WRITE_REPLY = struct.Struct(">BBHBBBBBHHHHHBBB")
# What a request or reply takes of a PDU apart from its content. python-snap7 uses the same limits.
READ_OVERHEAD, WRITE_OVERHEAD = 18, 35


class MemoryArea(NamedTuple):
    """A memory area, and the number of the block in it. `db` is 0 outside data blocks."""

    area: int
    db: int


def read_request(number: int, memory: MemoryArea, start: int, size: int) -> bytes:
    """Ask for `size` bytes. `number` comes back in the reply."""
    return _request(_READ, number, (memory, start, size), data_size=0)


def write_request(number: int, memory: MemoryArea, start: int, content: bytes) -> bytes:
    """Write `content`."""
    size = len(content)
    asked = _request(_WRITE, number, (memory, start, size), data_size=_DATA.size + size)
    return asked + _DATA.pack(0, _BITS, 8 * size) + content


def read_content(reply: bytes, number: int, size: int) -> bytes | None:
    """The `size` bytes of a plain success. None for any other reply."""
    length = _READ_REPLY.size + size
    if len(reply) != length:
        return None
    head = _head(length, number, _DATA.size + size)
    if _READ_REPLY.unpack_from(reply) != (*head, _READ, 1, _DONE, _BITS, 8 * size):
        return None
    return reply[_READ_REPLY.size :]


def is_written(reply: bytes, number: int) -> bool:
    """Whether the reply is the plain success of a write."""
    if len(reply) != _WRITE_REPLY.size:
        return False
    return _WRITE_REPLY.unpack(reply) == (*_head(_WRITE_REPLY.size, number, 1), _WRITE, 1, _DONE)


def length_of(received: bytes | bytearray) -> int:
    """The length of the message that begins here. 0 if its first bytes are none."""
    return int.from_bytes(received[2:4], "big") if received[0] == 3 else 0


def _request(function: int, number: int, where: tuple[MemoryArea, int, int], *, data_size: int) -> bytes:
    (area, db), start, size = where
    length = _REQUEST.size + data_size
    address = area << 24 | start << 3  # it counts bits
    tpkt, cotp = (3, 0, length), (2, 0xF0, 0x80)
    return _REQUEST.pack(
        *tpkt, *cotp, 0x32, 1, 0, number, 14, data_size, function, 1, 0x12, 10, 0x10, 2, size, db, address
    )


def _head(length: int, number: int, data_size: int) -> tuple[int, ...]:
    return (3, 0, length, 2, 0xF0, 0x80, 0x32, 3, 0, number, 2, data_size, 0)
