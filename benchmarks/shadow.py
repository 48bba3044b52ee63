"""Whether the shadow model delays a verdict: alternating pairs of the demo without and with it.

`python benchmarks/shadow.py` prints a row for each run and the difference of the medians. Both runs of a pair have the
same parts.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from edge_inspector.simulation.demo import Demo
from edge_inspector.simulation.options import DemoOptions

FIGURES = ("p50", "p99", "max")


def run(shadow: str, parts: int, seed: int) -> dict[str, Any]:
    """One run's report, with the processor time and the number of views that the shadow model saw."""
    with tempfile.TemporaryDirectory() as folder:
        demo = Demo(DemoOptions(parts=parts, seed=seed, shadow=shadow), Path(folder).resolve())
        with demo.running():
            demo.play()
            report = demo.finish()
            text = (demo.folder / "metrics.txt").read_text()
    cpu = re.search(r"^process_cpu_seconds_total (\S+)$", text, re.MULTILINE)
    seen = re.findall(r"^edge_inspector_shadow_views_total\{.*\} (\S+)$", text, re.MULTILINE)
    return report | {
        "shadow": shadow,
        "seen": sum(float(count) for count in seen) / max(1, report["frames_completed"]),
        "cpu_s": round(float(cpu[1]), 1) if cpu else None,
    }


def row(report: dict[str, Any]) -> str:
    """One line of the table."""
    spread = " / ".join(f"{report['capture_to_plc_ms'][name] or 0:.1f}" for name in FIGURES)
    return (
        f"| {report['shadow'] or 'none'} | {spread} | {report['late']} | {report['not_inspected']} "
        f"| {report['unaccounted']} | {report['seen']:.0%} | {report['cpu_s']} |"
    )


def main() -> int:
    """Alternate without and with the shadow model. Print the differences."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shadow", default="tile-1.1/fp32", help="as in `edge-inspector demo` (default: %(default)s)")
    parser.add_argument("--parts", type=int, default=300)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write the reports here")
    given = parser.parse_args()
    reports = []
    print("| shadow | capture to PLC p50 / p99 / max, ms | late | not inspected | unaccounted | views seen | CPU, s |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for pair in range(given.pairs):
        # The second run of a pair must not always be the same kind: a machine warms up, or slows down.
        order = ("", given.shadow) if pair % 2 == 0 else (given.shadow, "")
        for shadow in order:
            sys.stdout, screen = sys.stderr, sys.stdout  # the line's own score is not part of the table
            try:
                reports.append(run(shadow, given.parts, seed=7 + pair))
            finally:
                sys.stdout = screen
            print(row(reports[-1]), flush=True)
    for name in FIGURES[:2]:
        without, with_it = (
            statistics.median(each["capture_to_plc_ms"][name] for each in reports if bool(each["shadow"]) is there)
            for there in (False, True)
        )
        print(
            f"\n{name}, median of the runs: {without:.1f} ms without, {with_it:.1f} ms with ({with_it - without:+.1f})"
        )
    if given.json:
        given.json.write_text(json.dumps(reports, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
