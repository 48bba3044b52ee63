"""`edge-inspector audit`: who changed what, and whether somebody edited that record."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator
from datetime import datetime

from edge_inspector.commands.arguments import add_period, add_state, utc
from edge_inspector.station.load import read_state_dir
from edge_inspector.store.audit import Audited, audit_path, read, verify
from edge_inspector.texts import harmless

_COLUMNS = ("seq", "utc", "who", "what", "subject", "before", "after", "why", "hash")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, and with whose record."""
    parser.add_argument(
        "action", choices=["verify", "list"], metavar="ACTION", help="verify checks the record, list prints it as CSV"
    )
    add_state(parser)
    add_period(parser)


def run(given: argparse.Namespace) -> int:
    """Print the changes, or what is wrong with the record. 1 if something is."""
    state_dir = read_state_dir(given.station)
    if given.action == "list":
        writer = csv.writer(sys.stdout)
        writer.writerow(_COLUMNS)
        writer.writerows(_row(entry) for entry in _within(read(state_dir), given.since, given.until))
        return 0
    faults = verify(state_dir)
    for fault in faults:
        print(f"{audit_path(state_dir)}: {fault}")
    entries = sum(1 for _ in read(state_dir))
    print(f"{entries} changes, {len(faults) or 'no'} fault{'s' if len(faults) != 1 else ''}")
    return 1 if faults else 0


def _within(entries: Iterator[Audited], since: datetime | None, until: datetime | None) -> Iterator[Audited]:
    for entry in entries:
        try:
            at = utc(entry.utc)
        except argparse.ArgumentTypeError:
            at = None  # somebody edited the line. Show it, whatever the period is
        if at is None or ((since is None or at >= since) and (until is None or at < until)):
            yield entry


def _row(entry: Audited) -> list[str | int]:
    change = entry.change
    texts = (change.who, change.what, change.subject, change.before, change.after, change.why)
    return [
        entry.seq,
        entry.utc,
        *map(harmless, texts),
        entry.hash,
    ]
