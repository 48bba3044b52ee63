"""Stations as a fleet page sees them: what they say on /healthz and /metrics, and what no station would ever say.

One server on loopback is all of them, each below a path of its own.
"""

from __future__ import annotations

import json
import re
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

from edge_inspector.codes import ErrorCode, StationState
from edge_inspector.records import RolloutTold
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.web.health import health

# As many lines as a station with two cameras has, so that reading them costs what it costs.
_OTHERS = "".join(
    f'edge_inspector_inference_seconds_bucket{{le="{at / 1000}"}} {at}.0\n# HELP edge_inspector_some_{at} Words.\n'
    for at in range(300)
)
_PATIENCE_S = 20.0


@dataclass
class SimulatedStation:
    """One station. A test may change it at any time. `answers` replaces what it says by bytes of its own."""

    name: str
    state: StationState = StationState.READY
    reasons: Sequence[tuple[ErrorCode, str, str]] = ()
    clock_s: float = 0.0
    boot_id: int = 1
    parts: tuple[int, int, int] = (100, 0, 0)
    token: str = ""
    rollout: RolloutTold | None = None
    answers: Callable[[str], bytes | None] | None = None
    asked: int = 0
    tokens: list[str] = field(default_factory=list)

    def healthz(self) -> tuple[int, bytes]:
        """As the daemon makes it, with the clock of this station."""
        conditions = Conditions()
        conditions.phase(self.state)
        for code, subject, why in self.reasons:
            conditions.set(code, subject, why)
        healthy, body = health(
            conditions, {}, supervised=True, station=self.name, boot_id=self.boot_id, rollout=self.rollout
        )
        utc = datetime.now(UTC) + timedelta(seconds=self.clock_s)  # noqa: TID251 -- the station's wall clock
        body |= {"utc": utc.isoformat()}
        return 200 if healthy else 503, json.dumps(body).encode()

    def metrics(self) -> bytes:
        """The lines that count, among others."""
        decisions = zip(("accept", "reject", "not_inspected"), self.parts, strict=True)
        lines = [f'edge_inspector_station_info{{station="{self.name}",version="0.1.0"}} 1.0']
        lines += [f'edge_inspector_station_state{{state="{each}"}} {each is self.state:d}.0' for each in StationState]
        lines += [f'edge_inspector_parts_processed_total{{decision="{name}"}} {count}.0' for name, count in decisions]
        held = [(code.name.lower(), subject) for code, subject, _ in self.reasons]
        lines += [f'edge_inspector_condition_active{{code="{code}",subject="{subject}"}} 1.0' for code, subject in held]
        return ("# HELP process_start_time_seconds x\n" + _OTHERS + "\n".join(lines) + "\n" + _OTHERS).encode()

    def answer(self, path: str, token: str) -> bytes | None:
        """The whole answer. None: nothing ever comes."""
        self.asked += 1
        self.tokens.append(token)
        if self.answers is not None:
            return self.answers(path)
        if self.token and token != self.token:
            return http(b'{"state": "ready"}') if path == "/healthz" else http(b"", 401)
        if path == "/healthz":
            status, body = self.healthz()
            return http(body, status)
        return http(self.metrics()) if path == "/metrics" else http(b"", 404)


def http(body: bytes, status: int = 200) -> bytes:
    """An answer of a server that closes the connection."""
    head = b"HTTP/1.1 %d X\r\ncontent-type: text/plain; version=0.0.4\r\ncontent-length: %d\r\n\r\n"
    return head % (status, len(body)) + body


class SimulatedStations(socketserver.ThreadingTCPServer):
    """The server. The address of a station is `at(its name)`, or that of a path that a test chooses."""

    allow_reuse_address = True
    request_queue_size = 256

    def __init__(self, *stations: SimulatedStation) -> None:
        super().__init__(("127.0.0.1", 0), _Visit)
        self.stations = {each.name: each for each in stations}
        self.ended = threading.Event()
        self.open: list[socket.socket] = []
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), name="stations")

    @property
    def port(self) -> int:
        """The port on loopback."""
        return int(self.server_address[1])

    def at(self, path: str) -> str:
        """The address of the page of the station below this path."""
        return f"http://127.0.0.1:{self.port}/{path}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.ended.set()
        self.shutdown()
        self._thread.join()
        for each in self.open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self.server_close()


class _Visit(socketserver.StreamRequestHandler):
    server: SimulatedStations

    def handle(self) -> None:
        self.server.open.append(self.request)
        head = b""
        while b"\r\n\r\n" not in head:
            more = self.request.recv(4096)
            if not more or not (head or more.startswith(b"GET ")):
                return  # it speaks TLS
            head += more
        found = re.match(rb"GET /([^/ ]+)(/\w+) HTTP/1", head)
        token = re.search(rb"Authorization: Bearer (\S+)", head)
        station = self.server.stations.get(found[1].decode()) if found else None
        told = http(b"", 404)
        if station is not None and found is not None:
            answer = station.answer(found[2].decode(), token[1].decode() if token else "")
            if answer is None:
                self.server.ended.wait(_PATIENCE_S)
                return
            told = answer
        with suppress(OSError):
            self.request.sendall(told)

    def finish(self) -> None:
        with suppress(ValueError):
            self.server.open.remove(self.request)
        with suppress(OSError):
            super().finish()


def dripping(server: SimulatedStations, body: bytes) -> Callable[[str], bytes]:
    """An answer that comes a byte at a time, until the server ends."""

    def answer(_path: str) -> bytes:
        connection = server.open[-1]
        with suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            end = time.monotonic() + _PATIENCE_S
            while time.monotonic() < end and not server.ended.wait(0.01):
                connection.sendall(body[:1])
        return b""

    return answer


def fleet_text(stations: Sequence[str], *, port: int = 9120, more: str = "", **poll: Any) -> str:
    """A fleet file with these addresses."""
    asked = {"every_s": 1.0, "timeout_s": 5.0} | poll
    lines = ["[web]", f"port = {port}", "[poll]", *(f"{key} = {value}" for key, value in asked.items()), more]
    return "\n".join([*lines, *(f'[[stations]]\naddress = "{address}"' for address in stations)]) + "\n"
