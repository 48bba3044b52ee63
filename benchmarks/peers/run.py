"""Runs all products on the same work, in turns: `python benchmarks/peers/run.py`. Prints JSON and a table."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import peer_edge_inspector
import watched
from install import ENVS, PACKAGES, install, python_of
from scenarios import Figures, Scenario, scenarios
from table import table
from world import World

from edge_inspector.simulation.bench.raw import RawModel

_HERE = Path(__file__).parent
Run = Callable[[Scenario], Figures]


def main() -> None:
    """Install what is missing, run, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=["edge-inspector", *PACKAGES])
    parser.add_argument("--envs", type=Path, default=ENVS)
    parser.add_argument("--find-links", default=os.environ.get("PIP_FIND_LINKS", ""))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--only", nargs="*", help="scenarios")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/peers.json"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="peers-world-") as folder:
        world = World.draw(Path(folder))
        products: dict[str, Run] = {}
        for name in given.names:
            if name == "edge-inspector":
                products[name] = peer_edge_inspector.run
            else:
                install(given.envs.resolve(), name, given.find_links)
                script = _HERE / f"peer_{name}.py"
                products[name] = partial(_watch, python_of(given.envs.resolve(), name), script, world)
        given.out.parent.mkdir(parents=True, exist_ok=True)
        rounds: list[Figures] = []
        for _ in range(given.repeats):
            rounds.append(_round(products, given.seconds, given.only))
            given.out.write_text(json.dumps(rounds, indent=1) + "\n")
            print(table(rounds), flush=True)


def _watch(python: Path, script: Path, world: World, scenario: Scenario) -> Figures:
    return watched.run(python, script, scenario, world)


def _round(products: dict[str, Run], seconds: float, only: list[str] | None) -> Figures:
    model = RawModel("tile-1.1")
    found: Figures = {"products": {name: {} for name in products}}
    for number in range(len(scenarios(seconds, 1.0))):
        for name, run in products.items():
            # Measured again for each, because other work on the machine changes its speed within a minute.
            scenario = scenarios(seconds, model.frames_per_s(2.0))[number]
            if only and scenario.name not in only:
                continue
            try:
                figures = run(scenario)
            except RuntimeError as error:
                figures = {"error": str(error)}
            print(f"{scenario.name}: {name}: {json.dumps(figures)}", file=sys.stderr, flush=True)
            found["products"][name][scenario.name] = figures
    return found


if __name__ == "__main__":
    main()
