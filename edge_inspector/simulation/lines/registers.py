"""Holding registers that a simulated line serves over Modbus TCP."""

from __future__ import annotations

import asyncio
import queue
import struct
import threading
import time
from typing import Any

SIZE = 64  # bytes of either side
_EDGE = 100  # first register that the station writes


class ServedRegisters:
    """Registers from 0 on are the line's (`plc`), those from 100 on are written by the station (`edge`)."""

    def __init__(self, port: int, first: bytes = b"") -> None:
        """`first` is in the line's registers from the first moment."""
        self.plc, self.edge = bytearray(first.ljust(SIZE, b"\0")), bytearray(SIZE)
        self._switched: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._serve(port), self._loop).result(10.0)

    def switched_on(self) -> list[int]:
        """When the station's first register became other than 0, since the last call."""
        return [self._switched.get() for _ in range(self._switched.qsize())]

    def stop(self) -> None:
        """Serve no more."""
        ending = self._server.shutdown()  # type: ignore[no-untyped-call]
        asyncio.run_coroutine_threadsafe(ending, self._loop).result(10.0)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def _serve(self, port: int) -> None:
        from pymodbus.server import ModbusTcpServer  # noqa: PLC0415 -- an optional package
        from pymodbus.simulator import DataType, SimData, SimDevice  # noqa: PLC0415

        registers = SimData(0, count=200, values=0, datatype=DataType.REGISTERS)
        device = SimDevice(1, simdata=[registers], action=self._access)
        self._server = ModbusTcpServer(device, address=("127.0.0.1", port))
        await self._server.serve_forever(background=True)

    async def _access(self, _code: int, _start: int, address: int, count: int, current: list[int], given: Any) -> None:
        memory, at = (self.edge, 2 * (address - _EDGE)) if address >= _EDGE else (self.plc, 2 * address)
        if at + 2 * count > len(memory):
            return
        if given is not None:
            was_on = any(self.edge[:2])
            struct.pack_into(f">{count}H", memory, at, *given)
            if any(self.edge[:2]) and not was_on:
                self._switched.put(time.monotonic_ns())
        current[address : address + count] = struct.unpack_from(f">{count}H", memory, at)
