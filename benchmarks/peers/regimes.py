"""Real part rates, large frames and extreme part rates: `python benchmarks/peers/regimes.py [PRODUCT ...]`.

Each product runs on the same line with the same simulated PLC and the same broker, and gives both of them one verdict
for each part. 0.5 to 3 times the rate of the runtime alone is offered. That rate is measured before each run.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from install import ENVS, PACKAGES, install, python_of

from edge_inspector.errors import EdgeInspectorError
from edge_inspector.segmenters.tiling import plan_tiles
from edge_inspector.simulation.bench.effort import PARTS_PER_S_MAX, Effort, offering
from edge_inspector.simulation.bench.measures import against
from edge_inspector.simulation.bench.raw import RawRuntime
from edge_inspector.simulation.bench.runs import run_line
from edge_inspector.simulation.demo import Demo
from edge_inspector.simulation.options import DemoOptions
from edge_inspector.simulation.station_files import models_dir

_HERE = Path(__file__).parent
_LOADS = (0.5, 0.9, 1.5, 3.0)
_TILES = 8  # large frames: 8 x 8 pictures of the model's size
_READY_S = 240.0
Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Regime:
    """`parts_per_s` is the wanted part rate. The number of cameras follows from it and from the load."""

    name: str
    parts_per_s: float
    cameras: tuple[int, int]  # at least, at most
    tiles: int = 1


REGIMES = (
    Regime("10 parts/s", 10.0, (4, 24)),
    Regime("50 parts/s", 50.0, (4, 24)),
    Regime("large frames", 1.0, (1, 4), _TILES),
    Regime("extreme part rate", PARTS_PER_S_MAX, (1, 24)),
)


class EarlierLine(Demo):
    """The demo's line with the daemon of another checkout of this project."""

    def __init__(self, checkout: Path, options: DemoOptions, folder: Path) -> None:
        super().__init__(options, folder)
        # Without the second one, this checkout would be found first.
        self.daemon_environment = {"PYTHONPATH": str(checkout), "PYTHONSAFEPATH": "1"}


class PeerLine(Demo):
    """The demo's line with another product in the daemon's place."""

    stop_s = 60.0

    def __init__(self, python: Path, script: Path, options: DemoOptions, folder: Path) -> None:
        self._command = [str(python), str(script), "--model", str(models_dir() / options.model)]
        super().__init__(replace(options, lead_s=3.0), folder)

    def _start_daemon(self) -> subprocess.Popen[bytes]:
        line = self.line
        told = {
            "plc": self.ports["plc"],
            "broker": self.ports["broker"],
            "prepared": line.prepared,
            "started": line.started_by,
            "ready": str(self.folder / "ready"),
            "lanes": self.lanes,
            "parts": line.parts,
            "gate_counts": round(line.gate_mm * line.counts_per_mm),
            "way_ns": int(1e9 * line.gate_mm / line.speed_mm_s),
        }
        (self.folder / "peer.json").write_text(json.dumps(told))
        interval_ns = int(1e9 * line.pitch_mm / line.speed_mm_s)
        command = [*self._command, "--station", str(self.folder / "peer.json"), "--interval-ns", str(interval_ns)]
        environment = {**os.environ, "PYTHONPATH": f"{_HERE}:{_HERE.parents[1]}"}
        with (self.folder / "daemon.log").open("a") as log:
            return subprocess.Popen(command, stderr=log, stdout=log, start_new_session=True, env=environment)

    def _await_station(self) -> None:
        until = time.monotonic() + _READY_S
        while not (self.folder / "ready").exists():
            self._check_daemon()
            if time.monotonic() > until:
                raise EdgeInspectorError(f"it was not ready within {_READY_S:g} s; {self._last_words()}")
            time.sleep(0.05)


def options_of(regime: Regime, frames_per_s: float, effort: Effort) -> DemoOptions:
    """The line that offers this many frames per second in this regime."""
    least, most = regime.cameras
    cameras = min(most, max(least, math.ceil(frames_per_s / regime.parts_per_s)))
    options = replace(offering(frames_per_s, effort, cameras), tiles=regime.tiles)
    if regime.tiles > 1:  # few frames take long: twice the time, and fewer parts than other lines have
        parts_per_s = options.speed_mm_s / options.pitch_mm
        options = replace(options, parts=max(8, round(2 * effort.seconds * parts_per_s)))
    return options


def judged(
    run: Callable[[DemoOptions], Any], regime: Regime, load: float, *, effort: Effort, raw: RawRuntime, own: bool
) -> Figures:
    """One run of one product. `own`: it is Edge Inspector."""
    windows = _windows(regime, raw, own=own)
    before, raw_ms = raw.rate(2.0)
    asked = load * before / windows
    options = options_of(regime, asked, effort)
    found = run(options)
    after, raw_ms_after = raw.rate(2.0)
    raw_per_s = (before + after) / 2
    figures = against(found, raw_per_s / windows, windows * (raw_ms + raw_ms_after) / 2)
    kept = (
        "ratio",
        "ratio_beside_world",
        "model_share",
        "offered_frames_per_s",
        "pipeline_frames_per_s",
        "cpu_ms_per_frame",
        "beside_model_ms_per_frame",
        "beside_model_ms_per_part",
        "lock_ms_per_frame",
        "joule_per_frame",
        "daemon_cores",
        "world_cores",
        "threads_ms_per_s",
        "unaccounted",
        "late",
        "not_inspected",
    )
    return {name: figures[name] for name in kept} | {
        "asked_frames_per_s": asked,
        "raw_windows_per_s": raw_per_s,
        "windows_per_s": windows * figures["pipeline_frames_per_s"],
        "cameras": options.cameras,
        "parts_per_s": found.parts_per_s,
        "whole_parts": 1 - found.report["not_inspected"] / max(1, found.report["parts_triggered"]),
        "capture_to_plc_ms": found.report["capture_to_plc_ms"],
        "stages_ms": found.report["stages_ms"],
        "rss_mb": found.rss_mb,
        "load_before": os.getloadavg()[0],
    }


def _windows(regime: Regime, raw: RawRuntime, *, own: bool) -> int:
    """Windows of one frame. Edge Inspector's overlap, those of the peers lie side by side."""
    if regime.tiles == 1 or not own:
        return regime.tiles**2
    height, width = (side * regime.tiles for side in raw.size)
    return len(plan_tiles(height, width, tile=raw.size, overlap=32, stride=2))


def table(rounds: list[Figures]) -> str:
    """The medians in Markdown: a row for each regime, load and product."""
    head = (
        "regime", "load", "product", "cameras", "parts/s", "offered, frames/s", "judged windows/s over the runtime's",
        "the same beside PLC and broker", "model's share of CPU", "CPU beside the model, ms a frame / a part",
        "lock held, ms a frame", "capture to PLC p50 / p99 / p99.9, ms", "parts with all views", "late / unaccounted",
    )  # fmt: skip
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for regime, load, product in dict.fromkeys((each["regime"], each["load"], each["product"]) for each in rounds):
        same = [each for each in rounds if (each["regime"], each["load"], each["product"]) == (regime, load, product)]
        whole = [each for each in same if "error" not in each]
        cells = [_cell(whole, "cameras"), _cell(whole, "parts_per_s"), _offered(whole)]
        cells += [_cell(whole, name) for name in ("ratio", "ratio_beside_world", "model_share")]
        cells += [" / ".join(_cell(whole, f"beside_model_ms_per_{of}") for of in ("frame", "part"))]
        cells += [_cell(whole, "lock_ms_per_frame")]
        cells += [" / ".join(_cell(whole, "capture_to_plc_ms", level) for level in ("p50", "p99", "p999"))]
        cells += [_cell(whole, "whole_parts")]
        cells += [" / ".join(str(max((each[name] for each in whole), default="-")) for name in ("late", "unaccounted"))]
        lines.append(f"| {regime} | {load} | {product} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _offered(rounds: list[Figures]) -> str:
    short = any(each["offered_frames_per_s"] < 0.97 * each["asked_frames_per_s"] for each in rounds)
    return _cell(rounds, "offered_frames_per_s") + (f" of {_cell(rounds, 'asked_frames_per_s')}" if short else "")


def _cell(rounds: list[Figures], *path: str) -> str:
    values = []
    for found in rounds:
        value: Any = found
        for name in path:
            value = value[name]
        values.append(value)
    known = sorted(value for value in values if value is not None)
    if not known:
        return "-"
    middle = statistics.median(known)
    return f"{middle:.3g}" if len(known) == 1 else f"{middle:.3g} ({known[0]:.3g} to {known[-1]:.3g})"


def main() -> None:
    """Run all products in turns, write JSON and print the table."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # end what was started
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("products", nargs="*", default=["edge-inspector", *PACKAGES])
    parser.add_argument("--before", type=Path, help="a checkout of an earlier commit, whose daemon runs in turns")
    parser.add_argument("--regimes", nargs="*", help="by name, all of them without one")
    parser.add_argument("--loads", nargs="*", type=float, default=_LOADS)
    parser.add_argument("--envs", type=Path, default=ENVS)
    parser.add_argument("--find-links", default=os.environ.get("PIP_FIND_LINKS", ""))
    parser.add_argument("--runtime", default="onnx")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/regimes.json"))
    given = parser.parse_args()
    effort = Effort(seconds=given.seconds, runtime=given.runtime)
    ways: dict[str, Callable[[DemoOptions], Any]] = {}
    for name in given.products:
        if name == "edge-inspector":
            ways[name] = run_line
            continue
        install(given.envs.resolve(), name, given.find_links)
        kind = partial(PeerLine, python_of(given.envs.resolve(), name), _HERE / f"peer_{name}.py")
        ways[name] = partial(run_line, kind=kind)
    if given.before:
        ways["before"] = partial(run_line, kind=partial(EarlierLine, given.before.resolve()))
    given.out.parent.mkdir(parents=True, exist_ok=True)
    raw, rounds = RawRuntime(effort.model, effort.runtime), []
    for _ in range(given.repeats):
        for regime in REGIMES:
            for load in given.loads if given.regimes is None or regime.name in given.regimes else ():
                for product, run in ways.items():
                    try:
                        found = judged(run, regime, load, effort=effort, raw=raw, own=product not in PACKAGES)
                    except EdgeInspectorError as error:
                        found = {"error": str(error)}
                    rounds.append({"regime": regime.name, "load": load, "product": product, **found})
                    print(json.dumps(rounds[-1]), file=sys.stderr, flush=True)
                    given.out.write_text(json.dumps(rounds, indent=1) + "\n")
    print(table(rounds), flush=True)


if __name__ == "__main__":
    main()
