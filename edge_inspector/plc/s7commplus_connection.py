"""One S7CommPlus connection whose timeouts are kept. Not thread-safe: one thread owns it.

The protocol is the one that TIA Portal and HMI panels speak. The CPU's protection stays on, PUT/GET stays off, and the
connection may be encrypted. The package's client waits 5 s for every answer, so `TimedClient` makes the connection
itself (pinned to s7commplus 0.3, and held to it by tests/contracts/test_s7commplus.py).
"""

from __future__ import annotations

import logging
import ssl
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator
from s7commplus import Client
from s7commplus.connection import S7CommPlusConnection as Session
from s7commplus.error import S7Error, S7TimeoutError

from edge_inspector.drivers import DriverSettings, PeerKind
from edge_inspector.errors import DeviceError, DeviceTimeoutError
from edge_inspector.host_name import Host

# What the package logs as an error comes as a DeviceError too.
logging.getLogger("s7commplus").setLevel(logging.CRITICAL)

# The package reads beyond the end of an answer that was cut off.
_ERRORS = (S7Error, OSError, RuntimeError, ValueError, LookupError, struct.error, ssl.SSLError)
_CONNECT = "is host right, and port 102 open? For a CPU without TLS write tls = false"
_BLOCK = "is {key} = {db} right? If its attribute 'Optimized block access' is on, write symbolic = true"


_NAMED_PLC, _NAMED_EDGE = -1, -2  # in place of a number
Block = Annotated[int, Field(ge=1, le=65535)] | Annotated[str, Field(min_length=1, max_length=128)]


class S7CommPlusSettings(DriverSettings):
    """The PLC and its two data blocks. PUT/GET may stay off, and with `symbolic` the blocks may be optimised."""

    peer_kind: ClassVar = PeerKind.PLC

    host: Host
    """Name or address of the PLC."""
    port: Annotated[int, Field(ge=1, le=65535)] = 102
    """TCP port of the PLC."""
    timeout_s: Annotated[float, Field(gt=0, le=5)] = 0.5
    """Longest wait for the connection and for each answer. Raise it for a slow network."""
    tls: bool = True
    """Encrypt the connection. CPUs before firmware 2.9 (S7-1500) and 4.5 (S7-1200) cannot."""
    tls_fingerprint: Annotated[str, Field(pattern=r"^([0-9A-Fa-f]{2}[: -]?){31}[0-9A-Fa-f]{2}$")] | None = None
    """SHA-256 fingerprint of the PLC's certificate. Without it or `tls_ca_file`, anybody can pretend to be the PLC."""
    tls_ca_file: Path | None = None
    """Certificate of the authority that signed the PLC's certificate."""
    password_file: Path | None = None
    """File with the CPU's password for HMI access, if it asks for one. Needs `tls`."""
    db_plc: Block = 100
    """Number or name of the data block DB_Plc, which the PLC writes. A name is looked up at each connection."""
    db_edge: Block = 101
    """Number or name of the data block DB_Edge, which the station writes."""
    symbolic: bool = False
    """Reach every value by its name. The blocks may then be optimised. Each exchange costs the PLC more."""
    auth_key_file: Path | None = None
    """File with the key that signs what the station writes. Only for the link, not for the encoder (docs/plc.md)."""

    @property
    def blocks(self) -> tuple[int, int]:
        """The numbers of the two blocks. A block with a name has its place in `names` instead."""
        plc, edge = self.db_plc, self.db_edge
        return plc if isinstance(plc, int) else _NAMED_PLC, edge if isinstance(edge, int) else _NAMED_EDGE

    @property
    def names(self) -> dict[int, str]:
        """The names of blocks whose numbers only the PLC knows, by their places."""
        told = {_NAMED_PLC: self.db_plc, _NAMED_EDGE: self.db_edge}
        return {place: name for place, name in told.items() if isinstance(name, str)}

    @property
    def cautions(self) -> list[str]:
        """Settings that leave the connection open to others."""
        if self.tls and self.tls_fingerprint is None and self.tls_ca_file is None:
            return ["anybody can pretend to be the PLC: set tls_fingerprint (check shows it) or tls_ca_file"]
        return []

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not self.tls and (self.tls_fingerprint or self.tls_ca_file or self.password_file):
            raise ValueError("tls_fingerprint, tls_ca_file and password_file need tls = true")
        if self.symbolic and self.auth_key_file is not None:
            raise ValueError("auth_key_file needs symbolic = false: the tag lies in bytes that have no name")
        return self


class TimedClient(Client):
    """The package's client, with a timeout that can be chosen."""

    def __init__(self, timeout_s: float) -> None:
        super().__init__()
        self._timeout_s = timeout_s

    def _open_connection_once(self, fingerprint: str | None = None) -> None:
        asked: dict[str, Any] = self._connect_params or {}
        session = self._connection = Session(host=asked["host"], port=asked["port"])
        session.connect(
            timeout=self._timeout_s,
            use_tls=asked["use_tls"],
            tls_ca=asked["tls_ca"],
            tls_cert_fingerprint=asked["tls_cert_fingerprint"],
            password=asked["password"] or "",
            legacy_session_key_refresh_interval=None,
            _session_key_fingerprint=fingerprint,
        )
        if asked["password"] is not None and session.tls_active and not session.requires_substreamed:
            session.authenticate(asked["password"])

    def _reconnect(self) -> None:
        """Never by itself: the link opens a new connection, and then looks who else writes."""
        raise S7TimeoutError("the connection is lost")


class S7CommPlusConnection:
    """Reads and writes bytes of data blocks. After any error the connection is closed and must be opened again."""

    client_kind: ClassVar[type[TimedClient]] = TimedClient

    def __init__(self, settings: S7CommPlusSettings) -> None:
        self._settings = settings
        self._client: TimedClient | None = None
        self._round_trip_ns = (0, 0)
        self._numbers: dict[int, int] = {}
        self.address = f"s7commplus://{settings.host}:{settings.port}"

    @property
    def is_open(self) -> bool:
        """Whether the last call succeeded. The PLC may be gone since then."""
        return self._client is not None

    @property
    def round_trip_ns(self) -> tuple[int, int]:
        """When the last request was begun and when its answer was there, on the monotonic clock."""
        return self._round_trip_ns

    def open(self) -> None:
        """Connect within `timeout_s` per step. Raises DeviceError."""
        self.close()
        settings = self._settings
        client = self.client_kind(settings.timeout_s)
        try:
            client.connect(
                settings.host,
                settings.port,
                use_tls=settings.tls,
                tls_ca=None if settings.tls_ca_file is None else str(settings.tls_ca_file),
                tls_cert_fingerprint=settings.tls_fingerprint,
                password=_password(settings.password_file),
                legacy_session_key_refresh_interval=None,
            )
        except _ERRORS as error:
            _drop(client)
            raise _translated(error, f"{self.address}: cannot connect", _CONNECT) from error
        self._client = client
        if settings.names:
            self._look_up(client, settings.names)

    def _look_up(self, client: TimedClient, names: dict[int, str]) -> None:
        """Ask the PLC for the numbers of blocks that have a name. Raises DeviceError."""
        what = f"{self.address}: cannot list the data blocks"
        try:
            known = {str(block["name"]): int(block["number"]) for block in client.list_datablocks()}
        except _ERRORS as error:
            self.close()
            raise _translated(error, what, "write the numbers as db_plc and db_edge") from error
        for place, name in names.items():
            if name not in known:
                self.close()
                there_are = ", ".join(sorted(known)) or "none"
                raise DeviceError(f"{self.address}: no data block is called {name!r}. There are: {there_are}")
            self._numbers[place] = known[name]

    def read(self, db: int, start: int, size: int) -> bytes:
        """Read `size` bytes of a data block in one request. Raises DeviceError."""
        number = self.number(db)
        what = f"{self.address}: cannot read DB{number} bytes {start}..{start + size - 1}"
        content = bytes(self._ask(what, lambda client: client.db_read(number, start, size), self._advice(db)))
        if len(content) != size:
            self.close()
            raise DeviceError(f"{what}: the answer has {len(content)} bytes")
        return content

    def write(self, db: int, start: int, content: bytes) -> None:
        """Write bytes into a data block in one request. A write that times out may still be applied.

        Raises DeviceError.
        """
        number = self.number(db)
        what = f"{self.address}: cannot write DB{number} bytes {start}..{start + len(content) - 1}"
        self._ask(what, lambda client: client.db_write(number, start, content), self._advice(db))

    def close(self) -> None:
        """Close the connection."""
        client, self._client = self._client, None
        if client is not None:
            _drop(client)

    def number(self, place: int) -> int:
        """The number of the block that settings name or number so."""
        return self._numbers.get(place, place)

    def _advice(self, place: int) -> str:
        key = "db_plc" if place == self._settings.blocks[0] else "db_edge"
        return _BLOCK.format(key=key, db=self.number(place))

    def _ask(self, what: str, request: Callable[[Any], Any], advice: str) -> Any:
        if self._client is None:
            raise DeviceError(f"{what}: not connected")
        asked_ns = time.monotonic_ns()
        try:
            answer = request(self._client)
        except _ERRORS as error:
            self.close()
            raise _translated(error, what, advice) from error
        self._round_trip_ns = asked_ns, time.monotonic_ns()
        return answer


def _password(path: Path | None) -> str | None:
    return None if path is None else path.read_bytes().decode("utf-8-sig").strip()


def _drop(client: TimedClient) -> None:
    """Close without waiting for a PLC that may hang."""
    session = client._connection  # noqa: SLF001 -- disconnect() alone would wait for an answer
    if session is not None:
        with suppress(*_ERRORS):
            session._iso_conn.disconnect()  # noqa: SLF001 -- as above


def _translated(error: Exception, what: str, advice: str) -> DeviceError:
    if isinstance(error, S7TimeoutError | TimeoutError):
        return DeviceTimeoutError(f"{what}: no answer in time")
    return DeviceError(f"{what}: {error}. What to do: {advice}")
