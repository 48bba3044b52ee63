"""Compares each real-time setting with the station as shipped. Nothing else differs."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from edge_inspector.errors import EdgeInspectorError
from edge_inspector.simulation.bench.effort import Effort, offering, worker_counts
from edge_inspector.simulation.bench.raw import RawModel
from edge_inspector.simulation.bench.rounds import Figures, in_turns
from edge_inspector.simulation.bench.runs import busy_processes, run_line
from edge_inspector.simulation.options import DemoOptions

_CAMERAS = 4
SHIPPED = "as shipped"


def settings(workers: int) -> dict[str, str]:
    """The variants to try: lines for the station file's `[realtime]`. All have the same number of model threads."""
    cores = sorted(os.sched_getaffinity(0))[-workers:]
    changed = (
        "gc_freeze = false",
        "switch_interval_ms = 5",  # the interpreter's own default
        f"model_cores = {cores}",
        "fifo_priority = 10",
        "lock_memory = true",
        "camera_processes = true",
    )
    return {SHIPPED: ""} | {line: line for line in changed}


def realtime(effort: Effort) -> Figures:
    """Each real-time setting alone, in turns: at 40 % load, at this load beside two busy processes, and overloaded."""
    workers = worker_counts()[-1]
    capacity = RawModel(effort.model, effort.runtime, workers).frames_per_s(3.0)
    moderate, overload = (replace(offering(load * capacity, effort, _CAMERAS), workers=workers) for load in (0.4, 1.5))
    situations = {
        "40 % load": (moderate, 0),
        "40 % load beside two busy processes": (moderate, 2),
        "overload": (overload, 0),
    }
    ways: dict[str, Callable[[], Figures]] = {
        f"{situation}: {name}": partial(_run, replace(options, realtime=lines), busy)
        for situation, (options, busy) in situations.items()
        for name, lines in settings(workers).items()
    }
    found = in_turns(ways, effort.repeats)
    return {
        "workers": workers,
        "model_alone_frames_per_s": capacity,
        "situations": {
            situation: {name: found[f"{situation}: {name}"] for name in settings(workers)} for situation in situations
        },
    }


def _run(options: DemoOptions, busy: int) -> Figures:
    try:
        with busy_processes(busy):
            run = run_line(options)
    except EdgeInspectorError as error:
        if not options.realtime:
            raise
        # If the machine does not allow a setting, the daemon ends with these words before it starts anything.
        lines = str(error).splitlines()
        why = next((line for line in lines if line.startswith("realtime.")), None)
        return {"refused": why} if why else {"failed": lines[0].partition(". Its last lines")[0]}
    return {
        "frames_per_s": run.frames_per_s,
        "added_latency_ms": run.report["added_latency_ms"],
        **{name: run.report[name] for name in ("late", "unaccounted", "not_inspected")},
    }
