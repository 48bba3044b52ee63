"""The benchmarks themselves, by name."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from edge_inspector.simulation.bench.allocations import allocations_per_frame
from edge_inspector.simulation.bench.raw import RawModel, hand_over_ms
from edge_inspector.simulation.bench.runs import LineRun, busy_processes, run_line
from edge_inspector.simulation.demo import DemoOptions

Figures = dict[str, Any]

_CAMERAS = 8
_PITCH_MM = 220.0
_DISTINCT = 8
_REALTIME = {
    "ordinary": "",
    "SCHED_FIFO": "fifo_priority = 10",
    "SCHED_FIFO and locked memory": "fifo_priority = 10\nlock_memory = true",
}


@dataclass(frozen=True, slots=True)
class Effort:
    """How long and how often; medians are taken over the repeats."""

    model: str = "tile-1.0"
    runtime: str = "onnx"
    seconds: float = 12.0
    repeats: int = 3
    cameras: tuple[int, ...] = (1, 2, 4, 8, 16, 24)


def throughput(effort: Effort) -> Figures:
    """The whole pipeline, offered more than it can take, against the model alone; in turns, in one go.

    With a model's thread on every core, and with one core left for everything else, the simulated world included.
    """
    models = {workers: RawModel(effort.model, effort.runtime, workers) for workers in _worker_counts()}
    rounds: dict[int, list[Figures]] = {workers: [] for workers in models}
    for _ in range(effort.repeats):
        for workers, raw in models.items():
            rounds[workers].append(_saturated(raw, effort))
    every, *left = ({name: _median(found, name) for name in found[0]} | {"rounds": found} for found in rounds.values())
    return every | {"one_core_left": left[0]} if left else every


def latency(effort: Effort) -> Figures:
    """Capture to PLC by stage, at 10 %, 50 % and 90 % of what the whole line can do, with one core left."""
    workers = _worker_counts()[-1]
    raw = RawModel(effort.model, effort.runtime, workers)
    capacity = statistics.median(_saturated(raw, effort)["pipeline_frames_per_s"] for _ in range(effort.repeats))
    found: Figures = {
        "workers": workers,
        "capacity_frames_per_s": capacity,
        "hand_over_ms": hand_over_ms(),
        "loads": {},
    }
    for load in (0.1, 0.5, 0.9):
        run = run_line(replace(_offering(load * capacity, effort, cameras=2), workers=workers))
        found["loads"][f"{load:.0%}"] = {
            "frames_per_s": run.frames_per_s,
            "inference_ms": run.report["inference_ms"],
            "added_latency_ms": run.report["added_latency_ms"],
            "stages_ms": run.report["stages_ms"],
            "late": run.report["late"],
            "unaccounted": run.report["unaccounted"],
        }
    return found


def growth(effort: Effort) -> Figures:
    """From one camera to many at the same frames per second, and far beyond what the model can do."""
    raw = RawModel(effort.model, effort.runtime)
    rate = min(60.0, 0.4 * raw.frames_per_s(3.0))
    rows = []
    for cameras in effort.cameras:
        run = run_line(_offering(rate, effort, cameras=cameras))
        rows.append(_row(cameras, run))
    beyond = run_line(_offering(3 * raw.frames_per_s(2.0), effort, cameras=max(effort.cameras)))
    return {"rows": rows, "past_saturation": _row(max(effort.cameras), beyond)}


def position(effort: Effort) -> Figures:
    """The error of a view's position: from the PLC over S7 with a 10 ms scan, and latched by a GigE Vision camera."""
    ways = {
        "s7_500_mm_s": DemoOptions(speed_mm_s=500.0, pitch_mm=_PITCH_MM),
        "s7_2000_mm_s": DemoOptions(),
        "chunk_500_mm_s": DemoOptions(speed_mm_s=500.0, pitch_mm=_PITCH_MM, gige=True),
        "chunk_2000_mm_s": DemoOptions(gige=True),
    }
    found = {}
    for name, options in ways.items():
        run = run_line(_lasting(options, effort.seconds * 2))
        found[name] = {
            "position_error_mm": run.report["position_error_mm"],
            "position_bound_mm": run.report["position_bound_mm"],
            "position_bound_broken": run.report["position_bound_broken"],
        }
    return found


def realtime(effort: Effort) -> Figures:
    """Real-time settings on and off, alone and beside two busy processes; in turns."""
    capacity = RawModel(effort.model, effort.runtime).frames_per_s(3.0)
    options = _offering(0.4 * capacity, effort, cameras=4)
    rounds: dict[str, list[Figures]] = {}
    for _ in range(effort.repeats):
        for busy in (0, 2):
            for name, lines in _REALTIME.items():
                with busy_processes(busy):
                    run = run_line(replace(options, realtime=lines))
                beside = "beside a busy neighbour" if busy else "alone"
                rounds.setdefault(f"{name}, {beside}", []).append(run.report)
    return {
        name: {
            key: statistics.median(report["added_latency_ms"][key] for report in reports)
            for key in ("p50", "p99", "max")
        }
        | {"late": sum(report["late"] for report in reports), "rounds": len(reports)}
        for name, reports in rounds.items()
    }


def footprint(effort: Effort) -> Figures:
    """Memory with four GigE Vision cameras, time until ready, time to stop."""
    runs = [run_line(_lasting(DemoOptions(gige=True), effort.seconds)) for _ in range(effort.repeats)]
    return {
        "rss_mb": statistics.median(run.rss_mb for run in runs),
        "start_s": statistics.median(run.ready_s for run in runs),
        "stop_s": statistics.median(run.report["daemon_stop_s"] for run in runs),
    }


def allocations(effort: Effort) -> Figures:
    """Memory that one frame takes on its way from camera to judge: at its peak, for good, and in page faults."""
    return allocations_per_frame(effort.model, effort.runtime)


BENCHMARKS: dict[str, Callable[[Effort], Figures]] = {
    "throughput": throughput,
    "latency": latency,
    "growth": growth,
    "position": position,
    "realtime": realtime,
    "footprint": footprint,
    "allocations": allocations,
}


def _worker_counts() -> list[int]:
    """A model's thread for every core; for all cores but one."""
    cores = len(os.sched_getaffinity(0))
    return [cores, cores - 1] if cores > 1 else [1]


def _saturated(raw: RawModel, effort: Effort) -> Figures:
    before = raw.frames_per_s(3.0)
    workers = raw.segmenter.workers
    run = run_line(replace(_offering(1.5 * before, effort), workers=workers))
    after = raw.frames_per_s(3.0)
    alone = (before + after) / 2
    return {
        "workers": workers,
        "raw_frames_per_s": alone,
        "pipeline_frames_per_s": run.frames_per_s,
        "ratio": run.frames_per_s / alone,
        "daemon_cores": run.cores,
        "world_cores": run.world_cores,
        "threads_ms_per_s": run.threads_ms_per_s,
        "page_faults_per_frame": run.faults_per_frame,
        "unaccounted": run.report["unaccounted"],
        "late": run.report["late"],
        "not_inspected": run.report["not_inspected"],
    }


def _offering(frames_per_s: float, effort: Effort, cameras: int = _CAMERAS) -> DemoOptions:
    """A line on which so many frames come per second."""
    parts_per_s = frames_per_s / cameras
    speed = min(12_000.0, max(200.0, parts_per_s * _PITCH_MM))
    pitch = max(_PITCH_MM, speed / parts_per_s)
    options = DemoOptions(
        cameras=cameras,
        speed_mm_s=speed,
        pitch_mm=pitch,
        model=effort.model,
        runtime=effort.runtime,
        distinct=_DISTINCT,
    )
    return _lasting(options, effort.seconds)


def _lasting(options: DemoOptions, seconds: float) -> DemoOptions:
    pitch = options.pitch_mm or 400.0
    return replace(options, parts=max(20, round(seconds * options.speed_mm_s / pitch)))


def _row(cameras: int, run: LineRun) -> Figures:
    return {
        "cameras": cameras,
        "frames_per_s": run.frames_per_s,
        "cpu_ms_per_frame": run.cores * 1000 / max(1e-9, run.frames_per_s),
        "threads_ms_per_s": run.threads_ms_per_s,
        "page_faults_per_frame": run.faults_per_frame,
        "rss_mb": run.rss_mb,
        "added_latency_ms": run.report["added_latency_ms"],
        "parts": run.report["parts_triggered"],
        "not_inspected": run.report["not_inspected"],
        "unaccounted": run.report["unaccounted"],
        "late": run.report["late"],
    }


def _median(rounds: list[Figures], name: str) -> float | dict[str, float]:
    values = [found[name] for found in rounds]
    if isinstance(values[0], dict):
        kinds = values[0].keys()
        return {kind: float(statistics.median(value.get(kind, 0.0) for value in values)) for kind in kinds}
    return float(statistics.median(values))
