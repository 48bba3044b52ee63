"""Two lanes on one PLC with faults: those of the first lane, and of the PLC that both share."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from benchmarks.chaos.account import Account
from benchmarks.chaos.line import ChaosLine
from edge_inspector.simulation.lines.lanes import SharedPlc, give_lane
from edge_inspector.simulation.options import DemoOptions


class LaneLine(ChaosLine):
    """One lane: its own station, broker, belt and ledger. The PLC process is that of both lanes."""

    def __init__(self, folder: Path, seed: int, *, lane: int, plc: SharedPlc) -> None:
        super().__init__(folder, seed + lane)
        self._lane = lane
        self._shared = plc
        self.ports["plc"] = self.station_ports["plc"] = plc.port

    def _chosen(self, folder: Path, seed: int) -> DemoOptions:
        folder.mkdir(parents=True, exist_ok=True)
        return super()._chosen(folder, seed)

    def _write_files(self, line_file: Path) -> None:
        super()._write_files(line_file)
        give_lane(self.folder / "station.toml", self.station_ports["plc"], self._lane)

    def _start_plc(self) -> subprocess.Popen[bytes]:
        return self._shared.process()


class LanesLine(LaneLine):
    """Both lanes. Faults hit this one, and `beside` must keep its promises meanwhile."""

    def __init__(self, folder: Path, seed: int) -> None:
        second = folder / "lane-2"
        super().__init__(folder, seed, lane=0, plc=SharedPlc([folder, second]))
        self.beside = LaneLine(second, seed, lane=1, plc=self._shared)

    @contextmanager
    def running(self) -> Iterator[None]:
        """The processes of both lanes."""
        with ExitStack() as stack:
            stack.callback(self._shared.stop)
            for lane in (self, self.beside):
                lane.line.write(lane.folder / "line.json")  # the PLC needs both
            stack.enter_context(self.beside.running())
            stack.enter_context(super().running())
            yield

    def is_well(self) -> bool:
        """Whether both are."""
        return super().is_well() and self.beside.is_well()

    def has_parts(self) -> bool:
        """Whether both belts have brought their first part."""
        return super().has_parts() and self.beside.has_parts()

    def account(self, window_ns: tuple[int, int], stored: set[tuple[int, int]] | None) -> Account:
        """The fate of the parts of both lanes."""
        own = super().account(window_ns, stored)
        return both(own, self.beside.account(window_ns, self.beside.stored_parts()))


def both(first: Account, second: Account) -> Account:
    """The counts of both together. Faults and times are those of the first."""
    counts: dict[str, Any] = {
        field.name: getattr(first, field.name) + getattr(second, field.name)
        for field in fields(Account)
        if isinstance(getattr(first, field.name), int)
    }
    return Account(**counts, known_ms=first.known_ms, faults=first.faults, unit=first.unit)
