"""GVSP: one frame as paced packets, some lost on purpose. Packets are kept for a while for resend requests."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from edge_inspector.simulation.gige import registers
from edge_inspector.simulation.gige.registers import Registers

_LEADER, _TRAILER, _PAYLOAD = 1, 2, 3
_IMAGE, _WITH_CHUNKS = 0x0001, 0x4000
_UNAVAILABLE: Final = 0x800C
_OVERHEAD: Final = 20 + 8 + 8  # IP, UDP and GVSP headers count as part of the packet size
_KEPT_FRAMES: Final = 8
# Without a pause a socket buffer of the usual size overflows before the reader's thread runs.
_PAUSE_NS: Final = 40_000
_FINEST_SLEEP_NS: Final = 300_000
_FIRE_TEST: Final = 1 << 31
_SIZE_MASK: Final = 0xFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLeader:
    """The content of a frame's leader. `payload`: the pixels, followed by the chunks."""

    block_id: int
    ticks: int
    pixel_format: int
    width: int
    height: int
    left: int
    top: int
    payload: bytes
    has_chunks: bool


class StreamChannel:
    """Sends to the address in the registers. `loses()` is called for each packet, including resent ones."""

    def __init__(self, address: str, memory: Registers, loses: Callable[[], bool]) -> None:
        self._memory = memory
        self._loses = loses
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, list[bytes]] = OrderedDict()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, 0))
        memory.set_words({registers.STREAM_SOURCE_PORT: self._socket.getsockname()[1], registers.PACKET_SIZE: 1500})
        memory.watched[registers.PACKET_SIZE] = self._packet_size_written

    def send(self, picture: ImageLeader) -> None:
        """Send one frame, at the pace that the client has set."""
        packets = _packets(picture, (self._memory.word(registers.PACKET_SIZE) & _SIZE_MASK) - _OVERHEAD)
        with self._lock:
            self._kept[picture.block_id] = packets
            while len(self._kept) > _KEPT_FRAMES:
                self._kept.popitem(last=False)
        gap_ns = max(_PAUSE_NS, self._memory.word(registers.PACKET_DELAY))  # a tick of this camera is a nanosecond
        due = time.monotonic_ns()
        for packet in packets:
            self._send(packet)
            due += gap_ns
            ahead_ns = due - time.monotonic_ns()
            if ahead_ns > _FINEST_SLEEP_NS:
                time.sleep(ahead_ns / 1e9)

    def resend(self, block_id: int, first: int, last: int) -> None:
        """Send these packets again, or report that they are gone."""
        with self._lock:
            packets = self._kept.get(block_id, [])[first : last + 1]
        for packet in packets or [_header(_UNAVAILABLE, block_id, _PAYLOAD, first)]:
            self._send(packet)

    def close(self) -> None:
        """Release the port."""
        self._socket.close()

    def _send(self, packet: bytes) -> None:
        port = self._memory.word(registers.STREAM_PORT) & 0xFFFF
        if port and not self._loses():
            to = socket.inet_ntoa(struct.pack(">I", self._memory.word(registers.STREAM_IP)))
            self._socket.sendto(packet, (to, port))

    def _packet_size_written(self, word: int) -> None:
        self._memory.set_words({registers.PACKET_SIZE: word & ~_FIRE_TEST})
        if word & _FIRE_TEST:
            self._send(bytes(max(0, (word & _SIZE_MASK) - 28)))


def _packets(picture: ImageLeader, room: int) -> list[bytes]:
    kind = _IMAGE | (_WITH_CHUNKS if picture.has_chunks else 0)
    leader = struct.pack(
        ">HHQIIIIIHH",
        *(0, kind, picture.ticks, picture.pixel_format),
        *(picture.width, picture.height, picture.left, picture.top, 0, 0),
    )
    packets = [_header(0, picture.block_id, _LEADER, 0) + leader]
    for start in range(0, len(picture.payload), room):
        head = _header(0, picture.block_id, _PAYLOAD, len(packets))
        packets.append(head + picture.payload[start : start + room])
    trailer = struct.pack(">HHI", 0, kind, picture.height)
    return [*packets, _header(0, picture.block_id, _TRAILER, len(packets)) + trailer]


def _header(status: int, block_id: int, kind: int, packet_id: int) -> bytes:
    return struct.pack(">HHI", status, block_id, kind << 24 | packet_id)
