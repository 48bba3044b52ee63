"""Snap7's own server (C++, by way of npm node-snap7) in a process of its own, its blocks as if they were here."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

PEERS = Path(__file__).parents[1] / "peers"


def needs_peers(*packages: str) -> None:
    """Skip where node or these packages of tests/peers are missing: without names, those for S7."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    for package in packages or ("node-snap7/build/Release/node_snap7.node", "nodes7"):
        if not (PEERS / "node_modules" / package).exists():
            pytest.skip(f"{package.split('/')[0]} is not installed: make peers")


class Snap7Server:
    """Serves DB100 and DB101 from start to stop."""

    def __init__(self, port: int) -> None:
        self._process = subprocess.Popen(
            ["node", str(PEERS / "s7_server.js"), str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._answer() == "ready"

    def ask(self, *words: object) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def writes(self) -> list[tuple[int, int, int]]:
        """Every write that a client made: (block, start, size)."""
        return [(block, start, size) for block, start, size in json.loads(self.ask("writes"))]

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


class RemoteBlock:
    """A block in that server, read and written like a bytearray of fixed size."""

    def __init__(self, server: Snap7Server, number: int, size: int) -> None:
        self._server = server
        self._number = number
        self._size = size

    def __len__(self) -> int:
        return self._size

    def __bytes__(self) -> bytes:
        return bytes.fromhex(self._server.ask("get", self._number))

    def __iter__(self) -> Iterator[int]:
        return iter(bytes(self))

    def __getitem__(self, part: slice) -> bytes:
        return bytes(self)[part]

    def __setitem__(self, part: slice | int, content: bytes | int) -> None:
        if isinstance(part, int):
            part, content = slice(part, part + 1), bytes([content])
        start, stop, _ = part.indices(self._size)
        assert stop - start == len(content)
        self._server.ask("set", self._number, start, bytes(content).hex())
