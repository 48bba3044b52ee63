"""`edge-inspector export`: results as tables, or pictures as training data."""

from __future__ import annotations

import argparse
from pathlib import Path

from edge_inspector.commands.arguments import add_period, add_state
from edge_inspector.commands.export_dataset import DATASET_FORMATS, export_dataset
from edge_inspector.commands.export_tables import TABLE_FORMATS, export_tables
from edge_inspector.station.load import read_state_dir
from edge_inspector.store.results_file import results_path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to export, and where to."""
    add_state(parser)
    add_period(parser)
    parser.add_argument(
        "--format",
        choices=[*TABLE_FORMATS, *DATASET_FORMATS],
        default="csv",
        help="csv and parquet export all tables, index and coco export pictures with masks and labels (default: csv)",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder to write into")


def run(given: argparse.Namespace) -> int:
    """Write the files, and print how much is in each."""
    state_dir = read_state_dir(given.station)
    if given.format in TABLE_FORMATS:
        written = export_tables(results_path(state_dir), given.out, given.format, since=given.since, until=given.until)
    else:
        written = export_dataset(state_dir, given.out, given.format, since=given.since, until=given.until)
    for what, count in written.items():
        print(f"{count:10} {what}")
    return 0
