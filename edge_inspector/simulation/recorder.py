"""An MQTT subscriber that keeps every verdict it receives."""

from __future__ import annotations

import json
import threading
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


class Recorder:
    """Reconnects by itself. Its session is durable, so the broker keeps the messages that it misses."""

    def __init__(self, port: int, version: str) -> None:
        self._lock = threading.Lock()
        self._heard: list[dict[str, Any]] = []
        self.state = ""
        durable: dict[str, Any] = {} if version == "5" else {"clean_session": False}
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id="demo-recorder",
            protocol=MQTTProtocolVersion.MQTTv5 if version == "5" else MQTTProtocolVersion.MQTTv311,
            **durable,
        )
        self._client.on_connect = lambda client, *_: client.subscribe("edge/+/#", qos=1)
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(1, 1)
        if version == "5":
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = 3600
            self._client.connect("127.0.0.1", port, 10, clean_start=False, properties=properties)
        else:
            self._client.connect("127.0.0.1", port, 10)
        self._client.loop_start()

    def verdicts(self) -> list[dict[str, Any]]:
        """All messages on `verdict` so far, including repetitions."""
        with self._lock:
            return list(self._heard)

    @property
    def count(self) -> int:
        """The number of messages that `verdicts` would return."""
        return len(self._heard)

    def stop(self) -> None:
        """Disconnect and end the thread."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, _client: mqtt.Client, _user: object, message: mqtt.MQTTMessage) -> None:
        try:
            body = json.loads(message.payload)
        except (ValueError, RecursionError):
            return
        if not isinstance(body, dict):
            return
        if message.topic.endswith("/verdict"):
            with self._lock:
                self._heard.append(body)
        elif message.topic.endswith("/state"):
            self.state = str(body.get("state", ""))
