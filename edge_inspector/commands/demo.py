"""`edge-inspector demo`: a simulated line around a real daemon."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

from edge_inspector.commands.arguments import add_runtime, positive, whole
from edge_inspector.commands.sigterm import ended_by_sigterm
from edge_inspector.simulation.demo import run_demo
from edge_inspector.simulation.lines.kinds import LANES
from edge_inspector.simulation.lines.lanes import run_lanes
from edge_inspector.simulation.options import DemoOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the line. Each has the name of a field of DemoOptions, and its default."""
    usual = DemoOptions()
    parser.argument_default = argparse.SUPPRESS  # what is not given keeps the default of DemoOptions
    parser.add_argument("--parts", type=whole, help="stop after this many parts (default: until Ctrl-C)")
    parser.add_argument("--cameras", type=whole, help="number of cameras side by side (default: 4, with --frames 1)")
    parser.add_argument("--speed-mm-s", type=positive, help=f"belt speed (default: {usual.speed_mm_s:g})")
    parser.add_argument("--pitch-mm", type=positive, help="distance between parts (default: 400)")
    parser.add_argument("--frames", type=Path, metavar="DIR", help="use real images as parts: a folder with index.csv")
    parser.add_argument("--model", help="model folder name (default: tile-1.1, with --frames magnetic-tile-1.6)")
    add_runtime(parser)
    parser.add_argument("--workers", type=whole, help="threads of the model (default: one per core)")
    parser.add_argument(
        "--model-ms",
        type=positive,
        help="use a simulated model that takes this long per frame, to test overload",
    )
    parser.add_argument(
        "--kill",
        action="append",
        dest="kills",
        metavar="WHAT@S",
        help="kill plc, broker, daemon or camera (kill -9) S seconds after the first part. It starts again 5 s later, "
        "the daemon after 1 s, a camera after 3 s",
    )
    parser.add_argument(
        "--gige",
        action="store_true",
        help="send the frames over GigE Vision, from simulated cameras on 127.0.0.2 and up",
    )
    parser.add_argument("--loss", type=_fraction, help="with --gige: lose this fraction of the packets, as 0.005")
    parser.add_argument(
        "--shadow",
        metavar="MODEL",
        help="let a second model look at the pictures in spare time, as tile-1.1/fp32",
    )
    parser.add_argument(
        "--line-scan",
        action="store_true",
        help="with --gige: use line-scan cameras, whose rows are triggered by the encoder",
    )
    parser.add_argument(
        "--dim-from",
        type=whole,
        metavar="PART",
        help="let a lamp fail from this part on: 15 %% less light",
    )
    parser.add_argument("--line", metavar="KIND", help="another kind of line (docs/lines.md), as mqtt or camera")
    parser.add_argument(
        "--record-mb",
        type=whole,
        metavar="MB",
        help="record the shift for `edge-inspector replay`, within this disk space. Needs --keep",
    )
    parser.add_argument("--seed", type=_seed, help=f"seed of the simulated belt and parts (default: {usual.seed})")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the measured figures as JSON")
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="DIR",
        help="keep the files of the run in this folder (default: a temporary folder)",
    )


def run(given: argparse.Namespace) -> int:
    """Run the line. Returns 1 if a part got no verdict, two, or the wrong one."""
    asked = {field.name: getattr(given, field.name) for field in fields(DemoOptions) if field.name in given}
    with ended_by_sigterm():
        options = DemoOptions(**asked)
        return run_lanes(options) if options.line == LANES else run_demo(options)


def _seed(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("must be at least 0")
    return number


def _fraction(text: str) -> float:
    number = float(text)
    if not 0 <= number < 1:
        raise argparse.ArgumentTypeError("must be at least 0 and below 1")
    return number
