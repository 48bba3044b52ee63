"""One run of the demo line without its scoreboard, measured from outside."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Self

from edge_inspector.errors import EdgeInspectorError
from edge_inspector.simulation.demo import Demo, DemoOptions
from edge_inspector.simulation.line import Line, camera_offset_mm

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A process at one instant: CPU seconds and page faults since its start, resident megabytes.

    `threads` are CPU seconds by kind of thread. The threads of all cameras are one kind.
    """

    at_ns: int
    cpu_s: float
    rss_mb: float
    faults: int = 0
    threads: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LineRun:
    """The data of one run. `samples` are of the daemon. `world_cores` is the CPU use of the simulated world."""

    line: Line
    report: dict[str, Any]
    samples: list[Sample]
    world_cores: float
    ready_s: float
    begun_ns: list[int]

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

    def _steady_samples(self) -> tuple[Sample, Sample]:
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


def run_line(options: DemoOptions) -> LineRun:
    """Run the line from the first part to the last. Raises EdgeInspectorError if the daemon dies."""
    with tempfile.TemporaryDirectory(prefix="edge-inspector-bench-") as folder, redirect_stdout(io.StringIO()):
        demo = Demo(options, Path(folder))
        with demo.running(), _Watch(demo) as watch:
            demo.play()
            begun_ns = [view["begun_ns"] for body in demo.recorder.verdicts() for view in body["views"]]
            report = dict(demo.finish())
    return LineRun(
        line=demo.line,
        report=report,
        samples=watch.samples,
        world_cores=watch.world_cores,
        ready_s=watch.ready_s,
        begun_ns=begun_ns,
    )


class _Watch:
    """Samples the daemon four times a second. Its processes must be running."""

    def __init__(self, demo: Demo) -> None:
        self._daemon = demo.daemon.pid
        self._world = (demo.plc.pid, demo.broker.pid)
        self.samples: list[Sample] = []
        self.world_cores = 0.0
        self.ready_s = float("nan")
        self._port = demo.ports["web"]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _until_ready(self) -> float:
        """The age of the daemon when it is first ready."""
        while not self._stop.wait(0.01):
            connection = HTTPConnection("127.0.0.1", self._port, timeout=1)
            try:
                connection.request("GET", "/healthz")
                if connection.getresponse().status == HTTPStatus.OK:
                    return age_s(self._daemon)
            except (OSError, HTTPException):
                continue
            finally:
                connection.close()
        return float("nan")

    def _run(self) -> None:
        self.ready_s = self._until_ready()
        began_ns = time.monotonic_ns()
        began_s = sum(sample.cpu_s for pid in self._world if (sample := sample_of(pid)))
        while not self._stop.wait(0.25):
            if found := sample_of(self._daemon):
                self.samples.append(found)
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


def age_s(pid: int) -> float:
    """The age of the process, to 10 ms."""
    began_ticks = int(_stat_of(Path(f"/proc/{pid}"))[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - began_ticks / _TICKS_PER_S


def sample_of(pid: int) -> Sample | None:
    """The process now. None if it is gone."""
    try:
        fields = _stat_of(Path(f"/proc/{pid}"))
        threads: dict[str, float] = {}
        for task in Path(f"/proc/{pid}/task").iterdir():
            kind = (task / "comm").read_text().strip().partition("-")[0]
            threads[kind] = threads.get(kind, 0.0) + _cpu_s(_stat_of(task))
    except OSError:
        return None
    return Sample(
        at_ns=time.monotonic_ns(),
        cpu_s=_cpu_s(fields),
        rss_mb=int(fields[21]) * _PAGE_MB,
        faults=int(fields[7]),
        threads=threads,
    )


def _stat_of(process: Path) -> list[str]:
    return (process / "stat").read_text().rpartition(")")[2].split()


def _cpu_s(fields: list[str]) -> float:
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
