"""What all reports share: where they are written, and what must not be mixed up in them."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterator
from pathlib import Path

from edge_inspector.documents import Document
from edge_inspector.errors import ConfigError, DeviceError, Fault
from edge_inspector.pdf import pdf_of
from edge_inspector.store.whole_file import replace_file


def add_outputs(parser: argparse.ArgumentParser) -> None:
    """The files of a report."""
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the report as HTML")
    parser.add_argument(
        "--pdf", type=Path, metavar="FILE", help="write the report as PDF (pip install 'edge-inspector[report]')"
    )


def refuse_outputs(given: argparse.Namespace) -> None:
    """Raises ConfigError before anything is measured if the files cannot be written."""
    if not given.html and not given.pdf:
        raise ConfigError([Fault("--html", "name the file for the report, or --pdf, or both")])
    faults = [
        Fault(option, f"{path.parent} is not a folder")
        for option, path in (("--html", given.html), ("--pdf", given.pdf))
        if path and not path.parent.is_dir()
    ]
    if faults:
        raise ConfigError(faults)
    if given.pdf:
        pdf_of(Document("test"))


def write_outputs(given: argparse.Namespace, document: Document) -> None:
    """Write the files, and say so with their hashes. Raises DeviceError."""
    made = {
        given.html: document.html().encode() if given.html else b"",
        given.pdf: pdf_of(document) if given.pdf else b"",
    }
    for path, content in made.items():
        if not path:
            continue
        try:
            replace_file(path, content)
        except OSError as error:
            raise DeviceError(f"{path}: cannot be written: {error.strerror}") from error
        print(f"{path}: {len(content)} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}")


def hashes_below(path: Path) -> Iterator[tuple[str, str]]:
    """Each file at or below `path`, with its SHA-256. Raises DeviceError."""
    files = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
    for file in files:
        try:
            with file.open("rb") as opened:
                yield str(file), hashlib.file_digest(opened, "sha256").hexdigest()
        except OSError as error:
            raise DeviceError(f"{file}: cannot be read: {error.strerror}") from error
