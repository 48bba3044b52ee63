"""`model train --good-only`: what the command line asks for, checked against good pictures before minutes are spent."""

from __future__ import annotations

import argparse
import hashlib
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.training.data.choosing import choose_for_good
from edge_inspector.training.data.folder import ANOMALY, Folder
from edge_inspector.training.data.pictures import foretell
from edge_inspector.training.data.survey import Survey, survey
from edge_inspector.training.data.tasks import Task
from edge_inspector.training.good.checks import refuse_odd_sizes, two_products
from edge_inspector.training.good.learn import GoodPlan
from edge_inspector.training.good.preview import write_preview
from edge_inspector.training.good.source import Cutting
from edge_inspector.training.good.task import GoodReading, GoodTask, refuse_few
from edge_inspector.training.judging.likeness import looks
from edge_inspector.training.learning.encoders import PUBLISHED
from edge_inspector.training.learning.lite import published_weights
from edge_inspector.training.learning.train import Plan
from edge_inspector.training.shipping.manifest import FILES
from edge_inspector.training.shipping.runs import RUN_FILE, Order, read_json, use_threads

BACKBONE: Final = "EfficientNet-Lite0, learned from ImageNet by others, frozen"
FEATURES: Final = "features"
"""The folder of a run in which features are kept. It may be removed after the run."""
_LOOKED: Final = 60
_BEFORE: Final = "before-masks"
_WITHOUT_MEANING: Final = ("net", "start", "keep_head", "swa_steps", "tta", "class_weight", "soft", "per_class", "cost")


def good_order_of(given: argparse.Namespace) -> tuple[GoodTask, Order]:
    """The good pictures to learn from, and how. Says what was read and chosen. Raises ConfigError."""
    _refuse_options(given)
    folder = _folder(Path(given.data), given.group, colour=given.colour)
    folder.refuse_leaks()
    refuse_few(folder, sum(row["label"] == "0" for row in folder.sure_rows(given.learn_from)))
    foretell([folder.root / name for name in folder.pictures()], partial(print, flush=True))
    found = survey(folder)
    refuse_odd_sizes(found.pictures)
    settings = _settings(given, found)
    task = good_task_of(settings, given.data, given.out, given.encoder_weights)
    plan = GoodPlan(steps=settings["steps"], seed=given.seed)
    settings |= {"remembered": plan.remembered, "copies": plan.copies, "data_sha256": task.digest()}
    settings["looks"] = looks(picture.read()[0] for picture in task.source(None).some(_LOOKED).good)
    order = Order(
        plan=Plan(seed=given.seed),
        window=tuple(settings["window"]),
        per_class=False,
        tta=False,
        false_rejects=given.false_rejects,
        cost=None,
        settings=settings,
        held_out=given.held_out,
        jobs=given.jobs,
        threads=given.threads,
        good=plan,
    )
    _go_on(given.out, settings)
    return task, order


def good_task_of(asked: Mapping[str, Any], data: str, run: Path, weights: Path | None = None) -> GoodTask:
    """The data of a run, by its settings. Raises ConfigError."""
    folder = _folder(Path(data), asked["group"], colour=asked["colour"])
    frame = Cutting(window=tuple(asked["window"]), shrink=asked["shrink"], fill=asked["fill"], channels=folder.channels)
    reading = GoodReading(
        frame=frame,
        weights=published_weights() if weights in {None, PUBLISHED} else weights,
        cache=run / FEATURES,
        folds=asked["folds"],
        learn_from=asked["learn_from"],
        group=asked["group"],
        use_masks=asked["use_masks"],
    )
    return GoodTask(folder, reading)


def begin(task: Task, order: Order, run: Path) -> None:
    """In the first minute: say if these are two products, and write a model that can be tried.

    With defects to learn from, there is nothing to do.
    """
    if not isinstance(task, GoodTask) or (run / FILES["fp32"]).exists():
        return
    use_threads(order)
    source = task.source(None)
    if said := two_products(source):
        print(f"WARN: {said}", flush=True)
    write_preview(source, GoodPlan(seed=order.plan.seed), run)


def _folder(root: Path, group: str, *, colour: bool | None) -> Folder:
    return Folder(root, grey=None if colour is None else not colour, group=group, one_class=ANOMALY)


def _settings(given: argparse.Namespace, found: Survey) -> dict[str, Any]:
    """All settings that change the result."""
    chosen = choose_for_good(found, given.learn_from)
    print("\n".join([*found.said(), chosen.why]), flush=True)
    settings: dict[str, Any] = {"good_only": True, "use_masks": given.use_masks, "backbone": BACKBONE}
    for name in ("window", "shrink", "fill", "steps", "folds"):
        asked = getattr(given, name)
        settings[name] = getattr(chosen, name) if asked is None else asked
    step = 32 * settings["shrink"]
    if wrong := [side for side in settings["window"] if side % step or side < 64]:
        raise ConfigError([Fault("--window", f"{wrong[0]} is not a multiple of {step} from 64 on")])
    if settings["folds"] < 2:
        raise ConfigError([Fault("--folds", "at least 2: limits come from good parts that a net has not seen")])
    settings |= {name: getattr(given, name) for name in ("held_out", "group", "learn_from", "colour", "seed")}
    weights = given.encoder_weights
    own = weights is not None and weights != PUBLISHED
    settings["weights"] = hashlib.sha256(weights.read_bytes()).hexdigest() if own else "published"
    return settings | {"task": found.folder.root.name, "classes": [ANOMALY]}


def _refuse_options(given: argparse.Namespace) -> None:
    defaults: dict[str, Any] = {"net": None, "start": None, "swa_steps": 0, "class_weight": [], "cost": None}
    for name in _WITHOUT_MEANING:
        if getattr(given, name) != defaults.get(name, False):
            what = "has no meaning with --good-only: its backbone is frozen, and its head has one class"
            raise ConfigError([Fault(f"--{name.replace('_', '-')}", what)])
    if given.encoder_weights not in {None, PUBLISHED} and not given.encoder_weights.is_file():
        raise ConfigError([Fault("--encoder-weights", f"{given.encoder_weights} is not a file")])


def _go_on(run: Path, settings: Mapping[str, Any]) -> None:
    """If a run without masks gets them now, put its results aside. The features stay, which took longest."""
    begun = read_json(run / RUN_FILE) if (run / RUN_FILE).exists() else {}
    if not settings["use_masks"] or begun.get("use_masks", True):
        return
    aside = run / _BEFORE
    aside.mkdir(exist_ok=True)
    for path in sorted(run.iterdir()):
        if path.name not in {FEATURES, _BEFORE}:
            shutil.move(path, aside / path.name)
    print(f"the run goes on with masks. What it made before is in {aside}", flush=True)
