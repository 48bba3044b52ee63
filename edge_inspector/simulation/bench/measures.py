"""The benchmarks themselves, by name."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from edge_inspector.simulation.bench.allocations import allocations_per_frame
from edge_inspector.simulation.bench.effort import PITCH_MM, Effort, lasting, offering, worker_counts
from edge_inspector.simulation.bench.raw import RawModel, hand_over_ms
from edge_inspector.simulation.bench.realtime import realtime
from edge_inspector.simulation.bench.rounds import Figures, in_turns, over
from edge_inspector.simulation.bench.runs import LineRun, run_line
from edge_inspector.simulation.demo import DemoOptions

_CAMERAS = 8


def throughput(effort: Effort) -> Figures:
    """The overloaded pipeline against the model alone, in turns within one run.

    With a model's thread on every core, and with one core left for everything else, including the simulated world.
    """
    ways = {str(workers): _saturating(effort, workers) for workers in worker_counts()}
    every, *left = in_turns(ways, effort.repeats).values()
    return every | {"one_core_left": left[0]} if left else every


def latency(effort: Effort) -> Figures:
    """Latency from capture to PLC by stage, at 10 %, 50 % and 90 % of the line's capacity, with one core left."""
    workers = worker_counts()[-1]
    saturated = _saturating(effort, workers)
    capacity = statistics.median(saturated()["pipeline_frames_per_s"] for _ in range(effort.repeats))

    def loaded(load: float) -> Figures:
        return _latencies(run_line(replace(offering(load * capacity, effort, cameras=2), workers=workers)))

    return {
        "workers": workers,
        "capacity_frames_per_s": capacity,
        "hand_over_ms": hand_over_ms(),
        "loads": in_turns({f"{load:.0%}": partial(loaded, load) for load in (0.1, 0.5, 0.9)}, effort.repeats),
    }


def growth(effort: Effort) -> Figures:
    """From one camera to many at the same frames per second, and far beyond the model's capacity."""
    alone = RawModel(effort.model, effort.runtime).frames_per_s(3.0)
    most = max(effort.cameras)

    def offered(frames_per_s: float, cameras: int) -> Figures:
        return _row(cameras, run_line(offering(frames_per_s, effort, cameras)))

    ways = {str(cameras): partial(offered, min(60.0, 0.4 * alone), cameras) for cameras in effort.cameras}
    *rows, beyond = in_turns(ways | {"beyond": partial(offered, 3 * alone, most)}, effort.repeats).values()
    return {"rows": rows, "past_saturation": beyond}


def position(effort: Effort) -> Figures:
    """The position error of a view: from the PLC over S7 with a 10 ms scan, and latched by a GigE Vision camera."""
    sources = {
        "s7_500_mm_s": DemoOptions(speed_mm_s=500.0, pitch_mm=PITCH_MM),
        "s7_2000_mm_s": DemoOptions(),
        "chunk_500_mm_s": DemoOptions(speed_mm_s=500.0, pitch_mm=PITCH_MM, gige=True),
        "chunk_2000_mm_s": DemoOptions(gige=True),
    }

    def placed(options: DemoOptions) -> Figures:
        report = run_line(lasting(options, effort.seconds * 2)).report
        return {key: report[key] for key in ("position_error_mm", "position_bound_mm", "position_bound_broken")}

    return in_turns({name: partial(placed, options) for name, options in sources.items()}, effort.repeats)


def footprint(effort: Effort) -> Figures:
    """Memory with four GigE Vision cameras, time until ready, time to stop."""

    def resident() -> Figures:
        run = run_line(lasting(DemoOptions(gige=True), effort.seconds))
        return {"rss_mb": run.rss_mb, "start_s": run.ready_s, "stop_s": run.report["daemon_stop_s"]}

    return over([resident() for _ in range(effort.repeats)])


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


def _saturating(effort: Effort, workers: int) -> Callable[[], Figures]:
    return partial(_saturated, RawModel(effort.model, effort.runtime, workers), effort)


def _saturated(raw: RawModel, effort: Effort) -> Figures:
    before = raw.frames_per_s(3.0)
    workers = raw.segmenter.workers
    options = replace(offering(1.5 * before, effort, _CAMERAS), workers=workers)
    run = run_line(options)
    after = raw.frames_per_s(3.0)
    alone = (before + after) / 2
    return {
        "workers": workers,
        "raw_frames_per_s": alone,
        "offered_frames_per_s": _CAMERAS * options.speed_mm_s / options.pitch_mm,
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


def _latencies(run: LineRun) -> Figures:
    kept = ("inference_ms", "added_latency_ms", "stages_ms", "late", "unaccounted")
    return {"frames_per_s": run.frames_per_s} | {key: run.report[key] for key in kept}


def _row(cameras: int, run: LineRun) -> Figures:
    return {
        "cameras": cameras,
        "frames_per_s": run.frames_per_s,
        "cpu_ms_per_frame": run.cores * 1000 / max(1e-9, run.frames_per_s),
        "threads_ms_per_frame": {kind: ms / max(1e-9, run.frames_per_s) for kind, ms in run.threads_ms_per_s.items()},
        "page_faults_per_frame": run.faults_per_frame,
        "rss_mb": run.rss_mb,
        "added_latency_ms": run.report["added_latency_ms"],
        "parts": run.report["parts_triggered"],
        "not_inspected": run.report["not_inspected"],
        "unaccounted": run.report["unaccounted"],
        "late": run.report["late"],
    }
