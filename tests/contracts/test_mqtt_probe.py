"""What `check` finds out about a broker, and that nobody who listens there is misled by it."""

import ssl
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from support.mqtt_peers import READY, Gateway, Published, WireBroker, fresh_verdict, identity, settings, wait_until

from edge_inspector.errors import CautionError, DeviceError
from edge_inspector.mqtt.link import MqttLink
from edge_inspector.mqtt.words import connection_words
from edge_inspector.settings import exposed
from edge_inspector.simulation.broker import DemoBroker, find_mosquitto
from edge_inspector.simulation.demo import free_port

pytestmark = pytest.mark.system


@contextmanager
def running(folder: Path, *extra: str, anonymous: bool = True) -> Iterator[DemoBroker]:
    if find_mosquitto() is None:
        pytest.skip("mosquitto is not installed")
    lines = (f"allow_anonymous {'true' if anonymous else 'false'}", *extra)
    with DemoBroker(free_port(), folder, persistent=False, extra=lines) as broker:
        yield broker


def probe(broker: DemoBroker, folder: Path, **more: Any) -> str:
    return MqttLink(settings(broker.port, **more), identity(folder)).probe()


def retained(port: int) -> Sequence[str]:
    """The topics that a newcomer is told of at once."""
    heard: list[str] = []
    ready = threading.Event()
    client = Client(CallbackAPIVersion.VERSION2, "newcomer", protocol=MQTTProtocolVersion.MQTTv5)
    client.on_message = lambda _client, _userdata, message: heard.append(message.topic)
    client.on_subscribe = lambda *_: ready.set()
    client.connect("127.0.0.1", port)
    client.subscribe([("edge/#", 1), ("end", 1)])
    client.publish("end", b"", 1)
    client.loop_start()
    assert ready.wait(5)
    wait_until(lambda: "end" in heard)
    client.disconnect()
    client.loop_stop()
    client.reinitialise()
    return heard[: heard.index("end")]


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_good_broker_is_good_and_nobody_hears_of_the_probe(tmp_path: Path, version: str) -> None:
    with running(tmp_path) as broker:
        with Gateway(broker.port) as gateway:
            gateway._client.on_message = lambda _client, _data, message: heard.append(message.topic)
            heard: list[str] = []
            told = probe(broker, tmp_path, version=version, commands=True)
            assert told == f"mqtt://127.0.0.1:{broker.port}, MQTT {version}"
            assert set(heard) <= {"edge/press-3/check"}
        assert retained(broker.port) == []


@pytest.mark.parametrize(
    ("line", "version", "words"),
    [
        ("retain_available false", "5", "keeps no retained messages: nobody would see the state"),
        ("retain_available false", "3.1.1", "does not accept a retained last will with QoS 1"),
        ("max_qos 0", "5", "allows QoS 0 only: verdicts could be lost"),
        ("max_packet_size 300", "5", "accepts packets of at most 300 bytes, a verdict needs 2048"),
    ],
)
def test_a_broker_that_cannot_serve_a_station_is_told(tmp_path: Path, line: str, version: str, words: str) -> None:
    with running(tmp_path, line) as broker, pytest.raises(DeviceError, match=words):
        probe(broker, tmp_path, version=version)


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_probe_that_may_not_write_says_so(tmp_path: Path, version: str) -> None:
    rules = tmp_path / "rules"
    rules.write_text("topic write edge/press-3/verdict\ntopic write edge/press-3/reject\n")
    with (
        running(tmp_path, f"acl_file {rules}") as broker,
        pytest.raises(CautionError, match="Not checked: does it keep") as raised,
    ):
        probe(broker, tmp_path, version=version)
    assert "access list: topic readwrite edge/press-3/check" in str(raised.value)


def test_who_may_write_and_not_read_the_probes_topic_is_served_all_the_same(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.write_text("topic write edge/press-3/#\n")
    with running(tmp_path, f"acl_file {rules}") as broker:
        assert probe(broker, tmp_path).endswith("MQTT 5")


@pytest.mark.parametrize(
    ("reads", "topics"),
    [
        ({"commands": True}, "edge/press-3/command"),
        ({"triggers": True, "line": True}, "edge/press-3/line, edge/press-3/trigger"),
    ],
)
def test_a_broker_that_forbids_reading_is_told(tmp_path: Path, reads: dict[str, bool], topics: str) -> None:
    with WireBroker(Published.puback, granted=0x87) as broker, pytest.raises(DeviceError) as raised:
        MqttLink(settings(broker.port, **reads), identity(tmp_path)).probe()
    assert str(raised.value).endswith(f"does not let a station without username read {topics}")


def test_a_broker_that_acknowledges_nothing_is_told(tmp_path: Path) -> None:
    with WireBroker(lambda _: b"") as broker, pytest.raises(DeviceError, match="acknowledges nothing"):
        MqttLink(settings(broker.port), identity(tmp_path)).probe()


@pytest.mark.parametrize(
    "secret",
    [b"geheim", b"geheim\n", b"geheim\r\n", b"\xef\xbb\xbfgeheim\r\n"],
    ids=["bare", "line", "CRLF", "Notepad"],
)
def test_a_password_is_the_files_text_however_it_was_saved(tmp_path: Path, secret: bytes) -> None:
    with with_password(tmp_path) as broker:
        (tmp_path / "secret").write_bytes(secret)
        assert "MQTT 5" in probe(broker, tmp_path, username="edge", password_file=tmp_path / "secret")


def test_a_wrong_password_names_user_and_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("wrong")
    with with_password(tmp_path) as broker:
        with pytest.raises(DeviceError, match=rf"user 'edge': check its password \({tmp_path}/secret\)"):
            probe(broker, tmp_path, username="edge", password_file=tmp_path / "secret")
        with pytest.raises(DeviceError, match="a station without username"):
            probe(broker, tmp_path)


@contextmanager
def with_password(folder: Path) -> Iterator[DemoBroker]:
    if find_mosquitto() is None:
        pytest.skip("mosquitto is not installed")
    passwords = folder / "passwords"
    subprocess.run(["mosquitto_passwd", "-c", "-b", str(passwords), "edge", "geheim"], check=True)
    with running(folder, f"password_file {passwords}", anonymous=False) as broker:
        yield broker


def test_a_password_file_in_utf_16_is_answered_with_the_encoding_to_save_it_in(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes("geheim".encode("utf-16"))
    with pytest.raises(DeviceError, match="secret is not UTF-8: save it as UTF-8"):
        MqttLink(settings(1, username="edge", password_file=tmp_path / "secret"), identity(tmp_path)).probe()


def test_where_there_is_no_broker_the_way_is_told(tmp_path: Path) -> None:
    port = free_port()
    with pytest.raises(DeviceError, match=rf"does the broker run, and listen on port {port}\?"):
        MqttLink(settings(port), identity(tmp_path)).probe()
    nowhere = settings(port).model_copy(update={"host": "no-such-host.invalid"})
    with pytest.raises(DeviceError, match=r"no name server knows 'no-such-host\.invalid'"):
        MqttLink(nowhere, identity(tmp_path)).probe()


def test_a_name_server_that_hangs_holds_up_no_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, answered = threading.Event(), threading.Event()

    def hangs(*_: object, **__: object) -> None:
        asked.set()
        answered.wait(30)
        raise OSError("no answer")

    monkeypatch.setattr("socket.getaddrinfo", hangs)
    link = MqttLink(settings(1883).model_copy(update={"host": "broker.example"}), identity(tmp_path))
    link.open()
    link.exchange(READY)
    assert asked.wait(10)
    for seq in range(1, 6):
        assert link.deliver([fresh_verdict(seq)]) == 1
        link.exchange(READY)
    assert not answered.is_set(), "five exchanges, while the name server is still being asked"
    answered.set()
    link.close()


def verify_error(code: int, message: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError("certificate verify failed")
    error.verify_code, error.verify_message = code, message
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            verify_error(9, "certificate is not yet valid"),
            "it is not valid yet. Is this machine's clock right? It shows 20",
        ),
        (verify_error(10, "certificate has expired"), "it has expired, or this machine's clock is wrong: it shows 20"),
        (verify_error(62, "Hostname mismatch"), "it is not for '127.0.0.1'. Write host as the certificate has it"),
        (verify_error(20, "unable to get issuer"), "tls_ca_file must contain the authority that signed it"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), "no TLS on port 1883"),
        (TimeoutError("timed out"), "no answer within 1 s: is the address right"),
        (OSError(113, "No route to host"), "No route to host"),
    ],
)
def test_what_ends_a_connection_is_told_with_what_to_do(error: Exception, words: str) -> None:
    assert words in connection_words(error, settings(1883))


def test_what_works_and_lets_others_in_is_a_caution(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("geheim")
    secret.chmod(0o644)
    far = settings(1883, username="edge", password_file=secret).model_copy(update={"host": "192.0.2.1"})
    assert [each.partition(":")[0] for each in far.cautions] == [
        "name and password cross the network in plain text",
    ]
    assert list(exposed(far)) == [("password_file", secret)]
    secret.chmod(0o600)
    assert list(exposed(far)) == []
    assert settings(1883, username="edge", password_file=secret).cautions == []
    assert "switch the inspection off" in settings(1883, commands=True).cautions[0]


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_broker_behind_a_websocket_gets_the_verdicts_on_the_plant_s_topics(tmp_path: Path, version: str) -> None:
    port = free_port()
    with running(tmp_path, f"listener {port} 127.0.0.1", "protocol websockets") as broker:
        heard: list[str] = []
        with Gateway(broker.port) as gateway:
            gateway._client.on_message = lambda _client, _data, message: heard.append(message.topic)
            gateway._client.subscribe("acme/#", 1)
            chosen = settings(port, version=version, transport="websockets", topic="acme/{kind}/{station}")
            link = MqttLink(chosen, identity(tmp_path))
            assert link.probe().startswith("mqtt://")
            link.open()
            wait_until(lambda: link.exchange(READY) is None and link.connected)
            link.deliver([fresh_verdict(1)])
            wait_until(lambda: link.exchange(READY) is None and "acme/verdict/press-3" in heard)
            link.close()
    assert {"acme/check/press-3", "acme/state/press-3", "acme/reject/press-3"} <= set(heard)


def test_a_broker_that_keeps_nothing_is_good_enough_without_retain(tmp_path: Path) -> None:
    with running(tmp_path, "retain_available false") as broker:
        assert probe(broker, tmp_path, retain=False).startswith("mqtt://")
        link = MqttLink(settings(broker.port, retain=False), identity(tmp_path))
        link.open()
        wait_until(lambda: link.exchange(READY) is None and link.connected)
        link.close()
        assert retained(broker.port) == []
