"""How much a model from good parts finds: average precision by part, in grouped folds, beside the floor.

    python benchmarks/good_only.py DATA... [--good 30 --draws 5] [--folds 3] [--steps 400] [--out DIR]

Each DATA is a folder with index.csv. Of its split `train` each fold is judged by nets that saw only good pictures of
the other folds. The floor learns nothing: the distance to the nearest of 4000 remembered cells of the same frozen net,
divided by how far those are apart. `--good N` learns from N good pictures drawn at random, several times. All nets are
judged as files, as a station runs them: FP32, and INT8 as it is shipped. Defects of every class count.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from edge_inspector.training.data.choosing import choose_for_good
from edge_inspector.training.data.folder import ANOMALY, Folder
from edge_inspector.training.data.survey import survey
from edge_inspector.training.good.learn import GoodPlan, floor_net, learn_good
from edge_inspector.training.good.net import GoodNet
from edge_inspector.training.good.source import Cutting, GoodSource
from edge_inspector.training.good.task import DRAWN, GoodReading, GoodTask
from edge_inspector.training.judging.evidence import Evidence, gather_each
from edge_inspector.training.judging.figures import bootstrap, figures
from edge_inspector.training.judging.limits import Limit
from edge_inspector.training.judging.runtimes import model_predictor
from edge_inspector.training.learning.export import export_onnx
from edge_inspector.training.learning.lite import published_weights
from edge_inspector.training.learning.unet import STRIDE, Deployed
from edge_inspector.training.shipping.manifest import FILES, Card, Draft
from edge_inspector.training.shipping.quantize import quantize_for_cpu

KINDS = ("floor", "fp32", "int8")


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--good", type=int, default=0, help="learn from so many good pictures (default: all)")
    parser.add_argument("--draws", type=int, default=1, help="with --good: how often they are drawn (default: 1)")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--only", type=int, nargs="+", help="numbers of the folds to judge, from 0 (default: all)")
    parser.add_argument("--steps", type=int, default=GoodPlan().steps)
    parser.add_argument("--use-masks", action="store_true", help="also learn known defects of the other folds")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("good-only"), help="folder for features (default: good-only)")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    rows = []
    for data in given.data:
        rows += measured(data, given)
    print("| data | good pictures | net | parts, flawed | AP | 95 % by group | recall at 2 % | learning, s |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        print("| " + " | ".join(str(each) for each in row) + " |")


def measured(data: Path, given: argparse.Namespace) -> list[list[object]]:
    """The lines of the table for one DATA."""
    task = opened(data, given)
    rows = []
    for draw in range(given.draws if given.good else 1):
        seen: dict[str, list[Evidence]] = {kind: [] for kind in KINDS}
        took, count = [], 0
        for fold in given.only or range(task.folds):
            source = task.source(fold)
            if given.good:
                order = np.random.default_rng([draw, fold]).permutation(len(source.good))[: given.good]
                source.good = [source.good[int(at)] for at in sorted(order)]
            count = len(source.good)
            begun = time.monotonic()
            net, _ = learn_good(source, GoodPlan(steps=given.steps, seed=1 + draw))
            took.append(time.monotonic() - begun)
            found = judged(task, fold, source, net)
            for kind, evidence in found.items():
                seen[kind].append(evidence)
        for kind, parts in seen.items():
            row = line(Evidence.joined(parts))
            rows.append([data.name, count, kind, *row, f"{np.mean(took):.0f}" if kind == "fp32" else ""])
            print(json.dumps(rows[-1]), flush=True)
    return rows


def opened(data: Path, given: argparse.Namespace) -> GoodTask:
    """The good pictures, with the settings that `model train --good-only` would choose."""
    folder = Folder(data, one_class=ANOMALY)
    chosen = choose_for_good(survey(folder), "train")
    frame = Cutting(window=chosen.window, shrink=chosen.shrink, fill=chosen.fill, channels=folder.channels)
    cache = given.out / data.name
    reading = GoodReading(
        frame=frame, weights=published_weights(), cache=cache, folds=given.folds, use_masks=given.use_masks
    )
    return GoodTask(folder, reading)


def judged(task: GoodTask, fold: int, source: GoodSource, net: GoodNet) -> dict[str, Evidence]:
    """What the floor and both files of the net make of the real parts of a fold."""
    frame, stride = source.frame, STRIDE * source.frame.shrink
    shape = (*frame.window, frame.channels)
    images = source.calibration(60, np.random.default_rng(1))
    grown = [image.repeat(frame.shrink, 0).repeat(frame.shrink, 1) for image in images]
    with tempfile.TemporaryDirectory() as scratch:
        predicts = []
        for kind, each in (("floor", floor_net(source)), ("net", net)):
            folder = Path(scratch) / f"{kind}-1.0"
            folder.mkdir()
            export_onnx(Deployed([each], frame.shrink), folder / FILES["fp32"], shape)
            precisions = ["fp32"]
            if kind == "net":
                quantize_for_cpu(folder / FILES["fp32"], folder / FILES["int8"], grown)
                precisions.append("int8")
            Draft(Card(kind, "1.0", "none", ""), [ANOMALY], shape, stride, fill=frame.fill).write(folder)
            predicts += [model_predictor(folder, precision)[0] for precision in precisions]
        parts = (part for part in task.judged(fold) if not part.name.startswith(DRAWN))
        return dict(zip(KINDS, gather_each(predicts, classes=1, stride=stride, parts=parts), strict=True))


def line(seen: Evidence) -> list[object]:
    """Parts, average precision with its interval, and recall at 2 % of false rejects by the highest place."""
    limits = [Limit(0.5, 12.0)]
    ap = figures(seen, [ANOMALY], limits).average_precision["any"]
    low, high = bootstrap(seen, lambda drawn: [precision_of(drawn)], 1)[0]
    good = np.sort(ranks(seen)[~seen.defective])
    limit = good[int(np.ceil(0.98 * len(good))) - 1]
    recall = float((ranks(seen)[seen.defective] > limit).mean())
    flawed = int(seen.defective.sum())
    return [f"{len(seen.names)}, {flawed}", f"{ap:.3f}", f"{low:.2f} to {high:.2f}", f"{recall:.2f}"]


def ranks(seen: Evidence) -> np.ndarray:
    """The highest place of each part. Among equal ones the larger region counts."""
    return seen.peaks[:, 0] + 1e-9 * seen.areas[:, 0, -1]


def precision_of(seen: Evidence) -> float:
    """Average precision of the ranks, nan without a defective part."""
    order = np.lexsort((seen.defective, -ranks(seen)))
    hits = seen.defective[order]
    return float((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean()) if hits.any() else float("nan")


if __name__ == "__main__":
    main()
