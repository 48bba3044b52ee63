"""The shipped broker configuration on a real mosquitto: who may say what."""

import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edge_inspector.simulation.demo import free_port

HERE = Path(__file__).parents[2] / "deploy" / "containers"
MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")


@pytest.mark.system
@pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")
@pytest.mark.parametrize(
    ("user", "topic", "arrives"),
    [
        ("edge-inspector", "edge/line-1/reject", True),
        ("reader", "edge/line-1/reject", False),
        ("shift-leader", "edge/line-1/reject", False),
        ("shift-leader", "edge/line-1/command", True),
        ("reader", "edge/line-1/command", False),
        ("", "edge/line-1/state", False),
    ],
)
def test_the_brokers_rules_let_only_the_station_fire_the_gate(
    tmp_path: Path,
    user: str,
    topic: str,
    arrives: bool,  # noqa: FBT001 -- a column of the table
) -> None:
    port = free_port()
    text = (HERE / "mosquitto.conf").read_text().replace("listener 1883", f"listener {port}")
    text = text.replace("/mosquitto/data/", f"{tmp_path}/").replace("/mosquitto/config", str(tmp_path))
    (tmp_path / "mosquitto.conf").write_text(f"user root\n{text}")
    shutil.copy(HERE / "mosquitto.acl", tmp_path)
    (tmp_path / "passwords").touch(mode=0o600)
    for name in ("edge-inspector", "reader", "shift-leader"):
        subprocess.run(["mosquitto_passwd", "-b", str(tmp_path / "passwords"), name, "secret"], check=True)
    with (tmp_path / "log").open("w") as log:
        broker = subprocess.Popen([str(MOSQUITTO), "-c", str(tmp_path / "mosquitto.conf")], stdout=log, stderr=log)
    try:
        _listens(port)
        assert _arrives(port, user, topic) is arrives, (tmp_path / "log").read_text()
    finally:
        broker.terminate()
        broker.wait(5)


def _listens(port: int) -> None:
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail("the broker does not listen")


def _arrives(port: int, user: str, topic: str) -> bool:
    """Whether what `user` publishes reaches one who may read everything (who for a command is the station)."""
    reader, writer = (mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5) for _ in range(2))
    got: list[str] = []
    ready: list[bool] = []
    reader.username_pw_set("reader", "secret")
    reader.on_message = lambda _client, _data, message: got.append(message.topic)
    reader.on_subscribe = lambda *_: ready.append(True)
    if user:
        writer.username_pw_set(user, "secret")
    try:
        for client in (reader, writer):
            client.connect("127.0.0.1", port)
            client.loop_start()
        reader.subscribe("edge/#", 1)
        _until(lambda: bool(ready))
        writer.publish(topic, "{}", 1)
        return _until(lambda: topic in got, 1.0)
    finally:
        for client in (writer, reader):
            client.disconnect()
            client.loop_stop()


def _until(holds: Any, within_s: float = 5.0) -> bool:
    end = time.monotonic() + within_s
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)
    return bool(holds())
