"""What labels are worth: recall and IoU by how much somebody drew or marked. `label_efficiency.py DATA... --out DIR`.

For each DATA (a folder with index.csv and masks), each size and each draw, one net learns from

- `masks`: so many defective pictures with their exact masks,
- `strokes`: the same pictures with simulated strokes of a brush (the rule is in strokes.py),
- `labels`: the same pictures with their labels only, as `model train --labels image` learns,
- `good`: so many good pictures and nothing else. Nothing is learned but what is usual: how far a cell's lines, blobs
  and roughness go beyond those of good pictures (training/learning/places.py). This is a floor, no good-only model.

The first three also get the good pictures of `train`, at most `--good` of them. A draw takes its defective pictures
class by class in turn, and is the same for all three. All are judged on `val`, with masks:

- part recall at 2 %: the region that a part needs to be rejected is the smallest one that rejects at most 2 % of the
  good parts of `val` itself. So it compares nets, and is no setting to ship.
- AP by part, and IoU of any defect at p >= 0.5 over all pixels. For `good`, IoU is taken at the limit.

Each result is kept as a file in `--out/cells`, so the same command goes on after a stop. At the end
`--out/label-efficiency.json` has all of them, and the table is printed. A trial: `--draws 1 --sizes 10 --steps 100`.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import torch
from strokes import stroked

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.store.whole_file import draft_of
from edge_inspector.training.data.contrasts import contrasts
from edge_inspector.training.data.folder import Folder, LabelledImage
from edge_inspector.training.data.patches import Mix
from edge_inspector.training.data.tasks import FolderTask, Reading
from edge_inspector.training.judging.evidence import Evidence, gather
from edge_inspector.training.judging.figures import average_precision
from edge_inspector.training.judging.runtimes import model_predictor
from edge_inspector.training.learning.encoders import PUBLISHED
from edge_inspector.training.learning.export import export_onnx
from edge_inspector.training.learning.places import usual_of
from edge_inspector.training.learning.train import Plan, fit
from edge_inspector.training.learning.unet import STRIDE, Deployed
from edge_inspector.training.shipping.manifest import FILES, Card, Draft
from edge_inspector.training.shipping.rounds import source_from_labels

KINDS: Final = ("masks", "strokes", "labels", "good")
_BUDGET: Final = 0.02
_LEVEL: Final = 0.5

Figures = dict[str, float]
Change = Callable[[LabelledImage], LabelledImage]


@dataclass(frozen=True, slots=True)
class Cell:
    """One net: what it learns from, how many pictures of that, and which draw of them."""

    data: Path
    kind: str
    size: int
    draw: int

    @property
    def name(self) -> str:
        """For files."""
        return f"{self.data.name}-{self.kind}-{self.size}-{self.draw}"


class Chosen(FolderTask):
    """A folder of which only some pictures are learned from."""

    def __init__(self, root: Path, reading: Reading, names: frozenset[str], change: Change) -> None:
        super().__init__(root, reading)
        self._names, self._change = names, change

    def entries(self, fold: int | None) -> list[LabelledImage]:  # noqa: ARG002 -- val judges, so no fold is left out
        """The chosen pictures."""
        return [self._change(entry) for entry in super().entries(None) if entry.name in self._names]


def main() -> int:
    """Train what is missing, then write and print everything."""
    given = _arguments()
    cv2.setNumThreads(1)
    torch.set_num_threads(given.threads)
    (given.out / "cells").mkdir(parents=True, exist_ok=True)
    try:
        for cell in _cells(given):
            _done(cell, given)
    except ConfigError as error:
        print(f"label_efficiency: {error}", file=sys.stderr)
        return 2
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((given.out / "cells").glob("*.json"))]
    with draft_of(given.out / "label-efficiency.json") as draft:
        draft.write_text(json.dumps({"cells": found}, indent=1), encoding="utf-8")
    print("\n".join(table(found)))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sizes", nargs="+", type=int, default=[5, 10, 20, 50, 100])
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--good", type=int, default=100, help="good pictures beside the drawn ones (default: 100)")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--net", default="lite0")
    parser.add_argument("--shrink", type=int, default=2)
    parser.add_argument("--window", nargs=2, type=int, default=[384, 512])
    parser.add_argument("--patch", nargs=2, type=int, default=[128, 128])
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def _cells(given: argparse.Namespace) -> Iterator[Cell]:
    for data in given.data:
        for size in given.sizes:
            for kind in given.kinds:
                yield from (Cell(data, kind, size, draw) for draw in range(given.draws))


def _done(cell: Cell, given: argparse.Namespace) -> None:
    """Make a cell, unless its file is there with the same settings."""
    path = given.out / "cells" / f"{cell.name}.json"
    settings = {name: getattr(given, name) for name in ("good", "steps", "net", "shrink", "window", "patch")}
    if path.exists():
        if json.loads(path.read_text(encoding="utf-8"))["settings"] != settings:
            raise ConfigError([Fault(str(path), "was made with other settings: give another --out, or remove it")])
        return
    names = drawn(Folder(cell.data), cell, given.good)
    if names is None:
        print(f"{cell.name}: left out, {cell.data.name} has too few such pictures", flush=True)
        return
    begun, used = time.monotonic(), time.process_time()
    found = _good_only(cell, given, names) if cell.kind == "good" else _learned(cell, given, names)
    row: dict[str, Any] = {"data": cell.data.name, "kind": cell.kind, "size": cell.size, "draw": cell.draw}
    row |= {"settings": settings, **found, "seconds": round(time.monotonic() - begun, 1)}
    row |= {"cpu_seconds": round(time.process_time() - used, 1), "machine": platform.machine()}
    with draft_of(path) as draft:
        draft.write_text(json.dumps(row, indent=1), encoding="utf-8")
    print(f"{cell.name}: {_said(found)}, {row['seconds']:.0f} s", flush=True)


def drawn(folder: Folder, cell: Cell, good_most: int) -> frozenset[str] | None:
    """The names of a draw's pictures, or None if there are too few. One seed gives one draw for every kind."""
    rng = np.random.default_rng([cell.size, cell.draw])
    rows = folder.sure_rows("train")
    good = sorted({row["image"] for row in rows if row["label"] == "0"})
    good = [good[each] for each in rng.permutation(len(good))]
    if cell.kind == "good":
        return frozenset(good[: cell.size]) if cell.size <= len(good) else None
    pools = [
        sorted({row["image"] for row in rows if row["label"] == "1" and row["class"] == kind and row["mask"]})
        for kind in folder.classes
    ]
    pools = [[pool[each] for each in rng.permutation(len(pool))] for pool in pools]
    chosen: list[str] = []
    while any(pools) and len(chosen) < cell.size:
        for pool in pools:
            if pool and len(chosen) < cell.size and (name := pool.pop()) not in chosen:
                chosen.append(name)
    return frozenset([*chosen, *good[:good_most]]) if len(chosen) == cell.size else None


def _learned(cell: Cell, given: argparse.Namespace, names: frozenset[str]) -> Figures:
    by_labels = cell.kind == "labels"
    window = (given.window[0], given.window[1])
    reading = Reading(
        folds=2, shrink=given.shrink, patch=tuple(given.patch), mix=Mix(soft=by_labels), by_labels=by_labels
    )
    hand = np.random.default_rng([cell.size, cell.draw, 1])
    task = Chosen(cell.data, reading, names, lambda entry: _stroked(entry, hand) if cell.kind == "strokes" else entry)
    weights = PUBLISHED if given.net == "lite0" else None
    plan = Plan(net=given.net, steps=given.steps, encoder_weights=weights, encoder_rate=0.5, seed=1 + cell.draw)
    run = given.out / "runs" / cell.name
    run.mkdir(parents=True, exist_ok=True)
    source = source_from_labels(task, plan, run, window=window, fold=0) if by_labels else task.source(0)
    net, _ = fit(source, plan, run / "net.checkpoint")
    shape, stride = (*window, task.channels), STRIDE * task.shrink
    export_onnx(Deployed([net], task.shrink), run / FILES["fp32"], shape)
    Draft(Card("cell", "1", "none", ""), task.classes, shape, stride, fill=task.fill).write(run)
    parts = FolderTask(cell.data, replace(reading, by_labels=False)).split("val")
    seen = gather(model_predictor(run, "fp32")[0], classes=len(task.classes), stride=stride, parts=parts)
    return judged(seen)


def _stroked(entry: LabelledImage, hand: np.random.Generator) -> LabelledImage:
    return replace(entry, marks=tuple((index, stroked(mask, hand)) for index, mask in entry.marks))


def judged(seen: Evidence) -> Figures:
    """The three figures of a net."""
    level = int(np.searchsorted(seen.confidences, _LEVEL - 1e-9))
    regions = seen.areas[:, :, level].max(axis=1)
    overlap, union, _ = seen.binary.sum(axis=0)
    ranks = (seen.peaks + 1e-12 * seen.areas[:, :, -1]).max(axis=1)
    return {
        "recall_at_2_percent": recall_within(regions, seen.defective)[0],
        "average_precision": average_precision(ranks, seen.defective),
        "iou": float(overlap / max(1.0, union)),
    }


def recall_within(scores: np.ndarray[Any, Any], bad: np.ndarray[Any, Any]) -> tuple[float, float]:
    """Recall with the lowest limit that at most 2 % of the good parts exceed, and that limit."""
    good = np.sort(scores[~bad])[::-1]
    limit = float(good[int(_BUDGET * len(good))])
    return float((scores[bad] > limit).mean()), limit


def _good_only(cell: Cell, given: argparse.Namespace, names: frozenset[str]) -> Figures:
    folder = Folder(cell.data, shrink=given.shrink)
    good = folder.entries("train", lambda row: row["image"] in names)
    asked = folder.entries("val", doubtful=True)
    bad = np.array([entry.defective for entry in asked])
    truth = [entry.classes > 0 for entry in asked]
    usual, _ = usual_of(good)
    maps = [cv2.blur(usual.beyond(contrasts(entry.image)).max(axis=0), (3, 3)) for entry in asked]
    scores = np.array([float(np.sort(each, axis=None)[-3:].mean()) for each in maps])
    recall, limit = recall_within(scores, bad)
    overlap = union = 0
    for each, flawed in zip(maps, truth, strict=True):
        seen = cv2.resize(each, flawed.shape[::-1]) > limit
        overlap, union = overlap + int((seen & flawed).sum()), union + int((seen | flawed).sum())
    return {
        "recall_at_2_percent": recall,
        "average_precision": average_precision(scores, bad),
        "iou": overlap / max(1, union),
    }


def table(found: Sequence[dict[str, Any]]) -> Iterator[str]:
    """One row for each data set, kind and size: the mean over the draws, and in brackets the lowest and the highest."""
    yield "| data | learned from | pictures | draws | recall at 2 % | AP | IoU | seconds |"
    yield "|---|---|---|---|---|---|---|---|"
    keys = sorted({(row["data"], KINDS.index(row["kind"]), row["size"]) for row in found})
    for data, kind, size in keys:
        rows = [row for row in found if (row["data"], row["kind"], row["size"]) == (data, KINDS[kind], size)]
        figures = " | ".join(_spread(rows, name) for name in ("recall_at_2_percent", "average_precision", "iou"))
        took = np.mean([row["seconds"] for row in rows])
        yield f"| {data} | {KINDS[kind]} | {size} | {len(rows)} | {figures} | {took:.0f} |"


def _spread(rows: Sequence[dict[str, Any]], name: str) -> str:
    values = [row[name] for row in rows]
    mean = f"{np.mean(values):.3f}"
    return mean if len(values) == 1 else f"{mean} [{min(values):.3f}, {max(values):.3f}]"


def _said(found: Figures) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in found.items())


if __name__ == "__main__":
    sys.exit(main())
