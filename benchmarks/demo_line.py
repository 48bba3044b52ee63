"""Runs the demo line in several ways and prints one table.

`python benchmarks/demo_line.py`, or with `--frames DIR` also with real images. `--kinds` runs the lines of other kinds.
`--kinds --only s7commplus --parts 10000` is the long run of a line without PUT/GET.
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

from edge_inspector.simulation.lines.kinds import KINDS

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
PIECES_IN_A_METRE = 2  # of the demo's web
SPREADS = ("position_error_mm", "capture_to_plc_ms", "inference_ms", "added_latency_ms")


def main() -> int:
    """Run every way, keep the reports, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", type=int, default=300)
    parser.add_argument("--frames", type=Path, help="a folder with index.csv, for the runs with real images")
    parser.add_argument("--kinds", action="store_true", help="lines of all other kinds (docs/lines.md)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--only", default="", help="names of the runs, separated by commas")
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
    if given.kinds:
        ways = {kind: ["--line", kind] for kind in [*KINDS, "lanes"]}
    given.out.mkdir(parents=True, exist_ok=True)
    chosen = given.only.split(",") if given.only else list(ways)
    parts = {name: str(given.parts * (PIECES_IN_A_METRE if name == "web" else 1)) for name in chosen}
    reports = {name: run(name, [*ways[name], "--parts", parts[name]], given.out) for name in chosen}
    print(f"\n{platform.machine()}, {platform.system()} {platform.release()}, Python {platform.python_version()}\n")
    print(kinds_table(reports) if given.kinds else table(reports))
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
    rows += [f"| {name} | {' | '.join(str(report[name]) for report in reports.values())} |" for name in COLUMNS]
    rows += [
        f"| {name} p50/p99/max | {' | '.join(_spread(report[name]) for report in reports.values())} |"
        for name in SPREADS
    ]
    rows.append(f"| rss_mb | {' | '.join(str(report['rss_mb']) for report in reports.values())} |")
    return "\n".join(rows)


def kinds_table(reports: dict[str, dict[str, Any]]) -> str:
    """One row per run, as Markdown."""
    rows = [f"| line | {' | '.join(COLUMNS)} | position error max, mm |", f"|---|{'---|' * (len(COLUMNS) + 1)}"]
    for name, report in reports.items():
        figures = [str(report[column]) for column in COLUMNS]
        errors = [lane["position_error_mm"]["max"] for lane in report.get("lanes", [report])]
        worst = max((error for error in errors if error is not None), default=None)
        rows.append(f"| {name} | {' | '.join(figures)} | {'-' if worst is None else f'{worst:.2f}'} |")
    return "\n".join(rows)


def _spread(found: dict[str, float | None]) -> str:
    return " / ".join("-" if found[key] is None else f"{found[key]:.2f}" for key in ("p50", "p99", "max"))


if __name__ == "__main__":
    sys.exit(main())
