"""Arguments that several commands have, and the functions that check the value of one."""

from __future__ import annotations

import argparse
import math
from datetime import UTC, datetime
from pathlib import Path

from edge_inspector.driver_table import DEFAULT_RUNTIME, RUNTIMES


def add_station(parser: argparse.ArgumentParser) -> None:
    """The station file."""
    parser.add_argument("station", type=Path, metavar="STATION.toml", help="the station file")


def add_state(parser: argparse.ArgumentParser) -> None:
    """The station whose results are read. A state folder is enough, as it may be a copy from another machine."""
    parser.add_argument("station", type=Path, metavar="STATION", help="the station file, or its state folder")


def add_period(parser: argparse.ArgumentParser) -> None:
    """The period of results."""
    parser.add_argument(
        "--from", dest="since", type=utc, metavar="UTC", help="start of the period, as 2026-11-21 or 2026-11-21T06:00"
    )
    parser.add_argument(
        "--to", dest="until", type=utc, metavar="UTC", help="end of the period, which is itself left out"
    )


def add_why(parser: argparse.ArgumentParser) -> None:
    """The reason of a change."""
    parser.add_argument("--why", default="", metavar="TEXT", help="the reason, for the audit trail")


def add_runtime(parser: argparse.ArgumentParser) -> None:
    """The segmenter driver of a simulated line."""
    parser.add_argument(
        "--runtime",
        choices=list(RUNTIMES),
        default=DEFAULT_RUNTIME,
        help=f"segmenter driver (default: {DEFAULT_RUNTIME})",
    )


def whole(text: str) -> int:
    """A whole number from 1."""
    number = int(text)
    if not 1 <= number < 1 << 31:
        raise argparse.ArgumentTypeError("must be at least 1 and below 2^31")
    return number


def positive(text: str) -> float:
    """A finite number above 0."""
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError("must be greater than 0, and finite")
    return number


def share(text: str) -> float:
    """A number from 0 to 1."""
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError("must be at least 0 and at most 1")
    return number


def between(text: str) -> float:
    """A number above 0 and below 1."""
    number = float(text)
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError("must be above 0 and below 1")
    return number


def utc(text: str) -> datetime:
    """A date or an instant. It is UTC if it does not name a time zone."""
    try:
        given = datetime.fromisoformat(text)
        return given.astimezone(UTC) if given.tzinfo else given.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date as 2026-11-21 or 2026-11-21T06:00") from error
