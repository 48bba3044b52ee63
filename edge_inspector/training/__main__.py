"""From data to a finished model folder: `python -m edge_inspector.training tile|folder ...`."""

import argparse
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch

from edge_inspector.simulation.tiles import TileLine
from edge_inspector.training import evaluate, quantize
from edge_inspector.training.dataset import PATCH, Entry, Folder, Patches, RenderedTiles
from edge_inspector.training.evaluate import Evidence
from edge_inspector.training.export import export_onnx
from edge_inspector.training.manifest import Card, Manifest, Scored
from edge_inspector.training.nets import TILE_WIDTHS, WIDE_WIDTHS, Segmenter
from edge_inspector.training.train import BATCH, Plan, Source, fit

TRAIN_SEEDS: Final = tuple(range(11, 23))
# Ten seeds each: textures differ more between seeds than between parts of one.
TUNE_SEEDS: Final = tuple(range(81001, 81011))
HELD_OUT_SEEDS: Final = tuple(range(93001, 93011))
LANES: Final = 4
TUNE_PARTS_PER_SEED: Final = 80
HELD_OUT_PARTS_PER_SEED: Final = 200
CALIBRATION_IMAGES: Final = 200

# Two graphs of one file may round differently, but a visible share of far-off pixels means saturation.
MAX_DISAGREEMENT: Final = 1e-3

Gather = Callable[[Path], Evidence]


@dataclass(frozen=True, slots=True)
class Task:
    """What to learn from, the parts that limits are chosen on, and those that the score is taken from.

    `images` is how many there are to learn from; rendered ones are endless and seen once.

    With `refit`, the net whose limits are chosen has not seen the tuning parts; the net that is shipped has.
    """

    plan: Plan
    source: Source
    refit: Source | None
    tune: Gather
    held_out: Gather
    trained_on: str
    images: int | None
    data: str
    split: str
    false_reject_budget: float


def main(arguments: list[str] | None = None) -> int:
    """Train, export, quantise, choose limits, score, and write the folder."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(1)
    task = _tile(options) if options.command == "tile" else _folder(options)
    folder = options.out / f"{options.name}-{options.version}"
    int8 = _pack(_trained(task.source, task.plan, options.weights), task.source, folder, options.seed)
    limits = evaluate.choose_limits(task.tune(int8), task.false_reject_budget)
    print("limits", limits)
    if task.refit is not None:
        weights = options.weights and options.weights.with_suffix(".refit.pt")
        _pack(_trained(task.refit, task.plan, weights), task.refit, folder, options.seed)
    _describe(folder, task, limits, options)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m edge_inspector.training", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    tile = commands.add_parser("tile", help="train on the rendered tile line")
    folder = commands.add_parser("folder", help="train on a folder with index.csv, in grey")
    folder.add_argument("data", type=Path)
    folder.add_argument("--tune-fold", default="", help="fold of the train split that limits are chosen on")
    folder.add_argument("--false-rejects", type=float, default=0.02, help="budget when choosing limits")
    folder.add_argument("--patch", type=int, default=192, help="side of the training patches, a multiple of 32")
    folder.add_argument("--paste-share", type=float, default=0.0, help="defective patches made by pasting, 0..1")
    folder.add_argument("--refit", action="store_true", help="train again on all folds once limits are chosen")
    for command in (tile, folder):
        command.add_argument("--name", required=True)
        command.add_argument("--version", default="1.0")
        command.add_argument("--licence", default="Apache-2.0")
        command.add_argument("--description", default="")
        command.add_argument("--out", type=Path, default=Path("models"))
        command.add_argument("--steps", type=int, default=1800)
        command.add_argument("--seed", type=int, default=1)
        command.add_argument("--threads", type=int, default=2)
        command.add_argument("--machine", default="", help="named beside the time per frame")
        command.add_argument("--weights", type=Path, help="read the trained net from here, or write it here")
    return parser


def _tile(options: argparse.Namespace) -> Task:
    held_out = len(HELD_OUT_SEEDS) * HELD_OUT_PARTS_PER_SEED
    return Task(
        plan=Plan(TILE_WIDTHS, options.steps, seed=options.seed),
        source=RenderedTiles(TRAIN_SEEDS),
        refit=None,
        tune=lambda path: _seen_tiles(path, TUNE_SEEDS, TUNE_PARTS_PER_SEED, 0.5),
        held_out=lambda path: _seen_tiles(path, HELD_OUT_SEEDS, HELD_OUT_PARTS_PER_SEED, 0.15),
        trained_on=f"rendered tile line, seeds {TRAIN_SEEDS[0]} to {TRAIN_SEEDS[-1]}",
        images=None,
        data=f"rendered tile line, seeds {HELD_OUT_SEEDS[0]} to {HELD_OUT_SEEDS[-1]}, {held_out} parts x {LANES} lanes",
        split=f"held-out seeds; limits chosen on seeds {TUNE_SEEDS[0]} to {TUNE_SEEDS[-1]}",
        false_reject_budget=0.002,
    )


def _seen_tiles(path: Path, seeds: tuple[int, ...], parts: int, defect_rate: float) -> Evidence:
    def lines() -> Iterator[TileLine]:
        return (TileLine(seed, LANES, defect_rate) for seed in seeds)

    views = chain.from_iterable(evaluate.tile_parts(line, parts) for line in lines())
    labels = [bool(line.defects(part)) for line in lines() for part in range(parts)]
    return evaluate.gather(evaluate.predictor(path), RenderedTiles.classes, views, labels)


def _folder(options: argparse.Namespace) -> Task:
    folder = Folder(options.data)
    folds = folder.folds("train")
    tune_fold = frozenset({options.tune_fold}) & folds
    everything, val = folder.entries("train"), folder.entries("val", doubtful=True)
    tune, learn = (folder.entries("train", part or None) for part in (tune_fold, folds - tune_fold))
    chosen = f"fold {options.tune_fold}, held out of training" if tune_fold else "the training images"
    images = len(everything if options.refit else learn)
    if options.refit:
        chosen += " of the net that they were chosen with; the shipped net was then trained on all folds"
    return Task(
        plan=Plan(WIDE_WIDTHS, options.steps, seed=options.seed, positive_weight=1.5),
        source=Patches(folder, learn, patch=options.patch, paste_share=options.paste_share),
        refit=Patches(folder, everything, patch=options.patch, paste_share=options.paste_share)
        if options.refit
        else None,
        tune=lambda path: _seen_entries(path, folder.classes, tune),
        held_out=lambda path: _seen_entries(path, folder.classes, val),
        trained_on=f"{options.data.name}, {images} images of its train split",
        images=images,
        data=f"{options.data.name}, {len(val)} images",
        split=f"val; limits chosen on {chosen}",
        false_reject_budget=options.false_rejects,
    )


def _seen_entries(path: Path, classes: tuple[str, ...], entries: list[Entry]) -> Evidence:
    labels = [entry.index > 0 for entry in entries]
    return evaluate.gather(evaluate.predictor(path), classes, evaluate.entry_views(entries), labels)


def _trained(source: Source, plan: Plan, weights: Path | None) -> Segmenter:
    if weights is not None and weights.exists():
        net = Segmenter(source.channels, len(source.classes), plan.widths)
        net.load_state_dict(torch.load(weights, weights_only=True))
        return net.eval()
    net = fit(source, plan)
    if weights is not None:
        torch.save(net.state_dict(), weights)
    return net


def _pack(net: Segmenter, source: Source, folder: Path, seed: int) -> Path:
    """Write both model files and return the INT8 one, once it is known to be sound on this CPU."""
    folder.mkdir(parents=True, exist_ok=True)
    fp32, int8 = folder / "model.fp32.onnx", folder / "model.int8.onnx"
    images = source.calibration(CALIBRATION_IMAGES, np.random.default_rng(seed))
    export_onnx(net, fp32, PATCH, PATCH, source.channels)
    quantize.quantize(fp32, int8, images)
    far = quantize.disagreement(int8, images[:20])
    print(f"optimised and plain INT8 graph differ on {far:.4%} of mask values")
    if far > MAX_DISAGREEMENT:
        raise SystemExit("the INT8 file saturates on this CPU; it is not fit for use")
    return int8


def _describe(folder: Path, task: Task, limits: list[evaluate.Limit], options: argparse.Namespace) -> None:
    files = (folder / "model.int8.onnx", folder / "model.fp32.onnx")
    scores = [_scored(path, task, limits, options.machine) for path in files]
    training = {
        "data": task.trained_on,
        "command": _command(options),
        "seed": options.seed,
        "epochs": 1 if task.images is None else round(options.steps * BATCH / task.images),
    }
    Manifest(
        card=Card(options.name, options.version, options.licence, options.description),
        classes=task.source.classes,
        shape=(PATCH, PATCH, task.source.channels),
        limits=limits,
        scores=scores,
        calibration={"images": CALIBRATION_IMAGES, "method": quantize.METHOD},
        training=training,
    ).write(folder)


def _command(options: argparse.Namespace) -> str:
    """How to repeat the run, without the paths of the machine that it ran on."""
    words = ["python", "-m", "edge_inspector.training", options.command]
    if options.command == "folder":
        words += [options.data.name, "--tune-fold", options.tune_fold, "--false-rejects", str(options.false_rejects)]
        words += ["--patch", str(options.patch), *(["--refit"] if options.refit else [])]
    words += ["--name", options.name, "--version", options.version]
    return shlex.join([*words, "--steps", str(options.steps), "--seed", str(options.seed)])


def _scored(path: Path, task: Task, limits: list[evaluate.Limit], machine: str) -> Scored:
    seen = task.held_out(path)
    result = evaluate.score(seen, limits)
    precision = path.suffixes[0].removeprefix(".")
    print(precision, result)
    print(f"{precision} recall by false-reject rate, swept on these parts:", end=" ")
    print(evaluate.recall_at(seen, limits, (0.0, 0.01, 0.02, 0.05)), flush=True)
    image = np.full((PATCH, PATCH, task.source.channels), 128, np.uint8)
    took = quantize.ms_per_frame(path, image)
    return Scored(task.data, task.split, precision, result, took, machine)


if __name__ == "__main__":
    raise SystemExit(main())
