"""What a run of the simulated line is like. One object from the command line to the station file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_inspector.driver_table import DEFAULT_RUNTIME


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """The options of `edge-inspector demo`, and those that only tests and benchmarks set.

    0, empty and None mean the default.
    """

    parts: int = 0
    cameras: int = 0
    speed_mm_s: float = 2000.0
    pitch_mm: float = 0.0
    frames: Path | None = None
    model: str = ""
    model_ms: float = 0.0
    kills: Sequence[str] = ()
    seed: int = 7
    report: Path | None = None
    keep: Path | None = None
    lead_s: float = 0.5  # from "ready" until the belt starts
    camera_faults: str = ""
    model_fail_every: int = 0
    gige: bool = False
    loss: float = 0.0
    shadow: str = ""
    archive: str = ""  # lines of the station file's table, instead of the demo's own
    distinct: int = 0  # this many parts repeat. Their pictures and times are made in advance
    tiles: int = 1  # their pictures are this many times larger in both directions
    part_length_mm: float = 0.0
    tolerance_mm: float = 10.0
    world_cores: tuple[int, ...] = ()  # PLC and broker run on these cores alone, the daemon on all others
    realtime: str = ""  # lines for the station file's table of that name
    runtime: str = DEFAULT_RUNTIME  # the segmenter's driver
    workers: int = 0  # the model's threads
    line_scan: bool = False
    review_band: tuple[float, float] = (0.4, 0.6)
    line: str = ""  # another kind of line, by its name in simulation/lines/kinds.py
    record_mb: int = 0  # record the shift, within this disk space
    dim_from: int = -1  # a part number from 0. From there on the light is weaker
