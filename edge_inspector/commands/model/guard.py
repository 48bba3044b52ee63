"""`model guard MODEL_DIR`: add the guard for invalid numbers to a model folder's files, without new training."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

from edge_inspector.commands.model.arguments import training_libraries
from edge_inspector.segmenters.manifest import MANIFEST_NAME, read_manifest
from edge_inspector.toml_file import read_toml
from edge_inspector.training.shipping.manifest import write_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which model."""
    parser.add_argument("model", type=Path, metavar="MODEL_DIR", help="a model folder. Its files and hashes change")


def run(given: argparse.Namespace) -> int:
    """Repair the files, hash them and write. The manifest is written last."""
    with training_libraries():
        from edge_inspector.training.learning.guard import guard_file
    manifest = read_manifest(given.model)
    table = read_toml(given.model / MANIFEST_NAME)
    for kind, file in manifest.files.items():
        path = given.model / file.path
        if not guard_file(path):
            print(f"{kind}: {file.path} needs no guard, or has no cast to put one before")
            continue
        table["files"][kind]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
        print(f"{kind}: {file.path} has a guard now")
    write_table(given.model, table)
    return 0
