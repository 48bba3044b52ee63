"""Runs the demo line for an hour (`--minutes` for less) while people watch and the archive's disk misbehaves.

Four phases of one length: quiet; with page clients; with them and a slow disk; with them and a full one. Prints a
table and, with `--report`, writes JSON. Exit code 1 when something grew, filled or broke that must not.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_inspector.simulation.demo import Demo, DemoOptions
from edge_inspector.simulation.report import read_ledger

PHASES = ("quiet", "clients", "clients, slow disk", "clients, full disk")
BUDGET_MB = 16
PARTS_PER_S = 5.0
WARM_UP_S = 20.0
SLOW_MS = 40


@dataclass(frozen=True, slots=True)
class Sample:
    """What the daemon is like at one instant."""

    at_s: float
    phase: str
    rss_mb: float
    files: int
    log_lines: int
    archive_mb: float


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
    """People with a page open: each asks for something once a second."""

    def __init__(self, port: int, paths: Sequence[str], count: int) -> None:
        self.answers = self.failures = 0
        self._urls = [f"http://127.0.0.1:{port}{path}" for path in paths]
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._watch, args=(number,)) for number in range(count)]

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

    def _watch(self, number: int) -> None:
        while not self._stop.wait(1.0):
            number += 1
            try:
                with urllib.request.urlopen(self._urls[number % len(self._urls)], timeout=5) as answer:
                    answer.read()
                self.answers += 1
            except OSError:
                self.failures += 1


def main() -> int:
    """Run, measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--paths", default="/metrics,/healthz", help="what the clients ask for, separated by commas")
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
        lead_s=8.0,
        archive=f"images_mb = {BUDGET_MB}\nmin_free_mb = 0\naccepted_one_in = 5\n",
    )
    demo = Demo(options, folder)
    clients = Clients(demo.ports["web"], given.paths.split(","), given.clients)
    samples: list[Sample] = []
    ended = threading.Event()
    with disk.below_new_processes(), demo.running():
        begun_ns = time.monotonic_ns() + int(options.lead_s * 1e9)
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
    return judged(report, samples, per_phase, clients, given.minutes)


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


def latencies(
    ledger: Sequence[dict[str, Any]],
    verdicts: Sequence[dict[str, Any]],
    phases: Sequence[str],
    begun_ns: int,
    length_s: float,
) -> dict[str, dict[str, Any]]:
    """Last exposure to the PLC's memory, in ms, and late verdicts, by phase; the phases' first seconds are left out."""
    mqtt = {(body["plc_boot_id"], body["part_seq"]): body for body in verdicts}
    found: dict[str, list[float]] = {phase: [] for phase in phases}
    late = dict.fromkeys(phases, 0)
    uninspected = dict.fromkeys(phases, 0)
    for event in ledger:
        if event["kind"] != "verdict" or event["how"] == "duplicate":
            continue
        at_s = (event["scan_ns"] - begun_ns) / 1e9
        phase = phases[min(len(phases) - 1, max(0, int(at_s / length_s)))]
        late[phase] += event["how"] == "late"
        uninspected[phase] += event["decision"] == 3
        body = mqtt.get((event["boot"], event["part_seq"]))
        if body and body["views"] and event["written_ns"] and event["decision"] != 3:
            captured_ns = max(view["captured_ns"] for view in body["views"])
            found[phase].append((event["written_ns"] - captured_ns) / 1e6)
    return {
        phase: {"parts": len(values), "late": late[phase], "not_inspected": uninspected[phase], **spread(values)}
        for phase, values in found.items()
    }


def spread(values: Sequence[float]) -> dict[str, float | None]:
    """p50, p99 and max."""
    ranked = sorted(values)
    if not ranked:
        return {"p50_ms": None, "p99_ms": None, "max_ms": None}
    p99 = ranked[min(len(ranked) - 1, int(len(ranked) * 0.99))]
    return {"p50_ms": round(statistics.median(ranked), 2), "p99_ms": round(p99, 2), "max_ms": round(ranked[-1], 2)}


def judged(
    report: dict[str, Any],
    samples: Sequence[Sample],
    per_phase: dict[str, dict[str, Any]],
    clients: Clients,
    minutes: float,
) -> dict[str, Any]:
    """Everything in one report, with what is not within bounds."""
    warm = [each for each in samples if each.at_s > min(WARM_UP_S, minutes * 15)]
    later = warm[len(warm) // 3 :]
    slope = statistics.linear_regression([each.at_s for each in later], [each.rss_mb for each in later]).slope
    noise = statistics.pstdev(each.rss_mb for each in later)
    grown_mb = slope * (later[-1].at_s - later[0].at_s)
    thirds = [statistics.median(each.files for each in part) for part in (warm[: len(warm) // 3], later)]
    lines = warm[-1].log_lines - warm[0].log_lines
    lines_per_s = lines / (warm[-1].at_s - warm[0].at_s)
    result = {
        "minutes": minutes,
        "parts": report["parts_triggered"],
        "unaccounted": report["unaccounted"],
        "duplicates": report["duplicates"],
        "rss_mb": round(later[-1].rss_mb, 1),
        "rss_slope_mb_per_h": round(slope * 3600, 2),
        "rss_grown_mb": round(grown_mb, 2),
        "rss_noise_mb": round(noise, 2),
        "files_first_third": thirds[0],
        "files_later": thirds[1],
        "files_max": max(each.files for each in warm),
        "log_lines_per_s": round(lines_per_s, 3),
        "archive_max_mb": round(max(each.archive_mb for each in samples), 2),
        "archive_budget_mb": BUDGET_MB,
        "client_answers": clients.answers,
        "client_failures": clients.failures,
        "phases": per_phase,
        "daemon_stop_s": report["daemon_stop_s"],
    }
    bounds = {
        "a part without a verdict, or with two": report["unaccounted"] == report["duplicates"] == 0,
        "memory grows beyond its noise": grown_mb < max(8.0, 3 * noise),
        "open files grow": thirds[1] - thirds[0] <= 12,
        "more than a log line a second": lines_per_s <= 1.0,
        "the archive is beyond its budget": result["archive_max_mb"] <= BUDGET_MB,
        "no client was answered": clients.answers > 0,
    }
    return result | {"complaints": [what for what, holds in bounds.items() if not holds]}


def table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    rows = ["| | " + " | ".join(report["phases"]) + " |", "|---|" + "---|" * len(report["phases"])]
    rows += [
        f"| {name} | " + " | ".join(str(phase[name]) for phase in report["phases"].values()) + " |"
        for name in ("parts", "not_inspected", "late", "p50_ms", "p99_ms", "max_ms")
    ]
    rows.append("")
    rows += [f"{name}: {value}" for name, value in report.items() if name not in ("phases", "complaints")]
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
