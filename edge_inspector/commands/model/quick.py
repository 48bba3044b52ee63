"""`model quick PICTURES`: from a folder of pictures to a model, in one command and as long as it is told."""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2

from edge_inspector.commands.arguments import positive, whole
from edge_inspector.commands.model import train
from edge_inspector.commands.model.arguments import add_labels, convention_of, training_libraries
from edge_inspector.commands.model.import_labels import said_of
from edge_inspector.errors import ConfigError, Fault
from edge_inspector.simulation.station_files import models_dir
from edge_inspector.store.whole_file import draft_of
from edge_inspector.training.data.form_guess import INDEXED, guess_form
from edge_inspector.training.data.importers import import_labels
from edge_inspector.training.data.index_file import read_index
from edge_inspector.training.shipping.manifest import Card

GOOD_SAID = (
    "What good pictures look like to a frozen net that others trained on ImageNet. It was taught no real defect, only "
    "drawn ones."
)
_RECIPE = """\
# Made by `edge-inspector model quick`, for `edge-inspector judge`. For a station see docs/how-to/recipe.md.
id = 1
name = {name}
model = {model}
views = ["camera"]
part_length_mm = 100.0
min_pitch_mm = 200.0
position_tolerance_mm = 5.0

[picture]
guard = "none"
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which pictures, the model's name, and how long."""
    parser.add_argument("pictures", type=Path, metavar="PICTURES", help="a folder or zip file, see docs/models.md")
    parser.add_argument("--name", required=True, help="name of the model")
    parser.add_argument("--version", default="1.0", help="version of the model (default: 1.0)")
    parser.add_argument(
        "--licence", default="proprietary", help="licence of the weights, for the manifest (default: proprietary)"
    )
    parser.add_argument(
        "--minutes", type=positive, default=5.0, help="how long to train. Reading and testing come on top (default: 5)"
    )
    parser.add_argument(
        "--good-only",
        action="store_true",
        help="learn from good pictures alone, as is done anyway if index.csv names no defect",
    )
    parser.add_argument("--threads", type=whole, default=2, help="CPU threads (default: 2)")
    parser.add_argument("--out", type=Path, metavar="RUN", help="folder for the run (default: runs/NAME)")
    parser.add_argument("--models", type=Path, help="folder with the model folders (default: where `demo` looks)")
    add_labels(parser)


def run(given: argparse.Namespace) -> int:
    """Read, train, quantise, install, and say what to type next."""
    make(given)
    return 0


def make(given: argparse.Namespace, told: Callable[[float], None] | None = None) -> Path:
    """The same, and the folder of the model. With good pictures alone, `told` gets the share that is done."""
    with training_libraries():
        from edge_inspector.commands.model import train_good
        from edge_inspector.training.shipping.quick import Quick, quick_model
    cv2.setNumThreads(1)
    out, models = given.out or Path("runs") / given.name, given.models or models_dir()
    _refuse_early(given, models)
    fresh = not (out / "data").exists()
    data = _data(given, out)
    try:
        task, order, said = _ordered(given, data, out)
    except ConfigError:
        if fresh:  # otherwise the corrected pictures would not be read when the command is typed again
            shutil.rmtree(out / "data", ignore_errors=True)
        raise
    order = replace(order, told=told or order.told)
    train_good.begin(task, order, out)
    card = Card(given.name, given.version, given.licence, said)
    folder = quick_model(task, order, out, Quick(card=card, models=models, minutes=given.minutes))
    recipe = out / "recipe.toml"
    with draft_of(recipe) as draft:
        draft.write_text(recipe_text(given.name, folder.name), encoding="utf-8")
    print("\n".join(_next(data, folder, out, given.models)))
    return folder


def _ordered(given: argparse.Namespace, data: Path, out: Path) -> tuple[Any, Any, str]:
    """What is learned from, how, and what the model's card says of it. Raises ConfigError."""
    from edge_inspector.commands.model import train_good
    from edge_inspector.commands.model.train_order import order_of

    good_only = given.good_only or all(row["label"] == "0" for row in read_index(data))
    asked = _train_arguments(given, data, out, good_only=good_only)
    if good_only:
        return *train_good.good_order_of(asked), GOOD_SAID
    return *order_of(asked), f"Trained in {given.minutes:g} minutes by `model quick`."


def recipe_text(name: str, model: str) -> str:
    """The recipe that `judge` needs. Printable text in JSON's quotes is text in TOML's quotes, too."""
    return _RECIPE.format(name=json.dumps(name, ensure_ascii=False), model=json.dumps(model, ensure_ascii=False))


def _refuse_early(given: argparse.Namespace, models: Path) -> None:
    """Raise ConfigError for what would otherwise be found out after minutes."""
    target = models / f"{given.name}-{given.version}"
    if "/" in target.name or "\\" in target.name or not target.name.isprintable():
        raise ConfigError([Fault("--name", f"{target.name!r} cannot be the name of a folder")])
    if target.exists():
        raise ConfigError([Fault("--name", f"{target} exists already: give another --version")])
    place = next(each for each in (models, *models.absolute().parents) if each.exists())
    if not os.access(place, os.W_OK):
        raise ConfigError([Fault("--models", f"{models} is not writable: give a folder of your own with --models")])
    if not given.pictures.exists():
        raise ConfigError([Fault(str(given.pictures), "there is no such folder or file")])


def _data(given: argparse.Namespace, out: Path) -> Path:
    """The folder with index.csv: the pictures themselves, or what is made of them in the run."""
    if given.pictures.is_dir() and guess_form(given.pictures) == INDEXED:
        return Path(given.pictures)
    data = out / "data"
    if data.exists():
        print(f"{data} is there already: it is used as it is. For other pictures give another --out")
        return data
    count = import_labels(
        "",
        given.pictures,
        data,
        val_share=0.0,
        group_pattern=given.group_pattern,
        convention=convention_of(given),
        skip_unlabelled=given.unlabelled == "skip",
        good_only=given.good_only,
        told=partial(print, flush=True),
    )
    print("\n".join(said_of(count, given)))
    return data


def _train_arguments(given: argparse.Namespace, data: Path, out: Path, *, good_only: bool) -> argparse.Namespace:
    """The arguments of `model train`: the first fold is held out, and everything else is chosen from the data.

    Limits from good parts need all folds.
    """
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    if good_only:
        splits = "+".join(sorted({row["split"] for row in read_index(data)} - {""})) or "train+val"
        words = [str(data), "--out", str(out), "--threads", str(given.threads), "--good-only", "--learn-from", splits]
        return parser.parse_args(words)
    words = [str(data), "--out", str(out), "--held-out", "1", "--threads", str(given.threads)]
    return parser.parse_args([*words, "--learn-from", _learn_from(data)])


def _learn_from(data: Path) -> str:
    """The split `train` if people made one. Otherwise everything, because the held-out fold judges."""
    splits = sorted({row["split"] for row in read_index(data)})
    return "train" if "train" in splits or splits == [""] else "+".join(splits)


def _next(data: Path, folder: Path, out: Path, models: Path | None) -> Iterator[str]:
    elsewhere = f" --models {models}" if models else ""
    yield f"installed: {folder}"
    yield f"look at its worst mistakes first: {out / 'report.html'}"
    yield f"then judge pictures:  edge-inspector judge {data} --recipe {out / 'recipe.toml'}{elsewhere}"
    if not models:
        yield f"on a simulated line:  edge-inspector demo --frames {data} --model {folder.name}"
    yield f"on a station: copy {folder} into its models_dir, and write model = {folder.name!r} into the recipe"
