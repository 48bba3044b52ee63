"""The fleet page with simulated stations that have faults, and with a real broker where they announce themselves."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.mqtt_peers import READY, identity, run_until, settings, wait_until
from support.page import PASSWORD, Visitor
from support.simulated_stations import SimulatedStation, SimulatedStations, fleet_text, http

from edge_inspector.codes import ErrorCode, StationState
from edge_inspector.fleet.serve import Fleet
from edge_inspector.fleet.tables import read_fleet
from edge_inspector.mqtt.commands import Request
from edge_inspector.mqtt.link import MqttLink
from edge_inspector.mqtt.session import MqttSession
from edge_inspector.records import StationStatus
from edge_inspector.simulation.broker import DemoBroker, find_mosquitto
from edge_inspector.simulation.demo import free_port
from edge_inspector.store.users import Role, new_user, write_users

pytestmark = pytest.mark.system

PATIENCE_S = 60.0


class Shown:
    """The page, as a browser asks for it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.refused = 0

    def now(self) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/fleet", timeout=10) as answer:
                told: dict[str, Any] = json.load(answer)
        except urllib.error.HTTPError as error:
            self.refused = error.code
            error.close()
            return {"stations": []}
        except OSError:
            return {"stations": []}
        return told

    def until(self, holds: Callable[[list[dict[str, Any]]], object]) -> list[dict[str, Any]]:
        """The stations as soon as this is true of them."""
        end_s = time.monotonic() + PATIENCE_S
        while True:
            stations: list[dict[str, Any]] = self.now()["stations"]
            if holds(stations):
                return stations
            assert time.monotonic() < end_s, stations
            time.sleep(0.05)


@contextmanager
def fleet(folder: Path, addresses: list[str], more: str = "", web: str = "") -> Iterator[Shown]:
    port = free_port()
    text = fleet_text(addresses, port=port, more=more, figures_every_s=1.0)
    (folder / "fleet.toml").write_text(text.replace("[web]\n", f"[web]\n{web}"))
    serving = Fleet(read_fleet(folder / "fleet.toml"))
    serving.start()
    try:
        yield Shown(port)
    finally:
        serving.stop()


def troubles(station: dict[str, Any]) -> list[str]:
    return [each["problem"] for each in station["troubles"]]


def test_each_station_shows_what_is_wrong_with_it_and_the_worst_is_first(tmp_path: Path) -> None:
    faulty = SimulatedStation("faulty", reasons=[(ErrorCode.PLC_LOST, "plc", "no answer")])
    off = SimulatedStation("off", reasons=[(ErrorCode.SWITCHED_OFF, "panel", "")], boot_id=2)
    ahead = SimulatedStation("ahead", clock_s=3600, boot_id=3)
    rubbish = SimulatedStation("rubbish", answers=lambda _: b"<html>")
    huge = SimulatedStation("huge", answers=lambda _: http(b"[" * 1_000_000))
    named = SimulatedStation("named", boot_id=4)
    twin = SimulatedStation("twin", boot_id=5)
    well = SimulatedStation("well", boot_id=6)
    stations = (faulty, off, ahead, rubbish, huge, named, twin, well)
    with SimulatedStations(*stations) as server:
        named.name = "压机" * 150
        addresses = [server.at(name) for name in server.stations]
        twin.name = "well"
        with fleet(tmp_path, [*addresses, "http://127.0.0.1:1"]) as page:
            shown = page.until(lambda all_: len(all_) == 9 and "unknown" not in {each["state"] for each in all_})
            by_page = {each["page"].rpartition("/")[2]: each for each in shown}
            assert [each["state"] for each in shown[:5]] == ["fault", "lost", "lost", "lost", "off"]
            assert by_page["faulty"]["reasons"][0] | {"since_s": 0} == {
                "code": "plc_lost", "subject": "plc", "why": "no answer", "since_s": 0,
            }  # fmt: skip
            assert troubles(by_page["rubbish"]) == ["rubbish"]
            assert troubles(by_page["huge"]) == ["huge"]
            assert troubles(by_page["127.0.0.1:1"]) == ["silent"]
            assert troubles(by_page["ahead"]) == ["clock_ahead"]
            assert troubles(by_page["well"]) == troubles(by_page["twin"]) == ["name_twice"]
            assert by_page["named"]["name"].startswith("压机压机")
            assert len(by_page["named"]["name"]) == 64
            assert shown[-1] == by_page["named"], "who is well comes last"

            rubbish.answers = None
            ahead.clock_s = 0.0
            faulty.state, faulty.reasons = StationState.READY, ()
            page.until(lambda all_: sum(each["help"] for each in all_) == 5)
            well.parts = (150, 50, 0)
            page.until(lambda all_: any((each["recent"] or {}).get("rejected") == 50 for each in all_))
            with urllib.request.urlopen(f"http://127.0.0.1:{page.port}/healthz", timeout=10) as answer:
                health = json.load(answer)
            assert (health["stations"], health["states"]["ready"]) == (9, 6)


def test_the_page_has_the_headers_and_the_login_of_the_operator_page(tmp_path: Path) -> None:
    write_users(tmp_path / "users", {"anna": new_user("anna", Role.VIEWER, PASSWORD, rounds=1)})
    with fleet(tmp_path, ["http://127.0.0.1:1"], web="read_requires_login = true\n") as page:
        wait_until(lambda: page.now()["stations"] or page.refused == 401, PATIENCE_S)
        visitor = Visitor(page.port)
        document = visitor.ask("GET", "/")
        assert document.status == 200
        assert "default-src 'none'" in document.headers["content-security-policy"]
        for path in ("fleet.js", "fleet_station.js", "fleet.css", "dom.js", "style.css"):
            assert visitor.ask("GET", f"/static/{path}").status == 200, path
        assert "problem.silent" in visitor.ask("GET", "/api/languages/de").json["texts"]
        assert visitor.ask("GET", "/api/fleet").status == 401
        assert visitor.log_in("anna").status == 200
        assert visitor.ask("GET", "/api/fleet").json["stations"][0]["page"] == "http://127.0.0.1:1"
        assert visitor.ask("GET", "/api/fleet", Host="evil.example").status == 421


def test_the_command_serves_until_a_signal_and_says_where(tmp_path: Path) -> None:
    port = free_port()
    with SimulatedStations(SimulatedStation("line-1")) as server:
        (tmp_path / "fleet.toml").write_text(fleet_text([server.at("line-1")], port=port))
        command = [sys.executable, "-c", "import sys; from edge_inspector.cli import main; sys.exit(main())"]
        with subprocess.Popen([*command, "fleet", str(tmp_path / "fleet.toml")], stderr=subprocess.PIPE) as process:
            try:
                Shown(port).until(lambda all_: all_ and all_[0]["state"] == "ready")
            finally:
                process.terminate()
            _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert f"fleet page on 127.0.0.1:{port}/".encode() in said
    assert b"Traceback" not in said


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[DemoBroker]:
    if find_mosquitto() is None:
        pytest.skip("mosquitto is not installed")
    with DemoBroker(free_port(), tmp_path) as running:
        yield running


def broker_text(broker: DemoBroker) -> str:
    return f'[broker]\nhost = "127.0.0.1"\nport = {broker.port}\n'


def test_a_station_appears_by_announcing_itself_and_a_dead_one_is_seen(tmp_path: Path, broker: DemoBroker) -> None:
    with SimulatedStations(SimulatedStation("press-3", boot_id=2)) as server:
        birth = {"birth": True, "page": server.at("press-3"), "site": "Werk Süd", "place": "Hall 2"}
        link = MqttLink(settings(broker.port, **birth), identity(tmp_path))
        link.open()
        try:
            run_until(link, lambda: link.connected)
            run_until(link, lambda: link._is_born)
            with fleet(tmp_path, [], broker_text(broker)) as page:
                (station,) = page.until(lambda all_: all_ and all_[0]["state"] == "ready")
                assert (station["name"], station["site"], station["place"]) == ("press-3", "Werk Süd", "Hall 2")
                assert (station["page"], station["troubles"]) == (server.at("press-3"), [])

                server.stations["press-3"].answers = lambda _: b""
                run_until(link, lambda: page.now()["stations"][0]["troubles"] != [])
                link.exchange(StationStatus(StationState.DEGRADED, ErrorCode.CAMERA_LOST, 4))
                (station,) = page.until(lambda all_: all_[0]["state"] == "degraded")
                assert [each["code"] for each in station["reasons"]] == ["camera_lost"], "MQTT still tells its state"

                assert link._session is not None
                socket = link._session._client.socket()
                assert socket is not None
                socket.close()  # the station dies: the broker publishes its last will
                (station,) = page.until(lambda all_: all_[0]["state"] == "lost")
                assert "offline" in troubles(station)
        finally:
            link.close()


def test_a_birth_without_a_page_two_with_one_name_and_rubbish(tmp_path: Path, broker: DemoBroker) -> None:
    def publish(topic: str, body: dict[str, object] | bytes) -> None:
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        assert session.publish(topic, payload, 1, retain=True)

    session = MqttSession(settings(broker.port), "stations", None)
    with SimulatedStations(SimulatedStation("a", boot_id=1), SimulatedStation("b", boot_id=2)) as server:
        server.stations["b"].name = "a"
        try:
            wait_until(lambda: session.connected, PATIENCE_S)
            publish("edge/plain/birth", {"station": "plain", "boot_id": 9})
            publish("edge/plain/state", {"station": "plain", "state": "off", "error": "switched_off", "utc": None})
            publish("edge/a/birth", {"station": "a", "page": server.at("a")})
            publish("edge/bad/birth", b"\xff{")
            publish("edge/huge/birth", b"x" * 10_000)
            publish("edge/evil/birth", {"station": "evil\u202e", "page": "javascript:alert(1)"})
            with fleet(tmp_path, [], broker_text(broker)) as page:
                page.until(lambda all_: {each["name"] for each in all_} == {"plain", "a", "evil\\u202e"})
                publish("edge/a/birth", {"station": "a", "page": server.at("b")})
                shown = page.until(lambda all_: sum("name_twice" in troubles(each) for each in all_) == 2)
                by_name = {each["name"]: each for each in shown}
                assert by_name["plain"]["state"] == "off"
                assert by_name["plain"]["reasons"][0]["code"] == "switched_off"
                assert by_name["evil\\u202e"]["page"] == ""

                publish("edge/plain/birth", b"")
                page.until(lambda all_: "plain" not in {each["name"] for each in all_})
                broker.kill()
                wait_until(lambda: page.now().get("broker"), PATIENCE_S)
                broker.start()
                wait_until(lambda: page.now().get("broker") == "", PATIENCE_S)
        finally:
            session.close()


def test_the_birth_is_as_documented_and_off_by_default(tmp_path: Path, broker: DemoBroker) -> None:
    reader = MqttSession(settings(broker.port), "reader", None, line_topics=["edge/+/birth"])
    link = MqttLink(settings(broker.port, birth=True, page="http://line-1:9108"), identity(tmp_path))
    silent = MqttLink(settings(broker.port, client_id="silent", topic_prefix="edge2"), identity(tmp_path / "other"))
    (tmp_path / "other").mkdir()
    try:
        wait_until(lambda: reader.connected and not reader.awaited, PATIENCE_S)
        for each in (silent, link):
            each.open()
        run_until(silent, lambda: silent.connected)
        silent.exchange(READY)
        run_until(link, lambda: link._is_born)
        heard: list[Request] = []
        wait_until(lambda: heard.extend(reader.announced()) or heard, PATIENCE_S)
        (message,) = heard
        told = json.loads(message.payload)
        assert (message.topic, told.pop("utc")[-1]) == ("edge/press-3/birth", "Z")
        assert told.pop("version")
        assert told == {
            "schema_version": 1,
            "station": "press-3",
            "boot_id": 2,
            "page": "http://line-1:9108",
            "site": "",
            "place": "",
        }
        assert not silent._is_born
    finally:
        for each in (silent, link, reader):
            each.close()
