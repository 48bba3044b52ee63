"""One answer of a station over HTTP. Whoever answers may be slow, huge or hostile. Nothing of it is believed here."""

from __future__ import annotations

import socket
import ssl
import time
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from edge_inspector import __version__
from edge_inspector.errors import DeviceError
from edge_inspector.fleet.problems import Problem, SeenProblem

HEALTH_BYTES: Final = 256 * 1024
METRICS_BYTES: Final = 4 * 1024 * 1024
_CHUNK = 65_536
_HEAD_BYTES = 65_536
_GOOD = (200, 503)  # a station that is not well says so by its status
_WANTS_TOKEN = (401, 403)


class FetchError(DeviceError):
    """There is no usable answer."""

    def __init__(self, problem: Problem, detail: str = "") -> None:
        super().__init__(detail or problem.value)
        self.trouble = SeenProblem(problem, detail)


@dataclass(frozen=True, slots=True)
class Asker:
    """How all stations are asked."""

    timeout_s: float
    tls: ssl.SSLContext

    def get(self, address: str, path: str, *, most: int, token: str = "") -> bytes:
        """The body behind `path` of the page at `address`, of at most so many bytes. Raises FetchError.

        A redirect is not followed, because it could lead anywhere. `timeout_s` is for all of it.
        """
        until_s = time.monotonic() + self.timeout_s
        try:
            with self._connected(address, until_s) as peer:
                peer.sendall(_request(address, path, token))
                return body_of(_all_of(peer, most, until_s), most)
        except TimeoutError as error:
            raise FetchError(Problem.SLOW, f"{self.timeout_s:g} s") from error
        except ssl.SSLError as error:
            raise FetchError(Problem.UNTRUSTED, getattr(error, "verify_message", "") or error.reason or "") from error
        except OSError as error:
            raise FetchError(Problem.SILENT, error.strerror or str(error)) from error
        except ValueError as error:  # no name server and no certificate could have such a host
            raise FetchError(Problem.SILENT, "no host can have this name") from error

    def _connected(self, address: str, until_s: float) -> socket.socket:
        parts = urlsplit(address)
        plain = socket.create_connection((parts.hostname or "", parts.port or 80), _left(until_s))
        if parts.scheme == "http":
            return plain
        try:
            return self.tls.wrap_socket(plain, server_hostname=parts.hostname)
        except OSError:
            plain.close()
            raise


def _request(address: str, path: str, token: str) -> bytes:
    """HTTP/1.0, so that the answer has no chunks and the connection ends with it."""
    parts = urlsplit(address)
    login = f"Authorization: Bearer {token}\r\n" if token else ""
    return (
        f"GET {parts.path}{path} HTTP/1.0\r\nHost: {parts.netloc}\r\nUser-Agent: edge-inspector-fleet/{__version__}\r\n"
        f"Accept: */*\r\nConnection: close\r\n{login}\r\n"
    ).encode()


def _all_of(peer: socket.socket, most: int, until_s: float) -> bytes:
    """What the peer sends until it ends the connection. The time is for all of it, not for each byte."""
    found = bytearray()
    while len(found) <= most + _HEAD_BYTES:
        peer.settimeout(_left(until_s))
        more = peer.recv(_CHUNK)
        if not more:
            return bytes(found)
        found += more
    raise FetchError(Problem.HUGE, f"{most // 1024} kB")


def _left(until_s: float) -> float:
    left_s = until_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return left_s


def body_of(answer: bytes, most: int) -> bytes:
    """The body of a whole answer. Raises FetchError if it is none, or if its status says that there is none."""
    head, ended, body = answer.partition(b"\r\n\r\n")
    line, *fields = head.split(b"\r\n")
    words = line.split(b" ", 2)
    if not ended or not line.startswith(b"HTTP/1.") or len(words) < 2 or not words[1].isdigit():
        raise FetchError(Problem.RUBBISH, "no HTTP" if answer else "an empty answer")
    status = int(words[1][:4])
    if status in _WANTS_TOKEN:
        raise FetchError(Problem.REFUSED, str(status))
    if status not in _GOOD:
        raise FetchError(Problem.RUBBISH, f"HTTP status {status}")
    if len(body) > most:
        raise FetchError(Problem.HUGE, f"{most // 1024} kB")
    if any(field.lower() == b"content-length: %d" % len(body) for field in fields):
        return body
    if any(field.lower().startswith(b"content-length:") for field in fields):
        raise FetchError(Problem.SILENT, "the answer was cut off")
    return body
