"""The simulated PLC behind S7CommPlus: the same program, without PUT/GET, and with optimised blocks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from s7commplus.server import DataBlock

from edge_inspector.plc.blocks import DB_EDGE, DB_PLC
from edge_inspector.simulation.lines.commplus_symbols import SymbolServer
from edge_inspector.simulation.plc import SimulatedPlc, main


class _Told(DataBlock):
    """A block that tells who reaches it."""

    def __init__(
        self, number: int, memory: bytearray, read: Callable[[int], None], written: Callable[[int], None]
    ) -> None:
        super().__init__(number, len(memory))
        self.data = memory
        self._read, self._written = read, written

    def read(self, offset: int, size: int) -> bytes:
        found = super().read(offset, size)
        self._read(offset)
        return found

    def write(self, offset: int, data: bytes) -> None:
        super().write(offset, data)
        self._written(offset)


_LAST_VALUE = DB_PLC.size - 2  # the CRC of the last trigger


class CommPlusPlc(SimulatedPlc):
    """The process, with an emulator that serves values and no bytes."""

    _begun_seq = 0

    def _serve(self, port: int) -> Any:
        server = SymbolServer({100: "DB_Plc", 101: "DB_Edge"}, {100: DB_PLC, 101: DB_EDGE})
        server._data_blocks |= {  # noqa: SLF001 -- the emulator has no events
            100: _Told(100, self._db_plc, self._was_told, lambda _: None),
            101: _Told(101, self._db_edge, lambda _: None, self._was_written),
        }
        server.start("127.0.0.1", port)
        return server

    def _was_told(self, start: int) -> None:
        """Somebody read a value of DB_Plc. The block was read when its last value was: until then it may die."""
        if start == 0:
            self._begun_seq = self._published_seq
        elif start == _LAST_VALUE:
            self._read_seq = self._begun_seq


if __name__ == "__main__":
    sys.exit(main(kind=CommPlusPlc))
