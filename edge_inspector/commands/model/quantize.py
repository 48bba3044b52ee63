"""`model quantize RUN DATA`: make the model folder of a finished run, if INT8 is good enough."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_inspector.commands.model.arguments import training_libraries
from edge_inspector.errors import ConfigError, Fault
from edge_inspector.training.data.tasks import Reading, Task, open_task
from edge_inspector.training.shipping.manifest import Card


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which run, and what the manifest says."""
    parser.add_argument("run", type=Path, metavar="RUN", help="a finished run")
    parser.add_argument("data", metavar="DATA", help="the data that the run was trained on")
    parser.add_argument("--name", required=True, help="name of the model")
    parser.add_argument("--version", default="1.0", help="version of the model (default: 1.0)")
    parser.add_argument("--licence", required=True, help="licence of the weights, which depends on that of the data")
    parser.add_argument("--description", default="", help="one sentence about the model, for the manifest")
    parser.add_argument(
        "--models", type=Path, default=Path("models"), help="folder with the model folders (default: models)"
    )
    parser.add_argument("--split", default="val", help="split on which INT8 is compared with FP32 (default: val)")
    parser.add_argument("--machine", default="", help="name of this machine, for the manifest")
    parser.add_argument(
        "--force", action="store_true", help="ship INT8 even if it fails the comparison. The manifest says so"
    )


def run(given: argparse.Namespace) -> int:
    """Quantise, measure, write."""
    with training_libraries():
        from edge_inspector.commands.model.train_good import good_task_of
        from edge_inspector.training.shipping.packing import Shipping, pack
        from edge_inspector.training.shipping.runs import RUN_FILE, learned_from, read_json
    asked = read_json(given.run / RUN_FILE)
    task = good_task_of(asked, given.data, given.run) if asked.get("good_only") else _task(given.data, asked)
    if task.name != asked["task"] or list(task.classes) != asked["classes"]:
        what = f"is {task.name} with {', '.join(task.classes)}, but the run was trained on {asked['task']}"
        raise ConfigError([Fault("DATA", what)])
    now = learned_from(task)
    if asked.get("data_sha256", now) != now:
        raise ConfigError(
            [Fault("DATA", "has changed since the run was trained on it: train again, with another --out")]
        )
    card = Card(given.name, given.version, given.licence, given.description)
    folder = pack(
        given.run,
        task,
        Shipping(card=card, models=given.models, split=given.split, force=given.force, machine=given.machine),
    )
    print(f"written: {folder}")
    return 0


def _task(data: str, asked: Mapping[str, Any]) -> Task:
    reading = Reading(
        folds=asked["folds"],
        learn_from=asked.get("learn_from", "train"),
        group=asked["group"],
        shrink=asked["shrink"],
        patch=tuple(asked["patch"]),
        colour=asked["colour"],
        fill=asked.get("fill", "mirror"),
        by_labels=asked.get("labels") == "image",
    )
    return open_task(data, reading)
