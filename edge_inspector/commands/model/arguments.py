"""What several commands of `edge-inspector model` share."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from edge_inspector.commands.arguments import positive
from edge_inspector.driver_table import DEFAULT_RUNTIME
from edge_inspector.errors import ConfigError, Fault
from edge_inspector.training.data.label_files import Convention

DATA: Final = "a folder with index.csv, or tile-line: the rendered parts of the demo"


def add_cost(parser: argparse.ArgumentParser, purpose: str) -> None:
    """The costs by which limits are chosen."""
    parser.add_argument(
        "--cost",
        type=positive,
        nargs=3,
        metavar=("ESCAPE", "REJECT", "DEFECT_RATE"),
        help=f"{purpose}: cost of an escape, cost of a false reject, share of defective parts",
    )


def add_driver(parser: argparse.ArgumentParser, what: str) -> None:
    """The segmenter driver."""
    parser.add_argument(
        "--driver", default=DEFAULT_RUNTIME, help=f"segmenter driver that runs {what} (default: {DEFAULT_RUNTIME})"
    )


def add_labels(parser: argparse.ArgumentParser) -> None:
    """How to read labels of other tools."""
    parser.add_argument(
        "--group-pattern",
        default="",
        metavar="REGEX",
        help="regular expression: its first group, in the file name, is the grouping key",
    )
    parser.add_argument(
        "--unlabelled",
        choices=["good", "skip"],
        default="good",
        help="pictures without labels: treat them as good, or skip them (default: good)",
    )
    parser.add_argument("--boxes", action="store_true", help="treat the whole area of a drawn rectangle as defective")
    parser.add_argument(
        "--class-attribute",
        "--attribute",
        default="",
        metavar="NAME",
        help="for via: the region attribute that names the class",
    )
    parser.add_argument(
        "--class",
        dest="names",
        type=pair,
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="rename a class, join it to another, or name the number of a class in masks. Repeatable",
    )
    parser.add_argument(
        "--drop", action="append", default=[], metavar="CLASS", help="take regions of this class for good. Repeatable"
    )


def convention_of(given: argparse.Namespace) -> Convention:
    """The choices of `add_labels`."""
    return Convention(given.class_attribute, given.boxes, dict(given.names), frozenset(given.drop))


def pair(text: str) -> tuple[str, str]:
    """Two words, as OLD=NEW."""
    name, sign, value = text.partition("=")
    if not (name and sign and value):
        raise argparse.ArgumentTypeError("must read NAME=VALUE")
    return name, value


@contextmanager
def training_libraries() -> Iterator[None]:
    """Import inside this what needs torch or onnx. If one is missing, the user is told what to install."""
    try:
        yield
    except ModuleNotFoundError as error:
        what = "is not installed: pip install 'edge-inspector[training,cpu]'"
        raise ConfigError([Fault(str(error.name), what)]) from error
