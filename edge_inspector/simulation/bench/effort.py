"""The duration, repetitions and lines of a benchmark."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from edge_inspector.driver_table import DEFAULT_RUNTIME
from edge_inspector.simulation.demo import DemoOptions

PITCH_MM = 220.0
_DISTINCT = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """`seconds` of line for each run, `repeats` rounds. Each variant runs once per round."""

    model: str = "tile-1.1"
    runtime: str = DEFAULT_RUNTIME
    seconds: float = 12.0
    repeats: int = 3
    cameras: tuple[int, ...] = (1, 2, 4, 8, 16, 24)


def worker_counts() -> list[int]:
    """The numbers of model threads to try: one for every core, and one for all cores but one."""
    cores = len(os.sched_getaffinity(0))
    return [cores, cores - 1] if cores > 1 else [1]


def offering(frames_per_s: float, effort: Effort, cameras: int) -> DemoOptions:
    """A line with this many frames per second."""
    parts_per_s = frames_per_s / cameras
    speed = min(12_000.0, max(200.0, parts_per_s * PITCH_MM))
    pitch = max(PITCH_MM, speed / parts_per_s)
    options = DemoOptions(
        cameras=cameras,
        speed_mm_s=speed,
        pitch_mm=pitch,
        model=effort.model,
        runtime=effort.runtime,
        distinct=_DISTINCT,
    )
    return lasting(options, effort.seconds)


def lasting(options: DemoOptions, seconds: float) -> DemoOptions:
    """The line for this long, and for 20 parts at least."""
    pitch = options.pitch_mm or 400.0
    return replace(options, parts=max(20, round(seconds * options.speed_mm_s / pitch)))
