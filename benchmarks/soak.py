"""Runs the demo line for an hour (`--minutes` for less) while people watch and the archive's disk misbehaves.

Four phases of one length: quiet; with page clients; with them and a slow disk; with them and a full one. Prints a
table and, with `--report`, writes JSON. Exit code 1 when something grew, filled or broke that must not.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from soak_report import BUDGET_MB, Sample, judged, kept, latencies, table

from edge_inspector.simulation.demo import Demo, DemoOptions
from edge_inspector.simulation.report import read_ledger

PHASES = ("quiet", "clients", "clients, slow disk", "clients, full disk")
PARTS_PER_S = 5.0
SLOW_MS = 40


class Disk:
    """The disk below the archive, as slow or full as it is told; only where a C compiler can build it."""

    def __init__(self, folder: Path) -> None:
        self._control = folder / "disk"
        self._control.write_text("0")
        self._library = folder / "slow_disk.so"
        source = Path(__file__).with_name("slow_disk.c")
        compiler = shutil.which("cc")
        if compiler:
            subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", self._library, source, "-ldl"], check=True)
        self.available = compiler is not None
        state = folder / "state"
        self._environment = {
            "LD_PRELOAD": str(self._library),
            "SLOW_DISK_CONTROL": str(self._control),
            "SLOW_DISK_BELOW": f"{state}/images:{state}/results",
        }

    @contextmanager
    def below_new_processes(self) -> Iterator[None]:
        """What is started here writes through it."""
        if self.available:
            os.environ.update(self._environment)
        try:
            yield
        finally:
            for name in self._environment:
                os.environ.pop(name, None)

    def turn(self, phase: str) -> None:
        """Be what the phase says."""
        self._control.write_text("full" if "full" in phase else str(SLOW_MS) if "slow" in phase else "0")


class Clients:
    """People with the page open: each follows the live stream, and looks something up once a second."""

    def __init__(self, port: int, paths: Sequence[str], count: int) -> None:
        self.answers = self.failures = self.live_bytes = 0
        self.last_failure = ""
        self._page = f"http://127.0.0.1:{port}"
        self._paths = paths
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=look, args=(number,))
            for number in range(count)
            for look in (self._follow, self._ask)
        ]

    def start(self) -> None:
        """Let them look."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Send them home."""
        self._stop.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def _ask(self, number: int) -> None:
        while not self._stop.wait(1.0):
            number += 1
            try:
                with urllib.request.urlopen(self._page + self._paths[number % len(self._paths)], timeout=5) as answer:
                    answer.read()
                self.answers += 1
            except OSError as error:
                self.failures += 1
                self.last_failure = str(error)

    def _follow(self, _number: int) -> None:
        while not self._stop.wait(1.0):
            try:
                with urllib.request.urlopen(f"{self._page}/api/live", timeout=5) as stream:
                    while not self._stop.is_set() and (heard := stream.read1(65536)):
                        self.live_bytes += len(heard)
            except OSError as error:
                self.failures += 1
                self.last_failure = str(error)


def main() -> int:
    """Run, measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument(
        "--paths", default="/,/api/parts,/api/health,/metrics", help="what the clients ask for, separated by commas"
    )
    parser.add_argument("--model-ms", type=float, default=0.0, help="use a simulated model this slow")
    parser.add_argument("--report", type=Path, help="write what was measured as JSON")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edge-inspector-soak-") as folder:
        report = soak(given, Path(folder).resolve())
    print(table(report))
    if given.report:
        given.report.write_text(json.dumps(report, indent=1) + "\n")
    for complaint in report["complaints"]:
        print(f"NOT WITHIN BOUNDS: {complaint}")
    return 1 if report["complaints"] else 0


def soak(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """One run and its report."""
    disk = Disk(folder)
    phases = PHASES if disk.available else PHASES[:2]
    if not disk.available:
        print("no C compiler here: the phases with a slow and a full disk are left out", flush=True)
    length_s = given.minutes * 60 / len(phases)
    options = DemoOptions(
        parts=int(given.minutes * 60 * PARTS_PER_S),
        model_ms=given.model_ms,
        archive=f"images_mb = {BUDGET_MB}\nmin_free_mb = 0\naccepted_one_in = 5\n",
    )
    demo = Demo(options, folder)
    clients = Clients(demo.ports["web"], given.paths.split(","), given.clients)
    samples: list[Sample] = []
    ended = threading.Event()
    with disk.below_new_processes(), demo.running():
        begun_ns = demo.line.belt.time_at(0.0)
        observer = threading.Thread(
            target=observe, args=(demo, folder, phases, begun_ns, length_s, disk, clients, samples, ended)
        )
        observer.start()
        try:
            demo.play()
        finally:
            ended.set()
            observer.join()
            clients.stop()
            disk.turn("quiet")
        report = demo.finish()
        verdicts = demo.recorder.verdicts()
    per_phase = latencies(read_ledger(demo.ledger), verdicts, phases, begun_ns, length_s)
    report |= kept(folder) | {
        "client_answers": clients.answers,
        "client_failures": clients.failures,
        "client_last_failure": clients.last_failure,
        "client_live_mb": round(clients.live_bytes / 2**20, 1),
    }
    return judged(report, samples, per_phase, given.minutes)


def observe(
    demo: Demo,
    folder: Path,
    phases: Sequence[str],
    begun_ns: int,
    length_s: float,
    disk: Disk,
    clients: Clients,
    samples: list[Sample],
    ended: threading.Event,
) -> None:
    """A sample a second; at each phase's beginning what it brings."""
    told = phases[0]
    while not ended.wait(1.0):
        at_s = (time.monotonic_ns() - begun_ns) / 1e9
        phase = phases[min(len(phases) - 1, max(0, int(at_s / length_s)))]
        if phase != told:
            if told == phases[0]:
                clients.start()
            disk.turn(phase)
            told = phase
        samples.append(sample(demo.daemon.pid, folder, at_s, phase))


def sample(pid: int, folder: Path, at_s: float, phase: str) -> Sample:
    """The daemon now, from outside."""
    status = Path(f"/proc/{pid}/status").read_text()
    rss_kb = int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1])
    files = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 -- links into nowhere are no paths
    with (folder / "daemon.log").open("rb") as log:
        lines = sum(1 for _ in log)
    return Sample(at_s, phase, rss_kb / 1024, files, lines, archive_mb(folder / "state" / "images"))


def archive_mb(root: Path) -> float:
    """What the pictures take, in blocks of 4 KiB."""
    total = 0
    for folder, _, names in os.walk(root):
        for name in names:
            try:
                total += -(-os.lstat(Path(folder) / name).st_size // 4096) * 4096
            except FileNotFoundError:  # it gave way just now
                continue
    return total / 2**20


if __name__ == "__main__":
    sys.exit(main())
