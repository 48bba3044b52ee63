"""`model import FORM SOURCE TARGET`: convert labels of another form into a folder with index.csv."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edge_inspector.commands.arguments import share
from edge_inspector.commands.model.arguments import add_labels, convention_of
from edge_inspector.errors import ConfigError
from edge_inspector.training.data.folder import Folder
from edge_inspector.training.data.importers import Imported, import_labels
from edge_inspector.training.data.label_forms import FORMS
from edge_inspector.training.data.survey import survey

_ANY: Final = "any"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which labels, and how to read them."""
    parser.add_argument("form", choices=[*FORMS, _ANY], help=f"format of the labels. {_ANY} finds it out")
    parser.add_argument("source", type=Path, metavar="SOURCE", help="the folder or zip file with images and labels")
    parser.add_argument("target", type=Path, metavar="TARGET", help="folder to create. It must not exist yet")
    parser.add_argument(
        "--val-share", type=share, default=0.25, help="share of groups kept for validation (default: 0.25)"
    )
    add_labels(parser)


def run(given: argparse.Namespace) -> int:
    """Write the folder and print its content."""
    count = import_labels(
        "" if given.form == _ANY else given.form,
        given.source,
        given.target,
        val_share=given.val_share,
        group_pattern=given.group_pattern,
        convention=convention_of(given),
        skip_unlabelled=given.unlabelled == "skip",
        told=print,
    )
    folder = Folder(given.target)
    try:
        said = list(survey(folder).said())
    except ConfigError:
        shutil.rmtree(given.target)
        raise
    splits = ", ".join(f"{name} {rows} rows" for name, rows in folder.splits().items())
    print(f"{given.target}: {count.images} images, classes {', '.join(folder.classes)}, {splits}")
    print("\n".join([*said, *said_of(count, given)]))
    return 0


def said_of(count: Imported, given: argparse.Namespace) -> Iterator[str]:
    """What the labels left open, and what was made of it."""
    if count.unlabelled:
        taken = "left out" if given.unlabelled == "skip" else "taken for good. --unlabelled skip leaves them out"
        yield f"{count.unlabelled} images have no label file and were {taken}"
    if count.unnamed:
        yield f"{count.unnamed} images are named in no label file and were left out"
    if count.ignored:
        what = "have a region to ignore, or no mask, and are not used for training (column `note`)"
        yield f"{count.ignored} images {what}"
    if not given.group_pattern:
        yield "every image is its own group. If one part was photographed twice, give --group-pattern"
