"""What more than one MQTT test needs: verdicts to send, brokers that misbehave, a subscriber, a link that is driven."""

import io
import json
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from support.verdicts import verdict

from edge_inspector.codes import Decision, ErrorCode, StationState
from edge_inspector.errors import DeviceError
from edge_inspector.mqtt.link import MqttLink
from edge_inspector.mqtt.settings import MqttSettings
from edge_inspector.records import Identity, StationStatus, Verdict

READY = StationStatus(StationState.READY, ErrorCode.NONE, 4)
MINUTE_NS = 60_000_000_000
# a command whose response topic begins with U+FEFF: brokers pass it on, paho ends the connection
BROKEN = b"\x30\x1d\x00\x14edge/press-3/command\x06\x08\x00\x03\xef\xbb\xbf"


def settings(port: int, **more: Any) -> MqttSettings:
    return MqttSettings(host="127.0.0.1", port=port, **{"keepalive_s": 2, **more})


def identity(state_dir: Path, boot_id: int = 2) -> Identity:
    return Identity(
        station="press-3", boot_id=boot_id, state_dir=state_dir, counts_per_mm=10.0, defect_classes=("scratch",)
    )


def fresh_verdict(seq: int, *, boot_id: int = 2, rejects: bool = True, due_in_ns: int = MINUTE_NS) -> Verdict:
    """Of this moment."""
    now, decision = time.monotonic_ns(), Decision.REJECT if rejects else Decision.ACCEPT
    return verdict(seq, decision, boot_id=boot_id, views=(), decided_ns=now, due_ns=now + due_in_ns)


class WireBroker(socketserver.ThreadingTCPServer):
    """As much of an MQTT 5 broker as one needs to misbehave. `answer` is what it sends on a message; b"" is silence.

    `connack` are the properties in its CONNACK, `greeting` are packets that follow a subscription, `granted` is its
    answer.
    """

    def __init__(
        self, answer: Callable[["Published"], bytes], *, connack: bytes = b"", greeting: bytes = b"", granted: int = 1
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.answer = answer
        self.connack = connack
        self.greeting = greeting
        self.granted = granted
        self.connections = 0
        self.open: list[socket.socket] = []
        self.port = int(self.server_address[1])
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        for connection in self.open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()


@dataclass(frozen=True)
class Published:
    """A message as it came over the wire."""

    topic: str
    mid: int
    payload: bytes

    def puback(self, reason: int = 0) -> bytes:
        return struct.pack("!BBHB", 0x40, 3, self.mid, reason)


class _Connection(socketserver.StreamRequestHandler):
    server: WireBroker

    def handle(self) -> None:
        self.server.open.append(self.request)
        with suppress(OSError):
            while head := self.rfile.read(1):
                self.wfile.write(self._reply(head[0] >> 4, self.rfile.read(_varint(self.rfile))))

    def _reply(self, kind: int, body: bytes) -> bytes:
        if kind == PacketTypes.CONNECT:
            self.server.connections += 1
            told = self.server.connack
            return bytes((0x20, 3 + len(told), 0, 0, len(told))) + told
        if kind == PacketTypes.SUBSCRIBE:
            return b"\x90\x04" + body[:2] + bytes((0, self.server.granted)) + self.server.greeting
        if kind == PacketTypes.PINGREQ:
            return b"\xd0\x00"
        if kind != PacketTypes.PUBLISH:
            return b""
        rest = io.BytesIO(body)
        topic = rest.read(int.from_bytes(rest.read(2))).decode()
        mid = int.from_bytes(rest.read(2))
        rest.read(_varint(rest))
        return self.server.answer(Published(topic.rpartition("/")[2], mid, rest.read()))


def _varint(source: BinaryIO) -> int:
    value = shift = 0
    while True:
        byte = source.read(1)[0]
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value


class Gateway:
    """A subscriber that must miss nothing: durable session, QoS 1."""

    def __init__(self, port: int) -> None:
        self.heard: list[tuple[str, dict[str, Any], MQTTMessage]] = []
        self._ready = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, "gateway", protocol=MQTTProtocolVersion.MQTTv5)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe("edge/press-3/#", qos=1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._on_message
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 600
        self._client.connect("127.0.0.1", port, 2, clean_start=False, properties=properties)

    def __enter__(self) -> Self:
        self._client.loop_start()
        assert self._ready.wait(5)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        self._client.reinitialise()

    def _on_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        self.heard.append((message.topic.rpartition("/")[2], json.loads(message.payload), message))

    def seqs(self, kind: str) -> list[int]:
        """In order of arrival, each once."""
        return list(dict.fromkeys(told["seq"] for topic, told, _ in list(self.heard) if topic == kind))

    def states(self) -> list[str]:
        return [told["state"] for topic, told, _ in list(self.heard) if topic == "state"]


def run_until(link: MqttLink, done: Callable[[], object], timeout_s: float = 30.0) -> None:
    wait_until(lambda: (link.exchange(READY), done())[1], timeout_s)


def keep_running(link: MqttLink, done: Callable[[], object], timeout_s: float = 30.0) -> None:
    """As the report stage does: a link that failed is closed and opened again."""

    def tried() -> object:
        try:
            link.exchange(READY)
        except DeviceError:
            link.close()
            link.open()
        return done()

    wait_until(tried, timeout_s)


def wait_until(done: Callable[[], object], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline, "not within the time"
        time.sleep(0.01)
