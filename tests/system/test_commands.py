"""A running line is told to change its recipe, to stop inspecting and to go on, over MQTT and by its PLC."""

import json
import queue
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from edge_inspector.simulation.demo import Demo
from edge_inspector.simulation.options import DemoOptions
from edge_inspector.simulation.report import read_ledger
from edge_inspector.store.challenges import read_challenges

pytestmark = pytest.mark.system


CHALLENGE = """
[[challenge.parts]]
recipe = 1
name = "one"
expect = "accept"
[[challenge.parts]]
recipe = 1
name = "two"
expect = "reject"
"""


class TwoProducts(Demo):
    """Every second part has a spot: a defect by recipe 1, nothing by recipe 2."""

    def __init__(self, folder: Path) -> None:
        pictures = folder / "pictures"
        pictures.mkdir()
        for number in range(2):
            picture = np.full((128, 128), 90, np.uint8)
            picture[50:74, 50:74] = 90 + 130 * number
            cv2.imwrite(str(pictures / f"{number}.png"), picture)
        super().__init__(DemoOptions(frames=pictures, speed_mm_s=800.0, pitch_mm=400.0, model_ms=5.0), folder)
        self.answers: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    @contextmanager
    def running(self) -> Iterator[None]:
        with super().running():
            self.panel = Client(CallbackAPIVersion.VERSION2, "panel", protocol=MQTTProtocolVersion.MQTTv311)
            self.panel.on_connect = lambda client, *_: client.subscribe("edge/demo/command/result", 1)
            self.panel.on_message = lambda _c, _u, message: self.answers.put(json.loads(message.payload))
            self.panel.connect("127.0.0.1", self.ports["broker"])
            self.panel.loop_start()
            try:
                yield
            finally:
                self.panel.disconnect()
                self.panel.loop_stop()

    def tell(self, command: str, **more: Any) -> dict[str, Any]:
        self.panel.publish(
            "edge/demo/command",
            json.dumps({"id": f"{command}-{time.monotonic_ns()}"[:64], "command": command, **more}),
            1,
        )
        return self.answers.get(timeout=10)

    def set_at_plc(self, recipe_id: int, control: int) -> None:
        draft = self.folder / "panel.new"
        draft.write_text(json.dumps({"recipe_id": recipe_id, "control": control}))
        draft.replace(self.folder / "panel.json")

    def wait_for(self, count: int) -> None:
        """So many more verdicts over MQTT."""
        until, target = time.monotonic() + 30, self.recorder.count + count
        while self.recorder.count < target:
            assert time.monotonic() < until
            time.sleep(0.05)

    def _write_files(self, line_file: Path) -> None:
        super()._write_files(line_file)
        station, recipe = self.folder / "station.toml", self.folder / "recipe.toml"
        text = station.read_text().replace(
            'recipe = "recipe.toml"', 'recipe = "recipe.toml"\nrecipes = ["second.toml"]'
        )
        station.write_text(text.replace('version = "', 'commands = true, version = "') + CHALLENGE)
        tolerant = (
            recipe.read_text().replace("id = 1\n", "id = 2\n").replace("min_area_mm2 = 20.0", "min_area_mm2 = 1e6")
        )
        (self.folder / "second.toml").write_text(tolerant)


def test_recipes_change_between_parts_and_commands_are_obeyed_and_answered(tmp_path: Path) -> None:
    demo = TwoProducts(tmp_path)
    with demo.running():
        demo.wait_for(6)
        assert demo.tell("select_recipe", recipe_id=2)["recipe_id"] == 2
        demo.wait_for(12)
        refused = demo.tell("select_recipe", recipe_id=9)
        assert (refused["done"], refused["error"]) == (False, "there is no recipe 9. There are: 1, 2")

        demo.kill("daemon")
        demo.revive("daemon")
        demo.wait_for(12)  # the choice outlives the daemon

        demo.set_at_plc(1, control=0b101)
        demo.wait_for(12)
        assert demo.tell("select_recipe", recipe_id=2)["error"] == "the PLC has chosen recipe 1"

        assert demo.tell("disable")["done"]
        demo.wait_for(12)
        assert demo.tell("enable")["done"]
        demo.wait_for(12)
        assert demo.tell("reset")["done"]
        assert demo.tell("challenge")["done"]
        assert "waits for" in demo.tell("challenge")["error"]
        demo.wait_for(9)
        demo.plc.send_signal(signal.SIGUSR1)  # no more parts
        time.sleep(demo.line.gate_mm / demo.line.speed_mm_s + 0.5)
        report = demo.finish()
        bodies = {(body["plc_boot_id"], body["part_seq"]): body for body in demo.recorder.verdicts()}

    assert (report["unaccounted"], report["duplicates"], report["gate_wrong_part"]) == (0, 0, 0)
    ledger = read_ledger(demo.ledger)
    in_order = [bodies[key] for key in sorted(bodies)]
    recipes = [body["recipe_id"] for body in in_order]
    changes = [(before, after) for before, after in pairwise(recipes) if before != after]
    assert changes == [(1, 2), (2, 1)], "never back and forth between two parts"
    assert len({body["recipe_hash"] for body in in_order}) == 2

    spotted = {event["part_seq"]: event["part"] % 2 == 1 for event in ledger if event["kind"] == "trigger"}
    judged = [body for body in in_order if body["decision"] != "NOT_INSPECTED"]
    assert len(judged) > 30
    for body in judged:
        rejects = spotted[body["part_seq"]] and body["recipe_id"] == 1
        assert body["decision"] == ("REJECT" if rejects else "ACCEPT")
    reasons = {body["reason"] for body in in_order if body["decision"] == "NOT_INSPECTED"}
    assert "disabled" in reasons
    assert "wrong_recipe" not in reasons
    named = [body["challenge"] for body in in_order if "challenge" in body]
    (run,) = read_challenges(tmp_path / "state")
    assert [part.name for part in run.parts] == named == ["one", "two"]
    told = [event["recipe_id"] for event in ledger if event["kind"] == "recipe" and event["recipe_id"]]
    assert told == [1, 2, 1], "the PLC reads the recipe in force, from a new daemon too"
