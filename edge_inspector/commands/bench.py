"""`edge-inspector bench`: how fast this machine is, on the simulated line."""

from __future__ import annotations

import argparse
from pathlib import Path

from edge_inspector.commands.arguments import add_runtime, positive, whole
from edge_inspector.commands.sigterm import ended_by_sigterm
from edge_inspector.errors import ConfigError, Fault
from edge_inspector.simulation.bench.effort import Effort
from edge_inspector.simulation.bench.measures import BENCHMARKS
from edge_inspector.simulation.bench.run import run_bench


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which benchmarks, how long, and where the figures go."""
    usual = Effort()
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"{', '.join(BENCHMARKS)} (default: all, about 35 minutes)"
    )
    parser.add_argument("--model", default=usual.model, help=f"model folder name (default: {usual.model})")
    add_runtime(parser)
    parser.add_argument(
        "--seconds",
        type=positive,
        default=usual.seconds,
        help=f"duration of each run of the line (default: {usual.seconds:g})",
    )
    parser.add_argument(
        "--repeats",
        type=whole,
        default=usual.repeats,
        help=f"rounds: each variant runs once per round (default: {usual.repeats})",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("bench"), metavar="DIR", help="folder for the JSON files (default: bench)"
    )
    parser.add_argument("--budgets", type=Path, metavar="FILE", help="fail if a figure exceeds its budget in this file")


def run(given: argparse.Namespace) -> int:
    """Measure. Returns 1 if a figure exceeds its budget."""
    unknown = [name for name in given.names if name not in BENCHMARKS]
    if unknown:
        raise ConfigError(
            [Fault("bench", f"no benchmark {name!r}. There are: {', '.join(BENCHMARKS)}") for name in unknown]
        )
    effort = Effort(model=given.model, runtime=given.runtime, seconds=given.seconds, repeats=given.repeats)
    with ended_by_sigterm():
        return run_bench(given.names, effort, given.out, given.budgets)
