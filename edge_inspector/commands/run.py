"""`edge-inspector run`: the daemon of a station."""

from __future__ import annotations

import argparse

from edge_inspector.commands.arguments import add_station
from edge_inspector.daemon import Daemon, load_patiently
from edge_inspector.runtime.logs import set_up_logging


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    add_station(parser)


def run(given: argparse.Namespace) -> int:
    """Run until SIGTERM or Ctrl-C."""
    set_up_logging()
    return Daemon(load_patiently(given.station)).run()
