"""`model kinds PICTURES`: from good parts of several kinds to a model for each that finds wrong material."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from edge_inspector.commands.arguments import whole
from edge_inspector.commands.model.arguments import training_libraries
from edge_inspector.errors import ConfigError, Fault
from edge_inspector.simulation.station_files import models_dir
from edge_inspector.store.whole_file import draft_folder_of
from edge_inspector.training.data.label_files import PICTURES
from edge_inspector.training.data.pictures import is_grey, read_picture
from edge_inspector.training.judging.limits import Limit
from edge_inspector.training.shipping.manifest import FILES, Card, Draft

_AREA_CELLS: Final = 3
_LOOKED: Final = 8
_LEAST_WINDOW: Final = 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which pictures, and the models' name."""
    parser.add_argument(
        "pictures", type=Path, metavar="PICTURES", help="a folder with a folder of good parts for each kind"
    )
    parser.add_argument("--name", required=True, help="name of the models: each is called NAME-KIND-VERSION")
    parser.add_argument("--version", default="1.0", help="version of the models (default: 1.0)")
    parser.add_argument("--licence", default="proprietary", help="licence, for the manifest (default: proprietary)")
    parser.add_argument("--models", type=Path, help="folder with the model folders (default: where `demo` looks)")
    parser.add_argument(
        "--window",
        type=whole,
        nargs=2,
        metavar=("H", "W"),
        help="input size of the nets, as for `model join` (default: that of the largest picture)",
    )


def run(given: argparse.Namespace) -> int:
    """Learn, write the model folders, and say what they find on each other's pictures."""
    with training_libraries():
        from edge_inspector.training.learning.kinds import CELL, CLASS, FEWEST, Kind, MaterialEye, learn, write_net
    pictures = _pictures(given.pictures, FEWEST)
    models = given.models or models_dir()
    targets = {name: models / f"{given.name}-{name}-{given.version}" for name in pictures}
    _refuse_names(targets)
    sizes = [read_picture(path, grey=True).shape for paths in pictures.values() for path in paths]
    if given.window and min(given.window) < _LEAST_WINDOW:
        raise ConfigError([Fault("--window", f"{min(given.window)} is less than {_LEAST_WINDOW}: windows overlap")])
    size = tuple(given.window or (max(each[0] for each in sizes), max(each[1] for each in sizes)))
    grey = all(is_grey(path) for paths in pictures.values() for path in paths[:_LOOKED])
    eye = MaterialEye((size[0], size[1]), 1 if grey else 3)

    def write(kind: Kind) -> None:
        target = targets[kind.name]
        models.mkdir(parents=True, exist_ok=True)
        with draft_folder_of(target) as folder:
            write_net(kind, eye.shape, folder / FILES["fp32"])
            about = f"Colour and texture of {len(kind.own)} good parts of {kind.name}. It finds other material."
            card = Card(f"{given.name}-{kind.name}", given.version, given.licence, about)
            Draft(card, [CLASS], eye.shape, CELL, limits=[Limit(0.5, float(_AREA_CELLS * CELL**2))]).write(folder)

    for kind in learn(eye, pictures):
        write(kind)
        print("\n".join(_said(kind.name, kind.level, kind.own, kind.others)))
        print(f"  written: {targets[kind.name]}")
    print(
        'a recipe names the model of its kind. On a station write settings = { precision = "fp32" } under [segmenter]'
    )
    return 0


def _said(name: str, level: float, own: tuple[float, ...], others: Mapping[str, tuple[float, ...]]) -> Iterator[str]:
    refused = sum(each >= level for each in own)
    yield f"{name}: {refused} of {len(own)} good parts look foreign, each judged by what the others taught"
    for other, scores in others.items():
        found = sum(each >= level for each in scores)
        told = "" if found == len(scores) else ": colour and texture do not tell these kinds apart"
        yield f"  {found} of {len(scores)} parts of {other} are found{told}"


def _pictures(root: Path, fewest: int) -> dict[str, list[Path]]:
    """The pictures of each kind. Raises ConfigError."""
    if not root.is_dir():
        raise ConfigError([Fault(str(root), "there is no such folder")])
    found = {
        folder.name: sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURES and path.is_file())
        for folder in sorted(root.iterdir())
        if folder.is_dir() and not folder.name.startswith(".")
    }
    if not found:
        raise ConfigError([Fault(str(root), "has no folders: put the good parts of each kind into one of its own")])
    few = {name: len(paths) for name, paths in found.items() if len(paths) < fewest}
    if few:
        name, count = next(iter(few.items()))
        what = f"{count} pictures are too few for a kind: at least {fewest} good parts are needed"
        raise ConfigError([Fault(str(root / name), what)])
    return found


def _refuse_names(targets: Mapping[str, Path]) -> None:
    for target in targets.values():
        name = target.name
        if not name.isprintable() or set(name) & set("/\\") or len(name) > 100:
            raise ConfigError([Fault("--name", f"{name!r} cannot be the name of a folder")])
        if target.exists():
            raise ConfigError([Fault("--name", f"{target} exists already: give another --version")])
