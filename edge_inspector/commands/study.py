"""`edge-inspector study`: how well the station agrees with known parts and with itself, from its challenges."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from edge_inspector.codes import Decision
from edge_inspector.commands.arguments import add_period, add_state, whole
from edge_inspector.commands.reports import add_outputs, refuse_outputs, write_outputs
from edge_inspector.documents import Document
from edge_inspector.errors import ConfigError, Fault
from edge_inspector.runtime.clock import iso, moment
from edge_inspector.station.load import read_state_dir
from edge_inspector.store.challenges import StoredChallenge, challenges_path, read_challenges
from edge_inspector.training.judging.agreement import Agreement, Interval, Rating, Share, agreement

_GOOD: Final = 0.75
_FAIR: Final = 0.4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whose challenges, and which."""
    add_state(parser)
    add_period(parser)
    parser.add_argument("--recipe", type=whole, metavar="ID", help="recipe to study (default: that of the last run)")
    add_outputs(parser)


def run(given: argparse.Namespace) -> int:
    """Compute and write."""
    refuse_outputs(given)
    state_dir = read_state_dir(given.station)
    runs = chosen(read_challenges(state_dir), given.recipe, given.since, given.until)
    if len(runs) < 2:
        where = challenges_path(state_dir)
        raise ConfigError([Fault(str(where), "a study needs at least two challenges of one recipe in this period")])
    found = agreement(ratings_of(runs))
    document = Document(
        f"Agreement study of recipe {runs[-1].recipe_id}",
        f"{len(runs)} runs from {iso(runs[0].utc, 'minutes')} to {iso(runs[-1].utc, 'minutes')}. "
        f"Written at {iso(moment().utc, 'minutes')}.",
    )
    tell(document, runs, found)
    print("\n".join(f"{name}: {value}" for name, value in figures_of(found)))
    write_outputs(given, document)
    return 0


def chosen(
    all_runs: Iterable[StoredChallenge], recipe_id: int | None, since: datetime | None, until: datetime | None
) -> list[StoredChallenge]:
    """The challenges of one recipe in the period, oldest first."""
    runs = [
        run
        for run in all_runs
        if (since is None or run.utc >= since) and (until is None or run.utc < until) and run.parts
    ]
    wanted = recipe_id if recipe_id is not None else (runs[-1].recipe_id if runs else None)
    return [run for run in runs if run.recipe_id == wanted]


def ratings_of(runs: Sequence[StoredChallenge]) -> list[Rating]:
    """What was said of each part in each run."""
    return [
        Rating(part.name, part.expect.startswith("reject"), Decision[part.decision], run.by, number)
        for number, run in enumerate(runs)
        for part in run.parts
        if part.decision in Decision.__members__
    ]


def figures_of(found: Agreement) -> list[tuple[str, str]]:
    """The figures in words."""
    return [
        ("parts x runs", f"{found.parts} x {found.runs}"),
        ("miss rate", _share(found.misses)),
        ("false alarm rate", _share(found.false_alarms)),
        (
            "kappa with what the parts are",
            f"{_number(found.kappa)} {_interval(found.kappa_95)}: {_verdict(found.kappa)}",
        ),
        ("kappa between runs", _number(found.between_runs)),
        *((f"repeatability, runs by {who}", _share(share)) for who, share in found.repeatability.items()),
        ("reproducibility, all runs", _share(found.reproducibility)),
    ]


def tell(document: Document, runs: Sequence[StoredChallenge], found: Agreement) -> None:
    """Add the study to a document."""
    document.section("Agreement")
    document.pairs(figures_of(found))
    document.text(
        "Intervals hold 95 %. Those of rates and of kappa are over parts, because runs of the same part are not "
        "independent. A part that was not inspected counts as wrong. "
        "Above 0.75 kappa is usually called good, below 0.4 poor."
    )
    criteria = {run.criteria for run in runs}
    if len(criteria) > 1:
        what = "The runs were made with different recipes, limits or models, so they are no repetitions of each other"
        document.text(f"{what}: criteria {', '.join(sorted(criteria))}.", "bad")
    document.section("Part by part")
    document.table(["part", "must be", "right", "of runs", "decisions"], _parts(runs))
    document.section("Runs")
    document.table(
        ["when", "by", "criteria", "result", "right", "of"],
        [
            (
                iso(run.utc, "minutes"),
                run.by,
                run.criteria,
                run.why or "passed",
                sum(part.right for part in run.parts),
                run.expected,
            )
            for run in runs
        ],
    )


def _parts(runs: Sequence[StoredChallenge]) -> list[tuple[object, ...]]:
    rows: dict[str, list[object]] = {}
    for run in runs:
        for part in run.parts:
            row = rows.setdefault(part.name, [part.name, part.expect, 0, 0, ""])
            row[2], row[3] = int(str(row[2])) + part.right, int(str(row[3])) + 1
            row[4] = f"{row[4]}{part.decision[0]}"
    return [tuple(row) for row in rows.values()]


def _share(share: Share) -> str:
    if not share.of:
        return "no such parts"
    return f"{share.some} of {share.of} = {share.rate:.3f} {_interval(share.interval)}"


def _number(value: float) -> str:
    return "not defined" if math.isnan(value) else f"{value:.3f}"


def _interval(interval: Interval) -> str:
    low, high = interval
    return "" if math.isnan(low) else f"[{low:.3f}, {high:.3f}]"


def _verdict(kappa: float) -> str:
    if math.isnan(kappa):
        return "all parts are of one kind"
    return "good" if kappa >= _GOOD else "fair" if kappa >= _FAIR else "poor"
