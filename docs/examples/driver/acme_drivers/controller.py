"""A connection to the Acme line controller. Each request and each answer is one line of JSON."""

import json
import socket
from typing import Annotated, Any, BinaryIO, ClassVar, TypeVar

from pydantic import BaseModel, Field

from edge_inspector.drivers import DriverSettings, PeerKind
from edge_inspector.errors import DeviceError

Answer = TypeVar("Answer", bound=BaseModel)

LONGEST_ANSWER = 65_536


class ControllerSettings(DriverSettings):
    """The controller. Encoder and link have a connection each."""

    peer_kind: ClassVar = PeerKind.PLC

    host: str
    """Name or address of the controller."""
    port: Annotated[int, Field(ge=1, le=65535)] = 4100
    """TCP port of the controller."""
    timeout_s: Annotated[float, Field(gt=0, le=5)] = 0.5
    """Longest wait for the connection and for each answer. Raise it for a slow network."""


class Controller:
    """One connection. It is not thread-safe: the encoder and the link have one each."""

    def __init__(self, settings: ControllerSettings) -> None:
        self.address = f"{settings.host}:{settings.port}"
        self._settings = settings
        self._socket: socket.socket | None = None
        self._lines: BinaryIO | None = None

    def open(self) -> None:
        """Connect. Raises DeviceError."""
        self.close()
        where = self._settings.host, self._settings.port
        try:
            self._socket = socket.create_connection(where, self._settings.timeout_s)
        except OSError as error:
            raise DeviceError(f"{self.address}: no connection: {error}") from error
        self._lines = self._socket.makefile("rb")

    def ask(self, kind: type[Answer], request: str, **values: Any) -> Answer:
        """The answer to one request. Raises DeviceError, and is closed by it."""
        if self._socket is None or self._lines is None:
            raise DeviceError(f"{self.address}: not open")
        try:
            self._socket.sendall(json.dumps({"request": request, **values}).encode() + b"\n")
            return kind.model_validate_json(self._lines.readline(LONGEST_ANSWER))
        except (OSError, ValueError) as error:  # a wrong answer is a ValueError, as pydantic has it
            self.close()
            raise DeviceError(f"{self.address}: {request}: {error}") from error

    def close(self) -> None:
        """Disconnect. Safe at any time, also twice."""
        for each in (self._lines, self._socket):
            if each is not None:
                each.close()
        self._lines = self._socket = None
