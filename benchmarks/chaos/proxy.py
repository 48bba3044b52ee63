"""A TCP proxy on loopback that disturbs its traffic on request."""

from __future__ import annotations

import asyncio
import random
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

Mistreatment = Literal["none", "delay", "drop", "duplicate", "truncate", "stall", "swallow", "cut"]
_CHUNK = 65_536


@dataclass(frozen=True, slots=True)
class Weather:
    """How bytes are disturbed. `share`: the share of the chunks concerned. `delay_s`: the delay of each.

    - `drop`, `duplicate`: remove or repeat a few bytes.
    - `truncate`: send half a chunk and reset the connection.
    - `stall`: hold everything back until the weather changes.
    - `swallow`: lose everything, and reset when the weather changes.
    - `cut`: reset at once and accept no connection.
    """

    kind: Mistreatment = "none"
    share: float = 1.0
    delay_s: float = 0.0


class Proxy:
    """Listens on a free port (`port`) and forwards to `target` while it runs, in its own thread."""

    def __init__(self, target: int, seed: str) -> None:
        self._target = target
        self._random = random.Random(seed)
        self._weather = Weather()
        self._changed = asyncio.Event()
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=f"proxy-{target}")
        self._thread.start()
        self._ready.wait()

    def set(self, weather: Weather) -> None:
        """Disturb bytes in this way from now on."""
        asyncio.run_coroutine_threadsafe(self._set(weather), self._loop).result()

    def stop(self) -> None:
        """Reset every connection and end the thread. May be called twice."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._done.set)
            self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._done = asyncio.Event()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = int(server.sockets[0].getsockname()[1])
        self._ready.set()
        await self._done.wait()
        server.close()
        self._reset_all()
        self._weather = Weather()
        self._changed.set()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _set(self, weather: Weather) -> None:
        before, self._weather = self._weather, weather
        if weather.kind == "cut" or before.kind == "swallow":
            self._reset_all()
        self._changed.set()
        self._changed = asyncio.Event()

    def _reset_all(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._carry(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._weather.kind == "cut":
            writer.transport.abort()
            return
        try:
            onward = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, onward[1]}
        try:
            await asyncio.gather(self._pass(reader, onward[1]), self._pass(onward[0], writer))
        finally:
            for each in (writer, onward[1]):
                self._open.discard(each)
                each.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(_CHUNK):
                while self._weather.kind == "stall":
                    await self._changed.wait()
                treated, reset = await self._treated(chunk)
                writer.write(treated)
                await writer.drain()
                if reset:
                    break
        writer.transport.abort() if reader.at_eof() is False else writer.close()

    async def _treated(self, chunk: bytes) -> tuple[bytes, bool]:
        """The bytes of a chunk to pass on, and whether to reset the connection after them."""
        weather = self._weather
        if weather.kind == "none" or self._random.random() >= weather.share:
            return chunk, False
        at = self._random.randrange(len(chunk))
        length = self._random.randint(1, 4)
        if weather.kind == "delay":
            await asyncio.sleep(weather.delay_s * self._random.uniform(0.5, 1.0))
        elif weather.kind == "drop":
            return chunk[:at] + chunk[at + length :], False
        elif weather.kind == "duplicate":
            return chunk[: at + length] + chunk[at:], False
        elif weather.kind == "truncate":
            return chunk[: at or 1], True
        elif weather.kind == "swallow":
            return b"", False
        return chunk, False
