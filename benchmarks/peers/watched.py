"""A peer as a process, measured from outside: its results, its memory, and its start and stop times."""

from __future__ import annotations

import json
import socket
import subprocess
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from feed import captured_ns
from scenarios import LANES, Figures, Scenario, spread
from world import NetworkCameras, World

from edge_inspector.simulation.bench.runs import ProcessSample, sample_of
from edge_inspector.simulation.line import Line
from edge_inspector.simulation.station_files import models_dir

_FIRST_RESULT_S = 240.0
_STOP_S = 20.0
_SETTLE_S = 3.0


@dataclass(frozen=True, slots=True)
class Result:
    """A judged picture as it reached the sink."""

    at_ns: int
    lane: int
    part: int
    stamp_ns: int | None


@dataclass
class Sink:
    """The other end of work.Sink."""

    results: list[Result] = field(default_factory=list)
    lost: int | None = None

    def __enter__(self) -> Self:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.1)
        self.port: int = self._socket.getsockname()[1]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                body = json.loads(self._socket.recv(65536))
            except TimeoutError:
                continue
            if "lost" in body:
                self.lost = body["lost"]
            else:
                self.results.append(Result(time.monotonic_ns(), body["lane"], body["part"], body["stamp_ns"]))


def run(python: Path, script: Path, scenario: Scenario, world: World) -> Figures:
    """One scenario's figures of a peer. Raises RuntimeError, with the end of its log, if no result comes."""
    with tempfile.TemporaryDirectory(prefix="peers-") as name, Sink() as sink, ExitStack() as stack:
        folder, start_ns = Path(name), time.monotonic_ns()
        line = world.line(scenario.frames_per_s, start_ns)
        command = [str(python), str(script), "--model", str(models_dir() / "tile-1.1"), "--sink", str(sink.port)]
        cameras = None
        if scenario.network:
            line.write(folder / "line.json")
            cameras = NetworkCameras(folder / "line.json")
            stack.callback(cameras.stop)
            command += ["--urls", *cameras.urls()]
            time.sleep(_SETTLE_S)
        else:
            interval_ns = int(1e9 / scenario.frames_per_s)
            command += ["--pictures", str(world.pictures), "--start-ns", str(start_ns)]
            command += ["--interval-ns", str(interval_ns)]
        log = stack.enter_context((folder / "log").open("w"))
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        stack.callback(process.wait)
        stack.callback(process.kill)
        begun_ns = time.monotonic_ns()
        first_ns = _first_result(process, sink, folder / "log")
        first, begin, end = (
            _sample_at(process, first_ns / 1e9 + after_s) for after_s in (0.0, _SETTLE_S, _SETTLE_S + scenario.seconds)
        )
        outage_ns = cameras.outage() if scenario.outage and cameras else None
        figures: Figures = {
            "start_s": (first_ns - begun_ns) / 1e9,
            "start_cpu_s": first.cpu_s,
            "steady_cpu_s": end.cpu_s - begin.cpu_s,
            "rss_mb": end.rss_mb,
            "stop_s": _stopped(process),
        }
        time.sleep(0.3)
        figures |= _measured(scenario, line, sink, steady_ns=first_ns + int(_SETTLE_S * 1e9), outage_ns=outage_ns)
        return figures | {"cpu_ms_per_frame": figures["steady_cpu_s"] * 1000 / max(1, figures["steady_frames"])}


def _first_result(process: subprocess.Popen[bytes], sink: Sink, log: Path) -> int:
    until = time.monotonic() + _FIRST_RESULT_S
    while not sink.results:
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"no result: {log.read_text()[-1500:]}")
        time.sleep(0.01)
    return sink.results[0].at_ns


def _sample_at(process: subprocess.Popen[bytes], at_s: float) -> ProcessSample:
    time.sleep(max(0.0, at_s - time.monotonic()))
    sample = sample_of(process.pid)
    if sample is None:
        raise RuntimeError("it ended by itself")
    return sample


def _stopped(process: subprocess.Popen[bytes]) -> float | None:
    """Seconds from SIGTERM until it is gone. None if it had to be killed."""
    begun = time.monotonic()
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        return None
    return time.monotonic() - begun


def _measured(
    scenario: Scenario, line: Line, sink: Sink, *, steady_ns: int, outage_ns: tuple[int, int] | None
) -> Figures:
    end_ns = steady_ns + int(scenario.seconds * 1e9)
    steady = [result for result in sink.results if steady_ns <= result.at_ns < end_ns]
    if scenario.name == "overload":
        return _overload(scenario, sink, len(steady))
    truth = {(found.lane, found.part): captured_ns(line, found.lane, found.part) for found in sink.results}
    _, back_ns = outage_ns or (0, 0)
    after = [found.at_ns for found in sink.results if found.lane == 0 and truth[0, found.part] > back_ns]
    return {
        "latency_ms": spread([(found.at_ns - truth[found.lane, found.part]) / 1e6 for found in steady]),
        "stamp_error_ms": spread(
            [(found.stamp_ns - truth[found.lane, found.part]) / 1e6 for found in steady if found.stamp_ns is not None]
        ),
        "steady_frames": len(steady),
        "judged": len(steady) / (scenario.seconds * scenario.frames_per_s * LANES),
        "recovery_s": (min(after) - back_ns) / 1e9 if after else None,
    }


def _overload(scenario: Scenario, sink: Sink, steady: int) -> Figures:
    """Frames offered and lost from each lane's first to its last result, and the product's own count over its life."""
    numbers = [[found.part for found in sink.results if found.lane == lane] for lane in range(LANES)]
    offered = sum(max(parts) - min(parts) + 1 for parts in numbers if parts)
    lost = offered - sum(len(set(parts)) for parts in numbers)
    return {
        "steady_frames": steady,
        "frames_per_s": steady / scenario.seconds,
        "offered_per_s": scenario.frames_per_s * LANES,
        "offered": offered,
        "lost": lost,
        "lost_reported": sink.lost,
    }
