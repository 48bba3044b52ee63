"""How many planted wrong labels `model suspects` finds: `python -m benchmarks.hygiene DATA --out DIR`.

Further options are those of `model suspects`.

Makes a copy of the split `train` of DATA in which one label of ten is wrong: bad pictures are called good, and good
ones get the mask of a bad one. Then it finds suspects with nets that never learned from the picture in question. It
says precision and recall for the list as it is, and the precision at half the recall, which is the goal (0.8).

Labels of DATA that are wrong already count against the list: some of the "mistakes" in it are none.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from edge_inspector.cli import main as command
from edge_inspector.simulation.tiles import TileLine
from edge_inspector.training.data.index_file import Row, read_index
from edge_inspector.training.data.rendered import TILE_LINE
from edge_inspector.training.judging.hygiene import Opinions
from edge_inspector.training.judging.suspects import NAMED_FROM, Suspect, suspects

_GOAL: Final = 0.5
_PLANKS, _SEEDS = 480, 10


def main() -> int:
    """Plant, find, count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "data", type=Path, help="a folder with index.csv, or tile-line: rendered planks, all labels right"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the copy and the run")
    parser.add_argument("--share", type=float, default=0.1, help="share of wrong labels (default: 0.1)")
    parser.add_argument("--steps", default="400", help="training steps of each net (default: 400)")
    parser.add_argument("--seed", type=int, default=1)
    given, more = parser.parse_known_args()  # the others are those of `model suspects`
    copy, run = given.out / "data", given.out / "run"
    begun = time.monotonic()
    if not copy.exists():
        data = _rendered(given.out / "rendered") if str(given.data) == TILE_LINE else given.data
        _plant(data, copy, share=given.share, seed=given.seed)
    words = ["--out", str(run), "--steps", given.steps, *more]
    if command(["model", "suspects", str(copy), *words]):
        raise SystemExit("finding suspects failed")
    with (given.out / "planted.csv").open(newline="", encoding="utf-8") as file:
        planted = {row["image"]: row["what"] for row in csv.DictReader(file)}
    rows = read_index(copy)
    pictures = {row["image"] for row in rows}
    print(f"{given.data.name}: {len(planted)} wrong labels in {len(pictures)} pictures, {given.steps} steps")
    found = _ranked(run, sorted({row["class"] for row in rows if row["label"] == "1"}))
    _tell(found, planted)
    print(f"{(time.monotonic() - begun) / 60:.0f} minutes")
    return 0


def _rendered(folder: Path) -> Path:
    """Planks with their true defects as masks, of one class. Six of a seed are a group."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    for part in range(_PLANKS):
        line = TileLine(5001 + part % _SEEDS, 1, 0.4)
        bad = bool(line.truth(part, 0).any())
        cv2.imwrite(str(folder / "images" / f"{part}.png"), line.render(part, 0))
        if bad:
            cv2.imwrite(str(folder / "masks" / f"{part}.png"), np.where(line.truth(part, 0), 255, 0).astype(np.uint8))
        mask, kind = (f"masks/{part}.png", "defect") if bad else ("", "good")
        image, group = f"images/{part}.png", f"{part % _SEEDS}-{part // _SEEDS // 6}"
        rows.append(
            {"image": image, "mask": mask, "class": kind, "label": str(int(bad)), "split": "train", "group": group}
        )
    _write_rows(folder / "index.csv", rows)
    return folder


def _plant(data: Path, copy: Path, *, share: float, seed: int) -> None:
    """Copy the split `train`, each label wrong with the same chance, and write down which."""
    rng = np.random.default_rng(seed)
    rows = [row for row in read_index(data) if row["split"] in {"", "train"} and not row.get("note")]
    first = {row["image"]: row for row in rows}
    bad = [row for row in first.values() if row["label"] == "1" and row["mask"]]
    wrong = [name for name in sorted(first) if rng.random() < share]
    (copy / "planted-masks").mkdir(parents=True)
    planted, changed = [], {}
    for name in wrong:
        row = first[name]
        if row["label"] == "1":
            changed[name] = {**row, "class": "good", "label": "0", "mask": ""}
            planted.append((name, "bad, called good"))
        else:
            changed[name] = _with_mask(data, copy, row, bad[int(rng.integers(len(bad)))])
            planted.append((name, "good, with a mask"))
    kept = [row for row in rows if row["image"] not in changed]
    _write_rows(copy / "index.csv", [*kept, *changed.values()])
    for row in kept + list(changed.values()):
        for column in ("image", "mask"):
            if row[column] and not (copy / row[column]).exists():
                _bring(data / row[column], copy / row[column])
    with (copy.parent / "planted.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("image", "what"), *planted])


def _with_mask(data: Path, copy: Path, row: Row, of: Row) -> Row:
    """A good picture's row with the mask of a bad one, cut or filled to its size."""
    size = cv2.imread(str(data / row["image"]), cv2.IMREAD_GRAYSCALE).shape
    mask = cv2.imread(str(data / of["mask"]), cv2.IMREAD_GRAYSCALE)
    ys, xs = np.nonzero(mask > 127)
    laid = np.zeros(size, np.uint8)
    # A defect near the far side of a larger picture would fall outside, so it is brought inside.
    down, right = (min(0, side - 1 - int(at.max())) for side, at in zip(size, (ys, xs), strict=True))
    inside = (ys + down >= 0) & (xs + right >= 0)
    laid[ys[inside] + down, xs[inside] + right] = 255
    name = f"planted-masks/{Path(row['image']).stem}.png"
    cv2.imwrite(str(copy / name), laid)
    return {**row, "class": of["class"], "label": "1", "mask": name}


def _write_rows(path: Path, rows: Sequence[Row]) -> None:
    columns = [name for name in rows[0] if name != "fold"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def _bring(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _ranked(run: Path, classes: Sequence[str]) -> list[Suspect]:
    """All pictures, the most suspect first."""
    heard = Opinions.joined([Opinions.load(path) for path in sorted(run.glob("opinions-*.npz"))])
    return [each for _, each in suspects(heard, classes, 2, named_from=0.0)]


def _tell(found: Sequence[Suspect], planted: dict[str, str]) -> None:
    named = [each for each in found if each.sure >= NAMED_FROM]
    hits = sum(each.name in planted for each in named)
    print(
        f"named: {len(named)}, of these planted {hits}: precision {hits / max(1, len(named)):.3f}, "
        f"recall {hits / max(1, len(planted)):.3f}"
    )
    for what in sorted(set(planted.values())):
        of = [name for name, kind in planted.items() if kind == what]
        caught = sum(each.name in of for each in named)
        print(f"  {what}: {caught} of {len(of)} named")
    for recall in (0.3, _GOAL, 0.7):
        print(f"precision at recall {recall}: {_precision_at(found, planted, recall):.3f}")


def _precision_at(found: Sequence[Suspect], planted: Iterable[str], recall: float) -> float:
    """The precision of the shortest list that finds so many of the planted ones."""
    wanted, hits = set(planted), 0
    for count, each in enumerate(found, 1):
        hits += each.name in wanted
        if hits >= recall * len(wanted):
            return hits / count
    return 0.0


if __name__ == "__main__":
    sys.exit(main())
