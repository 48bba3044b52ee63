"""`python judged_pictures.py MODELS PICTURES.npz RECIPES OUT.npz`: masks and decisions of all pictures.

It is a program of its own, so that it can run on another processor. `RECIPES` is a folder with a recipe for each model.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

from edge_inspector.commands.judge import PictureJudge
from edge_inspector.inspection.decision import beyond_limits
from edge_inspector.records import Image


def judged(models: Path, pictures: dict[str, Image], recipe: Path, precision: str, folder: Path) -> dict[str, Image]:
    """By name of the result: the mask of each picture, and the name of its decision as bytes."""
    words = argparse.Namespace(models=models, mm_per_px=1.0, runtime="onnx", precision=precision)
    judge, found = PictureJudge(recipe, words), dict[str, Image]()
    for name, picture in pictures.items():
        file = folder / f"{name}.png"
        cv2.imwrite(str(file), picture)
        looked = judge.look_at(file, judge.criteria)
        if isinstance(looked, str):
            raise SystemExit(f"{name}: {looked}")
        key = f"{recipe.stem} {precision} {name}"
        found[f"{key} mask"] = looked.mask
        rejected = beyond_limits(list(looked.view.defects), judge.criteria.limits)
        found[f"{key} decision"] = np.frombuffer(b"REJECT" if rejected else b"ACCEPT", np.uint8)
        file.unlink()
    return found


def main() -> None:
    """Judge with each model in both precisions."""
    models, pictures, recipes, out = map(Path, sys.argv[1:5])
    given, found = np.load(pictures), dict[str, Image]()
    for recipe in sorted(recipes.glob("*.toml")):
        own = {name.partition(" ")[2]: given[name] for name in given.files if name.startswith(f"{recipe.stem} ")}
        for precision in ("int8", "fp32"):
            found |= judged(models, own, recipe, precision, out.parent)
    np.savez_compressed(out, **found)


if __name__ == "__main__":
    main()
