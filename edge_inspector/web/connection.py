"""uvicorn without its process handling. The number of clients and their idle time are limited."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import resource
import socket
import time
from collections import Counter
from collections.abc import Coroutine
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from edge_inspector.station.tables import WebTable

log = logging.getLogger(__name__)

_PATIENCE_S = 30.0  # for a request that does not come, or a client that does not take its answer
_CONNECTIONS = 128  # each takes a file descriptor, and the PLC's links and the cameras need some, too
_PER_ADDRESS = 32  # of another machine. A browser holds six for each open page
_RESERVED = 8  # more, for /metrics and /healthz only
_RESERVED_PER_ADDRESS = 2
_RESERVED_S = 3.0  # how long one of these may last
_TOLD_S = 60.0
_RETRY_S = 1.0
_HEADER_BYTES = 16 * 1024
RESERVED = "reserved"  # in the state of a request


class Connection(H11Protocol):
    """One client. It is overdue if it has sent no request and taken no data for too long.

    A `reserved` one may ask for `/metrics` and `/healthz` only, and not for long.
    """

    _unused_since_s: float | None = None

    def __init__(self, config: Config, state: ServerState, *, reserved: bool = False) -> None:
        super().__init__(config, state, app_state={RESERVED: reserved})
        self.ended = asyncio.Event()
        self._until_s = time.monotonic() + _RESERVED_S if reserved else None

    def connection_lost(self, exc: Exception | None) -> None:
        """Free its place."""
        self.ended.set()
        super().connection_lost(exc)

    def overdue(self, now_s: float) -> bool:
        """Whether to drop it. The server asks regularly."""
        if self._until_s is not None:
            return now_s > self._until_s
        busy = self.cycle is not None and not self.cycle.response_complete
        if busy and not self.flow.write_paused and not self.transport.is_closing():
            self._unused_since_s = None
        elif self._unused_since_s is None:
            self._unused_since_s = now_s
        return self._unused_since_s is not None and now_s - self._unused_since_s > _PATIENCE_S


class Places:
    """Who holds how many connections. So that one machine cannot take them all, and no crowd keeps machines away."""

    def __init__(self) -> None:
        descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._most = max(_RESERVED, min(_CONNECTIONS, descriptors // 4))
        self._held: Counter[str] = Counter()
        self._reserved: Counter[str] = Counter()
        self._told_s = -_TOLD_S

    @property
    def room(self) -> int:
        """How many there are at most, with the reserved ones."""
        return self._most + _RESERVED

    def take(self, address: str) -> str | None:
        """A place for this address: "shared", "reserved", or None if it holds enough of them already."""
        near = _is_loopback(address)
        if self._held[address] < (self._most if near else _PER_ADDRESS) and self._held.total() < self._most:
            self._held[address] += 1
            return "shared"
        if self._reserved[address] < (_RESERVED if near else _RESERVED_PER_ADDRESS):
            self._reserved[address] += 1
            return "reserved"
        self._tell(address)
        return None

    def free(self, address: str, place: str) -> None:
        """Give a place back."""
        held = self._reserved if place == "reserved" else self._held
        held[address] -= 1
        if not held[address]:
            del held[address]

    def _tell(self, address: str) -> None:
        now_s = time.monotonic()
        if now_s - self._told_s >= _TOLD_S:
            self._told_s = now_s
            log.warning(
                "the page refuses connections: %s holds %d of %d", address, self._held[address], self._held.total()
            )


class Server:
    """The listening socket and its connections. If there are enough, new clients wait to be accepted."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._state = ServerState()
        self._places = Places()
        self._room = asyncio.Semaphore(self._places.room)
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self, listener: socket.socket) -> None:
        """Start accepting clients."""
        listener.settimeout(0)
        self._keep(self._accept(listener))

    async def _accept(self, listener: socket.socket) -> None:
        # asyncio's own server accepts every client. Without a free descriptor it fills the log.
        while True:
            await self._room.acquire()
            try:
                client, peer = await asyncio.get_running_loop().sock_accept(listener)
            except OSError:
                self._room.release()
                await asyncio.sleep(_RETRY_S)
                continue
            address = str(peer[0])
            place = self._places.take(address)
            if place is None:
                client.close()
                self._room.release()
            else:
                self._keep(self._attend(client, address, place))

    async def _attend(self, client: socket.socket, address: str, place: str) -> None:
        connection = Connection(self._config, self._state, reserved=place == "reserved")
        tls = self._config.ssl
        patience_s = _RESERVED_S if place == "reserved" else _PATIENCE_S
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection, client, ssl=tls, ssl_handshake_timeout=patience_s if tls else None
            )
            await connection.ended.wait()
        except OSError:
            pass  # no TLS
        finally:
            self._places.free(address, place)
            self._room.release()

    def read_certificate(self, settings: WebTable) -> None:
        """Take the certificate from the disk again: new clients get the new one. Raises OSError."""
        if self._config.ssl is not None and settings.certificate is not None:
            self._config.ssl.load_cert_chain(settings.certificate, settings.private_key)

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def drop_overdue(self) -> None:
        """End the connections that are open and not used."""
        now_s = time.monotonic()
        for connection in list(self._state.connections):
            if isinstance(connection, Connection) and connection.overdue(now_s):
                connection.transport.abort()

    async def close(self) -> None:
        """End all connections at once, because an event stream would never end by itself."""
        for connection in list(self._state.connections):
            connection.transport.abort()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def serve_on(listener: socket.socket, settings: WebTable, app: Any) -> Server:
    """A server on this socket that accepts clients."""
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # clients' errors are not worth a line
    config = Config(
        app,
        loop="asyncio",
        http=Connection,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        limit_concurrency=_CONNECTIONS + _RESERVED + 1,  # of requests, because some may outlive their connection
        h11_max_incomplete_event_size=_HEADER_BYTES,
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.private_key,
    )
    config.load()
    server = Server(config)
    server.open(listener)
    return server


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
