"""One run of the demo line without its scoreboard, measured from outside."""

from __future__ import annotations

import io
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from edge_inspector.errors import EdgeInspectorError
from edge_inspector.simulation.bench.energy import used_j
from edge_inspector.simulation.bench.interpreter import LockWatch
from edge_inspector.simulation.demo import TICKS_PER_S, Demo, stat_of
from edge_inspector.simulation.line import Line, camera_offset_mm
from edge_inspector.simulation.options import DemoOptions
from edge_inspector.simulation.report import read_ledger

CHILDREN = "processes of its own"
_HISTORY_S, _SILENCE_S = 20.0, 1.0
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSample:
    """A process at one instant: CPU seconds and page faults since its start, resident megabytes.

    `threads` are CPU seconds by kind of thread. The threads of all cameras are one kind. `energy_j` is what the whole
    machine has used. `lock_held` is the share of the time since the last sample in which the interpreter's lock was
    held. Both are None if they cannot be read.
    """

    at_ns: int
    cpu_s: float
    rss_mb: float
    faults: int = 0
    threads: dict[str, float] = field(default_factory=dict)
    energy_j: float | None = None
    lock_held: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LineRun:
    """The data of one run. `samples` are of the daemon. `world_cores` is the CPU use of the simulated world."""

    line: Line
    report: dict[str, Any]
    samples: list[ProcessSample]
    world_cores: float
    ready_s: float
    begun_ns: list[int]
    triggered_ns: list[int] = field(default_factory=list)

    @property
    def steady_ns(self) -> tuple[int, int]:
        """The steady time: all cameras have parts, and none has seen its last one."""
        belt, line = self.line.belt, self.line
        last_lane = camera_offset_mm(line.lanes - 1) + 2 * line.pitch_mm
        return belt.time_at(line.eye_mm(0) + last_lane), belt.time_at(line.eye_mm(line.parts - 1) + 300.0)

    @property
    def frames_per_s(self) -> float:
        """Frames per second through the model in the steady time."""
        begin, end = self.steady_ns
        return sum(begin <= at < end for at in self.begun_ns) / ((end - begin) / 1e9)

    @property
    def parts_per_s(self) -> float:
        """Parts that the PLC announced per second of the steady time. This is what was really offered."""
        begin, end = self.steady_ns
        return sum(begin <= at < end for at in self.triggered_ns) / ((end - begin) / 1e9)

    @property
    def offered_per_s(self) -> float:
        """Frames per second that were really offered: one of each camera for each part."""
        return self.parts_per_s * self.line.lanes

    @property
    def lock_ms_per_frame(self) -> float | None:
        """Milliseconds for which the interpreter's lock was held for each frame through the model."""
        begin, end = self.steady_ns
        held = [sample.lock_held for sample in self.samples if begin <= sample.at_ns <= end]
        known = [each for each in held if each is not None]
        return 1000 * statistics.mean(known) / max(1e-9, self.frames_per_s) if known else None

    @property
    def joule_per_frame(self) -> float | None:
        """Energy of the whole machine for each frame through the model."""
        first, last = self._steady_samples()
        if first.energy_j is None or last.energy_j is None:
            return None
        return (last.energy_j - first.energy_j) / ((last.at_ns - first.at_ns) / 1e9) / max(1e-9, self.frames_per_s)

    @property
    def cores(self) -> float:
        """CPU seconds of the daemon per second in the steady time."""
        first, last = self._steady_samples()
        return (last.cpu_s - first.cpu_s) / ((last.at_ns - first.at_ns) / 1e9)

    @property
    def faults_per_frame(self) -> float:
        """Pages that the kernel had to provide for each frame through the model: memory that was not there before."""
        first, last = self._steady_samples()
        return (last.faults - first.faults) / ((last.at_ns - first.at_ns) / 1e9) / max(1e-9, self.frames_per_s)

    @property
    def threads_ms_per_s(self) -> dict[str, float]:
        """CPU by kind of thread in the steady time, most first."""
        first, last = self._steady_samples()
        took_s = (last.at_ns - first.at_ns) / 1e9
        used = {kind: (cpu_s - first.threads.get(kind, 0.0)) / took_s for kind, cpu_s in last.threads.items()}
        return {kind: round(1000 * cores, 1) for kind, cores in sorted(used.items(), key=lambda item: -item[1])}

    def _steady_samples(self) -> tuple[ProcessSample, ProcessSample]:
        begin, end = self.steady_ns
        within = [sample for sample in self.samples if begin <= sample.at_ns <= end]
        if len(within) < 2:
            raise EdgeInspectorError(
                "the line was steady for less than half a second: give the benchmark more --seconds"
            )
        return within[0], within[-1]

    @property
    def rss_mb(self) -> float:
        """The daemon's memory at the end of the steady time."""
        return next(sample.rss_mb for sample in reversed(self.samples) if sample.at_ns <= self.steady_ns[1])


def run_line(options: DemoOptions, kind: Callable[[DemoOptions, Path], Demo] = Demo) -> LineRun:
    """Run the line from the first part to the last. Raises EdgeInspectorError if the daemon dies.

    `kind` may be a line with another product in the daemon's place.
    """
    with tempfile.TemporaryDirectory(prefix="edge-inspector-bench-") as folder, redirect_stdout(io.StringIO()):
        demo = kind(options, Path(folder))
        with demo.running(), _Watch(demo) as watch:
            demo.play()
            _hear_out(lambda: demo.recorder.count)
            begun_ns = [view["begun_ns"] for body in demo.recorder.verdicts() for view in body["views"]]
            report = dict(demo.finish())
            triggered_ns = [event["at_ns"] for event in read_ledger(demo.ledger) if event["kind"] == "trigger"]
    return LineRun(
        line=demo.line,
        report=report,
        samples=watch.samples,
        world_cores=watch.world_cores,
        ready_s=demo.ready_s,
        begun_ns=begun_ns,
        triggered_ns=triggered_ns,
    )


def _hear_out(heard: Callable[[], int]) -> None:
    """Wait until no more messages come, or for 20 s: a station that is overloaded publishes history later."""
    until, before = time.monotonic() + _HISTORY_S, -1
    while (now := heard()) != before and time.monotonic() < until:
        before = now
        time.sleep(_SILENCE_S)


class _Watch:
    """Samples the daemon four times a second. Its processes must be running."""

    def __init__(self, demo: Demo) -> None:
        self._daemon = demo.daemon.pid
        self._world = (demo.plc.pid, demo.broker.pid, os.getpid())  # the subscriber is a thread of this process
        self._lock = LockWatch(demo.daemon.pid)
        self.samples: list[ProcessSample] = []
        self.world_cores = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        began_ns = time.monotonic_ns()
        began_s = sum(sample.cpu_s for pid in self._world if (sample := sample_of(pid)))
        while not self._stop.is_set():
            held = self._lock.held(0.25, self._stop)
            if found := sample_of(self._daemon):
                self.samples.append(replace(found, energy_j=used_j(), lock_held=held))
            world = [sample.cpu_s for pid in self._world if (sample := sample_of(pid))]
            if len(world) == len(self._world):
                self.world_cores = (sum(world) - began_s) / ((time.monotonic_ns() - began_ns) / 1e9)


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Run this many processes that only use CPU, and end them afterwards."""
    with ExitStack() as stack:
        for _ in range(count):
            process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(process.wait)
            stack.callback(process.kill)
        yield


def sample_of(pid: int) -> ProcessSample | None:
    """The process now, with those that it has started. None if it is gone."""
    try:
        fields = stat_of(Path(f"/proc/{pid}"))
        threads: dict[str, float] = {}
        for task in Path(f"/proc/{pid}/task").iterdir():
            kind = (task / "comm").read_text().strip().partition("-")[0]
            threads[kind] = threads.get(kind, 0.0) + _cpu_s(stat_of(task))
        children_s = _children_s(pid)
    except OSError:
        return None
    if children_s:
        threads[CHILDREN] = children_s
    return ProcessSample(
        at_ns=time.monotonic_ns(),
        cpu_s=_cpu_s(fields) + children_s,
        rss_mb=int(fields[21]) * _PAGE_MB,
        faults=int(fields[7]),
        threads=threads,
    )


def _children_s(pid: int) -> float:
    """CPU seconds of the process's own processes: its cameras, if they have some."""
    children = [child for task in Path(f"/proc/{pid}/task").glob("*/children") for child in task.read_text().split()]
    return sum(_cpu_s(stat_of(Path(f"/proc/{child}"))) for child in children)


def _cpu_s(fields: list[str]) -> float:
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S
