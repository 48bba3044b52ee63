"""`edge-inspector size`: how many cores, how much memory, disk and network a line needs, and what limits it."""

from __future__ import annotations

import argparse
from pathlib import Path

from edge_inspector.commands.arguments import positive, share, whole
from edge_inspector.commands.size_line import cameras, size, sized
from edge_inspector.commands.size_words import needs
from edge_inspector.driver_table import DEFAULT_RUNTIME, RUNTIMES
from edge_inspector.errors import ConfigError, Fault


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A station file, or a line in words. Beside a station file, speed, rate and size replace what the file says."""
    parser.usage = "%(prog)s [STATION.toml] [options]. All of them: %(prog)s --help"
    parser.add_argument(
        "station", nargs="?", type=Path, metavar="STATION.toml", help="the station file. Without it, the line in words"
    )
    parser.add_argument("--cameras", type=cameras, metavar="N", help="pictures of each part, one for each camera")
    parser.add_argument("--size", type=size, metavar="WxH", help="width and height of a picture in pixels: 2448x2048")
    parser.add_argument("--model", metavar="DIR", help="the model's folder, or the name of a shipped model")
    parser.add_argument("--parts-per-s", type=positive, metavar="N", help="parts per second at the greatest speed")
    parser.add_argument("--speed-mm-s", type=positive, metavar="N", help="greatest speed of the belt")
    parser.add_argument("--way-mm", type=positive, metavar="N", help="belt travel from the last camera to the gate")
    parser.add_argument(
        "--ms", type=positive, metavar="N", help="time of one window of the model. Not given: it is measured here"
    )
    parser.add_argument("--cores", type=whole, metavar="N", help="cores of the computer (default: of this one)")
    parser.add_argument("--gpus", type=whole, metavar="N", help="the model runs on so many GPUs or servers. With --ms")
    parser.add_argument(
        "--runtime",
        choices=list(RUNTIMES),
        default=DEFAULT_RUNTIME,
        help=f"segmenter driver, without a station file (default: {DEFAULT_RUNTIME})",
    )
    parser.add_argument(
        "--rejected", type=share, default=0.02, metavar="SHARE", help="share of rejected parts (default: 0.02)"
    )
    parser.add_argument(
        "--link-mbit", type=positive, default=1000.0, metavar="N", help="speed of a camera's network (default: 1000)"
    )


def run(given: argparse.Namespace) -> int:
    """Print one sentence for each thing. Returns 0 if all fits, 1 if not. Raises ConfigError for what cannot be."""
    if given.gpus and not given.ms:
        raise ConfigError([Fault("--gpus", "needs --ms: how long one window takes on one of them")])
    line, model = sized(given)
    found = list(needs(line, model))
    for need in found:
        print(f"{'ok  ' if need.fits else 'NO  '}  {need.kind:8} {need.what}")
    return 0 if all(need.fits for need in found) else 1
