"""The station as a Sparkplug B edge node: read by a decoder that nobody here wrote, and killed."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from support.mqtt_peers import READY, identity, run_until, settings, wait_until
from support.snap7_peer import PEERS, needs_peers

from edge_inspector.codes import ErrorCode, StationState
from edge_inspector.mqtt.link import MqttLink
from edge_inspector.mqtt.session import MqttSession
from edge_inspector.mqtt.sparkplug import REBIRTH, SparkplugNode, Value, payload
from edge_inspector.records import StationStatus
from edge_inspector.simulation.broker import DemoBroker, find_mosquitto
from edge_inspector.simulation.demo import free_port

pytestmark = pytest.mark.system

TOPICS = [f"spBv1.0/works/{kind}/press-3" for kind in ("NBIRTH", "NDATA", "NDEATH")]
PATIENCE_S = 60.0


def decoded(*payloads: bytes) -> list[dict[str, Any]]:
    """What the independent decoder reads."""
    needs_peers("sparkplug-payload", "protobufjs", "long")
    said = subprocess.run(
        ["node", str(PEERS / "read_sparkplug.js")],
        input="\n".join(each.hex() for each in payloads),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return [json.loads(line) for line in said.stdout.splitlines()]


def values(read: dict[str, Any]) -> dict[str, Any]:
    return {each["name"]: each["value"] for each in read["metrics"]}


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[DemoBroker]:
    if find_mosquitto() is None:
        pytest.skip("mosquitto is not installed")
    with DemoBroker(free_port(), tmp_path) as running:
        yield running


class Host:
    """A host application: it hears the node, and may ask for its birth."""

    def __init__(self, port: int) -> None:
        self.session = MqttSession(settings(port), "host", None, line_topics=TOPICS)
        self.heard: list[tuple[str, bytes]] = []

    def kinds(self) -> list[str]:
        self.heard += [(each.topic.split("/")[2], each.payload) for each in self.session.announced()]
        return [kind for kind, _ in self.heard]


@pytest.fixture
def host(broker: DemoBroker) -> Iterator[Host]:
    listening = Host(broker.port)
    try:
        wait_until(lambda: listening.session.connected and not listening.session.awaited, PATIENCE_S)
        yield listening
    finally:
        listening.session.close()


@pytest.fixture
def link(broker: DemoBroker, tmp_path: Path) -> Iterator[MqttLink]:
    opened = MqttLink(settings(broker.port, sparkplug_group="works", page="http://line-1:9108"), identity(tmp_path))
    opened.open()
    try:
        yield opened
    finally:
        opened.close()


def test_a_stranger_reads_birth_data_and_death(host: Host, link: MqttLink) -> None:
    run_until(link, lambda: "NBIRTH" in host.kinds())
    fault = StationStatus(StationState.FAULT, ErrorCode.PLC_LOST, 4, parts=10, rejected=3, not_inspected=1, alarm=True)
    link.exchange(fault)
    wait_until(lambda: "NDATA" in host.kinds(), PATIENCE_S)
    link.close()
    wait_until(lambda: "NDEATH" in host.kinds(), PATIENCE_S)
    birth, data, death = decoded(*(body for _, body in host.heard))
    assert [kind for kind, _ in host.heard] == ["NBIRTH", "NDATA", "NDEATH"]
    assert (birth["seq"], data["seq"], "seq" in death) == (0, 1, False)
    assert values(birth) | {"Properties/Version": ""} == {
        "bdSeq": 0,
        REBIRTH: False,
        "Properties/Version": "",
        "Properties/Page": "http://line-1:9108",
        "Properties/Site": "",
        "Properties/Place": "",
        "State": "ready",
        "Error": "none",
        "Error code": 0,
        "Alarm": False,
        "Recipe": 4,
        "Parts/Processed": 0,
        "Parts/Rejected": 0,
        "Parts/Not inspected": 0,
    }
    kinds = {each["name"]: each["type"] for each in birth["metrics"]}
    assert (kinds["bdSeq"], kinds[REBIRTH], kinds["State"]) == ("Int64", "Boolean", "String")
    assert values(data) == {
        "State": "fault",
        "Error": "plc_lost",
        "Error code": 403,
        "Alarm": True,
        "Parts/Processed": 10,
        "Parts/Rejected": 3,
        "Parts/Not inspected": 1,
    }
    assert values(death) == {"bdSeq": 0}
    assert abs(birth["timestamp"] - death["timestamp"]) < 600_000


def test_a_dead_node_is_seen_by_its_will_and_the_next_birth_has_the_next_number(host: Host, link: MqttLink) -> None:
    run_until(link, lambda: "NBIRTH" in host.kinds())
    node = link._sparkplug
    assert node is not None
    assert node._session is not None
    socket = node._session._client.socket()
    assert socket is not None
    socket.close()
    run_until(link, lambda: host.kinds().count("NBIRTH") == 2, PATIENCE_S)
    assert [kind for kind in host.kinds() if kind != "NDATA"] == ["NBIRTH", "NDEATH", "NBIRTH"]
    assert link.connected, "the link itself does not notice"
    read = decoded(*(body for kind, body in host.heard if kind != "NDATA"))
    assert [values(each)["bdSeq"] for each in read] == [0, 0, 1]


def test_a_host_may_ask_for_the_birth_and_for_nothing_else(host: Host, link: MqttLink) -> None:
    run_until(link, lambda: "NBIRTH" in host.kinds())
    topic = "spBv1.0/works/NCMD/press-3"
    for body in (b"", b"\xff" * 9000, payload({"Node Control/Reboot": True}, 0, 0), payload({REBIRTH: True}, 0, 0)):
        host.session.publish(topic, body, 1)
    node = link._sparkplug
    assert node is not None
    node._born_ns = 0  # long ago
    run_until(link, lambda: host.kinds().count("NBIRTH") == 2, PATIENCE_S)
    link.exchange(READY)
    assert link.connected


def test_a_refused_node_harms_nobody(broker: DemoBroker, tmp_path: Path) -> None:
    node = SparkplugNode(settings(free_port(), sparkplug_group="works"), "c", identity(tmp_path))
    for _ in range(3):
        node.step(READY)
        wait_until(lambda: node._session is None or node._session.over, PATIENCE_S)
    assert not node.is_born
    node.close()
    plain = MqttLink(settings(broker.port), identity(tmp_path))
    assert plain._sparkplug is None, "off by default"


@pytest.mark.parametrize("value", [0, 1, 127, 128, 2**31, 2**53 - 1, True, False, "", "Grüße 压机", "x" * 300])
def test_every_value_survives(value: Value) -> None:
    (read,) = decoded(payload({"a": value}, 1_764_600_000_000, 255))
    assert (values(read), read["seq"], read["timestamp"]) == ({"a": value}, 255, 1_764_600_000_000)


@pytest.mark.parametrize("group", ["a/b", "a+", "#", "x" * 65, "a\nb"])
def test_a_group_that_is_no_level_of_a_topic_is_refused(group: str) -> None:
    with pytest.raises(ValidationError):
        settings(1, sparkplug_group=group)
