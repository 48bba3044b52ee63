"""A real Prometheus of a hall, and one of the plant: recorded series arrive, and the panels have answers."""

import json
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.simulated_stations import SimulatedStation, SimulatedStations

from edge_inspector.codes import StationState
from edge_inspector.simulation.demo import free_port

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed"),
]

DEPLOY = Path(__file__).parents[2] / "deploy"
PATIENCE_S = 120.0
BOARD = json.loads((DEPLOY / "grafana" / "plant" / "plant.json").read_text())
URGENCY = "instance:edge_inspector_state:urgency"


@contextmanager
def prometheus(folder: Path, config: dict[str, Any]) -> Iterator[int]:
    """One with this configuration, and the rules beside it. Gives its port."""
    folder.mkdir()
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    for name in ("rules.yml", "recording.yml"):
        shutil.copy(DEPLOY / "prometheus" / name, folder)
    port = free_port()
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        yield port
    finally:
        process.terminate()
        try:
            process.wait(10)
        finally:
            process.kill()
            process.wait()


def ask(port: int, expression: str) -> list[Any]:
    query = urllib.parse.urlencode({"query": expression})
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query?{query}", timeout=10) as answer:
        found: list[Any] = json.loads(answer.read())["data"]["result"]
    return found


def until(port: int, expression: str) -> list[Any]:
    """The first answer that is not empty."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            if found := ask(port, expression):
                return found
        except OSError:
            pass  # not listening yet
        assert time.monotonic() < end, f"no {expression}"
        time.sleep(0.2)


def hall_of(server: SimulatedStations) -> dict[str, Any]:
    """The shipped configuration, with these stations and the recording rules."""
    text = (DEPLOY / "prometheus" / "prometheus.yml").read_text().replace("# - recording.yml", "- recording.yml")
    config: dict[str, Any] = yaml.safe_load(text)
    (scrape,) = config["scrape_configs"]
    scrape["static_configs"] = [
        {"targets": [f"127.0.0.1:{server.port}"], "labels": {"instance": name, "__metrics_path__": f"/{name}/metrics"}}
        for name in server.stations
    ]
    return config


def plant_of(hall: int) -> dict[str, Any]:
    """The shipped configuration, with one hall."""
    config: dict[str, Any] = yaml.safe_load((DEPLOY / "prometheus" / "plant.yml").read_text())
    (scrape,) = config["scrape_configs"]
    scrape["static_configs"] = [{"targets": [f"127.0.0.1:{hall}"], "labels": {"site": "hall-1"}}]
    return config


def test_what_a_hall_records_is_shown_in_the_plant(tmp_path: Path) -> None:
    stations = [SimulatedStation("line-1"), SimulatedStation("line-2", state=StationState.STARTING)]
    with ExitStack() as stack:
        server = stack.enter_context(SimulatedStations(*stations))
        hall = stack.enter_context(prometheus(tmp_path / "hall", hall_of(server)))
        plant = stack.enter_context(prometheus(tmp_path / "plant", plant_of(hall)))
        until(plant, f'{URGENCY}{{site="hall-1", job="edge-inspector", instance="line-1"}} == 0')
        until(plant, f'{URGENCY}{{site="hall-1", instance="line-2"}} == 1')
        stations[0].answers = lambda _: b""
        until(plant, f'{URGENCY}{{site="hall-1", instance="line-1"}} == 5')
        until(plant, 'instance_station:edge_inspector_station:info{site="hall-1", station="line-2"}')
        asked = [target["expr"] for panel in BOARD["panels"] for target in panel.get("targets", [])]
        filled = [re.sub(r"\$site", "hall-.*", expression) for expression in asked]
        answered = [expression for expression in filled if ask(plant, expression)]
        assert len(answered) >= 7, answered
