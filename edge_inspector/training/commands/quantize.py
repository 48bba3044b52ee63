"""`model quantize RUN DATA`: make the model folder of a finished run, if INT8 is good enough."""

import argparse

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.training.data.tasks import Reading, open_task
from edge_inspector.training.shipping.manifest import Card
from edge_inspector.training.shipping.packing import Shipping, pack
from edge_inspector.training.shipping.runs import RUN_FILE, learned_from, read_json


def run(given: argparse.Namespace) -> int:
    """Quantise, measure, write."""
    asked = read_json(given.run / RUN_FILE)
    reading = Reading(
        folds=asked["folds"],
        learn_from=asked.get("learn_from", "train"),
        group=asked["group"],
        shrink=asked["shrink"],
        patch=tuple(asked["patch"]),
        colour=asked["colour"],
        fill=asked.get("fill", "mirror"),
    )
    task = open_task(given.data, reading)
    if task.name != asked["task"] or list(task.classes) != asked["classes"]:
        what = f"is {task.name} with {', '.join(task.classes)}; the run was trained on {asked['task']}"
        raise ConfigError([Fault("DATA", what)])
    now = learned_from(task)
    if asked.get("data_sha256", now) != now:
        raise ConfigError([Fault("DATA", "is not what the run learned from any more: train again, with another --out")])
    card = Card(given.name, given.version, given.licence, given.description)
    folder = pack(
        given.run,
        task,
        Shipping(card=card, models=given.models, split=given.split, force=given.force, machine=given.machine),
    )
    print(f"written: {folder}")
    return 0
