"""A TCP connection to a PLC that takes the times of each request and answer. Not thread-safe: one thread owns it."""

from __future__ import annotations

import logging
import socket
import struct
import time
from typing import Any, Generic, TypeVar

from edge_inspector.errors import DeviceError
from edge_inspector.plc.wire import Wire

log = logging.getLogger(__name__)

Client = TypeVar("Client")

_last_known: dict[str, str] = {}  # by name, of this run. A PLC whose address has changed is not found by it

_TIME = struct.Struct("@ll")  # the kernel's struct timeval


class StampedSocket(socket.socket):
    """Takes the times when bytes leave and arrive. With building and parsing, the round trip would be twice as long.

    The host may be a name or an address of IPv4 or IPv6. If the name server is gone, the address at which this name
    answered last is used. Raises OSError if it cannot be reached within `timeout_s`.
    """

    def __init__(self, host: str, port: int, timeout_s: float) -> None:
        connected = _connected(host, port, timeout_s)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().__init__(connected.family, connected.type, connected.proto, connected.detach())
        self.settimeout(timeout_s)
        self.sent_ns = 0
        self.answered_ns = 0

    @property
    def is_silent(self) -> bool:
        """A request was sent, and neither an answer nor the connection's end has come since."""
        return self.sent_ns > 0 and self.answered_ns == 0

    def wait_at_most(self, seconds: float) -> None:
        """Let the kernel keep the time from now on. It raises BlockingIOError.

        With Python's timeouts each call would wait for the interpreter twice.
        """
        self.settimeout(None)
        limit = _TIME.pack(int(seconds), int(seconds % 1 * 1e6))
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self.setsockopt(socket.SOL_SOCKET, option, limit)

    def send(self, data: Any, flags: int = 0, /) -> int:
        """As `socket.send`."""
        self._begin()
        return super().send(data, flags)

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """As `socket.sendall`."""
        self._begin()
        super().sendall(data, flags)

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """As `socket.recv`."""
        try:
            return super().recv(size, flags)
        finally:
            self.answered_ns = self.answered_ns or time.monotonic_ns()

    def _begin(self) -> None:
        self.answered_ns = 0
        self.sent_ns = time.monotonic_ns()


def _connected(host: str, port: int, timeout_s: float) -> socket.socket:
    try:
        found = socket.create_connection((host, port), timeout_s)
    except socket.gaierror as error:
        address = _last_known.get(host)
        if address is None:
            raise
        log.warning("the name %s is not known now (%s): trying its last address, %s", host, error.strerror, address)
        return socket.create_connection((address, port), timeout_s)
    _last_known[host] = found.getpeername()[0]
    return found


class StampedConnection(Wire, Generic[Client]):
    """A protocol library's client and the socket that it uses. No client means that the connection is closed."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._client: Client | None = None
        self._socket: StampedSocket | None = None

    @property
    def is_open(self) -> bool:
        """Whether the last call succeeded. The PLC may be gone since then."""
        return self._client is not None

    @property
    def round_trip_ns(self) -> tuple[int, int]:
        """When the last request was sent and when its answer began to arrive, on the monotonic clock."""
        return (self._socket.sent_ns, self._socket.answered_ns) if self._socket is not None else (0, 0)

    def _opened(self, what: str) -> Client:
        if self._client is None:
            raise DeviceError(f"{what}: not connected")
        return self._client
