"""`edge-inspector reference`: learn what the line looks like when all is well, from the parts that it has judged."""

from __future__ import annotations

import argparse
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from edge_inspector.codes import Decision
from edge_inspector.commands.arguments import add_period, add_state, add_why, whole
from edge_inspector.commands.changes import write_down
from edge_inspector.errors import EdgeInspectorError
from edge_inspector.inspection.drift import ENOUGH, distribution
from edge_inspector.inspection.reference import Reference, reference_path
from edge_inspector.station.load import read_state_dir
from edge_inspector.store.database import micros, utc_from
from edge_inspector.store.lock import COMMANDS, StateLock
from edge_inspector.store.results_file import open_results, results_path
from edge_inspector.store.whole_file import replace_file

_FIGURES = ("brightness", "sharpness", "confidence")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whose parts, and which of them."""
    add_state(parser)
    parser.add_argument(
        "--recipe", type=whole, metavar="ID", help="id of the recipe (default: the recipe of the last part)"
    )
    add_period(parser)
    add_why(parser)


def run(given: argparse.Namespace) -> int:
    """Write the reference, and print what it was learned from."""
    learnt = learn_reference(read_state_dir(given.station), given.recipe, given.since, given.until, why=given.why)
    print(f"recipe {learnt.recipe_id}: {learnt.parts} parts, {learnt.reject_rate:.1%} rejected")
    for each in learnt.distributions:
        print(f"{each.count:10} {each.subject} {each.quantity}")
    return 0


def learn_reference(
    state_dir: Path, recipe_id: int | None, since: datetime | None, until: datetime | None, *, why: str = ""
) -> Reference:
    """A recipe's reference, from its parts judged in [since, until), written into `state_dir`.

    `recipe_id` None is the recipe judged last. A running station takes it up by itself. Raises EdgeInspectorError
    where there are not enough parts.
    """
    with open_results(results_path(state_dir)) as db:
        if recipe_id is None:
            newest = db.execute("SELECT recipe_id FROM parts ORDER BY id DESC LIMIT 1").fetchone()
            recipe_id = newest["recipe_id"] if newest else 0
        span = (
            recipe_id,
            micros(since) if since else -(2**62),
            micros(until) if until else 2**62,
            Decision.NOT_INSPECTED,
        )
        reference = _learn(db, span)
    path = reference_path(state_dir, reference.recipe_id)
    learnt = f"{reference.parts} parts, {reference.reject_rate:.1%} rejected"
    before = "another one" if path.exists() else "none"
    write_down(state_dir, "reference", f"recipe {reference.recipe_id}", before=before, after=learnt, why=why)
    try:
        with StateLock(state_dir, COMMANDS).held():
            replace_file(path, reference.model_dump_json(indent=1) + "\n")
    except OSError as error:
        raise EdgeInspectorError(f"{path}: cannot be written: {error.strerror}") from error
    return reference


def _learn(db: sqlite3.Connection, span: tuple[int, int, int, int]) -> Reference:
    inspected = "FROM parts WHERE recipe_id = ? AND utc_us >= ? AND utc_us < ? AND decision <> ?"
    count, rejected, first, last = db.execute(
        f"SELECT count(*), sum(decision = {Decision.REJECT:d}), min(utc_us), max(utc_us) {inspected}",
        span,
    ).fetchone()
    if count < ENOUGH:
        raise EdgeInspectorError(f"{count} inspected parts of recipe {span[0]}: at least {ENOUGH} make a reference")
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for subject, quantity, value in _values(db, inspected, span):
        values[subject, quantity].append(value)
    return Reference(
        recipe_id=span[0],
        since_utc=utc_from(first),
        until_utc=utc_from(last),
        parts=count,
        reject_rate=rejected / count,
        distributions=[distribution(*key, found) for key, found in sorted(values.items()) if len(found) >= ENOUGH],
    )


def _values(
    db: sqlite3.Connection, inspected: str, span: tuple[int, int, int, int]
) -> Iterator[tuple[str, str, float]]:
    for row in db.execute(
        f"SELECT camera, brightness, sharpness, confidence FROM views WHERE part_id IN (SELECT id {inspected})",  # noqa: S608 -- of constants
        span,
    ):
        for quantity in _FIGURES:
            if row[quantity] is not None:
                yield row["camera"], quantity, row[quantity]
    for defect_class, area_mm2 in db.execute(
        f"SELECT defect_class, area_mm2 FROM defects WHERE part_id IN (SELECT id {inspected})",  # noqa: S608 -- of constants
        span,
    ):
        yield defect_class, "area", area_mm2
