"""The fleet page's own judgement: what is read from stations, who is known, and who needs help first."""

import json
import random
import socket
import ssl
import threading
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.certificates import Authority
from support.simulated_stations import SimulatedStation, SimulatedStations, dripping, fleet_text, http

from edge_inspector.cli import main
from edge_inspector.codes import ErrorCode, StationState
from edge_inspector.commands.fleet import lines_of
from edge_inspector.errors import ConfigError
from edge_inspector.fleet.answers import (
    Health,
    PartCounts,
    ToldBirth,
    ToldReason,
    ToldState,
    ahead_s,
    figures_of,
    health_of,
    shown,
)
from edge_inspector.fleet.births import _kind_of
from edge_inspector.fleet.fetch import Asker, FetchError
from edge_inspector.fleet.problems import Problem, SeenProblem
from edge_inspector.fleet.roster import MOST_ANNOUNCED, Heard, Known, Polled, Roster, Sighting, heard_of
from edge_inspector.fleet.tables import address_of, read_fleet
from edge_inspector.fleet.view import rows_of

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECOND = 1_000_000_000
TOKEN = "t" * 16
NOW = 1000 * SECOND


def sighting(name: str = "line-1", state: str = "ready", *, heard: Heard | None = None, **more: object) -> Sighting:
    health = Health(state=state, reasons=(), station=name, boot_id=hash(name) % 1000 + 1)
    known = Known(address=f"http://{name}:9108")
    return Sighting(known=known, reading=Polled(health=health, good_ns=NOW, **more), heard=heard)  # type: ignore[arg-type]


def problems(seen: Sighting) -> list[Problem]:
    return [each.problem for each in rows_of([seen], NOW)[0].troubles]


def told(state: str = "ready", error: str = "none", *, age_s: float = 0.0, ahead: float | None = None) -> Heard:
    return Heard(told=ToldState(state=state, error=error), at_ns=NOW - int(age_s * SECOND), ahead_s=ahead)


# --- the order


def test_who_needs_help_most_comes_first_whatever_the_order_before() -> None:
    lost = replace(sighting("lost"), reading=Polled(failed=1, trouble=SeenProblem(Problem.SILENT)))
    states = ["fault", "off", "degraded", "stopping", "starting", "ready"]
    stations = [*(sighting(each, each) for each in states), lost, sighting("newer", "sleeping")]
    random.Random(1).shuffle(stations)
    rows = rows_of(stations, NOW)
    assert [row.state for row in rows] == [
        "fault",
        "lost",
        "off",
        "degraded",
        "sleeping",
        "stopping",
        "starting",
        "ready",
    ]
    assert [row.needs_help for row in rows] == [True] * 7 + [False]


def test_among_equals_the_one_that_waits_longest_comes_first_then_by_name() -> None:
    def waiting(name: str, since_s: float) -> Sighting:
        seen = sighting(name, "fault")
        reasons = (ToldReason(code="plc_lost", subject="plc", since_s=since_s),)
        assert seen.reading.health is not None
        health = seen.reading.health.model_copy(update={"reasons": reasons})
        return replace(seen, reading=replace(seen.reading, health=health))

    stations = [waiting("b", 5), waiting("a", 5), waiting("c", 500), sighting("line-10"), sighting("line-9")]
    assert [row.name for row in rows_of(stations, NOW)] == ["c", "a", "b", "line-9", "line-10"]


def test_a_ready_station_with_a_wrong_clock_needs_help_and_says_by_how_much() -> None:
    ahead, fine = sighting("ahead", ahead_s=7200.0), sighting("fine", ahead_s=-4.0)
    first, second = rows_of([fine, ahead], NOW)
    assert (first.name, first.troubles) == ("ahead", (SeenProblem(Problem.CLOCK_AHEAD, "7200"),))
    assert (second.needs_help, second.troubles) == (False, ())
    assert problems(sighting(ahead_s=-60.0)) == [Problem.CLOCK_BEHIND]


def test_two_stations_with_one_name_are_both_shown_and_each_names_the_other() -> None:
    twin = replace(sighting("line-1"), known=Known(address="http://10.0.0.9:9108"))
    assert twin.reading.health is not None
    twin = replace(twin, reading=replace(twin.reading, health=twin.reading.health.model_copy(update={"boot_id": 7777})))
    rows = rows_of([sighting("line-1"), twin, sighting("line-2")], NOW)
    assert [(row.name, row.page, [each.detail for each in row.troubles]) for row in rows] == [
        ("line-1", "http://10.0.0.9:9108", ["http://line-1:9108"]),
        ("line-1", "http://line-1:9108", ["http://10.0.0.9:9108"]),
        ("line-2", "http://line-2:9108", []),
    ]
    assert all(row.needs_help for row in rows[:2])


def test_one_run_of_one_station_that_is_known_by_two_addresses_is_shown_once() -> None:
    other = replace(sighting("line-1"), known=Known(address="http://10.0.0.9:9108"))
    (row,) = rows_of([sighting("line-1"), other], NOW)
    assert (row.page, row.troubles) == ("http://line-1:9108", ())


def test_who_pretends_to_be_a_station_cannot_hide_that_it_needs_help() -> None:
    real = sighting("line-1", "fault")
    false = replace(sighting("line-1"), known=Known(address="http://10.0.0.66:9108"))
    assert [row.state for row in rows_of([false, real], NOW)] == ["fault", "ready"]


def test_one_lost_answer_changes_nothing_but_is_said_and_two_are_a_lost_station() -> None:
    once = sighting(failed=1, trouble=SeenProblem(Problem.SLOW, "2 s"))
    (row,) = rows_of([once], NOW)
    assert (row.state, [each.problem for each in row.troubles]) == ("ready", [Problem.SLOW])
    twice = replace(once, reading=replace(once.reading, failed=2, good_ns=NOW - 30 * SECOND))
    (row,) = rows_of([twice], NOW)
    assert (row.state, row.since_s, row.reasons) == ("lost", 30.0, ())


def test_a_station_that_nobody_has_asked_yet_needs_no_help() -> None:
    (row,) = rows_of([Sighting(known=Known(address="http://a:1"), reading=Polled(), heard=None)], NOW)
    assert (row.state, row.needs_help, row.name) == ("unknown", False, "http://a:1")


def test_without_a_page_the_state_is_that_of_mqtt() -> None:
    known = Known(address="", name="line-1", topic="edge/line-1/state")
    (row,) = rows_of([Sighting(known=known, reading=Polled(), heard=told("degraded", "camera_lost"))], NOW)
    assert (row.state, row.reasons[0].code) == ("degraded", "camera_lost")
    (row,) = rows_of([Sighting(known=known, reading=Polled(), heard=told("offline", age_s=9))], NOW)
    assert (row.state, row.since_s, row.troubles) == ("lost", 9.0, (SeenProblem(Problem.OFFLINE),))
    (row,) = rows_of([Sighting(known=known, reading=Polled(), heard=told(age_s=500))], NOW)
    assert (row.state, row.troubles) == ("lost", (SeenProblem(Problem.MUTE),))


def test_a_page_that_does_not_answer_hides_no_state_that_mqtt_tells() -> None:
    silent = sighting(failed=2, trouble=SeenProblem(Problem.SILENT), heard=told("fault", "plc_lost", ahead=3600.0))
    (row,) = rows_of([silent], NOW)
    assert (row.state, [each.code for each in row.reasons]) == ("fault", ["plc_lost"])
    assert [each.problem for each in row.troubles] == [Problem.SILENT, Problem.CLOCK_AHEAD]


def test_a_station_that_hides_its_reasons_has_the_code_of_mqtt_at_least() -> None:
    seen = sighting(state="degraded", heard=told("degraded", "camera_lost"))
    assert seen.reading.health is not None
    health = seen.reading.health.model_copy(update={"reasons": None})
    (row,) = rows_of([replace(seen, reading=replace(seen.reading, health=health))], NOW)
    assert [each.code for each in row.reasons] == ["camera_lost"]
    assert [each.problem for each in row.troubles] == [Problem.HIDDEN]


def test_a_page_that_is_another_stations_than_its_birth_says_is_told() -> None:
    moved = sighting("line-2")
    announced = replace(moved, known=Known(address="http://line-1:9108", name="line-1", topic="edge/line-1/state"))
    assert problems(announced) == [Problem.OTHER_NAME]
    listed = replace(moved, known=Known(address="http://line-1:9108", name="Press 3"))
    assert problems(listed) == []


def test_parts_are_those_of_the_last_minutes_and_a_restart_counts_from_zero() -> None:
    reading = Polled()
    for at, counts in enumerate([(100, 4, 1), (160, 10, 1)]):
        reading = reading.counted(PartCounts(*counts), at * 60 * SECOND)
    assert reading.recent == (PartCounts(60, 6, 0), 60.0)
    reading = reading.counted(PartCounts(5, 1, 0), 120 * SECOND)
    assert reading.recent == (PartCounts(5, 1, 0), 120.0)
    assert Polled().counted(PartCounts(5, 1, 0), 0).recent is None


# --- who is known


def birth(page: str = "http://a:9108", name: str = "line-1", **more: object) -> ToldBirth:
    return ToldBirth.model_validate({"station": name, "page": page, "boot_id": 5} | more)


def test_a_listed_station_that_announces_itself_is_one_and_the_file_has_the_last_word() -> None:
    roster = Roster([Known(address="http://a:9108", name="Press 3")])
    roster.born("edge/line-1/state", birth(site="Berlin"))
    roster.hears("edge/line-1/state", told("off"))
    (seen,) = roster.sightings()
    assert (seen.known.name, seen.known.site) == ("Press 3", "Berlin")
    assert seen.heard is not None
    assert seen.heard.told.state == "off"


def test_a_station_that_moved_leaves_its_old_page_but_two_that_answer_both_stay() -> None:
    roster = Roster([])
    roster.born("t/state", birth("http://old:1"))
    roster.born("t/state", birth("http://new:1"))
    assert {each.address for each in roster.stations()} == {"http://old:1", "http://new:1"}
    for _ in range(2):
        roster.note(("t/state", "http://old:1"), lambda before: before.bad(SeenProblem(Problem.SILENT)))
        roster.note(("t/state", "http://new:1"), lambda before: before.bad(SeenProblem(Problem.SILENT)))
    assert [each.address for each in roster.stations()] == ["http://new:1"]


def test_a_birth_that_was_removed_takes_its_station_away() -> None:
    roster = Roster([])
    roster.born("t/state", birth())
    roster.hears("t/state", told())
    roster.gone("t/state")
    roster.note(("t/state", "http://a:9108"), lambda before: before.bad(SeenProblem(Problem.SILENT)))
    assert roster.sightings() == []


def test_invented_births_have_a_limit() -> None:
    roster = Roster([Known(address="http://listed:1")])
    for at in range(MOST_ANNOUNCED + 5):
        roster.born(f"edge/{at}/state", birth(f"http://a:{at + 1}"))
    assert roster.full
    assert len(roster.stations()) == MOST_ANNOUNCED + 1


def test_while_the_broker_is_away_its_old_messages_say_nothing_of_who_can_be_asked() -> None:
    roster = Roster([])
    roster.born("a/state", birth("http://a:1", "a"))
    roster.born("b/state", birth("", "b", boot_id=6))
    for topic in ("a/state", "b/state"):
        roster.hears(topic, told(age_s=900))
    roster.broker_trouble = "lost"
    assert [each.heard is None for each in roster.sightings()] == [True, False]


@pytest.mark.parametrize(("page", "sent"), [("https://a:9108", TOKEN), ("http://a:9108", "")])
def test_the_token_of_announced_stations_is_sent_encrypted_only(page: str, sent: str) -> None:
    roster = Roster([], TOKEN)
    roster.born("t/state", birth(page))
    (known,) = roster.stations()
    assert known.token == sent
    assert TOKEN not in repr(known)


def test_what_a_broker_has_kept_is_as_old_as_it_says() -> None:
    state = ToldState(state="ready", utc=NOON - timedelta(days=7))
    kept = heard_of(state, retained=True, received_ns=NOW, now_utc=NOON)
    assert (kept.at_ns, kept.ahead_s) == (NOW - 7 * 86_400 * SECOND, None)
    live = heard_of(state, retained=False, received_ns=NOW, now_utc=NOON)
    assert (live.at_ns, live.ahead_s) == (NOW, -7 * 86_400.0)
    ahead = ToldState(state="ready", utc=NOON + timedelta(hours=1))
    assert heard_of(ahead, retained=True, received_ns=NOW, now_utc=NOON).at_ns == NOW


@pytest.mark.parametrize(
    ("topic", "births", "kind"),
    [
        ("edge/line-1/birth", ["edge/+/birth"], ("birth", "edge/line-1/state")),
        ("edge/line-1/state", ["edge/+/birth"], ("state", "edge/line-1/state")),
        ("edge/birth/state", ["edge/+/birth"], ("state", "edge/birth/state")),
        ("edge/birth/birth", ["edge/+/birth"], ("birth", "edge/birth/state")),
        ("acme/birth/line-1", ["edge/+/birth", "acme/birth/+"], ("birth", "acme/state/line-1")),
        ("edge/line-1/verdict", ["edge/+/birth"], ("verdict", "edge/line-1/state")),
        ("other/line-1/birth", ["edge/+/birth"], ("", "other/line-1/birth")),
    ],
)
def test_a_birth_and_its_state_belong_together_by_their_topics(
    topic: str, births: list[str], kind: tuple[str, str]
) -> None:
    assert _kind_of(topic, births) == kind


# --- what comes from outside


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"state": 3}',
        b'{"state": "READY!"}',
        b'{"state": "ready", "reasons": [{"code": "x y"}]}',
        b'{"state": "ready", "reasons": [{"code": "drift", "since_s": -1}]}',
        b'{"state": "ready", "reasons": [{"code": "drift", "since_s": NaN}]}',
        b'{"state": "ready", "utc": "yesterday"}',
        json.dumps({"state": "ready", "reasons": [{"code": "drift"}] * 500}).encode(),
        b"[" * 100_000,
        b'{"state": "ready", "version": "\xff"}',
    ],
)
def test_what_is_no_health_is_refused(body: bytes) -> None:
    with pytest.raises(FetchError) as error:
        health_of(body)
    assert error.value.trouble.problem is Problem.RUBBISH
    assert len(error.value.trouble.detail) <= 120


def test_a_newer_station_may_say_more_and_an_older_one_less() -> None:
    assert health_of(b'{"state": "ready", "mood": {"a": [1]}}').reasons is None
    body = json.dumps({"state": "sleeping", "reasons": [{"code": "brand_new", "subject": "x", "why": "y" * 5000}]})
    newer = health_of(body.encode())
    assert newer.reasons is not None
    assert (newer.state, newer.reasons[0].code, len(newer.reasons[0].why)) == ("sleeping", "brand_new", 500)


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("上海 二号", "上海 二号"),
        ("x" * 300, "x" * 63 + "…"),
        ("a\nb\x1b[31m", "a\\nb\\x1b[31m"),
        ("gate\u202egnp", "gate\\u202egnp"),
        ("می\u200cشود", "می\u200cشود"),
        ("  x ", "x"),
        ("see http://me:secret@host/", "see http://***@host/"),
    ],
)
def test_a_name_in_any_script_is_shown_and_harmless(text: str, safe: str) -> None:
    assert shown(text) == safe


@given(st.text(max_size=400))
def test_whatever_somebody_calls_himself_is_one_short_line(text: str) -> None:
    safe = shown(text)
    assert len(safe) <= 64
    assert safe.replace("\u200c", "").replace("\u200d", "").isprintable()


def test_metrics_are_read_as_the_daemon_writes_them() -> None:
    station = SimulatedStation("line-1", parts=(90, 8, 2))
    assert figures_of(station.metrics()) == PartCounts(100, 8, 2, "line-1")


@pytest.mark.parametrize("value", ["NaN", "-1", "1e300", "+Inf", "many", ""])
def test_a_number_of_parts_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(FetchError):
        figures_of(f'x 1\nedge_inspector_parts_processed_total{{decision="accept"}} {value}\n'.encode())


@pytest.mark.parametrize("body", [b"", b"<html>", b"x" * 100_000])
def test_a_page_without_parts_is_no_page_of_a_station(body: bytes) -> None:
    with pytest.raises(FetchError):
        figures_of(body)


def test_a_clock_is_wrong_by_what_the_answer_itself_cannot_explain() -> None:
    asked, answered = NOON, NOON + timedelta(seconds=2)
    assert ahead_s(NOON + timedelta(seconds=1), asked, answered) == 0.0
    assert ahead_s(NOON + timedelta(seconds=12), asked, answered) == 10.0
    assert ahead_s(NOON - timedelta(seconds=10), asked, answered) == -10.0
    assert ahead_s(None, asked, answered) is None


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("http://192.168.0.31:9108", "http://192.168.0.31:9108"),
        ("HTTP://Line-1:9108/", "http://line-1:9108"),
        ("https://host/line-1/", "https://host:443/line-1"),
        ("http://[fe80::1]:9108", "http://[fe80::1]:9108"),
        ("ftp://host", None),
        ("javascript:alert(1)", None),
        ("http://user:pw@host", None),
        ("http://host/?q", None),
        ("http://host:99999", None),
        ("http://host/\r\nX: y", None),
        ("http://" + "a" * 300, None),
        ("http://", None),
        ("http://höst", None),
        ("http://a..b", None),
        ("http://" + "a" * 64 + ".com", None),
    ],
)
def test_two_spellings_of_an_address_are_one_and_what_is_none_is_refused(text: str, address: str | None) -> None:
    assert address_of(text) == address


# --- one answer over HTTP


def asker(timeout_s: float = 20.0) -> Asker:
    return Asker(timeout_s, ssl.create_default_context())


def trouble_of(server: SimulatedStations, timeout_s: float = 20.0) -> SeenProblem:
    with pytest.raises(FetchError) as error:
        asker(timeout_s).get(server.at("odd"), "/healthz", most=1000)
    return error.value.trouble


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"", Problem.RUBBISH),
        (b"SSH-2.0-OpenSSH\r\n", Problem.RUBBISH),
        (b"HTTP/1.1 banana\r\n\r\n", Problem.RUBBISH),
        (http(b"{}", 302), Problem.RUBBISH),
        (http(b"{}", 404), Problem.RUBBISH),
        (http(b"{}", 401), Problem.REFUSED),
        (http(b"x" * 1001), Problem.HUGE),
        (http(b"x" * 1_000_000), Problem.HUGE),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000 + b"\r\n", Problem.HUGE),
        (http(b"{}")[:-1], Problem.SILENT),
    ],
)
def test_an_answer_that_is_none_has_a_name(answer: bytes, problem: Problem) -> None:
    station = SimulatedStation("odd", answers=lambda _: answer)
    with SimulatedStations(station) as server:
        assert trouble_of(server).problem is problem


def test_a_station_that_says_nothing_or_a_byte_at_a_time_is_slow_after_the_time_for_all_of_it() -> None:
    station = SimulatedStation("odd", answers=lambda _: None)
    with SimulatedStations(station) as server:
        assert trouble_of(server, 0.2) == SeenProblem(Problem.SLOW, "0.2 s")
        station.answers = dripping(server, b"x")
        assert trouble_of(server, 0.4) == SeenProblem(Problem.SLOW, "0.4 s")


def test_a_good_answer_is_the_body_and_the_token_goes_with_the_question() -> None:
    station = SimulatedStation("odd", token="t" * 16)
    with SimulatedStations(station) as server:
        assert asker().get(server.at("odd"), "/healthz", most=1000) == b'{"state": "ready"}'
        body = asker().get(server.at("odd"), "/healthz", most=10_000, token="t" * 16)
    assert health_of(body).station == "odd"
    assert station.tokens == ["", "t" * 16]


@pytest.mark.parametrize("host", ["a..b", ".a", "a" * 64])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_host_that_nobody_can_have_is_silent(scheme: str, host: str) -> None:
    with pytest.raises(FetchError):
        asker().get(f"{scheme}://{host}:1", "/healthz", most=100)


def test_nobody_there_is_silent_and_what_speaks_no_tls_cannot_be_trusted() -> None:
    with SimulatedStations() as server:
        port = server.port
        with pytest.raises(FetchError) as error:
            asker().get(f"https://127.0.0.1:{port}", "/healthz", most=100)
        assert error.value.trouble.problem in (Problem.UNTRUSTED, Problem.SILENT)
    with pytest.raises(FetchError) as error:
        asker().get(f"http://127.0.0.1:{port}", "/healthz", most=100)
    assert error.value.trouble.problem is Problem.SILENT


@pytest.mark.parametrize(
    ("made", "why"),
    [({"ended": timedelta(hours=1)}, "expired"), ({"host": "line-9.example"}, "IP address mismatch"), ({}, "")],
    ids=["expired", "of another", "right"],
)
def test_a_station_whose_certificate_cannot_be_trusted_is_told_and_gets_no_token(
    tmp_path: Path, made: dict[str, Any], why: str
) -> None:
    works = Authority()
    (tmp_path / "ca.pem").write_bytes(works.certificate)
    public, private = works.server(**made).write(tmp_path, "page")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(public, private)
    asking = Asker(20.0, ssl.create_default_context(cafile=str(tmp_path / "ca.pem")))
    with socket.create_server(("127.0.0.1", 0)) as server:
        heard: list[bytes] = []
        thread = threading.Thread(target=answer_once, args=(server, tls, heard))
        thread.start()
        try:
            if why:
                with pytest.raises(FetchError) as error:
                    asking.get(f"https://127.0.0.1:{server.getsockname()[1]}", "/healthz", most=100, token=TOKEN)
                assert error.value.trouble.problem is Problem.UNTRUSTED
                assert why in error.value.trouble.detail
            else:
                assert asking.get(f"https://127.0.0.1:{server.getsockname()[1]}", "/healthz", most=100) == b"{}"
        finally:
            thread.join()
    assert bool(heard) is not bool(why)


def answer_once(server: socket.socket, tls: ssl.SSLContext, heard: list[bytes]) -> None:
    plain, _ = server.accept()
    with plain, suppress(OSError), tls.wrap_socket(plain, server_side=True) as peer:
        heard.append(peer.recv(4096))
        peer.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}")


# --- the file and the command


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "stations: no station is known"),
        ('[[stations]]\naddress = "line-1:9108"', "stations.0.address: must be the address of a station's page"),
        (fleet_text(["http://a:1", "http://A:1/"]), "stations.1.address: http://a:1 is that of stations.0, too"),
        (f'[[stations]]\naddress = "http://a:1"\nname = "{"x" * 300}"', "stations.0.name"),
        ('[[stations]]\naddress = "http://a:1"\nname = "a\\u202eb"', "stations.0.name: must be a text without control"),
        ('[[stations]]\naddress = "http://a:1"\nplaec = "x"', "plaec"),
        ('[broker]\nhost = "b"\nbirths = ["edge/#"]', "broker.births.0: must be a topic with the level birth in it"),
        ('[broker]\nhost = "b"\npassword_file = "p"', "password_file needs username"),
        ('[[stations]]\naddress = "http://a:1"\ntoken_file = "nothing"', "stations.0.token_file"),
        (fleet_text(["http://a:1"], more='tls_ca_file = "nothing"'), "poll.tls_ca_file"),
        ('[web]\nhost = "0.0.0.0"\n[[stations]]\naddress = "http://a:1"', "web.host: 0.0.0.0 is open to the network"),
        (fleet_text(["http://a:1"], every_s=0), "poll.every_s"),
    ],
)
def test_a_wrong_file_is_told_with_its_key_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    (tmp_path / "fleet.toml").write_text(text)
    assert main(["fleet", str(tmp_path / "fleet.toml")]) == 2
    assert words in capsys.readouterr().err


def test_names_of_other_scripts_are_welcome_and_paths_are_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t" * 16)
    text = fleet_text([]) + '[[stations]]\naddress = "http://a:1"\nname = "压机 3"\ntoken_file = "token"\n'
    (tmp_path / "fleet.toml").write_text(text)
    file = read_fleet(tmp_path / "fleet.toml")
    assert (file.stations[0].name, file.stations[0].token_file) == ("压机 3", tmp_path / "token")
    with pytest.raises(ConfigError):
        read_fleet(tmp_path / "missing.toml")


def test_the_shipped_file_is_valid() -> None:
    file = read_fleet(Path(__file__).parents[2] / "deploy" / "fleet.toml")
    assert [each.place for each in file.stations] == ["Press 3", "Press 4"]


def test_once_prints_who_needs_help_with_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lost = SimulatedStation("line-1", reasons=[(ErrorCode.CAMERA_LOST, "top", "no frame for 500 ms")])
    well = SimulatedStation("line-2", boot_id=2)
    with SimulatedStations(lost, well) as server:
        path = tmp_path / "fleet.toml"
        path.write_text(fleet_text([server.at("line-2"), server.at("line-1")], timeout_s=20))
        assert main(["fleet", str(path), "--once"]) == 1
        first, second, third, last = capsys.readouterr().out.splitlines()
        assert first.split() == ["degraded", "line-1", server.at("line-1")]
        assert "Camera top does not answer." in second
        assert "Its parts are not inspected. Check its cable and power." in second
        assert second.endswith(" (no frame for 500 ms)")
        assert third.split() == ["ready", "line-2", server.at("line-2")]
        assert last == "1 of 2 stations need help"
        lost.reasons = ()
        assert main(["fleet", str(path), "--once"]) == 0


def test_a_code_of_a_newer_station_is_printed_as_it_is() -> None:
    (row,) = rows_of([sighting(state=StationState.FAULT.value)], NOW)
    row = replace(row, reasons=(ToldReason(code="brand_new", subject="x", why="because"),))
    assert list(lines_of(row))[-1].strip() == "brand_new x: because"


def test_the_oldest_answer_counts_by_a_clock_that_nobody_can_set() -> None:
    before = time.monotonic_ns()
    reading = Polled().good(Health(state="ready"), None, before).bad(SeenProblem(Problem.SILENT))
    assert (reading.good_ns, reading.failed) == (before, 1)
