"""Tests whether a broker can serve this station. It does what the station does, on a topic that nobody acts on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from edge_inspector.errors import CautionError, DeviceError
from edge_inspector.mqtt.session import MqttSession, Will
from edge_inspector.mqtt.settings import MqttSettings
from edge_inspector.mqtt.words import KEEPS_NOTHING, NOT_AUTHORIZED, QOS_0_ONLY, SMALLEST_PACKET, who

_ANSWER_S = 2.0
_HELLO = b'{"probe":"edge-inspector check"}'


class BrokerProbe:
    """Connects as the station does, with client ids of its own and a last will of the same kind.

    It publishes to the topic `check` and removes the message again. It never writes the station's other topics,
    because their subscribers would act on it.
    """

    def __init__(self, settings: MqttSettings, client_id: str, topic: Callable[[str], str]) -> None:
        self._settings = settings
        self._client_id = f"{client_id}-check"
        self._topic, self._check = topic, topic("check")
        self._address = f"{settings.host}:{settings.port}"

    def look(self) -> str:
        """A few words on the broker. Raises DeviceError for a fault, CautionError if a test was not possible."""
        if not self._connect() or not self._keeps():
            raise CautionError(
                f"mqtt://{self._address} accepts the connection. Not checked: does it keep retained messages, and let "
                f"{who(self._settings)} write? (access list: topic readwrite {self._check})"
            )
        return f"mqtt://{self._address}, MQTT {self._settings.version}"

    def _connect(self) -> bool:
        """Connect with the station's kind of will on the probe's topic. False if only the will is forbidden."""
        wanted = {"command": self._settings.commands, "trigger": self._settings.triggers, "line": self._settings.line}
        topics = [self._topic(kind) for kind, is_wanted in wanted.items() if is_wanted]
        with self._session(Will(self._check, b""), reads=topics) as session:
            if session.connected:
                self._see_limits(session)
                if not _until(lambda: not session.awaited):
                    raise self._error("does not answer a subscription")
                if session.forbidden:
                    raise self._error(f"does not let {who(self._settings)} read {', '.join(sorted(session.forbidden))}")
                return True
        with self._session(None) as plain:
            if not plain.connected:
                raise self._error(plain.trouble or session.trouble or "does not answer")
            self._see_limits(plain)
        if session.reason == NOT_AUTHORIZED:
            return False
        raise self._error(
            session.trouble
            if session.refused
            else "does not accept a retained last will with QoS 1: does it keep retained messages, and allow QoS 1?"
        )

    def _see_limits(self, session: MqttSession) -> None:
        if self._settings.retain and not session.keeps_retained:
            raise self._error(KEEPS_NOTHING)
        if session.qos_max == 0:
            raise self._error(QOS_0_ONLY)
        if session.packet_max < SMALLEST_PACKET:
            raise self._error(
                f"accepts packets of at most {session.packet_max} bytes, a verdict needs {SMALLEST_PACKET}"
                " (mosquitto: max_packet_size)"
            )

    def _keeps(self) -> bool:
        """Whether the broker keeps a retained message and sends it to later subscribers. The message is removed."""
        topic = self._check
        if not self._settings.retain:
            with self._session(None) as writer:
                return self._publish(writer, topic, _HELLO)
        with self._session(None) as writer:
            if not self._publish(writer, topic, _HELLO):
                return False
            try:
                with self._session(None, topic, name=f"{self._client_id}-read", retained=True) as reader:
                    is_back = _until(lambda: any(each.payload == _HELLO for each in reader.requests()))
            finally:
                self._publish(writer, topic, b"")
        # With MQTT 5 the broker has announced retained messages and accepted this one. Only this user may not read it.
        return is_back or self._settings.version == "5"

    def _publish(self, session: MqttSession, topic: str, payload: bytes) -> bool:
        """Whether this user may publish on `topic`."""
        session.publish(topic, payload, 1, retain=self._settings.retain)
        if not _until(lambda: bool(session.acknowledged()) or session.refusal is not None or not session.connected):
            raise self._error("acknowledges nothing")
        return session.connected and session.refusal is None

    @contextmanager
    def _session(
        self,
        will: Will | None,
        topic: str = "",
        *,
        name: str = "",
        retained: bool = False,
        reads: Sequence[str] = (),
    ) -> Iterator[MqttSession]:
        client_id = name or self._client_id
        session = MqttSession(self._settings, client_id, will, topic, retained=retained, line_topics=reads)
        try:
            limit_s = 2 * self._settings.connect_timeout_s + 1.0  # for TCP, for TLS, and for the broker's answer
            _until(lambda: session.connected or bool(session.trouble) or session.over, limit_s)
            yield session
        finally:
            session.close()

    def _error(self, what: str) -> DeviceError:
        return DeviceError(f"MQTT broker {self._address} {what}")


def _until(holds: Callable[[], bool], within_s: float = _ANSWER_S) -> bool:
    end = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True
