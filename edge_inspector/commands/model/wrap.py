"""`model wrap FILE.onnx`: make a model folder of a net that was made elsewhere."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_inspector.commands.arguments import positive, share, whole
from edge_inspector.commands.model.arguments import training_libraries
from edge_inspector.errors import ConfigError, Fault
from edge_inspector.training.shipping.manifest import Card


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which file, what to call it, and what to take it for if the file does not say so."""
    parser.add_argument("file", type=Path, metavar="FILE.onnx", help="the net, as its tool exports it")
    parser.add_argument("--name", required=True, help="name of the model")
    parser.add_argument("--version", default="1.0", help="version of the model (default: 1.0)")
    parser.add_argument("--licence", default="", help="licence of the weights (default: the one in the file)")
    parser.add_argument("--models", type=Path, default=Path("models"), help="folder of models (default: models)")
    parser.add_argument("--classes", nargs="+", metavar="CLASS", help="names of the classes, without the background")
    parser.add_argument("--size", type=whole, nargs=2, metavar=("H", "W"), help="size, if the file takes any size")
    parser.add_argument("--colours", choices=["rgb", "bgr"], help="order of colours that the net was trained on")
    parser.add_argument("--scale", type=positive, help="factor of the pixel values, as 0.00392 (1/255) or 1")
    parser.add_argument("--mean", type=float, nargs="+", metavar="M", help="subtracted after --scale, one or for RGB")
    parser.add_argument("--std", type=positive, nargs="+", metavar="S", help="divided by, one or for RGB")
    parser.add_argument(
        "--activation",
        choices=["bytes", "logits", "sigmoid", "softmax", "softmax-logits", "argmax"],
        help="what a segmentation net's values are",
    )
    parser.add_argument("--confidence", type=share, default=0.5, help="limit of the confidence (default: 0.5)")
    parser.add_argument("--area-px", type=positive, default=60.0, help="limit of the area (default: 60)")
    parser.add_argument(
        "--boxes",
        action="store_true",
        help="for detectors: a further output `boxes`, for other programs. Stations do not read it",
    )
    parser.add_argument("--calibrate", type=Path, metavar="DIR", help="pictures of good and bad parts: also make INT8")


def run(given: argparse.Namespace) -> int:
    """Inspect, say what was assumed, write the folder."""
    with training_libraries():
        from edge_inspector.training.shipping.foreign import inspect, said_of
        from edge_inspector.training.shipping.wrapped_folder import Limits, write_wrapped
    target = given.models / f"{given.name}-{given.version}"
    if target.exists():
        raise ConfigError([Fault("--name", f"{target} exists already: give another --version")])
    if not given.file.is_file():
        raise ConfigError([Fault(str(given.file), "there is no such file")])
    foreign = _overruled(given, inspect(given.file, tuple(given.size) if given.size else None, given.activation))
    print("\n".join(said_of(foreign)))
    print(f"classes: {', '.join(foreign.classes)} (--classes)")
    licence = given.licence or foreign.licence or "unknown: ask who made the file"
    card = Card(given.name, given.version, licence, f"Made from {given.file.name} by `model wrap`.")
    limits = Limits(given.confidence, given.area_px)
    for line in write_wrapped(foreign, card, target, limits=limits, pictures=given.calibrate, boxes=given.boxes):
        print(line, flush=True)
    return 0


def _overruled(given: argparse.Namespace, foreign: Any) -> Any:
    """What the command line says instead. Raises ConfigError."""
    changes: dict[str, Any] = {}
    if given.colours:
        changes["rgb"] = given.colours == "rgb"
    if given.scale:
        changes["scale"] = given.scale
    for name, values in (("mean", given.mean), ("deviation", given.std)):
        if values:
            changes[name] = _for_channels(name, tuple(values), foreign.channels)
    if given.classes:
        if len(given.classes) != len(foreign.classes) and foreign.family != "dfine" and foreign.activation != "argmax":
            what = f"{len(given.classes)} names for {len(foreign.classes)} classes: {', '.join(foreign.classes)}"
            raise ConfigError([Fault("--classes", what)])
        changes["classes"] = tuple(given.classes)
    found = replace(foreign, **changes)
    if not found.classes or (found.activation == "argmax" and not given.classes):
        raise ConfigError([Fault("--classes", "is needed: the file does not say how many classes it knows")])
    return found


def _for_channels(name: str, values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    if len(values) not in (1, channels):
        raise ConfigError([Fault(f"--{'std' if name == 'deviation' else name}", f"give one value, or {channels}")])
    return values if len(values) == channels else values * channels
