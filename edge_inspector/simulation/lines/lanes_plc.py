"""One PLC for the lanes of a line: each lane has its own photo-eye, numbers, blocks and gate, and its own ledger."""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from snap7 import Server
from snap7.type import SrvArea

from edge_inspector.simulation.line import Line
from edge_inspector.simulation.plc import SimulatedPlc
from edge_inspector.simulation.signals import told_by_signals

_WAIT_S = 60.0


def blocks_of(lane: int) -> tuple[int, int]:
    """The numbers of DB_Plc and DB_Edge of a lane. Lanes count from 0."""
    return 100 + 2 * lane, 101 + 2 * lane


class _SharedServer:
    """A server that somebody else stops."""

    def stop(self) -> None:
        """Nothing: other lanes still need it."""


class LanePlc(SimulatedPlc):
    """The function block's instance of one lane."""

    def __init__(self, line: Line, *, server: Server, lane: int, **wiring: Any) -> None:
        self._shared = server
        self._blocks = blocks_of(lane)
        super().__init__(line, port=0, **wiring)

    def _serve(self, port: int) -> Any:  # noqa: ARG002 -- the server has one
        self._shared.register_area(SrvArea.DB, self._blocks[0], self._db_plc)
        self._shared.register_area(SrvArea.DB, self._blocks[1], self._db_edge)
        return _SharedServer()

    def heard(self, event: Any) -> None:
        """The server read or wrote a block. It may be another lane's."""
        self._on_event(event)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the PLC until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("folders", type=Path, nargs="+", help="one for each lane")
    parser.add_argument("--boot", type=int, default=1)
    given = parser.parse_args(arguments)
    stop, no_more_parts = told_by_signals()
    server = Server(log=False)
    with ExitStack() as stack:
        plcs = []
        for lane, folder in enumerate(given.folders):
            ledger = stack.enter_context((folder / "ledger.jsonl").open("a", encoding="utf-8"))
            line = _line_in(folder)
            panel = folder / "panel.json"
            plcs.append(LanePlc(line, server=server, lane=lane, ledger=ledger, boot=given.boot, panel=panel))
        server.set_events_callback(lambda event: _tell(plcs, event))
        server.start_to("127.0.0.1", given.port)
        threads = [threading.Thread(target=plc.run, args=(stop, no_more_parts)) for plc in plcs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        server.stop()
    return 0


def _tell(plcs: Sequence[LanePlc], event: Any) -> None:
    for plc in plcs:
        plc.heard(event)


def _line_in(folder: Path) -> Line:
    """The lane's line. Its file may still be missing. Raises FileNotFoundError if it stays so."""
    until = time.monotonic() + _WAIT_S
    while not (folder / "line.json").exists() and time.monotonic() < until:
        time.sleep(0.05)
    return Line.read(folder / "line.json")


if __name__ == "__main__":
    sys.exit(main())
