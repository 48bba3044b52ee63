"""The web server's thread: the operator page, /metrics and /healthz. asyncio lives in here and nowhere else."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from edge_inspector.errors import DeviceError
from edge_inspector.records import ErrorCode
from edge_inspector.runtime.backoff import Backoff
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.runtime.realtime import go_behind
from edge_inspector.station_file import WebTable

if TYPE_CHECKING:
    from edge_inspector.web.connection import Server

log = logging.getLogger(__name__)

_STEP_S = 0.25
_BACKLOG = 64


class Web:
    """Serves an ASGI application. `make_app()` is called in the web thread each time it begins to listen.

    The page is not vital for verdicts. While it cannot listen, it reports `page_lost` and tries again.
    """

    name = "web"
    beat_within_s = 10.0

    def __init__(self, settings: WebTable, make_app: Callable[[], Any], conditions: Conditions) -> None:
        self._settings = settings
        self._make_app = make_app
        self._conditions = conditions
        self._backoff = Backoff(first_s=0.5, longest_s=5.0)
        self._socket: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: Server | None = None

    def start(self) -> None:
        """Nothing yet: the first step begins to listen."""
        go_behind()
        self._loop = asyncio.new_event_loop()

    def step(self) -> None:
        """Serve clients for a moment, then drop those that keep a connection and do not use it."""
        if self._loop is None or (self._server is None and not self._begin(self._loop)):
            return
        self._loop.run_until_complete(asyncio.sleep(_STEP_S))
        if self._server is not None:
            self._server.drop_overdue()

    def stop(self, *, failed: bool) -> None:  # noqa: ARG002 -- the same either way
        """End every connection and release the port."""
        if self._loop is not None:
            if self._server is not None:
                self._loop.run_until_complete(self._server.close())
            self._loop.close()
        if self._socket is not None:
            self._socket.close()
        self._loop = self._server = self._socket = None

    def _begin(self, loop: asyncio.AbstractEventLoop) -> bool:
        if not self._backoff.due(wait_s=_STEP_S):
            return False
        # The imports take a quarter of a second on a busy box. In this thread they do not delay verdicts.
        from edge_inspector.web.connection import serve_on  # noqa: PLC0415

        try:
            self._socket = self._socket or listen(self._settings)
            self._server = loop.run_until_complete(serve_on(self._socket, self._settings, self._make_app()))
        except (DeviceError, OSError) as error:
            self._conditions.set(ErrorCode.PAGE_LOST, "page", str(error))
            self._backoff.failed()
            return False
        self._backoff.succeeded()
        self._conditions.clear(ErrorCode.PAGE_LOST, "page")
        return True


def listen(settings: WebTable) -> socket.socket:
    """A listening socket for the page. Raises DeviceError."""
    host, port = settings.host, settings.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise DeviceError(_words(host, port, error)) from error
    return listener


def _words(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"web.port {port} on {host} is taken by another program (ss -ltnp shows which), or by this station itself:"
            " end it, or set web.port to a free one"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return (
            f"web.host {host} is no address of this machine now: is its network up? `ip -br address` shows those that"
            " there are; 0.0.0.0 means all of them"
        )
    if isinstance(error, socket.gaierror):
        return f"web.host {host!r} is known to no name server: write an address of this machine"
    if error.errno == errno.EACCES:
        return f"web.port {port} needs rights that this user has not: set web.port to 1024 or more"
    return f"web.host {host}, web.port {port}: {error.strerror or error}"
