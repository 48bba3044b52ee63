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


def test_a_model_goes_out_step_by_step_and_a_bad_one_comes_back(works: Works) -> None:
    """One station is off at first, and the command is killed once. Nobody loses a part."""
    first, recipe = works.model("1.0"), works.recipe(1)
    stations = [KeptStation(works.station(name, first, recipe)) for name in ("line-1", "line-2")]
    here, late = stations
    recorder = Recorder(works.broker, works.version)
    try:
        with kept([here]), kept([late], begun=False), Robots(stations, parts=12, pause_s=1.0, gap_s=0.05):
            plan = works.plan(works.model("1.1"), stations)
            with rollout(plan) as command:
                wait_for(lambda: step_of(here) == "shadow")
                command.send_signal(signal.SIGKILL)
            late.start()
            with rollout(plan) as command:
                said = command.communicate(timeout=240)[0]
            assert command.returncode == 0, said
            assert [each.status()["models"] for each in stations] == [["mean-1.1"], ["mean-1.1"]]
            assert [each.status()["last"]["step"] for each in stations] == ["kept", "kept"]

            with rollout(works.plan(works.model("1.2", area_px=4000.0), [here], "bad")) as command:
                said = command.communicate(timeout=240)[0]
            assert command.returncode == 1, said
            assert "goes back everywhere" in said
            wait_for(lambda: here.status().get("models") == ["mean-1.1"])
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
    assert steps_back(here) == ("mean-1.2 (shadow)", "mean-1.1")
    assert json.loads(plan.with_suffix(".state.json").read_text())["kept"] is True


def steps_back(station: KeptStation) -> tuple[str, str]:
    """The last change of its model."""
    last = [each.change for each in read(station.path.parent / "state") if each.change.what == "rollout model"][-1]
    return last.before, last.after
