"""The programs of lines without our blocks, with one oddity of real ones. A file beside the ledger names the oddity."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TextIO

from edge_inspector.simulation.line import Line
from edge_inspector.simulation.lines.gateway import Gateway
from edge_inspector.simulation.lines.simple_plc import SimplePlc
from edge_inspector.simulation.lines.world import run_world

_JUMP = 3000  # parts


class _Oddity:
    """What the file says now, and whether that is new."""

    def __init__(self, ledger: Path) -> None:
        self._file = ledger.with_name("oddity")
        self._known = ""

    def read(self) -> tuple[str, bool]:
        """Its name, and whether it has begun since the last call."""
        before, self._known = self._known, self._file.read_text() if self._file.exists() else ""
        return self._known, self._known != before


class OddSimplePlc(SimplePlc):
    """Without the file this is the right PLC."""

    def __init__(self, line: Line, ledger: TextIO, given: argparse.Namespace) -> None:
        self._oddity = _Oddity(given.ledger)
        super().__init__(line, ledger, given)

    def scan(self, now_ns: int) -> None:
        """`counter_jumps` and `counter_set_back`: that of the parts. `stopped`: the CPU is in STOP."""
        odd, is_new = self._oddity.read()
        if is_new and odd == "counter_jumps":
            self._part_seq += _JUMP
        if is_new and odd == "counter_set_back":
            self._part_seq = 0
        if odd != "stopped":
            super().scan(now_ns)


class OddGateway(Gateway):
    """Without the file this is the right gateway."""

    def __init__(self, line: Line, ledger: TextIO, given: argparse.Namespace) -> None:
        self._oddity = _Oddity(given.ledger)
        super().__init__(line, ledger, given)

    def scan(self, now_ns: int) -> None:
        """`counter_jumps`: the number of the parts. `counter_set_back`: it begins anew in the same run."""
        odd, is_new = self._oddity.read()
        if is_new and odd == "counter_jumps":
            self._part_seq += _JUMP
        if is_new and odd == "counter_set_back":
            self._part_seq = 0
        super().scan(now_ns)


def main() -> int:
    """Run a PLC as it is, or a gateway, until SIGTERM."""
    if "--protocol" in sys.argv:
        return run_world(OddSimplePlc, None, "--protocol", "--beside")
    return run_world(OddGateway, None, "--announces", "--gate", "--counts", "--version", "--io")


if __name__ == "__main__":
    sys.exit(main())
