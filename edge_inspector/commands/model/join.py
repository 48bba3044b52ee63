"""`model join FIRST SECOND`: one model of two, such as known defects and anything unusual."""

from __future__ import annotations

import argparse
from pathlib import Path

from edge_inspector.commands.model.arguments import training_libraries
from edge_inspector.errors import ConfigError, Fault
from edge_inspector.simulation.station_files import models_dir
from edge_inspector.training.judging.runtimes import blank, interleaved_ms, model_predictor
from edge_inspector.training.shipping.manifest import FILES, Card


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which two, and what they are called together."""
    parser.add_argument("first", type=Path, metavar="FIRST", help="a model folder")
    parser.add_argument(
        "second", type=Path, metavar="SECOND", help="another one, with other classes and the same input"
    )
    parser.add_argument("--name", required=True, help="name of the model")
    parser.add_argument("--version", default="1.0", help="version of the model (default: 1.0)")
    parser.add_argument("--licence", default="proprietary", help="licence of both together (default: proprietary)")
    parser.add_argument("--models", type=Path, help="folder with the model folders (default: where `demo` looks)")


def run(given: argparse.Namespace) -> int:
    """Join, run once, and say what a recipe may do with it."""
    with training_libraries():
        from edge_inspector.training.shipping.joining import join
    target = (given.models or models_dir()) / f"{given.name}-{given.version}"
    if "/" in given.name or "\\" in given.name or not target.name.isprintable():
        raise ConfigError([Fault("--name", f"{target.name!r} cannot be the name of a folder")])
    if target.exists():
        raise ConfigError([Fault("--name", f"{target} exists already: give another --version")])
    about = f"{given.first.name} and {given.second.name} in one file."
    manifest = join(given.first, given.second, Card(given.name, given.version, given.licence, about), target)
    precision = "int8" if (target / FILES["int8"]).exists() else "fp32"
    predict, info = model_predictor(target, precision)
    took = interleaved_ms([predict], blank(manifest), 5)[0]
    print(f"{info.label}: {', '.join(manifest.classes)}, {took:.1f} ms per frame")
    print(f"written: {target}")
    return 0
