"""One station's page, as the command uses it. What a station answers is checked before it is believed."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from http.cookies import CookieError, SimpleCookie
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from edge_inspector.errors import DeviceError
from edge_inspector.store.ledger import RolloutStep, TrialCounts
from edge_inspector.texts import printable

_ANSWER_BYTES: Final = 256 * 1024
_CHUNK: Final = 65_536
_COOKIE: Final = "edge_inspector_session"
_LONGEST: Final = 300

Line = Annotated[str, AfterValidator(lambda text: printable(text)[:_LONGEST])]


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class ToldTrial(_Said):
    """A roll-out as the station tells of it."""

    id: str
    digest: str
    step: RolloutStep
    wanted: RolloutStep | None = None
    passed: bool = False
    counts: TrialCounts = TrialCounts()
    said: Line = ""
    name: Line = ""
    by: Line = ""


class ToldStatus(_Said):
    """What a station says of its roll-outs."""

    station: Line
    accepts: bool
    most: int
    arrived: str | None = None
    trial: ToldTrial | None = None
    last: ToldTrial | None = None


class AskError(DeviceError):
    """There is no usable answer. The station may be off."""


class UntrustedError(AskError):
    """What answers there has a certificate that cannot be trusted. Somebody must renew it, or set a clock."""


class RefusalError(DeviceError):
    """The station has answered, and refuses."""


class StationPage:
    """The page of one station. One thread at a time uses it. Methods raise AskError, RefusalError."""

    def __init__(self, address: str, user: str, password: str, *, timeout_s: float, tls: ssl.SSLContext) -> None:
        self.address = address
        self._user = user
        self._password = password
        self._timeout_s = timeout_s
        self._tls = tls
        self._cookie = ""
        self._csrf = ""
        self._wrong = ""

    def status(self) -> ToldStatus:
        """What the station says of its roll-outs."""
        return self._told(self._changing("GET", "/api/rollout", b""))

    def send(self, package: bytes) -> None:
        """Send the package. The station checks it, and nothing is in force yet."""
        self._changing("POST", "/api/rollout/package", package)

    def order(self, order: dict[str, Any]) -> ToldStatus:
        """Order the next step. What the station says after it."""
        return self._told(self._changing("POST", "/api/rollout", json.dumps(order).encode()))

    def _told(self, found: Any) -> ToldStatus:
        try:
            return ToldStatus.model_validate(found)
        except ValidationError as error:
            raise AskError(f"{self.address}: this is no answer of a station of this version") from error

    def _changing(self, method: str, path: str, body: bytes) -> Any:
        """Ask, and log in first if the station wants that. A session may have ended, so it is tried twice."""
        for _ in range(2):
            if method != "GET" and not self._cookie:
                self._login()
            status, found = self._ask(method, path, body)
            if status not in {401, 403}:
                break
            self._cookie = ""
            self._login()
        if status == 200:
            return found
        why = f"{self.address}: {_words(found) or status}"
        if status in {404, 405}:
            raise RefusalError(f"{self.address}: this version of the station has no roll-outs")
        raise (AskError if status >= 500 else RefusalError)(why)

    def _login(self) -> None:
        if self._wrong:
            raise RefusalError(self._wrong)
        status, found = self._ask(
            "POST", "/api/login", json.dumps({"name": self._user, "password": self._password}).encode()
        )
        csrf = found.get("csrf") if isinstance(found, dict) else None
        if status == 401:
            self._wrong = f"{self.address}: wrong user or password. It is not tried again, so that nobody is locked out"
            raise RefusalError(self._wrong)
        if status != 200 or not isinstance(csrf, str) or not self._cookie or not csrf.isascii():
            raise AskError(f"{self.address}: no login: {_words(found) or status}")
        self._csrf = csrf

    def _ask(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        parts, until_s = urlsplit(self.address), time.monotonic() + self._timeout_s
        host, port = parts.hostname or "", parts.port
        connection = (
            http.client.HTTPSConnection(host, port, timeout=self._timeout_s, context=self._tls)
            if parts.scheme == "https"
            else http.client.HTTPConnection(host, port, timeout=self._timeout_s)
        )
        headers = {"Connection": "close", "Content-Type": "application/octet-stream"}
        if self._cookie:
            headers |= {"Cookie": f"{_COOKIE}={self._cookie}", "X-CSRF-Token": self._csrf}
        try:
            connection.request(method, parts.path + path, body or None, headers)
            answer = connection.getresponse()
            content = _read(answer, until_s)
            self._keep_cookie(answer.headers.get_all("Set-Cookie") or [])
            return answer.status, json.loads(content)
        except ssl.SSLCertVerificationError as error:
            raise UntrustedError(
                f"{self.address}: its certificate cannot be trusted: {error.verify_message}"
            ) from error
        except (OSError, http.client.HTTPException, CookieError) as error:
            raise AskError(f"{self.address}: {getattr(error, 'strerror', None) or error or 'no answer'}") from error
        except (ValueError, RecursionError) as error:
            raise AskError(f"{self.address}: this is no answer of a station") from error
        finally:
            connection.close()

    def _keep_cookie(self, lines: list[str]) -> None:
        for line in lines:
            found = SimpleCookie(line).get(_COOKIE)
            if found is not None:
                self._cookie = found.value


def _read(answer: http.client.HTTPResponse, until_s: float) -> bytes:
    found = bytearray()
    while more := answer.read1(_CHUNK):
        found += more
        if len(found) > _ANSWER_BYTES:
            raise ValueError("too large")
        if time.monotonic() > until_s:
            raise TimeoutError("the answer takes too long")
    return bytes(found)


def _words(found: Any) -> str:
    said = found.get("error") if isinstance(found, dict) else None
    return printable(said)[:_LONGEST] if isinstance(said, str) else ""
