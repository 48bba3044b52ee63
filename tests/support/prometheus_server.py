"""A real Prometheus of a hall or a plant: a process of its own on loopback, with the shipped configuration."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from support.simulated_stations import SimulatedStations

from edge_inspector.simulation.demo import free_port

DEPLOY = Path(__file__).parents[2] / "deploy"
PATIENCE_S = 120.0


@contextmanager
def prometheus(folder: Path, config: dict[str, Any]) -> Iterator[int]:
    """One with this configuration, and the rules beside it. Gives its port."""
    folder.mkdir()
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    for name in ("rules.yml", "recording.yml"):
        shutil.copy(DEPLOY / "prometheus" / name, folder)
    with started(folder) as port:
        yield port


@contextmanager
def started(folder: Path) -> Iterator[int]:
    """One with the configuration in this folder. Gives its port."""
    port = free_port()
    with (folder / "prometheus.log").open("w") as log:
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
