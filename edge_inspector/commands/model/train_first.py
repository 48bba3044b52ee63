"""`model train --first-stage`: what the command line asks for, checked before minutes are spent."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.segmenters.manifest import Manifest, read_manifest
from edge_inspector.segmenters.two_stage import station_lines
from edge_inspector.training.data.folder import ANOMALY, Folder
from edge_inspector.training.data.labels import refuse_poor_labels
from edge_inspector.training.data.pictures import foretell
from edge_inspector.training.data.rendered import TILE_LINE
from edge_inspector.training.data.tasks import Reading, Task, open_task
from edge_inspector.training.judging.splits import limits_of
from edge_inspector.training.learning.first_net import CELL, FIRST
from edge_inspector.training.learning.train import Plan
from edge_inspector.training.shipping.first_stage import LOSS, FirstOrder, precision_of, train_first
from edge_inspector.training.shipping.runs import learned_from

_STEPS: Final = 1500
_BATCH: Final = 16
_FOLDS: Final = 3
_CLEARS: Final = 0.01
_PATCH: Final = 256
"""Pixels. A training patch is no larger, because larger ones take longer and teach nothing more about a square."""
_USED: Final = frozenset(
    {"data", "out", "first_stage", "clears", "labels", "steps", "rate", "folds", "group", "seed", "threads"}
)


def run(given: argparse.Namespace, usual: Mapping[str, Any]) -> int:
    """Train the first stage, or continue. `usual` has the options that nobody gave."""
    _refuse_options(given, usual)
    second = _second(given.first_stage)
    task = _task(given, second)
    plan = Plan(net=FIRST, steps=given.steps or _STEPS, batch=_BATCH, rate=given.rate, seed=given.seed, loss=LOSS)
    settings: dict[str, Any] = {
        "first_stage_of": second.label,
        "second_sha256": second.files[precision_of(second)].sha256,
        "data": task.name,
        "data_sha256": learned_from(task),
        "labels": given.labels,
        "folds": task.folds,
        "group": given.group,
        "steps": plan.steps,
        "rate": plan.rate,
        "seed": plan.seed,
    }
    order = FirstOrder(
        second=given.first_stage,
        plan=plan,
        clears=_CLEARS if given.clears is None else given.clears,
        settings=settings,
        threads=given.threads,
    )
    folder = train_first(task, order, given.out)
    print(f"written: {folder}")
    print(f"put it beside {second.label} in models_dir, and write into the station file:")
    print("\n".join(f"  {line}" for line in station_lines(folder.name)))
    return 0


def _second(folder: Path) -> Manifest:
    """The manifest of the second stage. Raises ConfigError if no first stage can be made for it."""
    second = read_manifest(folder)
    if second.first_stage is not None:
        what = f"{second.label} is itself a first stage. Name the model behind it, {second.first_stage.of}"
        raise ConfigError([Fault("--first-stage", what)])
    if not {"int8", "fp32"} & second.files.keys():
        raise ConfigError([Fault("--first-stage", f"{second.label} has no file that runs on a CPU")])
    size = second.input
    if wrong := [side for side in (size.height, size.width) if side % CELL]:
        what = f"the input of {second.label} is {size.height} x {size.width}: {wrong[0]} is not a multiple of {CELL}"
        raise ConfigError([Fault("--first-stage", what)])
    limits_of(second)
    return second


def _task(given: argparse.Namespace, second: Manifest) -> Task:
    size, by_labels = second.input, given.labels == "image"
    folds = _FOLDS if given.folds is None else given.folds
    if folds < 2:
        raise ConfigError([Fault("--folds", "at least 2: the limit is chosen on parts that were not learned from")])
    if given.data != TILE_LINE:
        _check_folder(given, second, by_labels=by_labels)
    reading = Reading(
        folds=folds,
        group=given.group,
        patch=(min(size.height, _PATCH), min(size.width, _PATCH)),
        colour=size.channels > 1,
        fill=size.fill,
        by_labels=by_labels,
    )
    task = open_task(given.data, reading)
    _refuse_other_data(given.data, task, second)
    return task


def _check_folder(given: argparse.Namespace, second: Manifest, *, by_labels: bool) -> None:
    """Raise ConfigError if the folder cannot be learned from. Says how long reading takes."""
    grey = second.input.channels == 1
    folder = Folder(Path(given.data), grey=grey, group=given.group, masks="ignored" if by_labels else "needed")
    folder.refuse_leaks()
    folder.refuse_one_kind("train")
    if by_labels:
        refuse_poor_labels(folder, "train")
    foretell([folder.root / name for name in folder.pictures()], partial(print, flush=True))


def _refuse_other_data(data: str, task: Task, second: Manifest) -> None:
    """Raise ConfigError if DATA is of another product than the second stage."""
    if task.channels != second.input.channels:
        kinds = {1: "grey", 3: "in colour"}
        what = f"is {kinds[task.channels]}, and {second.label} sees {kinds[second.input.channels]} pictures"
        raise ConfigError([Fault(data, what)])
    if second.classes != (ANOMALY,) and not set(task.classes) <= set(second.classes):
        what = (
            f"has the classes {', '.join(task.classes)}, {second.label} {', '.join(second.classes)}: another product?"
        )
        raise ConfigError([Fault(data, what)])


def _refuse_options(given: argparse.Namespace, usual: Mapping[str, Any]) -> None:
    """Raise ConfigError for options that change nothing here. Somebody who gives one expects that it does."""
    for name, value in usual.items():
        if name not in _USED and getattr(given, name) != value:
            what = "has no meaning with --first-stage: it has one net, and its input is that of MODEL_DIR"
            raise ConfigError([Fault(f"--{name.replace('_', '-')}", what)])
    if given.clears is not None and not 0.0 < given.clears < 1.0:
        raise ConfigError(
            [Fault("--clears", "must be above 0 and below 1: no number of parts can promise that none is lost")]
        )
