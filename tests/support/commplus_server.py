"""The emulator of the package s7commplus, with the memory of a test, and with TLS or optimised blocks if wanted."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

from s7commplus.protocol import ProtocolVersion
from s7commplus.server import DataBlock, S7CommPlusServer

from edge_inspector.plc.blocks import DB_EDGE, DB_PLC
from edge_inspector.simulation.lines.commplus_symbols import SymbolServer

_NAMES, _LAYOUTS = {100: "DB_Plc", 101: "DB_Edge"}, {100: DB_PLC, 101: DB_EDGE}


class _Told(DataBlock):
    def __init__(self, number: int, memory: bytearray, written: Callable[[int, int, int], None]) -> None:
        super().__init__(number, len(memory))
        self.data = memory
        self._written = written

    def write(self, offset: int, data: bytes) -> None:
        super().write(offset, data)
        self._written(self.number, offset, len(data))


class CommPlusServer:
    """Serves `blocks` (number -> memory) on loopback. `written` is called for each write."""

    def __init__(
        self,
        port: int,
        blocks: dict[int, bytearray],
        written: Callable[[int, int, int], None] = lambda *_: None,
        *,
        tls: tuple[Path, Path] | None = None,
        optimized: bool = False,
    ) -> None:
        version = ProtocolVersion.V1 if tls is None else ProtocolVersion.V2
        self._server = S7CommPlusServer(protocol_version=version)
        if optimized:
            self._server = self.symbols = SymbolServer(_NAMES, _LAYOUTS, protocol_version=version)
        self._server._data_blocks |= {number: _Told(number, memory, written) for number, memory in blocks.items()}
        files = {} if tls is None else {"use_tls": True, "tls_cert": str(tls[0]), "tls_key": str(tls[1])}
        self._server.start("127.0.0.1", port, **files)

    def take_away(self, block: int) -> None:
        del self._server._data_blocks[block]

    def stop(self) -> None:
        """End it at once. The package alone waits for up to a second until its thread looks again."""
        self._server._running = False
        listening = self._server._server_socket
        if listening is not None:
            listening.shutdown(socket.SHUT_RDWR)
        self._server.stop()


def certificate(folder: Path) -> tuple[Path, Path, str]:
    """A certificate of its own for 127.0.0.1, its key, and its SHA-256 fingerprint."""
    cert, key = folder / "plc.pem", folder / "plc.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2",
         "-subj", "/CN=127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    told = subprocess.run(
        ["openssl", "x509", "-in", cert, "-noout", "-fingerprint", "-sha256"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return cert, key, told.strip().partition("=")[2]
