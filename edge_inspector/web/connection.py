"""uvicorn without its process handling. The number of clients and their idle time are limited."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Coroutine
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from edge_inspector.station_file import WebTable

_PATIENCE_S = 30.0  # for a request that does not come, or a client that does not take its answer
_CONNECTIONS = 128  # each takes a file descriptor, and the PLC's links and the cameras need some, too
_RETRY_S = 1.0
_HEADER_BYTES = 16 * 1024


class Connection(H11Protocol):
    """One client. It is overdue if it has sent no request and taken no data for too long."""

    _unused_since_s: float | None = None

    def __init__(self, config: Config, state: ServerState) -> None:
        super().__init__(config, state, app_state={})
        self.ended = asyncio.Event()

    def connection_lost(self, exc: Exception | None) -> None:
        """Free its place."""
        self.ended.set()
        super().connection_lost(exc)

    def overdue(self, now_s: float) -> bool:
        """Whether to drop it. The server asks regularly."""
        busy = self.cycle is not None and not self.cycle.response_complete
        if busy and not self.flow.write_paused and not self.transport.is_closing():
            self._unused_since_s = None
        elif self._unused_since_s is None:
            self._unused_since_s = now_s
        return self._unused_since_s is not None and now_s - self._unused_since_s > _PATIENCE_S


class Server:
    """The listening socket and its connections. If there are enough, new clients wait to be accepted."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._state = ServerState()
        self._room = asyncio.Semaphore(_CONNECTIONS)
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
                client, _ = await asyncio.get_running_loop().sock_accept(listener)
            except OSError:
                self._room.release()
                await asyncio.sleep(_RETRY_S)
            else:
                self._keep(self._attend(client))

    async def _attend(self, client: socket.socket) -> None:
        connection = Connection(self._config, self._state)
        tls = self._config.ssl
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection, client, ssl=tls, ssl_handshake_timeout=_PATIENCE_S if tls else None
            )
            await connection.ended.wait()
        except OSError:
            pass  # no TLS
        finally:
            self._room.release()

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
        limit_concurrency=_CONNECTIONS + 1,  # of requests, because some may outlive their connection
        h11_max_incomplete_event_size=_HEADER_BYTES,
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.private_key,
    )
    config.load()
    server = Server(config)
    server.open(listener)
    return server
