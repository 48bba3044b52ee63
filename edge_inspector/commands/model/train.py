"""`model train DATA`: train a net per fold, choose limits on held-out parts, train the net to ship, write a report."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Final, get_args

import cv2

from edge_inspector.commands.arguments import positive, share, whole
from edge_inspector.commands.model.arguments import DATA, add_cost, pair, training_libraries
from edge_inspector.errors import ConfigError, Fault
from edge_inspector.segmenters.manifest import Fill
from edge_inspector.training.judging.figures import counted
from edge_inspector.training.shipping.launchers import LAUNCHERS, job_of, write_job

_BY_DATA: Final = "(default: chosen from the data)"


def add_arguments(parser: argparse.ArgumentParser, *, out_required: bool = True) -> None:
    """What to train, on what, and how."""
    parser.add_argument("data", metavar="DATA", help=DATA)
    where = "folder for the run" + ("" if out_required else " (default: runs/DATA-suspects)")
    parser.add_argument("--out", type=Path, required=out_required, metavar="RUN", help=where)
    parser.add_argument(
        "--good-only",
        action="store_true",
        help="learn from good pictures alone. The model has one class, anomaly. Defective ones only judge it",
    )
    parser.add_argument(
        "--use-masks",
        action="store_true",
        help="with --good-only: also learn the defects that have masks. A run without them goes on",
    )
    parser.add_argument(
        "--labels",
        choices=["mask", "image"],
        default="mask",
        help="what says where a defect is: its mask, or only the label of its picture. No mask is read then "
        "(default: mask)",
    )
    parser.add_argument(
        "--first-stage",
        type=Path,
        metavar="MODEL_DIR",
        help="train a light model that clears frames in which MODEL_DIR would find nothing, for the driver two-stage",
    )
    parser.add_argument(
        "--clears",
        type=share,
        metavar="SHARE",
        help="with --first-stage: largest share that may be cleared of the defective parts that MODEL_DIR rejects, "
        "95 %% sure (default: 0.01)",
    )
    parser.add_argument("--net", help=f"light, large or lite0 {_BY_DATA}")
    parser.add_argument(
        "--encoder-weights",
        type=Path,
        metavar="FILE",
        help="start with this state dict of the encoder. For lite0 also the word imagenet",
    )
    parser.add_argument(
        "--encoder-rate",
        type=positive,
        help="learning rate of the encoder, as a multiple of --rate (default: 1, or 0.5 if the data chose it)",
    )
    parser.add_argument("--start", type=Path, metavar="FILE", help="start with this state dict or checkpoint")
    parser.add_argument(
        "--keep-head",
        action="store_true",
        help="also keep the output layer of the --start net, which must have the same classes",
    )
    parser.add_argument("--steps", type=whole, help=f"training steps per net, each a batch of 8 patches {_BY_DATA}")
    parser.add_argument("--rate", type=positive, default=3e-3, help="highest learning rate (default: 0.003)")
    parser.add_argument(
        "--swa-steps",
        type=whole,
        default=0,
        metavar="STEPS",
        help="further steps at a third of --rate. The net is their mean (default: 0)",
    )
    parser.add_argument(
        "--tta",
        action="store_true",
        help="let the model also look at the mirrored image: steadier, but four times the work",
    )
    parser.add_argument(
        "--learn-from",
        default="train",
        metavar="SPLIT[+SPLIT]",
        help="splits to train on (default: train). After train+val only its folds can score the net, so all are needed",
    )
    parser.add_argument("--folds", type=whole, help=f"number of folds of the training data {_BY_DATA}")
    parser.add_argument(
        "--held-out",
        type=whole,
        default=0,
        metavar="N",
        help="score only the first N folds, to save time (default: all)",
    )
    parser.add_argument(
        "--group",
        default="",
        metavar="COLUMN",
        help="column of index.csv whose groups stay in one fold (default: detected)",
    )
    parser.add_argument(
        "--colour", action=argparse.BooleanOptionalAction, help="train on colour (default: detected from the images)"
    )
    parser.add_argument("--shrink", type=whole, help=f"factor by which images are made smaller for the net {_BY_DATA}")
    parser.add_argument(
        "--window",
        type=whole,
        nargs=2,
        metavar=("H", "W"),
        help=f"input size of the net {_BY_DATA}",
    )
    parser.add_argument(
        "--patch",
        type=whole,
        nargs=2,
        metavar=("H", "W"),
        help=f"size of the training patches {_BY_DATA}",
    )
    parser.add_argument(
        "--fill",
        choices=get_args(Fill),
        help=f"what surrounds a part smaller than the window or patch {_BY_DATA}",
    )
    parser.add_argument(
        "--loss", choices=["dice-bce", "focal"], default="dice-bce", help="loss function (default: dice-bce)"
    )
    parser.add_argument(
        "--class-weight",
        type=pair,
        action="append",
        default=[],
        metavar="CLASS=W",
        help="weight of a class in the loss. Repeatable",
    )
    parser.add_argument(
        "--soft", action="store_true", help="treat mask values as degrees of certainty (default: defective or not)"
    )
    parser.add_argument(
        "--per-class", action="store_true", help="train one binary net per class and ship them as one ensemble"
    )
    parser.add_argument(
        "--good-share", type=share, default=0.35, help="share of patches without a defect (default: 0.35)"
    )
    parser.add_argument(
        "--paste-share",
        type=share,
        default=0.2,
        help="share of defective patches made by pasting a defect (default: 0.2)",
    )
    parser.add_argument(
        "--draw-share", type=share, default=0.0, help="share of patches with a drawn defect (default: 0)"
    )
    parser.add_argument(
        "--draw",
        type=pair,
        action="append",
        default=[],
        metavar="CLASS=SHAPE",
        help="shape of drawn defects of a class: line, blob, chip or band. Repeatable",
    )
    parser.add_argument(
        "--shade", type=share, default=0.0, help="how uneven the light on training patches may be, as 0.3 (default: 0)"
    )
    parser.add_argument(
        "--false-rejects",
        type=share,
        default=0.02,
        help="highest share of false rejects when limits are chosen (default: 0.02)",
    )
    add_cost(parser, "choose the cheapest limits")
    parser.add_argument(
        "--seed",
        type=int,
        default=1,
        help="random seed: the same seed, versions and CPU give the same net (default: 1)",
    )
    parser.add_argument("--threads", type=whole, default=2, help="CPU threads of each training (default: 2)")
    parser.add_argument(
        "--jobs", type=whole, default=1, help="folds trained at the same time, with --threads each (default: 1)"
    )
    parser.add_argument(
        "--launcher",
        choices=LAUNCHERS,
        help="train on several machines: write a job file into RUN and end. All of them must see DATA and RUN",
    )


def run(given: argparse.Namespace) -> int:
    """Train, or continue a run."""
    with training_libraries():
        from edge_inspector.commands.model import train_first, train_good
        from edge_inspector.commands.model.train_order import order_of
        from edge_inspector.training.shipping.runs import train_run
    cv2.setNumThreads(1)
    if given.first_stage is not None:
        return train_first.run(given, _usual())
    if given.clears is not None:
        raise ConfigError([Fault("--clears", "belongs to --first-stage: it is what a first stage may clear")])
    if given.use_masks and not given.good_only:
        raise ConfigError([Fault("--use-masks", "belongs to --good-only. Without it masks are always learned")])
    if given.good_only and given.labels == "image":
        raise ConfigError([Fault("--labels image", "does not go with --good-only. Leave out one of them")])
    task, order = train_good.good_order_of(given) if given.good_only else order_of(given)
    if given.launcher is not None:
        return _launch(given, len(order.folds(task)))
    train_good.begin(task, order, given.out)
    achieved = train_run(task, order, given.out)
    good = achieved.parts - achieved.defective
    overlap = f"mean IoU {achieved.mean_iou:.3f}"
    if order.by_labels:
        overlap = f"average precision {achieved.average_precision['any']:.3f} by picture. No mask was read"
    print(
        f"held out, {achieved.parts} parts of {achieved.groups} groups: "
        f"{counted(achieved.defective - achieved.escapes, achieved.defective)} of the defective caught, "
        f"{counted(achieved.false_rejects, good)} of the good rejected, {overlap}"
    )
    print(f"report: {given.out / 'report.html'}")
    return 0


def _usual() -> dict[str, Any]:
    """The options of a command that names none."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return vars(parser.parse_args(["DATA", "--out", "RUN"]))


def _launch(given: argparse.Namespace, folds: int) -> int:
    named = [Path(given.data), given.start, given.encoder_weights]
    paths = [path for path in named if path is not None and path.exists()]
    job = job_of(_words_to_repeat(), paths, run=given.out, folds=folds, threads=given.threads)
    path, submit = write_job(given.launcher, job)
    print(f"{folds} processes share {folds} folds. Read {path}, and then type: {submit}")
    return 0


def _words_to_repeat() -> list[str]:
    """The words of this command, without those that ask for a job file."""
    words = sys.argv[1:]
    spot = next(index for index, word in enumerate(words) if word.startswith("--la"))
    return words[:spot] + words[spot + (1 if "=" in words[spot] else 2) :]
