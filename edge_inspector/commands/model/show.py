"""`model show MODEL_DIR`: print the content of a manifest as text."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from edge_inspector.segmenters.manifest import read_manifest

_WHERE: Final = ("data", "split", "precision", "runtime")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which model."""
    parser.add_argument("model", type=Path, metavar="MODEL_DIR", help="a model folder")


def run(given: argparse.Namespace) -> int:
    """Print. The hashes of the files are checked first."""
    manifest = read_manifest(given.model)
    size = manifest.input
    print(f"{manifest.name} {manifest.version}: {manifest.description}")
    print(f"licence: {manifest.licence}")
    print(
        f"input {size.height} x {size.width} x {size.channels}, smaller frames filled up ({size.fill}), one mask pixel "
        f"for {manifest.output.stride} x {manifest.output.stride}"
    )
    for kind, file in manifest.files.items():
        megabytes = (given.model / file.path).stat().st_size / 1e6
        print(f"{kind}: {file.path}, {megabytes:.1f} MB, SHA-256 {file.sha256[:16]}...")
    for name, limit in manifest.limits.items():
        print(f"limit of {name}: p >= {limit.min_confidence} on at least {limit.min_area_px} px")
    if stage := manifest.first_stage:
        print(
            f"first stage of {stage.of}: clears frames below {stage.suspicion}. Of the defective parts that {stage.of} "
            f"rejects at most {100 * stage.clears:g} % are lost, {100 * stage.confidence:g} % sure by {stage.parts}"
        )
    for table, name in ((manifest.calibration, "calibration"), (manifest.training, "training")):
        if table:
            print(f"{name}: " + ", ".join(f"{key} {value}" for key, value in table.items()))
    for score in manifest.scores:
        print("score on " + " ".join(str(score[key]) for key in _WHERE if score.get(key)))
        for key, value in score.items():
            if key not in _WHERE and not key.endswith("_95") and _said(value):
                print(f"  {key.replace('_', ' ')}: {_said(value)} {_said(score.get(f'{key}_95', ''))}".rstrip())
    return 0


def _said(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_said(each)}" for name, each in value.items())
    if isinstance(value, list):
        return "[" + ", ".join(map(_said, value)) + "]"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
