"""Runs the demo line in several ways, or lines of other kinds, and prints one table.

`python benchmarks/demo_line.py --line s7commplus --parts 10000` is the long run of a line without PUT/GET.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from edge_inspector.simulation.lines.kinds import KINDS, LANES

COLUMNS = (
    "parts_triggered",
    "accept",
    "reject",
    "not_inspected",
    "unaccounted",
    "duplicates",
    "late",
    "gate_misses",
    "gate_wrong_part",
    "escapes",
    "false_rejects",
)
SPREADS = ("position_error_mm", "capture_to_plc_ms", "inference_ms", "added_latency_ms")


def main() -> int:
    """Run every way, keep the reports, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", type=int, default=300)
    parser.add_argument("--frames", type=Path, help="a folder with index.csv, for the runs with real images")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--only", default="", help="names of the runs, separated by commas")
    parser.add_argument("--line", default="", help="lines of other kinds instead, separated by commas, or all")
    given = parser.parse_args()
    ways = {
        "default": [],
        "overload": ["--model-ms", "150"],
        "plc killed": ["--kill", "plc@10"],
        "broker killed": ["--kill", "broker@10"],
        "daemon killed": ["--kill", "daemon@10"],
    }
    if given.frames:
        ways["real images"] = ["--frames", str(given.frames)]
        ways["real images, overload"] = [
            "--frames",
            str(given.frames),
            "--cameras",
            "4",
            "--pitch-mm",
            "75",
            "--speed-mm-s",
            "3000",
        ]
    if given.line:
        kinds = [*KINDS, LANES] if given.line == "all" else given.line.split(",")
        ways = {kind: ["--line", kind] for kind in kinds}
    given.out.mkdir(parents=True, exist_ok=True)
    chosen = given.only.split(",") if given.only else list(ways)
    reports = {name: run(name, [*ways[name], "--parts", str(given.parts)], given.out) for name in chosen}
    print(f"\n{platform.machine()}, {platform.system()} {platform.release()}, Python {platform.python_version()}\n")
    print(table(reports))
    return 0


def run(name: str, arguments: list[str], out: Path) -> dict[str, Any]:
    """One demo run's report. A broken promise is a figure here, not an error."""
    print(f"{name}: edge-inspector demo {' '.join(arguments)}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "edge_inspector", "demo", *arguments, "--report", str(report)]
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
        text = report.read_text()
    (out / f"{name.replace(', ', '-').replace(' ', '-')}.json").write_text(text)
    return dict(json.loads(text))


def table(reports: dict[str, dict[str, Any]]) -> str:
    """One row per figure, one column per run, as Markdown."""
    rows = [f"| | {' | '.join(reports)} |", f"|---|{'---|' * len(reports)}"]
    rows += [f"| {name} | {' | '.join(str(report.get(name, '')) for report in reports.values())} |" for name in COLUMNS]
    rows += [
        f"| {name} p50/p99/max | {' | '.join(_spread(report.get(name, {})) for report in reports.values())} |"
        for name in SPREADS
    ]
    rows.append(f"| rss_mb | {' | '.join(str(report.get('rss_mb', '')) for report in reports.values())} |")
    return "\n".join(rows)


def _spread(found: dict[str, float | None]) -> str:
    return " / ".join("-" if found.get(key) is None else f"{found[key]:.2f}" for key in ("p50", "p99", "max"))


if __name__ == "__main__":
    sys.exit(main())
