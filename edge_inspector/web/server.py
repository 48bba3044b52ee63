"""The web server's thread: the operator page, /metrics and /healthz. asyncio lives in here and nowhere else."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_inspector import metrics
from edge_inspector.codes import ErrorCode
from edge_inspector.errors import DeviceError
from edge_inspector.runtime.backoff import Backoff
from edge_inspector.runtime.clock import utc_of
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.runtime.realtime import go_behind
from edge_inspector.station.tables import WebTable
from edge_inspector.web.certificate import expiry

if TYPE_CHECKING:
    from edge_inspector.web.connection import Server

log = logging.getLogger(__name__)

_STEP_S = 0.25
_BACKLOG = 64
_LOOK_EVERY_S = 3600.0
_TOLD_BEFORE = timedelta(days=21)


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
        self._certificate: tuple[int, int] | None = None
        self._certificate_faulty = False
        self._look_s = 0.0

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
            self._follow_certificate(self._server)
            self._watch_expiry()

    def _watch_expiry(self) -> None:
        """Tell of a certificate that will not do for much longer, or no more."""
        path, now_s = self._settings.certificate, time.monotonic()
        if path is None or now_s < self._look_s:
            return
        self._look_s = now_s + _LOOK_EVERY_S
        try:
            ends = expiry(path)
        except (OSError, ValueError) as error:  # it may be half written
            log.warning("web.certificate %s: %s", path, error)
            return
        metrics.certificate_expires.set(ends.timestamp())
        if ends - utc_of(time.monotonic_ns()) < _TOLD_BEFORE:
            self._conditions.set(ErrorCode.CERTIFICATE_ENDS, path.name, f"valid until {ends:%Y-%m-%d %H:%M} UTC")
        else:
            self._conditions.clear(ErrorCode.CERTIFICATE_ENDS, path.name)

    def _follow_certificate(self, server: Server) -> None:
        """Use a certificate that was renewed on the disk, without a restart."""
        stamp = _stamp(self._settings.certificate)
        if stamp in (None, self._certificate):
            return
        try:
            server.read_certificate(self._settings)
        except OSError as error:  # also ssl.SSLError: it may be half written
            if not self._certificate_faulty:
                log.warning("web.certificate %s cannot be used: %s", self._settings.certificate, error)
            self._certificate_faulty = True
            return
        if self._certificate is not None:
            log.info("web.certificate %s was read again", self._settings.certificate)
        self._certificate, self._certificate_faulty, self._look_s = stamp, False, 0.0

    def stop(self, *, failed: bool) -> None:  # noqa: ARG002 -- the same either way
        """End every connection and release the port."""
        if self._loop is not None:
            if self._server is not None:
                self._loop.run_until_complete(self._server.close())
            self._loop.run_until_complete(self._loop.shutdown_default_executor())  # the thread that checks passwords
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


def _stamp(path: Path | None) -> tuple[int, int] | None:
    try:
        file = path.stat() if path is not None else None
    except OSError:
        return None
    return None if file is None else (file.st_mtime_ns, file.st_ino)


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
            f"web.host {host} is not an address of this machine now. Is its network up? `ip -br address` shows its"
            " addresses. 0.0.0.0 means all of them"
        )
    if isinstance(error, socket.gaierror):
        return f"web.host {host!r} is known to no name server: write an address of this machine"
    if error.errno == errno.EACCES:
        return f"web.port {port} needs rights that this user has not: set web.port to 1024 or more"
    return f"web.host {host}, web.port {port}: {error.strerror or error}"
