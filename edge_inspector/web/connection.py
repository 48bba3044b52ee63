"""uvicorn without its process handling, and with a limit on how long a client may hold a connection unused."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from edge_inspector.station_file import WebTable

_PATIENCE_S = 30.0  # for a request that does not come, or an answer that is not taken
_CONNECTIONS = 128
_HEADER_BYTES = 16 * 1024


class Connection(H11Protocol):
    """One client. It is overdue when for too long it neither asked for anything nor took what it was sent."""

    _unused_since_s: float | None = None

    def overdue(self, now_s: float) -> bool:
        """Whether to drop it; to be asked regularly."""
        busy = self.cycle is not None and not self.cycle.response_complete
        if busy and not self.flow.write_paused and not self.transport.is_closing():
            self._unused_since_s = None
        elif self._unused_since_s is None:
            self._unused_since_s = now_s
        return self._unused_since_s is not None and now_s - self._unused_since_s > _PATIENCE_S


class Server:
    """The listening socket and its connections."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._state = ServerState()
        self._listener: asyncio.AbstractServer | None = None

    async def open(self, listener: socket.socket) -> None:
        """Accept from now on."""

        def connect() -> asyncio.Protocol:
            return Connection(self._config, self._state, app_state={}, _loop=None)

        self._listener = await asyncio.get_running_loop().create_server(connect, sock=listener, ssl=self._config.ssl)

    def drop_overdue(self) -> None:
        """End the connections that are held and not used."""
        now_s = time.monotonic()
        for connection in list(self._state.connections):
            if isinstance(connection, Connection) and connection.overdue(now_s):
                connection.transport.abort()

    async def close(self) -> None:
        """End all connections at once: an event stream would never end by itself."""
        if self._listener is not None:
            self._listener.close()
        for connection in list(self._state.connections):
            connection.transport.abort()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def serve_on(listener: socket.socket, settings: WebTable, app: Any) -> Server:
    """A server on this socket, accepting."""
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # what a client sends wrongly is not worth a line
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
        limit_concurrency=_CONNECTIONS,
        h11_max_incomplete_event_size=_HEADER_BYTES,
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.private_key,
    )
    config.load()
    server = Server(config)
    await server.open(listener)
    return server
