"""The duration, repetitions and lines of a benchmark."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Final

from edge_inspector.driver_table import DEFAULT_RUNTIME
from edge_inspector.simulation.options import DemoOptions

PITCH_MM = 220.0
PARTS_PER_S_MAX: Final = 400.0
"""More parts than this cannot be announced: the PLC shows the last 16, and they are read every 20 ms or later."""
_SPEED_MAX_MM_S: Final = 12_000.0
_PART_OF_PITCH: Final = 200 / 220
_TOLERANCE_OF_PITCH: Final = 0.4
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
    cores = len(measured_cores())
    return [cores, cores - 1] if cores > 1 else [1]


def world_cores() -> tuple[int, ...]:
    """The core of the simulated PLC and the broker. With fewer than four cores they share those of the daemon."""
    cores = sorted(os.sched_getaffinity(0))
    return (cores[-1],) if len(cores) >= 4 else ()


def measured_cores() -> list[int]:
    """The daemon's cores."""
    return sorted(os.sched_getaffinity(0) - set(world_cores()))


def offering(frames_per_s: float, effort: Effort, cameras: int) -> DemoOptions:
    """A line with this many frames per second.

    The belt becomes faster first, and then the parts become shorter. Beyond PARTS_PER_S_MAX it offers less than asked.
    """
    parts_per_s = min(PARTS_PER_S_MAX, frames_per_s / cameras)
    speed = min(_SPEED_MAX_MM_S, max(200.0, parts_per_s * PITCH_MM))
    pitch = speed / parts_per_s
    options = DemoOptions(
        cameras=cameras,
        speed_mm_s=speed,
        pitch_mm=pitch,
        part_length_mm=_PART_OF_PITCH * min(PITCH_MM, pitch),
        # A place is known to a time rather than to a length, and that time is longer than a fast belt's 10 mm.
        tolerance_mm=min(_TOLERANCE_OF_PITCH * pitch, 10.0 * max(1.0, speed / 2000.0)),
        model=effort.model,
        runtime=effort.runtime,
        distinct=_DISTINCT,
        world_cores=world_cores(),
    )
    return lasting(options, effort.seconds)


def lasting(options: DemoOptions, seconds: float) -> DemoOptions:
    """The line for this long, and for 20 parts at least."""
    pitch = options.pitch_mm or 400.0
    return replace(options, parts=max(20, round(seconds * options.speed_mm_s / pitch)))
