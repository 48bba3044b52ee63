"""Two lanes side by side on one PLC: a station for each, as decision 0069 has it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_inspector.simulation.demo import Demo, check_options, end_process, free_port
from edge_inspector.simulation.lines.lanes_plc import blocks_of
from edge_inspector.simulation.options import DemoOptions
from edge_inspector.simulation.scoreboard import Scoreboard

_LANES = 2
_SUMS = ("parts_triggered", "verdicts", "accept", "reject", "not_inspected", "unaccounted", "duplicates", "late")
_GATES = ("gate_hits", "gate_misses", "gate_wrong_part", "gate_without_verdict", "escapes", "false_rejects")


class DemoLane(Demo):
    """One lane: its own station, belt and ledger. The PLC process is that of all lanes."""

    waits = True

    def __init__(self, options: DemoOptions, folder: Path, *, lane: int, plc: SharedPlc) -> None:
        folder.mkdir(exist_ok=True)
        kills = options.kills if lane == 0 else ()
        super().__init__(replace(options, line="", seed=options.seed + lane, cameras=1, kills=kills), folder)
        self._lane = lane
        self._shared = plc
        self.ports["plc"] = self.station_ports["plc"] = plc.port

    def _write_files(self, line_file: Path) -> None:
        super()._write_files(line_file)
        give_lane(self.folder / "station.toml", self.station_ports["plc"], self._lane)

    def _start_plc(self) -> subprocess.Popen[bytes]:
        return self._shared.process()

    def _stop_plc(self) -> None:
        """It goes on for the other lanes."""


def give_lane(station: Path, port: int, lane: int) -> None:
    """Let the station of the usual line be that of a lane. `port` is the PLC's in its file. Lanes count from 0."""
    plc, edge = blocks_of(lane)
    blocks = f"port = {port}, db_plc = {plc}, db_edge = {edge}"
    text = station.read_text().replace(f"port = {port}", blocks).replace('name = "demo"', f'name = "lane-{lane + 1}"')
    station.write_text(text)


class SharedPlc:
    """The process of the PLC. It starts with the first lane, and again after it was killed."""

    def __init__(self, folders: list[Path]) -> None:
        self.port = free_port()
        self._folders = folders
        self._process: subprocess.Popen[bytes] | None = None
        self._boots = 0

    def process(self) -> subprocess.Popen[bytes]:
        """The running process."""
        if self._process is None or self._process.poll() is not None:
            self._boots += 1
            module = "edge_inspector.simulation.lines.lanes_plc"
            told = [str(self.port), *map(str, self._folders), "--boot", str(self._boots)]
            command = [sys.executable, "-m", module, *told]
            self._process = subprocess.Popen(command, start_new_session=True)
        return self._process

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            end_process(self._process)


def run_lanes(options: DemoOptions) -> int:
    """Run the lanes at the same time, and write one report. 1 if promise 1 was broken on any of them.

    Raises ConfigError for impossible options before anything starts.
    """
    check_options(options)
    with ExitStack() as stack:
        root = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edge-inspector-demo-")))
        folders = [root.resolve() / f"lane-{lane + 1}" for lane in range(_LANES)]
        plc = SharedPlc(folders)
        stack.callback(plc.stop)
        lanes = [DemoLane(options, folder, lane=lane, plc=plc) for lane, folder in enumerate(folders)]
        for lane in lanes:
            lane.line.write(lane.folder / "line.json")
        for lane in lanes:
            stack.enter_context(lane.running())
        for lane in lanes:
            lane.start_belt()
        for lane in lanes:
            lane.play()
        reports = [lane.finish() for lane in lanes]
    for report in reports:
        Scoreboard.summary(report)
    told = report_of(reports)
    if options.report:
        options.report.write_text(json.dumps(told, indent=1) + "\n")
    return 1 if told["unaccounted"] or told["duplicates"] or told["gate_wrong_part"] else 0


def report_of(reports: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures of all lanes together, and each lane's own report."""
    return {name: sum(report[name] for report in reports) for name in (*_SUMS, *_GATES)} | {"lanes": reports}
