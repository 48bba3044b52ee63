"""The benchmarks themselves, by name."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from edge_inspector.simulation.bench.allocations import allocations_per_frame
from edge_inspector.simulation.bench.effort import (
    PITCH_MM,
    Effort,
    lasting,
    measured_cores,
    offering,
    worker_counts,
    world_cores,
)
from edge_inspector.simulation.bench.raw import RawModel, RawRuntime, hand_over_ms
from edge_inspector.simulation.bench.realtime import realtime
from edge_inspector.simulation.bench.rounds import Figures, in_turns, over
from edge_inspector.simulation.bench.runs import LineRun, run_line
from edge_inspector.simulation.bench.standing import stand
from edge_inspector.simulation.options import DemoOptions

_CAMERAS = 8
OVERLOAD = 1.5  # times the runtime's own rate


def throughput(effort: Effort) -> Figures:
    """The overloaded pipeline against the runtime alone, in turns within one run.

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


def standing(effort: Effort) -> Figures:
    """CPU, wake-ups and memory with four GigE Vision cameras and both links, while the line stands."""
    return over([stand(DemoOptions(gige=True), effort.seconds) for _ in range(effort.repeats)])


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
    "standing": standing,
    "allocations": allocations,
}


def _saturating(effort: Effort, workers: int) -> Callable[[], Figures]:
    return partial(_saturated, RawRuntime(effort.model, effort.runtime, workers), effort)


def _saturated(raw: RawRuntime, effort: Effort) -> Figures:
    before, raw_ms = raw.rate(3.0)
    asked = OVERLOAD * before
    run = run_line(replace(offering(asked, effort, _CAMERAS), workers=raw.workers))
    after, raw_ms_after = raw.rate(3.0)
    return {
        "workers": raw.workers,
        "asked_frames_per_s": asked,
        **against(run, (before + after) / 2, (raw_ms + raw_ms_after) / 2),
    }


def against(run: LineRun, raw_per_s: float, raw_ms: float) -> Figures:
    """An overloaded run, compared with the runtime alone: its windows per second, and its CPU for one."""
    judged_per_s = max(1e-9, run.frames_per_s)
    cpu_ms = 1000 * run.cores / judged_per_s
    cores = len(measured_cores()) + len(world_cores())
    left = 1 - (0.0 if world_cores() else run.world_cores / cores)
    return {
        "raw_frames_per_s": raw_per_s,
        "offered_frames_per_s": run.offered_per_s,
        "pipeline_frames_per_s": run.frames_per_s,
        "ratio": run.frames_per_s / raw_per_s,
        "ratio_beside_world": run.frames_per_s / (raw_per_s * left),
        "cpu_ms_per_frame": cpu_ms,
        "model_share": raw_ms / cpu_ms,
        "beside_model_ms_per_frame": cpu_ms - raw_ms,
        "beside_model_ms_per_part": (cpu_ms - raw_ms) * judged_per_s / max(1e-9, run.parts_per_s),
        "lock_ms_per_frame": run.lock_ms_per_frame,
        "joule_per_frame": run.joule_per_frame,
        "daemon_cores": run.cores,
        "world_cores": run.world_cores,
        "threads_ms_per_s": run.threads_ms_per_s,
        "page_faults_per_frame": run.faults_per_frame,
        "stages_ms": run.report["stages_ms"],
        "added_latency_ms": run.report["added_latency_ms"],
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
