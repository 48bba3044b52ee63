"""One connection to an MQTT broker, from connect to loss.

A session never reconnects. The next connection is a new session with an empty window. Unacknowledged messages are then
published again from the outbox, in its order. So paho's own memory can neither repeat nor reorder them.
"""

from __future__ import annotations

import logging
import os
import socket
import ssl
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from threading import Event
from typing import Any

from paho.mqtt.client import Client, MQTTMessage, topic_matches_sub
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge_inspector.errors import DeviceError
from edge_inspector.mqtt.commands import LONGEST, Request
from edge_inspector.mqtt.settings import MqttSettings
from edge_inspector.mqtt.words import connection_words, loss_words, refusal_words

_log = logging.getLogger(__name__)

_VERSIONS = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}
ANSWER_ROW = -1  # if the broker refuses an answer, only the requester is concerned
_FAILURE = 0x80  # MQTT 5 reason codes from here on are refusals
_NOBODY = 0x10  # accepted, but nobody has subscribed to it
_TOO_LARGE = 0x95
_FRAMING = 32  # most bytes of a packet in addition to topic and payload
_RETAINED_TOO, _NOT_RETAINED = 0, 2  # whether what was retained before is sent
_PATIENCE = 2  # keepalives until an acknowledgement must be there. Normally it takes milliseconds
_ANNOUNCED = 1024  # parts that wait for the link. The link looks every `interval_ms`
_REQUESTS = 8  # that wait for the link, which looks every `interval_ms`. Nobody sends commands so often
_LONGEST_INCOMING = 65_536  # bytes of one packet. Only commands come in

# mosquitto reports it in a PUBACK, which MQTT 5 does not allow. paho would see a broken packet, and we not its message
ReasonCode.names[_TOO_LARGE]["Packet too large"].append(PacketTypes.PUBACK)


@dataclass(frozen=True, slots=True)
class Will:
    """The retained message that the broker publishes if this client is gone without a disconnect."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    """A message that the broker has not acknowledged yet."""

    row: int
    topic: str
    size: int
    watched: bool
    sent_ns: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """A message that the broker rejected, and why."""

    topic: str
    size: int
    reason: str
    too_large: bool

    def __str__(self) -> str:
        return f"a message of {self.size} bytes on {self.topic}: {self.reason}"


class MqttSession:
    """One connection to the broker. It starts to connect at once, in paho's thread. One thread calls all methods.

    With `command_topic` the session receives the messages on that topic, and with `retained` the retained ones too. On
    `line_topics` the line announces parts and says whether it runs, or with `+` for a level many stations announce
    themselves. The constructor raises DeviceError if a password or certificate file cannot be used.

    - `reason`: the broker's answer to the connection.
    - `awaited`: topics whose subscription the broker has not answered yet.
    - `forbidden`: topics that the broker does not let this station read.
    - `overran`: whether announcements came faster than they were read. Some were left out.
    - `trouble`: why the session ended.
    - `refused`: whether a retry would fail too.
    - `heard`: whether the last watched message had a subscriber.
    - `refusal`: the last message that the broker rejected.
    - `too_large`: size in bytes of a verdict that the broker rejected as too large.
    """

    def __init__(
        self,
        settings: MqttSettings,
        client_id: str,
        will: Will | None,
        command_topic: str = "",
        *,
        retained: bool = False,
        line_topics: Sequence[str] = (),
    ) -> None:
        self.address = f"{settings.host}:{settings.port}"
        self.connected = False
        self.connected_ns = 0
        self.refused = False
        self.reason = 0
        self.keeps_retained = True
        self.qos_max = 2
        self.awaited: set[str] = set()
        self.forbidden: set[str] = set()
        self.overran = False
        self.trouble = ""
        self.error: Exception | None = None
        self._settings = settings
        self._client_id = client_id
        self._window = settings.inflight
        self.packet_max = settings.packet_max_bytes
        self.too_large = 0
        self.refusal: Refusal | None = None
        self.heard: bool | None = None
        self._sent: dict[int, _Sent] = {}
        self._acks: deque[tuple[int, Any]] = deque()
        self._acknowledged_ns = 0
        self._requests: deque[Request] = deque()
        self._command_topic = command_topic
        self._line_topics = tuple(line_topics)
        self._subscriptions: dict[int | None, str] = {}  # topics by the number of the request
        self._announced: deque[Request] = deque(maxlen=_ANNOUNCED)
        self._retain_handling = _RETAINED_TOO if retained else _NOT_RETAINED
        self._flooded = False
        self._progress = Event()
        self._closing = False
        self._client = self._make_client(client_id, will)
        properties = None
        if settings.version == "5":
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.MaximumPacketSize = _LONGEST_INCOMING
        self._client.connect_async(settings.host, settings.port, settings.keepalive_s, properties=properties)
        self._client.loop_start()
        self._thread = self._client._thread  # noqa: SLF001 -- paho has no public access to its thread, which can die

    @property
    def over(self) -> bool:
        """Whether paho's thread has ended. If `trouble` is empty then, the thread died."""
        return self._thread is None or not self._thread.is_alive()

    @property
    def room(self) -> int:
        """How many more messages may be sent before the broker acknowledges one."""
        return max(0, self._window - len(self._sent)) if self.connected else 0

    @property
    def unacknowledged(self) -> int:
        """How many messages the broker has not acknowledged yet."""
        return len(self._sent)

    @property
    def is_stuck(self) -> bool:
        """Whether an acknowledgement is so late that it will not come, even if the broker answers pings."""
        oldest = next(iter(self._sent.values()), None)
        if oldest is None or self._acks:
            return False
        # Behind a hundred others a message waits long. While some are acknowledged, it is not lost.
        waits_ns = time.monotonic_ns() - max(oldest.sent_ns, self._acknowledged_ns)
        return waits_ns > _PATIENCE * self._settings.keepalive_s * 1e9

    def payload_max(self, topic: str) -> int:
        """The longest payload that the broker accepts on this topic."""
        return self.packet_max - len(topic.encode()) - _FRAMING

    def publish(
        self,
        topic: str,
        payload: bytes,
        row: int,
        *,
        retain: bool = False,
        qos: int = 1,
        expiry_s: int = 0,
        correlation: bytes | None = None,
        watched: bool = False,
    ) -> bool:
        """Send, with QoS 1 unless `qos` says 0. `acknowledged` will return `row`. False if the connection is gone.

        Never blocks. A message has an expiry or a correlation, and never both.

        If the message is `watched`, `heard` will show whether it had a subscriber.
        """
        properties = None
        if self._settings.version == "5":
            if correlation:
                properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
                properties.CorrelationData = correlation
            elif expiry_s:
                properties = _expiring(expiry_s)
        sent = self._client.publish(topic, payload, qos, retain, properties)
        if sent.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            return False
        self._sent[sent.mid] = _Sent(
            row=row, topic=topic, size=len(payload), watched=watched, sent_ns=time.monotonic_ns()
        )
        return True

    def acknowledged(self) -> list[int]:
        """The rows that the broker has acknowledged since the last call."""
        self._progress.clear()
        rows = []
        # Only this thread fills _sent, and it is read only here: an acknowledgement cannot overtake its own mid.
        while self._acks:
            mid, reason = self._acks.popleft()
            sent = self._sent.pop(mid, None)
            if sent is None:
                continue
            if reason.value >= _FAILURE:
                too_large = reason.value == _TOO_LARGE
                if sent.row != ANSWER_ROW:
                    self.refusal = Refusal(sent.topic, sent.size, str(reason), too_large)
                if sent.row > 0 and too_large:
                    self.too_large = min(sent.size, self.too_large or sent.size)
                continue
            if sent.watched:
                self.heard = reason.value != _NOBODY
            rows.append(sent.row)
        return rows

    def requests(self) -> list[Request]:
        """Messages received on the command topic since the last call."""
        return [self._requests.popleft() for _ in range(len(self._requests))]

    def announced(self) -> list[Request]:
        """Messages received on the line's topics since the last call."""
        return [self._announced.popleft() for _ in range(len(self._announced))]

    def wait(self, timeout_s: float) -> bool:
        """Whether anything came from the broker within `timeout_s`."""
        return self._progress.wait(timeout_s)

    def close(self, grace_s: float = 0.2) -> None:
        """Disconnect cleanly within `grace_s`, then by force. May be called twice."""
        self._closing = True
        self._client.disconnect()
        self._join(grace_s)
        open_socket = self._client.socket()
        if open_socket is not None:
            _shut(open_socket)
        self._join(self._settings.connect_timeout_s + grace_s)
        if self.over:
            self._client.reinitialise()  # closes paho's wake-up sockets and forgets our callbacks

    def _join(self, timeout_s: float) -> None:
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _make_client(self, client_id: str, will: Will | None) -> Client:
        settings = self._settings
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            clean_session=None if settings.version == "5" else True,
            protocol=_VERSIONS[settings.version],
            transport=settings.transport,
            reconnect_on_failure=False,
        )
        if settings.transport == "websockets":
            client.ws_set_options(settings.websocket_path)
        client.reconnect_delay_set(0, 0)  # after a failed connect the thread ends at once, and the link waits
        client.connect_timeout = settings.connect_timeout_s
        client.max_inflight_messages_set(0)  # the window is kept here
        if will is not None:
            client.will_set(will.topic, will.payload, qos=1, retain=settings.retain)
        try:
            if settings.username is not None:
                client.username_pw_set(settings.username, settings.password())
            if settings.uses_tls:
                context = ssl.create_default_context(cafile=settings.tls_ca_file)
                if settings.tls_cert_file is not None:
                    context.load_cert_chain(settings.tls_cert_file, settings.tls_key_file)
                client.tls_set_context(context)
        except (OSError, ValueError) as error:
            raise DeviceError(f"MQTT broker {self.address}: password or TLS file: {error}") from error
        client.on_socket_open = self._kept(self._on_socket_open)
        client.on_connect = self._kept(self._on_connect)
        client.on_connect_fail = self._kept(self._on_connect_fail)
        client.on_publish = self._kept(self._on_publish)
        client.on_disconnect = self._kept(self._on_disconnect)
        client.on_subscribe = self._kept(self._on_subscribe)
        client.on_message = self._kept(self._on_message)
        return client

    def _kept(self, callback: Callable[..., None]) -> Callable[..., None]:
        """`callback` for paho's thread. An exception ends that thread, so it is kept and raised again later."""

        def call(*arguments: Any) -> None:
            try:
                callback(*arguments)
            except Exception as error:
                self.error = error
                raise

        return call

    def _on_socket_open(self, _client: Client, _userdata: object, opened: Any) -> None:
        with _twin(opened) as plain:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # with Nagle an acknowledgement takes 2-50 ms
        if self._closing:
            _shut(opened)

    def _on_connect(self, client: Client, _userdata: object, _flags: object, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self.refused, self.reason = True, reason.value
            self.trouble = f"refused: {refusal_words(reason, self._settings)}"
            return
        self._window = min(self._window, getattr(properties, "ReceiveMaximum", self._window))
        self.packet_max = min(self.packet_max, getattr(properties, "MaximumPacketSize", self.packet_max))
        self.keeps_retained = bool(getattr(properties, "RetainAvailable", 1))
        self.qos_max = getattr(properties, "MaximumQoS", self.qos_max)
        if self._command_topic:
            # As published: a retained command that comes while the station listens shows that it is one.
            options = SubscribeOptions(qos=1, retainAsPublished=True, retainHandling=self._retain_handling)
            self._subscribe(client, self._command_topic, options if self._settings.version == "5" else None)
        for topic in self._line_topics:
            self._subscribe(client, topic)
        self.connected_ns = time.monotonic_ns()
        self.connected = True
        self._progress.set()

    def _on_connect_fail(self, _client: Client, _userdata: object) -> None:
        # paho calls from within its except block
        self.trouble = f"no connection: {connection_words(sys.exception(), self._settings)}"
        self._progress.set()

    def _subscribe(self, client: Client, topic: str, options: SubscribeOptions | None = None) -> None:
        self.awaited.add(topic)
        _, mid = client.subscribe(topic, qos=1) if options is None else client.subscribe(topic, options=options)
        self._subscriptions[mid] = topic  # its answer comes in this thread, too

    def _on_subscribe(self, _client: Client, _userdata: object, mid: int, reasons: Any, _properties: object) -> None:
        topic = self._subscriptions.pop(mid, "")
        if any(reason.value >= _FAILURE for reason in reasons):
            self.forbidden.add(topic)
            _log.warning("MQTT broker %s does not let this station read %s", self.address, topic)
        self.awaited.discard(topic)

    def _on_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        now = time.monotonic_ns()
        if message.topic in self._line_topics or self._is_filtered(message.topic):
            self.overran |= len(self._announced) == _ANNOUNCED
            payload = bytes(message.payload[: LONGEST + 1])
            self._announced.append(Request(payload, message.retain, topic=message.topic, received_ns=now))
            return
        if len(self._requests) >= _REQUESTS:
            if not self._flooded:
                _log.warning("MQTT broker %s: more commands than can be read. Some are left out", self.address)
            self._flooded = True
            return
        self._flooded = False
        topic = getattr(message.properties, "ResponseTopic", "")
        correlation = getattr(message.properties, "CorrelationData", None)
        # One byte more than is read is enough to refuse it. A whole payload may have 256 MB.
        self._requests.append(Request(bytes(message.payload[: LONGEST + 1]), message.retain, topic, correlation))
        self._progress.set()

    def _is_filtered(self, topic: str) -> bool:
        return any("+" in each and topic_matches_sub(each, topic) for each in self._line_topics)

    def _on_publish(self, _client: Client, _userdata: object, mid: int, reason: Any, _properties: object) -> None:
        self._acks.append((mid, reason))
        self._acknowledged_ns = time.monotonic_ns()
        self._progress.set()

    def _on_disconnect(
        self, _client: Client, _userdata: object, _flags: object, reason: Any, _properties: object
    ) -> None:
        answered = self.connected or self.refused
        self.connected = False
        if reason.value == _TOO_LARGE:
            self.too_large = max((sent.size for sent in list(self._sent.values()) if sent.row > 0), default=0)
        if not self.trouble:
            lost = f"lost: {loss_words(reason, self._client_id)}"
            self.trouble = lost if answered else "ended the connection without an MQTT answer"
        self._progress.set()


class _Packed(Properties):
    """Properties that never change, packed once. paho would pack them for each message, in a third of its time."""

    def pack(self) -> Any:
        """As packed the first time."""
        if "packed" not in self.__dict__:
            self.__dict__["packed"] = super().pack()  # type: ignore[no-untyped-call]
        return self.__dict__["packed"]


@lru_cache(maxsize=64)
def _expiring(expiry_s: int) -> Properties:
    """Of a message that expires. Nearly all of them expire after the same few seconds."""
    properties = _Packed(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.MessageExpiryInterval = min(expiry_s, 0xFFFFFFFF)
    return properties


def _shut(opened: Any) -> None:
    with suppress(OSError), _twin(opened) as plain:
        plain.shutdown(socket.SHUT_RDWR)


def _twin(opened: Any) -> socket.socket:
    """The same connection as a socket. paho's wrapper of a websocket has no such methods."""
    return socket.socket(fileno=os.dup(opened.fileno()))
