import json
import logging
import os
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from pydantic import ValidationError
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

from edge_inspector.codes import ErrorCode, StationState
from edge_inspector.errors import DeviceError, StateError
from edge_inspector.mqtt.link import MqttLink
from edge_inspector.mqtt.session import MqttSession
from edge_inspector.records import StationStatus
from edge_inspector.simulation.broker import DemoBroker, find_mosquitto
from edge_inspector.simulation.demo import free_port
from edge_inspector.store.outbox import Outbox

pytestmark = pytest.mark.system

DELIVER_AND_DIE = """
import os, signal, sys, time
from support.mqtt_peers import READY, identity, settings, fresh_verdict
from pathlib import Path
from edge_inspector.mqtt.link import MqttLink
link = MqttLink(settings(int(sys.argv[1])), identity(Path(sys.argv[2]), boot_id=1))
link.open()
deadline = time.monotonic() + 5
while not link.connected and time.monotonic() < deadline:
    link.exchange(READY)
for seq in range(1, 301):
    assert link.deliver([fresh_verdict(seq, boot_id=1)]) == 1
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[DemoBroker]:
    if find_mosquitto() is None:
        pytest.skip("mosquitto is not installed")
    with DemoBroker(free_port(), tmp_path) as running:
        assert running.mqtt_version == "5"
        assert running.kind.startswith("mosquitto 2")
        yield running


@pytest.fixture
def link(broker: DemoBroker, tmp_path: Path) -> Iterator[MqttLink]:
    opened = MqttLink(settings(broker.port), identity(tmp_path))
    opened.open()
    yield opened
    opened.close()


def test_verdict_and_reject_arrive(broker: DemoBroker, link: MqttLink) -> None:
    with Gateway(broker.port) as gateway:
        time.sleep(0.2)
        assert gateway.heard == []  # silent until the first exchange
        run_until(link, lambda: link.connected)
        assert link.deliver([fresh_verdict(1), fresh_verdict(2, rejects=False)]) == 2
        assert link.deliver([fresh_verdict(2, rejects=False)]) == 1
        run_until(link, lambda: link.backlog == 0 and len(gateway.heard) >= 4)
        assert (gateway.seqs("verdict"), gateway.seqs("reject")) == ([1, 2], [1])
        assert gateway.states() == ["ready"]
        reject = next(message for topic, _, message in gateway.heard if topic == "reject")
        assert 55 <= getattr(reject.properties, "MessageExpiryInterval", 0) <= 60
        link.exchange(StationStatus(StationState.FAULT, ErrorCode.CAMERA_LOST, 4))
        link.close()
        assert not link.connected
        wait_until(lambda: gateway.states() == ["ready", "fault", "offline"])
    with pytest.raises(DeviceError, match="not open"):
        link.exchange(READY)
    link.open()
    run_until(link, lambda: link.connected)


def test_an_alarm_is_said_at_once(broker: DemoBroker, tmp_path: Path) -> None:
    link = MqttLink(settings(broker.port), identity(tmp_path))
    link.open()
    try:
        with Gateway(broker.port) as gateway:
            run_until(link, lambda: gateway.states() == ["ready"])
            link.exchange(replace(READY, alarm=True))
            run_until(link, lambda: len(gateway.states()) == 3)  # and its end too
            said = [told["alarm"] for topic, told, _ in gateway.heard if topic == "state"]
            assert said == [False, True, False]
    finally:
        link.close()


def test_what_is_late_is_never_on_reject(broker: DemoBroker, tmp_path: Path) -> None:
    broker.stop()
    link = MqttLink(settings(broker.port), identity(tmp_path, boot_id=1))
    link.open()
    assert link.deliver([fresh_verdict(1, boot_id=1)]) == 1  # due in a minute, of a run that ends now
    link.close()
    link = MqttLink(settings(broker.port), identity(tmp_path))
    link.open()
    try:
        assert (
            link.deliver([fresh_verdict(2, due_in_ns=-1), fresh_verdict(3, due_in_ns=50_000_000), fresh_verdict(4)])
            == 3
        )
        time.sleep(0.1)
        broker.start()
        with Gateway(broker.port) as gateway:
            run_until(link, lambda: link.backlog == 0 and len(gateway.seqs("verdict")) == 4)
            assert gateway.seqs("reject") == [4]
            late = [told["late"] for topic, told, _ in gateway.heard if topic == "verdict"]
            assert late == [True, True, True, False]
            assert link.events["reject_expired"] == 2
    finally:
        link.close()


def test_a_reject_does_not_wait_for_history(broker: DemoBroker, link: MqttLink) -> None:
    broker.stop()
    assert link.deliver([fresh_verdict(seq, rejects=False) for seq in range(1, 301)]) == 300
    assert link.deliver([fresh_verdict(301)]) == 1
    broker.start()
    with Gateway(broker.port) as gateway:
        run_until(link, lambda: gateway.seqs("reject"))
        assert next(topic for topic, *_ in gateway.heard if topic != "state") == "reject"
        run_until(link, lambda: link.backlog == 0 and len(gateway.seqs("verdict")) == 301)
        assert gateway.seqs("verdict") == list(range(1, 302))


@pytest.mark.parametrize("unseen", range(1, 5))
def test_a_reject_is_first_whenever_the_broker_connects(
    broker: DemoBroker, link: MqttLink, monkeypatch: pytest.MonkeyPatch, unseen: int
) -> None:
    """The connection is made by paho's thread, between any two looks that this one takes at it."""
    looks = iter(range(unseen))
    room = MqttSession.room.fget
    assert room is not None
    monkeypatch.setattr(
        MqttSession, "room", property(lambda session: room(session) and room(session) * (next(looks, None) is None))
    )
    assert link.deliver([fresh_verdict(1, rejects=False), fresh_verdict(2)]) == 2
    with Gateway(broker.port) as gateway:
        run_until(link, lambda: len(gateway.seqs("verdict")) == 2)
        assert next(topic for topic, *_ in gateway.heard if topic != "state") == "reject"


def test_a_killed_daemon_is_offline_and_its_rows_resume(broker: DemoBroker, tmp_path: Path) -> None:
    with Gateway(broker.port) as gateway:
        command = [sys.executable, "-c", DELIVER_AND_DIE, str(broker.port), str(tmp_path)]
        path = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, sys.path)])
        died = subprocess.run(command, check=False, env={**os.environ, "PYTHONPATH": path})
        assert died.returncode == -signal.SIGKILL
        wait_until(lambda: "offline" in gateway.states())
        rejects_before = gateway.seqs("reject")
        told_before = len(gateway.heard)
        link = MqttLink(settings(broker.port), identity(tmp_path))
        link.open()
        assert link.backlog > 0
        run_until(link, lambda: link.backlog == 0 and len(gateway.seqs("verdict")) == 300)
        link.close()
        assert gateway.seqs("verdict") == list(range(1, 301))
        assert gateway.seqs("reject") == rejects_before
        assert all(told["late"] for topic, told, _ in gateway.heard[told_before:] if topic == "verdict")


def test_nothing_is_lost_or_reordered_when_the_broker_is_killed(broker: DemoBroker, link: MqttLink) -> None:
    with Gateway(broker.port) as gateway:
        run_until(link, lambda: link.connected)
        killed_at = 0.0
        for seq in range(1, 301):
            if seq == 120:
                broker.kill()
                killed_at = time.monotonic()
            if killed_at and time.monotonic() > killed_at + 2:
                broker.start()
                killed_at = 0.0
            assert link.deliver([fresh_verdict(seq, rejects=seq % 3 == 0)]) == 1
            link.exchange(READY)
            time.sleep(0.013)
        if killed_at:
            time.sleep(max(0.0, killed_at + 2 - time.monotonic()))
            broker.start()
        run_until(link, lambda: link.backlog == 0 and len(gateway.seqs("verdict")) == 300, 15)
        assert gateway.seqs("verdict") == list(range(1, 301))
        assert gateway.seqs("reject") == list(range(3, 301, 3))


def test_what_waits_is_published_under_todays_topic(broker: DemoBroker, tmp_path: Path) -> None:
    link = MqttLink(settings(free_port(), topic_prefix="plant"), identity(tmp_path, boot_id=1))
    link.open()
    link.deliver([fresh_verdict(1, boot_id=1)])
    link.close()
    link = MqttLink(settings(broker.port), identity(tmp_path))
    link.open()
    with Gateway(broker.port) as gateway:
        run_until(link, lambda: link.backlog == 0)
        wait_until(lambda: gateway.seqs("verdict") == [1])
    link.close()


@pytest.mark.parametrize("forbidden", ["reject", "verdict", "state"])
def test_a_topic_that_the_broker_refuses_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forbidden: str
) -> None:
    monkeypatch.setattr("edge_inspector.mqtt.link._REST_NS", 2_000_000_000)
    taken: list[tuple[str, int]] = []

    def answer(message: Published) -> bytes:
        if message.topic == forbidden:
            return message.puback(0x87) + BROKEN  # mosquitto ends the connection too where max_queued_messages is 0
        taken.append((message.topic, json.loads(message.payload).get("seq", 0)))
        return message.puback()

    with WireBroker(answer) as broker:
        link = MqttLink(settings(broker.port), identity(tmp_path))
        link.open()
        link.deliver([fresh_verdict(seq) for seq in range(1, 4)])
        others = {"reject", "verdict", "state"} - {forbidden}
        waits = 0 if forbidden == "state" else 3
        told = {ErrorCode.NO_SUBSCRIBER: f"the broker refuses messages on edge/press-3/{forbidden}"}
        keep_running(link, lambda: link.troubles == told and others <= {topic for topic, _ in taken})
        keep_running(link, lambda: link.connected and link.backlog == waits)
        assert broker.connections == 2
        forbidden = ""
        keep_running(link, lambda: {"reject", "verdict", "state"} == {topic for topic, _ in taken})
        keep_running(link, lambda: not link.backlog and not link.troubles)
        every = {(topic, seq) for topic in ("reject", "verdict") for seq in range(1, 4)}
        assert {each for each in taken if each[0] != "state"} == every
        link.close()


@pytest.mark.parametrize("damage", [b'{"boot_id":\xff}', b'["late"]', b'{"defect\x08":[]%s}' % (b" " * 3000)])
def test_a_damaged_row_is_left_out_and_those_behind_it_arrive(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: bytes
) -> None:
    link = MqttLink(settings(free_port()), identity(tmp_path, boot_id=1))
    link.open()
    link.deliver([fresh_verdict(seq, boot_id=1, rejects=False) for seq in (1, 2)])
    link.close()
    with closing(sqlite3.connect(tmp_path / "outbox.sqlite")) as db, db:
        db.execute("UPDATE outbox SET payload = ? WHERE seq = 1", (damage,))
    with WireBroker(lambda message: message.puback()) as broker:
        link = MqttLink(settings(broker.port, packet_max_bytes=2048), identity(tmp_path))
        link.open()
        run_until(link, lambda: link.backlog == 0)
        assert link.events["outbox_set_aside"] == 1
        assert "verdict 1 of run 1 is damaged" in caplog.text
        link.close()


def test_a_damaged_outbox_is_told_and_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "outbox.sqlite").write_bytes(b"garbage" * 1000)
    link = MqttLink(settings(free_port()), identity(tmp_path))
    link.open()
    assert link.events["outbox_set_aside"] == 1
    assert "outbox.sqlite was damaged" in link.troubles[ErrorCode.STATE_LOST]
    link.deliver([fresh_verdict(1)])
    link.close()


def test_a_hung_broker_never_holds_deliver(broker: DemoBroker, link: MqttLink) -> None:
    run_until(link, lambda: link.connected)
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        took = []
        for seq in range(1, 151):
            start = time.monotonic()
            assert link.deliver([fresh_verdict(seq)]) == 1
            took.append(time.monotonic() - start)
        assert statistics.median(took) < 0.1  # a busy machine stalls some of them; a broker would stall them all
        run_until(link, lambda: not link.connected)  # the keepalive notices
        start = time.monotonic()
        link.exchange(READY)
        assert time.monotonic() - start < 5.0
    finally:
        os.kill(broker.pid, signal.SIGCONT)
    run_until(link, lambda: link.backlog == 0)


def test_a_broker_that_answers_pings_and_acknowledges_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("edge_inspector.mqtt.session._PATIENCE", 0.5)
    with WireBroker(lambda _: b"") as broker:
        link = MqttLink(settings(broker.port), identity(tmp_path))
        link.open()
        run_until(link, lambda: link.connected)
        link.deliver([fresh_verdict(1)])
        run_until(link, lambda: broker.connections == 3)
        assert not link.connected, "a connection alone is no sign that messages get through"
        assert caplog.text.count("acknowledges nothing") == 1
        broker.answer = lambda message: message.puback()
        run_until(link, lambda: link.connected and link.backlog == 0)
        link.close()


def test_close_is_quick_while_the_broker_hangs(broker: DemoBroker, link: MqttLink) -> None:
    run_until(link, lambda: link.connected)
    link.deliver([fresh_verdict(1)])
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        start = time.monotonic()
        link.close()
        link.close()
        assert time.monotonic() - start < 10.0
    finally:
        os.kill(broker.pid, signal.SIGCONT)


def test_a_wrong_password_is_a_clear_error(tmp_path: Path) -> None:
    if find_mosquitto() is None:
        pytest.skip("mosquitto is not installed")
    passwords, secret = tmp_path / "passwords", tmp_path / "secret"
    # the form that mosquitto_passwd writes; no password has this hash
    passwords.write_text("edge:$7$101$AAAAAAAAAAAAAAAA$" + "A" * 86 + "==\n")
    secret.write_text("wrong\n")
    extra = ("allow_anonymous false", f"password_file {passwords}")
    with DemoBroker(free_port(), tmp_path, persistent=False, extra=extra) as broker:
        link = MqttLink(settings(broker.port, username="edge", password_file=secret), identity(tmp_path))
        link.open()
        with pytest.raises(DeviceError, match=rf"127.0.0.1:{broker.port} refused: Not authorized"):
            run_until(link, lambda: False, 5)
        assert link.deliver([fresh_verdict(1)]) == 1
        link.close()
        link.open()
        link.exchange(READY)  # the broker is asked again in its time, not at once: nothing is raised
        assert link.backlog == 2
        link.close()


def test_what_is_no_broker_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        link = MqttLink(settings(server.getsockname()[1]), identity(tmp_path))
        link.open()
        link.exchange(READY)
        stranger, _ = server.accept()
        with stranger:
            stranger.recv(1000)
            stranger.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        run_until(link, lambda: "without an MQTT answer" in caplog.text)
        link.close()


def test_without_a_broker_the_outbox_takes_what_it_can(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    link = MqttLink(settings(free_port(), outbox_max_rows=5), identity(tmp_path))
    link.open()
    assert link.deliver([fresh_verdict(1), fresh_verdict(2), fresh_verdict(3)]) == 2
    assert link.deliver([fresh_verdict(3, rejects=False), fresh_verdict(4)]) == 1
    assert link.deliver([fresh_verdict(4)]) == 0
    run_until(link, lambda: "Connection refused" in caplog.text)
    for _ in range(3):
        link.exchange(READY)
    assert caplog.text.count("Connection refused") == 1
    assert not link.connected
    link.close()
    (tmp_path / "outbox.sqlite").write_bytes(b"damaged" * 1000)
    link.open()
    assert (link.events["outbox_set_aside"], link.backlog) == (1, 0)
    link.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_in_a_callback_is_not_silent(
    broker: DemoBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("callback")

    monkeypatch.setattr(MqttSession, "_on_publish", broken)
    link = MqttLink(settings(broker.port), identity(tmp_path))
    link.open()
    link.deliver([fresh_verdict(1)])
    assert link.backlog == 2
    with pytest.raises(DeviceError, match=r"client thread died.*callback"):
        run_until(link, lambda: False, 5)
    link.close()
    monkeypatch.undo()
    link.open()
    run_until(link, lambda: link.backlog == 0)
    link.close()


def test_the_fallback_broker_carries_verdicts(tmp_path: Path) -> None:
    pytest.importorskip("amqtt", reason="amqtt is not installed")
    with DemoBroker(free_port(), tmp_path, mosquitto="") as broker:
        assert (broker.kind, broker.mqtt_version) == ("amqtt (embedded)", "3.1.1")
        link = MqttLink(settings(broker.port, version=broker.mqtt_version), identity(tmp_path))
        link.open()
        run_until(link, lambda: link.connected)
        link.deliver([fresh_verdict(1)])
        run_until(link, lambda: link.backlog == 0)
        broker.kill()
        broker.restart()
        link.deliver([fresh_verdict(2)])
        run_until(link, lambda: link.backlog == 0)
        link.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"topic_prefix": "a/#"},
        {"topic_prefix": "a/"},
        {"inflight": 201},
        {"password_file": "p"},
        {"tls_cert_file": "c"},
        {"tls_cert_file": "c", "tls_key_file": "k"},
        {"port": 0},
        {"unknown": 1},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MqttLink.Settings(host="broker", **wrong)


def test_an_unreadable_password_file_is_a_device_error(tmp_path: Path) -> None:
    link = MqttLink(settings(1, username="edge", password_file=tmp_path / "absent"), identity(tmp_path))
    link.open()
    with pytest.raises(DeviceError, match="absent"):
        link.exchange(READY)
    assert link.deliver([fresh_verdict(1)]) == 1
    link.close()


def test_an_outbox_that_is_removed_is_told_and_what_it_held_arrives_all_the_same(
    broker: DemoBroker, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    broker.stop()
    link = MqttLink(settings(broker.port), identity(state))
    link.open()
    assert link.deliver([fresh_verdict(1), fresh_verdict(2, rejects=False)]) == 2
    for path in state.iterdir():
        path.unlink()
    gone_s = time.monotonic()
    while ErrorCode.STATE_LOST not in link.troubles:
        assert time.monotonic() - gone_s < 30.0
        link.exchange(READY)
        time.sleep(0.02)
    assert link.troubles[ErrorCode.STATE_LOST] == (
        f"{state}/outbox.sqlite was removed or replaced while the station ran. "
        "It was created again, with 3 messages that wait"
    )
    assert link.deliver([fresh_verdict(3, rejects=False)]) == 1
    link.close()
    link = MqttLink(settings(broker.port), identity(state))
    link.open()
    assert link.backlog == 4, "the next run has them too"
    broker.start()
    with Gateway(broker.port) as gateway:
        run_until(link, lambda: link.backlog == 0 and len(gateway.seqs("verdict")) >= 3 and gateway.seqs("reject"))
        assert (gateway.seqs("verdict"), gateway.seqs("reject")) == ([1, 2, 3], [1])
    link.close()


def test_on_a_full_disk_messages_go_out_from_memory_until_the_disk_can_be_used(
    broker: DemoBroker, link: MqttLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_until(link, lambda: link.connected)
    outbox = link._outbox
    assert outbox is not None
    outbox._db.execute("PRAGMA query_only = ON")  # each write fails, as on a full disk
    monkeypatch.setattr(Outbox, "return_to_disk", Mock(side_effect=StateError("full")))
    with Gateway(broker.port) as gateway:
        assert link.deliver([fresh_verdict(1), fresh_verdict(2, rejects=False)]) == 2
        run_until(link, lambda: gateway.seqs("verdict") == [1, 2] and gateway.seqs("reject") == [1])
        run_until(link, lambda: ErrorCode.STATE_LOST in link.troubles)
        assert "Messages are sent from memory" in link.troubles[ErrorCode.STATE_LOST]
        monkeypatch.undo()
        run_until(link, lambda: not link.troubles)
        assert outbox.off_disk == ""
        assert link.deliver([fresh_verdict(3, rejects=False)]) == 1
        run_until(link, lambda: gateway.seqs("verdict") == [1, 2, 3])


def test_a_disk_that_comes_late_brings_the_messages_of_the_run_before(broker: DemoBroker, tmp_path: Path) -> None:
    state, away = tmp_path / "state", tmp_path / "away"
    before = MqttLink(settings(broker.port), identity(state))
    before.open()
    assert before.deliver([fresh_verdict(1, rejects=False)]) == 1
    before.close()
    state.rename(away)
    state.write_text("not mounted yet")
    link = MqttLink(settings(broker.port), identity(state))
    link.open()
    with Gateway(broker.port) as gateway:
        assert link.deliver([fresh_verdict(2, rejects=False)]) == 1
        run_until(link, lambda: gateway.seqs("verdict") == [2])
        assert link.deliver([fresh_verdict(3, rejects=False)]) == 1
        state.unlink()
        away.rename(state)
        run_until(link, lambda: not link.troubles and link.backlog == 0 and set(gateway.seqs("verdict")) == {1, 2, 3})
    link.close()


def test_an_outbox_that_is_removed_while_the_broker_is_there_loses_nothing(
    broker: DemoBroker, link: MqttLink, tmp_path: Path
) -> None:
    with Gateway(broker.port) as gateway:
        run_until(link, lambda: link.connected)
        assert link.deliver([fresh_verdict(1)]) == 1
        for path in tmp_path.glob("outbox.sqlite*"):
            path.unlink()
        run_until(link, lambda: ErrorCode.STATE_LOST in link.troubles)
        for seq in range(2, 30):
            assert link.deliver([fresh_verdict(seq)]) == 1
        run_until(
            link, lambda: link.connected and link.backlog == 0 and set(gateway.seqs("verdict")) >= set(range(1, 30))
        )
        assert set(gateway.seqs("reject")) == set(range(1, 30))
