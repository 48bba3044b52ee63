"""A line that speaks MQTT, through a real broker: it announces parts, says whether it runs, and hears verdicts."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from support.mqtt_peers import READY, Gateway, Published, WireBroker, fresh_verdict, identity, run_until, settings

from edge_inspector.codes import ErrorCode
from edge_inspector.mqtt.link import MqttLink
from edge_inspector.records import GateTime, PlcInput, Verdict
from edge_inspector.simulation.broker import DemoBroker, find_mosquitto
from edge_inspector.simulation.demo import free_port

pytestmark = pytest.mark.system

BASE = "edge/press-3"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[DemoBroker]:
    if find_mosquitto() is None:
        pytest.skip("mosquitto is not installed")
    with DemoBroker(free_port(), tmp_path, persistent=False) as made:
        yield made


class Line:
    """Somebody who announces."""

    def __init__(self, port: int) -> None:
        self.client = Client(CallbackAPIVersion.VERSION2, "line", protocol=MQTTProtocolVersion.MQTTv5)
        self.client.connect("127.0.0.1", port, 5)
        self.client.loop_start()

    def say(self, kind: str, **body: Any) -> None:
        self.client.publish(f"{BASE}/{kind}", json.dumps(body), qos=1)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()
        self.client.reinitialise()


@pytest.fixture
def line(broker: DemoBroker) -> Iterator[Line]:
    made = Line(broker.port)
    yield made
    made.close()


@contextmanager
def opened(
    broker: DemoBroker, folder: Path, foreseen: Callable[[Verdict], GateTime | None] = lambda _: None, **more: Any
) -> Iterator[MqttLink]:
    link = MqttLink(settings(broker.port, **more), replace(identity(folder), gate_time=foreseen))
    link.open()
    try:
        run_until(link, lambda: link.connected)
        time.sleep(0.2)  # the broker has the subscription
        yield link
    finally:
        link.close()


def reading(link: MqttLink, wanted: Callable[[PlcInput], object]) -> PlcInput:
    until = time.monotonic() + 10.0
    while time.monotonic() < until:
        heard = link.exchange(READY)
        if heard is not None and wanted(heard):
            return heard
        time.sleep(0.01)
    raise AssertionError("never said")


def test_parts_are_announced_with_their_own_number_and_name(broker: DemoBroker, tmp_path: Path, line: Line) -> None:
    with opened(broker, tmp_path, triggers=True) as link:
        line.say("trigger", seq=40, part_id="A-1", count=900)
        begun = reading(link, lambda _: True)
        assert (begun.trigger_seq, begun.known_from, begun.triggers) == (39, 39, ())
        heard = reading(link, lambda heard: heard.triggers)
        (trigger,) = heard.triggers
        assert (heard.trigger_seq, trigger.part_seq, trigger.part_id, trigger.count) == (40, 40, "A-1", 900)
        assert not heard.requests


def test_a_link_without_triggers_announces_nothing(broker: DemoBroker, tmp_path: Path, line: Line) -> None:
    with opened(broker, tmp_path) as link:
        line.say("trigger", seq=40)
        assert link.exchange(READY) is None


def test_something_wrong_in_an_announcement_is_an_incident(broker: DemoBroker, tmp_path: Path, line: Line) -> None:
    with opened(broker, tmp_path, triggers=True) as link:
        line.say("trigger", seq="many")
        found: list[tuple[ErrorCode, str]] = []
        run_until(link, lambda: found.extend(link.incidents()) or found)
        assert found[0][0] is ErrorCode.PLC_NUMBERS
        assert link.events["trigger_refused"] == 1


def test_a_line_that_falls_silent_is_a_fault_and_counts_as_stopped(
    broker: DemoBroker, tmp_path: Path, line: Line
) -> None:
    with opened(broker, tmp_path, line=True, line_silent_s=0.5) as link:
        line.say("line", running=True)
        reading(link, lambda heard: heard.line_running is True)
        assert ErrorCode.PLC_LOST not in link.troubles
        silent = reading(link, lambda heard: heard.line_running is False)
        assert silent.triggers == ()
        assert "nobody speaks on edge/press-3/line" in link.troubles[ErrorCode.PLC_LOST]
        line.say("line", running=True)
        reading(link, lambda heard: heard.line_running is True)
        assert ErrorCode.PLC_LOST not in link.troubles


def test_the_line_is_heard_in_every_form_of_topics(broker: DemoBroker, tmp_path: Path, line: Line) -> None:
    form = {"topic": "{kind}/{prefix}/{station}", "triggers": True, "line": True}
    with opened(broker, tmp_path, **form) as link:
        line.client.publish(f"line/{BASE}", json.dumps({"running": True}), qos=1)
        line.client.publish(f"trigger/{BASE}", json.dumps({"seq": 40, "part_id": "A-1"}), qos=1)
        heard = reading(link, lambda heard: heard.triggers and heard.line_running)
        assert [trigger.part_id for trigger in heard.triggers] == ["A-1"]
        assert link.events["trigger_refused"] == 0


def test_a_broker_that_forbids_to_read_announcements_is_a_fault_and_not_a_quiet_line(tmp_path: Path) -> None:
    with WireBroker(Published.puback, granted=0x87) as refusing:
        link = MqttLink(settings(refusing.port, triggers=True), identity(tmp_path))
        link.open()
        try:
            run_until(link, lambda: ErrorCode.PLC_LOST in link.troubles)
            assert "does not let" in link.troubles[ErrorCode.PLC_LOST]
            assert f"read {BASE}/trigger" in link.troubles[ErrorCode.PLC_LOST]
            assert link.exchange(READY) is None
        finally:
            link.close()


def test_a_verdict_says_when_the_part_is_at_the_gate_where_that_is_wanted(broker: DemoBroker, tmp_path: Path) -> None:
    gate = GateTime(time.monotonic_ns() + 400_000_000, 3_000_000)
    with Gateway(broker.port) as gateway:
        with opened(broker, tmp_path, lambda _: gate, gate_time=True) as link:
            told = fresh_verdict(1)
            link.deliver([told])
            run_until(link, lambda: gateway.seqs("verdict"))
        with opened(broker, tmp_path, lambda _: gate) as link:
            link.deliver([fresh_verdict(2)])
            run_until(link, lambda: len(gateway.seqs("verdict")) > 1)
        first, second = [body for topic, body, _ in gateway.heard if topic == "verdict"][:2]
    assert first["gate"]["error_ms"] == 3.0
    assert abs(first["gate"]["in_ms"] - (gate.at_ns - told.decided_ns) / 1e6) < 0.1 if gate.at_ns else False
    assert "gate" not in second


def test_the_state_is_the_station_s_heartbeat(broker: DemoBroker, tmp_path: Path) -> None:
    with Gateway(broker.port) as gateway, opened(broker, tmp_path, state_every_s=0.1) as link:
        run_until(link, lambda: len(gateway.states()) > 5)
