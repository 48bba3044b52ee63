"""Runs the demo line for an hour (`--minutes` for less), with page clients and a disk that misbehaves.

Four phases repeat, so that a machine that changes with time does not favour one of them: quiet, with page clients, with
clients and a slow disk, with clients and a full disk. It prints a table and, with `--report`, writes JSON. Exit code 1
if something grew, filled up, broke or became slower that must not.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from soak_bounds import judged
from soak_load import Clients, Disk
from soak_report import Plan, Sample, by_phase, kept, table, told

from edge_inspector.simulation.demo import Demo
from edge_inspector.simulation.options import DemoOptions
from edge_inspector.simulation.report import read_ledger

PHASES = ("quiet", "clients", "clients, slow disk", "clients, full disk")
PARTS_PER_S = 5.0
BUDGET_MB = 16
_TURN_MINUTES = 12.0


def main() -> int:
    """Run, measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument(
        "--paths", default="/,/api/parts,/api/health,/metrics", help="what the clients ask for, separated by commas"
    )
    parser.add_argument("--model", default="", help="model folder name (default: the demo's own)")
    parser.add_argument(
        "--model-ms", type=float, default=0.0, help="use a simulated model this slow, which sees nothing"
    )
    parser.add_argument("--report", type=Path, help="write what was measured as JSON")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # all that it has started ends with it
    with tempfile.TemporaryDirectory(prefix="edge-inspector-soak-") as folder:
        report = soak(given, Path(folder).resolve())
    print(table(report))
    if given.report:
        given.report.write_text(json.dumps(report, indent=1) + "\n")
    for complaint in [*report["complaints"], *report["slower"]]:
        print(f"NOT WITHIN BOUNDS: {complaint}")
    return 1 if report["complaints"] or report["slower"] else 0


def soak(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """One run and its report."""
    disk = Disk(folder)
    if not disk.available:
        print("no C compiler here: the phases with a slow and a full disk are left out", flush=True)
    phases = PHASES if disk.available else PHASES[:2]
    turns = max(2, round(given.minutes / _TURN_MINUTES))
    plan = Plan(phases, given.minutes * 60 / turns / len(phases))
    options = DemoOptions(
        parts=int(given.minutes * 60 * PARTS_PER_S),
        model=given.model,
        model_ms=given.model_ms,
        archive=f"images_mb = {BUDGET_MB}\nmin_free_mb = 0\naccepted_one_in = 5\n",
    )
    demo = Demo(options, folder)
    clients = Clients(demo.ports["web"], given.paths.split(","), given.clients)
    samples: list[Sample] = []
    ended = threading.Event()
    with disk.below_new_processes(), demo.running():
        begun_ns = demo.line.belt.time_at(0.0)
        watched = {"begun_ns": begun_ns, "disk": disk, "clients": clients, "samples": samples, "ended": ended}
        observer = threading.Thread(target=observe, args=(demo, plan), kwargs=watched)
        observer.start()
        clients.start()
        try:
            demo.play()
        finally:
            ended.set()
            observer.join()
            clients.stop()
            disk.turn("quiet")
        report = demo.finish()
        verdicts = demo.recorder.verdicts()
    parts = told(demo.line, read_ledger(demo.ledger), verdicts, begun_ns)
    report |= kept(folder) | {
        "minutes": given.minutes,
        "archive_budget_mb": BUDGET_MB,
        "client_answers": clients.answers,
        "client_failures": clients.failures,
        "client_last_failure": clients.last_failure,
        "client_live_mb": round(clients.live_bytes / 2**20, 1),
    }
    return judged(report, plan, samples, by_phase(plan, parts, samples))


def observe(
    demo: Demo,
    plan: Plan,
    *,
    begun_ns: int,
    disk: Disk,
    clients: Clients,
    samples: list[Sample],
    ended: threading.Event,
) -> None:
    """Take a sample each second. At the beginning of each phase, apply its conditions."""
    now = plan.phases[0]
    while not ended.wait(1.0):
        at_s = (time.monotonic_ns() - begun_ns) / 1e9
        phase = plan.phase(at_s)
        if phase != now:
            clients.turn(phase)
            disk.turn(phase)
            now = phase
        samples.append(sample(demo.daemon.pid, demo.folder, at_s))


def sample(pid: int, folder: Path, at_s: float) -> Sample:
    """The present state of the daemon, from outside."""
    status = Path(f"/proc/{pid}/status").read_text()
    rss_kb = int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1])
    files = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 -- links into nowhere are no paths
    with (folder / "daemon.log").open("rb") as log:
        lines = sum(1 for _ in log)
    return Sample(at_s, rss_kb / 1024, files, lines, archive_mb(folder / "state" / "images"))


def archive_mb(root: Path) -> float:
    """The size of the pictures, in blocks of 4 KiB."""
    total = 0
    for folder, _, names in os.walk(root):
        for name in names:
            try:
                total += -(-os.lstat(Path(folder) / name).st_size // 4096) * 4096
            except FileNotFoundError:  # it was deleted just now
                continue
    return total / 2**20


if __name__ == "__main__":
    sys.exit(main())
