"""A line with a PLC as it is: a part counter, an encoder and one result, anywhere in its memory. No block of ours.

The part counter is retentive: it goes on after the PLC was without power, as docs/lines.md demands. The encoder begins
anew, and all else is forgotten.

With `--protocol s7` it is an S7 server, with `--protocol modbus` a Modbus one. The program is the same. With `--beside`
a second PLC, over Modbus at this port, shows the encoder.
"""

from __future__ import annotations

import argparse
import struct
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, TextIO

from edge_inspector.simulation.line import Line
from edge_inspector.simulation.lines.registers import SIZE, ServedRegisters
from edge_inspector.simulation.lines.world import Carried, World, run_world
from edge_inspector.simulation.report import read_ledger

_PLC = struct.Struct(">HiHi")  # part counter, latched count, alive, encoder
_RESULT = struct.Struct(">IiHH")  # part, due count, decision, heartbeat
_TAKEN_AT, _RUNNING_AT = 16, 20
_DECISIONS = {1: (1, False), 2: (2, True), 3: (3, True), 4: (3, False)}  # by code: decision, and whether the gate fires
_EDGE_DEAD_NS = 400_000_000


class Served(Protocol):
    """Memory that others can reach."""

    plc: bytearray
    edge: bytearray

    def stop(self) -> None:
        """Serve no more."""


class SimplePlc(World):
    """The PLC's own program. `memory` is what the station reads and writes."""

    def __init__(self, line: Line, ledger: TextIO, given: argparse.Namespace) -> None:
        super().__init__(line, ledger, boot=given.boot)
        self._part_seq = _counted(given.ledger)
        self._latched = self._alive = self._taken = 0
        serve = _s7 if given.protocol == "s7" else ServedRegisters
        self._memory: Served = serve(given.port, self._published(time.monotonic_ns()))
        self._beside = ServedRegisters(int(given.beside)) if given.beside else None
        self._heartbeat = (0, -_EDGE_DEAD_NS)
        self._edge_alive = False
        self.boot = 1  # what the station calls every run of such a PLC
        self.log("boot", zero=self.zero)

    def scan(self, now_ns: int) -> None:
        """Count, latch, publish, take the result, fire."""
        for part, at_ns, count in self.arrivals(now_ns):
            self._part_seq += 1
            self._latched = count
            self.carry(self._part_seq, part, count, at_ns)
        self._take(now_ns)
        for carried in list(self.carried):
            self._gate(carried, now_ns)
        self._alive = (self._alive + 1) & 0xFFFF
        memory = self._memory.plc
        memory[: _PLC.size] = self._published(now_ns)
        memory[_TAKEN_AT : _TAKEN_AT + 4] = struct.pack(">I", self._taken)
        if self._beside is not None:
            self._beside.plc[: _PLC.size] = self._published(now_ns)
        memory[_RUNNING_AT] = memory[_RUNNING_AT + 1] = int(self.running())

    def stop(self) -> None:
        """Serve no more."""
        self._memory.stop()
        if self._beside is not None:
            self._beside.stop()

    def _published(self, now_ns: int) -> bytes:
        return _PLC.pack(self._part_seq & 0xFFFF, self._latched, self._alive, self.count(now_ns))

    def _take(self, now_ns: int) -> None:
        part_seq, due, code, heartbeat = _RESULT.unpack(self._memory.edge[: _RESULT.size])
        if heartbeat != self._heartbeat[0]:
            self._heartbeat = heartbeat, now_ns
        alive = now_ns - self._heartbeat[1] < _EDGE_DEAD_NS
        if alive != self._edge_alive:
            self._edge_alive = alive
            self.log("edge", alive=alive, at_ns=now_ns)
        self.counts_on(now_ns, ready=alive)
        if part_seq == self._taken or code not in _DECISIONS:
            return
        self._taken = part_seq
        decision, rejects = _DECISIONS[code]
        reason = 1 if decision == 2 else 16 if decision == 3 else 0
        self.taken(part_seq, {"decision": decision, "reason": reason, "rejects": rejects, "due_count": due or None})

    def _gate(self, carried: Carried, now_ns: int) -> None:
        verdict = carried.verdict
        gate = round(self.line.gate_mm * self.line.counts_per_mm)
        due = verdict["due_count"] if verdict is not None else None
        count = carried.count + gate if due is None else due
        moved = round(self.position_mm(now_ns) * self.line.counts_per_mm)
        due_mm = (self.line.counter.near(count, self.zero + moved) - self.zero) / self.line.counts_per_mm
        due_ns = self.line.belt.time_at(due_mm)
        if due_ns <= now_ns:
            fired = verdict is None or verdict["rejects"]
            self.fire(carried, due_ns, fired=fired, why="no verdict" if verdict is None else "verdict")


def _counted(ledger: Path) -> int:
    """The parts that the PLC has counted before it was switched off."""
    before = read_ledger(ledger)
    return max((int(event["part_seq"]) for event in before if event["kind"] == "trigger"), default=0)


def _s7(port: int, first: bytes) -> Served:
    from snap7 import Server  # noqa: PLC0415 -- only for this protocol
    from snap7.type import SrvArea  # noqa: PLC0415

    class Blocks:
        def __init__(self) -> None:
            self.plc, self.edge = bytearray(first.ljust(SIZE, b"\0")), bytearray(SIZE)
            self._server = Server(log=False)
            self._server.register_area(SrvArea.DB, 10, self.plc)
            self._server.register_area(SrvArea.DB, 11, self.edge)
            self._server.start_to("127.0.0.1", port)

        def stop(self) -> None:
            self._server.stop()

    return Blocks()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the PLC until SIGTERM."""
    return run_world(SimplePlc, arguments, "--protocol", "--beside")


if __name__ == "__main__":
    sys.exit(main())
