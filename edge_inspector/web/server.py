"""The web server's thread: the operator page, /metrics and /healthz. asyncio lives in here and nowhere else."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from edge_inspector.errors import DeviceError
from edge_inspector.runtime.realtime import go_behind
from edge_inspector.station_file import WebTable

if TYPE_CHECKING:
    from edge_inspector.web.connection import Server

log = logging.getLogger(__name__)

_STEP_S = 0.25
_BACKLOG = 64


class Web:
    """Serves an ASGI application. `make_app()` is called in the web thread, whenever it starts."""

    name = "web"
    beat_within_s = 10.0

    def __init__(self, settings: WebTable, make_app: Callable[[], Any]) -> None:
        self._settings = settings
        self._make_app = make_app
        self._socket: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: Server | None = None

    def open(self) -> None:
        """Take the port before anything else starts. Raises DeviceError."""
        self._listen()

    def _listen(self) -> socket.socket:
        host, port = self._settings.host, self._settings.port
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            listener.listen(_BACKLOG)
        except OSError as error:
            listener.close()
            raise DeviceError(f"web.port: cannot listen on {host}:{port}: {error.strerror}") from error
        self._socket = listener
        return listener

    def start(self) -> None:
        """Listen, again after a failure."""
        go_behind()
        # A quarter of a second of imports on a busy box: here, so that verdicts need not wait for them.
        from edge_inspector.web.connection import serve_on  # noqa: PLC0415

        listener = self._socket or self._listen()
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(serve_on(listener, self._settings, self._make_app()))

    def step(self) -> None:
        """Serve whoever comes, for a moment; then drop who keeps a connection and does not use it."""
        if self._loop is not None and self._server is not None:
            self._loop.run_until_complete(asyncio.sleep(_STEP_S))
            self._server.drop_overdue()

    def stop(self, *, failed: bool) -> None:  # noqa: ARG002 -- the same either way
        """End every connection and let go of the port."""
        if self._loop is not None:
            if self._server is not None:
                self._loop.run_until_complete(self._server.close())
            self._loop.close()
        if self._socket is not None:
            self._socket.close()
        self._loop = self._server = self._socket = None
