"""A roll-out over many stations: a good model with one station off, and bad models that must come back by themselves.

`python benchmarks/rollout.py` runs 20 whole stations on this machine, each a daemon of its own with its page, a tiny
ONNX model and a robot that calls for parts, with stops of the line in between. Verdicts are counted at the broker.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support.rollout_stations import KeptStation, Robots, Works, kept  # noqa: E402 -- from the tests

from edge_inspector.simulation.broker import DemoBroker  # noqa: E402
from edge_inspector.simulation.demo import free_port  # noqa: E402
from edge_inspector.simulation.recorder import Recorder  # noqa: E402

WAIT_S = 900.0


def wait_for(what: Callable[[], Any], within_s: float = WAIT_S) -> bool:
    """Whether it came in time."""
    until_s = time.monotonic() + within_s
    while not what():
        if time.monotonic() > until_s:
            return False
        time.sleep(0.2)
    return True


def rolled_out(plan: Path, back_on: Callable[[list[str]], None] = lambda _: None) -> dict[str, Any]:
    """Run the command to its end. `back_on` sees the lines that it has printed so far."""
    begun_s, said = time.monotonic(), list[str]()
    command = [sys.executable, "-m", "edge_inspector", "rollout", str(plan)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        watch = threading.Timer(WAIT_S, process.kill)
        watch.start()
        for line in process.stdout or ():
            said.append(line.rstrip())
            back_on(said)
        code = process.wait()
        watch.cancel()
    return {"exit_code": code, "took_s": round(time.monotonic() - begun_s, 1), "said": said}


def all_judge_by(stations: Sequence[KeptStation], model: str) -> bool:
    """Whether each station answers, and judges by this model."""
    return all(each.status().get("models") == [model] for each in stations)


def taken_by(station: KeptStation) -> int:
    """Calls that the station took, by its log."""
    text = (station.path.parent / "daemon.log").read_text()
    return sum("command inspect from" in line and ": done" in line for line in text.splitlines())


def accounted(stations: Sequence[KeptStation], bodies: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Calls of the robots against verdicts at the broker."""
    told = Counter(body["part_id"] for body in bodies)
    answered = [each["part_id"] for station in stations for each in station.answered]
    unclear = [part for station in stations for part in station.unclear]
    return {
        "parts_called_and_answered": len(answered),
        "parts_taken_by_the_stations": sum(map(taken_by, stations)),
        "answers_lost": len(unclear),
        "of_these_with_a_verdict": sum(part in told for part in unclear),
        "verdicts_at_the_broker": len(told),
        "lost": sum(part not in told for part in answered),
        "twice": sum(count > 1 for count in told.values()),
        "decisions": dict(Counter(body["decision"] for body in bodies)),
    }


def measure(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The whole run."""
    with DemoBroker(free_port(), folder) as broker:
        works = Works(folder, broker.port, broker.mqtt_version, quiet_s=given.quiet_s, interval_ms=given.interval_ms)
        first, recipe = works.model("1.0"), works.recipe(1)
        stations = [KeptStation(works.station(f"line-{at + 1}", first, recipe)) for at in range(given.stations)]
        recorder = Recorder(broker.port, broker.mqtt_version)
        watch = {"first": given.first, "parts": given.parts, "pictures": given.pictures}
        found: dict[str, Any] = {}
        try:
            with kept(stations, 900.0), Robots(stations, parts=5, pause_s=given.pause_s, gap_s=given.gap_s):
                off = stations[-1]
                off.off()
                plan = works.plan(works.model("1.1"), stations, "good", **watch)

                def back_on(said: Sequence[str]) -> None:
                    if said[-1].startswith("every station that answers"):
                        off.on()

                found["good"] = rolled_out(plan, back_on)
                found["good"]["all_judge_by_it"] = wait_for(lambda: all_judge_by(stations, "mean-1.1"), 60)
                misses = works.plan(works.model("1.2", area_px=4000.0), stations, "misses", **watch)
                found["finds_nothing"] = rolled_out(misses)
                found["finds_nothing"]["all_as_before"] = wait_for(lambda: all_judge_by(stations, "mean-1.1"), 60)
                rejects = works.model("1.3", confidence=0.0)
                found["rejects_all"] = rolled_out(works.plan(rejects, stations, "rejects", **watch | {"pictures": 0}))
                found["rejects_all"]["all_as_before"] = wait_for(lambda: all_judge_by(stations, "mean-1.1"), 60)
            time.sleep(2.0)
            found |= accounted(stations, recorder.verdicts())
        finally:
            recorder.stop()
    found["starts"] = [each.starts for each in stations]
    return {"stations": given.stations, "first": given.first} | found


def main() -> int:
    """Measure, and print the figures. 1 if a part was lost, or a bad model stayed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stations", type=int, default=20)
    parser.add_argument("--first", type=int, default=2, help="stations that judge with it first")
    parser.add_argument("--parts", type=int, default=20, help="parts that each must judge")
    parser.add_argument("--pictures", type=int, default=20, help="pictures on which both models must agree")
    parser.add_argument("--quiet-s", type=float, default=1.0, help="time without a part that is a stop")
    parser.add_argument("--pause-s", type=float, default=4.0, help="a stop of the line")
    parser.add_argument("--gap-s", type=float, default=0.5, help="time between two parts")
    parser.add_argument("--interval-ms", type=float, default=250.0, help="time between two pictures of the camera")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rollout-") as folder:
        found = measure(given, Path(folder))
    print(json.dumps(found, indent=1))
    if given.out is not None:
        given.out.write_text(json.dumps(found, indent=1) + "\n")
    good = found["good"]["exit_code"] == 0 and found["good"]["all_judge_by_it"]
    bad = all(
        found[each]["exit_code"] == 1 and found[each]["all_as_before"] for each in ("finds_nothing", "rejects_all")
    )
    return 0 if good and bad and not found["lost"] and not found["twice"] else 1


if __name__ == "__main__":
    sys.exit(main())
