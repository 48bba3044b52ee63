"""What one page of many stations costs: the share of a core that asking them takes, and a screen that looks.

`python benchmarks/fleet.py` simulates 100 stations in a process of their own, each with the answers of a real one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support.simulated_stations import SimulatedStation, SimulatedStations, fleet_text  # noqa: E402 -- from the tests

from edge_inspector.fleet.serve import Fleet  # noqa: E402
from edge_inspector.fleet.tables import read_fleet  # noqa: E402
from edge_inspector.simulation.demo import free_port  # noqa: E402

SCREEN_S = 3.0  # as the page asks


def serve_stations(count: int) -> None:
    """Be these stations until stdin ends. The first line is the port."""
    with SimulatedStations(*(SimulatedStation(f"line-{at}", boot_id=at + 1) for at in range(count))) as server:
        print(server.port, flush=True)
        sys.stdin.read()


def look(port: int, until_s: float, *, screens: int) -> int:
    """What so many screens do. Returns how many stations the last answer had."""
    shown = 0
    while time.monotonic() < until_s:
        for _ in range(screens):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/fleet", timeout=10) as answer:
                shown = len(json.load(answer)["stations"])
        time.sleep(min(SCREEN_S, max(0.0, until_s - time.monotonic())))
    return shown


def measure(given: argparse.Namespace, port: int) -> dict[str, Any]:
    """The figures of one run: first the poll alone, then with a screen."""
    web = free_port()
    addresses = [f"http://127.0.0.1:{port}/line-{at}" for at in range(given.stations)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fleet.toml"
        path.write_text(fleet_text(addresses, port=web, every_s=given.every_s, figures_every_s=given.figures_every_s))
        fleet = Fleet(read_fleet(path))
        fleet.start()
        try:
            while not fleet.poll.rounds:
                time.sleep(0.1)
            alone, rounds = _share(lambda end_s: time.sleep(max(0.0, end_s - time.monotonic())), given.seconds, fleet)
            shown = 0

            def screen(end_s: float) -> None:
                nonlocal shown
                shown = look(web, end_s, screens=given.screens)

            watched, _ = _share(screen, given.seconds, fleet)
        finally:
            fleet.stop()
    well = sum(not each.reading.failed for each in fleet.roster.sightings())
    return {
        "stations": given.stations,
        "answered": well,
        "shown": shown,
        "every_s": given.every_s,
        "rounds": rounds,
        "core_share_poll": round(alone, 5),
        "core_share_with_screens": round(watched, 5),
        "ms_per_round": round(1000 * alone * given.every_s, 2),
    }


def _share(spend: Any, seconds: float, fleet: Fleet) -> tuple[float, int]:
    """The share of a core that this process takes meanwhile. The looking itself is in this process, too, and counts."""
    rounds, began, used = fleet.poll.rounds, time.monotonic(), time.process_time()
    spend(began + seconds)
    return (time.process_time() - used) / (time.monotonic() - began), fleet.poll.rounds - rounds


def main() -> int:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stations", type=int, default=100)
    parser.add_argument("--every-s", type=float, default=10.0, help="time between two polls (default: the page's)")
    parser.add_argument("--figures-every-s", type=float, default=60.0)
    parser.add_argument("--screens", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=120.0, help="length of each of the two parts")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve is not None:
        serve_stations(given.serve)
        return 0
    command = [sys.executable, __file__, "--serve", str(given.stations)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as stations:
        if stations.stdout is None or stations.stdin is None:
            return 1
        try:
            found = measure(given, int(stations.stdout.readline()))
        finally:
            stations.stdin.close()
    print(json.dumps(found, indent=2))
    if given.out is not None:
        given.out.write_text(json.dumps(found, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
