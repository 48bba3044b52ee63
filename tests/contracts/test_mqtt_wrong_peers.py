"""A broker whose certificate has expired, and two stations with one name: nothing is lost, and it is said."""

from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode
from support.certificates import Authority
from support.mqtt_peers import READY, Gateway, fresh_verdict, identity, settings, wait_until

from edge_inspector.codes import ErrorCode
from edge_inspector.errors import DeviceError
from edge_inspector.mqtt.link import MqttLink
from edge_inspector.mqtt.words import loss_words
from edge_inspector.simulation.broker import DemoBroker, accepts, find_mosquitto
from edge_inspector.simulation.demo import free_port

pytestmark = pytest.mark.system


@pytest.fixture(autouse=True)
def _mosquitto() -> None:
    if find_mosquitto() is None:
        pytest.skip("mosquitto is not installed")


def run_on(*links: MqttLink) -> list[str]:
    """As the report stages do: a link that failed is closed and opened again. What was said of lost brokers."""
    said = []
    for link in links:
        try:
            link.exchange(READY)
        except DeviceError as error:
            said.append(str(error))
            link.close()
            link.open()
        if trouble := link.troubles.get(ErrorCode.BROKER_LOST):
            said.append(trouble)
    return said


def until(link: MqttLink, done: Callable[[], bool]) -> None:
    wait_until(lambda: [run_on(link), done()][1], 30)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho leaves a refused TLS socket open
def test_a_broker_whose_certificate_has_expired_is_told_and_gets_all_when_it_is_renewed(tmp_path: Path) -> None:
    works, port = Authority(), free_port()
    ca = tmp_path / "ca.pem"
    ca.write_bytes(works.certificate)
    link = MqttLink(settings(port, tls_ca_file=ca), identity(tmp_path))
    with ExitStack() as stack:
        link.open()
        stack.callback(link.close)
        assert link.deliver([fresh_verdict(1), fresh_verdict(2, rejects=False)]) == 2
        with DemoBroker(port, tmp_path, extra=secured(tmp_path, works, timedelta(hours=1))):
            said: list[str] = []
            wait_until(lambda: said.extend(run_on(link)) or any("it has expired" in each for each in said), 30)
            assert any("or this machine's clock is wrong: it shows 20" in each for each in said)
            assert link.backlog >= 2
        plain = free_port()
        lines = [*secured(tmp_path, works, timedelta(days=-1)), f"listener {plain} 127.0.0.1"]
        with DemoBroker(port, tmp_path, extra=lines):
            wait_until(lambda: accepts(plain))
            with Gateway(plain) as gateway:
                until(link, lambda: link.backlog == 0)
                wait_until(lambda: gateway.seqs("verdict") == [1, 2])


def secured(folder: Path, works: Authority, ended: timedelta) -> list[str]:
    public, private = works.server(ended=ended).write(folder, "broker")
    return ["allow_anonymous true", f"cafile {folder / 'ca.pem'}", f"certfile {public}", f"keyfile {private}"]


def test_two_stations_with_one_name_are_told_and_lose_nothing(tmp_path: Path) -> None:
    """The broker lets one client of a name be connected. Each of the two says what it looks like."""
    with DemoBroker(free_port(), tmp_path) as broker, ExitStack() as stack:
        links = []
        for boot_id in (11, 12):
            folder = tmp_path / str(boot_id)
            folder.mkdir()
            link = MqttLink(settings(broker.port), identity(folder, boot_id))
            link.open()
            stack.callback(link.close)
            links.append(link)
        gateway = stack.enter_context(Gateway(broker.port))
        said: list[str] = []
        wait_until(lambda: said.extend(run_on(*links)) or "again and again" in "".join(said), 30)
        told = next(each for each in said if "again and again" in each)
        assert "as if another program connects as 'edge-inspector-press-3'. Each station needs a station.name" in told
        assert "again and again" not in said[0], "one lost connection is no sign of it"
        for link, boot_id in zip(links, (11, 12), strict=True):
            assert link.deliver([fresh_verdict(1, boot_id=boot_id)]) == 1
        links[1].close()
        until(links[0], lambda: links[0].backlog == 0)
        links[0].close()
        links[1].open()
        until(links[1], lambda: links[1].backlog == 0)
        wait_until(lambda: {told["boot_id"] for topic, told, _ in gateway.heard if topic == "verdict"} == {11, 12})


def test_a_broker_that_says_why_is_believed() -> None:
    taken_over = ReasonCode(PacketTypes.DISCONNECT, identifier=0x8E)
    assert "Session taken over: another program connects as 'line-1'" in loss_words(taken_over, "line-1")
    assert loss_words(ReasonCode(PacketTypes.DISCONNECT, identifier=0x8B), "line-1") == "Server shutting down"
