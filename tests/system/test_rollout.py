"""Real stations, real pages, the real command: a model goes out step by step, and a bad one comes back by itself."""

import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from support.certificates import Authority
from support.rollout_lines import BATCH, BatchLine, TlsBroker, line_recipe
from support.rollout_stations import KeptStation, Robots, Works, kept

from edge_inspector.simulation.broker import DemoBroker, find_mosquitto
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


def test_a_recipe_goes_out_between_batches_over_a_broker_with_tls(tmp_path: Path) -> None:
    """Lines with a PLC: the stop is seen from the PLC's parts and belt. A recipe that accepts too much comes back."""
    if find_mosquitto() is None:
        pytest.skip("mosquitto is not installed")
    works, secured = Works(tmp_path, broker=0), TlsBroker(tmp_path, Authority())
    first = line_recipe(works, 1)
    lines = [BatchLine(works, name, secured, first) for name in ("line-1", "line-2")]
    stations = [each.station for each in lines]
    with ExitStack() as stack:
        stack.enter_context(secured.running())
        states = MqttStates(secured.plain_port)
        recorder = Recorder(secured.plain_port, "5")
        stack.callback(recorder.stop)
        stack.callback(states.stop)
        for each in lines:
            stack.enter_context(each.plc())
        stack.enter_context(kept(stations))
        for each in lines:
            each.start_belt()
        watch = {"pictures": 4, "found_pictures": 0, "parts": 4}
        with rollout(works.plan(line_recipe(works, 2), stations, "good", **watch)) as command:
            said = command.communicate(timeout=300)[0]
        assert command.returncode == 0, said
        for station in stations:
            wait_for(lambda name=station.name: states.rollout(name).get("step") == "kept")
            assert station.status()["last"]["step"] == "kept"

        accepts_all = "".join(
            f"[classes.{name}]\nmin_area_mm2 = 1000000.0\n" for name in ("crack", "scratch", "stain", "chip", "colour")
        )
        blind = {"pictures": 500, "agreement_min": 0.0, "found_pictures": 5, "found_min": 0.9}
        with rollout(works.plan(line_recipe(works, 3, accepts_all), stations, "blind", **blind)) as command:
            said = command.communicate(timeout=300)[0]
        assert command.returncode == 1, said
        assert "the new model accepts" in said
        for station in stations:
            wait_for(lambda name=station.name: states.rollout(name).get("step") == "back")
        wait_for(lambda: any("rollout_back" in each.codes() for each in stations))
        fallen = [each for each in stations if "rollout_back" in each.codes()]
        # It starts again meanwhile, and says nothing of roll-outs until then.
        wait_for(lambda: "the new model accepts" in states.rollout(fallen[0].name).get("why", ""))
        with urllib.request.urlopen(f"{fallen[0].address}/metrics", timeout=10) as answer:  # noqa: S310 -- on loopback
            told = answer.read().decode()
        assert 'edge_inspector_condition_active{code="rollout_back",subject="recipe.toml"} 1.0' in told
    for line in lines:
        assert_no_part_was_lost(line, recorder.verdicts())


class MqttStates:
    """The latest `state` of each station, as any subscriber hears it."""

    def __init__(self, port: int) -> None:
        self._told: dict[str, dict[str, Any]] = {}
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda client, *_: client.subscribe("edge/+/state")
        self._client.on_message = self._hear
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _hear(self, _client: mqtt.Client, _user: object, message: mqtt.MQTTMessage) -> None:
        self._told[message.topic.split("/")[1]] = json.loads(message.payload)

    def rollout(self, station: str) -> dict[str, Any]:
        """What it says of its roll-outs."""
        return dict(self._told.get(station, {}).get("rollout") or {})

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def assert_no_part_was_lost(line: BatchLine, told: list[dict[str, Any]]) -> None:
    """Each part has one verdict, by the run of the station that saw its whole batch."""
    own = {body["part_seq"]: body for body in told if body["station"] == line.station.name}
    ledger = line.ledger()
    triggered = {event["part_seq"] for event in ledger if event["kind"] == "trigger"}
    assert set(own) >= {part for part in triggered if part <= max(own)}
    assert not [event for event in ledger if event["kind"] == "verdict" and event["how"] == "duplicate"]
    runs: dict[int, set[int]] = {}
    for part, body in own.items():
        runs.setdefault((part - 1) // BATCH, set()).add(body["boot_id"])
    assert all(len(boots) == 1 for boots in runs.values()), "it restarts between two batches only"
    assert len(set().union(*runs.values())) >= 4, "as the shadow, as the judge, and there and back again"


def steps_back(station: KeptStation) -> tuple[str, str]:
    """The last change of its model."""
    last = [each.change for each in read(station.path.parent / "state") if each.change.what == "rollout model"][-1]
    return last.before, last.after
