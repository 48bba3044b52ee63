"""The campaign: one station after another, each with one mistake, and a table of what it reported."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from benchmarks.wrong.mistakes import MISTAKES, OTHER_LINES, RIGHT_ONES
from benchmarks.wrong.station import RIGHT, Mistake, RunOutcome, WrongStation
from edge_inspector.codes import StationState


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the campaign. 1 if a mistake was not reported, or a right station complained. 2 if no station was chosen."""
    given = _parser().parse_args(arguments)
    chosen = [
        each
        for each in (*RIGHT_ONES, *OTHER_LINES, *MISTAKES)
        if not given.only or given.only in f"{each.family} {each.name} {each.kind}"
    ]
    chosen = [each for each in chosen if each.kind or not given.kinds][:: given.every]
    if not chosen:
        print(f"no station has {given.only!r} in its family and name", file=sys.stderr)
        return 2
    until = time.monotonic() + given.minutes * 60

    def run(mistake: Mistake) -> RunOutcome | None:
        if time.monotonic() > until:
            return None
        outcome = _run(mistake, given.seed, given.keep)
        print(_line(outcome), flush=True)
        return outcome

    with ThreadPoolExecutor(given.jobs) as pool:
        outcomes = [outcome for outcome in pool.map(run, chosen) if outcome is not None]
    print(_table(outcomes))
    left = len(chosen) - len(outcomes)
    if left:
        print(f"out of time: {left} stations were not tried")
    if given.report:
        given.report.write_text(json.dumps([asdict(each) | {"silent": each.silent} for each in outcomes], indent=1))
    return 1 if left or any(each.silent or _false_alarm(each) for each in outcomes) else 0


def _run(mistake: Mistake, seed: int, keep: Path | None) -> RunOutcome:
    with tempfile.TemporaryDirectory(prefix="edge-inspector-wrong-") as folder:
        place = Path(folder).resolve()
        outcome = WrongStation(place, mistake, seed).run()
        if keep is not None and (outcome.silent or _false_alarm(outcome)):
            target = keep / f"{mistake.family}-{mistake.name}".replace(" ", "-").replace("/", "-")
            target.mkdir(parents=True, exist_ok=True)
            for name in ("daemon.log", "ledger.jsonl", "station.toml", "recipe.toml"):
                if (place / name).exists():
                    shutil.copy(place / name, target)
    return outcome


def _false_alarm(outcome: RunOutcome) -> bool:
    """Whether a right station reports a fault, or lets a bad part pass."""
    is_calm = set(outcome.states) == {StationState.READY}
    return outcome.family == RIGHT and (not is_calm or outcome.bad_accepted > 0 or outcome.not_inspected > 1)


def _line(outcome: RunOutcome) -> str:
    verdict = "SILENT" if outcome.silent else "FALSE ALARM" if _false_alarm(outcome) else "ok"
    when = "refused" if outcome.refused else "not told" if not outcome.told else f"{outcome.told_after_s:.2f} s"
    counts = (
        f"{outcome.parts} parts, bad accepted {outcome.bad_accepted} ({outcome.bad_accepted_before_told} before told),"
        f" not inspected {outcome.not_inspected}, without verdict {outcome.without_verdict}"
    )
    return f"{verdict:11} {outcome.family}: {outcome.mistake}: {when}; {counts}; {outcome.words[:160]}"


def _table(outcomes: Sequence[RunOutcome]) -> str:
    rows = [
        (
            "\n| family | stations | silent | bad accepted in silence | not inspected in silence | refused "
            "| told after, p50 / max s |"
        ),
        "|---|---|---|---|---|---|---|",
    ]
    for family in (*dict.fromkeys(each.family for each in outcomes), "all"):
        group = [each for each in outcomes if family in (each.family, "all")]
        silent = [each for each in group if each.silent]
        times = sorted(each.told_after_s for each in group if each.told_after_s is not None)
        told = f"{times[len(times) // 2]:.1f} / {times[-1]:.1f}" if times else ""
        cells = [family, len(group), len(silent), sum(each.bad_accepted for each in silent)]
        cells += [sum(each.not_inspected for each in silent), sum(each.refused for each in group), told]
        rows.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(rows)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.wrong", description=__doc__)
    parser.add_argument("--only", default="", metavar="TEXT", help="stations whose family and name have this text")
    parser.add_argument("--kinds", action="store_true", help="only lines of other kinds")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="each Nth station only (default: all)")
    parser.add_argument("--jobs", type=int, default=2, help="stations at the same time (default: 2)")
    parser.add_argument("--seed", type=int, default=1, help="of the line (default: 1)")
    parser.add_argument("--minutes", type=float, default=40.0, help="end after so long (default: 40)")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write every station's outcome as JSON")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep logs of what was silent here")
    return parser


if __name__ == "__main__":
    sys.exit(main())
