"""Commands through a real broker, and a broker that protects itself: limits, TLS, passwords, access lists."""

import json
import queue
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from support.mqtt_peers import (
    BROKEN,
    READY,
    Gateway,
    Published,
    WireBroker,
    fresh_verdict,
    identity,
    keep_running,
    run_until,
    settings,
    wait_until,
)

from edge_inspector.codes import CommandName, ErrorCode
from edge_inspector.errors import DeviceError
from edge_inspector.mqtt.link import MqttLink
from edge_inspector.records import Command, CommandResult, Defect, Verdict
from edge_inspector.simulation.broker import DemoBroker, find_mosquitto
from edge_inspector.simulation.demo import free_port

pytestmark = pytest.mark.system

TOPIC = "edge/press-3/command"


@contextmanager
def running_broker(folder: Path, *extra: str) -> Iterator[DemoBroker]:
    if find_mosquitto() is None:
        pytest.skip("mosquitto is not installed")
    with DemoBroker(free_port(), folder, persistent=False, extra=("allow_anonymous true", *extra)) as broker:
        yield broker


@contextmanager
def opened(broker: DemoBroker | WireBroker, folder: Path, **more: Any) -> Iterator[MqttLink]:
    link = MqttLink(settings(broker.port, **more), identity(folder))
    link.open()
    try:
        run_until(link, lambda: link.connected)
        yield link
    finally:
        link.close()


class Panel:
    """Someone who commands a station."""

    def __init__(self, port: int, prepare: Callable[[Client], None] = lambda _: None) -> None:
        self.answers: queue.SimpleQueue[tuple[MQTTMessage, dict[str, Any]]] = queue.SimpleQueue()
        self._subscribed: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.client = Client(CallbackAPIVersion.VERSION2, "panel", protocol=MQTTProtocolVersion.MQTTv5)
        prepare(self.client)
        self.client.on_connect = lambda client, *_: client.subscribe(f"{TOPIC}/result/#", qos=1)
        self.client.on_subscribe = lambda *_: self._subscribed.put(None)
        self.client.on_message = lambda _c, _u, message: self.answers.put((message, json.loads(message.payload)))
        self.client.connect("127.0.0.1", port, 5)
        self.client.loop_start()
        self._subscribed.get(timeout=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()
        self.client.reinitialise()

    def say(self, body: object, *, retain: bool = False, **properties: Any) -> int:
        told = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        for name, value in properties.items():
            setattr(told, name, value)
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.client.publish(TOPIC, payload, 1, retain, told).mid


def taken(link: MqttLink) -> list[Command]:
    found: list[Command] = []
    run_until(link, lambda: found.extend(link.commands()) or found)
    return found


def answered(link: MqttLink, panel: Panel) -> tuple[MQTTMessage, dict[str, Any]]:
    run_until(link, lambda: (link.commands(), not panel.answers.empty())[1])
    return panel.answers.get()


def test_a_command_is_taken_and_its_answer_finds_who_asked(tmp_path: Path) -> None:
    with (
        running_broker(tmp_path) as broker,
        opened(broker, tmp_path, commands=True) as link,
        Panel(broker.port) as panel,
    ):
        panel.say({"id": "1", "command": "select_recipe", "recipe_id": 5}, CorrelationData=b"\x00\xff")
        (command,) = taken(link)
        assert (command.name, command.recipe_id) == (CommandName.SELECT_RECIPE, 5)
        command.reply(CommandResult("", 5))
        message, body = answered(link, panel)
        assert message.topic == f"{TOPIC}/result"
        assert message.properties is not None
        assert message.properties.CorrelationData == b"\x00\xff"
        assert (body["id"], body["done"], body["error"], body["recipe_id"]) == ("1", True, "", 5)
        assert (body["station"], body["boot_id"]) == ("press-3", 2)

        panel.say({"id": "2", "command": "fire"}, ResponseTopic=f"{TOPIC}/result/panel")
        message, body = answered(link, panel)
        assert message.topic == f"{TOPIC}/result/panel"
        assert (body["id"], body["done"]) == ("2", False)
        assert "command: Input should be" in body["error"]
        assert link.connected


def test_a_retained_command_is_not_done_again_at_every_connection(tmp_path: Path) -> None:
    with running_broker(tmp_path) as broker, Panel(broker.port) as panel:
        panel.say({"id": "1", "command": "disable"}, retain=True)
        for version in ("5", "3.1.1"):
            with opened(broker, tmp_path, commands=True, version=version) as link:
                heard: list[Command] = []
                until = time.monotonic() + 0.5
                while time.monotonic() < until:
                    link.exchange(READY)
                    heard += link.commands()
                    time.sleep(0.02)
                assert heard == []


def test_a_retained_command_that_comes_while_the_station_listens_is_refused_too(tmp_path: Path) -> None:
    with (
        running_broker(tmp_path) as broker,
        opened(broker, tmp_path, commands=True) as link,
        Panel(broker.port) as panel,
    ):
        panel.say({"id": "1", "command": "disable"}, retain=True)
        _, body = answered(link, panel)
        assert (body["done"], "without retain" in body["error"]) == (False, True)


def test_of_a_huge_command_only_the_beginning_is_kept(tmp_path: Path) -> None:
    # with MQTT 5 the broker does not even send it
    with (
        running_broker(tmp_path) as broker,
        opened(broker, tmp_path, commands=True, version="3.1.1") as link,
        Panel(broker.port) as panel,
    ):
        panel.client.publish(TOPIC, b" " * 1_000_000, qos=1)
        until = time.monotonic() + 10
        while not link._session._requests and time.monotonic() < until:
            time.sleep(0.01)
        (request,) = link._session._requests
        assert len(request.payload) == 4097


def test_a_station_that_takes_no_commands_does_not_even_listen(tmp_path: Path) -> None:
    with running_broker(tmp_path) as broker, opened(broker, tmp_path) as link, Panel(broker.port) as panel:
        reasons: queue.SimpleQueue[Any] = queue.SimpleQueue()
        panel.client.on_publish = lambda _c, _u, _m, reason, _p: reasons.put(reason)
        panel.say({"id": "1", "command": "disable"})
        assert str(reasons.get(timeout=30)) == "No matching subscribers"
        link.exchange(READY)
        assert list(link.commands()) == []


def test_a_flood_of_commands_holds_no_verdict(tmp_path: Path) -> None:
    with (
        running_broker(tmp_path) as broker,
        opened(broker, tmp_path, commands=True) as link,
        Panel(broker.port) as panel,
    ):
        for number in range(500):
            panel.say({"id": str(number), "command": "reset"})
        panel.say(b"[" * 100_000)
        assert link.deliver([fresh_verdict(1)]) == 1
        found: list[Command] = []
        run_until(link, lambda: (found.extend(link.commands()), link.backlog == 0)[1])
        wait_until(lambda: len(panel.client._out_messages) == 0)
        found += link.commands()
        assert 0 < len(found) <= 501
        assert link.connected


def test_answers_keep_to_the_brokers_receive_maximum(tmp_path: Path) -> None:
    asked = b"\x30\x19\x00\x14" + TOPIC.encode() + b"\x00{}"
    held: list[Published] = []
    with (
        WireBroker(lambda message: held.append(message) or b"", connack=b"\x21\x00\x04", greeting=asked * 8) as broker,
        opened(broker, tmp_path, commands=True) as link,
    ):
        run_until(link, lambda: (link.commands(), len(held) >= 4)[1])
        until = time.monotonic() + 0.3
        run_until(link, lambda: time.monotonic() > until)
        assert len(held) == 4, "one state and three answers"
        broker.answer = lambda message: held.append(message) or message.puback()
        broker.open[0].sendall(b"".join(message.puback() for message in held))
        run_until(link, lambda: len(held) == 9)


def crowded(seq: int, defects: int) -> Verdict:
    found = tuple(
        Defect("top", "crack", area_mm2=1.0, length_mm=1.0, confidence=number / defects, x_mm=1.0, y_mm=1.0)
        for number in range(defects)
    )
    return Verdict(**{**_fields(fresh_verdict(seq)), "defects": found})


def _fields(of: Verdict) -> Mapping[str, Any]:
    return {name: getattr(of, name) for name in of.__slots__}


@pytest.mark.parametrize("limit", ["max_packet_size 4096", "message_size_limit 4096"])
def test_a_verdict_too_large_for_the_broker_comes_with_fewer_defects_and_holds_nothing_up(
    tmp_path: Path, limit: str
) -> None:
    with running_broker(tmp_path, limit) as broker, Gateway(broker.port) as gateway:
        link = MqttLink(settings(broker.port), identity(tmp_path))
        link.open()
        try:
            assert link.deliver([fresh_verdict(1), crowded(2, 200), fresh_verdict(3)]) == 3
            keep_running(link, lambda: link.backlog == 0, 15)
            wait_until(lambda: gateway.seqs("verdict") == [1, 2, 3])
            assert sorted(gateway.seqs("reject")) == [1, 2, 3]
            bodies = [body for topic, body, _ in gateway.heard if topic == "verdict" and body["seq"] == 2]
            assert len(bodies[-1]["defects"]) + bodies[-1]["left_out"] == 200
            assert bodies[-1]["defects"][0]["confidence"] == 199 / 200, "the surest ones stay"
            assert link.events["verdict_shortened"] > 0
            assert link.events["message_too_large"] == 0
        finally:
            link.close()


def test_a_verdict_that_cannot_be_made_small_enough_is_left_out_and_told(tmp_path: Path) -> None:
    with running_broker(tmp_path, "max_packet_size 400") as broker, opened(broker, tmp_path) as link:
        link.deliver([fresh_verdict(1)])
        run_until(link, lambda: link.backlog == 0)
        assert link.events["message_too_large"] == 2, "verdict and reject"
        assert ErrorCode.MESSAGE_TOO_LARGE in link.troubles


def test_a_limit_that_the_broker_did_not_tell_costs_only_defects_and_not_longer_than_the_connection(
    tmp_path: Path,
) -> None:
    told: list[dict[str, Any]] = []
    limit = 700  # more than a verdict without defects, less than two of them

    def answer(message: Published) -> bytes:
        if len(message.payload) > limit:
            return message.puback(0x95)
        if message.topic == "verdict":
            told.append(json.loads(message.payload))
        return message.puback()

    with WireBroker(answer) as broker, opened(broker, tmp_path) as link:
        link.deliver([crowded(1, 3), fresh_verdict(2, rejects=False)])
        keep_running(link, lambda: link.backlog == 0)
        # The refusal costs the connection. What was not acknowledged until then comes twice.
        assert {body["seq"] for body in told} == {1, 2}
        assert link.events["message_too_large"] == 0
        broker.answer = lambda _: BROKEN
        link.deliver([fresh_verdict(3)])
        keep_running(link, lambda: not link.connected)
        limit, broker.answer = 10_000, answer
        link.deliver([crowded(4, 8)])
        keep_running(link, lambda: link.backlog == 0)
        assert {(body["seq"], body["left_out"]) for body in told if body["seq"] > 2} == {(3, 0), (4, 0)}


def test_a_broken_packet_from_the_broker_costs_the_connection_and_no_verdict(tmp_path: Path) -> None:
    broken = iter([BROKEN])

    with WireBroker(lambda message: next(broken, message.puback())) as broker, opened(broker, tmp_path) as link:
        link.deliver([crowded(seq, 6) for seq in range(1, 6)])
        keep_running(link, lambda: link.backlog == 0)
        assert broker.connections == 2
        assert not link.events["verdict_shortened"] + link.events["message_too_large"]


def test_an_answer_that_the_broker_would_not_take_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with (
        running_broker(tmp_path, "max_packet_size 16000") as broker,
        opened(broker, tmp_path, commands=True) as link,
        Panel(broker.port) as panel,
    ):
        panel.say({"id": "1", "command": "fire"}, CorrelationData=b"c" * 15_900)
        run_until(link, lambda: (link.commands(), "too long to be answered" in caplog.text)[1])
        panel.say({"id": "2", "command": "fire"})
        assert answered(link, panel)[1]["id"] == "2"


def test_a_reject_that_lost_its_listener_is_told_and_one_that_never_had_any_is_counted(tmp_path: Path) -> None:
    with running_broker(tmp_path) as broker, opened(broker, tmp_path) as link:
        link.deliver([fresh_verdict(1)])
        run_until(link, lambda: link.backlog == 0)
        assert link.events["reject_unheard"] == 1
        assert link.troubles == {}
        with Panel(broker.port) as panel:
            panel.client.subscribe("edge/press-3/reject", 1)
            time.sleep(0.2)
            link.deliver([fresh_verdict(2)])
            run_until(link, lambda: link.backlog == 0)
            assert link.troubles == {}
            panel.client.unsubscribe("edge/press-3/reject")
            time.sleep(0.2)
            link.deliver([fresh_verdict(3)])
            run_until(link, lambda: link.backlog == 0)
            assert list(link.troubles) == [ErrorCode.NO_SUBSCRIBER]
            panel.client.subscribe("edge/press-3/reject", 1)
            time.sleep(0.2)
            link.deliver([fresh_verdict(4)])
            run_until(link, lambda: link.backlog == 0)
            assert link.troubles == {}
        assert link.events["reject_unheard"] == 2


ACCESS = """\
user press-3
topic write edge/press-3/#
topic read edge/press-3/command

user panel
topic write edge/press-3/command
topic read edge/press-3/command/result/#
topic read edge/press-3/state

user viewer
topic read edge/press-3/#
"""


class Secured:
    """A broker with TLS, client certificates, passwords and an access list, and the files to get in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ca("ca")
        self._ca("foreign-ca")
        self.certificate("server", "ca", "subjectAltName=IP:127.0.0.1")
        for name in ("press-3", "panel", "viewer"):
            self.certificate(name, "ca")
        self.certificate("intruder", "foreign-ca")
        passwords = folder / "passwords"
        for name in ("press-3", "panel", "viewer"):
            create = () if passwords.exists() else ("-c",)
            self._run("mosquitto_passwd", *create, "-b", str(passwords), name, f"secret of {name}")
            (folder / f"{name}.secret").write_text(f"secret of {name}\n")
        (folder / "access").write_text(ACCESS)
        (folder / "passwords").chmod(0o600)
        (folder / "access").chmod(0o600)

    @property
    def broker_lines(self) -> tuple[str, ...]:
        return (
            "allow_anonymous false",
            f"password_file {self.folder}/passwords",
            f"acl_file {self.folder}/access",
            f"cafile {self.folder}/ca.pem",
            f"certfile {self.folder}/server.pem",
            f"keyfile {self.folder}/server.key",
            "require_certificate true",
        )

    def settings(self, name: str = "press-3", certificate: str = "press-3", **more: Any) -> dict[str, Any]:
        return {
            "username": name,
            "password_file": self.folder / f"{name}.secret",
            "tls_ca_file": self.folder / "ca.pem",
            "tls_cert_file": self.folder / f"{certificate}.pem",
            "tls_key_file": self.folder / f"{certificate}.key",
            **more,
        }

    def panel(self, port: int, name: str = "panel") -> Panel:
        def prepare(client: Client) -> None:
            client.tls_set(*(str(self.folder / file) for file in ("ca.pem", f"{name}.pem", f"{name}.key")))
            client.username_pw_set(name, f"secret of {name}")

        return Panel(port, prepare)

    def _ca(self, name: str) -> None:
        self._run(
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", f"/CN={name}", "-addext", "keyUsage=critical,keyCertSign",
            "-keyout", f"{self.folder}/{name}.key", "-out", f"{self.folder}/{name}.pem",
        )  # fmt: skip

    def certificate(self, name: str, authority: str, *extensions: str) -> None:
        files = self.folder / name
        self._run(
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", f"/CN={name}", "-CA", f"{self.folder}/{authority}.pem", "-CAkey", f"{self.folder}/{authority}.key",
            "-addext", "basicConstraints=CA:FALSE", *(each for text in extensions for each in ("-addext", text)),
            "-keyout", f"{files}.key", "-out", f"{files}.pem",
        )  # fmt: skip

    @staticmethod
    def _run(*command: str) -> None:
        subprocess.run(command, check=True, capture_output=True, timeout=20)


@pytest.fixture
def secured(tmp_path: Path) -> Secured:
    for program in ("openssl", "mosquitto_passwd"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    return Secured(tmp_path)


@contextmanager
def secured_broker(secured: Secured) -> Iterator[DemoBroker]:
    with DemoBroker(free_port(), secured.folder, persistent=False, extra=secured.broker_lines) as broker:
        yield broker


def test_behind_tls_passwords_and_an_access_list_everything_works_for_those_who_may(
    secured: Secured, tmp_path: Path
) -> None:
    with secured_broker(secured) as broker, secured.panel(broker.port) as panel:
        with opened(broker, tmp_path, **secured.settings(commands=True)) as link:
            link.deliver([fresh_verdict(1)])
            run_until(link, lambda: link.backlog == 0)
            panel.say({"id": "1", "command": "enable"})
            (command,) = taken(link)
            command.reply(CommandResult("", 4))
            assert answered(link, panel)[1]["done"] is True
        assert "MQTT 5" in MqttLink(settings(broker.port, **secured.settings()), identity(tmp_path)).probe()


def test_who_may_only_look_cannot_command(secured: Secured, tmp_path: Path) -> None:
    with secured_broker(secured) as broker, secured.panel(broker.port, "viewer") as viewer:
        reasons: queue.SimpleQueue[Any] = queue.SimpleQueue()
        viewer.client.on_publish = lambda _c, _u, _m, reason, _p: reasons.put(reason)
        with opened(broker, tmp_path, **secured.settings(commands=True)) as link:
            viewer.say({"id": "1", "command": "disable"})
            assert str(reasons.get(timeout=30)) == "Not authorized"
            time.sleep(0.2)
            link.exchange(READY)
            assert list(link.commands()) == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho leaves a refused TLS socket open
@pytest.mark.parametrize(
    ("changes", "trouble"),
    [
        ({"name": "press-3", "certificate": "intruder"}, "lost|no connection|without an MQTT answer"),
        ({"tls_cert_file": None, "tls_key_file": None}, "lost|no connection|without an MQTT answer"),
        ({"ca": "foreign-ca.pem"}, "certificate verify failed"),
        ({"secret": "viewer.secret"}, "refused: Not authorized"),
    ],
)
def test_who_is_not_known_is_told_so(secured: Secured, tmp_path: Path, changes: dict[str, Any], trouble: str) -> None:
    keys = {"ca": "tls_ca_file", "secret": "password_file"}
    files = {keys[key]: secured.folder / changes.pop(key) for key in keys if key in changes}
    with secured_broker(secured) as broker:
        link = MqttLink(settings(broker.port, **secured.settings(**changes) | files), identity(tmp_path))
        with pytest.raises(DeviceError, match=trouble):
            link.probe()
