"""pymodbus' own server in a thread of the test, its holding registers being the test's memory."""

from __future__ import annotations

import asyncio
import gc
import struct
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

READ, WRITE = 3, 16


@dataclass(frozen=True)
class Request:
    """One request that reached the registers."""

    code: int
    address: int
    count: int


class RegisterServer:
    """Serves `blocks` (address of the first register -> memory) until stopped. `before` runs before each access."""

    def __init__(
        self, port: int, blocks: dict[int, bytearray], before: Callable[[Request], None] = lambda _: None
    ) -> None:
        self.blocks = blocks
        self.requests: list[Request] = []
        self._before = before
        self._free = asyncio.Event()
        self._free.set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._serve(port), self._loop).result(5.0)

    def hang(self) -> None:
        """Answer nothing until `go_on`; what was asked is then still done."""
        self._loop.call_soon_threadsafe(self._free.clear)

    def go_on(self) -> None:
        self._loop.call_soon_threadsafe(self._free.set)

    def stop(self) -> None:
        """Close every connection. Safe twice."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(5.0)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        del self._server
        with warnings.catch_warnings():
            # pymodbus leaves a connection that came while it shut down to the collector, which tells on the next test.
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()

    async def _serve(self, port: int) -> None:
        registers = SimData(0, count=3000, values=0, datatype=DataType.REGISTERS)
        self._server = ModbusTcpServer(
            SimDevice(1, simdata=[registers], action=self._access), address=("127.0.0.1", port)
        )
        await self._server.serve_forever(background=True)

    async def _end(self) -> None:
        self._free.set()
        await self._server.shutdown()
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)

    async def _access(
        self, code: int, _start: int, address: int, count: int, current: list[int], given: list[int] | list[bool] | None
    ) -> ExcCodes | None:
        await self._free.wait()
        request = Request(code, address, count)
        for base, memory in self.blocks.items():
            at = 2 * (address - base)
            if at >= 0 and at + 2 * count <= len(memory):
                self._before(request)
                if given is not None:
                    struct.pack_into(f">{count}H", memory, at, *given)
                current[address : address + count] = struct.unpack_from(f">{count}H", memory, at)
                self.requests.append(request)
                return None
        return ExcCodes.ILLEGAL_ADDRESS
