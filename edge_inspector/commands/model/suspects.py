"""`model suspects DATA`: pictures that are probably labelled wrongly, by nets that did not learn from them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

import cv2

from edge_inspector.commands.model import train
from edge_inspector.commands.model.arguments import training_libraries
from edge_inspector.errors import ConfigError, Fault
from edge_inspector.training.data.rendered import TILE_LINE
from edge_inspector.training.judging.label_report import write_suspects_page
from edge_inspector.training.judging.suspects import SUSPECTS, said_of, write_suspects

_STEPS: Final = 400
PAGE: Final = "suspects.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """As for `model train`. Everything has a default."""
    train.add_arguments(parser, out_required=False)


def run(given: argparse.Namespace) -> int:
    """Train the folds, or take those of the run, and write the list."""
    with training_libraries():
        from edge_inspector.commands.model.train_order import order_of
        from edge_inspector.training.shipping.runs import RUN_FILE, listen, read_json
    cv2.setNumThreads(1)
    if given.data == TILE_LINE:
        raise ConfigError([Fault(TILE_LINE, "is rendered, so its labels are right: give a folder with index.csv")])
    for option in ("launcher", "held_out", "first_stage", "clears"):
        if getattr(given, option):
            what = "is for `model train`: here every picture is looked at by a net that did not learn from it"
            raise ConfigError([Fault(f"--{option.replace('_', '-')}", what)])
    given.out = given.out or Path("runs") / f"{Path(given.data).resolve().name}-suspects"
    if given.steps is None:
        begun = (given.out / RUN_FILE).exists()
        given.steps = int(read_json(given.out / RUN_FILE)["steps"]) if begun else _STEPS
    task, order = order_of(given)
    found, section = listen(task, order, given.out)
    write_suspects_page(given.out / PAGE, f"Labels of {task.name}", section)
    print("\n".join(said_of(found, given.out / SUSPECTS)) or "no label stands out")
    try:
        write_suspects(Path(given.data) / SUSPECTS, found)
    except OSError as error:
        print(f"{given.data} cannot be written to ({error.strerror}), so `model train` will not name them")
    print(f"with pictures: {given.out / PAGE}")
    return 0
