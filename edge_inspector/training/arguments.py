"""The command line of `edge-inspector model`; what the commands do is loaded when one is called."""

import argparse
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from edge_inspector.errors import ConfigError, Fault

_DATA = "a folder with index.csv, or the word tile-line for the rendered line of the demo"


def add_model_commands(model: argparse.ArgumentParser) -> None:
    """Hang train, quantize, evaluate, guard, show, compare and import below `model`."""
    commands = model.add_subparsers(metavar="COMMAND", required=True)
    _train(commands.add_parser("train", help="train a net on DATA; the same command goes on where it stopped"))
    _quantize(commands.add_parser("quantize", help="make a model folder of a finished run, if INT8 is worth it"))
    _evaluate(commands.add_parser("evaluate", help="score a model folder on DATA and write it into the manifest"))
    _guard(commands.add_parser("guard", help="make the numbers of a model's files fail closed, without training"))
    _show(commands.add_parser("show", help="print what a model folder says of itself"))
    _compare(commands.add_parser("compare", help="two model folders on the same parts: who catches what"))
    _import(commands.add_parser("import", help="turn labels of another form into a folder with index.csv"))


def _train(train: argparse.ArgumentParser) -> None:
    train.add_argument("data", metavar="DATA", help=_DATA)
    train.add_argument("--out", type=Path, required=True, metavar="RUN", help="folder of the run")
    train.add_argument("--net", default="light", help="light, large, lite0, or an encoder as resnet34 (default: light)")
    train.add_argument(
        "--encoder-weights",
        type=Path,
        metavar="FILE",
        help="state dict of the encoder to begin from; for lite0 also the word imagenet",
    )
    train.add_argument(
        "--encoder-rate", type=_positive, default=1.0, help="learning rate of an encoder, times --rate (default: 1)"
    )
    train.add_argument("--start", type=Path, metavar="FILE", help="begin from this state dict or checkpoint")
    train.add_argument("--keep-head", action="store_true", help="go on with the --start net's answers: same classes")
    train.add_argument("--steps", type=_whole, default=2000, help="batches of 8 patches per net (default: 2000)")
    train.add_argument("--rate", type=_positive, default=3e-3, help="highest learning rate (default: 0.003)")
    train.add_argument(
        "--swa-steps",
        type=_whole,
        default=0,
        metavar="STEPS",
        help="then so many at a third of --rate, whose mean the net is (default: 0)",
    )
    train.add_argument(
        "--tta", action="store_true", help="the model also looks at the mirrored image: steadier, four times the work"
    )
    train.add_argument(
        "--learn-from",
        default="train",
        metavar="SPLIT[+SPLIT]",
        help="train+val leaves nothing to score the net by but its folds, and needs all that there is (default: train)",
    )
    train.add_argument("--folds", type=_whole, default=3, help="folds of what is learned from (default: 3)")
    train.add_argument(
        "--held-out",
        type=_whole,
        default=0,
        metavar="N",
        help="judge only the first N folds, to save time (default: all)",
    )
    train.add_argument("--group", default="", metavar="COLUMN", help="column that no fold may tear (default: found)")
    train.add_argument("--colour", action=argparse.BooleanOptionalAction, help="learn from colour (default: found)")
    train.add_argument("--shrink", type=_whole, default=1, help="let the net see the image so many times smaller")
    train.add_argument(
        "--window", type=_whole, nargs=2, default=[256, 256], metavar=("H", "W"), help="input of the net"
    )
    train.add_argument(
        "--patch", type=_whole, nargs=2, default=[192, 192], metavar=("H", "W"), help="of training (default: 192 192)"
    )
    train.add_argument(
        "--fill",
        choices=["mirror", "black"],
        default="mirror",
        help="what a part smaller than the window or patch lies in (default: mirror)",
    )
    train.add_argument("--loss", choices=["dice-bce", "focal"], default="dice-bce", help="(default: dice-bce)")
    train.add_argument("--class-weight", type=_pair, action="append", default=[], metavar="CLASS=W", help="repeatable")
    train.add_argument("--soft", action="store_true", help="take mask values as certainty, not as yes or no")
    train.add_argument("--per-class", action="store_true", help="one binary net per class, shipped as one ensemble")
    train.add_argument("--good-share", type=_share, default=0.35, help="patches without a defect (default: 0.35)")
    train.add_argument("--paste-share", type=_share, default=0.2, help="defective ones made by pasting (default: 0.2)")
    train.add_argument("--draw-share", type=_share, default=0.0, help="patches with a drawn defect (default: 0)")
    train.add_argument(
        "--draw", type=_pair, action="append", default=[], metavar="CLASS=SHAPE", help="line, blob, chip or band"
    )
    train.add_argument("--shade", type=_share, default=0.0, help="how unevenly light may fall, as 0.3 (default: 0)")
    train.add_argument("--false-rejects", type=_share, default=0.02, help="budget when choosing limits (default: 0.02)")
    train.add_argument(
        "--cost",
        type=_positive,
        nargs=3,
        metavar=("ESCAPE", "REJECT", "DEFECT_RATE"),
        help="choose the cheapest limits",
    )
    train.add_argument("--seed", type=int, default=1, help="same seed, versions and CPU: same net (default: 1)")
    train.add_argument("--threads", type=_whole, default=2, help="(default: 2)")
    train.add_argument(
        "--jobs", type=_whole, default=1, help="folds learned side by side, on --threads each (default: 1)"
    )
    train.set_defaults(command=_later("train"))


def _quantize(quantize: argparse.ArgumentParser) -> None:
    quantize.add_argument("run", type=Path, metavar="RUN", help="a finished run")
    quantize.add_argument("data", metavar="DATA", help="the data that it was trained on")
    quantize.add_argument("--name", required=True, help="of the model")
    quantize.add_argument("--version", default="1.0", help="(default: 1.0)")
    quantize.add_argument("--licence", required=True, help="of the weights, data considered")
    quantize.add_argument("--description", default="", help="one sentence for the manifest")
    quantize.add_argument("--models", type=Path, default=Path("models"), help="where model folders lie")
    quantize.add_argument("--split", default="val", help="judges FP32 against INT8 (default: val)")
    quantize.add_argument("--machine", default="", help="named beside the times")
    quantize.add_argument("--force", action="store_true", help="ship INT8 against the gate; the manifest says so")
    quantize.set_defaults(command=_later("quantize"))


def _evaluate(evaluate: argparse.ArgumentParser) -> None:
    evaluate.add_argument("model", type=Path, metavar="MODEL_DIR", help="a model folder")
    evaluate.add_argument("data", metavar="DATA", help=_DATA)
    evaluate.add_argument("--split", default="val", help="(default: val)")
    evaluate.add_argument("--precision", choices=["int8", "fp32"], default="int8", help="(default: int8)")
    evaluate.add_argument("--driver", default="onnx", help="segmenter driver that runs it (default: onnx)")
    evaluate.add_argument("--cost", type=_positive, nargs=3, metavar=("ESCAPE", "REJECT", "DEFECT_RATE"))
    evaluate.add_argument("--machine", default="", help="named beside the time")
    evaluate.add_argument("--report", type=Path, metavar="FILE", help="also write an HTML page with the worst misses")
    evaluate.add_argument("--dry-run", action="store_true", help="leave the manifest as it is")
    evaluate.set_defaults(command=_later("evaluate"))


def _guard(guard: argparse.ArgumentParser) -> None:
    guard.add_argument("model", type=Path, metavar="MODEL_DIR", help="a model folder; its files and hashes change")
    guard.set_defaults(command=_later("guard"))


def _show(show: argparse.ArgumentParser) -> None:
    show.add_argument("model", type=Path, metavar="MODEL_DIR", help="a model folder")
    show.set_defaults(command=_later("show"))


def _compare(compare: argparse.ArgumentParser) -> None:
    compare.add_argument("one", type=Path, metavar="A", help="a model folder")
    compare.add_argument("other", type=Path, metavar="B", help="another with the same classes")
    compare.add_argument("data", metavar="DATA", help=_DATA)
    compare.add_argument("--split", default="val", help="(default: val)")
    compare.add_argument("--driver", default="onnx", help="segmenter driver that runs both (default: onnx)")
    compare.set_defaults(command=_later("compare"))


def _import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("form", choices=["mvtec", "coco", "via", "labelme"], help="form of the labels")
    parser.add_argument("source", type=Path, metavar="SOURCE", help="the folder with images and labels")
    parser.add_argument("target", type=Path, metavar="TARGET", help="folder to make; must not exist yet")
    parser.add_argument("--val-share", type=_share, default=0.25, help="groups kept for validation (default: 0.25)")
    parser.add_argument(
        "--group-pattern", default="", metavar="REGEX", help="its first group in the file name is the grouping key"
    )
    parser.add_argument(
        "--unlabelled",
        choices=["good", "skip"],
        default="good",
        help="pictures that no label file names: take them for good, or leave them out (default: good)",
    )
    parser.add_argument("--boxes", action="store_true", help="take a whole rectangle for defective where one is drawn")
    parser.add_argument(
        "--class-attribute", default="", metavar="NAME", help="via: the region attribute that names the class"
    )
    parser.set_defaults(command=_later("import_labels"))


def _later(name: str) -> Callable[[argparse.Namespace], int]:
    """The command, imported when it is called; a missing library is one line, not a traceback."""

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
