"""/metrics for Prometheus and /healthz for a service manager or a load balancer."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from edge_inspector import metrics
from edge_inspector.errors import DeviceError

log = logging.getLogger(__name__)


class Web:
    """Serves one request at a time; a slow client costs two seconds, and nobody but other clients."""

    name = "web"
    beat_within_s = 10.0

    def __init__(self, host: str, port: int, health: Callable[[], tuple[bool, dict[str, Any]]]) -> None:
        self._address = (host, port)
        self._health = health
        self._server: HTTPServer | None = None

    def open(self) -> None:
        """Take the port before anything else starts. Raises DeviceError."""
        host, port = self._address
        try:
            self._server = HTTPServer(self._address, _handler(self._health))
        except OSError as error:
            raise DeviceError(f"web.port: cannot listen on {host}:{port}: {error.strerror}") from error
        self._server.timeout = 0.2

    def start(self) -> None:
        """Listen again after a failure."""
        if self._server is None:
            self.open()

    def step(self) -> None:
        """Serve one request, if one comes."""
        if self._server is not None:
            self._server.handle_request()

    def stop(self, *, failed: bool) -> None:  # noqa: ARG002 -- the same either way
        """Let go of the port."""
        if self._server is not None:
            self._server.server_close()
            self._server = None


def _handler(health: Callable[[], tuple[bool, dict[str, Any]]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 2
        server_version = "edge-inspector"
        sys_version = ""

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                self._send(HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(metrics.REGISTRY))
            elif path == "/healthz":
                healthy, body = health()
                status = HTTPStatus.OK if healthy else HTTPStatus.SERVICE_UNAVAILABLE
                self._send(status, "application/json", json.dumps(body, indent=1).encode() + b"\n")
            else:
                self._send(HTTPStatus.NOT_FOUND, "text/plain", b"there are /metrics and /healthz\n")

        def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            try:
                self.wfile.write(body)
            except OSError:
                log.debug("client %s went away", self.client_address[0])

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the base class names it so
            log.debug(format, *args)

    return Handler
