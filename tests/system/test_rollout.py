"""Real stations, real pages, the real command: a model goes out step by step, and a bad one comes back by itself."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.rollout_stations import KeptStation, Robots, Works, kept

from edge_inspector.simulation.broker import DemoBroker
from edge_inspector.simulation.demo import free_port
from edge_inspector.simulation.recorder import Recorder
from edge_inspector.store.audit import read, verify

pytestmark = pytest.mark.system
pytest.importorskip("cryptography")


@pytest.fixture
def works(tmp_path: Path) -> Iterator[Works]:
    with DemoBroker(free_port(), tmp_path) as broker:
        made = Works(tmp_path, broker.port, broker.mqtt_version)
        yield made


def rollout(plan: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "edge_inspector", "rollout", str(plan), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for(what: Callable[[], Any], within_s: float = 120.0) -> None:
    until_s = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < until_s
        time.sleep(0.05)


def step_of(station: KeptStation) -> str:
    trial = station.status().get("trial")
    return trial["step"] if trial else ""


def test_a_model_goes_out_step_by_step_and_the_command_may_be_killed(works: Works) -> None:
    """One station is off at first. A bad model afterwards looks on, and is not let further."""
    first, recipe = works.model("1.0"), works.recipe(1)
    stations = [KeptStation(works.station(name, first, recipe)) for name in ("line-1", "line-2")]
    recorder = Recorder(works.broker, works.version)
    try:
        with kept(stations), Robots(stations, parts=5, pause_s=1.5):
            stations[1].off()
            plan = works.plan(works.model("1.1"), stations)
            with rollout(plan) as command:
                wait_for(lambda: step_of(stations[0]) == "shadow")
                command.send_signal(signal.SIGKILL)
            with rollout(plan) as command:
                wait_for(lambda: step_of(stations[0]) == "judges")
                stations[1].on()
                said = command.communicate(timeout=120)[0]
            assert command.returncode == 0, said
            assert [each.status()["models"] for each in stations] == [["mean-1.1"], ["mean-1.1"]]
            assert [each.status()["last"]["step"] for each in stations] == ["kept", "kept"]

            with rollout(works.plan(works.model("1.2", area_px=4000.0), stations, "bad")) as command:
                said = command.communicate(timeout=120)[0]
            assert command.returncode == 1, said
            assert "goes back everywhere" in said
            assert "the new model accepts" in said
            wait_for(lambda: all(each.status().get("models") == ["mean-1.1"] for each in stations))
        time.sleep(0.5)
        bodies = recorder.verdicts()
    finally:
        recorder.stop()
    for station in stations:
        told = [body["part_id"] for body in bodies if body["part_id"].startswith(f"{station.name}-")]
        assert len(told) == len(set(told)), "no part has two verdicts"
        assert {each["part_id"] for each in station.answered} <= set(told), "each part has its verdict"
        state = station.path.parent / "state"
        changes = [each.change for each in read(state) if each.change.what == "rollout model"]
        steps = [(each.before, each.after) for each in changes]
        assert steps[:2] == [("mean-1.0", "mean-1.1 (shadow)"), ("mean-1.1 (shadow)", "mean-1.1")]
        assert "a better net" in changes[0].why
        assert "ordered by rollout" in changes[0].why
        assert verify(state) == []
    assert json.loads(plan.with_suffix(".state.json").read_text())["kept"] is True
