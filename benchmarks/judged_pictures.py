"""Judges the pictures of a demo line without the line, so that a wrong verdict is the model's own or the line's.

`python benchmarks/judged_pictures.py --line lanes --parts 300`, or `--line web --parts 600`. It draws the pictures that
the cameras of `edge-inspector demo` take, lets the station's model look at each, and decides by the recipe. No encoder,
no PLC, no clock.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from edge_inspector.inspection.decision import beyond_limits
from edge_inspector.inspection.view import Look
from edge_inspector.records import Frame, Image
from edge_inspector.simulation.demo import Demo
from edge_inspector.simulation.line import Line
from edge_inspector.simulation.lines.kinds import KINDS, LANES
from edge_inspector.simulation.options import DemoOptions
from edge_inspector.simulation.web import web_parts
from edge_inspector.station.load import Station, load_station

CARRIED_ROWS = 60  # of the demo's web: rows of a picture that are put before the next one


@dataclass(frozen=True, slots=True)
class Judged:
    """One part. `edges`: a web, of which less than 5 mm of a defect is seen."""

    part: int
    defective: bool
    rejected: bool
    edges: bool = False


def main() -> int:
    """Judge every part, and print those that differ from what was drawn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--line", default="", choices=["", *KINDS, LANES], metavar="KIND")
    parser.add_argument("--parts", type=int, default=300)
    parser.add_argument("--seed", type=int, default=DemoOptions().seed)
    given = parser.parse_args()
    lanes = (0, 1) if given.line == LANES else (0,)
    for lane in lanes:
        options = DemoOptions(
            line="" if given.line == LANES else given.line,
            cameras=1 if given.line == LANES else 0,
            parts=given.parts,
            seed=given.seed + lane,
        )
        with tempfile.TemporaryDirectory() as folder:
            line, station = station_of(options, Path(folder))
            found = list(judged(line, station))
        what = f"lane {lane + 1}, " if len(lanes) > 1 else ""
        print(f"{what}seed {options.seed}, {station.segmenter.info.label}: {words(found)}")
    return 0


def station_of(options: DemoOptions, folder: Path) -> tuple[Line, Station]:
    """The demo's line, and its station with an open model. Nothing runs."""
    demo: Any = Demo(options, folder)
    demo.broker = SimpleNamespace(mqtt_version="5")
    demo.line.write(folder / "line.json")
    demo._write_files(folder / "line.json")  # noqa: SLF001 -- its files are wanted, and no process
    station = load_station(folder / "station.toml")
    station.segmenter.open()
    return demo.line, station


def judged(line: Line, station: Station) -> Iterator[Judged]:
    """Every part by its pictures alone."""
    criteria = station.recipes[station.recipe.id]
    scales = station.scales
    look = Look(
        lambda: [criteria],
        station.segmenter.info,
        {name: across for name, (across, _) in scales.items()},
        {name: along for name, (_, along) in scales.items()},
    )
    for part in range(line.parts):
        defects = []
        for lane, camera in enumerate(criteria.recipe.views):
            picture = _picture(line, part, lane)
            (mask,) = station.segmenter.segment([picture])
            frame = Frame(camera, part, 0, 0, received_ns=0, image=picture)
            defects += look(frame, mask, begun_ns=0, inference_ns=0).defects
        defective = line.look.defective(part)
        touched = line.web and web_parts(line.seed, line.pitch_mm, line.parts).shows(part * line.pitch_mm, 0.5)
        yield Judged(part, defective, beyond_limits(defects, criteria.limits), edges=touched and not defective)


def words(found: list[Judged]) -> str:
    """The figures, and the parts behind them."""
    escapes = [each.part for each in found if each.defective and not each.rejected]
    edges = [each.part for each in found if each.edges and each.rejected]
    false = [each.part for each in found if not each.defective and not each.edges and each.rejected]
    return (
        f"{len(found)} parts, {sum(each.defective for each in found)} with a defect, "
        f"{sum(each.rejected for each in found)} rejected, escapes {escapes}, false rejects {false}, "
        f"rejected for the edge of a defect {edges}"
    )


def _picture(line: Line, part: int, lane: int) -> Image:
    picture = line.look.render(part, lane)
    if line.web and lane == 1 and part:  # a line camera
        picture = np.concatenate((line.look.render(part - 1, lane)[-CARRIED_ROWS:], picture))
    return picture


if __name__ == "__main__":
    sys.exit(main())
