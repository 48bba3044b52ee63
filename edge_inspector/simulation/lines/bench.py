"""A bench that is fed by hand: a person puts a part under the camera, presses a key, and waits for the verdict."""

from __future__ import annotations

import argparse
import json
import queue
import sys
from collections.abc import Sequence
from typing import Any, TextIO

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from edge_inspector.codes import Decision, Reason
from edge_inspector.simulation.line import Line
from edge_inspector.simulation.lines.gateway import Silence
from edge_inspector.simulation.lines.world import World, run_world


class Bench(World):
    """The person. A call is a command over MQTT, with the part's number as its id."""

    def __init__(self, line: Line, ledger: TextIO, given: argparse.Namespace) -> None:
        super().__init__(line, ledger, boot=given.boot)
        self._heard: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._part_seq = 0
        self._silence = Silence()
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id="demo-bench",
            protocol=MQTTProtocolVersion.MQTTv5 if given.version == "5" else MQTTProtocolVersion.MQTTv311,
        )
        topics = [("edge/demo/verdict", 1), ("edge/demo/state", 1)]
        self._client.on_connect = lambda client, *_: client.subscribe(topics)
        self._client.on_message = self._on_message
        self._client.connect_async("127.0.0.1", given.port, 10)
        self._client.loop_start()

    def scan(self, now_ns: int) -> None:
        """Call for the part that has just been put there, and take the answers."""
        self.counts_on(now_ns, ready=self._silence.ready(now_ns))
        for part, at_ns, count in self.arrivals(now_ns):
            self._part_seq += 1
            self.carry(self._part_seq, part, count, at_ns)
            call = {"schema_version": 1, "id": f"part-{part}", "command": "inspect"}
            self._client.publish("edge/demo/command", json.dumps(call), qos=1)
        while not self._heard.empty():
            told = self._heard.get()
            called = int(told["part_id"].removeprefix("part-"))
            self.taken(next((each.part_seq for each in self.carried if each.part == called), 0), told)
        for carried in [each for each in self.carried if each.verdict is not None]:
            self.carried.remove(carried)

    def stop(self) -> None:
        """Leave the broker."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, _client: mqtt.Client, _user: object, message: mqtt.MQTTMessage) -> None:
        body = json.loads(message.payload)
        if message.topic.endswith("/state"):
            self._silence.heard(body["state"])
            if body["state"] != "offline":
                self.boot = body["boot_id"]
            return
        self._heard.put(
            {
                "part_id": body["part_id"],
                "decision": int(Decision[body["decision"]]),
                "reason": int(Reason[body["reason"].upper()]),
                "rejects": body["rejects"],
                "latency_us": body["latency_us"],
            }
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench until SIGTERM."""
    return run_world(Bench, arguments, "--version")


if __name__ == "__main__":
    sys.exit(main())
