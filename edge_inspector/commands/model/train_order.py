"""`model train`: what the command line asks for, checked against the data."""

from __future__ import annotations

import argparse
import hashlib
from functools import partial
from pathlib import Path
from typing import Any, Final

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.training.data.choosing import TILE_LINE_CHOICE, Chosen, choose
from edge_inspector.training.data.draw import SHAPES
from edge_inspector.training.data.folder import Folder
from edge_inspector.training.data.labels import refuse_poor_labels
from edge_inspector.training.data.patches import Mix
from edge_inspector.training.data.pictures import foretell
from edge_inspector.training.data.rendered import TILE_LINE
from edge_inspector.training.data.survey import survey
from edge_inspector.training.data.tasks import FolderTask, Reading, Task, open_task
from edge_inspector.training.judging.limits import Cost
from edge_inspector.training.judging.suspects import SUSPECTS, read_suspects, said_of, still_suspect
from edge_inspector.training.learning.encoders import PUBLISHED, known_net, unknown_net
from edge_inspector.training.learning.losses import Loss
from edge_inspector.training.learning.train import Plan
from edge_inspector.training.shipping.runs import Order, learned_from

_PRETRAINED_RATE: Final = 0.5
"""How fast an encoder that begins from ImageNet changes, compared with the rest."""


def order_of(given: argparse.Namespace) -> tuple[Task, Order]:
    """The data to learn from, and how to learn. Raises ConfigError."""
    _refuse_beside_labels(given)
    if given.net is not None and not known_net(given.net):
        raise ConfigError([unknown_net(given.net)])
    _fill_in(given, _choice(given))
    _check_sizes(given)
    task = open_task(given.data, _reading(given))
    _check_folds(given, task)
    return task, _order(given, task)


def _choice(given: argparse.Namespace) -> Chosen:
    """What the data suggests. Says what was read, and why. Raises ConfigError."""
    if given.data == TILE_LINE:
        return TILE_LINE_CHOICE
    folder = Folder(
        Path(given.data),
        grey=None if given.colour is None else not given.colour,
        group=given.group,
        masks="ignored" if _by_labels(given) else "needed",
    )
    folder.refuse_leaks()
    folder.refuse_one_kind(given.learn_from)
    if _by_labels(given):
        refuse_poor_labels(folder, given.learn_from)
    foretell([folder.root / name for name in folder.pictures()], partial(print, flush=True))
    found = survey(folder)
    chosen = choose(found)
    found.refuse_too_large(given.learn_from, given.shrink or chosen.shrink)
    known = still_suspect(read_suspects(folder.root / SUSPECTS), folder)
    print("\n".join([*found.said(), *said_of(known, folder.root / SUSPECTS), chosen.why]), flush=True)
    return chosen


def _by_labels(given: argparse.Namespace) -> bool:
    return bool(given.labels == "image")


def _refuse_beside_labels(given: argparse.Namespace) -> None:
    """Raise ConfigError for options that need masks."""
    if not _by_labels(given):
        return
    if given.data == TILE_LINE:
        raise ConfigError([Fault("--labels", "the rendered line has masks only: give a folder with index.csv")])
    if given.per_class:
        raise ConfigError(
            [Fault("--per-class", "one net for each class needs masks: leave it out with --labels image")]
        )
    given.soft = True  # what is found is never certain


def _fill_in(given: argparse.Namespace, chosen: Chosen) -> None:
    """Set every option that was not given."""
    if given.start is not None:
        given.net = given.net or "light"  # what other runs were made of before this choice was made
    if given.net is None and chosen.pretrained and given.encoder_weights is None:
        given.encoder_weights, given.encoder_rate = PUBLISHED, given.encoder_rate or _PRETRAINED_RATE
    given.encoder_rate = given.encoder_rate or 1.0
    for name in ("net", "steps", "folds", "shrink", "fill"):
        if getattr(given, name) is None:
            setattr(given, name, getattr(chosen, name))
    for name in ("window", "patch"):
        if getattr(given, name) is None:
            setattr(given, name, list(getattr(chosen, name)))


def _reading(given: argparse.Namespace) -> Reading:
    """The options that say how to read DATA. Raises ConfigError."""
    unknown = sorted({shape for _, shape in given.draw} - SHAPES.keys())
    if unknown:
        raise ConfigError([Fault("--draw", f"{unknown[0]!r} is not a shape: {', '.join(SHAPES)}")])
    if given.draw_share and not given.draw:
        raise ConfigError([Fault("--draw-share", "needs --draw CLASS=SHAPE at least once")])
    mix = Mix(
        good_share=given.good_share,
        paste_share=given.paste_share,
        draw_share=given.draw_share,
        drawn=dict(given.draw),
        soft=given.soft,
    )
    return Reading(
        folds=given.folds,
        learn_from=given.learn_from,
        group=given.group,
        shrink=given.shrink,
        patch=tuple(given.patch),
        mix=mix,
        colour=given.colour,
        shade=given.shade,
        fill=given.fill,
        by_labels=_by_labels(given),
    )


def _order(given: argparse.Namespace, task: Task) -> Order:
    _check_classes(given, task.classes)
    weights = dict(given.class_weight)
    try:
        chosen = tuple(float(weights.get(name, 1.0)) for name in task.classes)
    except ValueError as error:
        raise ConfigError([Fault("--class-weight", f"is not a number: {error}")]) from error
    if given.per_class:
        chosen = ()
    plan = Plan(
        net=given.net,
        steps=given.steps,
        rate=given.rate,
        seed=given.seed,
        loss=Loss(given.loss, class_weights=chosen),
        start=given.start,
        keep_head=given.keep_head,
        encoder_weights=given.encoder_weights,
        encoder_rate=given.encoder_rate,
        swa_steps=given.swa_steps,
        swa_rate=given.rate / 3.0,
    )
    cost = Cost(*given.cost) if given.cost else None
    return Order(
        plan=plan,
        window=tuple(given.window),
        per_class=given.per_class,
        tta=given.tta,
        false_rejects=given.false_rejects,
        cost=cost,
        settings=_settings(given, task),
        held_out=given.held_out,
        by_labels=_by_labels(given),
        jobs=given.jobs,
        threads=given.threads,
    )


def _settings(given: argparse.Namespace, task: Task) -> dict[str, Any]:
    """All settings that change the result, without the paths of this machine."""
    aside = {"command", "model_command", "data", "out", "threads", "jobs", "launcher", "false_rejects", "cost"}
    aside |= {"first_stage", "clears"}
    if not _by_labels(given):
        aside.add("labels")
    asked = vars(given).items()
    settings = {key: _content(value) if isinstance(value, Path) else value for key, value in asked if key not in aside}
    if _by_labels(given):
        settings["masks"] = "no mask was read"
    return settings | {"task": task.name, "classes": list(task.classes), "data_sha256": learned_from(task)}


def _content(path: Path) -> str:
    """The name of a path and, if it is a file, the hash of its content."""
    return f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}" if path.is_file() else path.name


def _check_sizes(given: argparse.Namespace) -> None:
    step = 32 * given.shrink
    faults = [Fault("--window", f"{side} is not a multiple of {step}") for side in given.window if side % step]
    faults += [Fault("--patch", f"{side} is not a multiple of 32") for side in given.patch if side % 32]
    # Tiles of a smaller window would not advance. A smaller patch leaves no place around which to cut it.
    for option in ("window", "patch"):
        faults += [Fault(f"--{option}", f"{side} is less than 64") for side in getattr(given, option) if side < 64]
    for option in ("start", "encoder_weights"):
        path = getattr(given, option)
        published = option == "encoder_weights" and given.net == "lite0" and path == PUBLISHED
        if path is not None and not published and not path.is_file():
            faults.append(Fault(f"--{option.replace('_', '-')}", f"{path} is not a file"))
    if faults:
        raise ConfigError(faults)


def _check_folds(given: argparse.Namespace, task: Task) -> None:
    if not isinstance(task, FolderTask):
        return
    if task.folds < 2:
        raise ConfigError([Fault("--folds", "at least 2: each is judged by a net that learned from the others")])
    rows = [row for row in task.folder.rows(task.learns_from) if row["label"] == "1" and not row.get("note")]
    if len({task.folder.group_of(row) for row in rows}) < 2:
        what = f"all defects of {task.learns_from} are of one group: a net must learn from some and be judged on others"
        raise ConfigError([Fault(given.data, what)])


def _check_classes(given: argparse.Namespace, classes: tuple[str, ...]) -> None:
    for option in ("draw", "class_weight"):
        unknown = sorted({name for name, _ in getattr(given, option)} - set(classes))
        if unknown:
            what = f"{unknown[0]!r} is none of the classes {', '.join(classes)}"
            raise ConfigError([Fault(f"--{option.replace('_', '-')}", what)])
