"""Whether limits from good parts keep their promise on parts of other surfaces: random halves, and halves by group.

python -m benchmarks.promises RECIPE.toml DATA [--split val] [--models models]
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_inspector.commands.arguments import share
from edge_inspector.commands.judge import PictureJudge, add_model
from edge_inspector.inspection.calibration import Regions, bare, propose, refuses
from edge_inspector.inspection.promise import RejectPromise
from edge_inspector.inspection.recipe import Criteria

_DRAWS: Final = 300
Half = Callable[[], NDArray[np.int64]]


def main() -> None:
    """Look at each picture once, and print a line for each way to halve the good ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--false-rejects", type=share, default=0.05)
    parser.add_argument("--confidence", type=share, default=0.95)
    parser.add_argument("--group", default="group", help="column of index.csv whose values are kept together")
    add_model(parser)
    given = parser.parse_args()
    judge = PictureJudge(given.recipe, given)
    rows = [row for row in csv.DictReader((given.data / "index.csv").open()) if row["split"] == given.split]
    seen = [_regions(judge, given.data / row["image"]) for row in rows]
    good = [at for at, row in enumerate(rows) if row["label"] == "0"]
    bad = [seen[at] for at, row in enumerate(rows) if row["label"] != "0"]
    groups = np.array([rows[at][given.group] for at in good])
    promise, rng = RejectPromise(given.false_rejects, given.confidence), np.random.default_rng(1)
    pixel_mm2 = float((given.mm_per_px * judge.model.stride) ** 2)
    print(f"{len(good)} good pictures of {len(set(groups))} groups, {len(bad)} bad ones, {_DRAWS} draws of halves")
    refused = _refused(judge, (seen[at] for at in good))
    print(f"now: {refused} good ones rejected, {_refused(judge, bad)} bad ones")
    halves: dict[str, Half] = {
        "random": lambda: rng.permutation(len(good))[: len(good) // 2],
        "by group": lambda: np.flatnonzero(
            np.isin(groups, rng.permutation(sorted(set(groups)))[: len(set(groups)) // 2])
        ),
    }
    for name, half in halves.items():
        table = np.array(list(_draws(judge.criteria, [seen[at] for at in good], bad, (promise, pixel_mm2, half))))
        if not len(table):
            print(f"{name}: half of the good ones are too few, {promise.fewest} are needed")
            continue
        realised, recall = table.T
        print(
            f"{name}: {len(table)} draws; false rejects mean {realised.mean():.3f}, within the promise in "
            f"{(realised <= promise.false_rejects).mean():.3f}, within twice in "
            f"{(realised <= 2 * promise.false_rejects).mean():.3f}; "
            f"recall mean {recall.mean():.3f}, least {recall.min():.3f}"
        )


def _draws(
    criteria: Criteria, good: list[Regions], bad: list[Regions], how: tuple[RejectPromise, float, Half]
) -> Iterator[tuple[float, float]]:
    """Realised false rejects on the other half, and recall, of each draw whose half was enough."""
    promise, pixel_mm2, half = how
    for _ in range(_DRAWS):
        chosen = set(half().tolist())
        ours = [part for at, part in enumerate(good) if at in chosen]
        others = [part for at, part in enumerate(good) if at not in chosen]
        found = propose(criteria, ours, bad, promise=promise, pixel_mm2=pixel_mm2)
        if found is not None and others:
            after = Criteria(criteria.recipe, found.limits)
            yield sum(refuses(after, part) for part in others) / len(others), found.caught / max(1, len(bad))


def _regions(judge: PictureJudge, path: Path) -> Regions:
    found = judge.look_at(path, bare(judge.criteria))
    if isinstance(found, str):
        raise SystemExit(f"{path}: {found}")
    return found.view.defects


def _refused(judge: PictureJudge, parts: Iterable[Regions]) -> int:
    return sum(refuses(judge.criteria, part) for part in parts)


if __name__ == "__main__":
    main()
