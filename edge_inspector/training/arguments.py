"""The command line of `edge-inspector model`. A command's code is imported only when it is called."""

import argparse
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from edge_inspector.driver_table import DEFAULT_RUNTIME
from edge_inspector.errors import ConfigError, Fault

_DATA = "a folder with index.csv, or tile-line: the rendered parts of the demo"


def add_model_commands(model: argparse.ArgumentParser) -> None:
    """Add the commands train, quantize, evaluate, guard, show, compare and import to `model`."""
    commands = model.add_subparsers(metavar="COMMAND", required=True)
    _train(commands.add_parser("train", help="train a net on DATA. Repeat the command to continue an interrupted run"))
    _quantize(commands.add_parser("quantize", help="make a model folder from a finished run, if INT8 is worth it"))
    _evaluate(
        commands.add_parser("evaluate", help="score a model folder on DATA and write the result into its manifest")
    )
    _guard(
        commands.add_parser(
            "guard", help="add the guard against invalid numbers to the files of a model, without training"
        )
    )
    _show(commands.add_parser("show", help="print the manifest of a model folder"))
    _compare(commands.add_parser("compare", help="run two model folders on the same parts and compare what they find"))
    _import(commands.add_parser("import", help="convert labels of another format into a folder with index.csv"))


def _train(train: argparse.ArgumentParser) -> None:
    train.add_argument("data", metavar="DATA", help=_DATA)
    train.add_argument("--out", type=Path, required=True, metavar="RUN", help="folder for the run")
    train.add_argument(
        "--net", default="light", help="light, large, lite0, or the name of an encoder, as resnet34 (default: light)"
    )
    train.add_argument(
        "--encoder-weights",
        type=Path,
        metavar="FILE",
        help="start with this state dict of the encoder. For lite0 also the word imagenet",
    )
    train.add_argument(
        "--encoder-rate",
        type=_positive,
        default=1.0,
        help="learning rate of the encoder, as a multiple of --rate (default: 1)",
    )
    train.add_argument("--start", type=Path, metavar="FILE", help="start with this state dict or checkpoint")
    train.add_argument(
        "--keep-head",
        action="store_true",
        help="also keep the output layer of the --start net, which must have the same classes",
    )
    train.add_argument(
        "--steps", type=_whole, default=2000, help="training steps per net, each a batch of 8 patches (default: 2000)"
    )
    train.add_argument("--rate", type=_positive, default=3e-3, help="highest learning rate (default: 0.003)")
    train.add_argument(
        "--swa-steps",
        type=_whole,
        default=0,
        metavar="STEPS",
        help="further steps at a third of --rate. The net is their mean (default: 0)",
    )
    train.add_argument(
        "--tta",
        action="store_true",
        help="let the model also look at the mirrored image: steadier, but four times the work",
    )
    train.add_argument(
        "--learn-from",
        default="train",
        metavar="SPLIT[+SPLIT]",
        help="splits to train on (default: train). After train+val only its folds can score the net, so all are needed",
    )
    train.add_argument("--folds", type=_whole, default=3, help="number of folds of the training data (default: 3)")
    train.add_argument(
        "--held-out",
        type=_whole,
        default=0,
        metavar="N",
        help="score only the first N folds, to save time (default: all)",
    )
    train.add_argument(
        "--group",
        default="",
        metavar="COLUMN",
        help="column of index.csv whose groups stay in one fold (default: detected)",
    )
    train.add_argument(
        "--colour", action=argparse.BooleanOptionalAction, help="train on colour (default: detected from the images)"
    )
    train.add_argument(
        "--shrink", type=_whole, default=1, help="factor by which images are made smaller for the net (default: 1)"
    )
    train.add_argument(
        "--window",
        type=_whole,
        nargs=2,
        default=[256, 256],
        metavar=("H", "W"),
        help="input size of the net (default: 256 256)",
    )
    train.add_argument(
        "--patch",
        type=_whole,
        nargs=2,
        default=[192, 192],
        metavar=("H", "W"),
        help="size of the training patches (default: 192 192)",
    )
    train.add_argument(
        "--fill",
        choices=["mirror", "black"],
        default="mirror",
        help="what surrounds a part smaller than the window or patch (default: mirror)",
    )
    train.add_argument(
        "--loss", choices=["dice-bce", "focal"], default="dice-bce", help="loss function (default: dice-bce)"
    )
    train.add_argument(
        "--class-weight",
        type=_pair,
        action="append",
        default=[],
        metavar="CLASS=W",
        help="weight of a class in the loss. Repeatable",
    )
    train.add_argument(
        "--soft", action="store_true", help="treat mask values as degrees of certainty (default: defective or not)"
    )
    train.add_argument(
        "--per-class", action="store_true", help="train one binary net per class and ship them as one ensemble"
    )
    train.add_argument(
        "--good-share", type=_share, default=0.35, help="share of patches without a defect (default: 0.35)"
    )
    train.add_argument(
        "--paste-share",
        type=_share,
        default=0.2,
        help="share of defective patches made by pasting a defect (default: 0.2)",
    )
    train.add_argument(
        "--draw-share", type=_share, default=0.0, help="share of patches with a drawn defect (default: 0)"
    )
    train.add_argument(
        "--draw",
        type=_pair,
        action="append",
        default=[],
        metavar="CLASS=SHAPE",
        help="shape of drawn defects of a class: line, blob, chip or band. Repeatable",
    )
    train.add_argument(
        "--shade", type=_share, default=0.0, help="how uneven the light on training patches may be, as 0.3 (default: 0)"
    )
    train.add_argument(
        "--false-rejects",
        type=_share,
        default=0.02,
        help="highest share of false rejects when limits are chosen (default: 0.02)",
    )
    train.add_argument(
        "--cost",
        type=_positive,
        nargs=3,
        metavar=("ESCAPE", "REJECT", "DEFECT_RATE"),
        help="choose the cheapest limits: cost of an escape, cost of a false reject, share of defective parts",
    )
    train.add_argument(
        "--seed",
        type=int,
        default=1,
        help="random seed: the same seed, versions and CPU give the same net (default: 1)",
    )
    train.add_argument("--threads", type=_whole, default=2, help="CPU threads of each training (default: 2)")
    train.add_argument(
        "--jobs", type=_whole, default=1, help="folds trained at the same time, with --threads each (default: 1)"
    )
    train.set_defaults(command=_later("train"))


def _quantize(quantize: argparse.ArgumentParser) -> None:
    quantize.add_argument("run", type=Path, metavar="RUN", help="a finished run")
    quantize.add_argument("data", metavar="DATA", help="the data that the run was trained on")
    quantize.add_argument("--name", required=True, help="name of the model")
    quantize.add_argument("--version", default="1.0", help="version of the model (default: 1.0)")
    quantize.add_argument("--licence", required=True, help="licence of the weights, which depends on that of the data")
    quantize.add_argument("--description", default="", help="one sentence about the model, for the manifest")
    quantize.add_argument(
        "--models", type=Path, default=Path("models"), help="folder with the model folders (default: models)"
    )
    quantize.add_argument("--split", default="val", help="split on which INT8 is compared with FP32 (default: val)")
    quantize.add_argument("--machine", default="", help="name of this machine, for the manifest")
    quantize.add_argument(
        "--force", action="store_true", help="ship INT8 even if it fails the comparison. The manifest says so"
    )
    quantize.set_defaults(command=_later("quantize"))


def _evaluate(evaluate: argparse.ArgumentParser) -> None:
    evaluate.add_argument("model", type=Path, metavar="MODEL_DIR", help="a model folder")
    evaluate.add_argument("data", metavar="DATA", help=_DATA)
    evaluate.add_argument("--split", default="val", help="split to score on (default: val)")
    evaluate.add_argument(
        "--precision", choices=["int8", "fp32"], default="int8", help="which file of the model to score (default: int8)"
    )
    evaluate.add_argument(
        "--driver", default=DEFAULT_RUNTIME, help=f"segmenter driver that runs the model (default: {DEFAULT_RUNTIME})"
    )
    evaluate.add_argument(
        "--cost",
        type=_positive,
        nargs=3,
        metavar=("ESCAPE", "REJECT", "DEFECT_RATE"),
        help="also print the cheapest limits: cost of an escape, cost of a false reject, share of defective parts",
    )
    evaluate.add_argument("--machine", default="", help="name of this machine, for the manifest")
    evaluate.add_argument("--report", type=Path, metavar="FILE", help="also write an HTML page with the worst misses")
    evaluate.add_argument("--dry-run", action="store_true", help="do not change the manifest")
    evaluate.set_defaults(command=_later("evaluate"))


def _guard(guard: argparse.ArgumentParser) -> None:
    guard.add_argument("model", type=Path, metavar="MODEL_DIR", help="a model folder. Its files and hashes change")
    guard.set_defaults(command=_later("guard"))


def _show(show: argparse.ArgumentParser) -> None:
    show.add_argument("model", type=Path, metavar="MODEL_DIR", help="a model folder")
    show.set_defaults(command=_later("show"))


def _compare(compare: argparse.ArgumentParser) -> None:
    compare.add_argument("one", type=Path, metavar="A", help="a model folder")
    compare.add_argument("other", type=Path, metavar="B", help="another model folder with the same classes")
    compare.add_argument("data", metavar="DATA", help=_DATA)
    compare.add_argument("--split", default="val", help="split to compare on (default: val)")
    compare.add_argument(
        "--driver", default=DEFAULT_RUNTIME, help=f"segmenter driver that runs both models (default: {DEFAULT_RUNTIME})"
    )
    compare.set_defaults(command=_later("compare"))


def _import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("form", choices=["mvtec", "coco", "via", "labelme"], help="format of the labels")
    parser.add_argument("source", type=Path, metavar="SOURCE", help="the folder with images and labels")
    parser.add_argument("target", type=Path, metavar="TARGET", help="folder to create. It must not exist yet")
    parser.add_argument(
        "--val-share", type=_share, default=0.25, help="share of groups kept for validation (default: 0.25)"
    )
    parser.add_argument(
        "--group-pattern",
        default="",
        metavar="REGEX",
        help="regular expression: its first group, in the file name, is the grouping key",
    )
    parser.add_argument(
        "--unlabelled",
        choices=["good", "skip"],
        default="good",
        help="pictures without labels: treat them as good, or skip them (default: good)",
    )
    parser.add_argument("--boxes", action="store_true", help="treat the whole area of a drawn rectangle as defective")
    parser.add_argument(
        "--class-attribute", default="", metavar="NAME", help="for via: the region attribute that names the class"
    )
    parser.set_defaults(command=_later("import_labels"))


def _later(name: str) -> Callable[[argparse.Namespace], int]:
    """A function that imports the command when it is called. A missing library gives one line, not a traceback."""

    def run(given: argparse.Namespace) -> int:
        try:
            module: Any = import_module(f"edge_inspector.training.commands.{name}")
        except ModuleNotFoundError as error:
            needed = "training,cpu" if name in {"train", "quantize", "guard"} else "cpu"
            what = f"is not installed: pip install 'edge-inspector[{needed}]'"
            raise ConfigError([Fault(str(error.name), what)]) from error
        code: int = module.run(given)
        return code

    return run


def _whole(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _share(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError("must lie between 0 and 1")
    return number


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError("must be greater than 0")
    return number


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not (name and sign and value):
        raise argparse.ArgumentTypeError("must read CLASS=VALUE")
    return name, value
