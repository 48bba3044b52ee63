"""The station as a Sparkplug B edge node, so that Ignition and other hosts see it without being told of it.

The payload is Protocol Buffers, of which a handful of fields are needed. Sparkplug 3.0 is the specification:
https://sparkplug.eclipse.org/specification
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Final

from edge_inspector import __version__
from edge_inspector.errors import DeviceError
from edge_inspector.mqtt.session import ANSWER_ROW, MqttSession, Will
from edge_inspector.mqtt.settings import MqttSettings
from edge_inspector.records import Identity, StationStatus
from edge_inspector.runtime.clock import utc_of

_log = logging.getLogger(__name__)

REBIRTH: Final = "Node Control/Rebirth"

_RETRY_S = (0.5, 8.0)
_REBIRTH_NS = 1_000_000_000  # nobody needs births more often
_INT64, _BOOLEAN, _STRING = 4, 11, 12  # Sparkplug's numbers of data types
_VARINT, _LENGTH = 0, 2  # the wire types of Protocol Buffers

Value = bool | int | str


def payload(metrics: Mapping[str, Value], at_ms: int, seq: int | None) -> bytes:
    """A Sparkplug B payload. A death has no `seq`."""
    body = _number(1, at_ms) + b"".join(_bytes(2, _metric(name, value, at_ms)) for name, value in metrics.items())
    return body if seq is None else body + _number(3, seq)


def _metric(name: str, value: Value, at_ms: int) -> bytes:
    head = _bytes(1, name.encode()) + _number(3, at_ms)
    if isinstance(value, bool):
        return head + _number(4, _BOOLEAN) + _number(14, int(value))
    if isinstance(value, int):
        return head + _number(4, _INT64) + _number(11, value & 0xFFFFFFFFFFFFFFFF)
    return head + _number(4, _STRING) + _bytes(15, value.encode())


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3 | _VARINT) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | _LENGTH) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


class SparkplugNode:
    """A connection of its own, because its last will is another one than the link's. One thread calls all methods.

    Nothing depends on it. If it fails, the log says so, and it tries again.
    """

    def __init__(self, settings: MqttSettings, client_id: str, identity: Identity) -> None:
        self._settings = settings.model_copy(update={"retain": False})
        self._client_id = f"{client_id}-sparkplug"
        self._identity = identity
        self._session: MqttSession | None = None
        self._deaths = -1  # counts the connections, which hosts tell apart by it
        self._seq = 0
        self.is_born = False
        self._said: dict[str, Value] = {}
        self._said_ns = 0
        self._born_ns = 0
        self._retry_ns = 0
        self._retry_s = _RETRY_S[0]
        self._told = ""

    def step(self, status: StationStatus) -> None:
        """Connect if that is needed, and publish what is new. Never blocks, and never raises."""
        session = self._session
        if session is None:
            self._begin()
        elif session.over:
            self._end(session)
        elif session.connected and not session.awaited:
            session.acknowledged()
            self._talk(session, status)

    def close(self) -> None:
        """Say that the node goes, and leave the broker."""
        session, self._session = self._session, None
        if session is None:
            return
        if session.connected and self.is_born:
            session.publish(self._topic("NDEATH"), self._death(), ANSWER_ROW, qos=0)
        session.close()

    def _topic(self, kind: str) -> str:
        return f"spBv1.0/{self._settings.sparkplug_group}/{kind}/{self._identity.station}"

    def _death(self) -> bytes:
        return payload({"bdSeq": self._deaths}, _now_ms(), None)

    def _begin(self) -> None:
        now = time.monotonic_ns()
        if now < self._retry_ns:
            return
        self._retry_ns, self._retry_s = now + int(self._retry_s * 1e9), min(self._retry_s * 2, _RETRY_S[1])
        self._deaths = (self._deaths + 1) % 256
        self.is_born = False
        try:
            self._session = MqttSession(
                self._settings,
                self._client_id,
                Will(self._topic("NDEATH"), self._death()),
                line_topics=[self._topic("NCMD")],
            )
        except DeviceError as error:
            self._tell(str(error))

    def _end(self, session: MqttSession) -> None:
        self._session = None
        session.close()
        self._tell(f"MQTT broker {session.address} {session.trouble or 'lost'}")

    def _tell(self, what: str) -> None:
        if what != self._told:
            self._told = what
            _log.warning("Sparkplug: %s", what)

    def _talk(self, session: MqttSession, status: StationStatus) -> None:
        self._told, self._retry_s = "", _RETRY_S[0]
        now, present = time.monotonic_ns(), self._metrics(status)
        # The name is all that is looked for: the only command asks for the birth, and the birth changes nothing.
        wanted = any(REBIRTH.encode() in each.payload for each in session.announced())
        if not self.is_born or (wanted and now - self._born_ns >= _REBIRTH_NS):
            self._seq, self._born_ns = 0, now
            fixed: dict[str, Value] = {"bdSeq": self._deaths, REBIRTH: False, **self._properties()}
            self.is_born = self._send(session, "NBIRTH", fixed | present)
        elif news := self._news(present, now):
            self._send(session, "NDATA", news)

    def _news(self, present: Mapping[str, Value], now: int) -> dict[str, Value]:
        """What has changed: state and error at once, counts with the next message on `state`."""
        news = {name: value for name, value in present.items() if self._said.get(name) != value}
        urgent = any(not name.startswith("Parts/") for name in news)
        return news if urgent or now - self._said_ns >= self._settings.state_every_s * 1e9 else {}

    def _send(self, session: MqttSession, kind: str, metrics: dict[str, Value]) -> bool:
        sent = session.publish(self._topic(kind), payload(metrics, _now_ms(), self._seq), ANSWER_ROW, qos=0)
        if sent:
            self._seq = (self._seq + 1) % 256
            self._said |= metrics
            self._said_ns = time.monotonic_ns()
        return sent

    def _properties(self) -> dict[str, Value]:
        settings = self._settings
        return {
            "Properties/Version": __version__,
            "Properties/Page": settings.page,
            "Properties/Site": settings.site,
            "Properties/Place": settings.place,
        }

    def _metrics(self, status: StationStatus) -> dict[str, Value]:
        return {
            "State": status.state.value,
            "Error": status.error_code.name.lower(),
            "Error code": int(status.error_code),
            "Alarm": status.alarm,
            "Recipe": status.recipe_id,
            "Parts/Processed": status.parts,
            "Parts/Rejected": status.rejected,
            "Parts/Not inspected": status.not_inspected,
        }


def _now_ms() -> int:
    return int(utc_of(time.monotonic_ns()).timestamp() * 1000)
