"""`edge-inspector fleet`: one page of all stations, sorted by who needs help."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

from edge_inspector.codes import ErrorCode
from edge_inspector.errors import ConfigError, Fault
from edge_inspector.fleet.answers import ToldReason
from edge_inspector.fleet.problems import SeenProblem
from edge_inspector.fleet.serve import Fleet, look_once
from edge_inspector.fleet.tables import read_fleet
from edge_inspector.fleet.view import Row, rows_of
from edge_inspector.runtime.logs import set_up_logging


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The fleet file, and whether to ask only once."""
    parser.add_argument("fleet", type=Path, nargs="?", metavar="FLEET.toml", help="the fleet file")
    parser.add_argument(
        "--prometheus", default="", metavar="URL", help="show the stations that this Prometheus watches, too"
    )
    parser.add_argument(
        "--once", action="store_true", help="ask every station once, print who needs help, and end. 1 if one does"
    )


def run(given: argparse.Namespace) -> int:
    """Serve the page until SIGTERM or Ctrl-C, or print it once."""
    if given.fleet is None and not given.prometheus:
        raise ConfigError([Fault("FLEET.toml", "is missing: name the fleet file, or type --prometheus URL")])
    file = read_fleet(given.fleet, given.prometheus)
    if not given.once:
        set_up_logging()
        return Fleet(file).run()
    roster = look_once(file)
    rows = rows_of(roster.sightings(), time.monotonic_ns())
    for line in (line for row in rows for line in lines_of(row)):
        print(line)
    waiting = sum(row.needs_help for row in rows)
    print(f"{waiting} of {len(rows)} stations need help")
    if roster.prometheus_trouble:
        print(f"Prometheus {roster.prometheus_trouble}: the stations that it watches are missing")
    return 1 if waiting or roster.prometheus_trouble else 0


def lines_of(row: Row) -> Iterator[str]:
    """The station, and one line for each thing that is wrong."""
    place = ", ".join(filter(None, [row.site, row.place]))
    yield f"{row.state:9} {row.name}{f' ({place})' if place else ''}  {row.page}"
    if row.rollout is not None:
        yield f"          roll-out of {row.rollout.package}: {row.rollout.step}"
    for trouble in row.troubles:
        yield f"          {_trouble(trouble)}"
    for reason in row.reasons:
        yield f"          {_reason(reason)}"


def _trouble(trouble: SeenProblem) -> str:
    return f"{trouble.problem}: {trouble.detail}" if trouble.detail else str(trouble.problem)


def _reason(reason: ToldReason) -> str:
    """The station's own code, with its meaning and what to do."""
    known = {code.name.lower(): code for code in ErrorCode}.get(reason.code)
    if known is None:
        return f"{reason.code} {reason.subject}: {reason.why}"
    why = f"({reason.why})" if reason.why else ""
    return " ".join(filter(None, [known.meaning.format(name=reason.subject), known.remedy, why]))
