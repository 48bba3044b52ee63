"""GVCP: access to the camera's registers, and the control privilege with its heartbeat."""

from __future__ import annotations

import ipaddress
import selectors
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import Final

from edge_inspector.simulation.gige import registers
from edge_inspector.simulation.gige.registers import RefusedError, Registers, Status

PORT: Final = 3956
_KEY: Final = 0x42
_WANTS_ANSWER: Final = 0x01
_DISCOVERY, _RESEND = 0x02, 0x40
_READ_REGISTERS, _WRITE_REGISTERS, _READ_MEMORY, _WRITE_MEMORY = 0x80, 0x82, 0x84, 0x86
_EXCLUSIVE, _CONTROL = 0x1, 0x2
_LOOPBACK: Final = ipaddress.ip_network("127.0.0.0/8")

Peer = tuple[str, int]


class ControlChannel:
    """Answers commands in its own thread.

    `resend(block_id, first, last)` is called for resend requests. `released()` is called when the controlling client
    has left or its heartbeat has stopped. While not `plugged`, no packet arrives. Raises OSError if the address is in
    use: a second camera on one address must not start.
    """

    def __init__(
        self,
        address: str,
        memory: Registers,
        *,
        resend: Callable[[int, int, int], None],
        released: Callable[[], None],
        plugged: threading.Event,
    ) -> None:
        self._memory = memory
        self._resend = resend
        self._released = released
        self._plugged = plugged
        self._controller: Peer | None = None
        self._heard_ns = 0
        self._stopping = threading.Event()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.bind((address, PORT))
        except OSError:
            self._socket.close()
            raise
        self._broadcast = _broadcast_socket()
        memory.watched[registers.PRIVILEGE] = self._privilege_written
        self._thread = threading.Thread(target=self._serve, name="gvcp")

    def start(self) -> None:
        """Start answering."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self._socket.close()
        if self._broadcast is not None:
            self._broadcast.close()

    def answer(self, packet: bytes, sender: Peer) -> bytes | None:
        """The answer to this command from `sender`, None if it gets none."""
        if len(packet) < 8 or packet[0] != _KEY or not self._plugged.is_set():
            return None
        flags, command, size, request_id = struct.unpack(">BHHH", packet[1:8])
        body = packet[8 : 8 + size]
        if sender == self._controller:
            self._heard_ns = time.monotonic_ns()
        try:
            if command == _RESEND:
                _, block_id, first, last = struct.unpack(">HHII", body[:12])
                self._resend(block_id, first & 0xFFFFFF, last & 0xFFFFFF)
                return None
            status, data = 0, self._carry_out(command, body, sender)
        except RefusedError as error:
            status, data = int(error.status), b""
        except (struct.error, ValueError):
            status, data = int(Status.INVALID_PARAMETER), b""
        if not flags & _WANTS_ANSWER:
            return None
        return struct.pack(">HHHH", status, (command + 1) & 0xFFFF, len(data), request_id) + data

    def _carry_out(self, command: int, body: bytes, sender: Peer) -> bytes:
        if command == _DISCOVERY:
            return self._memory.read(0, registers.DISCOVERY_BYTES)
        if command == _READ_REGISTERS:
            addresses = struct.unpack(f">{len(body) // 4}I", body)
            return b"".join(self._memory.read(address, 4) for address in addresses)
        if command == _READ_MEMORY:
            address, count = struct.unpack(">IxxH", body)
            return body[:4] + self._memory.read(address, count)
        if command == _WRITE_REGISTERS:
            words = struct.unpack(f">{len(body) // 4}I", body)
            for address, word in zip(words[::2], words[1::2], strict=True):
                self._write(address, word, sender)
            return struct.pack(">HH", 0, len(words) // 2)
        if command == _WRITE_MEMORY:
            start, *content = struct.unpack(f">{len(body) // 4}I", body)
            for at, word in enumerate(content):
                self._write(start + 4 * at, word, sender)
            return struct.pack(">HH", 0, 4 * len(content))
        raise RefusedError(Status.NOT_IMPLEMENTED)

    def _write(self, address: int, word: int, sender: Peer) -> None:
        if self._controller is not None and sender != self._controller:
            raise RefusedError(Status.ACCESS_DENIED)
        taking = address == registers.PRIVILEGE and word & (_CONTROL | _EXCLUSIVE)
        if self._controller is None and not taking:
            raise RefusedError(Status.ACCESS_DENIED)
        if taking:
            self._controller, self._heard_ns = sender, time.monotonic_ns()
        self._memory.write(address, word)

    def _privilege_written(self, word: int) -> None:
        if not word & (_CONTROL | _EXCLUSIVE):
            self._release()

    def _release(self) -> None:
        self._controller = None
        self._memory.set_words({registers.PRIVILEGE: 0, registers.STREAM_PORT: 0})
        self._released()

    def _serve(self) -> None:
        with selectors.DefaultSelector() as ready:
            ready.register(self._socket, selectors.EVENT_READ)
            if self._broadcast is not None:
                ready.register(self._broadcast, selectors.EVENT_READ)
            while not self._stopping.is_set():
                for key, _ in ready.select(timeout=0.1):
                    if isinstance(key.fileobj, socket.socket):
                        self._receive(key.fileobj)
                self._check_heartbeat()

    def _receive(self, source: socket.socket) -> None:
        packet, sender = source.recvfrom(2048)
        # For a client on another interface, frames would never leave this machine's loopback.
        if source is self._broadcast and ipaddress.ip_address(sender[0]) not in _LOOPBACK:
            return
        answer = self.answer(packet, sender)
        if answer is not None:
            self._socket.sendto(answer, sender)

    def _check_heartbeat(self) -> None:
        silent_ms = (time.monotonic_ns() - self._heard_ns) / 1e6
        if self._controller is not None and silent_ms > self._memory.word(registers.HEARTBEAT_TIMEOUT_MS):
            self._release()


def _broadcast_socket() -> socket.socket | None:
    """A socket for discovery broadcasts. All cameras of this machine must share this one port."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("255.255.255.255", PORT))
    except OSError as error:
        listener.close()
        sys.stderr.write(f"no discovery by broadcast: {error}\n")
        return None
    return listener
