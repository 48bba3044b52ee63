"""From a bare folder to the first judged picture: minutes, commands, and how good the model is after 1, 5, 20 minutes.

    python benchmarks/quick_model.py DATA... [--minutes 1 5 20] [--out DIR]

Each DATA is a folder with index.csv that has a split `val`. A bare folder is made of its `train` pictures first: good/
and bad/ with masks, as a person would sort them, without groups and splits. Then the same two commands are typed as in
the tutorial. The figures are those of the split `val`, which the commands never see.
"""

import argparse
import csv
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--minutes", type=float, nargs="+", default=[1.0, 5.0, 20.0])
    parser.add_argument("--out", type=Path, default=Path("quick-model"))
    given = parser.parse_args()
    rows = []
    for data in given.data:
        bare = bare_folder(data, given.out / data.name / "pictures")
        for minutes in given.minutes:
            rows.append(measured(data, bare, minutes, given.out / data.name / f"{minutes:g}"))
            print(json.dumps(rows[-1]), flush=True)
    print("| data | minutes of training | minutes to the first judged picture | part recall | false rejects |")
    print("|---|---|---|---|---|")
    for row in rows:
        print("| " + " | ".join(str(row[name]) for name in row) + " |")


def bare_folder(data: Path, target: Path) -> Path:
    """The `train` pictures in good/ and bad/, the masks of bad ones beside them."""
    if target.exists():
        return target
    with (data / "index.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "train" and not row.get("note")]
    for row in rows:
        image = data / row["image"]
        bad = row["label"] == "1"
        folder = target / ("bad" if bad else "good")
        folder = folder / row["class"] if bad else folder
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(image, folder / image.name)
        if bad:
            shutil.copyfile(data / row["mask"], folder / f"{image.stem}_mask.png")
    return target


def measured(data: Path, bare: Path, minutes: float, out: Path) -> dict[str, object]:
    """One line of the table."""
    models, run = out / "models", out / "run"
    begun = time.monotonic()
    typed("model", "quick", bare, "--name", "quick", "--minutes", minutes, "--out", run, "--models", models)
    picture = next((bare / "good").iterdir())
    typed("judge", picture, "--recipe", run / "recipe.toml", "--models", models)
    took = (time.monotonic() - begun) / 60
    said = typed("model", "evaluate", models / "quick-1.0", data, "--dry-run")
    recall = re.search(r"part recall ([\d.]+).*: (\d+ of \d+) escape", said)
    rejects = re.search(r"false rejects ([\d.]+).*: (\d+ of \d+)", said)
    return {
        "data": data.name,
        "minutes": minutes,
        "took": round(took, 1),
        "recall": f"{recall[1]} ({recall[2]} escape)" if recall else "none",
        "false rejects": f"{rejects[1]} ({rejects[2]})" if rejects else "none",
    }


def typed(*words: object) -> str:
    """What a command prints. It must not fail."""
    command = [sys.executable, "-m", "edge_inspector", *map(str, words)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
