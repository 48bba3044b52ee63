"""Records a shift of the demo with faults in it, judges it again, and compares.

`python benchmarks/replay_shift.py` takes 20 minutes for the shift. `--minutes 3` is a short one. Then it runs a line
with another model, and compares its decisions with what a replay says that this model would have decided.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.chaos.account import account_for
from edge_inspector.simulation.demo import Demo
from edge_inspector.simulation.options import DemoOptions
from edge_inspector.simulation.report import read_ledger
from edge_inspector.simulation.station_files import models_dir

PITCH_MM = 400.0  # of the demo's belt
BUDGET_MB = 50_000
CHANGED = "tile-9.9"
NOT_INSPECTED = "NOT_INSPECTED"
# `forgotten`: unaccounted, because no station was there to read it, and the PLC knew. `lost`, `unwarned`: it did not.
_TOLD = (
    "parts_triggered",
    "accept",
    "reject",
    "not_inspected",
    "unaccounted",
    "forgotten",
    "lost",
    "late",
    "unwarned",
)
_ALWAYS = 0, 2**63
_AREAS_TIMES = 12.0  # the other model takes only much larger regions for defects


class OwnModels(Demo):
    """A demo whose models are in a folder of the caller."""

    models: Path

    def _write_files(self, line_file: Path) -> None:
        super()._write_files(line_file)
        station = self.folder / "station.toml"
        station.write_text(station.read_text().replace(str(models_dir()), str(self.models)))


def play(options: DemoOptions, folder: Path, models: Path | None = None) -> tuple[dict[str, Any], dict[int, str]]:
    """A run's report, and the decision on each part."""
    folder.mkdir()
    demo = OwnModels(options, folder)
    demo.models = models or models_dir()
    with redirect_stdout(io.StringIO()), demo.running():
        demo.play()
        report = dict(demo.finish())
        verdicts = demo.recorder.verdicts()
        decisions = {body["part_seq"]: body["decision"] for body in verdicts}
    fate = account_for(read_ledger(folder / "ledger.jsonl"), verdicts, None, _ALWAYS)
    report |= {"forgotten": fate.forgotten, "lost": fate.lost, "unwarned": fate.unwarned}
    return report, decisions


def replayed(shift: Path, *arguments: str) -> str:
    """What `edge-inspector replay` prints of a shift."""
    command = [
        sys.executable,
        "-m",
        "edge_inspector",
        "replay",
        str(shift),
        "--models-dir",
        str(models_dir()),
        *arguments,
    ]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout


def decisions_of(shift: Path, *arguments: str) -> dict[int, str]:
    """The decision of a replay on each part."""
    with tempfile.TemporaryDirectory() as folder:
        expected = Path(folder) / "expected.jsonl"
        replayed(shift, "--update-expected", str(expected), *arguments)
        lines = map(json.loads, expected.read_text().splitlines())
        return {line["part"][2]: line["decision"] for line in lines}


def shifts(folder: Path) -> list[Path]:
    """The records of a run, in the order of time. Each start of the daemon begins one."""
    return sorted((folder / "state" / "shifts").iterdir())


def with_faults(minutes: float, folder: Path, speed_mm_s: float) -> bool:
    """Record, replay, print. Whether every verdict is equal to the byte."""
    seconds = 60.0 * minutes
    kills = [f"{what}@{share * seconds:.0f}" for what, share in (("plc", 0.2), ("broker", 0.45), ("daemon", 0.7))]
    parts = round(seconds * speed_mm_s / PITCH_MM)
    faults = f"incomplete_every = 97, lost_from = {parts // 3}, lost_until = {parts // 3 + 20}"
    options = DemoOptions(parts=parts, speed_mm_s=speed_mm_s, kills=kills, camera_faults=faults, record_mb=BUDGET_MB)
    print(f"{parts} parts, {', '.join(kills)}, camera 1: {faults}", flush=True)
    report, _ = play(options, folder)
    print(", ".join(f"{key} {report[key]}" for key in _TOLD), flush=True)
    equal = True
    for shift in shifts(folder):
        for ways in ([], ["--recorded-views"]):
            words = replayed(shift, *ways)
            print(f"\n{shift.name} ({size_mb(shift):.0f} MB) {' '.join(ways)}\n{words.strip()}", flush=True)
            match = re.search(r"(\d+) of (\d+) verdicts are equal to the byte", words)
            equal = equal and match is not None and match[1] == match[2]
    return equal


def size_mb(folder: Path) -> float:
    """Megabytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20


def changed_model(folder: Path) -> Path:
    """A folder of models with one of the shipped net's other file, and with other limits."""
    models = folder / "models"
    shutil.copytree(models_dir() / "tile-1.1", models / "tile-1.1")
    shutil.copytree(models_dir() / "tile-1.1", models / CHANGED)
    manifest = models / CHANGED / "manifest.toml"
    text = manifest.read_text().replace('version = "1.1"', 'version = "9.9"')
    fp32 = re.search(r"\[files\.fp32\]\n(path = .*\nsha256 = .*\n)", text)
    if fp32 is None:
        raise SystemExit("tile-1.1 has no fp32 file")
    text = re.sub(r"(\[files\.int8\]\n)path = .*\nsha256 = .*\n", lambda match: match[1] + fp32[1], text)
    manifest.write_text(
        re.sub(r"min_area_px = (\S+)", lambda match: f"min_area_px = {float(match[1]) * _AREAS_TIMES}", text)
    )
    return models


def with_another_model(parts: int, folder: Path, speed_mm_s: float) -> bool:
    """Whether a replay names the same changed parts as two runs of the line.

    What was in time is the machine's matter. So only parts count that both runs have inspected, and whose pictures were
    all recorded.
    """
    models = changed_model(folder)
    options = DemoOptions(parts=parts, cameras=2, speed_mm_s=speed_mm_s, record_mb=BUDGET_MB)
    _, before = play(options, folder / "before")
    _, fresh = play(replace(options, model=CHANGED), folder / "fresh", models)
    (shift,) = shifts(folder / "before")
    replay = decisions_of(shift, "--model", str(models / CHANGED))
    told = re.search(r"(\d+) views are as recorded", replayed(shift))
    both = [part for part in before if NOT_INSPECTED not in {before[part], fresh.get(part, NOT_INSPECTED)}]
    by_runs = {part: fresh[part] for part in both if fresh[part] != before[part]}
    by_replay = {part: replay[part] for part in both if replay[part] != before[part]}
    print(
        f"\nanother model: {len(both)} of {parts} parts were inspected in both runs. Changed by the replay "
        f"{len(by_replay)}, by a fresh run {len(by_runs)}. Pictures that are missing in the record: "
        f"{told[1] if told else 0}"
    )
    for part in sorted(by_runs.keys() | by_replay.keys()):
        if by_runs.get(part) != by_replay.get(part):
            print(f"part {part}: {before[part]} then, {replay[part]} by the replay, {fresh[part]} by the fresh run")
    return bool(by_runs) and by_runs == by_replay


def main() -> int:
    """Exit code 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0, help="of the shift (default: %(default)s)")
    parser.add_argument("--parts", type=int, default=150, help="of the run with another model (default: %(default)s)")
    parser.add_argument(
        "--speed-mm-s",
        type=float,
        default=2000.0,
        help="of the belt. Less where the machine is busy (default: %(default)s)",
    )
    parser.add_argument("--keep", type=Path, help="keep all files in this new folder")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edge-inspector-replay-") as temporary:
        folder = given.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        equal = with_faults(given.minutes, folder.resolve() / "shift", given.speed_mm_s) if given.minutes else True
        same = with_another_model(given.parts, folder.resolve(), given.speed_mm_s / 2) if given.parts else True
    print(
        f"\nequal to the byte: {'yes' if equal else 'NO'}. Changed parts as in a fresh run: {'yes' if same else 'NO'}"
    )
    return 0 if equal and same else 1


if __name__ == "__main__":
    sys.exit(main())
