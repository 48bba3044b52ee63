"""What each option of training changes on real data: `python benchmarks/training_options.py DATA --weight crack=5`.

One net for each option, all with the same steps, patches and seed. Each is scored on the first fold. `soft` learns from
a copy of DATA whose masks have a rim of two pixels that is half sure. Take more steps than the default to be sure.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from edge_inspector.cli import main as command


def main() -> int:
    """Train, and print one row for each option."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--weight", required=True, metavar="CLASS=WEIGHT")
    parser.add_argument("--steps", default="400")
    parser.add_argument("--only", nargs="+", help="some of: as it is, focal, class-weight, soft, per-class")
    given = parser.parse_args()
    soft = given.out / "soft-data"
    options: dict[str, tuple[Path, list[str]]] = {
        "as it is": (given.data, []),
        "focal": (given.data, ["--loss", "focal"]),
        "class-weight": (given.data, ["--class-weight", given.weight]),
        "soft": (soft, ["--soft"]),
        "per-class": (given.data, ["--per-class"]),
    }
    if not soft.exists():
        _soften(given.data, soft)
    print("| option | recall at <= 2 % false rejects | mean IoU | AP, any | AP of each class | minutes |")
    print("|---|---|---|---|---|---|")
    for name in given.only or options:
        data, words = options[name]
        print(_row(name, given.out / name.replace(" ", "-"), str(data), ["--steps", given.steps, *words]), flush=True)
    return 0


def _row(name: str, run: Path, data: str, words: list[str]) -> str:
    begun = time.monotonic()
    size = ["--shrink", "2", "--patch", "96", "96", "--window", "192", "192", "--fill", "black"]
    if command(["model", "train", data, "--out", str(run), "--held-out", "1", "--threads", "1", *size, *words]):
        raise SystemExit(f"{name}: training failed")
    found = json.loads((run / "figures.json").read_text(encoding="utf-8"))["held_out"]
    precision = found["average_precision"]
    each = ", ".join(f"{kind} {value:.2f}" for kind, value in precision.items() if kind != "any")
    numbers = f"{found['recall_at_2_percent']:.3f} | {found['mean_iou']:.3f} | {precision['any']:.3f}"
    return f"| {name} | {numbers} | {each} | {(time.monotonic() - begun) / 60:.0f} |"


def _soften(data: Path, copy: Path) -> None:
    (copy / "masks").mkdir(parents=True)
    shutil.copytree(data / "images", copy / "images")
    shutil.copy(data / "index.csv", copy)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    for path in (data / "masks").glob("*.png"):
        mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        rim = np.where(cv2.dilate(mask, disc) > 0, 128, 0).astype(np.uint8)
        cv2.imwrite(str(copy / "masks" / path.name), np.maximum(mask, rim))


if __name__ == "__main__":
    sys.exit(main())
