"""A wire between a client and a server on loopback that is cut after so many bytes, whoever sent them."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Callable
from contextlib import suppress


class CutWire:
    """Carries bytes to `target` on loopback until `cut_after` says when not any more. Then it carries new ones."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._left: int | None = None
        self._first: Callable[[], object] = int
        self._peers: dict[socket.socket, socket.socket] = {}
        self._stopping = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="cut-wire")
        self._thread.start()

    def cut_after(self, count: int | None, first: Callable[[], object] = int) -> None:
        """Cut all connections once, after so many bytes. None: never. `first` is called just before the cut."""
        self._first = first
        self._left = count

    @property
    def is_cut(self) -> bool:
        """Whether the last cut has happened."""
        return self._left is None

    def stop(self) -> None:
        """Close everything."""
        self._stopping.set()
        self._thread.join()
        self._cut()
        self._selector.close()
        self._listening.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            for key, _ in self._selector.select(0.05):
                if key.fileobj is self._listening:
                    self._connect()
                elif isinstance(key.fileobj, socket.socket):
                    self._carry(key.fileobj)

    def _connect(self) -> None:
        client, _ = self._listening.accept()
        try:
            server = socket.create_connection(("127.0.0.1", self._target))
        except OSError:
            client.close()
            return
        for one, other in ((client, server), (server, client)):
            self._peers[one] = other
            self._selector.register(one, selectors.EVENT_READ)

    def _carry(self, source: socket.socket) -> None:
        other = self._peers.get(source)
        if other is None:
            return
        try:
            content = source.recv(65536)
        except OSError:
            content = b""
        if self._left is not None and len(content) >= self._left:
            content = content[: self._left]
            with suppress(OSError):
                other.sendall(content)
            self._first()
            self._cut()
            self._left = None
        elif not content:
            self._end(source)
        else:
            self._left = None if self._left is None else self._left - len(content)
            with suppress(OSError):
                other.sendall(content)

    def _cut(self) -> None:
        for one in list(self._peers):
            self._end(one)

    def _end(self, one: socket.socket) -> None:
        for each in (one, self._peers.pop(one, None)):
            if each is not None:
                self._peers.pop(each, None)
                with suppress(KeyError, ValueError):
                    self._selector.unregister(each)
                each.close()
