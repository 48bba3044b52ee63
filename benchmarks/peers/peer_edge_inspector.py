"""Edge Inspector on the peers' work: the real daemon, with PLC and broker, because it has no smaller form.

A result counts when the PLC holds the part's verdict. Each part has one picture from each of four cameras.
"""

from __future__ import annotations

import contextlib
import io
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from feed import captured_ns
from scenarios import LANES, PITCH_MM, Figures, Scenario, spread
from world import DISTINCT, OUTAGE_S, NetworkCameras

from edge_inspector.codes import Decision
from edge_inspector.simulation.bench.runs import ProcessSample, sample_of
from edge_inspector.simulation.demo import Demo
from edge_inspector.simulation.line import Line
from edge_inspector.simulation.options import DemoOptions
from edge_inspector.simulation.report import read_ledger

# Half a picture's distance: these cameras give no capture time, so a picture is placed by its arrival.
_TOLERANCE_MM = 0.4 * PITCH_MM
_SETTLE_NS = 2_000_000_000
Event = dict[str, Any]
Look = tuple[int, int, Event]  # lane, part, view
Outage = tuple[int, int] | None
_SIMULATED = re.compile(r'driver = "simulated"\n(.*?)settings = \{ line = .*?, lane = (\d+), .*? \}', re.DOTALL)


class PeerLine(Demo):
    """The demo's line. Over the network its cameras are those of feed.py, read by the shipped `opencv` driver."""

    def __init__(self, scenario: Scenario, folder: Path) -> None:
        self._network = scenario.network
        self.network_cameras: NetworkCameras | None = None
        super().__init__(
            DemoOptions(
                parts=round((scenario.seconds + 2.0 + OUTAGE_S * scenario.outage) * scenario.frames_per_s),
                cameras=LANES,
                speed_mm_s=scenario.frames_per_s * PITCH_MM,
                pitch_mm=PITCH_MM,
                distinct=DISTINCT,
            ),
            folder,
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the line with its cameras."""
        with ExitStack() as self._stack, super().running():
            yield

    def _write_files(self, line_file: Path) -> None:
        super()._write_files(line_file)
        if self._network:
            self.network_cameras = NetworkCameras(line_file)
            self._stack.callback(self.network_cameras.stop)
            station = self.folder / "station.toml"
            station.write_text(_SIMULATED.sub(self._over_network, station.read_text()))
        recipe = self.folder / "recipe.toml"
        tolerance = f"position_tolerance_mm = {_TOLERANCE_MM}"
        recipe.write_text(re.sub(r"position_tolerance_mm = .*", tolerance, recipe.read_text()))

    def _await_station(self) -> None:
        super()._await_station()
        self.ready_cpu_s = _sample_at(self, 0).cpu_s

    def _over_network(self, found: re.Match[str]) -> str:
        source = self.network_cameras.urls()[int(found[2])] if self.network_cameras else ""
        # Over loopback, pictures come as soon as they are taken.
        settings = f'source = "{source}", latency_ms = 0, latency_error_ms = 0'
        return f'driver = "opencv"\n{found[1]}settings = {{ {settings} }}'


def run(scenario: Scenario) -> Figures:
    """One scenario's figures."""
    with tempfile.TemporaryDirectory(prefix="peers-") as folder, contextlib.redirect_stdout(io.StringIO()):
        line = PeerLine(scenario, Path(folder))
        with line.running():
            steady_ns = line.line.belt.time_at(line.line.eye_mm(0)) + _SETTLE_NS
            begin, end = (_sample_at(line, at_ns) for at_ns in (steady_ns, steady_ns + int(scenario.seconds * 1e9)))
            outage_ns = line.network_cameras.outage() if scenario.outage and line.network_cameras else None
            line.play()
            report = line.finish()
        verdicts = line.recorder.verdicts()
        ledger = read_ledger(line.ledger)
    parts = {(event["boot"], event["part_seq"]): event["part"] for event in ledger if event["kind"] == "trigger"}
    figures: Figures = {
        "start_s": line.ready_s,
        "stop_s": report["daemon_stop_s"],
        "start_cpu_s": line.ready_cpu_s,
        "rss_mb": end.rss_mb,
    }
    views = [
        (int(view["camera"][3:]) - 1, parts[key], view)
        for body in verdicts
        if (key := (body["plc_boot_id"], body["part_seq"])) in parts
        for view in body["views"]
    ]
    frames = sum(begin.at_ns <= view["begun_ns"] < end.at_ns for _, _, view in views)
    figures["cpu_ms_per_frame"] = (end.cpu_s - begin.cpu_s) * 1000 / max(1, frames)
    return (
        figures
        | _measured(scenario, line.line, ledger=ledger, views=views, steady_ns=steady_ns, outage_ns=outage_ns)
        | {"unaccounted": report["unaccounted"]}
    )


def _measured(
    scenario: Scenario, line: Line, *, ledger: list[Event], views: list[Look], steady_ns: int, outage_ns: Outage
) -> Figures:
    told = {
        event["part"]: event["written_ns"]
        for event in ledger
        if event["kind"] == "verdict" and event["decision"] != Decision.NOT_INSPECTED
    }
    judged = [(lane, part, view) for lane, part, view in views if view["failure"] == "none"]
    found: Figures = {}
    if scenario.name == "paced":
        died_ns, back_ns = outage_ns or (0, 0)
        last = {part: max(captured_ns(line, lane, part) for lane in range(LANES)) for part in range(line.parts)}
        before = [part for part in last if steady_ns <= last[part] < died_ns]
        after = [at_ns for part, at_ns in told.items() if captured_ns(line, 0, part) > back_ns]
        found["latency_ms"] = spread([(told[part] - last[part]) / 1e6 for part in before if part in told])
        errors = [
            (view["captured_ns"] - captured_ns(line, lane, part)) / 1e6 for lane, part, view in judged if part in before
        ]
        found["stamp_error_ms"] = spread(errors)
        found["judged"] = sum(part in told for part in before) / len(before)
        found["recovery_s"] = (min(after) - back_ns) / 1e9 if after else None
    else:
        found |= _overload(scenario, line, judged, ledger)
    return found


def _overload(scenario: Scenario, line: Line, judged: list[Look], ledger: list[Event]) -> Figures:
    """Every part was announced, so every picture was due. Pictures of parts with a verdict are accounted for."""
    begin, end = line.belt.time_at(line.eye_mm(0)) + _SETTLE_NS, line.belt.time_at(line.eye_mm(line.parts - 1))
    within = sum(begin <= view["begun_ns"] < end for _, _, view in judged)
    offered = line.parts * LANES
    answered = {event["part"] for event in ledger if event["kind"] == "verdict"}
    lost = offered - len(judged)
    silent = (line.parts - len(answered)) * LANES
    return {
        "frames_per_s": within / ((end - begin) / 1e9),
        "offered_per_s": scenario.frames_per_s * LANES,
        "offered": offered,
        "lost": lost,
        "lost_reported": max(0, lost - silent),
    }


def _sample_at(line: PeerLine, at_ns: int) -> ProcessSample:
    time.sleep(max(0, at_ns - time.monotonic_ns()) / 1e9)
    sample = sample_of(line.daemon.pid)
    if sample is None:
        raise RuntimeError((line.folder / "daemon.log").read_text()[-1500:])
    return sample
