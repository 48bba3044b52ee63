"""A line without an S7 PLC: a gateway that announces parts over MQTT, hears the verdicts there and fires the gate.

With `--announces camera` it has no photo-eye: the camera's picture is the part. With `--gate time` it has no encoder,
and fires when the verdict says that the part is there. Without such a time it takes that of the belt's usual speed.
"""

from __future__ import annotations

import argparse
import json
import queue
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TextIO

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from edge_inspector.codes import Decision, Reason
from edge_inspector.runtime.clock import iso, moment, utc_of
from edge_inspector.simulation.line import Line
from edge_inspector.simulation.lines.registers import ServedRegisters
from edge_inspector.simulation.lines.world import Carried, World, run_world

_LINE_EVERY_NS = 300_000_000
_NOWHERE = (Reason.POSITION_UNKNOWN.label, Reason.TRIGGER_LOST.label)
_PAST_MM = 400.0  # behind the gate: then the part is gone
_SILENT_NS = 500_000_000


class Silence:
    """Whether the station can be counted on, by its messages on `state`."""

    def __init__(self) -> None:
        self._last = False, -_SILENT_NS

    def heard(self, state: str) -> None:
        """The station has said its state. Any thread may call."""
        self._last = state in ("ready", "degraded"), time.monotonic_ns()

    def ready(self, now_ns: int) -> bool:
        """It said so, and not too long ago."""
        is_ready, at_ns = self._last
        return is_ready and now_ns - at_ns < _SILENT_NS


class Gateway(World):
    """The gateway and its small program. The encoder is not a part of it, and goes on when the gateway begins anew."""

    def __init__(self, line: Line, ledger: TextIO, given: argparse.Namespace) -> None:
        super().__init__(line, ledger, boot=given.boot)
        self.zero = line.counter_zero(1)
        self._silence = Silence()
        self._seen: set[tuple[int, int]] = set()
        self._shift = 0, 0
        self._by_camera = given.announces == "camera"
        self._by_time = given.gate == "time"
        self._io = ServedRegisters(int(given.io)) if given.gate == "output" else None
        self._was_on = False
        self._counts = given.counts == "yes"
        self._heard: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._said, self._said_ns = False, 0
        self._part_seq = 0
        self._run = f"run-{given.boot}"
        self._station: int | None = None
        five = given.version == "5"
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id="demo-gateway",
            protocol=MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311,
        )
        self._client.on_connect = lambda client, *_: client.subscribe(
            [("edge/demo/verdict", 1), ("edge/demo/state", 1)]
        )
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(1, 1)
        self._client.connect_async("127.0.0.1", given.port, 10)
        self._client.loop_start()
        self.boot = _boot_of(self._run)
        self._log_boot(begun_ns=time.monotonic_ns())

    def scan(self, now_ns: int) -> None:
        """Announce, take verdicts, fire."""
        self._say_running(now_ns)
        self.counts_on(now_ns, ready=self._silence.ready(now_ns))
        for part, at_ns, count in self.arrivals(now_ns):
            self._part_seq += 1
            self.carry(self._part_seq, part, count, at_ns)
            if not self._by_camera:
                self._announce(count, at_ns)
        self._hear()
        if self._io is not None:
            self._watch_output(self._io)
        if self._by_time and not self.running():
            for carried in self.carried:
                carried.void = True
        for carried in list(self.carried):
            self._gate(carried, now_ns)

    def stop(self) -> None:
        """Leave the broker."""
        if self._io is not None:
            self._io.stop()
        self._client.disconnect()
        self._client.loop_stop()

    def _log_boot(self, **more: int) -> None:
        # Without an encoder, the counts in verdicts are those of a clock.
        self.log("boot", **({} if self._by_time else {"zero": self.zero}), **more)

    def _announce(self, count: int, at_ns: int) -> None:
        body = {"seq": self._part_seq, "part_id": f"{self._run}-{self._part_seq}", "run": self._run}
        body |= {"count": count} if self._counts else {"utc": iso(utc_of(at_ns), "microseconds")}
        self._client.publish("edge/demo/trigger", json.dumps(body), qos=1)

    def _say_running(self, now_ns: int) -> None:
        running = self.running()
        if running is not self._said or now_ns - self._said_ns >= _LINE_EVERY_NS:
            self._said, self._said_ns = running, now_ns
            self._client.publish("edge/demo/line", json.dumps({"running": running}), qos=1)

    def _hear(self) -> None:
        while not self._heard.empty():
            body = self._heard.get()
            if body["told"] not in self._seen:  # a message may come twice
                self._seen.add(body["told"])
                self.taken(self._number_of(body), body)

    def _number_of(self, body: dict[str, Any]) -> int:
        """The part of a verdict. A station that sees the parts itself numbers them itself, and begins anew at 1."""
        number = int(body["part_seq"])
        if not self._by_camera:
            return number
        boot = body["told"][0]
        due_mm, most_mm = self._due_mm(body), self.line.pitch_mm / 2
        near = [] if due_mm is None else [each for each in self.carried if abs(each.due_mm - due_mm) < most_mm]
        if due_mm is not None and near:
            found = min(near, key=lambda each: abs(each.due_mm - due_mm)).part_seq
            self._shift = boot, found - number
            return found
        return number + self._shift[1] if boot == self._shift[0] else number

    def _due_mm(self, body: dict[str, Any]) -> float | None:
        """Where the belt is when the part of a verdict is at the gate: by its due count, or by its picture's time."""
        if self._by_time:
            seen_ns = body["captured_ns"]
            return None if seen_ns is None else self.position_mm(seen_ns) + self.line.gate_mm
        due_ns = self._due_ns(None, body)
        return None if due_ns is None else self.position_mm(due_ns)

    def _on_message(self, _client: mqtt.Client, _user: object, message: mqtt.MQTTMessage) -> None:
        body = json.loads(message.payload)
        if message.topic.endswith("/state"):
            self._silence.heard(body["state"])
            if self._by_camera and body["state"] != "offline" and self.boot != body["boot_id"]:
                self.boot = body["boot_id"]  # the station numbers the pictures itself
                self._log_boot()
            return
        gate = body.get("gate") or {}
        told = {
            "part_seq": body["part_seq"],
            "told": (body["boot_id"], body["seq"]),
            "captured_ns": min((view["captured_ns"] for view in body["views"]), default=None),
            "decision": int(Decision[body["decision"]]),
            "reason": int(Reason[body["reason"].upper()]),
            "rejects": body["rejects"],
            "latency_us": body["latency_us"],
            "due_count": body["due_count"] if body["reason"] not in _NOWHERE else None,
            "due_ns": _monotonic(gate["utc"]) if gate else None,
            "bound_ms": gate.get("error_ms"),
        }
        self._heard.put(told)

    def _gate(self, carried: Carried, now_ns: int) -> None:
        verdict = carried.verdict
        if carried.void:  # the gate stays shut until everything that was on the belt has passed
            if self.position_mm(now_ns) >= carried.due_mm:
                self.fire(carried, now_ns, fired=True, why="stopped")
            return
        due_ns = None if self._io is not None else self._due_ns(carried, verdict)
        if due_ns is not None and due_ns <= now_ns:
            self.fire(carried, due_ns, fired=verdict is None or verdict["rejects"], why=_why(verdict))
        elif due_ns is None and self.position_mm(now_ns) > carried.due_mm + _PAST_MM:
            # Nobody knows when it was at the gate, or the output was not for it.
            self.fire(carried, now_ns, fired=False, why="no verdict" if verdict is None else "passed")

    def _watch_output(self, io: ServedRegisters) -> None:
        """The valve follows the output at once, and hits what is there."""
        for at_ns in io.switched_on():
            position_mm = self.position_mm(at_ns)
            near = [each for each in self.carried if abs(each.due_mm - position_mm) < _PAST_MM / 2]
            if near:
                hit = min(near, key=lambda each: abs(each.due_mm - position_mm))
                hit.verdict = hit.verdict or {"rejects": True, "bound_ms": None}
                self.fire(hit, at_ns, fired=True, why="verdict")

    def _due_ns(self, carried: Carried | None, verdict: dict[str, Any] | None) -> int | None:
        """When the gate acts. With an encoder it fires on compare, so that it hits the very count."""
        if self._by_time:
            told = verdict["due_ns"] if verdict is not None else None
            return self._usual_ns(carried) if told is None and carried is not None else told
        gate = round(self.line.gate_mm * self.line.counts_per_mm)
        count = verdict["due_count"] if verdict is not None else None
        if count is None:
            if carried is None:
                return None
            count = carried.count + gate
        moved = (self.line.counter.near(count, self.zero + self._belt_counts()) - self.zero) / self.line.counts_per_mm
        return self.line.belt.time_at(moved)

    def _usual_ns(self, carried: Carried) -> int:
        """When a part is at the gate that nobody has told a time for: it is rejected by the usual speed of the belt."""
        return carried.at_ns + round(self.line.gate_mm / self.line.speed_mm_s * 1e9)

    def _belt_counts(self) -> int:
        return round(self.position_mm(time.monotonic_ns()) * self.line.counts_per_mm)


def _why(verdict: dict[str, Any] | None) -> str:
    return "no verdict" if verdict is None else "verdict"


def _monotonic(utc: str) -> int:
    now = moment()
    left = datetime.fromisoformat(utc).astimezone(UTC) - now.utc
    return now.monotonic_ns + left // timedelta(microseconds=1) * 1000


def _boot_of(run: str) -> int:
    """The number that the station gives this run in its verdicts."""
    import zlib  # noqa: PLC0415

    return zlib.crc32(run.encode()) or 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the gateway until SIGTERM."""
    return run_world(Gateway, arguments, "--announces", "--gate", "--counts", "--version", "--io")


if __name__ == "__main__":
    sys.exit(main())
