"""What recording a shift costs the line: pairs of runs without and with it, in turns.

`python benchmarks/recording.py` measures latency on the demo's line, and throughput on a line that offers more than the
model can do. Both runs of a pair have the same parts.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_inspector.simulation.bench.effort import Effort, lasting, offering
from edge_inspector.simulation.bench.raw import RawModel
from edge_inspector.simulation.bench.runs import run_line
from edge_inspector.simulation.demo import Demo
from edge_inspector.simulation.options import DemoOptions

OVERLOAD = 1.5  # times the rate of the model alone
BUDGET_MB = 20_000
FIGURES = ("frames_per_s", "p50", "p99", "cores")
_LEFT_OUT = re.compile(r"^edge_inspector_record_pictures_left_out (\S+)$", re.MULTILINE)
_BYTES = re.compile(r"^edge_inspector_record_bytes (\S+)$", re.MULTILINE)

Row = dict[str, Any]


class Measured(Demo):
    """A demo whose last metrics can be read after its folder is gone."""

    metrics = ""

    def finish(self) -> dict[str, object]:
        """Stop, and keep the metrics."""
        report = super().finish()
        Measured.metrics = (self.folder / "metrics.txt").read_text()
        return report


def run(options: DemoOptions, *, recorded: bool) -> Row:
    """One run's figures."""
    found = run_line(replace(options, record_mb=BUDGET_MB if recorded else 0), Measured)
    report = found.report
    return {
        "recorded": recorded,
        "frames_per_s": found.frames_per_s,
        "p50": report["capture_to_plc_ms"]["p50"],
        "p99": report["capture_to_plc_ms"]["p99"],
        "cores": found.cores,
        "rss_mb": found.rss_mb,
        "parts": report["parts_triggered"],
        "not_inspected": report["not_inspected"],
        "late": report["late"],
        "unaccounted": report["unaccounted"],
        "record_mb": _metric(_BYTES) / 2**20,
        "left_out": _metric(_LEFT_OUT),
    }


def _metric(pattern: re.Pattern[str]) -> float:
    match = pattern.search(Measured.metrics)
    return float(match[1]) if match else 0.0


def pairs(name: str, options: Callable[[int], DemoOptions], count: int) -> list[Row]:
    """Pairs of runs, each pair in the other order than the one before, because a machine warms up or slows down."""
    print(f"\n{name}\n")
    print("| recorded | frames/s | capture to PLC p50 / p99, ms | cores | RSS, MB | parts | not inspected | late | "
          "unaccounted | record, MB | pictures left out |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
    rows = []
    for pair in range(count):
        for recorded in (False, True) if pair % 2 == 0 else (True, False):
            rows.append(run(options(pair), recorded=recorded))
            print(_line(rows[-1]), flush=True)
    for figure in FIGURES:
        without, with_it = (
            statistics.median(row[figure] or 0.0 for row in rows if row["recorded"] is kind) for kind in (False, True)
        )
        print(f"{figure}, median of the runs: {without:.2f} without, {with_it:.2f} with ({with_it - without:+.2f})")
    return rows


def _line(row: Row) -> str:
    return (
        f"| {'yes' if row['recorded'] else 'no'} | {row['frames_per_s']:.1f} | {row['p50'] or 0:.1f} / "
        f"{row['p99'] or 0:.1f} | {row['cores']:.2f} | {row['rss_mb']:.0f} | {row['parts']} | {row['not_inspected']} | "
        f"{row['late']} | {row['unaccounted']} | {row['record_mb']:.1f} | {row['left_out']:.0f} |"
    )


def main() -> int:
    """Measure both lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="of line for each run (default: %(default)s)")
    parser.add_argument("--pairs", type=int, default=3, help="pairs of runs on each line (default: %(default)s)")
    parser.add_argument("--only", choices=("latency", "throughput"), help="measure only this")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    given = parser.parse_args()
    rows: dict[str, list[Row]] = {}
    if given.only != "throughput":
        rows["latency"] = pairs(
            "Latency: 5 parts/s past four cameras",
            lambda pair: lasting(DemoOptions(seed=7 + pair), given.seconds),
            given.pairs,
        )
    if given.only != "latency":
        effort = Effort(seconds=given.seconds)
        offered = OVERLOAD * RawModel(effort.model, effort.runtime).frames_per_s(3.0)
        rows["throughput"] = pairs(
            f"Throughput: {offered:.0f} frames/s offered by eight cameras",
            lambda pair: replace(offering(offered, effort, 8), seed=7 + pair),
            given.pairs,
        )
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")
    return int(any(row["unaccounted"] for each in rows.values() for row in each))


if __name__ == "__main__":
    sys.exit(main())
