"""`edge-inspector record`: the daemon of a station, with a record of everything that decides."""

from __future__ import annotations

import argparse
from dataclasses import replace

from edge_inspector.commands.arguments import add_station, whole
from edge_inspector.daemon import Daemon, load_patiently
from edge_inspector.runtime.logs import set_up_logging
from edge_inspector.shifts.files import shifts_path
from edge_inspector.shifts.switch import RecordSwitch
from edge_inspector.station.tables import RecordTable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    add_station(parser)
    parser.add_argument(
        "--budget-mb",
        type=whole,
        metavar="MB",
        default=20_000,
        help="disk space for all records together, instead of record.budget_mb of the station file (default: 20000)",
    )


def run(given: argparse.Namespace) -> int:
    """Run until SIGTERM or Ctrl-C, as `edge-inspector run` does."""
    set_up_logging()
    station = load_patiently(given.station)
    record = RecordTable(budget_mb=given.budget_mb)
    switch = RecordSwitch(station.state_dir, budget_mb=given.budget_mb, at_start=True)
    if not switch.wanted:  # somebody has switched it off on the page
        switch.turn("command", on=True)
    print(f"this shift is recorded below {shifts_path(station.state_dir)}")
    return Daemon(replace(station, file=station.file.model_copy(update={"record": record}))).run()
