"""`edge-inspector run`: the daemon of a station."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from edge_inspector.commands.arguments import add_station
from edge_inspector.daemon import Daemon, load_patiently
from edge_inspector.errors import ConfigError
from edge_inspector.runtime.logs import set_up_logging
from edge_inspector.station.load import read_places
from edge_inspector.store.ledger import count_start
from edge_inspector.watches.rollout_desk import refuse_trial

log = logging.getLogger(__name__)

_AGAIN = 1  # the service starts a station again that ends so, and this time without what was on trial


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    add_station(parser)


def run(given: argparse.Namespace) -> int:
    """Run until SIGTERM or Ctrl-C, or until a roll-out needs a new start, for which the service cares."""
    set_up_logging()
    state_dir = _state_dir(given.station)
    if why := count_start(state_dir) if state_dir is not None else "":
        _take_back(state_dir, why)
    try:
        return Daemon(load_patiently(given.station)).run()
    except ConfigError as error:
        if state_dir is None or not _take_back(state_dir, f"the station does not start with it: {_first(error)}"):
            raise
    return _AGAIN


def _state_dir(station: Path) -> Path | None:
    """The state folder of a station that accepts roll-outs. None for any other, and for one with faults."""
    try:
        file, state_dir, _ = read_places(station)
    except ConfigError:
        return None
    return state_dir if file.rollout.accept else None


def _take_back(state_dir: Path | None, why: str) -> bool:
    """Go back to what judged before a trial. Whether there was one."""
    trial = refuse_trial(state_dir, why) if state_dir is not None else None
    if trial is not None:
        log.error("roll-out %s of %s goes back: %s", trial.id, trial.name, why)
    return trial is not None


def _first(error: ConfigError) -> str:
    return " ".join(str(error.faults[0]).split())[:300]
